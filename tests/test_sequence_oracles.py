"""The layers and models of sequences compute what the papers say: against `sequence_reference.py`."""

import numpy as np
import pytest
import sequence_reference
from keras import ops

from keras_ar import heads, layers, models, noise


def numpy(tensor):
    return ops.convert_to_numpy(ops.convert_to_tensor(tensor)).astype("float64")


def weights(layer):
    return tuple(numpy(weight) for weight in layer.weights)


def randomized(layer):
    """The layer with weights of twice the usual size, so that nonlinearities bend what they are given."""
    noise.randomize(layer)
    for variable in layer.trainable_variables:
        variable.assign(2.0 * ops.convert_to_numpy(variable))
    return layer


@pytest.mark.parametrize("kernel_size", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("strict", [False, True])
def test_a_causal_convolution_sees_each_tap_where_it_lies(kernel_size, dilation, strict):
    x = np.random.default_rng(0).normal(size=(2, 11, 3)).astype("float32")
    layer = layers.CausalConv1D(4, kernel_size, dilation, strict=strict)
    layer.build(x.shape)
    randomized(layer)
    expected = [sequence_reference.causal_convolution(one, *weights(layer), dilation, strict) for one in x]
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "condition"),
    [
        ({"dilations": (1, 2, 4)}, {}),
        ({"dilations": (3, 1), "kernel_size": 3, "skip_filters": 5}, {"condition_shape": (2,)}),
        ({"dilations": (1, 2)}, {"num_classes": 3}),
        ({"dilations": (1, 2)}, {"condition_shape": (3, 2)}),
        ({"dilations": (1, 2), "upsampling": (2, 3)}, {"condition_shape": (2, 2)}),
    ],
    ids=["plain", "vector", "classes", "rows", "upsampling"],
)
def test_wavenet_is_that_of_the_paper(options, condition):
    model = randomized(models.WaveNet(12, filters=3, head=heads.Categorical(4), **condition, **options))
    blocks = [
        {
            "dilation": block.dilation_rate,
            "convolution": weights(block.convolution),
            "out": weights(block.out),
            "condition_bias": numpy(block.condition_bias.kernel) if condition else None,
        }
        for block in model.blocks
    ]

    def params_of(x, condition=None):
        for layer, times in zip(model.upsample, model.upsampling, strict=True):
            condition = sequence_reference.upsampled(condition, *weights(layer), times)
        if condition is not None and condition.ndim == 2:
            condition = np.repeat(condition, len(x) // len(condition), axis=0)  # a row for every few steps
        rest = weights(model.hidden), weights(model.to_params)
        return sequence_reference.wavenet(x, weights(model.stem), blocks, *rest, condition)

    assert_params(model, params_of)


@pytest.mark.parametrize("condition", [{"condition_shape": 2}, {"num_classes": 3}], ids=["vector", "classes"])
def test_window_mlp_is_a_network_over_a_window(condition):
    model = randomized(models.WindowMLP(9, window=4, hidden_units=(5, 3), activation="tanh", **condition))

    def params_of(x, condition):
        hidden = [weights(layer) for layer in model.hidden]
        bias = condition @ numpy(model.condition_bias.kernel)
        return sequence_reference.window_mlp(x, weights(model.stem), hidden, weights(model.to_params), np.tanh, bias)

    assert_params(model, params_of)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_char_rnn_is_a_stack_of_recurrent_layers(cell):
    model = randomized(models.CharRNN(9, vocabulary="abcd", units=4, embedding_dim=3, cell=cell, num_classes=3))

    def params_of(x, condition):
        recurrent = [weights(layer) for layer in model.recurrent]
        bias = condition @ numpy(model.condition_bias.kernel)
        return sequence_reference.char_rnn(
            x, numpy(model.embedding.embeddings), recurrent, weights(model.to_params), cell, bias
        )

    assert_params(model, params_of, encoded=False)


@pytest.mark.parametrize("window", [3, 50])
def test_a_char_rnn_with_a_pointer_mixes_what_followed_alike_steps(window):
    options = {"units": 4, "embedding_dim": 3, "cell": "gru", "copy_window": window}
    model = randomized(models.CharRNN(9, vocabulary="abcd", **options))
    to_keys, to_gate, log_scale = (model.pointer.to_keys, model.pointer.to_gate, model.pointer.log_scale)

    def params_of(x):
        outputs = [numpy(model.embedding.embeddings)[[4, *x[:-1]]]]
        for layer in model.recurrent:
            outputs.append(sequence_reference.gru(outputs[-1], *weights(layer)))
        logits, features = sequence_reference.dense(outputs[-1], *weights(model.to_params)), np.hstack(outputs[1:])
        pointer = numpy(to_keys.kernel), np.exp(numpy(log_scale)), *weights(to_gate)
        return sequence_reference.pointer(logits, features, x, *pointer, window)

    assert_params(model, params_of, encoded=False)


def test_a_pointer_does_not_round_levels_in_mixed_precision():
    pointer = layers.Pointer(300, dtype="mixed_bfloat16")  # of which 257 would be 256
    x = ops.convert_to_tensor([[257.0, 259.0, 257.0, 0.0]], "float32")
    found = numpy(pointer(ops.zeros((1, 4, 300)), ops.ones((1, 4, 5)), x))[0, 3]
    assert set(np.argsort(found)[-2:]) == {257, 259}


def assert_params(model, params_of, encoded=True):
    """Compares with `params_of(x, condition)`, where `x` is what `encode_steps` makes, or an event as it is."""
    events, *condition = model.random_batch(2)
    found = numpy(model(events, *condition))
    inputs = numpy(model.encode_steps(ops.convert_to_tensor(events))) if encoded else events
    if model.num_classes:
        condition = [np.eye(model.num_classes)[condition[0]]]
    expected = [params_of(*one) for one in zip(inputs, *(c.astype("float64") for c in condition), strict=True)]
    assert np.std(expected, axis=(0, 1)).min() > 1e-2, "parameters that hardly vary would hide what is wrong"
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)
