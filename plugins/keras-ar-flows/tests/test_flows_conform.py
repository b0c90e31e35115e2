"""Every component keeps what keras-ar promises."""

import keras
import pytest

from keras_ar import FlowModel, bijectors, heads, models
from keras_ar.testing import parametrize_with_checks
from keras_ar_flows import (
    IAF,
    MAF,
    NICE,
    ActNorm,
    Affine,
    CategoricalFlow,
    Chain,
    Coupling,
    Dequantized,
    ElementwiseAffine,
    ElementwiseSpline,
    FlowPlusPlus,
    GatedNetwork,
    Glow,
    GraphCNF,
    GraphNetwork,
    InvertibleConv1x1,
    LogisticMixture,
    Logit,
    LULinear,
    MultiScale,
    NeuralSplineFlow,
    Planar,
    PlanarFlow,
    Radial,
    RadialFlow,
    RealNVP,
    SetFlow,
    Shift,
    Squeeze,
)

SPLINE = heads.RationalQuadraticSpline(4)


@parametrize_with_checks(
    [Affine(), Affine(bound=1.0, loc=5.0, scale=2.0), LogisticMixture(3, loc=1.0), Shift(loc=1.0, scale=3.0)]
)
def test_heads(check):
    check()


def network():
    """One of the user's own, with a layer that Keras has."""
    return keras.Sequential([keras.layers.Dense(5, activation="tanh"), keras.layers.LayerNormalization()])


def with_dropout():
    return keras.Sequential([keras.layers.Dense(5, activation="tanh"), keras.layers.Dropout(0.3)])


@parametrize_with_checks(
    [
        ActNorm(),
        Chain([ElementwiseAffine(), LULinear(), Coupling(network=(5,))], name="chain"),
        Coupling(network=(7,), name="half"),
        Coupling("alternate", flip=True, network=(7,), head=Shift(), name="coupling-additive"),
        Coupling("alternate", network=(7,), head=SPLINE, activation="tanh", name="coupling-spline"),
        Coupling(flip=True, network=network(), head="normal_mixture", name="coupling-mixture"),
        ElementwiseAffine(),
        ElementwiseSpline(5, bound=1.0),
        Logit(-1.0, 3.0),
        Logit(0.0, 16.0, alpha=0.05, name="logit-pixels"),
        LULinear(seed=1),
        Planar(),
        Radial(),
    ],
    input_shape=(6,),
)
def test_bijectors_of_vectors(check):
    check()


@parametrize_with_checks(
    [
        Chain([Planar(), ActNorm(), Radial()], name="chain-folds"),
        Coupling(network=(7,), name="coupling-given"),
        ElementwiseAffine(name="elementwise_affine-given"),
        ElementwiseSpline(3, name="elementwise_spline-given"),
        Planar(name="planar-given"),
        Radial(name="radial-given"),
    ],
    input_shape=(3, 2),
    condition_shape=(4,),
)
def test_bijectors_with_a_condition(check):
    check()


@parametrize_with_checks(
    [
        ActNorm(),
        Coupling("checkerboard", network=(5, 4), name="checkerboard"),
        Coupling("channels", flip=True, network=(5,), head=SPLINE, name="coupling-channels"),
        InvertibleConv1x1(seed=2),
        MultiScale([[Squeeze(), InvertibleConv1x1()], Coupling("channels", network=(4,))], name="scales"),
        MultiScale([[ActNorm(), Coupling("checkerboard", network=(3,))]], name="multi_scale-one"),
        Coupling("checkerboard", head=LogisticMixture(2), network=GatedNetwork(4, 1, 2), name="coupling-plus_plus"),
        Squeeze(),
    ],
    input_shape=(4, 2, 2),
)
def test_bijectors_of_images(check):
    check()


@parametrize_with_checks(
    [Coupling("channels", head=LogisticMixture(2), network=GraphNetwork(3, 4, 2), name="coupling-graph")],
    input_shape=(3, 2),
)
def test_bijectors_of_graphs(check):
    check()


@parametrize_with_checks(
    [
        Coupling("checkerboard", network=(5,), name="coupling-checkerboard-given"),
        Coupling("channels", network=(5,), name="coupling-channels-given"),
        MultiScale(
            [[Squeeze(), Coupling("channels", network=(5,))], Coupling("half", network=(4,))], name="multi_scale-given"
        ),
    ],
    input_shape=(2, 2, 2),
    condition_shape=(2, 2, 3),
)
def test_bijectors_of_images_with_a_condition_for_each_pixel(check):
    check()


MIXTURES = models.MADE(2, hidden_units=4, head="normal_mixture", name="mixtures")


@parametrize_with_checks(
    [
        NICE(2, num_layers=3, hidden_units=5),
        RealNVP(2, num_layers=3, hidden_units=5, resolution=0.1),
        RealNVP((4, 4, 1), num_layers=1, hidden_units=3, num_scales=2, num_classes=3, name="real_nvp-images"),
        MAF(2, num_layers=2, hidden_units=5, base=MIXTURES),
        MAF((3, 1), num_layers=2, hidden_units=7, ordering="random", act_norm=True, condition_shape=2, name="maf-norm"),
        IAF(2, num_layers=2, hidden_units=5, condition_shape=2),
        NeuralSplineFlow(2, num_layers=2, hidden_units=5, num_bins=4),
        NeuralSplineFlow(
            2,
            kind="autoregressive",
            num_layers=2,
            hidden_units=5,
            num_bins=4,
            elementwise_bins=3,
            num_classes=2,
            name="neural_spline_flow-mades",
        ),
        PlanarFlow(2, num_layers=3, condition_shape=2),
        RadialFlow(2, num_layers=3, condition_shape=2),
        Glow((4, 4, 1), num_levels=2, num_steps=1, filters=3, condition_shape=2),
        FlowPlusPlus((2, 4, 1), num_layers=(1, 1, 0), filters=4, num_blocks=1, num_heads=2, num_components=2),
        CategoricalFlow(RealNVP((2, 2), num_layers=2, hidden_units=7, condition_shape=3), num_levels=3),
        CategoricalFlow(
            SetFlow((2, 2), num_layers=2, units=4, num_blocks=1, num_heads=2), num_levels=3, name="categorical_flow-set"
        ),
        SetFlow((2, 2), num_layers=2, units=4, num_blocks=1, num_heads=2, num_components=2, name="set_flow-alone"),
        GraphCNF(2, 3, latent_dims=2, num_layers=2, units=4, num_blocks=1, num_components=2, name="graph_cnf-small"),
        FlowModel(2, bijectors=[Logit(0.0, 4.0), Coupling(network=(5,))], name="flow-bounded"),
        FlowModel(2, bijectors=[ActNorm()], base=RealNVP(2, num_layers=2, hidden_units=4), name="flow-flow"),
        FlowModel(2, bijectors=[Coupling(network=with_dropout())], name="flow-dropout"),
        Dequantized(
            RealNVP(2, num_layers=2, hidden_units=7, num_classes=3),
            num_levels=4,
            posterior=RealNVP(2, num_layers=2, hidden_units=7, condition_shape=2, name="posterior"),
            num_draws=2,
        ),
        Dequantized(
            models.MADE((2, 1), hidden_units=5, head="normal_mixture"),
            num_levels=3,
            objective="iwae",
            num_draws=3,
            name="dequantized-uniform",
        ),
    ]
)
def test_models(check):
    check()


def test_what_is_found_by_name():
    for name in ("coupling", "keras-ar-flows:planar", "act_norm"):
        assert isinstance(bijectors.get(name), bijectors.Bijector)
    assert isinstance(heads.get("affine"), Affine)
    assert isinstance(models.get("maf", event_shape=2, hidden_units=3), MAF)


@pytest.mark.parametrize("name", ["shift", "affine"])
def test_a_head_of_ours_is_a_head_for_every_model(name):
    assert models.FVSBN(3, head=name).sample(2, seed=0).shape == (2, 3)
