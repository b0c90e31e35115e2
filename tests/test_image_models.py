"""PixelCNN and its descendants on images that are too large to enumerate: what a pixel sees, colour by colour."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_ar import AutoregressiveModel, backend, heads, layers, models, plots
from keras_ar.testing import checks

COLOURS = heads.DiscretizedLogisticMixture(16, num_components=2, num_channels=3)

# Small nets: depth and width cost compiling, and what a pixel may see shows as well.
MODELS = {
    "pixel_cnn-5x7": lambda: models.PixelCNN((5, 7), filters=4, num_blocks=2, kernel_size=5),
    "pixel_cnn-8x8-rgb": lambda: models.PixelCNN((8, 8, 3), filters=6, num_blocks=1, head=heads.Categorical(16)),
    "gated-5x7-rgb": lambda: models.GatedPixelCNN((5, 7, 3), filters=6, num_blocks=2, head=heads.Categorical(16)),
    "gated-9x9-mixture": lambda: models.GatedPixelCNN((9, 9, 3), filters=4, num_blocks=2, head=COLOURS),
    "plus_plus-5x7": lambda: models.PixelCNNPlusPlus((5, 7), filters=3, num_resnets=1, num_levels=2, head="bernoulli"),
    "plus_plus-9x9-rgb": lambda: models.PixelCNNPlusPlus((9, 9, 3), filters=3, num_resnets=1, head=COLOURS),
    "row-5x5": lambda: models.PixelRNN((5, 5), variant="row", units=3, num_layers=2, kernel_size=3),
    "row-8x8-rgb": lambda: models.PixelRNN(
        (8, 8, 3), variant="row", units=3, num_layers=1, head=heads.Categorical(16), kernel_size=5
    ),
    "diagonal-5x7-rgb": lambda: models.PixelRNN(
        (5, 7, 3), units=3, num_layers=2, head=heads.Categorical(16), kernel_size=3
    ),
    "diagonal-8x8": lambda: models.PixelRNN((8, 8), units=3, num_layers=1, kernel_size=3),
    "multi_scale-5x7-rgb": lambda: models.MultiScalePixelRNN(
        (5, 7, 3), variant="row", units=3, num_layers=1, head=heads.Categorical(16), kernel_size=3, features=2
    ),
    "multi_scale-8x8": lambda: models.MultiScalePixelRNN(
        (8, 8), factor=3, units=2, num_layers=1, kernel_size=3, features=2
    ),
    "diagonal-8x8-mixture": lambda: models.PixelRNN((8, 8, 3), units=2, num_layers=1, head=COLOURS, kernel_size=3),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    model = MODELS[request.param]()
    checks.randomise(model)
    return model


def what_changes(model):
    """For some steps: which steps' parameters change once the value drawn in that step changes, `(some, steps)`."""
    events, *_ = checks.random_events(model, 1)
    steps = ops.convert_to_numpy(model.to_steps(events))
    n = model.num_steps
    changed_steps = np.unique(np.linspace(0, n - 1, 15).astype(int))
    changed = np.repeat(steps, len(changed_steps) + 1, axis=0)  # the last row stays as it is
    rows = np.arange(len(changed_steps))
    changed[rows, changed_steps] = (changed[rows, changed_steps] + 1) % model.head.num_levels
    whole = backend.compiled(model, lambda x: model.to_steps(model(model.from_steps(x)), values_in=False))
    params = ops.convert_to_numpy(whole(changed))
    return changed_steps, np.abs(params[:-1] - params[-1]).max(axis=2) > 1e-6


def test_no_row_column_or_colour_sees_itself_or_later_ones(model):
    changed_steps, sees = what_changes(model)
    for step, seen_by in zip(changed_steps, sees, strict=True):
        assert not seen_by[: step + 1].any()
    assert sees.any(axis=1)[:-1].all(), "what is not the last should be seen by someone"


def test_all_ways_of_drawing_agree(model):
    stepwise = model.sample(3, seed=5, batch_size=3)
    assert (stepwise == model.sample(3, seed=5, batch_size=3, method="parallel")).all()


# What is seen, and what is not.


def test_stacks_leave_no_blind_spot_and_masked_kernels_the_known_one():
    size, centre = (7, 7), (4, 3)
    earlier = (np.arange(49) < 4 * 7 + 3).reshape(size)
    gated = models.GatedPixelCNN(size, filters=4, num_blocks=5)
    plus_plus = models.PixelCNNPlusPlus(size, filters=4, num_resnets=1, num_levels=2, head="bernoulli")
    masked = models.PixelCNN(size, filters=16, num_blocks=4, kernel_size=3)
    for model in (gated, plus_plus):
        seen = plots.sensitivity(model, centre, random_weights=True) > 0
        assert (seen == earlier).all(), model.name
    seen = plots.sensitivity(masked, centre, random_weights=True) > 0
    # One row up a 3×3 kernel reaches one column to the right, two rows up two, and no layer more lifts that.
    rows, columns = np.indices(size)
    blind = columns - centre[1] > centre[0] - rows
    assert (seen == (earlier & ~blind)).all()


def test_a_row_lstm_sees_a_triangle_and_a_diagonal_one_the_whole_past():
    size, (row, column) = (7, 9), (5, 4)
    rows, columns = np.indices(size)
    up, right = row - rows, columns - column

    def seen_by(**options):
        model = models.PixelRNN(size, units=4, num_layers=1, **options)
        return plots.sensitivity(model, (row, column), random_weights=True) > 0

    # State to state widens by one column a row on both sides; what is put in, by two to the left.
    triangle = ((up == 0) & (abs(right + 1.5) < 1)) | ((up > 0) & (-up - 2 <= right) & (right <= up))
    assert (seen_by(variant="row", kernel_size=3) == triangle).all()
    earlier = np.arange(63).reshape(size) < row * 9 + column
    assert (seen_by(kernel_size=9) == earlier).all()
    # What comes from the right has not seen the last pixel of its row, which mask A hides: the first kernel must reach.
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
    state = by_row.start(2)
    for r in range(rows):
        y, state = by_row.step(state, x[:, r], r)
        if r % 2 == 0:
            np.testing.assert_allclose(ops.convert_to_numpy(y), expected[0][:, r // 2], atol=1e-5)
    state = by_pixel.start(2)
    for t in range(rows * columns):
        r, c = divmod(t, columns)
        y, state = by_pixel.step(state, x[:, r, c], t)
        if r % 2 == 0 and c % 2 == 0:
            np.testing.assert_allclose(ops.convert_to_numpy(y), expected[1][:, r // 2, c // 2], atol=1e-5)


@pytest.mark.parametrize("size", [(5, 7), (4, 6)])
def test_a_transposed_layer_steps_from_the_coarse_input_that_is_due(size):
    rows, columns = size
    x = random_inputs(2, -(-rows // 2), -(-columns // 2), 3)
    by_row = layers.ShiftedConv2DTranspose(4, (2, 3), "down", size=size)
    by_pixel = layers.ShiftedConv2DTranspose(4, (2, 2), "down_right", size=size)
    expected = [ops.convert_to_numpy(layer(x)) for layer in (by_row, by_pixel)]
    state = by_row.start(2)
    for r in range(rows):
        y, state = by_row.step(state, x[:, r // 2], r)
        np.testing.assert_allclose(ops.convert_to_numpy(y), expected[0][:, r], atol=1e-5)
    state = by_pixel.start(2)
    for t in range(rows * columns):
        r, c = divmod(t, columns)
        y, state = by_pixel.step(state, x[:, r // 2, c // 2], t)
        np.testing.assert_allclose(ops.convert_to_numpy(y), expected[1][:, r, c], atol=1e-5)


def test_a_transposed_layer_spreads_what_a_strided_one_gathers():
    """They are adjoint: <narrow(x), y> = <x, widen(y)> for one kernel, where the windows mirror each other."""
    x, y = random_inputs(1, 6, 8, 3), random_inputs(1, 3, 4, 2, seed=1)
    widen = layers.ShiftedConv2DTranspose(3, (2, 3), "down", size=(6, 8))
    spread = ops.convert_to_numpy(widen(y))
    kernel = np.asarray(ops.convert_to_numpy(widen.unit_kernel()), "float64")  # (rows, columns, to, from)
    total = 0.0
    for i, j, a, b in np.ndindex(3, 4, 2, 3):
        r, c = 2 * i + a, 2 * j + b - 1
        if 0 <= c < 8:
            total += x[0, r, c] @ kernel[a, b] @ y[0, i, j]
    assert abs(total - (x * spread).sum()) < 1e-3


@pytest.mark.parametrize("groups", [1, 3])
def test_a_gated_block_steps_row_by_row_and_pixel_by_pixel(groups):
    rows, columns, features = 4, 5, 6
    first, second = (layers.GatedBlock(features, 3, mask_type, groups=groups) for mask_type in "AB")
    x = random_inputs(2, rows, columns, groups)
    v1, h1, s1 = first(x)
    v2, h2, s2 = second((v1, h1))
    expected = [ops.convert_to_numpy(y).reshape(2, rows * columns * groups, -1) for y in (s1, s2, h2)]
    states, above = [first.start(2), second.start(2)], np.zeros((2, columns, groups), "float32")
    steps = x.reshape(2, -1, 1)
    for t in range(rows * columns * groups):
        r = t // (columns * groups)
        if t % (columns * groups) == 0:
            v, states[0] = first.begin_row(states[0], x[:, r - 1] if r else above, r)
            v, states[1] = second.begin_row(states[1], v, r)
            np.testing.assert_allclose(ops.convert_to_numpy(v), ops.convert_to_numpy(v2)[:, r], atol=1e-5)
        h, skip_first, states[0] = first.step(states[0], steps[:, t - 1], t)
        h, skip_second, states[1] = second.step(states[1], h, t)
        for found, whole in zip((skip_first, skip_second, h), expected, strict=True):
            np.testing.assert_allclose(ops.convert_to_numpy(found), whole[:, t], atol=1e-5)


# Conditions.


def test_a_map_tells_each_pixel_its_own():
    model = models.GatedPixelCNN((4, 5), filters=4, num_blocks=0, condition_shape=(4, 5, 2))
    checks.randomise(model)
    events, condition = checks.random_events(model, 1)
    other = condition.copy()
    other[0, 2, 3] += 1.0
    difference = ops.convert_to_numpy(model(events, other) - model(events, condition))[0, ..., 0] != 0
    assert difference[2, 3]
    assert not difference[:2].any()
    assert not difference[2, :3].any(), "the own row up to here has no such pixel"


@pytest.mark.parametrize("build", [models.PixelCNN, models.GatedPixelCNN, models.MADE])
def test_a_class_is_the_vector_that_it_stands_for(build):
    options = {} if build is models.MADE else {"filters": 4, "num_blocks": 1}
    model = build((3, 4), condition_shape=3, **options)
    checks.randomise(model)
    events, _ = checks.random_events(model, 4)
    classes = np.array([2, 0, 1, 2])
    vectors = np.eye(3, dtype="float32")[classes]
    expected = model.score_samples(events, vectors)
    np.testing.assert_array_equal(model.score_samples(events, classes), expected)
    np.testing.assert_allclose(ops.convert_to_numpy(model.log_prob(events, classes)), expected, atol=1e-4)
    assert (model.sample(4, classes, seed=0) == model.sample(4, vectors, seed=0)).all()
    assert (model.sample(2, 1, seed=0) == model.sample(2, np.array([1, 1]), seed=0)).all()
    model.compile("adam")
    model.fit((events, classes), verbose=0)


# Weight normalisation.


def test_a_start_from_data_leaves_features_of_mean_zero_and_variance_one():
    model = models.PixelCNNPlusPlus((6, 5), filters=4, num_resnets=1, num_levels=2, head=heads.Categorical(8))
    x = np.random.default_rng(0).integers(0, 8, (64, 6, 5))
    model.initialize_from_data(x)
    params = ops.convert_to_numpy(model(x)).astype("float64")
    np.testing.assert_allclose(params.mean(axis=(0, 1, 2)), 0.0, atol=1e-4)
    np.testing.assert_allclose(params.std(axis=(0, 1, 2)), 1.0, atol=1e-2)
    first = model.get_weights()
    model.initialize_from_data(x)  # depends on the batch and the directions alone
    for before, after in zip(first, model.get_weights(), strict=True):
        np.testing.assert_allclose(before, after, atol=1e-5)


def test_a_start_from_data_that_fails_changes_nothing():
    model = models.PixelCNNPlusPlus((4, 4), filters=3, num_resnets=1, num_levels=1, head="bernoulli")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"`x` must hold integers from 0 to 1"):
        model.initialize_from_data(np.full((2, 4, 4), 2))
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert not any(getattr(layer, "initializing", False) for layer in model._flatten_layers())


def test_a_normalised_kernel_has_the_length_of_its_gain():
    layer = layers.WeightNormDense(3)
    layer.build((None, 5))
    layer.gain.assign([1.0, 2.0, 0.5])
    lengths = np.linalg.norm(ops.convert_to_numpy(layer(np.eye(5, dtype="float32"))), axis=0)
    np.testing.assert_allclose(lengths, [1.0, 2.0, 0.5], rtol=1e-5)


# Chains of one's own.


def test_a_chain_of_masked_convolutions_draws_colours_one_after_the_other():
    chain = [
        layers.MaskedConv2D(6, 3, mask_type="A", groups=3),
        keras.layers.LayerNormalization(),
        layers.MaskedResidualBlock(6, groups=3),
    ]
    model = AutoregressiveModel.from_layers(chain, event_shape=(4, 3, 3), head=heads.Categorical(5))
    checks.check_causal(model)
    assert model.steppable
    assert (model.sample(4, seed=0) == model.sample(4, seed=0, method="full")).all()


def test_a_layer_of_images_of_any_size_computes_and_says_why_it_cannot_step():
    layer = layers.MaskedConv2D(4, 3)
    assert layer(keras.Input((None, None, 2))).shape == (None, None, None, 4)
    assert layer(random_inputs(1, 5, 6, 2)).shape == (1, 5, 6, 4)
    with pytest.raises(ValueError, match="built for images of any size"):
        layer.start(1)
