"""The project's own components meet the kit that they ship with."""

import keras
from pair_of_bits import PairOfBits

import keras_ar
from keras_ar import heads, layers, models, orderings
from keras_ar.testing import parametrize_with_checks

HEADS = [
    heads.Bernoulli(),
    heads.Categorical(2),
    heads.Categorical(17),
    heads.Normal(loc=3.0, scale=2.0, resolution=0.1),
    heads.NormalMixture(3, loc=3.0, scale=2.0),
]

LAYERS = [
    layers.NADEDense(units=5, outputs=3, block=4, name="nade_dense"),
    layers.TriangularDense(units=3, name="triangular_dense"),
]

NORMALS = heads.Normal(loc=3.0, scale=2.0, resolution=0.1)

MODELS = [
    models.FVSBN((3, 4, 1), name="fvsbn"),
    models.FVSBN(5, head=heads.Categorical(4), ordering="reversed", condition_shape=3, name="fvsbn-levels"),
    models.FVSBN(4, head=heads.NormalMixture(2), name="fvsbn-mixture"),
    models.FVSBN(4, head=NORMALS, condition_shape=2, name="fvsbn-normal"),
    models.NADE(12, units=7, name="nade"),
    models.NADE(17, units=4, activation="relu", name="nade-two-blocks"),
    models.NADE(6, units=5, activation="relu", head=heads.Categorical(4), condition_shape=(2, 2), name="nade-levels"),
    models.NADE((2, 2), units=5, head=heads.NormalMixture(2), ordering=[2, 0, 3, 1], name="rnade"),
    models.NADE(4, units=5, head=NORMALS, name="nade-normal"),
    models.MADE(12, hidden_units=(16, 9), name="made"),
    models.MADE(
        (3, 3, 1),
        hidden_units=(20, 5, 30),
        degrees="random",
        direct=True,
        dropout=0.1,
        ordering=orderings.random(9, seed=4),
        name="made-random",
    ),
    models.MADE(6, hidden_units=(11, 8), head=heads.Categorical(4), direct=True, condition_shape=3, name="made-levels"),
    models.MADE(4, hidden_units=8, head=heads.NormalMixture(2), activation="tanh", name="made-mixture"),
    models.MADE(4, hidden_units=8, head=NORMALS, condition_shape=1, degrees="random", name="made-normal"),
    models.MADE(10, hidden_units=(3, 1), activation="tanh", name="made-narrow"),
    models.MADE(2, hidden_units=3, name="made-of-two"),
    models.MADE(1, hidden_units=3, condition_shape=2, direct=True, name="made-of-one"),
    models.NADE(1, units=3, condition_shape=2, name="nade-of-one"),
    models.FVSBN(1, name="fvsbn-of-one"),
    models.FVSBN((3, 2), head=PairOfBits(), name="fvsbn-pairs"),
    models.NADE((2, 2, 2), units=5, head=PairOfBits(), ordering="reversed", name="nade-pairs"),
    models.MADE((4, 2), hidden_units=(9, 7), head=PairOfBits(), direct=True, condition_shape=2, name="made-pairs"),
    keras_ar.AutoregressiveModel.from_layers(
        [layers.NADEDense(units=6, outputs=4), keras.layers.LayerNormalization(), keras.layers.Dropout(0.3)],
        event_shape=(9,),
        condition_shape=2,
        name="layered",
    ),
    keras_ar.AutoregressiveModel.from_layers(
        [keras.layers.Dense(3), layers.TriangularDense(4, "glorot_uniform"), keras.layers.Dense(5, "tanh")],
        event_shape=5,
        head=heads.Categorical(3),
        name="layered-levels",
    ),
    keras_ar.AutoregressiveModel.from_layers(
        [layers.TriangularDense(4, "glorot_uniform")], event_shape=(5, 2), head=PairOfBits(), name="layered-pairs"
    ),
]


def expected_failures(component):
    if component.name in ("made-of-one", "nade-of-one", "fvsbn-of-one"):
        return {"check_every_weight_learns": "a single value depends on no other, so weights between values are idle"}
    return {}


@parametrize_with_checks(HEADS)
def test_heads_conform(check):
    check()


@parametrize_with_checks(LAYERS, input_shape=(6, 2))
def test_layers_conform(check):
    check()


@parametrize_with_checks(MODELS, expected_failures=expected_failures)
def test_models_conform(check):
    check()


class PositionBias(keras.layers.Layer):
    """Adds a bias of its own to each position: a layer that counts positions and is not strict."""

    def build(self, shape):
        self.bias = self.add_weight(shape[1:], "random_normal", name="bias")

    def call(self, x):
        return x + self.bias

    def start(self, batch_size):
        return ()

    def step(self, state, x, t):
        return x + keras.ops.convert_to_tensor(self.bias)[t], state

    def compute_output_shape(self, shape):
        return shape


def test_a_layer_that_counts_positions_steps_behind_the_strict_one_only():
    strict = [layers.TriangularDense(2, "glorot_uniform") for _ in range(2)]
    behind = keras_ar.AutoregressiveModel.from_layers([strict[0], PositionBias()], event_shape=5)
    ahead = keras_ar.AutoregressiveModel.from_layers([PositionBias(), strict[1]], event_shape=5)
    assert behind.steppable
    assert not ahead.steppable
    assert (ahead.sample(8, seed=0) == ahead.sample(8, seed=0, method="full")).all()
    assert (behind.sample(8, seed=0) == behind.sample(8, seed=0, method="full")).all()
