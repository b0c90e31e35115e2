"""Mixtures equal scikit-learn's, EM reaches what it must, and what makes no mixture is refused."""

import keras
import numpy as np
import pytest

from keras_ar import models
from keras_ar_latent import PPCA, MixtureOfGaussians, MixtureOfPPCA

CENTERS = np.array([[0.0, 0.0, 0.0], [6.0, 0.0, 1.0], [0.0, 8.0, -2.0]])


def clusters(count=600, seed=0):
    """Three clusters, far from each other, of different widths; and which events are in which."""
    rng = np.random.default_rng(seed)
    which = rng.choice(3, p=[0.5, 0.3, 0.2], size=count)
    wide = rng.normal(size=(3, 3, 3)) * 0.4 + np.eye(3) * 0.5
    return (CENTERS[which] + np.einsum("nij,nj->ni", wide[which], rng.normal(size=(count, 3)))).astype("float32")


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical"])
def test_a_mixture_is_that_of_scikit_learn(covariance):
    mixture = pytest.importorskip("sklearn.mixture")
    x = clusters()
    theirs = mixture.GaussianMixture(3, covariance_type=covariance, tol=1e-10, random_state=0).fit(x.astype("float64"))
    model = MixtureOfGaussians(3, num_components=3, covariance=covariance)
    model.set_components(theirs.weights_, theirs.means_, theirs.covariances_)
    np.testing.assert_allclose(model.score_samples(x), theirs.score_samples(x), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.responsibilities(x), theirs.predict_proba(x), atol=1e-4)
    # Both start from clusters of their own, and end in the same place.
    nats = model.fit_em(x, tolerance=1e-10)
    assert (np.diff(nats) > -1e-9).all()
    np.testing.assert_allclose(model.score_samples(x), theirs.score_samples(x), rtol=1e-3, atol=1e-3)
    assert nats[-1] == pytest.approx(model.score_samples(x).mean(), abs=1e-4)


def test_principal_components_are_those_of_scikit_learn():
    """Theirs divide by one event less: of ours that many times larger, the covariances are the same."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6)) * 3 + rng.normal(size=(400, 6)) + 5.0).astype("float32")
    theirs = decomposition.PCA(2).fit(x.astype("float64"))
    model = PPCA(6, latent_dims=2)
    nats = model.fit_em(x, regularization=0.0)
    assert abs(nats[-1] - nats[0]) < 1e-9  # one step is all
    at_best = theirs.get_covariance() * 399 / 400
    np.testing.assert_allclose(model_covariance(model), at_best, rtol=1e-4, atol=1e-4)
    model.set_components([1.0], theirs.mean_[None], theirs.get_covariance()[None])
    np.testing.assert_allclose(model.score_samples(x), theirs.score_samples(x), rtol=1e-4, atol=1e-4)
    # The plane that events are projected on is theirs, but the latent variables pull them to the mean.
    shrunk = 1 - theirs.noise_variance_ / theirs.explained_variance_
    expected = (theirs.transform(x) * shrunk) @ theirs.components_ + theirs.mean_
    np.testing.assert_allclose(model.reconstruct(x), expected, rtol=1e-4, atol=1e-3)
    whitened = theirs.transform(x) * np.sqrt(shrunk / theirs.explained_variance_)
    np.testing.assert_allclose(np.abs(model.latents(x)), np.abs(whitened), atol=1e-4)


def model_covariance(model):
    loadings, scale = np.array(model.loadings)[0].astype("float64"), np.exp(np.array(model.log_scales)[0])
    return scale**2 * (loadings @ loadings.T + np.eye(len(loadings)))


def test_a_mixture_of_ppca_with_nearly_all_directions_is_a_mixture_of_gaussians():
    x = clusters()
    flat, full = MixtureOfPPCA(3, num_components=3, latent_dims=2), MixtureOfGaussians(3, num_components=3)
    for model in (flat, full):
        model.fit_em(x, tolerance=1e-10)
    np.testing.assert_allclose(flat.score_samples(x), full.score_samples(x), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(flat.responsibilities(x), full.responsibilities(x), atol=1e-3)


@pytest.mark.one_backend
def test_fit_goes_where_em_goes():
    x = clusters()
    by_em, by_gradient = (MixtureOfGaussians(3, num_components=3) for _ in range(2))
    by_em.fit_em(x)
    by_gradient.initialize_from_data(x)
    by_gradient.compile(keras.optimizers.Adam(0.05))
    by_gradient.fit(x, batch_size=len(x), epochs=250, verbose=0)
    assert by_gradient.score_samples(x).mean() == pytest.approx(by_em.score_samples(x).mean(), abs=0.01)


def test_events_far_from_one_and_small_ones_keep_their_digits():
    x = clusters()
    model = MixtureOfGaussians(3, num_components=3)
    expected = model.fit_em(x, regularization=0.0)[-1]
    for scale, center in ((1e-4, 0.0), (1.0, 1000.0), (1e5, 0.0)):
        moved = scale * x.astype("float64") + center
        nats = model.fit_em(moved, regularization=0.0)[-1] + 3 * np.log(scale)
        assert nats == pytest.approx(expected, abs=1e-3)
        assert model.score_samples(moved).mean() + 3 * np.log(scale) == pytest.approx(expected, abs=1e-3)


@pytest.mark.one_backend
def test_a_mixture_is_a_base_and_a_member():
    members = [MixtureOfGaussians(2, num_components=2), PPCA(2, latent_dims=1)]
    assert models.Ensemble(members).sample(3, seed=0).shape == (3, 2)
    assert models.get("ppca", event_shape=3, latent_dims=1).num_components == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MixtureOfGaussians(2, num_components=0), "`num_components` must be"),
        (lambda: MixtureOfGaussians(2, num_components=2, covariance="tied"), "`covariance` must be"),
        (lambda: PPCA(2, latent_dims=2), "`latent_dims` must be less than the 2 entries"),
        (lambda: MixtureOfGaussians(2, num_components=3).fit_em(np.zeros((2, 2))), "`x` must hold at least one event"),
        (lambda: PPCA(2, latent_dims=1).fit_em(np.zeros((5, 3))), "`x` must have shape"),
        (lambda: PPCA(2, latent_dims=1).fit_em(np.eye(2), regularization=-1.0), "`regularization` must be at least 0"),
    ],
)
def test_what_makes_no_mixture_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
