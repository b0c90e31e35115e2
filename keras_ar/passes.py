"""Several values a pass: which steps of an order are taken together.

Values that are drawn in one pass are independent given what was known before it. So a model in fewer passes than
values is a model of its own, a little worse, whose scores and draws agree.
"""

import numpy as np

from keras_ar import arguments

__all__ = ["blocks", "check", "excess", "schedule"]


def schedule(loss_by_step, num_passes):
    """The steps at which passes begin that lose the fewest nats, found by dynamic programming.

    Args:
        loss_by_step: Array of shape `(num_steps,)`: the nats of a value given so many others, as
            `AnyOrderModel.loss_by_step` measures them. The more is known, the fewer nats: what noise there is in this
            is smoothed away by sorting.
        num_passes: Integer, how many passes there are.

    Returns:
        int64 array of shape `(num_passes,)`, of which the first entry is 0: what `passes=` of an `AnyOrderModel` takes.

    Example:

    >>> keras_ar.passes.schedule([9.0, 2.0, 1.0, 1.0, 1.0], num_passes=3).tolist()
    [0, 1, 2]
    """
    loss = _falling(loss_by_step)
    n, num_passes = len(loss), arguments.integer(num_passes, "num_passes")
    if num_passes > n:
        raise ValueError(f"`num_passes` must be at most {n}, the number of steps. Received: num_passes={num_passes}.")
    first, last = np.arange(n)[:, None], np.arange(1, n + 1)
    nats = np.where(last > first, (last - first) * loss[:, None], np.inf)  # of a pass from step `first` to `last`
    best, choices = nats[0], []  # of all steps before `last`, in one pass
    for _ in range(num_passes - 1):
        total = np.concatenate([[np.inf], best[:-1]])[:, None] + nats
        choices.append(total.argmin(axis=0))
        best = total.min(axis=0)
    starts, last = [], n
    for choice in choices[::-1]:
        last = int(choice[last - 1])
        starts.append(last)
    return np.array([0, *starts[::-1]])


def excess(loss_by_step, passes):
    """How many nats an event loses, in the mean, by being taken in passes and not value by value.

    Args:
        loss_by_step: As in `schedule`.
        passes: As `passes=` of an `AnyOrderModel`.

    Example:

    >>> keras_ar.passes.excess([9.0, 2.0, 1.0, 1.0, 1.0], passes=[0, 1, 2])
    0.0
    >>> keras_ar.passes.excess([9.0, 2.0, 1.0, 1.0, 1.0], passes=[0, 1])
    3.0
    """
    loss = _falling(loss_by_step)
    starts = check(passes, len(loss))
    return float(np.repeat(loss[starts], np.diff([*starts, len(loss)])).sum() - loss.sum())


def _falling(loss_by_step):
    loss = arguments.array(loss_by_step, "loss_by_step").astype("float64")
    if loss.ndim != 1 or not len(loss) or not np.isfinite(loss).all():
        raise ValueError(
            f"`loss_by_step` must be finite numbers, one for each step. Received an array of shape {loss.shape}."
        )
    return np.sort(loss)[::-1]


def check(passes, num_steps):
    """The steps at which passes begin, from what `passes=` may be: an integer or these steps.

    Args:
        passes: Integer, how many passes there are, of about as many values each; or the steps at which they begin.
        num_steps: Integer, the number of steps.

    Example:

    >>> keras_ar.passes.check(3, num_steps=10).tolist()
    [0, 3, 7]
    """
    if np.ndim(passes) == 0:
        count = arguments.integer(passes, "passes")
        if count > num_steps:
            raise ValueError(f"`passes` must be at most {num_steps}, the number of steps. Received: passes={passes!r}.")
        return np.round(np.arange(count) * (num_steps / count)).astype("int64")
    starts = np.asarray(passes)
    rises = starts.ndim == 1 and starts.dtype.kind in "iu" and len(starts) and (np.diff(starts) > 0).all()
    if not rises or starts[0] != 0 or starts[-1] >= num_steps:
        raise ValueError(
            f"`passes` must be an integer, or the steps at which passes begin: rising integers from 0 to at most "
            f"{num_steps - 1}. Received: passes={passes!r}."
        )
    return starts.astype("int64")


def blocks(starts, order, wanted, given):
    """In which pass each position of events is taken.

    A position whose turn comes after `t` known ones is at step `t`; what is neither wanted nor given is passed over.

    Args:
        starts: From `check`.
        order: Integer array of shape `(steps,)`, or `(steps, events)`: an order for each event.
        wanted: Boolean array of shape `(events, positions)`.
        given: The same, of what is known from the beginning.

    Returns:
        int32 array of shape `(events, positions)`, -1 where a position is not wanted.

    Example:

    >>> wanted = np.array([[True, True, False, True]])
    >>> keras_ar.passes.blocks(np.array([0, 2]), np.array([3, 2, 1, 0]), wanted, ~wanted & False).tolist()
    [[1, 0, -1, 0]]
    """
    order = np.broadcast_to(order.reshape(len(order), -1).T, wanted.shape)  # (events, steps)
    in_order = np.take_along_axis(wanted, order, axis=1)
    steps = given.sum(axis=1, keepdims=True) + np.cumsum(in_order, axis=1) - 1
    found = np.where(in_order, np.searchsorted(starts, steps, side="right") - 1, -1)
    return np.take_along_axis(found, np.argsort(order, axis=1), axis=1).astype("int32")
