"""Pictures show what is there: every pixel in its place, nothing where a model is blind, masks as layers have them."""

import functools
import itertools
import math
import pathlib
import runpy
import sys

import keras
import numpy as np
import pytest
from keras import ops

pytest.importorskip("matplotlib")

import matplotlib
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_ar import AutoregressiveModel, FlowModel, Support, bijectors, layers, models, orderings, plots
from keras_ar.heads import Categorical, DiscretizedLogisticMixture, Normal
from keras_ar.noise import randomize

pytestmark = pytest.mark.one_backend  # what it draws are NumPy arrays, computed by what has tests of its own


def render(ax):
    """The dots of the figure of an Axes, `(rows, columns, 3)`, 0 to 255."""
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def inside(ax):
    """The dots of an Axes, without what is written around it."""
    dots = render(ax)
    left, below, right, above = (round(edge) for edge in ax.bbox.extents)
    return dots[len(dots) - above : len(dots) - below, left:right]


def tile(dots, index, columns, image_shape, scale, margin=2):
    """One image of a rendered grid: the dots in the middle of its pixels, and all of its dots."""
    height, width = image_shape[0] * scale + 2 * margin, image_shape[1] * scale + 2 * margin
    top, left = index // columns * height + margin, index % columns * width + margin
    every = dots[top : top + image_shape[0] * scale, left : left + image_shape[1] * scale]
    return every[scale // 2 :: scale, scale // 2 :: scale], every


def random_levels(shape, num_levels, seed=0):
    return np.random.default_rng(seed).integers(0, num_levels, shape)


# JAX compiles random weights anew for each shape; here they are drawn by NumPy, or not looked at.
convolution = functools.partial(layers.MaskedConv2D, kernel_initializer="zeros")


# Images in a grid.


@pytest.mark.parametrize("shape", [(7, 4, 5), (7, 4, 5, 1)], ids=["without-channel", "one-channel"])
def test_gray_values_come_out_as_they_went_in(shape):
    images = random_levels(shape, 256)
    dots = inside(plots.images(images, columns=3, num_levels=256))
    assert dots.shape == (3 * (4 * 16 + 4), 3 * (5 * 16 + 4), 3)
    for i, image in enumerate(images.reshape(7, 4, 5)):
        found, _ = tile(dots, i, 3, (4, 5), 16)
        assert np.abs(found - image[..., None]).max() <= 1
    for i in (7, 8):
        assert (tile(dots, i, 3, (4, 5), 16)[1] == 255).all(), "a place left over is not blank"


def test_colors_come_out_as_they_went_in():
    images = random_levels((4, 3, 2, 3), 256)
    dots = inside(plots.images(images.astype("uint8"), num_levels=256))
    for i, image in enumerate(images):
        found, _ = tile(dots, i, 2, (3, 2), 16)
        assert np.abs(found - image).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (10, 28, 28), (64, 28, 28), (5, 3, 50)])
def test_pixels_are_sharp_squares_in_any_grid(shape):
    images = random_levels(shape, 2)
    dots = inside(plots.images(images, title="Draws of a model, with a title that is longer than the grid is wide"))
    columns = int(np.ceil(np.sqrt(len(images))))
    scale = (dots.shape[1] // columns - 4) // shape[2]
    for i, image in enumerate(images):
        _, every = tile(dots, i, columns, shape[1:], scale)
        expected = image.repeat(scale, axis=0).repeat(scale, axis=1)
        assert (every == 255 * expected[..., None] // max(images.max(), 1)).all()


def test_without_levels_white_is_the_largest_value_and_black_zero_or_the_smallest():
    for images, grays in (([2, 4], [128, 255]), ([-0.5, 0.5], [0, 255]), ([0, 0], [0, 0])):
        dots = inside(plots.images(np.reshape(images, (2, 1, 1)), columns=2))
        assert [int(tile(dots, i, 2, (1, 1), 16)[0][0, 0, 0]) for i in range(2)] == grays


def test_grids_side_by_side_share_their_scale():
    dots = inside(plots.images({"dark": np.full((1, 1, 1), 1), "light": np.full((1, 1, 1), 2)}))
    assert dots[-10, 10].tolist() == [128] * 3
    assert dots[-10, -10].tolist() == [255] * 3


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros((8, 8)), {}, r"`images` must have shape .* Received: images\.shape=\(8, 8\)"),
        (np.zeros((1, 8, 8, 2)), {}, r"`images` must have shape .* Received: images\.shape=\(1, 8, 8, 2\)"),
        (np.zeros((0, 8, 8)), {}, r"at least one image\. Received: images\.shape=\(0, 8, 8\)"),
        (np.full((1, 8, 8), np.nan), {}, "`images` must be finite"),
        (np.full((1, 8, 8), "a"), {}, "`images` must hold numbers. Received: images.dtype=<U1"),
        (np.full((1, 8, 8), 17), {"num_levels": 17}, "between 0 and `num_levels` - 1 = 16. Received: .* from 17 to 17"),
        (np.full((1, 8, 8), -1), {"num_levels": 2}, "between 0 and `num_levels` - 1 = 1. Received: values from -1"),
        (np.zeros((1, 8, 8)), {"num_levels": 1}, "`num_levels` must be an integer of at least 2. .* num_levels=1"),
        (np.zeros((1, 8, 8)), {"columns": 0}, "`columns` must be an integer of at least 1. .* columns=0"),
    ],
)
def test_images_that_are_none_are_refused(images, options, message):
    with pytest.raises(ValueError, match=message):
        plots.images(images, **options)


# What a position sees.


MIXTURE = DiscretizedLogisticMixture(num_channels=3, num_components=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": np.zeros((2, 5))}, r"`x` must have shape \(batch, 4\)"),
        ({"x": np.full((2, 4), 2)}, "`x` must hold integers from 0 to 1"),
        ({"condition": np.zeros(2)}, "`condition` must be given if and only if"),
        ({"seed": -1}, "`seed` must be an integer"),
    ],
)
def test_options_of_a_sensitivity_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        plots.receptive_field(models.FVSBN(4), 1, **options)


def test_a_receptive_field_is_one_of_a_model_that_can_be_drawn():
    with pytest.raises(ValueError, match=r"`model` must be an AutoregressiveModel. Received: model=<Dense"):
        plots.receptive_field(keras.layers.Dense(1))
    with pytest.raises(ValueError, match=r"`model` must have events of up to three axes. .*=\(2, 2, 2, 2\)"):
        plots.receptive_field(models.FVSBN((2, 2, 2, 2)))


RED, WHITE = [214, 39, 40], [255, 255, 255]


def cells_of(axis, rows, columns):
    """The colors in each cell of a receptive field, a little inside its borders: a list for each `(row, column)`."""
    dots = render(axis)
    cells = {}
    for row, column in np.ndindex(rows, columns):
        x, y = axis.transData.transform([(column - 0.4, row + 0.4), (column + 0.4, row - 0.4)]).astype(int).T
        cell = dots[len(dots) - y[1] : len(dots) - y[0], x[0] : x[1]]
        cells[row, column] = np.unique(cell.reshape(-1, 3), axis=0).tolist()
    return cells


def test_a_receptive_field_shows_strength_blind_spots_itself_and_what_comes_later():
    model = AutoregressiveModel.from_layers([convolution(8, 3, mask_type="A")], event_shape=(5, 5, 1))
    cells = cells_of(plots.receptive_field(model, (2, 2), random_weights=True), 5, 5)
    seen = [cells.pop(position) for position in ((1, 1), (1, 2), (1, 3), (2, 1))]
    assert len({tuple(color) for (color,) in seen}) > 1
    assert all(max(color) - min(color) > 30 for (color,) in seen), "seen, but gray"
    assert cells.pop((2, 2)) == [RED]
    for position, colors in cells.items():
        if position < (2, 2):
            assert colors == [WHITE], "a blind spot is not blank"
        else:
            assert len(colors) > 1, "what comes later is not hatched"


class SeesItself(AutoregressiveModel):
    """Not causal at all."""

    def call(self, x):
        return self.head.encode(x)[..., None]


def test_a_receptive_field_shows_what_a_model_sees_though_it_may_not():
    cells = cells_of(plots.receptive_field(SeesItself((2, 2)), (0, 1)), 2, 2)
    assert cells[0, 0] == [WHITE]
    assert len(cells[0, 1]) == 1
    assert cells[0, 1] != [RED]


@pytest.mark.parametrize(
    ("event_shape", "head", "panels"),
    [((6,), "bernoulli", [""]), ((6, 1), "normal", [""]), ((2, 3), "bernoulli", [""]), ((2, 2, 3), MIXTURE, [*"RGB"])],
    ids=["strip", "strip-of-one-channel", "image", "colors"],
)
def test_every_kind_of_event_has_a_picture(event_shape, head, panels):
    ax = plots.receptive_field(models.FVSBN(event_shape, head=head))
    assert texts(ax) == panels
    render(ax)


def texts(ax):
    return [text.get_text() for text in ax.texts]


# Masks.


def test_the_masks_of_made_are_drawn_in_their_order():
    model = models.MADE((3, 4), hidden_units=60, direct=True)
    ax = plots.masks(model)
    parts = [*model.hidden, model.output_layer, model.direct_layer]
    assert texts(ax)[::3] == ["hidden_0", "output", "direct"]
    for i, (image, part) in enumerate(zip(ax.images, parts, strict=True)):
        assert np.array_equal(image.get_array(), part.mask)
        assert texts(ax)[3 * i + 1] == f"{part.units} units"
    lefts = [image.get_extent()[0] for image in ax.images]
    assert all(right - left >= 1 for left, right in itertools.pairwise(lefts)), "one covers the other"


def test_the_mask_of_one_layer_is_drawn_as_well():
    mask = np.triu(np.ones((2, 3)))
    ax = plots.masks(layers.MaskedDense(3, mask), title="A triangle")
    assert np.array_equal(ax.images[0].get_array(), mask)
    assert ax.get_title() == "A triangle"


def test_kernels_are_drawn_whole_for_each_pair_of_colors():
    layer = convolution(6, (3, 5), mask_type="A", num_colors=3)
    layer.build((None, 4, 4, 3))
    ax = plots.masks(layer)
    kernels = [part.get_array().reshape(3, 5) for part in ax.collections[::2]]
    for pair, kernel in enumerate(kernels):
        output, sees = divmod(pair, 3)
        expected = np.array([[1] * 5, [1, 1, sees < output, 0, 0], [0] * 5])
        assert np.array_equal(kernel, expected)
    render(ax)


def test_kernels_masked_alike_share_a_picture():
    model = keras.Sequential(
        [convolution(1, 3, mask_type="A", name=name) for name in "ab"]
        + [convolution(1, 1, name=name) for name in "cde"]
    )
    model.build((None, 4, 4, 1))
    assert texts(plots.masks(model)) == ["a (2 alike)", "c (3 alike)"]


def test_the_masks_of_inner_layers_come_in_the_order_of_their_weights():
    model = models.PixelCNN((3, 3, 1), filters=4, num_blocks=2, kernel_size=5)
    assert texts(plots.masks(model)) == ["stem", "reduce (6 alike)", "middle (2 alike)"]


class Foreign(keras.layers.Layer):
    """A plugin's layer: all that it has is a mask."""

    name = "foreign"
    mask = np.ones((2, 2, 1, 4))


def test_any_layer_with_a_mask_will_do():
    assert texts(plots.masks(Foreign())) == ["foreign"]


@pytest.mark.parametrize("layer", [models.FVSBN(3, name="bare"), layers.MaskedConv2D(1, 3, name="bare")])
def test_what_has_no_mask_is_refused(layer):
    with pytest.raises(ValueError, match=r"`layer` must have masks: .* Received: bare, a \w+, with none in it"):
        plots.masks(layer)


# Features.


def weights_of(ax, columns, shape, scale=32, margin=6):
    """The weights that a rendered grid shows, in units of the color bar's end; NaN where it is gray."""
    dots = ax.images[0].get_array()
    color_map = matplotlib.colormaps["RdBu_r"](np.arange(256), bytes=True)[:, :3].astype(int)
    tiles = []
    for index in range(len(dots) // (shape[0] * scale + 2 * margin) * columns):
        found, _ = tile(dots, index, columns, shape, scale, margin)
        distance = np.abs(found[..., None, :].astype(int) - color_map).sum(axis=-1)
        tiles.append(np.where(distance.min(axis=-1) > 0, np.nan, distance.argmin(axis=-1) / 127.5 - 1))
    return np.array(tiles)


@pytest.mark.parametrize("ordering", ["natural", orderings.random(6, seed=1)], ids=["natural", "random"])
def test_features_lie_where_their_pixels_do_whatever_the_ordering(ordering):
    model = models.MADE((2, 3), hidden_units=4, ordering=ordering)
    kernel = np.random.default_rng(0).uniform(-1, 1, (6, 4))
    kernel[0] = 1.0  # degree 1: what all units see
    model.hidden[0].kernel.assign(kernel)
    found = weights_of(plots.features(model, columns=4), 4, (2, 3)).reshape(4, 6)
    expected = np.where(model.hidden[0].mask > 0, kernel, np.nan)  # (steps, units)
    np.testing.assert_allclose(found[:, model.ordering].T, expected, atol=0.02)


def test_the_features_of_fvsbn_are_the_weights_of_each_position():
    model = models.FVSBN((2, 3))
    randomize(model)
    kernel = keras.ops.convert_to_numpy(model.regressions.unfolded_kernel())[:, 0, :, 0]  # from, to
    found = weights_of(plots.features(model, columns=6), 6, (2, 3)).reshape(6, 6)
    assert np.array_equal(np.isnan(found), np.triu(np.ones((6, 6))) > 0)
    largest = np.nanquantile(np.abs(kernel[np.triu_indices(6, 1)]), 0.995)
    seen = np.tril_indices(6, -1)
    np.testing.assert_allclose(found[seen], np.clip(kernel.T[seen] / largest, -1, 1), atol=0.02)


def test_the_features_of_nade_are_the_rows_that_it_adds():
    model = models.NADE(6, units=5)
    kernel = keras.ops.convert_to_numpy(model.networks.kernel)
    found = weights_of(plots.features(model, (2, 3), columns=5), 5, (2, 3)).reshape(5, 6)
    largest = np.quantile(np.abs(kernel), 0.995)
    np.testing.assert_allclose(found, np.clip(kernel.T / largest, -1, 1), atol=0.02)


def test_kernels_are_shown_whole_and_gray_where_masked():
    model = AutoregressiveModel.from_layers([layers.MaskedConv2D(4, 3, mask_type="A")], event_shape=(5, 5, 1))
    found = weights_of(plots.features(model, columns=4), 4, (3, 3))
    kernel = keras.ops.convert_to_numpy(model.chain[0].kernel)[:, :, 0]  # (2, 3, filters)
    assert np.isnan(found[:, 1, 1:]).all()
    assert np.isnan(found[:, 2]).all()
    largest = np.quantile(np.abs([*kernel[0].ravel(), *kernel[1, 0]]), 0.995)
    np.testing.assert_allclose(np.moveaxis(found[:, 0], 0, -1), np.clip(kernel[0] / largest, -1, 1), atol=0.02)


def test_so_many_features_are_spread_over_all_units():
    model = models.NADE(4, units=9)
    ax = plots.features(model, (2, 2), count=3, columns=3)
    assert ax.get_title() == f"{model.name}: weights of networks, 3 of 9 units"
    kernel = keras.ops.convert_to_numpy(model.networks.kernel)[:, [0, 4, 8]]
    found = weights_of(ax, 3, (2, 2)).reshape(3, 4).T
    np.testing.assert_allclose(found, np.clip(kernel / np.quantile(np.abs(kernel), 0.995), -1, 1), atol=0.02)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (models.CharRNN(4, vocabulary="ab", units=2, num_layers=1), None, "`layer` must be a built layer with"),
        (keras.layers.ReLU(name="r"), None, "`layer` must be a built layer with a `kernel`.* Received: r, a ReLU"),
        (models.NADE(6, units=2), (2, 2), r"`shape` must be .* of 6 values. Received: shape=\(2, 2\)"),
        (models.NADE(6, units=2).networks, None, r"`shape` must be \(rows, columns\): .* for 6 inputs"),
    ],
    ids=["no-positions", "no-kernel", "wrong-shape", "no-shape"],
)
def test_what_has_no_features_is_refused(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        plots.features(layer, shape)


# Neighbors and completions.


def test_each_sample_is_beside_its_nearest_training_images():
    train = random_levels((300, 2, 2), 256, seed=1)
    samples = train[[7, 250]] + np.array([[[0, 1], [0, 0]]])
    dots = plots.neighbors(np.minimum(samples, 255), train, 3, num_levels=256).images[0].get_array()
    distances = ((np.minimum(samples, 255)[:, None] - train) ** 2).sum(axis=(2, 3))
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :3]
    assert nearest[:, 0].tolist() == [7, 250]
    for row, column in np.ndindex(2, 3):
        found, _ = tile(dots[:, 36 + 40 :], 3 * row + column, 3, (2, 2), 16)
        assert np.abs(found[..., 0].astype(int) - train[nearest[row, column]]).max() <= 1


def test_completions_show_the_truth_what_was_known_and_what_came_of_it():
    truth, known = random_levels((2, 2, 2, 1), 256), np.array([[[True], [True]], [[False], [False]]])
    completed = np.stack([np.where(known, truth, 0), np.where(known, truth, 255)])
    ax = plots.completions(truth, known, completed, num_levels=256)
    dots = ax.images[0].get_array()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["truth", "known", "completed"]
    for i in range(2):
        shown, _ = tile(dots, i, 2, (2, 2), 16)
        assert np.array_equal(shown[..., :1], truth[i])
        given, _ = tile(dots[36 + 12 :], i, 2, (2, 2), 16)
        assert np.array_equal(given[0], shown[0])
        assert (given[1] == given[1, 0]).all()
        assert len(set(given[1, 0].tolist())) > 1, "gray, as a pixel might be"
        for k, value in enumerate((0, 255)):
            drawn, _ = tile(dots[2 * (36 + 12) :], 2 * k + i, 2, (2, 2), 16)
            assert np.array_equal(drawn[0], shown[0])
            assert (drawn[1] == value).all()


def test_completions_show_a_pattern_for_each_image():
    truth, known = np.zeros((2, 2, 2), int), np.array([[[True, False]] * 2, [[False, True]] * 2])
    dots = plots.completions(truth, known, truth, num_levels=2).images[0].get_array()
    for i in range(2):
        given, _ = tile(dots[36 + 12 :], i, 2, (2, 2), 16)
        assert [bool((given[:, column] == 0).all()) for column in range(2)] == known[i, 0].tolist()


def test_a_truth_that_nobody_knows_is_not_shown():
    known = np.array([[[True, False]] * 2, [[False, True]] * 2])
    truth, completed = np.where(known, 1.0, np.nan), np.where(known, 1, [[[[1]]], [[[0]]]])
    ax = plots.completions(truth, known, completed, num_levels=2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["known", "completed"]
    dots = ax.images[0].get_array()
    for i in range(2):
        for k in range(2):
            drawn, _ = tile(dots[36 + 12 :], 2 * k + i, 2, (2, 2), 16)
            assert (drawn[known[i]] == 255).all()
            assert (drawn[~known[i]] == 255 * (1 - k)).all()


# Imputations.


def entries(ax):
    """What the legend explains, and the artists that it explains."""
    handles, labels = ax.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def points_of(ax, label):
    return list(zip(*entries(ax)[label].get_data(), strict=True))


def test_real_numbers_are_where_the_scale_of_their_column_has_them():
    truth = np.array([[0.0, 100.0], [10.0, 300.0]])
    known = np.array([[True, False], [True, True]])
    draws = np.linspace(100, 500, 41)[:, None, None]
    ax = plots.imputations(truth, known, np.where(known, truth, draws), names=["a", "b"])
    # In a cell the values go from 0.1 to 0.9: the column b from the truth, 100, to 95% of the draws, 480.
    np.testing.assert_allclose(points_of(ax, "known"), [(0.1, 0), (0.9, 1), (1.1 + 0.8 * 200 / 380, 1)])
    np.testing.assert_allclose(points_of(ax, "truth"), [(1.1, 0)])
    np.testing.assert_allclose(points_of(ax, "median"), [(1.1 + 0.8 * 200 / 380, 0)])
    for label, limits in (("90% of draws", (120, 480)), ("50% of draws", (200, 400))):
        ((first, last),) = entries(ax)[label].get_segments()
        expected = [1.1 + 0.8 * (limit - 100) / 380 for limit in limits]
        np.testing.assert_allclose([first, last], [(x, 0) for x in expected])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a\n0 to 10", "b\n100 to 480"]
    render(ax)


def test_a_bar_is_as_high_as_the_share_of_the_draws():
    truth, known = np.array([[2, 0], [1, 1]]), np.array([[True, False], [False, True]])
    completed = np.repeat(truth[None], 10, axis=0)
    completed[:3, 0, 1], completed[3:5, 0, 1], completed[:, 1, 0] = 1, 2, 2
    ax = plots.imputations(truth, known, completed, num_levels=3)
    bars = {
        (round(bar.get_x() + bar.get_width() / 2, 6), round(bar.get_y())): bar.get_height() for bar in ax.containers[0]
    }
    centers = [0.1 + 0.8 * (level + 0.5) / 3 for level in range(3)]
    for cell, shares in (((0, 1), (0.5, 0.3, 0.2)), ((1, 0), (0.0, 0.0, 1.0))):
        found = [-bars[round(cell[1] + center, 6), cell[0]] / 0.86 for center in centers]
        np.testing.assert_allclose(found, shares, atol=1e-12)
    np.testing.assert_allclose(points_of(ax, "truth"), [(1 + centers[0], 0), (centers[1], 1)])
    np.testing.assert_allclose(points_of(ax, "known"), [(centers[2], 0), (1 + centers[1], 1)])
    assert "truth" not in entries(plots.imputations(np.where(known, truth, np.nan), known, completed, num_levels=3))


def test_many_levels_have_quantiles_and_a_column_of_one_value_is_in_the_middle():
    truth, known = np.full((3, 2), 7), np.array([True, False])
    ax = plots.imputations(truth, known, np.full((5, 3, 2), 7), num_levels=256)
    np.testing.assert_allclose(points_of(ax, "median"), [(1.5, row) for row in range(3)])
    np.testing.assert_allclose(points_of(ax, "known"), [(0.5, row) for row in range(3)])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0\n7", "1\n7"]


@pytest.mark.parametrize("names", [["a long name of many words", "b"] * 2, ["wide"] * 30], ids=["long", "many"])
@pytest.mark.parametrize("count", [1, 12])
def test_nothing_that_is_written_about_a_table_overlaps(count, names):
    truth = np.random.default_rng(0).normal(scale=1000, size=(count, len(names)))
    known = np.random.default_rng(1).random(truth.shape) < 0.5
    ax = plots.imputations(truth, known, truth + np.arange(20)[:, None, None], names=names, title="A title")
    render(ax)
    texts = [*ax.get_xticklabels(), *ax.get_yticklabels(), ax.title, ax.yaxis.label, ax.get_legend()]
    boxes = [text.get_window_extent() for text in texts] + [ax.bbox]
    for one, other in itertools.combinations(boxes, 2):
        width = min(one.x1, other.x1) - max(one.x0, other.x0)
        height = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert width < 1 or height < 1


def test_images_show_the_mean_and_the_deviation_of_what_was_drawn():
    known = np.array([[True, True], [False, False]])
    truth = np.array([[[255, 0], [10, 20]]])
    completed = np.where(known, truth, np.array([[[[0, 0], [0, 100]]], [[[0, 0], [200, 100]]]]))
    ax = plots.imputations(truth, known, completed, num_levels=256)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["truth", "known", "mean", "deviation"]
    dots = ax.images[0].get_array()
    mean, _ = tile(dots[2 * (36 + 12) :], 0, 1, (2, 2), 16)
    assert mean[..., 0].tolist() == [[255, 0], [100, 100]]
    deviation, _ = tile(dots[3 * (36 + 12) :], 0, 1, (2, 2), 16)
    viridis = matplotlib.colormaps["viridis"]
    assert deviation[1].tolist() == [list(viridis(share, bytes=True)[:3]) for share in (1.0, 0.0)]
    assert (np.ptp(deviation[0], axis=-1) == 0).all(), "gray, as viridis is nowhere"
    colored = plots.imputations(np.zeros((1, 2, 2, 3)), np.zeros((2, 2, 3), bool), np.zeros((4, 1, 2, 2, 3)))
    render(colored)


SMALL, UPPER = np.zeros((2, 4, 4)), np.arange(16).reshape(4, 4) < 8


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.neighbors(SMALL, np.zeros((5, 3, 4))), r"`train` must hold images like `samples`.* \(3, 4, 1\)"),
        (lambda: plots.neighbors(SMALL, SMALL, 0), "`count` must be an integer of at least 1"),
        (lambda: plots.neighbors(np.zeros(3), SMALL), r"`samples` must have shape .* Received: samples.shape=\(3,\)"),
        (lambda: plots.completions(SMALL, UPPER.astype(int), SMALL), "`known` must be a boolean array"),
        (lambda: plots.completions(SMALL, UPPER[:2], SMALL), r"`known` must be .* known.shape=\(2, 4\)"),
        (lambda: plots.completions(SMALL, UPPER, SMALL[:1]), r"`completed` must have the shape .*=\(1, 4, 4\)"),
        (
            lambda: plots.completions(SMALL + np.nan, UPPER, SMALL),
            "`truth` must be finite, or NaN where it is not known",
        ),
        (lambda: plots.completions(SMALL, UPPER, SMALL + np.nan), "`completed` must be finite"),
        (lambda: plots.imputations(SMALL, UPPER, SMALL[None]), r"at least two completions .*=\(1, 2, 4, 4\)"),
        (lambda: plots.imputations(SMALL, UPPER, [SMALL] * 2, names="abcd"), "`names` must be None for images"),
        (
            lambda: plots.imputations(SMALL[0], UPPER, [SMALL[0]] * 2, names="abc"),
            "`names` must hold a name for each of 4",
        ),
        (
            lambda: plots.imputations(np.zeros(3), np.ones(3, bool), np.zeros((2, 3))),
            r"`truth` must hold events.*\(3,\)",
        ),
        (lambda: plots.images({}), "`images` must hold at least one grid"),
    ],
)
def test_images_that_do_not_go_together_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


# Learning curves.


def curves_of(ax):
    return {line.get_label(): line.get_data() for line in ax.lines}


def test_the_curves_of_a_history_a_dictionary_and_a_file_are_the_same(tmp_path):
    model = models.FVSBN(4)
    model.compile("sgd")
    file = tmp_path / "log.csv"
    x = random_levels((8, 4), 2)
    history = model.fit(x, epochs=3, validation_data=(x,), verbose=0, callbacks=[keras.callbacks.CSVLogger(str(file))])
    for source in (history, history.history, file, str(file)):
        for unit, key in (("nats", "loss"), ("bits", "bits_per_dim")):
            curves = curves_of(plots.learning_curves(source, unit=unit))
            for name, column in (("training", key), ("validation", f"val_{key}")):
                epochs, values = curves[name]
                assert epochs.tolist() == [1, 2, 3]
                np.testing.assert_allclose(values, history.history[column])


@pytest.mark.parametrize(
    ("history", "name", "epoch"),
    [
        ({"loss": [3.0, 2.0, 1.0], "val_loss": [3.0, 2.5, 2.75]}, "validation", 2),
        ({"loss": [3.0, 1.0, np.nan]}, "training", 2),
    ],
)
def test_the_best_epoch_is_that_of_validation_if_there_is_one(history, name, epoch):
    ax = plots.learning_curves(history)
    mark = ax.lines[-1]
    assert mark.get_xdata() == [epoch]
    assert mark.get_label().startswith(f"best {name}, epoch {epoch}: ")
    render(ax)


def test_the_curves_of_a_bound_say_so():
    ax = plots.learning_curves({"loss": [2.0, 1.0], "bits_per_dim_at_most": [0.5, 0.25]}, unit="bits")
    assert ax.get_ylabel() == "bits per dimension, at most"
    assert ax.lines[0].get_ydata().tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("history", "options", "message"),
    [
        ([1.0, 2.0], {}, "`history` must be what `fit` returns"),
        ({"accuracy": [1.0]}, {}, r"`history` must hold 'loss' .* Received: \['accuracy'\]"),
        ({"loss": [1.0, 2.0], "val_loss": [1.0]}, {}, "a number for each of 2 epochs. Received 1 for validation"),
        ({"loss": [np.nan]}, {}, "0 of them finite"),
        ({"loss": [1.0]}, {"unit": "bans"}, "`unit` must be 'nats' or 'bits'. Received: unit='bans'"),
    ],
)
def test_what_is_no_history_is_refused(history, options, message):
    with pytest.raises(ValueError, match=message):
        plots.learning_curves(history, **options)


# Position by position.


def test_scores_of_conditionals_add_up_to_the_score():
    model = models.MADE((2, 3), hidden_units=8, head=Categorical(3), num_classes=2, ordering="reversed")
    x, condition = random_levels((5, 2, 3), 3), [0, 1, 1, 0, 1]
    found = model.score_conditionals(x, condition, batch_size=2)
    assert found.shape == (5, 2, 3)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), model.score_samples(x, condition), rtol=1e-5)
    # Whatever comes after it in the ordering, the first position keeps its score.
    np.testing.assert_allclose(
        model.score_conditionals(x * (np.arange(6).reshape(2, 3) == 5), condition)[:, 1, 2], found[:, 1, 2], rtol=1e-5
    )


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_a_heat_map_shows_the_mean_of_each_position(unit):
    model = models.FVSBN((2, 3))
    randomize(model)
    x = random_levels((4, 2, 3), 2)
    nats = -model.score_conditionals(x).mean(axis=0)
    expected = nats if unit == "nats" else nats / np.log(2)
    ax = plots.position_nats(model, x, unit=unit)
    np.testing.assert_allclose(ax.images[0].get_array(), expected, rtol=1e-5)
    assert f"{expected.sum():.4g} {unit} per event" in ax.get_title()
    render(ax)


def test_bits_of_real_values_know_their_resolution():
    model = models.FVSBN(3, head=Normal(resolution=0.25))
    x = np.zeros((1, 3))
    expected = 0.5 * math.log2(2 * math.pi) + 2
    np.testing.assert_allclose(plots.position_nats(model, x, unit="bits").lines[0].get_ydata(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("event_shape", "head", "panels"),
    [
        ((6,), "bernoulli", 0),
        ((6, 1), "normal", 0),
        ((2, 3, 1), "bernoulli", 1),
        ((2, 2, 3), "bernoulli", 3),
        ((2, 2, 3), MIXTURE, 1),
    ],
    ids=["line", "line-of-one-channel", "image", "colors", "pixels"],
)
def test_every_kind_of_event_has_a_map_or_a_line(event_shape, head, panels):
    model = models.FVSBN(event_shape, head=head)
    ax = plots.position_nats(model, np.zeros((1, *event_shape)))
    assert len(ax.images) == panels
    assert (len(ax.lines) > 0) == (panels == 0)


def test_nothing_of_a_map_is_cut_off_where_it_is_saved_at_once():
    figure = plots.position_nats(models.FVSBN((8, 8, 1)), np.zeros((1, 8, 8, 1))).figure
    figure.draw_without_rendering()  # as `savefig` does
    written, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(written.x0, written.y0, width - written.x1, height - written.y1) >= 0


@pytest.mark.parametrize("size", [2, 3, 5, 8, 28])
def test_positions_are_whole_numbers(size):
    ax = plots.position_nats(models.FVSBN((size, size, 1)), np.zeros((1, size, size, 1)))
    for tick in (*ax.get_xticks(), *ax.get_yticks()):
        assert tick == int(tick)


@pytest.mark.parametrize("draw", [plots.position_nats, plots.calibration])
def test_scores_are_those_of_a_model_and_its_events(draw):
    with pytest.raises(ValueError, match=r"`model` must be an AutoregressiveModel. Received: model=<Dense"):
        draw(keras.layers.Dense(1), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="`x` must hold integers from 0 to 1"):
        draw(models.FVSBN(2), np.full((1, 2), 2))


# Calibration.


def distance_and_bound(ax):
    *_, distance, _, _, _, bound = ax.get_title().rstrip(")").split()
    return float(distance), float(bound)


@pytest.mark.parametrize("head", [Categorical(7), DiscretizedLogisticMixture(9, 2), Normal()], ids=str)
def test_a_model_is_calibrated_on_its_own_samples_and_not_on_those_of_another(head):
    model, other = models.FVSBN(8, head=head), models.FVSBN(8, head=head)
    for seed, each in ((1, model), (2, other)):
        randomize(each, seed)
        each.set_weights([3 * weight for weight in each.get_weights()])
    x = model.sample(500, seed=5, batch_size=500)
    ax = plots.calibration(model, x, bins=10)
    heights = np.array([patch.get_height() for patch in ax.patches[:10]])
    assert abs(heights.mean() - 1) < 1e-9
    assert np.abs(heights - 1).max() < 3.5 * math.sqrt(9 / 4000)
    distance, bound = distance_and_bound(ax)
    assert distance < bound
    distance, bound = distance_and_bound(plots.calibration(other, x, bins=10))
    assert distance > 2 * bound


def test_a_head_without_distribution_function_has_no_calibration():
    with pytest.raises(ValueError, match=r"`conditional_cdf` needs a head with `cdf`. Received: DiscretizedLogistic"):
        plots.calibration(models.FVSBN((2, 3), head=MIXTURE), np.zeros((1, 2, 3)))


# Distributions on the plane.


@pytest.mark.parametrize("ordering", ["natural", "reversed"])
def test_the_picture_of_a_density_has_its_values_in_place_and_integrates_to_one(ordering):
    model = models.MADE(2, hidden_units=6, head="normal", ordering=ordering)
    randomize(model)
    ax = plots.density(model, -12.0, (12.0, 10.0), num_points=80)
    picture = ax.images[0]
    heights, (left, right, below, above) = picture.get_array(), picture.get_extent()
    assert (left, right, below, above) == (-12.0, 12.0, -12.0, 10.0)
    cell = (right - left) * (above - below) / heights.size
    assert abs(heights.sum() * cell - 1) < 0.03
    row, column = np.unravel_index(heights.argmax(), heights.shape)
    middle = [[left + (right - left) * (column + 0.5) / 80, below + (above - below) * (row + 0.5) / 80]]
    assert heights[row, column] == pytest.approx(np.exp(model.score_samples(middle)[0]), rel=1e-4)


def test_a_density_beyond_its_ends_is_zero_in_the_picture():
    flow = FlowModel(2, bijectors=[Sigmoid()])
    heights = plots.density(flow, -1.0, 2.0, num_points=30).images[0].get_array()
    assert heights[10:20, 10:20].min() > 0
    assert heights[:10].max() == heights[20:].max() == heights[:, :10].max() == heights[:, 20:].max() == 0


class Sigmoid(bijectors.Bijector):
    """From the unit square to the plane."""

    support = Support.reals(0.0, 1.0)

    def to_noise(self, x, condition=None):
        return ops.log(x) - ops.log1p(-x), -ops.sum(ops.log(x * (1 - x)), axis=-1)


FLOW = FlowModel(
    2,
    bijectors=[
        bijectors.Autoregressive(models.MADE(2, hidden_units=4, head="normal", ordering=ordering))
        for ordering in ("natural", "reversed")
    ],
)


def test_points_are_unfolded_to_the_noise_that_a_flow_makes_of_them():
    x = np.random.default_rng(0).normal(size=(50, 2)).astype("float32")
    ax = plots.unfolding(FLOW, x, labels=np.arange(50))
    assert [text.get_text() for text in ax.texts] == ["events", "after 1", "noise"]
    z = ops.convert_to_numpy(FLOW.to_noise(x)[0])
    for scatter, points in ((ax.collections[0], x), (ax.collections[-1], z)):
        shown, drawn = scatter.get_array().astype(int), scatter.get_offsets().data
        assert len(shown) >= 49
        for axis in (0, 1):
            assert np.corrcoef(drawn[:, axis], points[shown, axis])[0, 1] > 0.9999
    circle = next(patch for patch in ax.patches if isinstance(patch, matplotlib.patches.Circle))
    assert circle.radius == pytest.approx(2.0 * np.ptp(drawn[:, 1]) / np.ptp(z[shown, 1]), rel=1e-3)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.density(models.FVSBN(2)), "`model` must have events of two real values"),
        (lambda: plots.density(models.FVSBN(3, head="normal")), "`model` must have events of two real values"),
        (lambda: plots.density(models.FVSBN(2, head="normal"), 1.0, 1.0), "`low` must be below `high`"),
        (lambda: plots.unfolding(models.FVSBN(2, head="normal"), np.zeros((4, 2))), "`flow` must be a FlowModel"),
        (lambda: plots.unfolding(FLOW, np.zeros((3, 2)), labels=[1, 2]), "`labels` must have shape"),
    ],
)
def test_what_is_no_distribution_on_the_plane_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


# matplotlib.

EVERY_PLOT = {
    "images": lambda **ax: plots.images(np.zeros((1, 2, 2)), **ax),
    "neighbors": lambda **ax: plots.neighbors(SMALL, SMALL, **ax),
    "completions": lambda **ax: plots.completions(SMALL, UPPER, SMALL, **ax),
    "imputations": lambda **ax: plots.imputations(SMALL[0], UPPER, [SMALL[0]] * 2, **ax),
    "receptive_field": lambda **ax: plots.receptive_field(models.FVSBN(2), **ax),
    "masks": lambda **ax: plots.masks(layers.MaskedDense(1, np.ones((1, 1))), **ax),
    "features": lambda **ax: plots.features(models.NADE((2, 2), units=4), **ax),
    "learning_curves": lambda **ax: plots.learning_curves({"loss": [1.0]}, **ax),
    "position_nats": lambda **ax: plots.position_nats(models.FVSBN((2, 2)), np.zeros((1, 2, 2)), **ax),
    "calibration": lambda **ax: plots.calibration(models.FVSBN(2), np.zeros((1, 2)), **ax),
    "density": lambda **ax: plots.density(models.FVSBN(2, head="normal"), -1.0, 1.0, num_points=3, **ax),
    "unfolding": lambda **ax: plots.unfolding(FLOW, np.zeros((4, 2)), **ax),
    "waveform": lambda **ax: plots.waveform(np.zeros((2, 400)), 8000, **ax),
    "spectrogram": lambda **ax: plots.spectrogram(np.zeros((2, 400)), 8000, **ax),
}


def test_every_plot_is_among_them():
    assert sorted(EVERY_PLOT) == plots.__all__


@pytest.mark.parametrize("draw", EVERY_PLOT.values(), ids=EVERY_PLOT)
def test_a_plot_draws_in_the_axes_that_it_is_given_or_in_its_own(draw):
    figure = matplotlib.figure.Figure((9, 4))
    left, right = figure.subplots(1, 2)
    assert draw(ax=right) is right
    assert right.has_data()
    assert not left.has_data()
    render(right)
    own = draw()
    assert isinstance(own, matplotlib.axes.Axes)
    assert own.figure is not figure
    dots = render(own)
    edges = [dots[0], dots[-1], dots[:, 0], dots[:, -1]]
    assert all((edge == 255).all() for edge in edges), "something is cut off at the edge of the figure"
    assert pyplot.fignum_exists(own.figure.number), "pyplot shows what it knows"


def test_a_notebook_shows_a_picture_that_pyplot_does_not_know(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    ax = plots.images(np.zeros((3, 4, 4)), num_levels=2)
    assert ax._repr_png_().startswith(b"\x89PNG")
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("draw", EVERY_PLOT.values(), ids=EVERY_PLOT)
def test_what_is_no_axes_is_refused(draw):
    with pytest.raises(ValueError, match=r"`ax` must be a matplotlib Axes, or None.* Received: ax='left'"):
        draw(ax="left")


@pytest.mark.parametrize("draw", EVERY_PLOT.values(), ids=EVERY_PLOT)
def test_without_matplotlib_the_error_says_what_to_install(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"`pip install keras-ar\[plots\]`"):
        draw()


@pytest.mark.parametrize("path", sorted(pathlib.Path(plots.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_the_modules_themselves_do_without_matplotlib(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    runpy.run_path(str(path))


# Sound.


def test_a_waveform_goes_through_its_samples():
    samples = np.sin(np.arange(400) / 20) * np.array([[1.0], [0.5]])
    ax = plots.waveform(samples, rate=100, title="tones")
    tracks = [line for line in ax.lines if len(line.get_xdata()) == 400]
    for line, sequence in zip(tracks, samples, strict=True):
        seconds, values = line.get_data()
        np.testing.assert_allclose(seconds, np.arange(400) / 100)
        np.testing.assert_allclose(values - values[0], sequence, atol=1e-12)
    assert tracks[1].get_ydata().max() < tracks[0].get_ydata().min(), "tracks overlap"
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == labels[: len(labels) // 2] * 2
    render(ax)


def test_a_spectrogram_is_loudest_where_the_tone_is():
    rate = 8000
    tones = [np.sin(2 * np.pi * hertz * np.arange(rate) / rate) for hertz in (1000, 3000)]
    ax = plots.spectrogram(np.array(tones), rate=rate)
    render(ax)
    for image, kilohertz in zip(ax.images, (1.0, 3.0), strict=True):
        picture = image.get_array()
        _, _, lowest, highest = image.get_extent()
        loudest = (np.argmax(picture.mean(axis=1)) + 0.5) / picture.shape[0] * (highest - lowest)
        assert abs(loudest - kilohertz) < 0.05
        assert picture.max() <= 0.0


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.waveform(np.zeros((1, 2, 3)), 8000), r"`samples` must be a finite array.*\(1, 2, 3\)"),
        (lambda: plots.waveform([np.nan], 8000), "`samples` must be a finite array"),
        (lambda: plots.waveform([0.0], 0), "`rate` must be a finite number above 0"),
        (
            lambda: plots.spectrogram(np.zeros(10), 8000),
            "`samples` must be at least as long as a `window`, 200 samples",
        ),
    ],
)
def test_sound_that_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
