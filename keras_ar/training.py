"""What stands between Keras' trainers and a density model: impossible values, and losses that are not finite."""

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_ar import backend

__all__ = ["FirstImpossible", "Impossible", "LossOfEvents", "LossWatch", "StopAtBadLoss", "replace_impossible"]


class Impossible(NamedTuple):
    """What is impossible in a batch.

    Attributes:
        log_prob: float32 tensor of shape `(batch,)`, to be added to the log-probabilities of what is possible: 0,
            `-inf` for an event that is impossible, NaN for an event given a condition that is.
        in_condition: Whether the first impossible value is one of the conditions, an integer tensor.
        index: Its index in the flattened batch; -1 if there is none. A tensor, or an integer of Python if it is
            seen already that there is none.
        value: The value.
        is_padding: Which events of the batch are padding, a boolean tensor; `None` where no devices share batches.
    """

    log_prob: Any
    in_condition: Any
    index: Any
    value: Any
    is_padding: Any = None


def replace_impossible(model, x, condition=None, may_look=False, is_padding=None):
    """A batch with possible values in place of impossible ones, and what these were.

    So an impossible value makes the loss infinite, and leaves all gradients finite: the weights survive it.

    Args:
        model: A `DensityModel`.
        x: Tensor of shape `(batch, *event_shape)`.
        condition: Tensor of conditions, or `None`. Defaults to `None`.
        may_look: Boolean, whether to look whether there is anything to do, where that costs nothing. Defaults
            to `False`.
        is_padding: Which events are padding, as in `Impossible`. Defaults to `None`.

    Returns:
        The events, the condition and an `Impossible`.

    Example:

    >>> x, _, impossible = keras_ar.training.replace_impossible(keras_ar.models.FVSBN(2), np.array([[0, 1], [7, 1]]))
    >>> keras.ops.convert_to_numpy(x).tolist(), int(impossible.index), float(impossible.value)
    ([[0, 1], [0, 1]], 2, 7.0)
    """
    x = ops.convert_to_tensor(x)
    x = ops.cast(x, "int32") if "bool" in str(x.dtype) else x
    is_possible = model.is_possible(x)
    if may_look and condition is None and backend.is_seen_true(ops.all(is_possible)):
        return x, None, Impossible(ops.zeros(x.shape[:1], "float32"), 0, -1, 0.0, is_padding)
    of_event, index, value = _first(is_possible, x)
    log_prob = ops.where(of_event, 0.0, -math.inf)
    in_condition = ops.zeros((), "int32")
    x = model.support.replace_impossible(x, is_possible)
    if condition is not None:
        condition = ops.convert_to_tensor(condition)
        is_possible = model.is_possible_condition(condition)
        of_event, *of_condition = _first(is_possible, condition)
        log_prob = ops.where(of_event, log_prob, math.nan)
        in_condition = ops.cast(ops.logical_and(index < 0, of_condition[0] >= 0), "int32")
        index, value = (ops.where(index < 0, b, a) for a, b in zip((index, value), of_condition, strict=True))
        condition = ops.where(is_possible, condition, ops.cast(0, condition.dtype))
    return x, condition, Impossible(log_prob, in_condition, index, value, is_padding)


def _first(is_possible, x):
    """Which events are possible; the index, in the flattened `x`, of what is first not, or -1, and its value.

    Only the first event that is impossible is looked at entry by entry: this is done in each step of training.
    """
    rows = ops.reshape(is_possible, (ops.shape(is_possible)[0], -1))
    of_event = ops.all(rows, axis=1)
    event = ops.cast(ops.argmin(ops.cast(of_event, "int32")), "int32")
    entry = ops.cast(ops.argmin(ops.cast(ops.take(rows, event, axis=0), "int32")), "int32")
    index = event * ops.shape(rows)[1] + entry
    value = ops.cast(ops.take(ops.reshape(x, (-1,)), index), "float32")
    return of_event, ops.where(ops.take(of_event, event), -1, index), value


class FirstImpossible(keras.metrics.Metric):
    """Remembers the first impossible value since it was reset. It has no result to show.

    Under a distribution it hears of the first replica only.

    Example:

    >>> metric = keras_ar.training.FirstImpossible()
    >>> metric.result()
    {}
    """

    def __init__(self, name="first_impossible"):
        super().__init__(name=name)
        options = {"initializer": "zeros", "aggregation": "only_first_replica"}
        self._num_batches = self.add_variable((), dtype="int32", name="num_batches", **options)
        self._place = self.add_variable((3,), dtype="int32", name="place", **options)
        self._value = self.add_variable((), dtype="float32", name="value", **options)

    def update_state(self, impossible):
        """Takes the `Impossible` of one more batch."""
        num_batches = ops.add(self._num_batches, 1)
        self._num_batches.assign(num_batches)
        if isinstance(impossible.index, int):  # it is seen that there is none
            return
        place, value = (ops.convert_to_tensor(variable) for variable in (self._place, self._value))
        is_first = ops.logical_and(impossible.index >= 0, place[2] == 0)  # an index that counts from 1
        here = ops.stack([num_batches - 1, impossible.in_condition, impossible.index + 1])
        self._place.assign(ops.where(is_first, here, place))
        self._value.assign(ops.where(is_first, impossible.value, value))

    def result(self):
        return {}

    def found(self):
        """The batch, whether it is in the condition, the index in it and the value; `None` if all were possible."""
        batch, in_condition, index = map(int, ops.convert_to_numpy(self._place))
        return (batch, bool(in_condition), index - 1, float(self._value)) if index else None


class LossOfEvents(keras.metrics.Mean):
    """The mean loss over events, for several devices. Keras' own counts padding, and takes uneven parts for even.

    Example:

    >>> metric = keras_ar.training.LossOfEvents()
    >>> metric.update_state(3.0, 5)
    >>> [(name, float(value)) for name, value in metric.result().items()]
    [('loss', 3.0)]
    """

    def __init__(self, name="loss_of_events"):
        super().__init__(name=name)

    def result(self):
        return {"loss": super().result()}


class LossWatch:
    """Looks at the loss of batches 1, 2, 4, 8, …: so a device need not be waited for at each.

    Example:

    >>> watch = keras_ar.training.LossWatch()
    >>> watch.note({"loss": 1.0})
    >>> watch.is_due
    True
    """

    def __init__(self):
        self.reset()

    def reset(self):
        """Begins to count anew."""
        self._num_batches, self._logs = 0, None

    def note(self, logs):
        """Takes Keras' logs of one more batch."""
        self._num_batches += 1
        self._logs = logs if self._num_batches & (self._num_batches - 1) == 0 else None

    @property
    def is_due(self):
        """Whether to look at the last batch."""
        return self._logs is not None

    def check(self, model, logs=None):
        """Raises a `ValueError` unless the loss is finite, in the logs given or in those of the last batch.

        Args:
            model: The `DensityModel`, which explains the loss.
            logs: Keras' logs, or `None`. Defaults to `None`.
        """
        logs, self._logs = logs or self._logs or {}, None
        loss = float(ops.convert_to_numpy(logs.get("loss", 0.0)))
        if not math.isfinite(loss):
            raise ValueError(model.explain_loss(loss))


class StopAtBadLoss(keras.callbacks.Callback):
    """Ends training or evaluation with an error where the loss is not finite at the end of an epoch.

    Within an epoch the model looks itself. A callback that is told of each batch would have Keras wait for the device.

    Args:
        watch: The `LossWatch` of the model.
    """

    def __init__(self, watch):
        super().__init__()
        self._watch = watch

    def on_epoch_begin(self, epoch, logs=None):
        self._watch.reset()

    def on_test_begin(self, logs=None):
        self._watch.reset()

    def on_epoch_end(self, epoch, logs=None):
        self._check(logs)

    def on_test_end(self, logs=None):
        self._check(logs)

    def _check(self, logs):
        backend.return_weights(self.model)
        backend.deliver_interrupts(self.model)
        self._watch.check(self.model, logs)
