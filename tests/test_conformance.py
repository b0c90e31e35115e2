"""The project's own components meet the kit that they ship with.

One form of each class at least, with what asks the most of a backend: colors, conditions, dropout, orderings. Others
are in test_variants.py, which does not run on every backend (see variants.py).
"""

import keras
from pair_of_bits import PairOfBits
from variants import parametrize_by_shape

from keras_ar import FlowModel, backend, bijectors, heads, layers, models, orderings, registry
from keras_ar.testing import parametrize_with_checks

HEADS = [
    heads.Bernoulli(),
    heads.Categorical(2),
    heads.Categorical(17),
    heads.Normal(loc=3.0, scale=2.0, resolution=0.1),
    heads.NormalMixture(3, loc=3.0, scale=2.0),
    heads.RationalQuadraticSpline(5, bound=3.0, loc=3.0, scale=2.0),
    heads.RationalQuadraticSpline(2),
    heads.DiscretizedLogisticMixture(17, num_components=3),
    heads.DiscretizedLogisticMixture(2),
    heads.DiscretizedLogisticMixture(4, num_components=2, num_channels=3),
    heads.Independent(heads.Categorical(3), 2),
    PairOfBits(),
]

LAYERS = [  # input shapes, positions first, and the layers that take them
    (
        (6, 2),
        [
            layers.NADEDense(units=5, outputs=3, name="nade_dense"),
            layers.TriangularDense(units=3, name="triangular_dense"),
            layers.CausalConv1D(3, 2, dilation_rate=3, activation="relu", name="causal_conv1d"),
            layers.CausalLSTM(3, name="causal_lstm"),
            layers.CausalGRU(3, name="causal_gru"),
            layers.WaveNetBlock(2, dilation_rate=2, skip_filters=3, name="wavenet_block"),
            layers.MaskedDense(3, [[1, 1, 0], [0, 1, 1]], name="masked_dense"),
            layers.PositionWise(keras.layers.Dense(3), name="position_wise"),
            layers.Shift(name="shift"),
            layers.PositionEmbedding(name="position_embedding"),
            layers.Residual([keras.layers.Dense(3, "tanh"), layers.CausalConv1D(2, 2)], name="residual"),
        ],
    ),
    (
        (7, 4),
        [
            layers.CausalAttention(4, 2, window=3, dropout=0.1, name="causal_attention"),
            layers.TransformerBlock(2, mlp_ratio=1.5, norm="rms", name="transformer_block"),
        ],
    ),
    (
        (4, 5, 2),
        [
            layers.CausalImageAttention(4, 2, dropout=0.1, name="causal_image_attention"),
            layers.MaskedConv2D(3, 5, mask_type="A", name="masked_conv2d"),
            layers.MaskedResidualBlock(2, name="masked_residual_block"),
            layers.ShiftedConv2D(3, (2, 3), "down", name="shifted_conv2d_down"),
            layers.ShiftedConv2D(3, (2, 2), "down_right", name="shifted_conv2d_down_right"),
            layers.GatedResnet(2, (2, 3), "down", name="gated_resnet"),
            layers.WeightNormDense(3, name="weight_norm_dense"),
            layers.GatedBlock(4, mask_type="A", name="gated_block"),
        ],
    ),
    (
        [(4, 5, 4), (4, 5, 4)],
        [
            layers.GatedBlock(4, name="gated_block_of_two"),
        ],
    ),
    (
        (3, 5, 4),
        [
            layers.RowLSTM(2, name="row_lstm"),
            layers.DiagonalBiLSTM(2, name="diagonal_bilstm"),
        ],
    ),
]

NORMALS = heads.Normal(loc=3.0, scale=2.0, resolution=0.1)

MODELS = [
    models.FVSBN(5, head=heads.Categorical(4), ordering="reversed", condition_shape=3, name="fvsbn"),
    models.NADE(12, units=7, name="nade"),
    models.Factorized((2, 2), hidden_units=6, dropout=0.1, head=heads.Categorical(3), num_classes=2, name="decoder"),
    models.Factorized((3, 2), head=PairOfBits(), name="baseline"),
    models.Factorized(
        (2, 2, 1),
        network=keras.layers.Conv2DTranspose(3, 2),
        head=heads.Categorical(3),
        condition_shape=(1, 1, 4),
        name="decoder-network",
    ),
    models.NADE(17, units=4, activation="relu", name="nade-two_blocks"),
    models.MADE(
        (3, 3, 1),
        hidden_units=(20, 5, 30),
        degrees="random",
        direct=True,
        dropout=0.1,
        ordering=orderings.random(9, seed=4),
        name="made",
    ),
    models.MADE(4, hidden_units=8, head=NORMALS, condition_shape=1, degrees="random", name="made_normal"),
    models.CausalSequential(
        9,
        layers=[layers.NADEDense(units=6, outputs=4), keras.layers.LayerNormalization(), keras.layers.Dropout(0.3)],
        condition_shape=2,
        name="layered",
    ),
    models.CausalSequential((5, 2), layers=[layers.TriangularDense(4)], head=PairOfBits(), name="layered_pairs"),
]

ANY_ORDER_MODELS = [
    models.DeepNADE(
        5, hidden_units=(7, 6), direct=True, dropout=0.1, ordering=[2, 0, 3, 1, 4], num_classes=2, name="deep_nade"
    ),
    models.DeepNADE((2, 2), hidden_units=6, head=heads.Categorical(3), condition_shape=2, name="deep_nade-levels"),
    models.DeepNADE((4, 2), hidden_units=6, head=PairOfBits(), name="deep_nade-pairs"),
    models.DeepNADE(2, hidden_units=6, head=NORMALS, name="deep_nade_normal"),
    models.ConvNADE((2, 3, 1), filters=3, num_blocks=1, dropout=0.1, num_classes=2, name="conv_nade"),
]

MANY_ORDERS_MODELS = [
    models.OrderAgnosticMADE(
        5, hidden_units=(9, 7), num_masks=3, direct=True, dropout=0.1, num_classes=2, name="agnostic_made"
    ),
    models.OrderAgnosticMADE((2, 2), hidden_units=6, head=heads.Categorical(3), condition_shape=2, name="endless"),
    models.LocallyMaskedPixelCNN((2, 4, 1), filters=6, num_blocks=2, dropout=0.1, num_classes=2, name="local"),
    models.OrderAgnosticMADE(2, hidden_units=5, mask_kind="order", head=NORMALS, name="agnostic_made-normal"),
]

RGB = heads.DiscretizedLogisticMixture(num_levels=2, num_components=2, num_channels=3)

IMAGE_MODELS = [
    models.PixelCNN((2, 2, 3), filters=12, num_blocks=1, dropout=0.2, num_classes=2, name="pixel_cnn"),
    models.GatedPixelCNN((3, 4, 1), filters=4, num_blocks=1, condition_shape=(3, 4, 2), name="gated"),
    models.PixelSNAIL((3, 4, 1), filters=4, num_blocks=1, num_resnets=1, num_heads=2, dropout=0.1, name="snail"),
    models.ImageTransformer((2, 2, 3), units=8, num_layers=1, num_heads=2, window_rows=1, name="image_transformer"),
    models.PixelCNNPlusPlus((2, 2, 3), filters=3, num_resnets=1, num_levels=1, head=RGB, name="plus_plus"),
    models.PixelRNN(
        (2, 2, 3), variant="row", units=3, num_layers=1, dropout=0.2, condition_shape=(2, 2, 2), name="row"
    ),
    models.PixelRNN((2, 2, 3), units=3, num_layers=1, dropout=0.2, name="diagonal"),
    models.MultiScalePixelRNN(
        (3, 4), variant="row", units=2, num_layers=1, kernel_size=3, features=3, condition_shape=2, name="multi_scale"
    ),
]


def autoregressive(n, head="normal", **options):
    made = models.MADE(n, hidden_units=8, activation="tanh", head=head, **options)
    return bijectors.Autoregressive(made, name=f"of_{head}")


BIJECTORS = [
    bijectors.Permute("reversed"),
    bijectors.Permute("random", seed=3),
    autoregressive((6, 2), ordering="random"),
    bijectors.Inverse(autoregressive((6, 2), head="normal")),
]

MIXTURES = models.MADE(2, hidden_units=4, head="normal_mixture", condition_shape=2, name="mixtures")

FLOWS = [
    FlowModel(
        2,
        bijectors=[autoregressive(2), bijectors.Permute("reversed"), autoregressive(2, head="normal_mixture")],
        resolution=0.1,
        name="flow",
    ),
    FlowModel(2, bijectors=[autoregressive(2, condition_shape=2)], base=MIXTURES, num_classes=2, name="flow-classes"),
    FlowModel((3, 2), bijectors=[autoregressive((3, 2), ordering="random", dropout=0.2)], name="flow-matrix"),
]

ENSEMBLES = [
    models.Ensemble(
        [
            models.MADE(4, hidden_units=8, dropout=0.1, num_classes=2, name="forward"),
            models.MADE(4, hidden_units=(6, 7), ordering="reversed", num_classes=2, name="backward"),
            models.DeepNADE(4, hidden_units=5, num_classes=2, name="any_order"),
        ],
        weights="learned",
        name="ensemble",
    ),
    models.Ensemble(
        [
            models.MADE(2, hidden_units=8, head=NORMALS, name="normals"),
            FlowModel(2, bijectors=[autoregressive(2), bijectors.Permute("reversed")], resolution=0.1, name="map"),
        ],
        name="ensemble-densities",
    ),
]

SEQUENCE_MODELS = [
    models.CharRNN(
        6, vocabulary="abcd", embedding_dim=3, units=4, num_layers=2, dropout=0.1, copy_window=3, name="char_rnn"
    ),
    models.TransformerDecoder(
        6,
        units=8,
        num_layers=2,
        num_heads=2,
        window=4,
        dropout=0.1,
        head=heads.Categorical(3),
        stop=1,
        num_classes=2,
        name="transformer_decoder",
    ),
    models.EncoderDecoder(
        3,
        condition_shape=4,
        source_levels=5,
        units=8,
        num_layers=1,
        num_heads=2,
        dropout=0.1,
        head=heads.Categorical(3),
        stop=0,
        name="encoder_decoder",
    ),
    models.WindowMLP(10, window=4, hidden_units=(6, 5), condition_shape=3, name="window_mlp"),
    models.WaveNet(12, filters=3, dilations=(1, 3, 2), dropout=0.1, name="wavenet"),
]


@parametrize_with_checks(HEADS)
def test_heads_conform(check):
    check()


@parametrize_by_shape(LAYERS)
def test_layers_conform(check):
    check()


def expected_failures(component):
    if component.name == "plus_plus" and keras.backend.backend() == "jax" and not backend.wants_known_lengths():
        return {"check_extreme_weights": "XLA without its optimizations, as tests run it, makes NaN of huge scores"}
    return {}


@parametrize_with_checks(
    [*MODELS, *ANY_ORDER_MODELS, *MANY_ORDERS_MODELS, *FLOWS, *ENSEMBLES, *IMAGE_MODELS, *SEQUENCE_MODELS],
    expected_failures=expected_failures,
)
def test_models_conform(check):
    check()


class PositionBias(layers.CausalLayer):
    """Adds a bias of its own to each position: a layer that counts positions and is not strict."""

    def build(self, shape):
        self.bias = self.add_weight(shape[1:], "random_normal", name="bias")

    def call(self, x):
        return x + self.bias

    def prepare(self, condition=None):
        return self.cast_weight(self.bias)

    def step(self, constants, state, t, x):
        return x + constants[t], state

    def compute_output_shape(self, shape):
        return shape


def test_a_layer_that_counts_positions_steps_after_the_strict_one_only():
    after = models.CausalSequential(5, layers=[layers.TriangularDense(2), PositionBias()])
    ahead = models.CausalSequential(5, layers=[PositionBias(), layers.TriangularDense(2)])
    assert after.steppable
    assert not ahead.steppable
    assert (ahead.sample(8, seed=0) == ahead.sample(8, seed=0, method="full")).all()
    assert (after.sample(8, seed=0) == after.sample(8, seed=0, method="full")).all()


def test_every_component_of_ours_is_checked():
    components = [*HEADS, *(layer for _, group in LAYERS for layer in group)]
    components += [
        *MODELS,
        *ANY_ORDER_MODELS,
        *MANY_ORDERS_MODELS,
        *ENSEMBLES,
        *IMAGE_MODELS,
        *SEQUENCE_MODELS,
        *BIJECTORS,
    ]
    ours = {entry.load() for entry in registry.entries() if entry.distribution == "keras-ar"}
    # Coarse inputs and fine outputs have no positions in common: it is checked as a part of PixelCNN++.
    assert ours - {type(component) for component in components} <= {layers.ShiftedConv2DTranspose}


@parametrize_with_checks(BIJECTORS)
def test_bijectors_conform(check):
    check()
