"""Categorical flows of sets and graphs: what does not depend on an order, faults that the kit finds, and bad input."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_ar import heads, models, noise
from keras_ar.testing import checks_for
from keras_ar_flows import (
    CategoricalFlow,
    FlowPlusPlus,
    GraphCNF,
    GraphNetwork,
    LogisticMixture,
    RealNVP,
    SetFlow,
    graphs,
)


def test_the_mixture_of_logistics_is_that_of_the_paper():
    head = LogisticMixture(num_components=3, bound=2.0, loc=1.0, scale=4.0)
    params = noise.normals(20 * 11, seed=0).reshape(20, 11)
    x = np.linspace(-10.0, 10.0, 20)
    z, log_slope = (ops.convert_to_numpy(each) for each in head.to_noise(params.astype("float32"), x.astype("float32")))

    def reference(x):
        logits, means, log_scales = params[:, :3], params[:, 3:6], 2.0 * np.tanh(params[:, 6:9] / 2.0)
        anchors = 0.5 * np.log([1 / 5, 1.0, 5.0])  # half of the quantiles of one, three and five sixths
        log_scales = log_scales + 0.5 * np.log(1.0 - anchors.var() / (np.pi**2 / 3.0))
        standard = ((x - 1.0) / 4.0)[:, None] - means - anchors
        below = 1.0 / (1.0 + np.exp(-standard / np.exp(log_scales)))
        cdf = (np.exp(logits) * below).sum(axis=1) / np.exp(logits).sum(axis=1)
        return np.exp(2.0 * np.tanh(params[:, 10] / 2.0)) * np.log(cdf / (1.0 - cdf)) + params[:, 9]

    np.testing.assert_allclose(z, reference(x), rtol=1e-4, atol=1e-4)
    slope = (reference(x + 1e-5) - reference(x - 1e-5)) / 2e-5
    np.testing.assert_allclose(log_slope, np.log(slope), rtol=1e-3, atol=1e-3)


def randomized(model):
    noise.randomize(model)
    return model


def test_the_order_of_a_set_does_not_matter():
    model = randomized(CategoricalFlow(SetFlow((4, 2), num_layers=2, units=4, num_blocks=1, num_heads=2), num_levels=3))
    x, guesses = np.array([[0, 1, 2, 2]]), noise.uniforms(0, 0, 1, model.hidden_shape)
    order = [2, 0, 3, 1]
    found = [float(model.log_weight(x[:, o], guesses[:, o])[0]) for o in (slice(None), order)]
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_the_order_of_nodes_does_not_matter():
    order = np.array([2, 0, 3, 1])
    number = graphs.adjacency(np.arange(10)[None], 4)[0]  # of the edge between two nodes, within an event
    moved = number[order][:, order][tuple(graphs.pairs(4).T)]

    network, edges = GraphNetwork(4, units=4, num_blocks=2), noise.normals(18, seed=0).reshape(1, 6, 3)
    network(edges)
    noise.randomize(network)
    found = ops.convert_to_numpy(network(edges))[:, moved - 4]
    np.testing.assert_allclose(ops.convert_to_numpy(network(edges[:, moved - 4])), found, atol=1e-5)

    model = randomized(GraphCNF(4, 3, latent_dims=2, num_layers=2, units=4, num_blocks=2))
    x, guesses = model.sample(1, seed=3), noise.uniforms(0, 0, 1, model.hidden_shape)
    same = np.concatenate([order, moved])
    assert not (x[:, same] == x).all()
    found = [float(model.log_weight(x[:, o], guesses[:, o])[0]) for o in (slice(None), same)]
    assert found[0] == pytest.approx(found[1], abs=1e-3)


@keras.saving.register_keras_serializable(package="tests")
class Faulty(CategoricalFlow):
    """A categorical flow with one fault."""

    fault = None

    def log_weight(self, x, noise, condition=None, training=None):
        found = super().log_weight(x, noise, condition, training)
        if self.fault == "a guess that costs less than it should":
            return found + 2.0
        return found

    def log_categories(self, z):
        found = super().log_categories(z)
        if self.fault == "categories that do not sum to one":
            return found + 0.2
        return 1e3 * found if self.fault == "the most probable category" else found


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (None, None),
        ("a guess that costs less than it should", "check_bound_sums_to_one"),
        ("categories that do not sum to one", "check_bound_sums_to_one"),
        ("the most probable category", "check_draws_follow_bound"),
    ],
)
def test_a_fault_is_found(fault, check, monkeypatch):
    def draw_most_probable(self, noise, condition=None):
        z, _ = self.flow.draw(ops.reshape(noise[:, : -self.num_dims], (-1, *self.flow.noise_shape)))
        return ops.cast(ops.argmax(self.log_categories(z), axis=-1), "int32")

    if fault == "the most probable category":
        monkeypatch.setattr(Faulty, "draw_events", draw_most_probable)
    else:
        monkeypatch.setattr(Faulty, "fault", fault)
    checks = checks_for(Faulty(RealNVP((2, 2), num_layers=2, hidden_units=4), num_levels=3))
    if fault is None:
        checks["check_bound_sums_to_one"]()
        checks["check_draws_follow_bound"]()
    else:
        with pytest.raises(AssertionError):
            checks[check]()


@pytest.mark.one_backend
def test_molecules_are_valid_and_others_are_not():
    x = graphs.molecules(200, num_nodes=5, seed=2)
    assert graphs.is_valid(x, num_nodes=5).all()
    assert set(np.unique(x[:, :5])) == {0, 1, 2, 3, 4}
    assert set(np.unique(x[:, 5:])) == {0, 1, 2, 3}
    np.testing.assert_array_equal(x, graphs.molecules(200, num_nodes=5, seed=2))
    for nodes, edges in (
        ([1, 1, 1], [1, 1, 0]),  # two bonds of one arm
        ([1, 1, 0], [0, 0, 0]),  # two parts
        ([1, 1, 0], [1, 0, 1]),  # a bond to no atom
        ([1, 0, 0], [0, 0, 0]),  # one atom
        ([4, 4, 0], [4, 0, 0]),  # four bonds
    ):
        assert not graphs.is_valid(np.array([nodes + edges]), num_nodes=3).any()


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FlowPlusPlus(4), "`event_shape` must be"),
        (lambda: FlowPlusPlus((3, 4, 1), filters=8), "multiples of factor=2"),
        (lambda: FlowPlusPlus((4, 4, 1), num_layers=(0, 0, 0)), "`num_layers` must count one coupling"),
        (lambda: FlowPlusPlus((4, 4, 1), num_layers=4), "`num_layers` must be three integers"),
        (lambda: FlowPlusPlus((4, 4, 1), filters=6), "`filters` must be a multiple of `num_heads`"),
        (lambda: LogisticMixture(num_components=0), "`num_components`"),
        (lambda: SetFlow(4), "`event_shape` must be .entries, features."),
        (lambda: SetFlow((4, 1), units=8), "at least two channels"),
        (lambda: CategoricalFlow(models.FVSBN(3), num_levels=3), "`flow` must be a DensityModel of all real numbers"),
        (lambda: CategoricalFlow(RealNVP(2, num_layers=1), num_levels=3), "`flow` must be of events with an axis"),
        (lambda: CategoricalFlow(RealNVP((2, 2), num_layers=1), num_levels=1), "`num_levels`"),
        (
            lambda: CategoricalFlow(RealNVP((2, 2), num_layers=1), num_levels=3, head="bernoulli"),
            "`head` needs a head with `from_noise`",
        ),
        (lambda: GraphCNF(1, 3), "`num_nodes`"),
        (lambda: GraphCNF(3, 3, latent_dims=1), "`latent_dims`"),
        (lambda: GraphCNF(3, 3, num_classes=2), "a GraphCNF takes no condition. Received: .*num_classes=2"),
        (
            lambda: CategoricalFlow(
                RealNVP((2, 2), num_layers=1), num_levels=3, head=heads.Normal(loc=[[0.0, 1.0], [0.0, 0.0]])
            ),
            "`head` must be one for all entries",
        ),
    ],
)
def test_what_makes_no_model_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
