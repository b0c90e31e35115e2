"""Flows: what they must equal, which models can be turned into maps, and what is refused."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_ar import FlowModel, bijectors, heads, models, noise
from keras_ar.numerics import normal_quantile

Autoregressive, Inverse, Permute = bijectors.Autoregressive, bijectors.Inverse, bijectors.Permute


def randomized(model):
    noise.randomize(model)
    return model


def test_a_flow_of_one_model_scores_and_draws_what_the_model_does():
    for head in ("normal", heads.NormalMixture(3, loc=2.0, scale=3.0)):
        made = randomized(models.MADE(4, hidden_units=9, head=head, ordering="random", seed=1))
        flow = FlowModel(4, bijectors=[Autoregressive(made)])
        x = made.random_batch(20)[0]
        np.testing.assert_allclose(flow.score_samples(x), made.score_samples(x), rtol=1e-4, atol=1e-4)
    events, log_prob = flow.sample(30, seed=3, return_log_prob=True)
    np.testing.assert_allclose(log_prob, made.score_samples(events), rtol=1e-3, atol=2e-3)


def test_each_layer_models_the_noise_of_the_one_before():
    """Papamakarios et al., 2017, section 3.1: the densities of two models multiply, by way of standard noise."""
    first, second = (
        randomized(models.MADE(3, hidden_units=7, head="normal", ordering=o)) for o in ([0, 1, 2], [2, 0, 1])
    )
    flow = FlowModel(3, bijectors=[Autoregressive(first), Autoregressive(second)])
    x = first.random_batch(10)[0]
    z = ops.convert_to_numpy(Autoregressive(first)(x)[0])
    standard = -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1)
    expected = first.score_samples(x) - standard + second.score_samples(z)
    np.testing.assert_allclose(flow.score_samples(x), expected, atol=1e-4)


def test_draws_are_what_maps_to_the_noise_of_their_uniforms():
    made = [randomized(models.MADE(3, hidden_units=7, head="normal")) for _ in range(2)]
    flow = FlowModel(3, bijectors=[Autoregressive(made[0]), Permute("reversed"), Autoregressive(made[1])])
    z = flow.sample(6, seed=5)
    for bijector in flow.bijectors:
        z = ops.convert_to_numpy(bijector(z)[0])
    uniforms = noise.uniforms(5, 0, 6, flow.noise_shape)[..., 0]
    np.testing.assert_allclose(z, ops.convert_to_numpy(normal_quantile(uniforms)), atol=1e-4)


def test_splines_are_those_of_tensorflow_probability():
    """The same knots and slopes, from the paper's softmax and softplus, within the bound and beyond."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow Probability runs on TensorFlow")
    tfp = pytest.importorskip("tensorflow_probability")
    rng = np.random.default_rng(0)
    params, x = rng.normal(size=(500, 14)).astype("float32"), rng.uniform(-5, 5, 500).astype("float32")
    widths, heights, slopes = np.split(params.astype("float64"), [5, 10], axis=1)
    sizes = [
        6 * (1e-3 + (1 - 5e-3) * np.exp(each) / np.exp(each).sum(axis=1, keepdims=True)) for each in (widths, heights)
    ]
    slopes = 1e-3 + np.log1p(np.exp(slopes + np.log(np.expm1(1 - 1e-3))))
    sizes, slopes = [each.astype("float32") for each in sizes], slopes.astype("float32")
    spline = tfp.bijectors.RationalQuadraticSpline(*sizes, slopes, range_min=-3.0)
    z, log_slope = heads.RationalQuadraticSpline(5, bound=3.0).to_noise(params, x)
    np.testing.assert_allclose(z, spline.forward(x), atol=1e-5)
    np.testing.assert_allclose(log_slope, spline.forward_log_det_jacobian(x, event_ndims=0), atol=2e-4)


MODELS = {
    "spline": lambda: models.MADE(4, hidden_units=9, head=heads.RationalQuadraticSpline(4)),
    "fvsbn": lambda: models.FVSBN(5, head="normal", ordering="reversed"),
    "nade": lambda: models.NADE((2, 2), units=6, head="normal_mixture"),
    "pixel_cnn": lambda: models.PixelCNN((2, 3), filters=4, num_blocks=1, head="normal"),
    "plus_plus": lambda: models.PixelCNNPlusPlus((2, 2), filters=3, num_resnets=1, num_levels=1, head="normal"),
    "wavenet": lambda: models.WaveNet(6, filters=3, dilations=(1, 2), head="normal"),
    "columns": lambda: models.MADE(3, hidden_units=5, head=heads.Normal(loc=[0.0, 50.0, -9.0], scale=[1.0, 9.0, 0.1])),
    "condition": lambda: models.MADE(3, hidden_units=5, head="normal", condition_shape=2),
}


@pytest.mark.parametrize("name", MODELS)
def test_any_autoregressive_model_of_real_values_is_a_map(name):
    model = randomized(MODELS[name]())
    x, *condition = model.random_batch(4)
    bijector = Autoregressive(model)
    z, log_det = bijector(x, *condition)
    back, same = bijector.from_noise(z, *(ops.convert_to_tensor(c) for c in condition))
    np.testing.assert_allclose(ops.convert_to_numpy(back), x, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(ops.convert_to_numpy(same), ops.convert_to_numpy(log_det), rtol=1e-3, atol=1e-3)


class WithoutSteps(models.FVSBN):
    """A model of passes alone."""

    steppable = False


def test_a_model_without_steps_is_undone_by_passes():
    model = randomized(WithoutSteps(4, head="normal"))
    x = model.random_batch(4)[0]
    bijector = Autoregressive(model)
    back, _ = bijector.from_noise(bijector(x)[0])
    np.testing.assert_allclose(ops.convert_to_numpy(back), x, atol=1e-4)


@pytest.mark.one_backend  # each backend trains flows in the conformance kit
def test_a_flow_learns_what_no_single_normal_can():
    """The second coordinate is the square of the first, and some noise: in the wrong order, of two layers."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    first = rng.normal(size=(4000, 1))
    x = np.concatenate([first, first**2 + 0.3 * rng.normal(size=(4000, 1))], axis=1).astype("float32")

    def nats(orderings):
        made = [models.MADE(2, hidden_units=(32, 32), head="normal", ordering=ordering) for ordering in orderings]
        flow = FlowModel(2, bijectors=[Autoregressive(each) for each in made])
        flow.compile(keras.optimizers.Adam(0.01))
        flow.fit(x, batch_size=200, epochs=15, verbose=0)
        return -flow.score_samples(x).mean()

    entropy = np.log(2 * np.pi * np.e) + np.log(0.3)
    right, wrong, deep = nats(["natural"]), nats(["reversed"]), nats(["reversed", "natural"])
    assert right < entropy + 0.1
    assert deep < wrong - 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Autoregressive(models.MADE(3, hidden_units=4)), "`model` needs a head with `to_noise`"),
        (lambda: Autoregressive(models.DeepNADE(3, hidden_units=4, head="normal")), "must be an AutoregressiveModel"),
        (
            lambda: Autoregressive(models.MADE(3, hidden_units=4, head="normal", num_classes=2)),
            "`model` must take its condition as vectors",
        ),
        (lambda: FlowModel(2, bijectors=[keras.layers.Dense(2)]), "bijector"),
        (lambda: FlowModel(2, bijectors=[], base="bernoulli"), "`base` must be a density of single real values"),
        (lambda: FlowModel(2, bijectors=[], base=models.MADE(2, hidden_units=4)), "`base` must be a density of single"),
        (
            lambda: FlowModel(2, bijectors=[], base=models.MADE(3, hidden_units=4, head="normal")),
            r"`base` must be a density of noise of shape \(2,\)",
        ),
        (
            lambda: FlowModel(2, bijectors=[Autoregressive(models.MADE(3, hidden_units=4, head="normal"))]),
            r"`x` must have shape \(batch, 3\)",
        ),
    ],
)
def test_what_makes_no_flow_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_map_that_has_a_condition_is_given_one():
    bijector = Autoregressive(models.MADE(2, hidden_units=4, head="normal", condition_shape=3))
    with pytest.raises(ValueError, match="`condition` must be given"):
        bijector.from_noise(np.zeros((1, 2), "float32"))


def test_a_map_that_is_a_loop_is_not_trained_by_likelihood():
    flow = FlowModel(2, bijectors=[Inverse(Autoregressive(models.MADE(2, hidden_units=4, head="normal")))])
    flow.compile("adam")
    with pytest.raises(ValueError, match="`bijectors` must map to noise in one pass to be trained"):
        flow.fit(np.zeros((4, 2)))
    x, log_prob = flow.sample(5, seed=0, return_log_prob=True)
    np.testing.assert_allclose(flow.score_samples(x), log_prob, atol=1e-4)
