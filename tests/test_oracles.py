"""The models and heads compute what the papers say: against `reference.py`, and against TensorFlow Probability."""

import importlib.util
import math
import warnings

import keras
import numpy as np
import pytest
import reference
from keras import ops

from keras_ar import backend, heads, layers, models, noise, orderings, testing

ACTIVATIONS = {"sigmoid": reference.sigmoid, "relu": reference.relu, "tanh": np.tanh}


def numpy(tensor):
    return ops.convert_to_numpy(ops.convert_to_tensor(tensor)).astype("float64")


def assert_scores(model, params_of, score):
    """`log_prob` is the sum, over steps, of the nats of each value under the parameters that the equations give."""
    (events,) = model.random_batch(5)
    steps = events.reshape(5, -1)[:, model.ordering]

    def compute(x):
        return model.encode_steps(x), model.conditional_log_prob(x), model.log_prob(x)

    inputs, by_position, in_all = map(numpy, backend.compiled(model, compute)(events))
    expected = [
        [score(params, value) for params, value in zip(params_of(x), values, strict=True)]
        for x, values in zip(inputs[..., 0], steps, strict=True)
    ]
    np.testing.assert_allclose(by_position.reshape(5, -1)[:, model.ordering], expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(in_all, np.sum(expected, axis=1), rtol=0, atol=1e-4)


# Models.


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_every_entry_of_the_folded_kernel_has_one_place_in_a_strict_triangle(n):
    layer = layers.TriangularDense(units=2)
    layer.build((None, n, 3))
    entries = np.arange(1, 1 + math.prod(layer.kernel.shape), dtype="float32")
    layer.kernel.assign(entries.reshape(layer.kernel.shape))
    unfolded = numpy(backend.compiled(layer, layer.unfolded_kernel)())  # (from, features, to, units)
    for source in range(n):
        for to in range(n):
            assert (unfolded[source, :, to] != 0).all() == (source < to)
    assert np.array_equal(np.sort(unfolded[unfolded != 0]), entries)


def fvsbn_reference(model):
    noise.randomize(model)
    unfold = backend.compiled(model, model.regressions.unfolded_kernel)
    kernel, bias = numpy(unfold())[:, 0].transpose(1, 0, 2), numpy(model.regressions.bias)
    return lambda x: reference.fvsbn(x, kernel, bias)


@pytest.mark.parametrize("n", [1, 7, 8])
def test_fvsbn_is_a_logistic_regression_on_all_earlier_values(n):
    model = models.FVSBN(n)
    assert_scores(model, fvsbn_reference(model), reference.bernoulli)


def test_fvsbn_over_levels_is_a_softmax_regression():
    model = models.FVSBN((2, 3), head=heads.Categorical(4), ordering="reversed")
    assert_scores(model, fvsbn_reference(model), reference.categorical)


def nade_reference(model, activation):
    noise.randomize(model)
    networks, n = model.networks, model.num_steps
    output_kernel = numpy(networks.output_kernel).reshape(n, -1, model.units)
    kernel, bias, output_bias = numpy(networks.kernel), numpy(networks.bias), numpy(networks.output_bias)
    return lambda x: reference.nade(x, kernel, bias, output_kernel, output_bias, ACTIVATIONS[activation])


@pytest.mark.parametrize(("activation", "n"), [("sigmoid", 1), ("relu", 16), ("sigmoid", 19)])
def test_nade_is_that_of_the_paper_whatever_its_blocks(activation, n):
    model = models.NADE(n, units=n, activation=activation)
    assert_scores(model, nade_reference(model, activation), reference.bernoulli)


def test_nade_over_normal_mixtures_is_rnade():
    model = models.NADE((2, 3), units=6, head=heads.NormalMixture(3, loc=2.0, scale=0.5), ordering=[3, 1, 5, 0, 2, 4])
    assert_scores(
        model,
        nade_reference(model, "sigmoid"),
        lambda params, x: reference.normal_mixture(params, x, loc=2.0, scale=0.5),
    )


@pytest.mark.parametrize(
    ("n", "options"),
    [
        (6, {"hidden_units": (9, 6), "activation": "tanh", "direct": True}),
        (5, {"hidden_units": (5, 5), "degrees": "random", "seed": 3, "ordering": orderings.random(5, seed=1)}),
        (5, {"hidden_units": 5, "degrees": "random", "direct": True, "ordering": "reversed"}),
        (1, {"hidden_units": 1}),
        (2, {"hidden_units": 6, "head": heads.Categorical(3)}),
    ],
    ids=["two-layers-direct", "random", "random-direct", "one-value", "levels"],
)
def test_made_masks_by_the_degrees_as_in_the_paper(n, options):
    model = models.MADE(n, **options)
    noise.randomize(model)
    dense = [*model.hidden, model.output_layer]
    kernels, biases = [numpy(layer.kernel) for layer in dense], [numpy(layer.bias) for layer in dense]
    direct = numpy(model.direct_layer.kernel) if model.direct else None
    activation = ACTIVATIONS[options.get("activation", "relu")]
    assert_scores(
        model,
        lambda x: reference.made(x, kernels, biases, model.hidden_degrees, activation, direct),
        reference.categorical if "head" in options else reference.bernoulli,
    )


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (models.FVSBN(1), 1),
        (models.FVSBN(10), 10 * 11 // 2),
        (models.FVSBN(9), 9 * 10 // 2),
        (models.NADE(9, units=4), 2 * 4 * 9 + 4 + 9),
        (models.MADE(6, hidden_units=(5, 4)), (6 + 1) * 5 + (5 + 1) * 4 + (4 + 1) * 6),
        (models.MADE(6, hidden_units=5, direct=True), (6 + 1) * 5 + (5 + 1) * 6 + 6 * 6),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, keras.Model) else None,
)
def test_a_model_has_as_many_parameters_as_in_the_paper(model, count):
    assert model.count_params() == count


# Heads.


@pytest.mark.parametrize(
    ("head", "score"),
    [
        (heads.Bernoulli(), reference.bernoulli),
        (heads.Categorical(5), reference.categorical),
        (heads.Normal(loc=3.0, scale=2.0), lambda params, x: reference.normal(params, x, loc=3.0, scale=2.0)),
        (
            heads.NormalMixture(4, loc=3.0, scale=2.0),
            lambda params, x: reference.normal_mixture(params, x, loc=3.0, scale=2.0),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, heads.Head) else None,
)
def test_a_head_scores_by_the_textbook_formula(head, score):
    params = testing.tools.random_params(head, 200)
    rng = np.random.default_rng(1)
    x = (
        rng.integers(0, head.support.num_levels, 200)
        if head.support.is_discrete
        else rng.normal(3.0, 3.0, 200).astype("float32")
    )
    expected = [score(p, value) for p, value in zip(numpy(params), x, strict=True)]
    found = numpy(backend.compiled(keras.Model(), head.log_prob)(params, x))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.fixture(scope="module")
def tfd():
    """TensorFlow Probability's distributions."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow Probability needs the TensorFlow backend")
    if not importlib.util.find_spec("tf_keras"):
        pytest.skip("TensorFlow Probability needs tf_keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("tensorflow_probability").distributions


def twin_of(head, params, tfd):
    """The distribution of TensorFlow Probability that has the head's parameters."""
    if isinstance(head, heads.Bernoulli):
        return tfd.Bernoulli(logits=params[:, 0])
    if isinstance(head, heads.Categorical):
        return tfd.Categorical(logits=params)
    if isinstance(head, heads.Normal):
        return tfd.Normal(head.loc + head.scale * params[:, 0], head.scale * ops.exp(params[:, 1]))
    logits, means, log_scales = ops.split(params, 3, axis=-1)
    if isinstance(head, heads.DiscretizedLogisticMixture):
        half = 0.5 * (head.support.num_levels - 1)
        # A quantized variable is rounded up, so half a level less rounds to the nearest one.
        anchors = np.linspace(-1.0, 1.0, 2 * head.num_components + 1, dtype="float64")[1::2]
        shifted = tfd.Logistic(half * (means + anchors + 1.0) - 0.5, half * ops.exp(log_scales))
        levels = tfd.QuantizedDistribution(shifted, low=0.0, high=head.support.num_levels - 1.0)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), levels)
    middles = (np.arange(head.num_components, dtype="float64") + 0.5) / head.num_components
    anchors = tfd.Normal(np.float64(0.0), np.float64(1.0)).quantile(middles)
    return tfd.MixtureSameFamily(
        tfd.Categorical(logits=logits),
        tfd.Normal(head.loc + head.scale * (means + anchors), head.scale * ops.exp(log_scales)),
    )


@pytest.mark.parametrize(
    "head",
    [
        heads.Bernoulli(),
        heads.Categorical(7),
        heads.Normal(3.0, 2.0),
        heads.NormalMixture(4, 3.0, 2.0),
        heads.DiscretizedLogisticMixture(2, 3),
        heads.DiscretizedLogisticMixture(256, 3),
    ],
    ids=repr,
)
def test_a_head_agrees_with_tensorflow_probability(head, tfd):
    params = testing.tools.random_params(head, 200)
    twin = twin_of(head, ops.cast(params, "float64"), tfd)  # in float32 its mixtures are off by more than ours
    x = twin.sample(seed=(0, 2))
    np.testing.assert_allclose(head.log_prob(params, x), twin.log_prob(x), rtol=1e-5, atol=1e-5)
    if isinstance(head, heads.Categorical | heads.DiscretizedLogisticMixture):  # whose twins have a CDF, but no mean
        levels = np.arange(head.support.num_levels, dtype="float64")[:, None]
        expected_mean = ops.sum(levels * ops.exp(twin.log_prob(levels)), axis=0)
    else:
        expected_mean = twin.mean()
    np.testing.assert_allclose(head.mean(params), expected_mean, rtol=1e-5, atol=1e-5)
    expected_cdf = np.where(x == 1, 1.0, 1 - twin.mean()) if isinstance(head, heads.Bernoulli) else twin.cdf(x)
    np.testing.assert_allclose(head.cdf(params, x), expected_cdf, atol=1e-5)


@pytest.mark.parametrize(
    "head",
    [
        heads.Bernoulli(),
        heads.Categorical(4),
        heads.DiscretizedLogisticMixture(4, num_components=2),
        heads.Normal(loc=1.0, scale=2.0),
        heads.NormalMixture(2, loc=1.0, scale=2.0),
    ],
    ids=str,
)
def test_a_head_takes_numpy_arrays(head):
    params, x = np.full((3, head.num_params), 0.5, "float32"), np.ones(3, head.support.dtype)
    for method, argument in (
        (head.log_prob, x),
        (head.cdf, x),
        (head.sample, np.full((3, head.num_uniforms), 0.3, "float32")),
    ):
        tensors = method(ops.convert_to_tensor(params), ops.convert_to_tensor(argument))
        np.testing.assert_allclose(numpy(method(params, argument)), numpy(tensors), rtol=1e-6)
    np.testing.assert_allclose(numpy(head.mean(params)), numpy(head.mean(ops.convert_to_tensor(params))), rtol=1e-6)


def test_a_head_may_have_units_of_its_own_for_each_column():
    alike = models.NADE(3, units=4, head="normal", ordering=[2, 0, 1])
    noise.randomize(alike)
    loc, scale = np.array([-1.0, 5.0, 300.0]), np.array([0.5, 2.0, 20.0])
    apart = models.NADE(3, units=4, head=heads.Normal(loc=loc, scale=scale), ordering=[2, 0, 1])
    apart.set_weights(alike.get_weights())
    z = alike.sample(5, seed=0)
    np.testing.assert_allclose(apart.sample(5, seed=0), loc + scale * z, rtol=1e-5)
    expected = alike.score_samples(z) - np.log(scale).sum()
    np.testing.assert_allclose(apart.score_samples(loc + scale * z), expected, atol=1e-4)
    with pytest.raises(ValueError, match=r"`head` must be made for the positions of an event, of shape \(4,\)"):
        models.NADE(4, units=4, head=heads.Normal(loc=loc))
    with pytest.raises(ValueError, match=r"`loc` and `scale` must have one shape.*\(3,\), scale.shape=\(2,\)"):
        heads.Normal(loc=loc, scale=[1.0, 2.0])
    with pytest.raises(ValueError, match="`head` must be the same for all values, or be made for 2 of them"):
        heads.Independent(heads.Normal(loc=loc), 2)
