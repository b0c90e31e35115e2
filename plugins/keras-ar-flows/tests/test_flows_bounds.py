"""Dequantized flows: their bounds beside the integrals that they bound, and faults that the kit must find."""

import math
import statistics

import keras
import numpy as np
import pytest
from keras import ops
from typer.testing import CliRunner

from keras_ar import FlowModel, bijectors, models, noise
from keras_ar.testing import checks_for
from keras_ar_cli import app
from keras_ar_flows import ActNorm, Dequantized, ElementwiseAffine, RealNVP

LEVELS = 5


def simple_flow():
    """A standard normal on the line, so that the probability of a cell is known."""
    return FlowModel(1, bijectors=[])


def cells():
    """The integrals of a standard normal over cells between logits."""
    edges = [-math.inf, *(math.log(k / (LEVELS - k)) for k in range(1, LEVELS)), math.inf]
    return np.diff([statistics.NormalDist().cdf(edge) for edge in edges])


def posterior():
    model = RealNVP(2, num_layers=1, hidden_units=4, condition_shape=2, name="posterior")
    noise.randomize(model)
    return model


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_bounds_come_close_to_the_integral_over_a_cell(objective):
    wide = FlowModel(1, bijectors=[ElementwiseAffine()], condition_shape=1)
    wide.bijectors[0].vectors["log_scale"].assign([math.log(2.0)])  # so that no fraction is guessed too rarely
    for q in (None, wide):
        model = Dequantized(simple_flow(), num_levels=LEVELS, posterior=q, objective=objective)
        x, expected = np.tile(np.arange(LEVELS), 4000).reshape(-1, 1), cells()
        one = model.score_samples(x, num_draws=1, batch_size=4000).reshape(4000, LEVELS)
        np.testing.assert_allclose(np.exp(one).mean(axis=0), expected, rtol=0.05)
        many = model.score_samples(x[: 10 * LEVELS], num_draws=40).reshape(10, LEVELS).mean(axis=0)
        assert (one.mean(axis=0) < many).all()
        assert (many < np.log(expected) + 0.05).all()


@pytest.mark.one_backend
def test_a_flow_that_sees_the_integers_learns_to_guess_better():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).choice(4, p=[0.7, 0.1, 0.1, 0.1], size=(512, 2))
    losses = []
    for q in (None, posterior()):
        model = Dequantized(RealNVP(2, num_layers=2, hidden_units=16), num_levels=4, posterior=q)
        model.compile(keras.optimizers.Adam(1e-2))
        model.fit(x, epochs=15, batch_size=128, verbose=0)
        losses.append(-model.score_samples(x, num_draws=20).mean())
    entropy = -2 * (0.7 * math.log(0.7) + 0.3 * math.log(0.1))
    assert losses[0] < entropy + 0.6
    assert losses[1] < losses[0] + 0.05


@keras.saving.register_keras_serializable(package="tests")
class Faulty(Dequantized):
    """A dequantized flow with one fault."""

    fault = None

    def log_weight(self, x, noise, condition=None, training=None):
        found = super().log_weight(x, noise, condition, training)
        if self.fault == "a mean where a sum belongs":
            return found / self.num_dims
        if self.fault == "the posterior with the wrong sign":
            return found + 2.0 * self.fractions(ops.cast(x, "float32"), noise)[2]
        return found

    def to_reals(self, x, log_fraction, log_rest):
        z, log_det = super().to_reals(x, log_fraction, log_rest)
        return z, 0.5 * log_det if self.fault == "half of a Jacobian" else log_det

    def draw_events(self, noise, condition=None):
        if self.fault == "a decoder that clamps":
            z, _ = self.density.draw(noise, condition)
            return ops.cast(ops.clip(ops.round(z + self.num_levels / 2), 0, self.num_levels - 1), "int32")
        return super().draw_events(noise, condition)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (None, None),
        ("a mean where a sum belongs", "check_bound_sums_to_one"),
        ("the posterior with the wrong sign", "check_bound_sums_to_one"),
        ("half of a Jacobian", "check_bound_sums_to_one"),
        ("a decoder that clamps", "check_draws_follow_bound"),
    ],
)
def test_a_fault_is_found(fault, check, monkeypatch):
    monkeypatch.setattr(Faulty, "fault", fault)
    model = Faulty(RealNVP(2, num_layers=2, hidden_units=4), num_levels=3, posterior=posterior())
    checks = checks_for(model)
    if fault is None:
        checks["check_bound_sums_to_one"]()
        checks["check_draws_follow_bound"]()
    else:
        with pytest.raises(AssertionError):
            checks[check]()


def test_what_cannot_be_dequantized_is_refused():
    flow = RealNVP(2, num_layers=1, hidden_units=4)
    bounded = FlowModel(2, bijectors=[], base=_Bound(2), condition_shape=2)
    assert not bounded.exact
    mades = [bijectors.Autoregressive(models.MADE(2, hidden_units=4, head="normal", condition_shape=2))]
    for arguments, expected in (
        ({"density": models.FVSBN(2)}, "`density` must be a DensityModel of all real numbers"),
        ({"density": models.MADE(2, hidden_units=3)}, "`density` must be a DensityModel of all real numbers"),
        ({"density": flow, "num_levels": 1}, "`num_levels`"),
        ({"density": flow, "posterior": models.FVSBN(2)}, "`posterior` must be a FlowModel"),
        ({"density": flow, "posterior": RealNVP(2, num_layers=1, hidden_units=3)}, "must have condition_shape="),
        (
            {"density": flow, "posterior": RealNVP(3, num_layers=1, hidden_units=3, condition_shape=2)},
            "must have event_shape=",
        ),
        ({"density": flow, "posterior": bounded}, "`posterior` must be a density with exact likelihoods"),
        ({"density": flow, "posterior": FlowModel(2, bijectors=mades, condition_shape=2)}, "must draw in one pass"),
        (
            {"density": flow, "posterior": FlowModel(2, bijectors=[], base=mades[0].model, condition_shape=2)},
            "its base would take a loop",
        ),
        ({"density": flow, "objective": "likelihood"}, "`objective` must be 'elbo' or 'iwae'"),
        ({"density": flow, "num_draws": 0}, "`num_draws`"),
    ):
        with pytest.raises(ValueError, match=expected):
            Dequantized(**arguments)
    model = Dequantized(flow, num_levels=4)
    with pytest.raises(ValueError, match="`return_log_prob` must be False"):
        model.sample(2, return_log_prob=True)
    with pytest.raises(ValueError, match="integers from 0 to 3"):
        model.score_samples(np.array([[0, 4]]))
    with pytest.raises(ValueError, match="`num_draws`"):
        model.score_samples(np.zeros((1, 2), int), num_draws=0)


@keras.saving.register_keras_serializable(package="tests")
class _Bound(FlowModel):
    """A density that says that its scores are bounds."""

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **{"bijectors": [], **kwargs})
        self.exact = False


def test_a_temperature_narrows_the_noise_of_a_flow():
    flow = FlowModel(1, bijectors=[ElementwiseAffine()])
    for temperature in (1.0, 0.25, 4.0):
        x = flow.sample(4000, seed=0, temperature=temperature)
        assert x.std() == pytest.approx(math.sqrt(temperature), rel=0.05)
    x, log_prob = flow.sample(20, seed=0, temperature=0.25, return_log_prob=True)
    np.testing.assert_allclose(flow.score_samples(x), log_prob, atol=1e-4)
    model = Dequantized(FlowModel(1, bijectors=[], base=flow), num_levels=64)
    assert model.sample(500, seed=0, temperature=0.25).std() < 0.7 * model.sample(500, seed=0).std()
    for wrong, expected in (
        (lambda: flow.sample(2, temperature=0.0), "`temperature` must be"),
        (lambda: model.sample(2, temperature=0.5, return_log_prob=True), "`return_log_prob` must be False"),
        (
            lambda: Dequantized(models.MADE(2, hidden_units=3, head="normal")).sample(2, temperature=0.5),
            "`temperature` must be 1: a Dequantized samples at no other",
        ),
        (
            lambda: FlowModel(2, bijectors=[], base=models.MADE(2, hidden_units=3, head="normal")).sample(
                2, temperature=0.5
            ),
            "`temperature` must be 1: a FlowModel samples at no other",
        ),
    ):
        with pytest.raises(ValueError, match=expected):
            wrong()


def test_weights_are_set_from_data_with_fractions():
    """A pixel that never changes has fractions that do."""
    model = Dequantized(FlowModel(2, bijectors=[ActNorm()]), num_levels=4)
    x = np.stack([np.zeros(200, int), np.arange(200) % 4], axis=1)
    model.initialize_from_data(x)
    scales = np.exp(ops.convert_to_numpy(model.density.bijectors[0].log_scale))
    assert (scales > 0.5).all(), scales


@pytest.mark.one_backend
def test_a_recipe_names_a_model_that_is_made_of_others(tmp_path):
    config = "{event_shape = [8, 8, 1], num_levels = 1, num_steps = 1, filters = 4}"
    density = f'model.density={{class_name = "keras-ar-flows:glow", config = {config}}}'
    settings = [density, "model.num_levels=17", "train.epochs=1", "train.batch_size=512"]
    arguments = ["train", "keras-ar-flows:dequantized", "--data", "digits", "--out", str(tmp_path / "run"), "--json"]
    result = CliRunner().invoke(app, [*arguments, *(part for setting in settings for part in ("--set", setting))])
    assert result.exit_code == 0, result.output
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert "| test nats | at most " in card
    assert ", draws: 1 |" in card
