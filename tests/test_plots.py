"""Pictures show what is there: every pixel in its place, nothing where a model is blind, masks as layers have them."""

import functools
import runpy
import sys

import keras
import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_ar import AutoregressiveModel, backend, layers, models, orderings, plots
from keras_ar.heads import Categorical, DiscretizedLogisticMixture, Normal


def render(figure):
    """The dots of a figure, `(rows, columns, 3)`, 0 to 255."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def tile(dots, index, columns, image_shape, scale, header=0):
    """One image of a rendered grid: the dots in the middle of its pixels, and all of its dots."""
    height, width = image_shape[0] * scale + 4, image_shape[1] * scale + 4
    top, left = header + index // columns * height + 2, index % columns * width + 2
    every = dots[top : top + image_shape[0] * scale, left : left + image_shape[1] * scale]
    return every[scale // 2 :: scale, scale // 2 :: scale], every


def draws(shape, num_levels, seed=0):
    return np.random.default_rng(seed).integers(0, num_levels, shape)


# JAX compiles random weights anew for each shape; here they are drawn by NumPy, or not looked at.
convolution = functools.partial(layers.MaskedConv2D, kernel_initializer="zeros")


# Images in a grid.


@pytest.mark.parametrize("shape", [(7, 4, 5), (7, 4, 5, 1)], ids=["without-channel", "one-channel"])
def test_grey_values_come_out_as_they_went_in(shape):
    images = draws(shape, 256)
    dots = render(plots.images(images, columns=3, num_levels=256))
    assert dots.shape == (3 * (4 * 16 + 4), 3 * (5 * 16 + 4), 3)
    for i, image in enumerate(images.reshape(7, 4, 5)):
        found, _ = tile(dots, i, 3, (4, 5), 16)
        assert np.abs(found - image[..., None]).max() <= 1
    for i in (7, 8):
        assert (tile(dots, i, 3, (4, 5), 16)[1] == 255).all(), "a place left over is not blank"


def test_colours_come_out_as_they_went_in():
    images = draws((4, 3, 2, 3), 256)
    dots = render(plots.images(images.astype("uint8"), num_levels=256))
    for i, image in enumerate(images):
        found, _ = tile(dots, i, 2, (3, 2), 16)
        assert np.abs(found - image).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (10, 28, 28), (64, 28, 28), (5, 3, 50)])
def test_pixels_are_sharp_squares_in_any_grid(shape):
    images = draws(shape, 2)
    figure = plots.images(images, title="Draws")
    dots = render(figure)
    columns = int(np.ceil(np.sqrt(len(images))))
    scale = (dots.shape[1] // columns - 4) // shape[2]
    for i, image in enumerate(images):
        _, every = tile(dots, i, columns, shape[1:], scale, header=48)
        expected = image.repeat(scale, axis=0).repeat(scale, axis=1)
        assert (every == 255 * expected[..., None] // max(images.max(), 1)).all()


def test_without_levels_white_is_the_largest_value_and_black_zero_or_the_smallest():
    for images, greys in (([2, 4], [128, 255]), ([-0.5, 0.5], [0, 255]), ([0, 0], [0, 0])):
        dots = render(plots.images(np.reshape(images, (2, 1, 1)), columns=2))
        assert [int(tile(dots, i, 2, (1, 1), 16)[0][0, 0, 0]) for i in range(2)] == greys


def test_grids_side_by_side_share_their_scale():
    dots = render(plots.images({"dark": np.full((1, 1, 1), 1), "light": np.full((1, 1, 1), 2)}))
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


@pytest.mark.parametrize("ordering", ["natural", "reversed", orderings.random(12, seed=1)], ids=str)
def test_made_sees_all_earlier_positions_and_no_others(ordering):
    model = models.MADE((3, 4), hidden_units=60, ordering=ordering)
    step = np.argsort(model.ordering).reshape(3, 4)
    found = plots.sensitivity(model, (1, 2), random_weights=True)
    assert found.shape == (3, 4)
    assert ((found > 0) == (step < step[1, 2])).all()


def test_the_sensitivity_of_fvsbn_is_its_weights():
    model = models.FVSBN(5)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    # Its parameters are linear in the values: differences are derivatives.
    corners = model(np.concatenate([np.zeros((1, 5)), np.eye(5)]).astype("float32"))
    params = keras.ops.convert_to_numpy(corners)[..., 0]
    for position in range(5):
        expected = np.abs(params[1:, position] - params[0, position])
        assert np.allclose(plots.sensitivity(model, position), expected, atol=1e-6)
        assert (expected > 0).tolist() == [i < position for i in range(5)]


def test_parameters_add_up_and_events_are_averaged():
    model = models.MADE(4, hidden_units=8, head=Categorical(3), condition_shape=2)
    x, condition = draws((2, 4), 3), np.array([[0.0, 1.0], [1.0, 0.0]], "float32")
    each = [plots.sensitivity(model, 2, x[i : i + 1], condition[i : i + 1]) for i in range(2)]
    assert np.allclose(plots.sensitivity(model, 2, x, condition), np.mean(each, axis=0), rtol=1e-5)

    def params(x):
        return model(x, condition[:1])

    jacobian = backend.jacobian(params, x[:1])[0, 2]  # (params, 1, 4)
    assert np.allclose(each[0], np.abs(jacobian).sum(axis=(0, 1)), rtol=1e-5)


def test_a_chain_of_convolutions_has_a_blind_spot():
    chain = [convolution(8, 3, mask_type="A"), keras.layers.ReLU(), convolution(8, 3)]
    model = AutoregressiveModel.from_layers(chain, event_shape=(5, 7, 1))
    found = plots.sensitivity(model, (3, 3), random_weights=True)
    expected = [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 0, 0],  # the blind spot opens to the right
        [0, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    assert (found[..., 0] > 0).astype(int).tolist() == expected


def test_colours_of_a_pixel_come_one_after_the_other_or_together():
    for head, own, seen in ((Categorical(4), (1, 1, 1), [True, False, False]), (MIXTURE, (1, 1), [False] * 3)):
        model = models.FVSBN((2, 2, 3), head=head)
        found = plots.sensitivity(model, own, random_weights=True)
        assert found.shape == (2, 2, 3)
        assert (found[0] > 0).all()
        assert (found[1, 1] > 0).tolist() == seen


MIXTURE = DiscretizedLogisticMixture(num_channels=3, num_components=2)


def test_random_weights_are_those_of_a_copy_and_a_seed_says_which():
    model = models.FVSBN(4)  # starts at zero
    before = model.get_weights()
    assert not plots.sensitivity(model, 3).any()
    first, again, other = (plots.sensitivity(model, 3, random_weights=True, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_random_events_are_in_the_units_of_the_head():
    events = plots._random_events(models.FVSBN(50, head=Normal(loc=1000.0, scale=2.0)), 8, seed=0)
    assert events.shape == (8, 50)
    assert abs(events.mean() - 1000) < 1
    events = plots._random_events(models.FVSBN((3, 3), head=Categorical(5), ordering="reversed"), 8, seed=0)
    assert np.unique(events).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("position", [4, -1, (1, 1), 0.5, "first", ()])
def test_a_position_is_one_of_the_model(position):
    with pytest.raises(ValueError, match=r"`position` must .* Received: position="):
        plots.sensitivity(models.FVSBN(4), position)


def test_axes_of_size_one_may_be_left_out_and_others_not():
    model = models.FVSBN((2, 3, 1))
    middle, found = (plots.sensitivity(model, position, random_weights=True) for position in (None, (1, 1)))
    assert found.any()
    assert np.array_equal(found, middle)
    with pytest.raises(ValueError, match=r"`position` .* of shape \(2, 3, 1\). Received: position=1"):
        plots.sensitivity(model, 1)


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


def cells_of(figure, rows, columns):
    """The colours in each cell of a receptive field, a little inside its borders: a list for each `(row, column)`."""
    dots, axis = render(figure), figure.axes[0]
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
    assert len({tuple(colour) for (colour,) in seen}) > 1
    assert all(max(colour) - min(colour) > 30 for (colour,) in seen), "seen, but grey"
    assert cells.pop((2, 2)) == [RED]
    for position, colours in cells.items():
        if position < (2, 2):
            assert colours == [WHITE], "a blind spot is not blank"
        else:
            assert len(colours) > 1, "what comes later is not hatched"


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
    ids=["strip", "strip-of-one-channel", "image", "colours"],
)
def test_every_kind_of_event_has_a_picture(event_shape, head, panels):
    figure = plots.receptive_field(models.FVSBN(event_shape, head=head))
    *axes, _ = figure.axes  # the last one is the scale of colours
    assert [axis.get_title() for axis in axes] == panels


# Masks.


def test_the_masks_of_made_are_drawn_in_their_order():
    model = models.MADE((3, 4), hidden_units=60, direct=True)
    figure = plots.masks(model, title="MADE")
    parts = [*model.hidden, model.output_layer, model.direct_layer]
    assert [axis.get_title() for axis in figure.axes] == ["hidden_0", "output", "direct"]
    for axis, part in zip(figure.axes, parts, strict=True):
        assert np.array_equal(axis.images[0].get_array(), part.mask)


def test_the_mask_of_one_layer_is_drawn_as_well():
    mask = np.triu(np.ones((2, 3)))
    (axis,) = plots.masks(layers.MaskedDense(3, mask)).axes
    assert np.array_equal(axis.images[0].get_array(), mask)


def test_kernels_are_drawn_whole_for_each_pair_of_colours():
    layer = convolution(6, (3, 5), mask_type="A", groups=3)
    layer.build((None, 4, 4, 3))
    figure = plots.masks(layer)
    kernels = [part.get_array().reshape(3, 5) for part in figure.axes[0].collections[::2]]
    for pair, kernel in enumerate(kernels):
        output, sees = divmod(pair, 3)
        expected = np.array([[1] * 5, [1, 1, sees < output, 0, 0], [0] * 5])
        assert np.array_equal(kernel, expected)
    render(figure)


def test_kernels_masked_alike_share_a_picture():
    model = keras.Sequential(
        [convolution(1, 3, mask_type="A", name=name) for name in "ab"]
        + [convolution(1, 1, name=name) for name in "cde"]
    )
    model.build((None, 4, 4, 1))
    assert [axis.get_title() for axis in plots.masks(model).axes] == ["a (2 alike)", "c (3 alike)"]


class Foreign(keras.layers.Layer):
    """A plugin's layer: all that it has is a mask."""

    name = "foreign"
    mask = np.ones((2, 2, 1, 4))


def test_any_layer_with_a_mask_will_do():
    (axis,) = plots.masks(Foreign()).axes
    assert axis.get_title() == "foreign"


@pytest.mark.parametrize("layer", [models.FVSBN(3, name="bare"), layers.MaskedConv2D(1, 3, name="bare")])
def test_what_has_no_mask_is_refused(layer):
    with pytest.raises(ValueError, match=r"`layer` must have masks: .* Received: bare, a \w+, with none in it"):
        plots.masks(layer)


# matplotlib.


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.images(np.zeros((1, 2, 2))),
        lambda: plots.receptive_field(models.FVSBN(2)),
        lambda: plots.masks(layers.MaskedDense(1, np.ones((1, 1)))),
    ],
    ids=["images", "receptive_field", "masks"],
)
def test_without_matplotlib_the_error_says_what_to_install(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"`pip install keras-ar\[plots\]`"):
        draw()


def test_the_module_itself_does_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert runpy.run_path(plots.__file__)["__all__"] == plots.__all__


def test_pyplot_hears_nothing_of_a_figure():
    plots.images(np.zeros((1, 2, 2)))
    assert pyplot.get_fignums() == []


# Sound.


def test_a_waveform_goes_through_its_samples():
    samples = np.sin(np.arange(400) / 20) * np.array([[1.0], [0.5]])
    figure = plots.waveform(samples, rate=100, title="tones")
    assert len(figure.axes) == 2
    for axis, sequence in zip(figure.axes, samples, strict=True):
        seconds, values = axis.lines[0].get_data()
        np.testing.assert_allclose(seconds, np.arange(400) / 100)
        np.testing.assert_allclose(values, sequence)
    render(figure)


def test_a_spectrogram_is_loudest_where_the_tone_is():
    rate = 8000
    tones = [np.sin(2 * np.pi * hertz * np.arange(rate) / rate) for hertz in (1000, 3000)]
    figure = plots.spectrogram(np.array(tones), rate=rate)
    render(figure)
    for axis, kilohertz in zip(figure.axes, (1.0, 3.0), strict=False):  # the third is the scale
        picture = axis.images[0].get_array()
        _, _, lowest, highest = axis.images[0].get_extent()
        loudest = lowest + (np.argmax(picture.mean(axis=1)) + 0.5) / picture.shape[0] * (highest - lowest)
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
