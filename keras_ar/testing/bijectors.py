"""The claims that every bijector must meet, as functions that raise `AssertionError`.

Each check tries out copies with random weights, and leaves the bijector as it was.
"""

import math

import numpy as np
from keras import ops

from keras_ar import backend, noise

__all__ = ["BIJECTOR_CHECKS"]


def check_bijector_inverts(bijector, event_shape=(6,), condition_shape=None):
    """`from_noise` undoes `to_noise` and the other way round, and both return one `log_det` for one pair."""
    bijector, events, condition = _random(bijector, 8, event_shape, condition_shape)
    noise_shape = _computed(bijector.to_noise, events, *condition)[0].shape
    pairs = [
        ("from_noise", bijector.from_noise, "to_noise", bijector.to_noise, events),
        ("to_noise", bijector.to_noise, "from_noise", bijector.from_noise, _normal(noise_shape)),
    ]
    for undo_name, undo, do_name, do, start in pairs:
        there, log_det = _computed(do, start, *condition)
        back, same_log_det = _computed(undo, there, *condition)
        error = np.abs(back - start).max()
        assert error < 1e-4 * (1 + np.abs(start).max()), (
            f"`{undo_name}` of {bijector.name} must undo `{do_name}`. It is off by {error:.3g}."
        )
        error = np.abs(same_log_det - log_det).max()
        assert error < 1e-3 * (1 + np.abs(log_det).max()), (
            f"`to_noise` and `from_noise` of {bijector.name} must return the same log |det dz/dx| for the same pair of "
            f"x and z. They differ by {error:.3g}: {log_det[0]:.4g} from `{do_name}`, {same_log_det[0]:.4g} from "
            f"`{undo_name}`."
        )


def check_bijector_log_det(bijector, event_shape=(6,), condition_shape=None):
    """`log_det` is the logarithm of the determinant of the Jacobian, float32, one number for each event."""
    count, size = 4, math.prod(event_shape)
    bijector, events, condition = _random(bijector, count, event_shape, condition_shape)
    z, log_det = _computed(bijector.to_noise, events, *condition)
    assert log_det.shape == (count,) and log_det.dtype == "float32", (
        f"`log_det` of {bijector.name} must be float32 of shape (batch,) = ({count},). "
        f"Received: shape {log_det.shape}, dtype {log_det.dtype}."
    )
    assert z.size == events.size, (
        f"{bijector.name} must map an event to noise of as many entries. "
        f"Received: events of shape {events.shape}, noise of shape {z.shape}."
    )
    conditions = [ops.convert_to_tensor(c) for c in condition]
    # Of a map without a gradient it is that of the other way.
    function, start, sign = (bijector.from_noise, z, -1) if bijector.loops_to_noise else (bijector.to_noise, events, 1)
    jacobian = backend.jacobian(lambda x: function(x, *conditions)[0], start)
    jacobian = jacobian.reshape(count, size, count, size)[np.arange(count), :, np.arange(count)]
    expected = sign * np.linalg.slogdet(jacobian.astype("float64"))[1]
    error = np.abs(log_det - expected).max()
    assert error < 1e-3 * (1 + np.abs(expected).max()), (
        f"`log_det` of {bijector.name} must be log |det dz/dx| of `to_noise`, here {expected[0]:.4g}. "
        f"Received: {log_det[0]:.4g} (off by up to {error:.3g})."
    )


def check_bijector_alone_and_in_batch(bijector, event_shape=(6,), condition_shape=None):
    """An event is mapped alike alone and in a batch of any size."""
    bijector, events, condition = _random(bijector, 5, event_shape, condition_shape)
    together = _computed(bijector.to_noise, events, *condition)
    alone = _computed(bijector.to_noise, events[:1], *(c[:1] for c in condition))
    for what, whole, single in zip(("noise", "`log_det`"), together, alone, strict=True):
        assert np.allclose(whole[:1], single, rtol=1e-4, atol=1e-4), (
            f"The {what} of an event under {bijector.name} depends on the batch that the event is in."
        )


def check_bijector_round_trip(bijector, event_shape=(6,), condition_shape=None):
    """A copy made from `get_config` has the same config and, with the same weights, computes as the original."""
    copy, events, condition = _random(bijector, 3, event_shape, condition_shape)
    if not bijector.built:
        bijector(events, *condition)
    assert copy.get_config() == bijector.get_config(), f"{bijector.name}: `get_config` changes on a round trip."
    weights = bijector.get_weights()
    bijector.set_weights(copy.get_weights())
    try:
        outputs = [_computed(each.to_noise, events, *condition) for each in (bijector, copy)]
    finally:
        bijector.set_weights(weights)
    for one, other in zip(*outputs, strict=True):
        assert np.allclose(one, other, atol=1e-6), f"A copy of {bijector.name} made from its config computes otherwise."


def check_bijector_every_weight_learns(bijector, event_shape=(6,), condition_shape=None):
    """Every weight has a gradient of the likelihood under normal noise."""
    bijector, *batch = _random(bijector, 16, event_shape, condition_shape)
    gradients = _gradients(bijector, *batch)
    dead = [v.path for v, g in zip(bijector.trainable_variables, gradients, strict=True) if not np.any(g)]
    assert not dead, f"Weights of {bijector.name} without a gradient: {', '.join(dead)}."


def check_bijector_extremes(bijector, event_shape=(6,), condition_shape=None):
    """Values, `log_det` and gradients stay finite with weights a hundred times too large, and far-off events."""
    bijector, events, condition = _random(bijector, 8, event_shape, condition_shape)
    bijector.set_weights([100.0 * w if w.dtype.kind == "f" else w for w in bijector.get_weights()])
    far = _on_support(bijector, 1000.0 * np.sign(_normal(events.shape)))
    z, log_det = _computed(bijector.to_noise, far, *condition)
    assert np.isfinite(z).all() and np.isfinite(log_det).all(), (
        f"`to_noise` of {bijector.name} is not finite at {far.min():.6g} and {far.max():.6g}."
    )
    # A uniform of 24 bits becomes normal noise within ±5.3.
    x, log_det = _computed(bijector.from_noise, 5.3 * np.sign(_normal(z.shape)), *condition)
    assert np.isfinite(x).all() and np.isfinite(log_det).all(), (
        f"`from_noise` of {bijector.name} is not finite at ±5.3."
    )
    gradients = _gradients(bijector, events, condition)
    assert all(np.isfinite(g).all() for g in gradients), f"A gradient of {bijector.name} is not finite."


def check_bijector_mixed_precision(bijector, event_shape=(6,), condition_shape=None):
    """Under `mixed_bfloat16` noise and `log_det` are float32, close to those of float32."""
    bijector, events, condition = _random(bijector, 8, event_shape, condition_shape)
    mixed, *_ = _random(bijector, 8, event_shape, condition_shape, dtype="mixed_bfloat16")
    mixed.set_weights(bijector.get_weights())
    # Called as a layer, since that is when Keras casts weights.
    expected, found = (_computed(b.__call__, events, *condition) for b in (bijector, mixed))
    for what, exact, rounded in zip(("noise", "`log_det`"), expected, found, strict=True):
        assert rounded.dtype == "float32", (
            f"The {what} of {bijector.name} must be float32 under mixed_bfloat16. Received: {rounded.dtype}."
        )
        error = np.abs(rounded - exact).max()
        assert error < 0.05 * (1 + np.abs(exact).max()), (
            f"The {what} of {bijector.name} under mixed_bfloat16 is off by {error:.3g}."
        )


# What the checks are made of.


def _random(bijector, num_events, event_shape, condition_shape, **config):
    """A copy of the bijector with random weights, random events, and a list of conditions, if it takes any."""
    copy = type(bijector).from_config({**bijector.get_config(), **config})
    events = _on_support(bijector, _normal((num_events, *event_shape)))
    condition = [] if condition_shape is None else [_normal((num_events, *condition_shape), seed=1)]
    copy(events, *condition)  # makes the weights
    noise.randomize(copy)
    return copy, events, condition


def _on_support(bijector, values):
    """Real values, squeezed in between the ends of the support, if there are any, but not onto them."""
    low, high = bijector.support.low, bijector.support.high
    if math.isfinite(low) and math.isfinite(high):
        share = 1.0 / (1.0 + np.exp(-values.clip(-15.0, 15.0).astype("float64")))
        return (low + (high - low) * share).astype("float32")
    if math.isfinite(low):
        return low + np.abs(values)
    return high - np.abs(values) if math.isfinite(high) else values


def _normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _computed(function, *arrays):
    """The pair that a method of a bijector returns, as NumPy arrays."""
    tensors = map(ops.convert_to_tensor, arrays)
    return [ops.convert_to_numpy(y) for y in backend.once(function, *tensors, owner=function.__self__)]


def _gradients(bijector, events, condition):
    """Gradients of the mean log-likelihood under normal noise, for all the weights that learn."""
    if not bijector.trainable_variables:
        return []

    function, sign = (bijector.from_noise, -1) if bijector.loops_to_noise else (bijector.to_noise, 1)

    def log_prob(x, *condition):
        z, log_det = function(x, *condition)
        squares = ops.sum(ops.square(ops.reshape(z, (len(events), -1))), axis=-1)
        return sign * ops.mean(log_det) - 0.5 * ops.mean(squares)

    gradient = backend.gradient_function(log_prob, bijector.trainable_variables)
    found = gradient(events, *condition)
    return [
        np.zeros(variable.shape, "float32") if value is None else ops.convert_to_numpy(value)
        for value, variable in zip(found, bijector.trainable_variables, strict=True)
    ]


def _always(bijector):
    return True


BIJECTOR_CHECKS = {
    check_bijector_inverts: _always,
    check_bijector_log_det: _always,
    check_bijector_alone_and_in_batch: _always,
    check_bijector_round_trip: _always,
    check_bijector_every_weight_learns: _always,
    check_bijector_extremes: _always,
    check_bijector_mixed_precision: _always,
}
