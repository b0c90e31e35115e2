"""The base holds for every kind of density model and for heads and layers of others, not only for our own."""

import statistics
import time

import keras
import numpy as np
import pytest
from keras import ops
from proofs.any_order_mlp import AnyOrderMLP
from proofs.heads import Angle, Exponential, Geometric
from proofs.real_nvp import RealNVP
from proofs.toy_bound import ToyBound
from proofs.two_gaussians import TwoGaussians
from variants import variants

from keras_ar import (
    AutoregressiveModel,
    DensityModel,
    backend,
    batches,
    decoding,
    heads,
    layers,
    models,
    noise,
    numerics,
    plots,
    testing,
)
from keras_ar.testing import parametrize_with_checks

KINDS = [
    TwoGaussians(2, name="two_gaussians"),
    RealNVP(num_couplings=2, name="real_nvp"),
    RealNVP(num_couplings=2, num_classes=3, name="real_nvp-classes"),
    AnyOrderMLP(5, name="any_order_mlp"),
    ToyBound(5, name="toy_bound"),
]
OTHERS = [
    Geometric(),
    Exponential(),
    Angle(),
    models.MADE(4, hidden_units=8, head=Geometric(), name="made-counts"),
    models.NADE(4, units=5, head=Angle(), num_classes=2, name="nade-angles"),
    models.CausalSequential(
        4, layers=[layers.TriangularDense(6), keras.layers.ReLU()], head=Exponential(), name="jumps"
    ),
]


@parametrize_with_checks(KINDS)
def test_every_kind_of_density_model_conforms(check):
    check()


@parametrize_with_checks(OTHERS)
def test_heads_of_others_conform(check):
    check()


def test_on_an_accelerator_many_batches_are_drawn_by_the_faster_method(monkeypatch):
    model = models.MADE(5, hidden_units=4)
    expected, used = model.sample(20, seed=0, batch_size=2), []
    monkeypatch.setattr(backend, "on_accelerator", lambda: True)
    compiled = models.MADE.compiled_function
    monkeypatch.setattr(
        models.MADE,
        "compiled_function",
        lambda self, function, key=None: used.append(key and key[0]) or compiled(self, function, key),
    )
    for batch_size, methods in ((2, {"advance", "parallel"}), (10, {"advance"})):
        used.clear()
        assert (model.sample(20, seed=0, batch_size=batch_size) == expected).all()
        assert methods == {"advance", "parallel"} & set(used)
    assert batches.fitting(None, 10**6, on_cpu=64) == 1024
    assert batches.fitting(None, 100, on_cpu=64) == batches.fitting(None, 1, on_cpu=64) == 256


def test_a_batch_is_not_mostly_padding():
    sizes = [batches.fitting(None, count, on_cpu=64) for count in (0, 1, 4, 5, 17, 1000)]
    assert sizes == [4, 4, 4, 8, 32, 64]
    assert [batches.fitting(size, 20, on_cpu=256) for size in (3, 1000)] == [3, 32]


def test_the_fastest_of_several_functions_takes_over():
    calls = []

    def slow(i):
        time.sleep(0.05)
        return calls.append("slow") or i

    fastest = decoding.Fastest([slow, lambda i: calls.append("fast") or i])
    assert [int(fastest(i)) for i in range(7)] == list(range(7))
    assert calls == ["slow"] * 2 + ["fast"] * 5


@pytest.mark.parametrize("name", variants(model.name for model in KINDS))
def test_every_kind_trains_scores_and_samples(name):
    (model,) = (model for model in KINDS if model.name == name)
    events, *condition = model.random_batch(64)
    twin = type(model).from_config(model.get_config())
    twin.compile("adam")
    batch = (events, *condition) if condition else events
    history = twin.fit(batch, validation_data=(batch,), epochs=2, verbose=0).history
    bits = "bits_per_dim" if model.exact else "bits_per_dim_at_most"
    assert sorted(history) == sorted(["loss", bits, "val_loss", f"val_{bits}"])
    assert twin.score_samples(events, *condition).shape == (64,)
    samples, log_prob = twin.sample(8, *(c[:8] for c in condition), seed=0, return_log_prob=True)
    np.testing.assert_allclose(twin.score_samples(samples, *(c[:8] for c in condition)), log_prob, atol=1e-4)


def test_sizes_may_be_integers_of_numpy():
    model = models.FVSBN(3)
    sizes = {"num_samples": 20, "batch_size": 4, "first_event": 250}
    of_numpy = {name: np.uint8(size) for name, size in sizes.items()}
    assert (model.sample(**of_numpy, seed=0) == model.sample(**sizes, seed=0)).all()
    model.compile("sgd")
    assert model.predict(np.ones((3, 3)), batch_size=np.uint8(2), verbose=0).shape == (3, 3, 1)


FORMS = {
    "uint64": lambda x: x.astype("uint64"),
    "big-endian": lambda x: x.astype(">i8"),
    "list": lambda x: x.tolist(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("method", ["score_samples", "log_prob", "conditional_log_prob", "predict", "evaluate"])
def test_the_same_numbers_give_the_same_in_any_form(method, form):
    model = models.FVSBN(3, num_classes=2)
    noise.randomize(model)
    model.compile("sgd")
    x, classes = np.array([[0, 1, 1], [1, 0, 1]]), np.array([0, 1])
    as_pair = method in ("predict", "evaluate")
    found = [
        getattr(model, method)((events, condition), verbose=0) if as_pair else getattr(model, method)(events, condition)
        for events, condition in ((x, classes), (form(x), form(classes)))
    ]
    np.testing.assert_allclose(*map(ops.convert_to_numpy, found), rtol=1e-6)


@pytest.mark.parametrize("model", [KINDS[0], KINDS[3]], ids=lambda model: model.name)
def test_what_is_off_the_support_is_refused_without_a_head(model):
    events = model.random_batch(3)[0].astype("float32")
    events[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"`x` must be finite. Received x\[2, 1\] = nan"):
        model.score_samples(events)


@pytest.mark.one_backend
def test_the_learning_curve_of_a_bound_is_drawn():
    pytest.importorskip("matplotlib")
    model = ToyBound(3)
    model.compile("adam")
    ax = plots.learning_curves(model.fit(model.random_batch(8)[0], epochs=2, verbose=0))
    assert ax.get_xlabel() == "epoch"


def test_a_model_says_what_it_lacks():
    class Silent(DensityModel):
        def call(self, x):
            return x

    model = Silent(2)
    for ask, lacks in ((lambda: model.log_prob_from(None, None), "log_prob_from"), (lambda: model.support, "support")):
        with pytest.raises(NotImplementedError, match=f"`{lacks}`.*Silent"):
            ask()
    with pytest.raises(NotImplementedError, match=r"must have `noise_shape`. Silent has none"):
        model.sample(1)


# Functions of events with more than events.


def test_noise_of_scores_is_an_events_own_and_another_than_that_of_samples():
    model = TwoGaussians(2)
    events = model.random_batch(7)[0]

    def weigh(x, extra, uniforms):
        return extra, uniforms

    options = {"extra": [np.arange(7)], "noise_shape": (3,), "seed": 5}
    extra, uniforms = model.map_events(weigh, events, **options)
    again = model.map_events(weigh, events, batch_size=2, **options)[1]
    assert extra.tolist() == list(range(7))
    assert uniforms.shape == (7, 3)
    assert (uniforms == again).all()
    assert not np.isin(uniforms, noise.uniforms(5, 0, 7, (3,))).any()


def test_events_are_numbered_from_where_one_says():
    model = models.FVSBN(3)
    whole = model.sample(9, seed=0)
    assert (model.sample(4, seed=0, first_event=5) == whole[5:]).all()
    assert (KINDS[0].sample(4, seed=0, first_event=5) == KINDS[0].sample(9, seed=0)[5:]).all()


# Heads.


def test_a_head_without_temper_samples_and_says_so_at_another_temperature():
    model = models.FVSBN(3, head=Angle())
    assert model.sample(2, seed=0).shape == (2, 3)
    with pytest.raises(
        ValueError, match=r"`temperature` needs a head with `temper`. Received: Angle\(\), which has none"
    ):
        model.sample(2, temperature=0.5)


def test_a_head_that_encodes_more_than_it_says_is_refused():
    class Wide(Angle):
        num_features = 1

    with pytest.raises(ValueError, match=r"`encode` of Wide\(\) must make `num_features` = 1 numbers of a draw"):
        models.FVSBN(3, head=Wide())


def test_a_head_says_what_it_must_have():
    class Empty(heads.Head):
        pass

    with pytest.raises(NotImplementedError, match=r"must set `num_params`\. Empty does not"):
        Empty().num_params  # noqa: B018
    with pytest.raises(NotImplementedError, match=r"Empty\(\) has no `mean`"):
        Empty().mean(0.0)
    assert Empty().capabilities == frozenset()


def test_normal_quantiles_have_seven_digits_down_to_the_last_uniform():
    uniforms = ((np.r_[1:4096:2, 2**23 - 1 : 2**24 : 4095]) // 2 * 2 + 1) * 2.0**-24
    expected = [statistics.NormalDist().inv_cdf(u) for u in uniforms]
    found = ops.convert_to_numpy(numerics.normal_quantile(uniforms.astype("float32")))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


# Chains of layers.


def test_a_triangular_layer_ahead_of_a_rectifier_learns():
    layer = layers.TriangularDense(8)
    model = AutoregressiveModel.from_layers([layer, keras.layers.ReLU()], event_shape=4)
    model.compile("sgd")
    before = layer.get_weights()[0]
    model.fit(model.random_batch(16)[0], verbose=0)
    assert np.abs(layer.get_weights()[0] - before).max() > 0


def test_a_layer_of_keras_that_looks_around_is_not_stepped():
    chain = [layers.TriangularDense(3), keras.layers.Conv1D(4, 2, padding="causal")]
    model = AutoregressiveModel.from_layers(chain, event_shape=5)
    noise.randomize(model)
    assert not model.steppable
    assert (model.sample(4, seed=0) == model.sample(4, seed=0, method="full")).all()


@pytest.mark.parametrize(
    "layer", [keras.layers.PReLU(shared_axes=[1]), keras.layers.EinsumDense("abc,cd->abd", (None, 4))]
)
def test_position_wise_takes_any_layer_that_treats_positions_alike(layer):
    chain = [layers.TriangularDense(3), layers.PositionWise(layer)]
    model = AutoregressiveModel.from_layers(chain, event_shape=5)
    noise.randomize(model)
    assert model.steppable
    assert (model.sample(4, seed=0) == model.sample(4, seed=0, method="full")).all()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            keras.layers.MultiHeadAttention(1, 2, name="attention"),
            "`layers` must be built from the shape of one input.* attention cannot",
        ),
        (
            keras.layers.Bidirectional(keras.layers.LSTM(2), name="both"),
            "`layers` must keep the positions .* Received: both",
        ),
    ],
    ids=["attention", "bidirectional"],
)
def test_a_layer_that_does_not_fit_a_chain_is_named(layer, message):
    with pytest.raises(ValueError, match=message):
        AutoregressiveModel.from_layers([layers.TriangularDense(3), layer], event_shape=5)


def test_a_model_of_ours_makes_no_model_from_layers():
    with pytest.raises(ValueError, match=r"`from_layers` must be called as AutoregressiveModel\.from_layers"):
        models.MADE.from_layers([layers.TriangularDense(3)], event_shape=4)


def test_a_property_that_fails_stops_nothing():
    class Fragile(keras.layers.ReLU):
        @property
        def broken(self):
            raise RuntimeError("not yet")

    model = models.CausalSequential(3, layers=[layers.TriangularDense(2), Fragile()])
    assert model.sample(2, seed=0).shape == (2, 3)


def test_an_option_that_a_model_does_not_have_is_no_silent_wish():
    with pytest.raises(TypeError, match="num_steps"):
        models.FVSBN(3).sample(2, num_steps=3)
    with pytest.raises(TypeError, match="temprature"):
        models.WaveNet(8, filters=2, dilations=(1,)).sample(2, temprature=0.5)


def test_kinds_that_are_not_autoregressive_have_no_ordering():
    assert not any(hasattr(model, "ordering") or hasattr(model, "head") for model in KINDS)
    assert all(testing.checks_for(model) for model in KINDS)


def test_tails_of_the_normal_distribution_are_exact_in_logarithms():
    """Beside scipy, in double precision: probabilities, their gradients, and the way back."""
    scipy_special = pytest.importorskip("scipy.special")
    z = np.concatenate([np.linspace(-40, 40, 2001), [-1e4, 1e4]]).astype("float32")
    found = ops.convert_to_numpy(numerics.log_normal_cdf(z))
    np.testing.assert_allclose(found, scipy_special.log_ndtr(z.astype("float64")), rtol=1e-6, atol=1e-6)
    logs = [scipy_special.log_ndtr(sign * z.astype("float64")).astype("float32") for sign in (1, -1)]
    back = ops.convert_to_numpy(numerics.normal_quantile_of_logs(*map(ops.convert_to_tensor, logs)))
    np.testing.assert_allclose(back, z, rtol=2e-6, atol=2e-6)

    some = np.array([-20.0, -3.0, -0.5, 0.0, 0.5, 3.0, 6.0], "float32")

    def there_and_back(z):
        return numerics.normal_quantile_of_logs(numerics.log_normal_cdf(z), numerics.log_normal_cdf(-z))

    np.testing.assert_allclose(np.diag(backend.jacobian(there_and_back, some)), 1.0, atol=1e-3)
    slope = np.diag(backend.jacobian(numerics.log_normal_cdf, some))
    expected = np.exp(-0.5 * some.astype("float64") ** 2 - scipy_special.log_ndtr(some.astype("float64")))
    np.testing.assert_allclose(slope, expected / np.sqrt(2 * np.pi), rtol=1e-3, atol=1e-7)


def test_the_root_of_an_increasing_function_is_found_to_the_last_bit():
    low, high = (np.full(3, edge, "float32") for edge in (-100.0, 50.0))
    targets = np.array([-27.0, 0.001, 64.0], "float32")
    cubes = ops.convert_to_tensor(targets)
    found = ops.convert_to_numpy(numerics.monotone_root(lambda x: x**3 - cubes, low, high))
    np.testing.assert_allclose(found, np.cbrt(targets), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]], ids=["natural", "reversed", "random"])
def test_the_gradient_of_an_order_is_the_order_undone(order):
    x = np.arange(8, dtype="float32").reshape(2, 4)
    order = np.array(order)
    for each in (ops.array(x), keras.Variable(x)):
        np.testing.assert_array_equal(ops.convert_to_numpy(backend.permuted(each, order, axis=1)), x[:, order])
    slopes = backend.jacobian(lambda x: backend.permuted(x, order, axis=1), x)
    np.testing.assert_array_equal(slopes, np.einsum("ab,ij->aibj", np.eye(2), np.eye(4)[order]))
