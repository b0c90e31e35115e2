"""Autoencoders: a linear one beside its closed likelihood, what the log says, and faults that the kit must find."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_ar import FlowModel, bijectors, heads, models, noise
from keras_ar.numerics import normal_quantile
from keras_ar.testing import checks_for
from keras_ar_latent import PPCA, VAE, ConditionalAffine, KLWarmUp, MixtureOfGaussians

DIMS, LATENT, SCALE = 5, 2, 0.4


def linear_pair(turn):
    """A PPCA, and a VAE that is the same density, with the best diagonal posterior; its latent variables are turned."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(DIMS, LATENT)))[0] * [2.0, 0.8]
    mean = rng.normal(size=DIMS)
    ppca = PPCA(DIMS, latent_dims=LATENT)
    ppca.set_components([1.0], [mean], [directions @ directions.T + SCALE**2 * np.eye(DIMS)])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    loadings = directions @ rotation
    precision = loadings.T @ loadings / SCALE**2 + np.eye(LATENT)
    to_mean = np.linalg.solve(precision, loadings.T) / SCALE**2

    vae = VAE(DIMS, latent_shape=LATENT, encoder=keras.layers.Flatten(), decoder=(), head=heads.Normal())
    encode = vae.posterior.bijectors[0].to_params
    encode.kernel.assign(np.concatenate([to_mean.T, np.zeros((DIMS, LATENT))], axis=1))
    encode.bias.assign(np.concatenate([-to_mean @ mean, -0.5 * np.log(np.diag(precision))]))
    kernel, bias = np.zeros((LATENT, DIMS, 2)), np.zeros((DIMS, 2))
    kernel[..., 0], bias[:, 0], bias[:, 1] = loadings.T, mean, np.log(SCALE)
    vae.decoder.output_layer.kernel.assign(kernel.reshape(LATENT, -1))
    vae.decoder.output_layer.bias.assign(bias.ravel())
    return ppca, vae


def test_where_the_posterior_is_exact_every_guess_is_the_likelihood_of_ppca():
    ppca, vae = linear_pair(turn=0.0)
    x = ppca.sample(50, seed=0)
    expected = ppca.score_samples(x)
    for seed in (0, 1):
        np.testing.assert_allclose(vae.score_samples(x, seed=seed), expected, atol=1e-4)
    np.testing.assert_allclose(vae.latents(x)[:, 0] ** 2, ppca.latents(x)[:, 0] ** 2, atol=1e-4)
    np.testing.assert_allclose(vae.reconstruct(x), ppca.reconstruct(x), atol=1e-4)


def test_bounds_rise_to_the_likelihood_of_ppca():
    ppca, vae = linear_pair(turn=0.78)
    x = ppca.sample(200, seed=0)
    expected = ppca.score_samples(x).mean()
    kernel = np.array(vae.decoder.output_layer.kernel).reshape(LATENT, DIMS, 2)[..., 0].astype("float64")
    precision = kernel @ kernel.T / SCALE**2 + np.eye(LATENT)
    gap = 0.5 * np.log(np.diag(precision).prod() / np.linalg.det(precision))  # the divergence of the two posteriors
    gaps = [expected - vae.score_samples(x, num_draws=count).mean() for count in (1, 10, 100, 1000)]
    assert gaps[0] > gaps[1] > gaps[2] > gaps[3] - 0.01
    assert gaps[0] == pytest.approx(gap, abs=0.1)
    assert abs(gaps[3]) < 0.02


# The log, and what changes training but no score.


def small(**kwargs):
    keras.utils.set_random_seed(0)
    return VAE(4, latent_shape=2, encoder=8, decoder=8, **kwargs)


X = np.random.default_rng(0).integers(0, 2, (64, 4))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"beta": 0.25}, lambda logs: logs["reconstruction"] + 0.25 * logs["kl"]),
        pytest.param({}, lambda logs: logs["reconstruction"] + logs["kl"], marks=pytest.mark.one_backend),
        pytest.param(
            {"free_bits": 50.0, "beta": 2.0},
            lambda logs: logs["reconstruction"] + 100.0,
            marks=pytest.mark.one_backend,
        ),
    ],
)
def test_beta_and_free_bits_change_what_is_lowered_and_no_score(arguments, expected):
    plain, model = small(), small(**arguments)
    np.testing.assert_array_equal(plain.score_samples(X), model.score_samples(X))
    model.compile("sgd")
    found = model.evaluate(X, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(found["reconstruction"] + found["kl"], abs=1e-4)
    logs = model.train_on_batch(X, return_dict=True)
    assert float(logs["loss"]) == pytest.approx(float(expected(logs)), abs=1e-4)


def test_the_active_units_are_those_that_differ():
    _, vae = linear_pair(turn=0.0)
    vae.compile("sgd")
    x = np.random.default_rng(0).normal(size=(200, DIMS))
    assert vae.evaluate(x, verbose=0, return_dict=True)["active_units"] == 2
    kernel = np.array(vae.posterior.bijectors[0].to_params.kernel)
    vae.posterior.bijectors[0].to_params.kernel.assign(kernel * [1.0, 0.0, 1.0, 1.0])
    assert vae.evaluate(x, verbose=0, return_dict=True)["active_units"] == 1


def test_a_posterior_begins_narrow_at_places_that_differ_from_event_to_event():
    vae = VAE(5, latent_shape=3, encoder=keras.layers.Flatten(), head=heads.Normal())
    features = np.random.default_rng(0).normal(size=(500, 5)).astype("float32")
    z, log_det = vae.posterior.bijectors[0](np.zeros((500, 3), "float32"), features)
    np.testing.assert_allclose(ops.convert_to_numpy(log_det), 3 * np.log(8.0), rtol=1e-5)
    assert (ops.convert_to_numpy(z).std(axis=0) > 1.0).all()  # in units of the scale


def test_the_divergence_warms_up():
    model = small(beta=0.5)
    model.compile("adam")
    history = model.fit(X, epochs=3, callbacks=[KLWarmUp(2)], verbose=0).history
    assert history["beta"] == [0.25, 0.5, 0.5]
    assert history["loss"][0] == pytest.approx(history["reconstruction"][0] + 0.25 * history["kl"][0], rel=1e-3)
    assert float(model.beta) == 0.5
    for other in (models.FVSBN(4), small(objective="iwae")):
        other.compile("adam")
        with pytest.raises(ValueError, match="`KLWarmUp` is for a `VAE`"):
            other.fit(X, callbacks=[KLWarmUp(2)], verbose=0)


@pytest.mark.one_backend
def test_lines_between_events_begin_and_end_at_their_reconstructions():
    model = small()
    noise.randomize(model)
    line = model.interpolate(X[:3], X[3:6], num_steps=5)
    assert line.shape == (3, 5, 4)
    np.testing.assert_allclose(line[:, 0], model.reconstruct(X[:3]), atol=1e-5)
    np.testing.assert_allclose(line[:, -1], model.reconstruct(X[3:6]), atol=1e-5)
    assert ((line > 0) & (line < 1)).all()
    drawn = model.reconstruct(X, means=False, seed=1)
    assert set(np.unique(drawn)) == {0, 1}
    np.testing.assert_array_equal(drawn[:7], model.reconstruct(X[:7], means=False, seed=1, batch_size=3))


# Faults.


@keras.saving.register_keras_serializable(package="tests")
class Faulty(VAE):
    """An autoencoder with one fault."""

    fault = None

    def sum_of_terms(self, terms):
        log_p_x, log_p_z, log_q = ops.unstack(terms, 3, axis=-1)
        if self.fault == "a beta that is left in the score":
            return log_p_x + 0.5 * (log_p_z - log_q)
        if self.fault == "a divergence with the wrong sign":
            return log_p_x - log_p_z + log_q
        return log_p_x + log_p_z - log_q

    def terms(self, x, noise, features, training=None):
        log_p_x, log_p_z, log_q = ops.unstack(super().terms(x, noise, features, training), 3, axis=-1)
        z, _ = self.posterior.draw(noise, features)
        if self.fault == "a posterior without its log-determinant":
            log_q = self.posterior.base_log_prob(normal_quantile(noise[..., 0]))
        if self.fault == "a decoder that sees the event":
            z = z + 3.0 * (2.0 * ops.cast(x, "float32")[:, :1] - 1.0)
            log_p_x = self.decoder.log_prob_from(self.decoder(x, z), x)
        return ops.stack([log_p_x, log_p_z, log_q], axis=-1)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "fault",
    [
        None,
        "a beta that is left in the score",
        "a divergence with the wrong sign",
        "a posterior without its log-determinant",
        "a decoder that sees the event",
    ],
)
def test_a_fault_is_found(fault, monkeypatch):
    monkeypatch.setattr(Faulty, "fault", fault)
    check = checks_for(Faulty(3, latent_shape=1, encoder=4, decoder=4))["check_bound_sums_to_one"]
    if fault is None:
        check()
    else:
        with pytest.raises(AssertionError, match=r"lower bounds|not to 1"):
            check()


# What is refused.


def made(**kwargs):
    return models.MADE(2, hidden_units=3, head="normal", condition_shape=8, **kwargs)


@pytest.mark.one_backend
def test_what_makes_no_autoencoder_is_refused():
    loop = bijectors.Autoregressive(made())
    inverse = FlowModel(
        2, bijectors=[bijectors.Inverse(bijectors.Autoregressive(made(name="other")))], condition_shape=8
    )
    normal = FlowModel(2, bijectors=[])
    for arguments, message in (
        ({"posterior": [loop]}, "`posterior` must draw in one pass"),
        (
            {"posterior": FlowModel(2, bijectors=[], base=made(), condition_shape=8)},
            "`posterior` must draw in one pass",
        ),
        ({"posterior": MixtureOfGaussians(2, num_components=2)}, "`posterior` must be a FlowModel of all real numbers"),
        (
            {"posterior": FlowModel(2, bijectors=[], condition_shape=7)},
            "`posterior` must have condition_shape=\\(8,\\)",
        ),
        ({"posterior": Bound(2, condition_shape=8)}, "`posterior` must be a density with exact likelihoods"),
        ({"prior": models.FVSBN(2)}, "`prior` must be a density of all real numbers"),
        ({"prior": FlowModel(3, bijectors=[])}, "`prior` must have event_shape=\\(2,\\)"),
        ({"prior": inverse}, "`prior` must have condition_shape=None"),
        ({"decoder": models.FVSBN(4)}, "`decoder` must have condition_shape=\\(2,\\)"),
        ({"decoder": models.FVSBN(4, num_classes=2)}, "`decoder` must take vectors"),
        ({"decoder": normal}, "`decoder` must have event_shape=\\(4,\\)"),
        ({"beta": -1.0}, "`beta` must be at least 0"),
        ({"free_bits": -1.0}, "`free_bits` must be at least 0"),
        ({"beta": 0.5, "objective": "iwae"}, "`objective` must be 'elbo'"),
        ({"latent_shape": 0}, "`latent_shape` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            VAE(4, **{"latent_shape": 2, "encoder": 8, **arguments})
    model = small()
    for call, message in (
        (lambda: model.decode(np.zeros((2, 3))), "`hidden` must have shape"),
        (lambda: model.interpolate(X[:2], X[:3]), "`last` must hold 2 events"),
        (lambda: model.interpolate(X[:2], X[:2], num_steps=1), "`num_steps` must be"),
        (lambda: model.latents(X + 2), "`x` must hold integers from 0 to 1"),
        (lambda: ConditionalAffine(initial_scale=0.0), "`initial_scale` must be a finite number above 0"),
        (lambda: ConditionalAffine()(np.zeros((1, 2), "float32")), "`condition` must be given"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@keras.saving.register_keras_serializable(package="tests")
class Bound(FlowModel):
    """A density that says that its scores are bounds."""

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, bijectors=[], **kwargs)
        self.exact = False


def test_draws_of_a_decoder_without_means_are_its_samples():
    model = VAE(4, latent_shape=2, encoder=3, decoder=models.FVSBN(4, condition_shape=2))
    assert model.reconstruct(X[:5]).dtype == "int32"
    with pytest.raises(ValueError, match="`means` must be False"):
        model.reconstruct(X[:5], means=True)
