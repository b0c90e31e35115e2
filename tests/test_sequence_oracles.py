"""The layers and models of sequences compute what the papers say: against `sequence_reference.py`."""

import numpy as np
import pytest
import sequence_reference
from keras import ops

from keras_ar import heads, layers, models
from keras_ar.testing import checks


def numpy(tensor):
    return ops.convert_to_numpy(ops.convert_to_tensor(tensor)).astype("float64")


def weights(layer):
    return tuple(numpy(weight) for weight in layer.weights)


def randomised(layer):
    checks.randomise(layer)
    for variable in layer.trainable_variables:
        variable.assign(2.0 * variable)
    return layer


@pytest.mark.parametrize("kernel_size", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("strict", [False, True])
def test_a_causal_convolution_sees_each_tap_where_it_lies(kernel_size, dilation, strict):
    x = np.random.default_rng(0).normal(size=(2, 11, 3)).astype("float32")
    layer = layers.CausalConv1D(4, kernel_size, dilation, strict=strict)
    layer.build(x.shape)
    randomised(layer)
    expected = [sequence_reference.causal_convolution(one, *weights(layer), dilation, strict) for one in x]
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "condition_shape"),
    [
        ({"dilations": (1, 2, 4)}, None),
        ({"dilations": (3, 1), "kernel_size": 3, "skip_filters": 5}, (2,)),
        ({"dilations": (1, 2)}, (3, 2)),
        ({"dilations": (1, 2), "upsampling": (2, 3)}, (2, 2)),
    ],
    ids=["plain", "vector", "rows", "upsampling"],
)
def test_wavenet_is_that_of_the_paper(options, condition_shape):
    model = randomised(
        models.WaveNet(12, filters=3, head=heads.Categorical(4), condition_shape=condition_shape, **options)
    )
    blocks = [
        {
            "dilation": block.dilation_rate,
            "convolution": weights(block.convolution),
            "out": weights(block.out),
            "condition": numpy(block.from_condition.kernel) if condition_shape else None,
        }
        for block in model.blocks
    ]

    def params_of(x, condition=None):
        for enlarge, times in zip(model.enlarge, model.upsampling, strict=True):
            condition = sequence_reference.enlarged(condition, *weights(enlarge), times)
        if condition is not None and condition.ndim == 2:
            condition = np.repeat(condition, len(x) // len(condition), axis=0)  # a row for every few steps
        rest = weights(model.mix), weights(model.to_params)
        return sequence_reference.wavenet(x, weights(model.look), blocks, *rest, condition)

    assert_params(model, params_of)


def test_window_mlp_is_a_network_over_a_window():
    model = randomised(models.WindowMLP(9, window=4, hidden_units=(5, 3), activation="tanh", condition_shape=2))

    def params_of(x, condition):
        hidden = [weights(layer) for layer in model.hidden]
        told = condition @ numpy(model.from_condition.kernel)
        return sequence_reference.window_mlp(x, weights(model.look), hidden, weights(model.to_params), np.tanh, told)

    assert_params(model, params_of)


def assert_params(model, params_of):
    events, *condition = checks.random_events(model, 2)
    found = numpy(model(events, *condition))
    inputs = numpy(model.encode_steps(ops.convert_to_tensor(events)))
    expected = [params_of(*one) for one in zip(inputs, *(c.astype("float64") for c in condition), strict=True)]
    assert np.std(expected, axis=(0, 1)).min() > 1e-2, "parameters that hardly vary would hide what is wrong"
    np.testing.assert_allclose(found, expected, atol=2e-5)
