"""Discrete codes: their bound beside the sum over all codes, what `fit_prior` changes, and what is refused."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_ar import heads, models, noise
from keras_ar.testing import all_events, checks_for
from keras_ar_latent import VQVAE, PixelVAE


def small(**kwargs):
    keras.utils.set_random_seed(0)
    return VQVAE(4, **{"code_shape": 2, "num_codes": 3, "code_dims": 2, "encoder": 8, "decoder": 8, **kwargs})


def test_the_bound_is_one_term_of_the_sum_over_all_codes():
    model = small()
    noise.randomize(model)
    x = all_events(model)
    codes = all_events(model.prior)  # 9 of them, of two integers each
    log_prior = model.prior.score_samples(codes).astype("float64")
    terms = np.stack(
        [log_p + conditional(model, x, code) for code, log_p in zip(codes, log_prior, strict=True)], axis=1
    )
    own = (model.codes(x) * [3, 1]).sum(axis=1)
    bounds = model.score_samples(x)
    np.testing.assert_allclose(bounds, terms[np.arange(len(x)), own], atol=1e-4)
    likelihoods = np.logaddexp.reduce(terms, axis=1)
    assert np.exp(likelihoods).sum() == pytest.approx(1.0, abs=1e-4)
    assert (bounds < likelihoods).all()
    # Samples follow the likelihood, above the bound.
    shares = np.bincount(model.sample(4000, seed=0) @ [8, 4, 2, 1], minlength=16) / 4000
    np.testing.assert_allclose(shares, np.exp(likelihoods), atol=0.03)


def conditional(model, x, code):
    """`log p(x | k)` of all events and one code."""
    condition = model.code(ops.convert_to_tensor(np.repeat(code[None], len(x), axis=0)))
    return ops.convert_to_numpy(model.decoder.log_prob(x, condition)).astype("float64")


def test_codes_are_the_nearest_vectors():
    model = small()
    x = all_events(model)
    vectors = ops.convert_to_numpy(model.encode(x))
    away = np.square(vectors[..., None, :] - ops.convert_to_numpy(model.codebook)).sum(axis=-1)
    np.testing.assert_array_equal(model.codes(x), away.argmin(axis=-1))
    np.testing.assert_allclose(model.reconstruct(x), model.decode(model.codes(x)), atol=1e-6)


@pytest.mark.one_backend
def test_fit_finds_codes_for_what_there_is():
    """Three events, far from each other: a code for each, and a prior that knows how often they come."""
    kinds = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    x = kinds[np.random.default_rng(0).choice(3, p=[0.5, 0.3, 0.2], size=600)]
    keras.utils.set_random_seed(1)
    model = VQVAE(6, code_shape=1, num_codes=4, code_dims=2, encoder=16, decoder=16)
    model.initialize_from_data(x)
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(x, epochs=40, batch_size=100, verbose=0).history
    assert history["reconstruction"][-1] < 0.1
    others = {v.path: ops.convert_to_numpy(v) for v in model.variables if "prior" not in v.path}
    model.fit_prior(x, epochs=20, batch_size=100, optimizer=keras.optimizers.Adam(0.01), verbose=0)
    entropy = -sum(p * np.log(p) for p in np.bincount(x @ [1, 0, 0, 2, 0, 0]) / 600)
    assert -model.score_samples(x).mean() == pytest.approx(entropy, abs=0.15)
    assert len(np.unique(model.codes(kinds))) == 3
    found = model.evaluate(x, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(found["reconstruction"] + found["of_codes"], abs=1e-4)
    for variable in model.variables:
        if "prior" not in variable.path:
            np.testing.assert_array_equal(ops.convert_to_numpy(variable), others[variable.path])


@keras.saving.register_keras_serializable(package="tests")
class WithoutPrior(VQVAE):
    """An autoencoder that forgets that codes cost something, as most tables do."""

    def log_prob_from(self, outputs, x):
        return outputs[:, 0]


@pytest.mark.one_backend
def test_a_score_without_the_codes_is_found():
    model = WithoutPrior(4, code_shape=2, num_codes=3, code_dims=2, encoder=8, decoder=8)
    with pytest.raises(AssertionError, match="sum to 1 at most"):
        checks_for(model)["check_normalized"]()


@pytest.mark.one_backend
def test_what_makes_no_codes_is_refused():
    for arguments, message in (
        ({"num_codes": 1}, "`num_codes` must be"),
        ({"encoder": keras.layers.Dense(5)}, "`encoder` must make vectors of shape \\(2, 2\\)"),
        ({"decoder": models.FVSBN(4)}, "`decoder` must have condition_shape=\\(2, 2\\)"),
        ({"prior": models.FVSBN(2)}, "`prior` must be a density of integers from 0 to 2"),
        ({"prior": models.FVSBN(3, head=heads.Categorical(3))}, "`prior` must have event_shape=\\(2,\\)"),
        ({"commitment": 0.0}, "`commitment` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            small(**arguments)
    with pytest.raises(ValueError, match="`hidden` must hold integers from 0 to 2"):
        small().decode([[0, 3]])
    with pytest.raises(ValueError, match="`event_shape` must be"):
        PixelVAE(16)
