"""Layers with kernels take initializers, regularizers and constraints as `keras.layers.Dense` does."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_ar import layers, registry

# Each layer with small arguments, and the shapes that it is built for: inputs, a shortcut or a condition.
SEQUENCE, IMAGE, CONDITION = (None, 6, 3), (None, 3, 4, 4), (None, 2)
LAYERS = {
    layers.CausalAttention: ({"units": 4, "num_heads": 2}, [SEQUENCE]),
    layers.CausalConv1D: ({"filters": 3, "kernel_size": 2}, [SEQUENCE]),
    layers.CausalImageAttention: ({"units": 4, "num_heads": 2}, [IMAGE, IMAGE]),
    layers.DiagonalBiLSTM: ({"units": 2}, [IMAGE, CONDITION]),
    layers.GatedBlock: ({"filters": 4}, [(IMAGE, IMAGE), CONDITION]),
    layers.GatedResnet: ({"filters": 4, "kernel_size": (2, 3), "direction": "down"}, [IMAGE, IMAGE, CONDITION]),
    layers.MaskedConv2D: ({"filters": 3, "kernel_size": 3}, [IMAGE]),
    layers.MaskedDense: ({"units": 2, "mask": np.ones((3, 2))}, [(None, 3)]),
    layers.MaskedResidualBlock: ({"filters": 4}, [IMAGE]),
    layers.NADEDense: ({"units": 4, "outputs": 3}, [SEQUENCE]),
    layers.RowLSTM: ({"units": 2}, [IMAGE, CONDITION]),
    layers.ShiftedConv2D: ({"filters": 3, "kernel_size": (2, 3), "direction": "down"}, [IMAGE]),
    layers.ShiftedConv2DTranspose: (
        {"filters": 3, "kernel_size": 2, "direction": "down_right", "size": (5, 8)},
        [IMAGE],
    ),
    layers.TransformerBlock: ({"num_heads": 2}, [(None, 6, 4), (None, 5, 3)]),
    layers.TriangularDense: ({"units": 3}, [SEQUENCE]),
    layers.WaveNetBlock: ({"filters": 3, "skip_filters": 2, "dilation_rate": 2}, [SEQUENCE, (None, 6, 2)]),
    layers.WeightNormDense: ({"units": 3}, [SEQUENCE]),
}

OPTIONS = {
    "kernel_initializer": keras.initializers.Constant(0.25),
    "bias_initializer": keras.initializers.Constant(-0.5),
    "kernel_regularizer": keras.regularizers.L2(0.1),
    "bias_regularizer": keras.regularizers.L1(0.01),
    "kernel_constraint": keras.constraints.NonNeg(),
    "bias_constraint": keras.constraints.MaxNorm(2.0),
}


@pytest.fixture(params=LAYERS, ids=lambda kind: kind.__name__)
def layer(request):
    arguments, shapes = LAYERS[request.param]
    layer = request.param(**arguments, **OPTIONS)
    layer.build(*shapes)
    return layer


def kernels(layer):
    return [weight for weight in layer.trainable_weights if weight.name.endswith(("kernel", "state_to_state"))]


def biases(layer):
    return [weight for weight in layer.trainable_weights if weight.name.endswith("bias")]


def values(weight):
    return ops.convert_to_numpy(weight.value)


def test_every_layer_with_kernels_is_here():
    kinds = [entry.load() for entry in registry.entries("layers") if entry.distribution == "keras-ar"]
    assert {kind for kind in kinds if issubclass(kind, layers.KernelLayer)} == set(LAYERS)


@pytest.mark.one_backend
def test_initializers_are_used(layer):
    assert kernels(layer)
    assert all((values(weight) == 0.25).all() for weight in kernels(layer))
    assert biases(layer)
    assert all((values(weight) == -0.5).all() for weight in biases(layer))


@pytest.mark.one_backend
def test_regularizers_add_to_the_losses(layer):
    expected = sum(0.1 * values(weight).size * 0.25**2 for weight in kernels(layer))
    expected += sum(0.01 * values(weight).size * 0.5 for weight in biases(layer))
    np.testing.assert_allclose(sum(ops.convert_to_numpy(loss) for loss in layer.losses), expected, rtol=1e-5)


def test_constraints_hold_after_a_step_of_training(layer):
    weights = layer.trainable_weights
    optimizer = keras.optimizers.SGD(learning_rate=10.0)
    optimizer.apply([ops.ones(weight.shape) for weight in weights], weights)  # each goes down by ten, and is projected
    assert all((values(weight) == 0).all() for weight in kernels(layer))
    for weight in biases(layer):
        np.testing.assert_allclose(np.linalg.norm(values(weight), axis=0), 2.0, rtol=1e-4)


def test_the_config_keeps_all_options(layer):
    config = layer.get_config()
    for name, option in OPTIONS.items():
        assert config[name]["class_name"] == type(option).__name__
        assert config[name]["config"] == option.get_config()
    twin = type(layer).from_config(config)
    assert twin.get_config() == config
    twin.build(*LAYERS[type(layer)][1])
    for weight, of_twin in zip(layer.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(values(weight), values(of_twin))
