"""Ensembles: what they must equal, how they are trained and drawn from, and what is refused."""

import math

import keras
import numpy as np
import pytest
from gaussian_mixture import BoundedMixture, GaussianMixture
from keras import ops

from keras_ar import DensityModel, FlowModel, Support, backend, bijectors, heads, models, noise
from keras_ar.testing import all_events

Ensemble = models.Ensemble
LOGITS = np.array([0.4, -1.0, 0.9])
WEIGHTS = np.exp(LOGITS) / np.exp(LOGITS).sum()


def randomized(model, seed=0):
    noise.randomize(model, seed)
    return model


def three_kinds(**options):
    """A model of steps, one of many orders, and one of any order: three shapes of noise."""
    return [
        randomized(models.MADE(4, hidden_units=7, **options), seed=1),
        randomized(models.OrderAgnosticMADE(4, hidden_units=7, num_masks=3, **options), seed=2),
        randomized(models.DeepNADE(4, hidden_units=5, head=heads.Categorical(2), **options), seed=3),
    ]


def weighted(members):
    ensemble = Ensemble(members, weights="learned")
    ensemble.weight_logits.assign(LOGITS[: len(members)])
    return ensemble


def sum_of(members, weights, x, *condition):
    """The logarithm of the weighted sum of the members' probabilities, in float64."""
    scores = np.stack([member.score_samples(x, *condition).astype("float64") for member in members])
    return np.log((np.asarray(weights)[:, None] * np.exp(scores)).sum(axis=0))


def certain(value):
    """A model of which all values are the same, nearly always."""
    model = models.Factorized(3)
    model.params.assign(np.full(3, 30.0 * (2 * value - 1)))
    return model


@pytest.mark.parametrize("weights", ["equal", "learned"])
def test_probabilities_are_the_weighted_sum_of_those_of_the_members(weights):
    members = three_kinds()
    ensemble = weighted(members) if weights == "learned" else Ensemble(members)
    expected = sum_of(members, WEIGHTS if weights == "learned" else np.full(3, 1 / 3), all_events(ensemble))
    found = ensemble.score_samples(all_events(ensemble))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.exp(found.astype("float64")).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("options", [{"num_classes": 3}, {"condition_shape": 2}])
def test_each_member_is_given_the_condition(options):
    members = three_kinds(**options)
    ensemble = weighted(members)
    x, condition = ensemble.random_batch(30)
    np.testing.assert_allclose(
        ensemble.score_samples(x, condition), sum_of(members, WEIGHTS, x, condition), rtol=1e-5, atol=1e-5
    )
    samples = ensemble.sample(30, condition, seed=0)
    each = [member.sample(30, condition, seed=0) for member in members]
    assert all(any((sample == one[i]).all() for one in each) for i, sample in enumerate(samples))


def test_an_ensemble_of_one_is_that_model():
    made = randomized(models.MADE(6, hidden_units=5))
    for weights in ("equal", "learned"):
        ensemble = Ensemble([made], weights=weights)
        events, log_prob = ensemble.sample(40, seed=3, return_log_prob=True)
        assert (events == made.sample(40, seed=3)).all()
        np.testing.assert_allclose(log_prob, made.score_samples(events), rtol=1e-6, atol=1e-6)


def test_members_are_picked_by_their_weights():
    ensemble = Ensemble([certain(0), certain(1)], weights="learned")
    ensemble.weight_logits.assign([math.log(0.8), math.log(0.2)])
    samples = ensemble.sample(4000, seed=0)
    assert (samples == samples[:, :1]).all()  # a member draws the whole event
    assert abs(samples[:, 0].mean() - 0.2) < 5 * math.sqrt(0.8 * 0.2 / 4000)


def test_an_event_is_what_its_member_samples_by_that_seed():
    members = three_kinds()
    ensemble = weighted(members)
    samples = ensemble.sample(300, seed=5, first_event=7)
    uniforms = noise.uniforms(5, 7, 300, ensemble.noise_shape)[:, -1]
    picked = np.searchsorted(np.cumsum(WEIGHTS), uniforms)
    assert set(picked) == {0, 1, 2}
    each = np.stack([member.sample(300, seed=5, first_event=7) for member in members])
    assert (samples == each[picked, np.arange(300)]).all()
    drawn, _ = ensemble.draw(ops.convert_to_tensor(noise.uniforms(5, 7, 300, ensemble.noise_shape)))
    assert (ops.convert_to_numpy(drawn) == samples).all()


def test_each_member_draws_no_more_than_its_share(monkeypatch):
    """Of whole batches. A draw by all members would be of four times as many events."""
    members, drawn = [randomized(models.FVSBN(5), seed) for seed in range(4)], []
    for member in members:
        monkeypatch.setattr(member, "draw", lambda u, draw=member.draw: (drawn.append(len(u)), draw(u))[1])
    ensemble = Ensemble(members)
    ensemble.compile("sgd", run_eagerly=True)
    for count, batch_size in ((512, 64), (30, 64)):
        drawn.clear()
        ensemble.sample(count, seed=0, batch_size=batch_size)
        assert sum(drawn) < 2 * count
    assert ensemble.sample(0, seed=0, return_log_prob=True)[1].shape == (0,)


def test_members_may_be_flows_and_ensembles():
    flow = FlowModel(2, bijectors=[bijectors.Autoregressive(models.MADE(2, hidden_units=4, head="normal"))])
    inner = Ensemble([GaussianMixture(2), randomized(models.FVSBN(2, head="normal"))])
    members = [randomized(flow), inner]
    ensemble = weighted(members)
    weights = WEIGHTS[:2] / WEIGHTS[:2].sum()
    x = np.random.default_rng(0).normal(size=(50, 2)).astype("float32")
    expected = sum_of(members, weights, x)
    np.testing.assert_allclose(ensemble.score_samples(x), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ensemble.score_members(x), np.stack([m.score_samples(x) for m in members], 1), atol=1e-5)
    shares = weights * np.exp(np.stack([m.score_samples(x) for m in members], 1).astype("float64"))
    np.testing.assert_allclose(
        ensemble.responsibilities(x), shares / shares.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-6
    )


def test_a_mixture_with_a_bound_is_a_bound():
    ensemble = Ensemble([GaussianMixture(2), BoundedMixture(2)])
    assert not ensemble.exact
    assert Ensemble([GaussianMixture(2)]).exact
    ensemble.compile("sgd")
    x = ensemble.random_batch(32)[0]
    assert "bits_per_dim_at_most" in ensemble.evaluate(x, verbose=0, return_dict=True)
    likelihood = GaussianMixture(2).score_samples(x)
    np.testing.assert_allclose(ensemble.score_samples(x), likelihood + math.log(0.5 + 0.5 / math.e), atol=1e-5)


# Training.


def test_learned_weights_are_those_of_em():
    """For fixed members, EM is `w_k = mean of r_k`, in float64; it finds the one maximum."""
    members = [randomized(models.MADE(4, hidden_units=6, activation="tanh"), seed) for seed in range(3)]
    for member in members:
        member.trainable = False
    ensemble = Ensemble(members, weights="learned")
    assert [variable.path for variable in ensemble.trainable_variables] == [ensemble.weight_logits.path]
    x = np.concatenate([members[k].sample(count, seed=k) for k, count in enumerate((500, 1200, 300))])
    p = np.exp(ensemble.score_members(x).astype("float64"))
    weights = np.full(3, 1 / 3)
    for _ in range(2000):
        joint = weights * p
        weights = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
    before = members[0].get_weights()
    ensemble.compile(keras.optimizers.Adam(0.1))
    ensemble.fit(x, batch_size=len(x), epochs=200, verbose=0)
    np.testing.assert_allclose(np.exp(ops.convert_to_numpy(ensemble.log_weights)), weights, atol=0.003)
    assert all((new == old).all() for new, old in zip(members[0].get_weights(), before, strict=True))


def test_fit_finds_two_kinds_of_events():
    """All ones or all zeros: 4 bits for values by themselves, 1 bit for the mixture of two such models."""
    x = np.repeat(np.random.default_rng(0).integers(0, 2, (256, 1)), 4, axis=1)
    members = [randomized(models.Factorized(4), seed) for seed in range(2)]
    ensemble = Ensemble(members, weights="learned")
    ensemble.compile(keras.optimizers.Adam(0.1))
    found = ensemble.fit(x, batch_size=64, epochs=40, verbose=0).history["loss"]
    assert found[-1] < math.log(2) + 0.1
    assert (ensemble.responsibilities(x).max(axis=1) > 0.99).all()


@keras.saving.register_keras_serializable(package="tests")
class Box(DensityModel):
    """Uniform between two edges, one of which is learned; nothing is possible beyond."""

    support = Support.reals()

    def __init__(self, event_shape, *, low=0.0, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.low = low
        self.width = self.add_weight((), "ones", name="width")

    def call(self, x):
        return ops.cast(x, "float32") - self.low

    def log_prob_from(self, outputs, x):
        inside = ops.all(ops.logical_and(outputs > 0, outputs < self.width), axis=-1)
        return ops.where(inside, -self.num_dims * ops.log(self.width), -math.inf)


def test_an_event_that_members_think_impossible_leaves_gradients_finite():
    ensemble = Ensemble([Box(2), Box(2, low=0.5)], weights="learned")
    x = ops.convert_to_tensor(np.array([[0.2, 0.4], [0.6, 0.7], [9.0, 9.0]], "float32"))
    found = ops.convert_to_numpy(ensemble.log_prob(x))
    np.testing.assert_allclose(found[:2], [math.log(0.5), 0.0], atol=1e-6)
    assert found[2] == -math.inf
    gradients = backend.gradients(
        lambda: ops.sum(ops.maximum(ensemble.log_prob(x), -1e9)), ensemble.trainable_variables
    )
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)
    np.testing.assert_allclose(ensemble.responsibilities(x)[:2], [[1, 0], [0.5, 0.5]])
    assert np.isnan(ensemble.responsibilities(x)[2]).all()
    ensemble.compile("sgd")
    with pytest.raises(ValueError, match="The loss of"):
        ensemble.fit(ops.convert_to_numpy(x), verbose=0)
    assert all(np.isfinite(weight).all() for weight in ensemble.get_weights())


def test_members_with_training_of_their_own_behind_them(tmp_path):
    """Compiled and trained, one of them frozen: neither their metrics nor their optimizers disturb."""
    members = [models.MADE(4, hidden_units=5, name=f"member_{seed}") for seed in range(2)]
    x = np.random.default_rng(0).integers(0, 2, (64, 4))
    for member in members:
        member.compile("adam")
        member.fit(x, verbose=0)
    members[1].trainable = False
    ensemble = Ensemble(members, weights="learned")
    ensemble.compile("adam")
    assert sorted(ensemble.fit(x, verbose=0).history) == ["bits_per_dim", "loss"]
    ensemble.save(tmp_path / "ensemble.keras")
    opened = keras.saving.load_model(tmp_path / "ensemble.keras")
    np.testing.assert_allclose(opened.score_samples(x), ensemble.score_samples(x), rtol=1e-5)
    fixed = opened.members[1].get_weights()
    losses = [each.fit(x, shuffle=False, epochs=3, verbose=0).history["loss"] for each in (ensemble, opened)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert all((new == old).all() for new, old in zip(opened.members[1].get_weights(), fixed, strict=True))
    assert sorted(members[0].evaluate(x, verbose=0, return_dict=True)) == ["bits_per_dim", "loss"]


def test_a_member_without_a_gradient_must_be_frozen():
    slow = bijectors.Inverse(bijectors.Autoregressive(models.MADE(2, hidden_units=4, head="normal")))
    slow = FlowModel(2, bijectors=[slow], name="slow")
    ensemble = Ensemble([slow, models.FVSBN(2, head="normal")], weights="learned")
    assert not ensemble.differentiable
    ensemble.compile("sgd")
    x = ensemble.random_batch(16)[0]
    with pytest.raises(ValueError, match=r"`members` must have a gradient .* Received: slow"):
        ensemble.fit(x, verbose=0)
    slow.trainable = False
    ensemble.compile("sgd", run_eagerly=True)  # in a graph of TensorFlow a loop of steps must know the batch size
    before = ops.convert_to_numpy(ensemble.weight_logits)
    ensemble.fit(x, verbose=0)
    assert (ops.convert_to_numpy(ensemble.weight_logits) != before).all()


# What is refused.


def pair(first, second):
    return lambda: Ensemble([first(), second()])


def twice():
    model = models.FVSBN(3, name="the_same")
    return Ensemble([model, model])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ensemble([]), r"`members` must be a list of at least one density model. Received: members=\[\]"),
        (lambda: Ensemble(models.FVSBN(3)), "`members` must be a list of at least one density model"),
        (
            pair(lambda: models.FVSBN(3), lambda: keras.layers.Dense(2)),
            r"density models. Received: members\[1\]=<Dense",
        ),
        (pair(lambda: models.FVSBN(3), lambda: "made"), r"Received: members\[1\]='made'"),
        (twice, r"different models. Received: members\[1\] is the_same"),
        (
            pair(lambda: models.FVSBN(3), lambda: models.FVSBN(4)),
            r"one `event_shape`: .*\(3,\).*\[1\].event_shape=\(4,\)",
        ),
        (pair(lambda: models.FVSBN(3), lambda: models.FVSBN(3, head="normal")), r"one `support`: .*num_levels=2"),
        (
            pair(lambda: models.FVSBN(3, head="normal"), lambda: models.FVSBN(3, head=heads.Normal(resolution=0.1))),
            r"one `support`: .*resolution=0.1",
        ),
        (pair(lambda: models.FVSBN(3), lambda: models.FVSBN(3, num_classes=2)), "`num_classes`: .*None.*num_classes=2"),
        (
            pair(lambda: models.FVSBN(3, condition_shape=2), lambda: models.FVSBN(3)),
            r"`condition_shape`: .*\(2,\).*condition_shape=None",
        ),
        (lambda: Ensemble([models.FVSBN(3)], weights=[1.0]), "`weights` must be 'equal' or 'learned'. Received"),
        (lambda: Ensemble([models.FVSBN(3)]).score_samples([[0, 1, np.nan]]), "`x` must be finite"),
        (lambda: Ensemble([models.FVSBN(3)]).score_samples([[0, 1]]), r"`x` must have shape \(batch, 3\)"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
