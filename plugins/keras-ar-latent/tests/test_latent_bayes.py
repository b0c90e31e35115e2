"""Bayes beside closed forms: tables with Dirichlet priors, and a mean whose posterior distribution is known."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_ar import DensityModel, GaussianPrior, Support, models
from keras_ar.testing import all_events
from keras_ar_latent import SGLD, ConditionalTables, Snapshots

LEVELS, DIMS = 3, 3
X = np.random.default_rng(0).integers(0, LEVELS, (25, DIMS)) * np.array([1, 1, 0]) + np.array([0, 0, 1])
X[:5] = [2, 2, 0]


def by_counting(x, extra):
    """The product over entries of `(count + extra) / (total + levels * extra)`, by going through the data."""
    found = 1.0
    for i in range(DIMS):
        before = (X[:, :i] == x[:i]).all(axis=1)
        total = before.sum() + LEVELS * extra
        found *= (((X[before, i] == x[i]).sum() + extra) / total) if total else 1 / LEVELS
    return found


@pytest.mark.parametrize(
    ("estimate", "concentration", "extra"),
    [("mode", 1.0, 0.0), ("mode", 3.0, 2.0), ("mean", 1.0, 1.0), ("mean", 0.5, 0.5)],
)
def test_tables_are_their_closed_forms(estimate, concentration, extra):
    model = ConditionalTables(DIMS, num_levels=LEVELS)
    model.fit_tables(X, estimate=estimate, concentration=concentration)
    events = all_events(model)
    expected = np.array([by_counting(x, extra) for x in events])
    np.testing.assert_allclose(np.exp(model.score_samples(events)), expected, rtol=1e-4, atol=1e-12)
    assert expected.sum() == pytest.approx(1.0)


@pytest.mark.one_backend
def test_the_most_likely_tables_are_where_fit_goes():
    by_count, by_fit = ConditionalTables(2, num_levels=2), ConditionalTables(2, num_levels=2)
    x = np.array([[0, 0]] * 5 + [[0, 1]] * 3 + [[1, 0]] * 2 + [[1, 1]] * 6)
    by_count.fit_tables(x)
    by_fit.compile(keras.optimizers.SGD(2.0))
    by_fit.fit(x, batch_size=len(x), epochs=60, verbose=0)
    np.testing.assert_allclose(by_fit.score_samples(x), by_count.score_samples(x), atol=1e-3)


def test_an_ensemble_of_posterior_draws_is_the_predictive():
    model, scores, members = ConditionalTables(DIMS, num_levels=LEVELS), [], []
    events = all_events(model)
    expected = np.array([by_counting(x, 1.0) for x in events])
    for seed in range(200):
        model.fit_tables(X, concentration=1.0, estimate="draw", seed=seed)
        scores.append(np.exp(model.score_samples(events)))
        if seed < 20:
            members.append(ConditionalTables(DIMS, num_levels=LEVELS, name=f"draw_{seed}"))
            members[-1].set_weights(model.get_weights())
    error = np.std(scores, axis=0) / math.sqrt(len(scores))
    assert (np.abs(np.mean(scores, axis=0) - expected) < 5 * error).all()
    ensemble = np.exp(models.Ensemble(members).score_samples(events))
    np.testing.assert_allclose(ensemble, np.mean(scores[:20], axis=0), rtol=1e-4)
    off = [np.square(np.mean(scores[:count], axis=0) - expected).sum() for count in (1, 20, 200)]
    assert off[0] > off[1] > off[2]


@keras.saving.register_keras_serializable(package="tests")
class Mean(DensityModel):
    """Normal variables of variance one, whose mean has a normal prior, and so a normal posterior."""

    support = Support.reals()

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.means = self.add_weight((400,), "zeros", regularizer=GaussianPrior(0.5, num_events=10))

    def call(self, x):
        """Four hundred means, each with the same events: as many chains at once."""
        return ops.sum(-0.5 * ops.square(x - self.means) - 0.5 * np.log(2 * np.pi), axis=-1)

    def log_prob_from(self, outputs, x):
        return outputs


def test_langevin_dynamics_draws_from_the_posterior():
    x = np.random.default_rng(0).normal(2.0, 1.0, (10, 1))
    precision = 10 + 1 / 0.5**2
    model = Mean(1)
    model.compile(SGLD(0.15, num_events=10, seed=0))
    snapshots = Snapshots(first=40, every=10)
    model.fit(x, batch_size=10, epochs=60, callbacks=[snapshots], verbose=0)
    means = np.concatenate([weights[0] for weights in snapshots.weights])
    assert len(means) == 1200
    error = 1 / math.sqrt(precision * len(means))
    assert abs(means.mean() - x.sum() / precision) < 4 * error
    # A step that is not small makes the chain wider, by a factor that is known for a normal posterior.
    variance = 1 / precision / (1 - 0.15 * precision / 10 / 2)
    assert means.var() == pytest.approx(variance, rel=4 * math.sqrt(2 / len(means)))


def test_an_optimizer_with_noise_goes_on_where_its_file_ends(tmp_path):
    x = np.random.default_rng(0).integers(0, 2, (20, 3))
    model = models.FVSBN(3)
    model.compile(SGLD(0.1, num_events=20, seed=3))
    model.fit(x, batch_size=20, epochs=3, verbose=0)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, twin):
        each.fit(x, batch_size=20, epochs=2, verbose=0)
    for one, other in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
        assert len(np.unique(one)) > 1 or one.size == 1


@pytest.mark.one_backend
def test_what_makes_no_bayesian_is_refused():
    model = ConditionalTables(2)
    for call, message in (
        (lambda: ConditionalTables(30), "`event_shape` must be that of events with at most"),
        (lambda: ConditionalTables(2, num_levels=1), "`num_levels` must be"),
        (lambda: model.fit_tables([[0, 2]]), "`x` must hold integers from 0 to 1"),
        (lambda: model.fit_tables([[0, 1]], concentration=0.5), "`concentration` must be at least 1"),
        (lambda: model.fit_tables([[0, 1]], estimate="median"), "`estimate` must be"),
        (lambda: Snapshots(every=0), "`every` must be"),
        (lambda: Snapshots().ensemble(), "`first` must be at most"),
        (lambda: SGLD(num_events=0), "`num_events` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    plain = keras.Sequential([keras.layers.Dense(1)])
    plain.compile("sgd", "mse")
    with pytest.raises(ValueError, match="`Snapshots` is for density models"):
        plain.fit(np.ones((2, 1)), np.ones((2, 1)), callbacks=[Snapshots()], verbose=0)
