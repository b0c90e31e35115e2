"""Numbers about a model are what their definitions say."""

import functools
import math

import keras
import numpy as np
import pytest

from keras_ar import AutoregressiveModel, backend, diagnostics, layers, models, noise, orderings
from keras_ar.heads import Bernoulli, Categorical, DiscretizedLogisticMixture, Normal
from keras_ar.noise import randomize

# JAX compiles random weights anew for each shape; here they are not looked at.
convolution = functools.partial(layers.MaskedConv2D, kernel_initializer="zeros")


def random_levels(shape, num_levels, seed=0):
    return np.random.default_rng(seed).integers(0, num_levels, shape)


# Bits per dimension.


@pytest.mark.parametrize(("event_shape", "num_dims"), [((4, 4, 3), 48), (48, 48), ((1,), 1)])
def test_a_uniform_distribution_over_eight_levels_has_three_bits(event_shape, num_dims):
    assert diagnostics.bits_per_dim(num_dims * math.log(8), event_shape) == pytest.approx(3)


def test_bits_of_a_density_count_the_cells_of_its_grid():
    nats = np.array([0.0, math.log(2)])  # densities of 1 and 1/2, on cells of 1/4: probabilities of 1/4 and 1/8
    np.testing.assert_allclose(diagnostics.bits_per_dim(nats, 1, resolution=0.25), [2, 3])


def test_bits_are_those_that_evaluate_reports():
    model = models.FVSBN((2, 3), head=Normal(resolution=0.5))
    model.compile("sgd")
    x = np.random.default_rng(0).normal(size=(8, 2, 3))
    found = diagnostics.bits_per_dim(-model.score_samples(x), (2, 3), model.support.resolution)
    reported = model.evaluate(x, return_dict=True, verbose=0)["bits_per_dim"]
    assert found.mean() == pytest.approx(reported, rel=1e-5)


# What a position sees.


@pytest.mark.parametrize("ordering", ["natural", "reversed", orderings.random(12, seed=1)], ids=str)
def test_made_sees_all_earlier_positions_and_no_others(ordering):
    model = models.MADE((3, 4), hidden_units=60, ordering=ordering)
    step = np.argsort(model.ordering).reshape(3, 4)
    found = diagnostics.sensitivity(model, (1, 2), random_weights=True)
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
        assert np.allclose(diagnostics.sensitivity(model, position), expected, atol=1e-6)
        assert (expected > 0).tolist() == [i < position for i in range(5)]


def test_parameters_add_up_and_events_are_averaged():
    model = models.MADE(4, hidden_units=8, head=Categorical(3), condition_shape=2)
    x, condition = random_levels((2, 4), 3), np.array([[0.0, 1.0], [1.0, 0.0]], "float32")
    each = [diagnostics.sensitivity(model, 2, x[i : i + 1], condition[i : i + 1]) for i in range(2)]
    assert np.allclose(diagnostics.sensitivity(model, 2, x, condition), np.mean(each, axis=0), rtol=1e-5)

    def params(x):
        return model(x, condition[:1])

    jacobian = backend.jacobian(params, x[:1])[0, 2]  # (params, 1, 4)
    assert np.allclose(each[0], np.abs(jacobian).sum(axis=(0, 1)), rtol=1e-5)


def test_a_chain_of_convolutions_has_a_blind_spot():
    chain = [convolution(8, 3, mask_type="A"), keras.layers.ReLU(), convolution(8, 3)]
    model = AutoregressiveModel.from_layers(chain, event_shape=(5, 7, 1))
    found = diagnostics.sensitivity(model, (3, 3), random_weights=True)
    expected = [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 0, 0],  # the blind spot opens to the right
        [0, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    assert (found[..., 0] > 0).astype(int).tolist() == expected


def test_colors_of_a_pixel_come_one_after_the_other_or_together():
    for head, own, seen in ((Categorical(4), (1, 1, 1), [True, False, False]), (MIXTURE, (1, 1), [False] * 3)):
        model = models.FVSBN((2, 2, 3), head=head)
        found = diagnostics.sensitivity(model, own, random_weights=True)
        assert found.shape == (2, 2, 3)
        assert (found[0] > 0).all()
        assert (found[1, 1] > 0).tolist() == seen


MIXTURE = DiscretizedLogisticMixture(num_channels=3, num_components=2)


def test_random_weights_are_those_of_a_copy_and_a_seed_says_which():
    model = models.FVSBN(4)  # starts at zero
    before = model.get_weights()
    assert not diagnostics.sensitivity(model, 3).any()
    first, again, other = (diagnostics.sensitivity(model, 3, random_weights=True, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_random_events_have_the_scale_of_the_head():
    model = models.FVSBN((3, 3), head=Normal(loc=1000.0, scale=2.0), num_classes=3)
    assert diagnostics.sensitivity(model, (1, 1), random_weights=True)[0].all()


def test_a_condition_may_be_one_class_for_all_events():
    model = models.MADE(4, hidden_units=8, num_classes=3)
    randomize(model)
    x = random_levels((5, 4), 2)
    one, each = (diagnostics.sensitivity(model, 2, x, condition) for condition in (1, np.full(5, 1)))
    assert one.any()
    np.testing.assert_array_equal(one, each)


@pytest.mark.parametrize("position", [4, -1, (1, 1), 0.5, "first", ()])
def test_a_position_is_one_of_the_model(position):
    with pytest.raises(ValueError, match=r"`position` must .* Received: position="):
        diagnostics.sensitivity(models.FVSBN(4), position)


def test_axes_of_size_one_may_be_left_out_and_others_not():
    model = models.FVSBN((2, 3, 1))
    middle, found = (diagnostics.sensitivity(model, position, random_weights=True) for position in (None, (1, 1)))
    assert found.any()
    assert np.array_equal(found, middle)
    with pytest.raises(ValueError, match=r"`position` .* of shape \(2, 3, 1\). Received: position=1"):
        diagnostics.sensitivity(model, 1)


# Calibration.


def test_the_transform_of_binary_and_categorical_values_is_exact():
    for head in (Bernoulli(), Categorical(5)):
        model = models.FVSBN((2, 3), head=head, ordering="reversed")
        randomize(model)
        x = random_levels((40, 2, 3), head.support.num_levels).astype("uint8")
        logits = keras.ops.convert_to_numpy(model(x)).astype("float64")
        if head.support.num_levels == 2:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        cumulative = np.cumsum(weights / weights.sum(axis=-1, keepdims=True), axis=-1)
        cumulative = np.concatenate([np.zeros((40, 2, 3, 1)), cumulative], axis=-1)  # of values below 0, of 0, ...
        below = np.take_along_axis(cumulative, x[..., None].astype(int), axis=-1)[..., 0]
        above = np.take_along_axis(cumulative, x[..., None].astype(int) + 1, axis=-1)[..., 0]
        uniforms = noise.uniforms(3, 2**63, 40, (2, 3))
        found = diagnostics.pit_values(model, x, seed=3, batch_size=16)
        np.testing.assert_allclose(found, below + uniforms * (above - below), atol=1e-6)


def test_the_transform_of_real_values_is_their_distribution_function():
    model = models.FVSBN(3, head=Normal(loc=1.0, scale=2.0))  # starts as that distribution
    x = np.array([[1.0, 3.0, -1.0]])
    expected = [[0.5, 0.5 * (1 + math.erf(0.5**0.5)), 0.5 * (1 - math.erf(0.5**0.5))]]
    np.testing.assert_allclose(diagnostics.pit_values(model, x), expected, atol=1e-6)


def test_the_distance_is_kolmogorovs():
    stats = pytest.importorskip("scipy.stats")
    values = np.sort(np.random.default_rng(0).random(50) ** 1.3)
    assert abs(diagnostics.ks_distance(values) - stats.kstest(values, "uniform").statistic) < 1e-12


# Neighbors.


def test_nearest_neighbors_are_those_of_all_distances():
    train, x = random_levels((5000, 3, 2), 7, seed=1), random_levels((20, 3, 2), 7, seed=2)
    distances = ((x[:, None] - train) ** 2).sum(axis=(2, 3))
    expected = np.argsort(distances, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(diagnostics.nearest_neighbors(x, train, 4), expected)
    assert diagnostics.nearest_neighbors(x, train[:2], 4).shape == (20, 2)


def test_neighbors_have_the_shape_of_events():
    with pytest.raises(ValueError, match=r"`train` must hold events like `x`, of shape \(2,\). Received: of shape \(3"):
        diagnostics.nearest_neighbors(np.zeros((1, 2)), np.zeros((5, 3)))
