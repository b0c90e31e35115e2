"""The claims that every causal layer must meet, as functions that raise `AssertionError`.

Each check takes a layer and the shape of its input without the batch: positions first, features last; a
layer of several inputs is given a list of shapes.
"""

import math

import keras
import numpy as np
from keras import ops, tree

from keras_ar import backend, noise
from keras_ar.layers import CausalLayer
from keras_ar.testing import tools

__all__ = ["LAYER_CHECKS"]


def check_layer_is_causal_layer(layer, input_shape=(6, 2)):
    """It is a `CausalLayer`: else nothing is known of how it steps."""
    assert isinstance(layer, CausalLayer), (
        f"{layer.name} must be a subclass of keras_ar.layers.CausalLayer. Received: {type(layer).__mro__[:-1]}."
    )


def check_layer_round_trip(layer, input_shape=(6, 2)):
    """A copy made from `get_config` has the same config and, with the same weights, the outputs of the original."""
    copy, x = _random_layer(layer, input_shape)
    if not layer.built:
        _build(layer, input_shape)
    assert copy.get_config() == layer.get_config(), f"{layer.name}: `get_config` changes on a round trip."
    weights = layer.get_weights()
    layer.set_weights(copy.get_weights())
    try:
        outputs = [tree.flatten(tools.computed(twin, x, owner=twin)) for twin in (layer, copy)]
    finally:
        layer.set_weights(weights)
    for one, other in zip(*outputs, strict=True):
        assert np.allclose(one, other, atol=1e-6), f"A copy of {layer.name} made from its config computes otherwise."
    if not _has_several_inputs(input_shape) and len(outputs[0]) == 1:
        said, shape = layer.compute_output_shape((len(x), *input_shape)), outputs[0][0].shape
        # Some layers of Keras answer with the batch that they were built for.
        assert tuple(said[1:]) == shape[1:], f"`compute_output_shape` of {layer.name} must say {shape}."


def check_layer_causal(layer, input_shape=(6, 2)):
    """The output at a position sees earlier ones only, and its own unless the layer is strict."""
    layer, x = _random_layer(layer, input_shape, count=1)
    n = math.prod(_positions(layer, input_shape))
    for i in range(len(tree.flatten(layer.compute_output_spec(keras.KerasTensor(x.shape))))):

        def output(x, i=i):
            y = tree.flatten(layer(ops.reshape(x, (-1, *input_shape))))[i]
            return ops.reshape(y, (-1, n, tools.size(y.shape[1:]) // n))

        sees = tools.sees_by_gradient(output, x.reshape(1, n, -1))
        leaks = np.argwhere(np.triu(sees > 1e-6 * max(1.0, sees.max()), 0 if layer.strict else 1))
        if len(leaks):
            first = ", ".join(f"position {i} sees position {j}" for i, j in leaks[:5])
            raise AssertionError(f"{layer.name} is not causal: {first} ({len(leaks)} leaks in all).")


def check_layer_step_equals_call(layer, input_shape=(6, 2)):
    """`prepare`, `start` and `step` compute what `call` computes; a strict layer is given the input before."""
    layer, x = _random_layer(layer, input_shape)
    n = _num_steps(layer, input_shape)

    def compute(x):
        constants, state, outputs = layer.prepare(), layer.start(3, n), []
        for t in range(n):
            y, state = layer.step(constants, state, t, layer.take(x, t - layer.strict))
            outputs.append(y)
        y = layer(x)
        return outputs, [layer.take(y, t) for t in range(n)]

    _assert_equal_by_step(f"`step` of {layer.name}", *tools.computed(compute, x, owner=layer))


def check_layer_prefill_equals_call(layer, input_shape=(6, 2)):
    """`prefill` of the first positions computes what `call` computes, and leaves the state for those that follow."""
    layer, x = _random_layer(layer, input_shape)
    n = _num_steps(layer, input_shape)
    for count in sorted({1, n // 2, n - 1}):

        def compute(x, count=count):
            constants = layer.prepare()
            outputs, state = layer.prefill(constants, layer.start(3, n), _stack(layer, x, count))
            found = [tree.map_structure(lambda y, t=t: y[:, t], outputs) for t in range(count)]
            for t in range(count, n):
                y, state = layer.step(constants, state, t, layer.take(x, t - layer.strict))
                found.append(y)
            y = layer(x)
            return found, [layer.take(y, t) for t in range(n)]

        what = f"`prefill` of {layer.name} with {count} positions"
        _assert_equal_by_step(what, *tools.computed(compute, x, owner=layer))


def check_layer_compiles_and_learns(layer, input_shape=(6, 2)):
    """Compiled, and in training, a layer computes what it computes uncompiled; every weight has a gradient."""
    layer, x = _random_layer(layer, input_shape)
    n = _num_steps(layer, input_shape)

    def whole(x):
        return _stack(layer, layer(x), n) if layer.steppable else layer(x)

    def loop(x):
        return CausalLayer.prefill(layer, layer.prepare(), layer.start(3, n), _stack(layer, x, n))[0]

    def for_training(x):
        with backend.needing_gradients(True):
            return whole(x)

    functions = {
        "`call`": whole,
        "`call` for training": for_training,
        **({"a loop of steps": loop} if layer.steppable else {}),
    }
    expected = tree.flatten(tools.computed(whole, x, owner=layer))
    for what, function in functions.items():
        found = tree.flatten(backend.compiled(layer, function)(x))
        for one, other in zip(found, expected, strict=True):
            error = np.abs(ops.convert_to_numpy(one) - other).max()
            assert error < 1e-4, f"Compiled, {what} of {layer.name} is off by {error:.3g}."

    variables = layer.trainable_variables
    if not variables:
        return
    gradient = _gradient(whole, variables)
    dead = {variable.path for variable in variables}
    for seed in range(3):  # a few units may be dead by chance
        noise.randomize(layer, seed)
        dead -= {v.path for v, g in zip(variables, gradient(x), strict=True) if np.any(g)}
        if not dead:
            return
    raise AssertionError(f"Weights of {layer.name} without a gradient: {', '.join(sorted(dead))}.")


def check_layer_mixed_precision(layer, input_shape=(6, 2)):
    """Under `mixed_bfloat16` a layer computes in bfloat16, close to float32, by call and by step."""
    exact, x = _random_layer(layer, input_shape)
    mixed, _ = _random_layer(layer, input_shape, dtype="mixed_bfloat16")
    mixed.set_weights(exact.get_weights())
    assert mixed.compute_dtype == "bfloat16", f"{layer.name} does not take `dtype`: hand it on to the base."
    expected, found = (tree.flatten(tools.computed(twin, x, owner=twin)) for twin in (exact, mixed))
    for one, other in zip(expected, found, strict=True):
        assert "bfloat16" in str(other.dtype), f"Outputs of {layer.name} under mixed_bfloat16 are {other.dtype}."
        error = np.abs(other.astype("float32") - one).max()
        assert error < 2.0**-4 * (1 + np.abs(one).max()), f"{layer.name} under mixed_bfloat16 is off by {error:.3g}."
    if mixed.steppable:

        def states(x):
            state = mixed.start(3, _num_steps(mixed, input_shape))
            return state, mixed.step(mixed.prepare(), state, 0, mixed.take(x, 0))[1]

        state, following = tools.computed(states, x, owner=mixed)
        tree.assert_same_structure(state, following)
        for before, after in zip(tree.flatten(state), tree.flatten(following), strict=True):
            assert before.dtype == after.dtype, (
                f"A step of {layer.name} turns a state of {before.dtype} to {after.dtype}."
            )


# What the checks are made of.


def _has_several_inputs(input_shape):
    return isinstance(input_shape[0], list | tuple)


def _positions(layer, input_shape):
    """Shape of the positions that a layer steps through: all axes but the last, or the rows of an image."""
    return input_shape[:1] if layer.by_row else input_shape[:-1]


def _num_steps(layer, input_shape):
    shapes = input_shape if _has_several_inputs(input_shape) else [input_shape]
    return max(math.prod(_positions(layer, shape)) for shape in shapes)


def _stack(layer, x, count):
    """The first positions of inputs or outputs, as `prefill` takes and gives them."""
    return tree.map_structure(lambda *each: ops.stack(each, axis=1), *(layer.take(x, t) for t in range(count)))


def _gradient(function, variables):
    """The gradient of the outputs' square sum: a function that returns NumPy arrays."""
    gradient = backend.gradient_function(
        lambda x: sum(ops.sum(ops.square(y)) for y in tree.flatten(function(x))), variables
    )

    def as_arrays(x):
        return [
            np.zeros(v.shape, "float32") if g is None else ops.convert_to_numpy(g)
            for v, g in zip(variables, gradient(x), strict=True)
        ]

    return as_arrays


def _random_layer(layer, input_shape, count=3, dtype=None):
    """A copy of the layer with random weights, and a random input."""
    rng = np.random.default_rng(0)
    shapes = input_shape if _has_several_inputs(input_shape) else [input_shape]
    x = [rng.normal(size=(count, *shape)).astype("float32") for shape in shapes]
    x = x if _has_several_inputs(input_shape) else x[0]
    config = layer.get_config()
    copy = type(layer).from_config(tools.with_dtype(config, dtype) if dtype else config)
    _build(copy, input_shape)
    noise.randomize(copy)
    return copy, x


def _build(layer, input_shape):
    several = _has_several_inputs(input_shape)
    backend.make_weights(
        lambda *x: layer(list(x) if several else x[0]),
        *(keras.KerasTensor((1, *shape)) for shape in (input_shape if several else [input_shape])),
    )


def _assert_equal_by_step(what, found, expected):
    for t, (one, other) in enumerate(zip(found, expected, strict=True)):
        for y, z in zip(tree.flatten(one), tree.flatten(other), strict=True):
            assert y.shape == z.shape, f"{what} gives shape {y.shape} at position {t}, `call` {z.shape}."
            error = np.abs(y - z).max()
            assert error < 1e-4, f"{what} disagrees with `call` at position {t}, by {error:.3g}."


# Which checks apply. Each is asked with the layer and the shape of its input.


def _always(layer, input_shape):
    return True


def _steps(layer, input_shape):
    return isinstance(layer, CausalLayer) and layer.steppable


def _has_one_input(layer, input_shape):
    return isinstance(layer, CausalLayer) and not _has_several_inputs(input_shape)


LAYER_CHECKS = {
    check_layer_is_causal_layer: _always,
    check_layer_round_trip: _always,
    check_layer_causal: _has_one_input,
    check_layer_step_equals_call: _steps,
    # The `prefill` of the base is a loop of steps, which other checks compare.
    check_layer_prefill_equals_call: lambda layer, input_shape: (
        _steps(layer, input_shape) and type(layer).prefill is not CausalLayer.prefill
    ),
    check_layer_compiles_and_learns: lambda layer, input_shape: isinstance(layer, CausalLayer),
    check_layer_mixed_precision: lambda layer, input_shape: isinstance(layer, CausalLayer),
}
