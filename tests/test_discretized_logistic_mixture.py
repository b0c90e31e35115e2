"""The head of PixelCNN++ is exact: at few and at many levels, for sharp and for broad scales, and in its gradients."""

import keras
import numpy as np
import pytest
import reference
from keras import ops, tree

from keras_ar import backend, heads, noise, testing
from keras_ar.testing import statistics


def computed(function, *args):
    args = tree.map_structure(ops.convert_to_tensor, args)
    return tree.map_structure(ops.convert_to_numpy, backend.once(function, *args))


def params_of_all_scales(head, count, bound=7.0):
    """Random parameters with log-scales spread evenly over those that count."""
    params = testing.tools.random_params(head, count).reshape(count, -1, head.num_components)
    log_scales = params[:, 1 + head.num_channels : 1 + 2 * head.num_channels]
    log_scales[:] = np.random.default_rng(1).uniform(-bound, bound, log_scales.shape)
    return params.reshape(count, -1)


def draws_and_scores(head, params):
    def compute(params, uniforms):
        x = head.sample(params, uniforms)
        return x, head.log_prob(params, x)

    uniforms = noise.uniforms(2, 0, len(params), (head.num_uniforms,))
    return computed(compute, params, uniforms)


def score(head, params, x):
    return reference.discretized_logistic_mixture(params, x, head.num_levels, head.num_components)


def gradient(head, params, x):
    variable, x = keras.Variable(params), ops.convert_to_tensor(x)
    return backend.gradients(lambda: ops.sum(head.log_prob(ops.convert_to_tensor(variable), x)), [variable])[0]


@pytest.mark.parametrize("num_channels", [1, 3])
@pytest.mark.parametrize(("num_levels", "atol"), [(2, 1e-5), (16, 1e-4), (256, 5e-4), (65_536, 5e-4)])
def test_it_scores_by_the_equations_of_the_paper(num_levels, atol, num_channels):
    head = heads.DiscretizedLogisticMixture(num_levels, 5, num_channels)
    params = params_of_all_scales(head, 200)
    x, found = draws_and_scores(head, params)
    expected = [score(head, p, value) for p, value in zip(params, x, strict=True)]
    # float32 knows a mean to 1e-7 of the range: beside a scale of e**-7 that is an error of 1e-4 in the exponent.
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("num_levels", [2, 16, 256, 65_536])
def test_probabilities_sum_to_one_however_sharp_or_broad(num_levels):
    head = heads.DiscretizedLogisticMixture(num_levels, 1)
    means, log_scales = np.meshgrid([-3.0, -1.0, -0.37, 0.0, 0.98, 1.5], np.arange(-7.0, 8.0, 2.0))
    params = np.stack([0.0 * means, means, log_scales], axis=-1).astype("float32")
    levels = np.arange(num_levels, dtype="int32")
    log_prob = computed(lambda params: head.log_prob(params[..., None, :], levels), params)
    np.testing.assert_allclose(np.exp(log_prob.astype("float64")).sum(axis=-1), 1.0, rtol=0, atol=1e-5)


def test_log_probabilities_and_gradients_are_finite_everywhere():
    head = heads.DiscretizedLogisticMixture(256, 1)
    means = [0.0, 0.1, -0.7, 1.0, -1.0, 3.0, -3.0, 1e2, -1e2, 1e4, -1e4]
    log_scales = [-1e4, -7.1, -7.0, -3.0, 0.0, 3.0, 7.0, 7.1, 1e4]
    params = np.stack(np.meshgrid([0.0], means, log_scales, np.arange(256.0)), axis=-1).reshape(-1, 4)
    params, x = params[:, :3].astype("float32"), params[:, 3].astype("int32")
    assert np.isfinite(computed(head.log_prob, params, x)).all()
    assert np.isfinite(gradient(head, params, x)).all()


def test_log_probabilities_and_gradients_of_rgb_are_finite_for_any_mix_of_extremes():
    head = heads.DiscretizedLogisticMixture(256, 2, 3)
    rng = np.random.default_rng(3)
    params = rng.choice(np.array([0.0, 1.0, -1.0, 30.0, -30.0, 1e4, -1e4], "float32"), (5_000, head.num_params))
    x = rng.choice(np.array([0, 1, 128, 254, 255], "int32"), (5_000, 3))
    assert np.isfinite(computed(head.log_prob, params, x)).all()
    assert np.isfinite(gradient(head, params, x)).all()


@pytest.mark.parametrize(("num_levels", "num_channels"), [(256, 1), (16, 3)])
def test_gradients_are_the_slopes_of_the_reference(num_levels, num_channels):
    head = heads.DiscretizedLogisticMixture(num_levels, 2, num_channels)
    params = params_of_all_scales(head, 20, bound=3.0)
    x, _ = draws_and_scores(head, params)
    h = 1e-5
    expected = [
        [(score(head, p + h * e, value) - score(head, p - h * e, value)) / (2 * h) for e in np.eye(head.num_params)]
        for p, value in zip(params, x, strict=True)
    ]
    np.testing.assert_allclose(gradient(head, params, x), expected, rtol=1e-4, atol=1e-4)


def test_it_draws_256_levels_as_often_as_it_scores_them():
    testing.heads.check_head_draws_what_it_scores(heads.DiscretizedLogisticMixture())


def test_a_channel_is_rounded_before_the_next_one_sees_it():
    """Sharp and strongly coupled: fed on unrounded, the second channel would come out otherwise."""
    head, count = heads.DiscretizedLogisticMixture(3, 2, 2), 20_000
    params = np.array([0.0, -1.0, 0.2, -0.4, 0.1, 0.3, -1.0, -2.0, -2.5, -3.0, 2.0, -2.0], "float32")
    x, _ = draws_and_scores(head, np.tile(params, (count, 1)))
    expected = np.exp([score(head, params, value) for value in np.indices((3, 3)).reshape(2, -1).T])
    found = np.bincount(x @ [3, 1], minlength=9)
    assert statistics.g_test(found, expected * count) > 1e-4


def test_values_drawn_together_have_no_cdf():
    head = heads.DiscretizedLogisticMixture(num_channels=3)
    assert "cdf" not in head.capabilities
    with pytest.raises(ValueError, match=r"`cdf` needs a head with `cdf`.*num_channels=3"):
        head.cdf(testing.tools.random_params(head, 1), np.zeros((1, 3)))


@pytest.mark.parametrize("argument", ["num_levels", "num_components", "num_channels"])
def test_its_arguments_are_checked(argument):
    with pytest.raises(ValueError, match=rf"`{argument}` must be an integer .*Received: {argument}=0"):
        heads.DiscretizedLogisticMixture(**{argument: 0})
