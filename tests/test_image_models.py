"""PixelCNN and its descendants on images that are too large to enumerate: what a pixel sees, color by color."""

import keras
import numpy as np
import pytest
from keras import ops
from variants import on_one_backend, variants

from keras_ar import AutoregressiveModel, backend, diagnostics, heads, layers, models, noise
from keras_ar.testing import tools

COLORS = heads.DiscretizedLogisticMixture(16, num_components=2, num_channels=3)

# Small nets: depth and width cost compiling, and what a pixel may see shows as well.
MODELS = {
    "pixel_cnn-binary": lambda: models.PixelCNN((5, 7), filters=4, num_blocks=2, kernel_size=5),
    "pixel_cnn": lambda: models.PixelCNN((8, 8, 3), filters=6, num_blocks=1, head=heads.Categorical(16)),
    "gated": lambda: models.GatedPixelCNN((5, 7, 3), filters=6, num_blocks=2, head=heads.Categorical(16)),
    "gated-mixture": lambda: models.GatedPixelCNN((9, 9, 3), filters=4, num_blocks=2, head=COLORS),
    "plus_plus": lambda: models.PixelCNNPlusPlus((5, 7), filters=3, num_resnets=1, num_levels=2, head="bernoulli"),
    "plus_plus-rgb": lambda: models.PixelCNNPlusPlus((9, 9, 3), filters=3, num_resnets=1, head=COLORS),
    "row-binary": lambda: models.PixelRNN((5, 5), variant="row", units=3, num_layers=2, kernel_size=3),
    "row": lambda: models.PixelRNN(
        (8, 8, 3), variant="row", units=3, num_layers=1, head=heads.Categorical(16), kernel_size=5
    ),
    "diagonal": lambda: models.PixelRNN((5, 7, 3), units=3, num_layers=2, head=heads.Categorical(16), kernel_size=3),
    "diagonal-binary": lambda: models.PixelRNN((8, 8), units=3, num_layers=1, kernel_size=3),
    "multi_scale": lambda: models.MultiScalePixelRNN(
        (5, 7, 3), variant="row", units=3, num_layers=1, head=heads.Categorical(16), kernel_size=3, features=2
    ),
    "multi_scale-diagonal": lambda: models.MultiScalePixelRNN(
        (8, 8), factor=3, units=2, num_layers=1, kernel_size=3, features=2
    ),
    "diagonal-mixture": lambda: models.PixelRNN((8, 8, 3), units=2, num_layers=1, head=COLORS, kernel_size=3),
}


@pytest.fixture(scope="module", params=variants(MODELS))
def model(request):
    model = MODELS[request.param]()
    noise.randomize(model)
    return model


def what_changes(model):
    """For some steps: which steps' parameters change with the value drawn in that step, `(some, steps)`."""
    events = model.random_batch(1)[0]
    steps = ops.convert_to_numpy(model.to_steps(events))
    n = model.num_steps
    changed_steps = np.unique(np.linspace(0, n - 1, 15).astype(int))
    changed = np.repeat(steps, len(changed_steps) + 1, axis=0)  # the last row stays as it is
    rows = np.arange(len(changed_steps))
    changed[rows, changed_steps] = (changed[rows, changed_steps] + 1) % model.support.num_levels
    params = tools.call_params(model, changed, [])
    return changed_steps, np.abs(params[:-1] - params[-1]).max(axis=2) > 1e-6


def assert_causal(model):
    changed_steps, sees = what_changes(model)
    for step, seen_by in zip(changed_steps, sees, strict=True):
        assert not seen_by[: step + 1].any()
    assert sees.any(axis=1)[:-1].all(), "all but the last should be seen by some step"


def test_no_row_column_or_color_sees_itself_or_later_ones(model):
    assert_causal(model)


def test_all_ways_of_drawing_agree(model):
    stepwise = model.sample(3, seed=5, batch_size=3)
    assert (stepwise == model.sample(3, seed=5, batch_size=3, method="parallel")).all()


# What is seen, and what is not.


@pytest.mark.one_backend
def test_stacks_leave_no_blind_spot_and_masked_kernels_the_known_one():
    size, center = (7, 7), (4, 3)
    earlier = (np.arange(49) < 4 * 7 + 3).reshape(size)
    gated = models.GatedPixelCNN(size, filters=4, num_blocks=5)
    plus_plus = models.PixelCNNPlusPlus(size, filters=4, num_resnets=1, num_levels=2, head="bernoulli")
    masked = models.PixelCNN(size, filters=16, num_blocks=4, kernel_size=3)
    for model in (gated, plus_plus):
        seen = diagnostics.sensitivity(model, center, random_weights=True) > 0
        assert (seen == earlier).all(), model.name
    seen = diagnostics.sensitivity(masked, center, random_weights=True) > 0
    # One row up a 3×3 kernel reaches one column to the right, two rows up two, however many layers there are.
    rows, columns = np.indices(size)
    blind = columns - center[1] > center[0] - rows
    assert (seen == (earlier & ~blind)).all()


@pytest.mark.one_backend
def test_a_row_lstm_sees_a_triangle_and_a_diagonal_one_the_whole_past():
    size, (row, column) = (7, 9), (5, 4)
    rows, columns = np.indices(size)
    up, right = row - rows, columns - column

    def seen_by(**options):
        model = models.PixelRNN(size, units=4, num_layers=1, **options)
        return diagnostics.sensitivity(model, (row, column), random_weights=True) > 0

    # State-to-state widens by one column a row on both sides; the inputs reach two more to the left.
    triangle = ((up == 0) & (abs(right + 1.5) < 1)) | ((up > 0) & (-up - 2 <= right) & (right <= up))
    assert (seen_by(variant="row", kernel_size=3) == triangle).all()
    earlier = np.arange(63).reshape(size) < row * 9 + column
    assert (seen_by(kernel_size=9) == earlier).all()
    # The LSTM from the right has not seen the last pixel of its row, which mask A hides: only the first kernel can.
    last = (up == 1) & (columns == 8)
    assert (seen_by(kernel_size=5) == (earlier & ~last)).all()


# Layers with strides, and stacks: stepping is calling.


def random_inputs(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("size", [(5, 7), (4, 6)])
def test_a_strided_layer_gives_its_output_where_it_is_due(size):
    rows, columns = size
    x = random_inputs(2, rows, columns, 3)
    by_row = layers.ShiftedConv2D(4, (2, 3), "down", strides=2)
    by_pixel = layers.ShiftedConv2D(4, (2, 2), "down_right", strides=2)
    expected = [ops.convert_to_numpy(layer(x)) for layer in (by_row, by_pixel)]
    constants, state = by_row.prepare(), by_row.start(2, rows)
    for r in range(rows):
        state = by_row.write(state, r, x[:, r])
        if r % 2 == 0:
            y = by_row.read(constants, state, r)
            np.testing.assert_allclose(ops.convert_to_numpy(y), expected[0][:, r // 2], atol=1e-5)
    constants, state = by_pixel.prepare(), by_pixel.start(2, rows * columns)
    for t in range(rows * columns):
        r, c = divmod(t, columns)
        state = by_pixel.write(state, t, x[:, r, c])
        if r % 2 == 0 and c % 2 == 0:
            y = by_pixel.read(constants, state, t)
            np.testing.assert_allclose(ops.convert_to_numpy(y), expected[1][:, r // 2, c // 2], atol=1e-5)


@pytest.mark.parametrize("size", [(5, 7), (4, 6)])
def test_a_transposed_layer_steps_from_the_coarse_input_that_is_due(size):
    rows, columns = size
    x = random_inputs(2, -(-rows // 2), -(-columns // 2), 3)
    by_row = layers.ShiftedConv2DTranspose(4, (2, 3), "down", size=size)
    by_pixel = layers.ShiftedConv2DTranspose(4, (2, 2), "down_right", size=size)
    for layer, num_steps in ((by_row, rows), (by_pixel, rows * columns)):
        expected = ops.convert_to_numpy(layer(x))
        constants, state = layer.prepare(), layer.start(2, num_steps)
        for t in range(num_steps):
            y, state = layer.step(constants, state, t, layer.take(x, t))
            np.testing.assert_allclose(ops.convert_to_numpy(y), layer.take(expected, t), atol=1e-5)


def test_a_transposed_layer_spreads_what_a_strided_one_gathers():
    """They are adjoint: <downsample(x), y> = <x, upsample(y)> for one kernel, where the windows mirror each other."""
    x, y = random_inputs(1, 6, 8, 3), random_inputs(1, 3, 4, 2, seed=1)
    upsample = layers.ShiftedConv2DTranspose(3, (2, 3), "down", size=(6, 8))
    spread = ops.convert_to_numpy(upsample(y))
    kernel = np.asarray(ops.convert_to_numpy(upsample.unit_kernel()), "float64")  # (rows, columns, to, from)
    total = 0.0
    for i, j, a, b in np.ndindex(3, 4, 2, 3):
        r, c = 2 * i + a, 2 * j + b - 1
        if 0 <= c < 8:
            total += x[0, r, c] @ kernel[a, b] @ y[0, i, j]
    assert abs(total - (x * spread).sum()) < 1e-3


SCALES = [
    layers.ShiftedConv2D(4, (2, 3), "down", strides=2),
    layers.ShiftedConv2D(4, (2, 2), "down_right", strides=2),
    layers.ShiftedConv2DTranspose(4, (2, 3), "down", size=(7, 10)),
    layers.ShiftedConv2DTranspose(4, (2, 2), "down_right", size=(7, 10)),
]


@pytest.mark.parametrize("layer", SCALES, ids=lambda layer: f"{type(layer).__name__}-{layer.direction}")
def test_gradients_between_scales_are_difference_quotients(layer):
    """Of a random sum of the outputs, compiled: in a random direction of the weights."""
    x = random_inputs(2, 4, 5, 3)
    layer.build(x.shape)
    noise.randomize(layer)
    factors = random_inputs(*layer.compute_output_shape(x.shape), seed=1)

    def total(x):
        return ops.sum(ops.multiply(layer(x), factors))

    gradients = backend.gradient_function(total, layer.trainable_variables)(x)
    values, sums = layer.get_weights(), []
    directions = [random_inputs(*value.shape, seed=2) for value in values]
    for step in (1e-2, -1e-2):
        layer.set_weights([value + step * along for value, along in zip(values, directions, strict=True)])
        sums.append((tools.computed(layer, x, owner=layer).astype("float64") * factors).sum())
    slope = sum((ops.convert_to_numpy(g) * along).sum() for g, along in zip(gradients, directions, strict=True))
    np.testing.assert_allclose((sums[0] - sums[1]) / 2e-2, slope, rtol=1e-2)


@pytest.mark.parametrize(
    "layer",
    [
        layers.MaskedConv2D(4, 3),
        layers.ShiftedConv2D(4, (2, 3), "down"),
        layers.ShiftedConv2D(4, (2, 2), "down_right"),
        layers.GatedResnet(4, (2, 3), "down"),
        layers.RowLSTM(2),
    ],
    ids=lambda layer: layer.name,
)
def test_a_layer_of_images_of_any_size_does_not_step(layer):
    layer.build((None, None, None, 4))
    with pytest.raises(ValueError, match="to step, it must be built for one size"):
        layer.start(2, 16)


@pytest.mark.one_backend
@pytest.mark.parametrize("num_colors", [1, 3])
def test_gated_blocks_step_row_by_row_and_pixel_by_pixel(num_colors):
    rows, columns, features = 4, 5, 6
    first, second = (layers.GatedBlock(features, 3, mask_type, num_colors=num_colors) for mask_type in "AB")
    x = random_inputs(2, rows, columns, num_colors)
    outputs = [first(x)]
    outputs.append(second(outputs[0][:2]))
    num_steps = rows * columns * num_colors
    constants, states = (
        [block.prepare() for block in (first, second)],
        [b.start(2, num_steps) for b in (first, second)],
    )
    for t in range(num_steps):
        y, states[0] = first.step(constants[0], states[0], t, first.take(x, t - 1))
        assert_all_close(y, first.take(outputs[0], t))
        y, states[1] = second.step(constants[1], states[1], t, y[:2])
        assert_all_close(y, second.take(outputs[1], t))


def assert_all_close(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(a), ops.convert_to_numpy(b), atol=1e-5)


# Layers that take a prompt in one pass.


@pytest.mark.one_backend
@pytest.mark.parametrize("length", [1, 4, 5, 13, 19], ids="up to {}".format)
@pytest.mark.parametrize(
    "layer",
    [
        layers.MaskedConv2D(3, (5, 3), mask_type="A", activation="relu"),
        layers.MaskedConv2D(3, 3, dilation_rate=2),
        layers.MaskedConv2D(3, 1),
        layers.MaskedResidualBlock(2),
        layers.MaskedConv2D(6, 3, mask_type="A", num_colors=2),
        layers.MaskedResidualBlock(4, num_colors=2),
    ],
    ids=lambda layer: f"{layer.name}-{layer.num_colors}",
)
def test_prefill_ends_anywhere_in_a_row(layer, length):
    shape = (5, 4, 2) if layer.num_colors == 1 else (3, 4, 2, 2)  # positions, then features
    x = random_inputs(2, *shape)
    expected = ops.convert_to_numpy(layer(x))
    prompt = ops.convert_to_tensor(x.reshape(2, -1, 2)[:, :length])
    constants = layer.prepare()
    y, state = layer.prefill(constants, layer.start(2, 20), prompt)
    np.testing.assert_allclose(ops.convert_to_numpy(y), expected.reshape(2, -1, y.shape[-1])[:, :length], atol=1e-5)
    for t in range(length, np.prod(shape[:-1])):
        y, state = layer.step(constants, state, t, layer.take(x, t - layer.strict))
        np.testing.assert_allclose(ops.convert_to_numpy(y), ops.convert_to_numpy(layer.take(expected, t)), atol=1e-5)


# Options of weights.


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "layer",
    [
        layers.MaskedResidualBlock(4, kernel_initializer="he_normal", kernel_regularizer="l2"),
        layers.GatedBlock(4, mask_type="A", kernel_initializer="he_normal", kernel_regularizer="l2"),
        layers.RowLSTM(2, kernel_initializer="he_normal", kernel_regularizer="l2"),
        layers.DiagonalBiLSTM(2, kernel_initializer="he_normal", kernel_regularizer="l2"),
    ],
    ids=lambda layer: layer.name,
)
def test_a_block_hands_its_options_on_to_all_of_its_kernels(layer):
    layer.build((None, 3, 5, 4), (None, 2)) if "residual" not in layer.name else layer.build((None, 3, 5, 4))
    kernels = [weight for weight in layer.trainable_variables if len(weight.shape) > 1]
    assert all(weight.regularizer.l2 == pytest.approx(0.01) for weight in kernels)
    values = [ops.convert_to_numpy(weight).ravel()[:4].tolist() for weight in kernels]
    assert len(set(map(tuple, values))) == len(kernels), "each kernel has random numbers of its own"


# Conditions.


def test_a_map_conditions_each_pixel_by_its_own_entry():
    model = models.GatedPixelCNN((4, 5), filters=4, num_blocks=0, condition_shape=(4, 5, 2))
    noise.randomize(model)
    events, condition = model.random_batch(1)
    other = condition.copy()
    other[0, 2, 3] += 1.0
    difference = ops.convert_to_numpy(model(events, other) - model(events, condition))[0, ..., 0] != 0
    assert difference[2, 3]
    assert not difference[:2].any()
    assert not difference[2, :3].any(), "pixels to the left do not see it"


CONDITIONAL = {
    "made": lambda **options: models.MADE((3, 4), hidden_units=9, **options),
    "pixel_cnn": lambda **options: models.PixelCNN((3, 4), filters=4, num_blocks=1, **options),
    "gated": lambda **options: models.GatedPixelCNN((3, 4), filters=4, num_blocks=1, **options),
    "row": lambda **options: models.PixelRNN((3, 4), variant="row", units=4, **options),
    "diagonal": lambda **options: models.PixelRNN((3, 4), variant="diagonal", units=4, **options),
    "multi_scale": lambda **options: models.MultiScalePixelRNN((3, 4), variant="row", units=4, **options),
}


@pytest.mark.parametrize("name", ["gated", *on_one_backend(name for name in CONDITIONAL if name != "gated")])
def test_a_class_is_its_one_hot_vector(name):
    by_class, by_vector = CONDITIONAL[name](num_classes=3), CONDITIONAL[name](condition_shape=3)
    for model in (by_class, by_vector):
        model.compile("adam", run_eagerly=backend.prefers_eager())
    noise.randomize(by_class)
    by_vector.set_weights(by_class.get_weights())
    events, _ = by_class.random_batch(4)
    classes = np.array([2, 0, 1, 2])
    vectors = np.eye(3, dtype="float32")[classes]
    scores = by_class.score_samples(events, classes)
    np.testing.assert_allclose(scores, by_vector.score_samples(events, vectors), atol=1e-5)
    assert (scores != by_class.score_samples(events, (classes + 1) % 3)).all(), "the class should matter"
    samples, log_prob = by_class.sample(4, classes, seed=0, return_log_prob=True)
    assert (samples == by_vector.sample(4, vectors, seed=0)).all()
    np.testing.assert_allclose(log_prob, by_class.score_samples(samples, classes), atol=1e-4)
    by_class.fit((events, classes), verbose=0)


def test_a_condition_of_the_size_of_the_small_image_is_no_map():
    model = models.MultiScalePixelRNN((4, 4), variant="row", units=2, condition_shape=(2, 2, 1))
    assert not model.has_map
    assert not model.small.has_map


# Weight normalization.


def test_a_start_from_data_leaves_features_of_mean_zero_and_variance_one():
    head = heads.Categorical(8)
    model = models.PixelCNNPlusPlus((6, 5), filters=4, num_resnets=1, num_levels=2, head=head, num_classes=3)
    batch = model.random_batch(64)
    model.initialize_from_data(*batch)
    params = ops.convert_to_numpy(model(*batch)).astype("float64")
    np.testing.assert_allclose(params.mean(axis=(0, 1, 2)), 0.0, atol=1e-4)
    np.testing.assert_allclose(params.std(axis=(0, 1, 2)), 1.0, atol=1e-2)
    first = model.get_weights()
    model.initialize_from_data(*batch)  # depends on the batch and the directions alone
    for before, after in zip(first, model.get_weights(), strict=True):
        np.testing.assert_allclose(before, after, atol=1e-5)


@pytest.mark.one_backend
def test_a_start_from_data_does_not_scale_up_constant_features():
    model = models.PixelCNNPlusPlus((1, 1), filters=3, num_resnets=1, num_levels=2, head="bernoulli")
    model.initialize_from_data(*model.random_batch(16))  # a single pixel sees nothing but biases
    assert all(np.abs(weight).max() < 10 for weight in model.get_weights())


def test_a_start_from_data_that_fails_changes_nothing():
    model = models.PixelCNNPlusPlus((4, 4), filters=3, num_resnets=1, num_levels=1, head="bernoulli")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"`x` must hold integers from 0 to 1"):
        model.initialize_from_data(np.full((2, 4, 4), 2))
    model(np.zeros((2, 4, 4)))  # which must not set weights, either
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_a_normalized_kernel_has_the_length_of_its_gain():
    layer = layers.WeightNormDense(3)
    layer.build((None, 5))
    layer.gain.assign([1.0, 2.0, 0.5])
    lengths = np.linalg.norm(ops.convert_to_numpy(layer(np.eye(5, dtype="float32"))), axis=0)
    np.testing.assert_allclose(lengths, [1.0, 2.0, 0.5], rtol=1e-5)


# Chains of one's own.


def test_a_chain_of_masked_convolutions_draws_colors_one_after_the_other():
    chain = [
        layers.MaskedConv2D(6, 3, mask_type="A", num_colors=3),
        keras.layers.LayerNormalization(),
        layers.MaskedResidualBlock(6, num_colors=3),
    ]
    model = AutoregressiveModel.from_layers(chain, event_shape=(4, 3, 3), head=heads.Categorical(5))
    noise.randomize(model)
    assert_causal(model)
    assert model.steppable
    assert (model.sample(4, seed=0) == model.sample(4, seed=0, method="full")).all()


def test_a_layer_of_images_of_any_size_computes_and_says_why_it_cannot_step():
    layer = layers.MaskedConv2D(4, 3)
    assert layer(keras.Input((None, None, 2))).shape == (None, None, None, 4)
    assert layer(random_inputs(1, 5, 6, 2)).shape == (1, 5, 6, 4)
    with pytest.raises(ValueError, match="built for images of any size"):
        layer.start(1, num_steps=30)
