"""How to draw from an autoregressive model, given noise.

Three ways, one answer:

- `stepwise`: `model.start` and `model.step`, one position after the other;
- `parallel`: guess all positions, recompute all of them from the guess by one
  whole pass, repeat until nothing changes. Position `i` is right after pass `i`
  at the latest, because it only depends on those before it;
- `full`: a whole pass for each position. Slow, always right: the reference.

All are pure functions of tensors. Values are in step layout, shape
`(steps, batch, *head.event_shape)`; noise has shape `(steps, batch, num_uniforms)`.
`shaping` says from what is drawn: `{"temperature": 1.0}`, with `top_k` or `top_p` where only
the most probable levels count.
"""

from keras import ops

from keras_ar import backend


class Stepwise:
    """Steps by the model's own `start` and `step`."""

    def __init__(self, model, num_steps):
        self.start, self.step, self.loop = model.start, model.step, backend.Loop(model)


class Full:
    """Steps by a whole pass over the model for each position."""

    def __init__(self, model, num_steps):
        self.model, self.num_steps, self.loop = model, num_steps, backend.Loop(model)

    def start(self, batch_size, condition=None):
        model = self.model
        values = ops.zeros((batch_size, self.num_steps, *model.head.event_shape), model.head.dtype)
        return {"values": values, "condition": () if condition is None else (condition,)}

    def step(self, state, t, previous):
        model = self.model
        steps = ops.reshape(ops.arange(self.num_steps), (-1, *(1 for _ in model.head.event_shape)))
        values = ops.where(steps == t - 1, ops.expand_dims(previous, 1), state["values"])
        params = model.to_steps(model(model.from_steps(values), *state["condition"]), values_in=False)
        return params[:, t], {**state, "values": values}


def begin(model, stepper, noise, *condition):
    """What the drawing of a batch carries from step to step, before the first."""
    batch_size = noise.shape[1]
    return {
        "state": stepper.start(batch_size, *condition),
        "previous": ops.zeros((batch_size, *model.head.event_shape), model.head.dtype),
        "log_prob": ops.zeros((batch_size,), "float32"),
    }


def resume(model, prompt, *condition):
    """What the drawing of a batch carries behind a prompt, of shape `(batch, steps, ...)`; see `SequenceModel`."""
    return {
        "state": model.prime(prompt, *condition),
        "previous": prompt[:, -1],
        "log_prob": ops.zeros((prompt.shape[0],), "float32"),
    }


def advance(model, stepper, carry, first, last, rows, shaping, count=0):
    """Draws the steps `first, ..., last - 1`.

    `rows` has the noise, which begins with that of step `first` and may be longer; and where the first
    `count` steps are known, the values, alike: those are taken as they are, and have no part in the log-probability.

    Returns:
        The values, of the length of the noise, and the carry for going on.
    """
    head = model.head

    def body(t, carry, row, shaping, count):
        noise, *known = row
        params, state = stepper.step(carry["state"], t, carry["previous"])
        params = shaped(head, params, shaping)
        value = ops.cast(head.sample(params, noise), head.dtype)
        log_prob = carry["log_prob"] + head.log_prob(params, value)
        if known:
            value, log_prob = backend.when(t < count, lambda _: (*known, carry["log_prob"]), (value, log_prob))
        return {"state": state, "previous": value, "log_prob": log_prob}, value

    values = ops.zeros((*rows[0].shape[:2], *head.event_shape), head.dtype)
    return stepper.loop(body, first, last, carry, rows, values, (shaping, count))


def parallel(model, noise, shaping, condition=(), given=None):
    """Draws all steps at once, by fixed-point iteration; `given` as in `advance`.

    Returns:
        The values, their log-probabilities, and the number of passes.
    """
    head = model.head
    noise = ops.swapaxes(noise, 0, 1)  # (batch, steps, num_uniforms)

    def redraw(values):
        params = model.to_steps(model(model.from_steps(values), *condition), values_in=False)
        params = shaped(head, params, shaping)
        drawn = ops.cast(head.sample(params, noise), head.dtype)
        log_prob = head.log_prob(params, drawn)
        if given is not None:
            known, count = ops.swapaxes(given[0], 0, 1), given[1]
            is_known = ops.arange(noise.shape[1]) < count
            drawn = ops.where(ops.reshape(is_known, (-1, *(1 for _ in head.event_shape))), known, drawn)
            log_prob = ops.where(is_known, 0.0, log_prob)
        return drawn, ops.sum(log_prob, axis=1)

    def body(passes, values, log_prob, unchanged):
        drawn, log_prob = redraw(values)
        return passes + 1, drawn, log_prob, ops.all(drawn == values)

    def unfinished(passes, values, log_prob, unchanged):
        return ops.logical_not(unchanged)

    batch_size, num_steps = noise.shape[:2]
    passes, values, log_prob, _ = ops.while_loop(
        unfinished,
        body,
        (
            ops.zeros((), "int32"),
            ops.zeros((batch_size, num_steps, *head.event_shape), head.dtype),
            ops.zeros((batch_size,), "float32"),
            ops.zeros((), "bool"),
        ),
        maximum_iterations=num_steps + 1,
    )
    return ops.swapaxes(values, 0, 1), log_prob, passes


def shaped(head, params, shaping):
    """Parameters of what is drawn from: tempered, and cut to the most probable levels."""
    params = head.temper(ops.cast(params, "float32"), shaping["temperature"])
    limits = {name: limit for name, limit in shaping.items() if name != "temperature"}
    return head.truncate(params, **limits) if limits else params


def compiled(model, function, method=None, num_steps=None):
    """One of the functions above, for this model, compiled once for each way of stepping and all argument shapes."""
    num_steps = num_steps or model.num_steps
    key = (function.__name__, method, num_steps if method == "full" else None)
    if key not in model.compiled_functions:
        steppers = {"stepwise": Stepwise, "full": Full}
        bound = [steppers[method](model, num_steps)] if method else []
        model.compiled_functions[key] = backend.compiled(model, lambda *args: function(model, *bound, *args))
    return model.compiled_functions[key]
