"""What makes no flow is refused by an error that names the argument; and what flows do beyond the kit's claims."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_ar import FlowModel, backend, heads, models, noise
from keras_ar.bijectors import Autoregressive, Inverse
from keras_ar_flows import (
    IAF,
    MAF,
    NICE,
    ActNorm,
    Affine,
    CategoricalFlow,
    Chain,
    Coupling,
    ElementwiseAffine,
    ElementwiseSpline,
    Glow,
    Logit,
    MultiScale,
    NeuralSplineFlow,
    Planar,
    Radial,
    RealNVP,
    Squeeze,
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NICE(1), "`x` must have at least two entries"),
        (lambda: RealNVP((6, 6, 1), num_layers=1, hidden_units=3, num_scales=3), "`x` must be images .* multiples of"),
        (lambda: RealNVP(6, num_scales=2), "must be images"),
        (lambda: Glow((6, 6, 1), num_levels=2), "multiples of factor=2"),
        (lambda: FlowModel((4, 4, 1), bijectors=[Coupling("channels")]), "at least two channels"),
        (
            lambda: FlowModel((4, 4, 1), bijectors=[MultiScale([[ActNorm()], [ActNorm()]])]),
            "`levels` must make at least",
        ),
        (lambda: Coupling("thirds"), "`split` must be"),
        (lambda: Coupling(head="bernoulli"), "`head` needs a head with `to_noise`"),
        (lambda: Coupling(head=heads.Normal(loc=[0.0, 1.0])), "`head` must be one for all entries"),
        (lambda: Coupling(network=0), "`network` must be"),
        (lambda: Chain([]), "`bijectors` must hold at least one"),
        (lambda: Chain([keras.layers.Dense(2)]), "bijector"),
        (lambda: Logit(1.0, 1.0), "`high` must be"),
        (lambda: Logit(alpha=0.5), "`alpha` must be less than 0.5"),
        (lambda: Affine(bound=0.0), "`bound` must be"),
        (lambda: MAF(3, ordering="natural"), "`ordering` must be"),
        (lambda: MAF(3, base=models.MADE(2, head="normal")), "`base` must be a density of noise of shape"),
        (lambda: NeuralSplineFlow(2, kind="residual"), "`kind` must be"),
        (lambda: NeuralSplineFlow(2, elementwise_bins=1), "`elementwise_bins` must be .* at least 2"),
        (lambda: ElementwiseSpline(8, bound=0.0), "`bound` must be"),
    ],
)
def test_what_makes_no_flow_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_an_inverse_autoregressive_flow_is_not_trained_by_likelihood():
    flow = IAF(2, hidden_units=4)
    flow.compile("adam")
    above = FlowModel(2, bijectors=[ActNorm()], base=IAF(2, hidden_units=4, name="posterior"))
    above.compile("adam")
    assert not above.differentiable
    for method in (flow.fit, flow.evaluate, above.fit):
        with pytest.raises(ValueError, match="`bijectors` must map to noise in one pass"):
            method(np.zeros((4, 2)))


def test_a_condition_that_is_missing_is_named():
    planar = Planar()
    planar(np.zeros((1, 2), "float32"), np.zeros((1, 3), "float32"))
    with pytest.raises(ValueError, match="`condition` must be given"):
        planar.to_noise(np.zeros((1, 2), "float32"))


def test_weights_that_blow_up_are_named_by_the_loss():
    flow = FlowModel(2, bijectors=[Autoregressive(models.MADE(2, hidden_units=4, head="normal")) for _ in range(9)])
    flow.compile(keras.optimizers.SGD(1e30))
    with pytest.raises(ValueError, match="must be finite"):
        flow.fit(np.random.default_rng(0).normal(size=(64, 2)), epochs=5, verbose=0)


def test_what_is_beyond_the_ends_of_a_logit_has_no_density():
    flow = FlowModel(2, bijectors=[Logit(high=4.0)])
    with pytest.raises(ValueError, match="real numbers from 0 to 4"):
        flow.score_samples([[1.0, 5.0]])
    drawn = flow.sample(500, seed=0)
    assert drawn.min() > 0
    assert drawn.max() < 4


def test_act_norm_starts_from_what_becomes_of_the_data():
    """Each one standardizes what it is given, also within levels, and within the base of a flow."""
    rng = np.random.default_rng(0)
    images = rng.normal(5.0, 3.0, (200, 4, 4, 1)).astype("float32")
    inner = RealNVP((4, 4, 1), num_layers=1, hidden_units=3, num_scales=2)
    flow = FlowModel((4, 4, 1), bijectors=[ElementwiseAffine()], base=inner)
    flow.initialize_from_data(images)
    z, _ = flow.to_noise(images)
    z = ops.convert_to_numpy(inner.to_noise(z)[0])
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-3)
    assert abs(z.std() - 1) < 1e-2


def test_an_elementwise_spline_starts_from_the_densities_of_entries():
    """Of an exponential, of two clumps far apart, and of many equal values, which only must not fail."""
    rng = np.random.default_rng(0)

    def events(count):
        clumps = np.where(rng.random(count) < 0.9, -0.3, 2.7) + 0.1 * rng.normal(size=count)
        return np.stack([rng.exponential(size=count), clumps, rng.integers(0, 2, count)], axis=1).astype("float32")

    flow = FlowModel(3, bijectors=[ElementwiseSpline(64)])
    train, test = events(20_000), events(5_000)
    flow.initialize_from_data(train)
    z, log_det = (ops.convert_to_numpy(each) for each in flow.to_noise(test))
    assert np.isfinite(z).all()
    assert np.isfinite(log_det).all()
    np.testing.assert_allclose(np.corrcoef(z[:, :2].T), np.eye(2), atol=0.05)
    np.testing.assert_allclose([z[:, :2].mean(axis=0), z[:, :2].std(axis=0)], [[0, 0], [1, 1]], atol=0.05)

    flow = FlowModel(2, bijectors=[ElementwiseSpline(64)])
    flow.initialize_from_data(train[:, :2])
    x, y = test[:, 0], test[:, 1].astype("float64")
    of_clumps = [share * np.exp(-0.5 * ((y - mean) / 0.1) ** 2) for share, mean in ((0.9, -0.3), (0.1, 2.7))]
    truth = -x + np.log(sum(of_clumps)) - np.log(0.1 * np.sqrt(2.0 * np.pi))
    assert abs(flow.score_samples(test[:, :2]).mean() - truth.mean()) < 0.05

    flow.initialize_from_data(train[:200, :2])  # so few tell of shorter tails
    z, _ = flow.to_noise(test[:, :2])
    np.testing.assert_allclose(np.median(ops.convert_to_numpy(z), axis=0), 0.0, atol=0.2)


def test_draws_of_an_inverse_flow_have_a_gradient():
    """As a posterior needs it: of the events and of their log-probabilities, by every weight."""
    flow = IAF(3, num_layers=2, hidden_units=6, condition_shape=2)
    noise.randomize(flow)
    uniforms, condition = noise.uniforms(0, 0, 8, flow.noise_shape), np.ones((8, 2), "float32")

    def objective():
        x, log_prob = flow.draw(ops.convert_to_tensor(uniforms), ops.convert_to_tensor(condition))
        return ops.mean(log_prob) + ops.mean(ops.square(x))

    for variable, gradient in zip(
        flow.trainable_variables, backend.gradients(objective, flow.trainable_variables), strict=True
    ):
        assert np.isfinite(gradient).all(), variable.path
        assert np.any(gradient), variable.path


def test_a_flow_that_is_inverted_twice_is_itself():
    made = models.MADE(3, hidden_units=5, head="normal")
    noise.randomize(made)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    once, twice = Autoregressive(made), Inverse(Inverse(Autoregressive(made)))
    for one, other in zip(once(x), twice(x), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), atol=1e-5)


def test_squeezing_takes_squares():
    x = np.arange(36.0).reshape(1, 6, 6, 1)
    z, _ = Squeeze(3)(x)
    assert ops.convert_to_numpy(z)[0, 0, 1].tolist() == [3.0, 4.0, 5.0, 9.0, 10.0, 11.0, 15.0, 16.0, 17.0]


def test_arguments_of_a_model_may_have_the_names_of_the_registry():
    flow = models.get("neural_spline_flow", event_shape=2, kind="autoregressive", num_layers=1, hidden_units=3)
    assert flow.kind == "autoregressive"


@pytest.mark.one_backend
def test_random_weights_begin_around_zero():
    flow = FlowModel(400, bijectors=[Planar(), Radial()])
    categories = CategoricalFlow(RealNVP((2, 40), num_layers=1, hidden_units=3), num_levels=20)
    vectors = [flow.bijectors[0].vectors["u"], flow.bijectors[0].vectors["w"], flow.bijectors[1].vectors["center"]]
    for weight in (*vectors, categories.centers):
        values = ops.convert_to_numpy(weight)
        assert abs(values.mean()) < 5 * values.std() / values.size**0.5
