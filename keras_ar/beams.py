"""Beam search: the most probable sequences that can be found by keeping a few at each step."""

import numpy as np
from keras import ops, tree

from keras_ar import backend, batches

__all__ = ["search"]

_NEVER = -1e30  # the log-probability of a beam that is not there


def search(model, condition, num_events, num_beams, num_steps, prompt=None, batch_size=None, verbose=0):
    """The beams of each event, the most probable first, and their log-probabilities.

    Args:
        model: A steppable `AutoregressiveModel` of single values with levels.
        condition: List of one array, with an entry for each event, or of none.
        num_events: Integer, how many events there are.
        num_beams: Integer, how many sequences are kept at each step.
        num_steps: Integer, how many steps a sequence has.
        prompt: Array of shape `(num_events, steps)`, how the sequences begin, or `None`. Defaults to `None`.
        batch_size: As in `sample`. Defaults to `None`.
        verbose: As in `sample`. Defaults to `0`.

    Returns:
        int32 array of shape `(num_events, num_beams, num_steps)`, and the float32 array of log-probabilities.

    Example:

    >>> model = keras_ar.models.TransformerDecoder(4, units=4, num_layers=1, num_heads=1)
    >>> sequences, log_probs = keras_ar.beams.search(model, [], num_events=1, num_beams=3, num_steps=4)
    >>> sequences.shape, bool((np.diff(log_probs) <= 0).all())
    ((1, 3, 4), True)
    """
    batch_size = batches.fitting(batch_size, num_events, on_cpu=64)
    progress = batches.Progress(num_events, verbose)
    axes = tree.map_structure(_axis_of_batch, *(model.start(count, num_steps) for count in (2, 3)))
    first = 0 if prompt is None else prompt.shape[1]
    loop = backend.Loop(model)

    def expand(prompt, condition):
        return _expand(model, loop, axes, batch_size, num_beams, num_steps, first, prompt, condition)

    expand = model.compiled_function(expand, key=("beams", batch_size, num_beams, num_steps, first))

    def search_batch(_, *arrays):
        given, rest = (arrays[:1], arrays[1:]) if first else ([], arrays)
        choices, log_probs = expand(*backend.share((list(given), list(rest))))
        progress.add(batch_size)
        return _follow(ops.convert_to_numpy(choices), given), log_probs

    given = [] if prompt is None else [prompt]
    return batches.run(search_batch, [*given, *condition], num_events, batch_size, progress)


def _expand(model, loop, axes, batch_size, num_beams, num_steps, first, prompt, condition):
    """Parents and values of all steps, `(steps, batch, beams, 2)`, and the log-probabilities of the last beams."""
    head, count = model.head, batch_size * num_beams
    levels = ops.arange(head.support.num_levels)
    condition = [ops.repeat(each, num_beams, axis=0) for each in condition]
    constants, state = model.prepare(*model.encode_condition(*condition or (None,))), model.start(count, num_steps)
    previous = ops.zeros((count,), head.support.dtype)
    if prompt:
        values = ops.repeat(prompt[0], num_beams, axis=0)
        _, state = model.prefill(constants, state, values)
        previous = values[:, -1]
    beams = ops.arange(num_beams)
    alone = ops.where(beams == 0, 0.0, _NEVER)  # at first all beams of an event are the same one
    carry = {"state": state, "previous": previous, "log_prob": ops.zeros((batch_size, num_beams)) + alone}
    begins = ops.arange(batch_size)[:, None] * num_beams

    def body(t, carry, row, constants):
        params, state = model.step(constants, carry["state"], t, carry["previous"])
        params = ops.expand_dims(ops.cast(params, "float32"), 1)  # (batch * beams, 1, num_params)
        log_probs = model.head_at(t).log_prob(params, ops.broadcast_to(levels, (count, levels.shape[0])))
        totals = ops.expand_dims(carry["log_prob"], 2) + ops.reshape(log_probs, (batch_size, num_beams, -1))
        best, place = ops.top_k(ops.reshape(totals, (batch_size, -1)), num_beams)
        parent, value = place // levels.shape[0], place % levels.shape[0]  # (batch, beams)
        rows = ops.reshape(begins + ops.cast(parent, begins.dtype), (-1,))
        state = tree.map_structure(lambda x, axis: ops.take(x, rows, axis=axis), state, axes)
        value = ops.cast(value, head.support.dtype)
        following = {"state": state, "previous": ops.reshape(value, (-1,)), "log_prob": best}
        return following, ops.stack([ops.cast(parent, "int32"), ops.cast(value, "int32")], axis=-1)

    length = num_steps - first
    choices, rows = ops.zeros((length, batch_size, num_beams, 2), "int32"), ops.zeros((length,))
    choices, carry = loop(body, first, num_steps, carry, rows, choices, (constants,))
    return choices, carry["log_prob"]


def _axis_of_batch(two, three):
    """The axis of a state that is the batch, found by its sizes for two events and for three."""
    (axis,) = (i for i, (a, b) in enumerate(zip(two.shape, three.shape, strict=True)) if a != b)
    return axis


def _follow(choices, prompt):
    """The sequences of the last beams, `(batch, beams, steps)`: each beam is followed back from parent to parent."""
    num_steps, batch_size, num_beams, _ = choices.shape
    beams = np.broadcast_to(np.arange(num_beams), (batch_size, num_beams))
    values = []
    for t in reversed(range(num_steps)):
        values.append(np.take_along_axis(choices[t, :, :, 1], beams, axis=1))
        beams = np.take_along_axis(choices[t, :, :, 0], beams, axis=1)
    found = np.stack(values[::-1], axis=2) if values else np.zeros((batch_size, num_beams, 0), "int32")
    if not prompt:
        return found
    begin = np.repeat(ops.convert_to_numpy(prompt[0])[:, None], num_beams, axis=1)
    return np.concatenate([begin.astype("int32"), found], axis=2)
