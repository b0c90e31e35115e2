"""How to draw from an autoregressive model, given noise.

Three methods, one answer:

- `stepwise`: the model's `prepare`, `start` and `step`, one position after the other;
- `parallel`: guess all positions, recompute all of them from the guess by one
  whole pass, repeat until nothing changes. Position `i` is right after pass `i`
  at the latest, because it only depends on those before it;
- `full`: a whole pass for each position. Slow, always right: the reference.

All are pure functions of tensors. Values are in step layout, of shape
`(steps, batch, *head.event_shape)`; noise has shape `(steps, batch, num_uniforms)`.

`sampling` says how the distribution of a step is shaped before it is drawn from: a dictionary that may hold
`temperature`, `top_k` and `top_p`, or `mode`, which takes the most probable value. An empty one draws from the
distribution as it is.
"""

import functools
import time

import numpy as np
from keras import ops, tree

from keras_ar import backend

__all__ = ["Drawing", "Fastest", "FullPasses", "advance", "draw", "draw_step", "initial_carry", "parallel", "undo"]


class FullPasses:
    """Steps by a whole pass over the model for each position; has the `prepare`, `start` and `step` of a model."""

    def __init__(self, model):
        self.model = model

    def prepare(self, condition=None):
        return () if condition is None else (condition,)

    def start(self, batch_size, num_steps):
        head = self.model.head
        return ops.zeros((batch_size, num_steps, *head.event_shape), head.support.dtype)

    def step(self, constants, state, t, previous):
        model = self.model
        steps = ops.reshape(ops.arange(state.shape[1]), (-1, *(1 for _ in model.head.event_shape)))
        values = ops.where(steps == t - 1, ops.expand_dims(previous, 1), state)
        params = model.params_to_steps(model.call(model.from_steps(values), *constants))
        return params[:, t], values


def initial_carry(model, stepper, batch_size, num_steps, sampler=None):
    """The initial carry of the drawing loop."""
    head = model.head
    of_sampler = {} if sampler is None else {"sampler": sampler.start(head, batch_size)}
    return {
        **of_sampler,
        "state": stepper.start(batch_size, num_steps),
        "previous": ops.zeros((batch_size, *head.event_shape), head.support.dtype),
        "log_prob": ops.zeros((batch_size,), "float32"),
        "log_weight": ops.zeros((batch_size,), "float32"),
    }


def advance(model, stepper, loop, constants, carry, first, last, rows, sampling, sampler=None):
    """Draws the steps `first, ..., last - 1`.

    Args:
        model: The model.
        stepper: What has `step`: the model, or its `FullPasses`.
        loop: A `backend.Loop`.
        constants: From `stepper.prepare`.
        carry: From `initial_carry`, or from the call before.
        first: Integer, the first step.
        last: Integer, one more than the last step.
        rows: `[noise]`, or `[noise, known, is_known]`: values, and a boolean tensor of shape `(steps, batch)` that
            says which of them are given. They start at step `first` and may be longer than needed. What is given is
            copied; its log-probability counts in the `log_weight` of the carry, that of what is drawn in `log_prob`.
        sampling: Dictionary, see above.
        sampler: A `samplers.Sampler`, which shapes the distribution of a step before `sampling` does, or `None`.
            Defaults to `None`.

    Returns:
        The values, of the length of the noise, and the carry for going on.
    """
    head = model.head

    def body(t, carry, row, constants, sampling):
        noise, *known = row
        params, state = stepper.step(constants, carry["state"], t, carry["previous"])
        following, head = {"state": state}, model.head_at(t)
        if sampler is not None:
            params = sampler.shape(head, ops.cast(params, "float32"), carry["sampler"], t)
        value, log_prob, log_weight = _draw_unknown(model, head, params, noise, sampling, known)
        if sampler is not None:
            following["sampler"] = sampler.update(carry["sampler"], value, t)
        sums = {"log_prob": carry["log_prob"] + log_prob, "log_weight": carry["log_weight"] + log_weight}
        return {**following, "previous": value, **sums}, value

    values = ops.zeros((*rows[0].shape[:2], *head.event_shape), head.support.dtype)
    return loop(body, first, last, carry, rows, values, (constants, sampling))


def _draw_unknown(model, head, params, noise, sampling, known=()):
    """Values, the log-probabilities of those that were drawn, and of those that are known: zero where they are not."""
    value, log_prob = draw_step(head, params, noise, sampling)
    if not known:
        return value, log_prob, 0.0
    given, is_given = known
    log_weight = head.log_prob_of_possible(ops.cast(params, "float32"), given)
    value = ops.where(model.over_draws(is_given), given, value)
    return value, ops.where(is_given, 0.0, log_prob), ops.where(is_given, log_weight, 0.0)


def parallel(model, noise, sampling, condition=(), known=()):
    """Draws all steps at once, by fixed-point iteration.

    Args:
        model: The model.
        noise: Tensor of shape `(steps, batch, num_uniforms)`.
        sampling: Dictionary, see above.
        condition: The condition as `call` takes it, a list of one or of none. Defaults to `()`.
        known: `[known, is_known]` as in `advance`, or nothing. Defaults to `()`.

    Returns:
        The values, their log-probabilities and log-weights as in `advance`, and the number of passes.
    """
    head = model.head
    noise, *known = (ops.swapaxes(each, 0, 1) for each in (noise, *known))  # (batch, steps, ...)
    batch_size, num_steps = noise.shape[:2]

    def redraw(values):
        params = model.params_to_steps(model.call(model.from_steps(values), *condition))
        drawn, *sums = _draw_unknown(model, model.head_of_steps(num_steps), params, noise, sampling, known)
        return drawn, *(ops.sum(ops.broadcast_to(each, (batch_size, num_steps)), axis=1) for each in sums)

    def body(passes, values, log_prob, log_weight, unchanged):
        drawn, log_prob, log_weight = redraw(values)
        return passes + 1, drawn, log_prob, log_weight, ops.all(drawn == values)

    def unfinished(passes, values, log_prob, log_weight, unchanged):
        return ops.logical_not(unchanged)

    backend.note_loop("while_loop")
    passes, values, log_prob, log_weight, _ = ops.while_loop(
        unfinished,
        body,
        (
            ops.zeros((), "int32"),
            ops.zeros((batch_size, num_steps, *head.event_shape), head.support.dtype),
            ops.zeros((batch_size,), "float32"),
            ops.zeros((batch_size,), "float32"),
            ops.zeros((), "bool"),
        ),
        maximum_iterations=num_steps + 1,
    )
    return ops.swapaxes(values, 0, 1), log_prob, log_weight, passes


def draw(model, loop, noise, *condition):
    """Draws events as they are: by steps if the model has them, else in parallel.

    Args:
        model: The model.
        loop: A `backend.Loop`, the same one for all draws of the model: on torch it keeps its traces.
        noise: Tensor of shape `(batch, steps, num_uniforms)`.
        *condition: The condition as `call` takes it, if there is one.

    Returns:
        Events `(batch, *event_shape)` and their log-probabilities `(batch,)`.
    """
    batch_size, num_steps = noise.shape[:2]
    noise = ops.swapaxes(noise, 0, 1)
    if model.steppable:
        carry = initial_carry(model, model, batch_size, num_steps)
        constants = model.prepare(*condition)
        values, carry = advance(model, model, loop, constants, carry, 0, num_steps, [noise], {})
        log_prob = carry["log_prob"]
    else:
        values, log_prob, *_ = parallel(model, noise, {}, condition)
    return model.from_steps(ops.swapaxes(values, 0, 1)), log_prob


def undo(model, loop, noise, *condition):
    """Events whose values have a given noise, step by step: the inverse of a pass, for heads with `from_noise`.

    Args:
        model: The model.
        loop: As in `draw`.
        noise: Tensor of shape `(batch, *event_shape)`: of each value, where it stands in its conditional distribution.
        *condition: The condition as `call` takes it, if there is one.

    Returns:
        Events `(batch, *event_shape)`, and the log-determinants `(batch,)` of the map from events to noise.
    """
    stepper = model if model.steppable else FullPasses(model)
    rows = ops.swapaxes(model.to_steps(noise), 0, 1)
    num_steps, batch_size = rows.shape[0], ops.shape(rows)[1]
    carry = {
        "state": stepper.start(batch_size, num_steps),
        "previous": ops.zeros_like(rows[0]),
        "log_det": ops.zeros_like(rows[0]),
    }

    def body(t, carry, row, constants):
        params, state = stepper.step(constants, carry["state"], t, carry["previous"])
        value, log_slope = model.head_at(t).from_noise(ops.cast(params, "float32"), row)
        return {"state": state, "previous": value, "log_det": carry["log_det"] + log_slope}, value

    constants = (stepper.prepare(*condition),)
    values, carry = loop(body, 0, num_steps, carry, rows, ops.zeros_like(rows), constants)
    return model.from_steps(ops.swapaxes(values, 0, 1)), carry["log_det"]


def draw_step(head, params, uniforms, sampling):
    """Values of a step, and their log-probabilities, from parameters and uniforms."""
    params, limits = ops.cast(params, "float32"), dict(sampling)
    if limits.pop("mode", None) is not None:
        value = head.mode(params)
    else:
        if "temperature" in limits:
            params = head.temper(params, limits.pop("temperature"))
        params = head.truncate(params, **limits) if limits else params
        value = head.sample(params, uniforms)
    value = ops.cast(value, head.support.dtype)
    return value, head.log_prob_of_possible(params, value)


class Fastest:
    """Functions that do the same, as one: after two calls of each, the first of which compiles, the fastest takes over.

    Args:
        functions: List of functions that return tensors.

    Example:

    >>> fastest = keras_ar.decoding.Fastest([lambda x: sum(range(10**6)) + x, lambda x: x])
    >>> [int(fastest(0)) for _ in range(6)]
    [499999500000, 499999500000, 0, 0, 0, 0]
    """

    def __init__(self, functions):
        self._functions = functions
        self._seconds = []  # of the second call of each

    def __call__(self, *args):
        if len(self._functions) == 1:
            return self._functions[0](*args)
        function = self._functions[len(self._seconds) // 2]
        start = time.perf_counter()
        found = tree.map_structure(ops.convert_to_numpy, function(*args))  # waits for the device
        self._seconds.append(time.perf_counter() - start)
        if len(self._seconds) == 2 * len(self._functions):
            self._functions = [self._functions[int(np.argmin(self._seconds[1::2]))]]
        return found


class Drawing:
    """The pieces that a driver draws by, compiled for one model: NumPy arrays welcome.

    Args:
        model: An `AutoregressiveModel`.
        method: `"stepwise"`, `"parallel"` or `"full"`.
        sampler: A `samplers.Sampler`, or `None`. Defaults to `None`.
    """

    def __init__(self, model, method, sampler=None):
        self._model, self.method, self._sampler = model, method, sampler
        self._stepper = FullPasses(model) if method == "full" else model
        self.has_prefill = method == "stepwise" and model.has_prefill

    def prepare(self, condition):
        """The constants of all steps, from a list of one condition or of none."""
        model, stepper = self._model, self._stepper
        prepare = self._compiled("prepare", lambda *c: stepper.prepare(*model.encode_condition(*c or (None,))))
        return prepare(*backend.share(condition))

    def start(self, batch_size, num_steps):
        """The initial carry."""
        make = functools.partial(initial_carry, self._model, self._stepper, batch_size, num_steps, self._sampler)
        return self._compiled("start", make, batch_size, num_steps)()

    def prefill(self, constants, carry, values):
        """The carry after `values`, of shape `(steps, batch, ...)`."""
        model, sampler = self._model, self._sampler

        def prefill(constants, carry, values):
            _, state = model.prefill(constants, carry["state"], ops.swapaxes(values, 0, 1))
            if sampler is not None and tree.flatten(carry["sampler"]):
                steps = ops.arange(values.shape[0]), values
                noted, _ = backend.scan(
                    lambda kept, xs: (sampler.update(kept, xs[1], xs[0]), ()), carry["sampler"], steps
                )
                carry = {**carry, "sampler": noted}
            return {**carry, "state": state, "previous": values[-1]}

        return self._compiled("prefill", prefill)(constants, carry, backend.share(values, axis=1))

    def advance(self, constants, carry, first, last, rows, sampling):
        """`advance`, without model, stepper, loop and sampler."""
        bound = self._model, self._stepper, backend.Loop(self._model)
        take_steps = self._compiled("advance", lambda *args: advance(*bound, *args, self._sampler))
        return take_steps(constants, carry, first, last, backend.share(rows, axis=1), sampling)

    def parallel(self, noise, sampling, condition, known=()):
        """`parallel`; condition is a list of one array or of none."""
        model = self._model

        def draw(noise, sampling, condition, known):
            return parallel(model, noise, sampling, model.encode_condition(*condition or (None,)), known)

        noise, known = backend.share([noise, list(known)], axis=1)
        return self._compiled("parallel", draw)(noise, sampling, backend.share(list(condition)), known)

    def _compiled(self, piece, function, *sizes):
        return self._model.compiled_function(function, key=(piece, self.method == "full", self._sampler, *sizes))
