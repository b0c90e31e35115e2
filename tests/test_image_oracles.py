"""The image layers and models compute what the papers say: against `image_reference.py`."""

import image_reference
import numpy as np
import pytest
from keras import ops, tree

from keras_ar import backend, heads, layers, models, noise


def numpy(tensor):
    return ops.convert_to_numpy(ops.convert_to_tensor(tensor)).astype("float64")


def computed(function, *arrays):
    """`function` of arrays, run once, as float64 arrays."""
    return tree.map_structure(numpy, backend.once(function, *map(ops.convert_to_tensor, arrays)))


def random_inputs(*shape, seed=0):
    """Float64 numbers that float32 can tell: both sides see the same."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32").astype("float64")


def randomized(layer, *shapes):
    """The model with random weights, or the layer, which is built for inputs of these shapes."""
    if shapes:
        layer.build(*shapes)
    noise.randomize(layer)
    for variable in layer.trainable_variables:  # so large that no signal fades on its way through many layers
        variable.assign(2.0 * numpy(variable))
    return layer


def assert_close(found, expected, atol=2e-5):
    """Equal within rounding: float32 has 24 bits, and values are of the size of one."""
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


# Weights, as the reference takes them.


def masked(layer):
    """The whole kernel of the paper, and the bias: what the layer leaves out is NaN, which nobody may touch."""
    stored = numpy(layer.kernel)
    kernel = np.full((*layer.kernel_size, *stored.shape[2:]), np.nan)
    kernel[: stored.shape[0], : stored.shape[1]] = stored
    return kernel, numpy(layer.bias) if layer.use_bias else np.zeros(layer.filters)


def plain(layer):
    return numpy(layer.kernel), numpy(layer.bias)


def normalized(layer, outputs_axis=-1):
    kernel = image_reference.weight_normalized(numpy(layer.kernel), numpy(layer.gain), outputs_axis)
    return kernel, numpy(layer.bias)


def residual(block):
    return masked(block.reduce), masked(block.middle), masked(block.expand)


def gated(block):
    return {
        "vertical": plain(block.vertical),
        "horizontal": masked(block.horizontal),
        "vertical_to_horizontal": numpy(block.vertical_to_horizontal.kernel),
        "skip": masked(block.skip),
        "out": masked(block.out),
        "condition_biases": [numpy(dense.kernel) for dense in block.condition_biases if dense.built],
    }


def resnet(block):
    weights = {"first": normalized(block.first), "second": normalized(block.second)}
    if block.from_shortcut.built:
        weights["shortcut"] = normalized(block.from_shortcut)
    if block.condition_bias.built:
        weights["condition_bias"] = numpy(block.condition_bias.kernel)
    return weights


def lstm(layer):
    """Weights of a Row LSTM or a Diagonal BiLSTM."""
    by_name = {name: getattr(layer, name) for name in ("state_to_state", "initial_h", "initial_cell")}
    weights = {name: tree.map_structure(numpy, weight) for name, weight in by_name.items()}
    if isinstance(layer, layers.RowLSTM):
        weights["state_to_state"] = weights["state_to_state"].reshape(layer.kernel_size, layer.units, -1)
    weights["input_to_state"] = masked(layer.input_to_state)
    if layer.residual:
        weights["out"] = masked(layer.out)
    if layer.condition_bias.built:
        weights["condition_bias"] = numpy(layer.condition_bias.kernel)
    return weights


LSTMS = {layers.RowLSTM: image_reference.row_lstm, layers.DiagonalBiLSTM: image_reference.diagonal_bilstm}


def plus_plus(model):
    """The scales, each within the finer one, as a list of steps that are taken one after the other."""
    down, up, level = [], [], model.level
    while level:
        down += [("resnet", resnet(u), resnet(h)) for u, h in zip(level.down_u, level.down_h, strict=True)]
        up = [("resnet", resnet(u), resnet(h)) for u, h in zip(level.up_u, level.up_h, strict=True)] + up
        if level.below:
            down.append(("downsample", normalized(level.downsample_u), normalized(level.downsample_h)))
            up = [("upsample", normalized(level.upsample_u, 2), normalized(level.upsample_h, 2)), *up]
        level = level.below
    return {
        "vertical": normalized(model.stem_vertical),
        "above": normalized(model.stem_above),
        "left": normalized(model.stem_left),
        "down": down,
        "up": up,
        "to_params": normalized(model.to_params),
    }


def assert_params(model, params_of):
    """The parameters of all positions, of two events, are those that the equations give."""
    events, *condition = model.random_batch(2)
    found = computed(model, events, *condition)
    inputs = numpy(model.encode_image(events))
    given = [numpy(c) for c in model.encode_condition(*condition or [None])]  # classes as one-hot vectors
    expected = np.reshape([params_of(*one) for one in zip(inputs, *given, strict=True)], found.shape)
    spread = expected.reshape(-1, model.head.num_params).std(axis=0)
    assert spread.min() > 1e-2, "parameters that hardly vary would hide what is wrong"
    assert_close(found, expected)


# Convolutions that see what comes earlier.


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({"filters": 3, "kernel_size": 3, "mask_type": "A"}, 2),
        ({"filters": 3, "kernel_size": 3, "mask_type": "B"}, 2),
        ({"filters": 2, "kernel_size": (3, 5), "mask_type": "A"}, 2),
        ({"filters": 2, "kernel_size": (5, 1), "mask_type": "A"}, 2),
        ({"filters": 2, "kernel_size": (1, 3), "mask_type": "A", "use_bias": False}, 2),
        ({"filters": 2, "kernel_size": (1, 5), "mask_type": "B"}, 2),
        ({"filters": 2, "kernel_size": 7, "mask_type": "B"}, 1),  # larger than the image
        ({"filters": 2, "kernel_size": 3, "mask_type": "A", "dilation_rate": 2}, 2),
        ({"filters": 2, "kernel_size": (3, 5), "mask_type": "B", "dilation_rate": 2}, 1),
        ({"filters": 6, "kernel_size": 3, "mask_type": "A", "num_colors": 3}, 3),
        ({"filters": 3, "kernel_size": (1, 3), "mask_type": "B", "num_colors": 3}, 6),
        ({"filters": 6, "kernel_size": 1, "mask_type": "A", "num_colors": 3}, 3),
        ({"filters": 4, "kernel_size": (3, 5), "mask_type": "A", "num_colors": 2, "dilation_rate": 2}, 2),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_a_masked_convolution_sees_what_comes_earlier(options, channels):
    x = random_inputs(2, 4, 5, channels)
    layer = randomized(layers.MaskedConv2D(**options), x.shape)
    weights = (*masked(layer), layer.mask_type, layer.num_colors, layer.dilation_rate)
    assert_close(computed(layer, x), [image_reference.masked_convolution(image, *weights) for image in x])


def test_colors_on_an_axis_of_their_own_are_the_same_colors():
    x = random_inputs(2, 3, 4, 3, 2)
    layer = randomized(layers.MaskedConv2D(9, 3, mask_type="A", num_colors=3), x.shape)
    expected = [image_reference.masked_convolution(image.reshape(3, 4, 6), *masked(layer), "A", 3) for image in x]
    assert_close(computed(layer, x), np.reshape(expected, (2, 3, 4, 3, 3)))


SHIFTED = [
    ("down", (2, 3), {}),
    ("down", (2, 3), {"strict": True}),
    ("down", (1, 3), {"strict": True}),
    ("down", (2, 3), {"strides": 2}),
    ("down", (3, 5), {"strides": 3, "weight_norm": False}),
    ("down_right", (2, 2), {}),
    ("down_right", (2, 1), {"strict": True}),
    ("down_right", (3, 2), {"strict": True, "weight_norm": False}),
    ("down_right", (2, 2), {"strides": 2}),
    ("down_right", (2, 3), {"strides": 3}),
]


@pytest.mark.parametrize(("direction", "kernel_size", "options"), SHIFTED, ids=str)
def test_a_shifted_convolution_hangs_above_its_pixel(direction, kernel_size, options):
    x = random_inputs(2, 5, 4, 2)
    layer = randomized(layers.ShiftedConv2D(3, kernel_size, direction, **options), x.shape)
    weights = normalized(layer) if layer.weight_norm else plain(layer)
    expected = [
        image_reference.shifted_convolution(image, *weights, direction, layer.strict, layer.strides) for image in x
    ]
    assert_close(computed(layer, x), expected)


@pytest.mark.parametrize(
    ("direction", "kernel_size", "stride", "size"),
    [
        ("down", (2, 3), 2, (5, 3)),
        ("down", (2, 5), 2, (4, 6)),
        ("down", (3, 1), 3, (4, 5)),
        ("down_right", (2, 2), 2, (5, 3)),
        ("down_right", (2, 2), 2, (4, 6)),
        ("down_right", (3, 3), 3, (7, 4)),
    ],
)
def test_a_transposed_convolution_spreads_each_input_from_its_pixel_on(direction, kernel_size, stride, size):
    x = random_inputs(2, *(-(-n // stride) for n in size), 2)
    layer = randomized(layers.ShiftedConv2DTranspose(3, kernel_size, direction, size=size, strides=stride), x.shape)
    weights = (*normalized(layer, outputs_axis=2), direction, size, stride)
    assert_close(computed(layer, x), [image_reference.transposed_convolution(image, *weights) for image in x])


def test_a_normalized_layer_has_the_kernel_g_v_over_the_length_of_v():
    x = random_inputs(3, 5)
    layer = randomized(layers.WeightNormDense(4), x.shape)
    kernel, bias = normalized(layer)
    assert_close(computed(layer, x), x @ kernel + bias)


# Blocks.


@pytest.mark.parametrize(("num_colors", "kernel_size"), [(1, (3, 5)), (3, 3)])
def test_a_residual_block_is_three_convolutions_and_its_input(num_colors, kernel_size):
    x = random_inputs(2, 3, 4, 6)
    block = randomized(layers.MaskedResidualBlock(6, kernel_size, num_colors=num_colors), x.shape)
    assert_close(
        computed(block, x), [image_reference.residual_block(image, *residual(block), num_colors) for image in x]
    )


@pytest.mark.parametrize(
    ("mask_type", "num_colors", "condition_shape"),
    [("A", 1, None), ("A", 3, (4, 3, 2)), ("B", 1, (4, 3, 2)), ("B", 3, (2,))],
    ids=str,
)
def test_a_gated_block_adds_the_rows_above_to_the_current_row(mask_type, num_colors, condition_shape):
    filters = 2 * num_colors
    block = layers.GatedBlock(filters, 3 if num_colors > 1 else 5, mask_type, num_colors=num_colors)
    if mask_type == "A":
        inputs = (random_inputs(2, 4, 3, num_colors),)
    else:
        apart = (num_colors, 2) if num_colors > 1 else (2,)
        inputs = random_inputs(2, 4, 3, filters), random_inputs(2, 4, 3, *apart, seed=1)
    given = () if condition_shape is None else (random_inputs(2, *condition_shape, seed=2),)
    shapes = inputs[0].shape if mask_type == "A" else tuple(x.shape for x in inputs)
    randomized(block, shapes, *(c.shape for c in given))

    def call(*tensors):
        inputs = tensors[0] if mask_type == "A" else tensors[:2]
        return block(inputs, *tensors[len(tensors) - len(given) :])

    found = computed(call, *inputs, *given)
    for event in range(2):
        v, h = inputs[0][event], inputs[-1][event].reshape(4, 3, -1)
        expected = image_reference.gated_block(v, h, gated(block), mask_type, num_colors, *(c[event] for c in given))
        for of_code, of_paper in zip(found, expected, strict=True):  # vertical, horizontal, skip
            assert_close(of_code[event].reshape(4, 3, filters), of_paper)


@pytest.mark.parametrize(("direction", "kernel_size"), [("down", (2, 3)), ("down_right", (2, 2))])
@pytest.mark.parametrize("has_more", [False, True], ids=["alone", "shortcut-condition"])
def test_a_gated_resnet_adds_what_two_convolutions_and_a_gate_make(direction, kernel_size, has_more):
    inputs = [random_inputs(2, 4, 3, 3)]
    if has_more:
        inputs += [random_inputs(2, 4, 3, 5, seed=1), random_inputs(2, 4, seed=2)]
    block = randomized(layers.GatedResnet(3, kernel_size, direction), *(x.shape for x in inputs))
    expected = [
        image_reference.gated_resnet(x, resnet(block), direction, *rest) for x, *rest in zip(*inputs, strict=True)
    ]
    assert_close(computed(block, *inputs), expected)


# LSTMs over images.


@pytest.mark.parametrize(
    ("num_colors", "residual", "size", "condition_shape"),
    [(1, True, (4, 5), None), (1, False, (5, 3), (2,)), (3, True, (3, 4), (3, 4, 2))],
    ids=["plain", "states", "rgb-map"],
)
@pytest.mark.parametrize("kind", LSTMS, ids=lambda kind: kind.__name__)
def test_an_lstm_runs_over_the_pixels_as_the_paper_says(kind, num_colors, residual, size, condition_shape):
    units = 2 * num_colors
    inputs = [random_inputs(2, *size, 2 * units)]
    if condition_shape:
        inputs.append(random_inputs(2, *condition_shape, seed=1))
    layer = randomized(kind(units, num_colors=num_colors, residual=residual), *(x.shape for x in inputs))
    expected = [LSTMS[kind](x, lstm(layer), num_colors, *rest) for x, *rest in zip(*inputs, strict=True)]
    assert_close(computed(layer, *inputs), expected, atol=1e-5)


@pytest.mark.parametrize("kind", LSTMS, ids=lambda kind: kind.__name__)
def test_the_gradients_of_an_lstm_are_those_of_the_equations(kind):
    """Of a random sum of all outputs, weight by weight: difference quotients of the reference."""
    x, factors = random_inputs(1, 4, 3, 2), random_inputs(1, 4, 3, 2, seed=1)
    layer = randomized(kind(2, residual=False), x.shape)
    inputs = [ops.convert_to_tensor(array, "float32") for array in (x, factors)]
    found = backend.gradients(lambda: ops.sum(layer(inputs[0]) * inputs[1]), layer.trainable_variables)
    for gradient, variable in zip(found, layer.trainable_variables, strict=True):
        value = numpy(variable)
        expected = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            places, sums = [], []
            for step in (1e-3, -1e-3):
                moved = value.copy()
                moved[index] += step
                variable.assign(moved)
                places.append(numpy(variable)[index])  # rounded to float32
                sums.append((LSTMS[kind](x[0], lstm(layer)) * factors[0]).sum())
            expected[index] = (sums[0] - sums[1]) / (places[0] - places[1])
        variable.assign(value)
        assert np.abs(expected).max() > 1e-2, f"{variable.path} should matter"
        assert_close(gradient, expected, atol=1e-5)


# Models.


@pytest.mark.parametrize(
    ("event_shape", "options"),
    [
        ((5, 4), {"filters": 4, "num_blocks": 2, "kernel_size": 5, "condition_shape": (3,)}),
        ((3, 4, 3), {"filters": 6, "num_blocks": 1, "kernel_size": 3, "head": heads.Categorical(4)}),
        ((3, 3, 3), {"filters": 2, "num_blocks": 1, "head": heads.DiscretizedLogisticMixture(8, 1, num_channels=3)}),
        (
            (3, 2, 2),
            {"filters": 4, "num_blocks": 1, "kernel_size": (3, 5), "head": "normal", "condition_shape": (2, 2)},
        ),
    ],
    ids=["gray", "rgb", "whole-pixels", "two-colors"],
)
def test_pixel_cnn_is_that_of_the_paper(event_shape, options):
    model = randomized(models.PixelCNN(event_shape, **options))
    blocks = [residual(block) for block in model.blocks]
    weights = masked(model.stem), blocks, masked(model.hidden), masked(model.to_params)

    def params_of(x, condition=None):
        bias = 0.0
        if condition is not None:  # of which the paper has none
            bias = condition.ravel() @ numpy(model.condition_bias.kernel)
        return image_reference.pixel_cnn(x, *weights, model.num_colors, bias)

    assert_params(model, params_of)


@pytest.mark.parametrize(
    ("event_shape", "options"),
    [
        ((5, 4), {"filters": 3, "num_blocks": 2, "num_classes": 3}),
        ((4, 3), {"filters": 2, "num_blocks": 1, "kernel_size": 5, "condition_shape": (4, 3, 2)}),
        ((3, 4, 3), {"filters": 6, "num_blocks": 1, "head": heads.Categorical(4), "condition_shape": (2,)}),
    ],
    ids=["classes", "map", "rgb-vector"],
)
def test_gated_pixel_cnn_is_that_of_the_paper(event_shape, options):
    model = randomized(models.GatedPixelCNN(event_shape, **options))
    weights = [gated(block) for block in model.blocks], masked(model.hidden), masked(model.to_params)
    assert_params(
        model, lambda x, condition=None: image_reference.gated_pixel_cnn(x, *weights, model.num_colors, condition)
    )


def test_pixel_cnn_plus_plus_is_that_of_the_paper():
    head = heads.DiscretizedLogisticMixture(8, num_components=2, num_channels=3)
    options = {"filters": 3, "num_resnets": 2, "num_levels": 2, "condition_shape": (2,)}
    model = randomized(models.PixelCNNPlusPlus((5, 3, 3), head=head, **options))  # odd: the coarse scale is 3x2
    weights = plus_plus(model)
    assert_params(model, lambda x, condition: image_reference.pixel_cnn_plus_plus(x, weights, condition))


@pytest.mark.parametrize("variant", ["row", "diagonal"])
@pytest.mark.parametrize(
    ("event_shape", "options"),
    [
        ((5, 4), {"units": 2, "num_layers": 2, "kernel_size": 3, "num_classes": 3}),
        ((3, 4, 3), {"units": 3, "num_layers": 1, "head": heads.Categorical(4), "condition_shape": (2,)}),
    ],
    ids=["classes", "rgb-vector"],
)
def test_pixel_rnn_is_that_of_the_paper(variant, event_shape, options):
    model = randomized(models.PixelRNN(event_shape, variant=variant, **options))
    assert_params(model, lambda x, condition=None: pixel_rnn(model, x, condition))


def pixel_rnn(model, x, condition=None):
    layer, of_lstms = LSTMS[type(model.lstms[0])], [lstm(layer) for layer in model.lstms]
    weights = masked(model.stem), layer, of_lstms, masked(model.hidden), masked(model.to_params)
    return image_reference.pixel_rnn(x, *weights, model.num_colors, condition)


@pytest.mark.parametrize(
    ("event_shape", "options"),
    [((5, 4), {"variant": "row"}), ((4, 3, 2), {"factor": 3, "head": heads.Categorical(4), "condition_shape": (2,)})],
    ids=["row", "two-colors"],
)
def test_multi_scale_pixel_rnn_is_two_of_them(event_shape, options):
    """The small image as it is; the others by a PixelRNN whose condition is the small image, upsampled by Keras."""
    options = {"units": 2, "num_layers": 1, "kernel_size": 3, "features": 2, **options}
    model = randomized(models.MultiScalePixelRNN(event_shape, **options))
    rows, columns, factor = model.rows, model.columns, model.factor

    def params_of(x, condition=None):
        small = x[::factor, ::factor]
        upsampled = model.upsample(ops.convert_to_tensor(small[None], "float32"))[:, :rows, :columns]
        image_map = numpy(model.refine(upsampled))[0]
        if condition is not None:
            image_map = np.concatenate([image_map, np.tile(condition, (rows, columns, 1))], axis=-1)
        params = pixel_rnn(model.large, x, image_map)
        params[::factor, ::factor] = pixel_rnn(model.small, small, condition)
        return params

    assert_params(model, params_of)
