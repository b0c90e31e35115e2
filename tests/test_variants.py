"""Variants of the components in test_conformance.py: the same classes under other settings. Run on torch only."""

import keras
from pair_of_bits import PairOfBits
from variants import parametrize_by_shape

from keras_ar import heads, layers, models
from keras_ar.testing import parametrize_with_checks

NORMALS = heads.Normal(loc=3.0, scale=2.0, resolution=0.1)
COLUMNS = heads.Normal(loc=[-1.0, 5.0, 300.0], scale=[0.5, 2.0, 20.0])
PIXELS = heads.Normal(loc=[[[0.0], [1.0]], [[2.0], [3.0]]])
RGB = heads.DiscretizedLogisticMixture(num_levels=2, num_components=2, num_channels=3)

LAYERS = [  # input shapes, positions first, and the layers that take them
    (
        (6, 2),
        [
            layers.CausalConv1D(3, 3, dilation_rate=2, strict=True, name="causal_conv1d-strict"),
            layers.CausalGRU(3, strict=True, name="causal_gru-strict"),
            layers.CausalConv1D(2, 1, use_bias=False, name="causal_conv1d-one-tap"),
            layers.PositionWise(keras.layers.EinsumDense("abc,cd->abd", (None, 4)), name="position_wise-einsum"),
            layers.PositionEmbedding(7, name="position_embedding-learned"),
        ],
    ),
    (
        (7, 4),
        [
            layers.CausalAttention(6, 3, positions=None, use_bias=False, name="causal_attention-everywhere"),
            layers.CausalAttention(4, 1, window=4, strict=True, name="causal_attention-strict"),
            layers.CausalAttention(4, 1, window=100, name="causal_attention-long-window"),
            layers.TransformerBlock(1, window=2, dropout=0.1, name="transformer_block-window"),
            layers.Residual([layers.CausalAttention(4, 2), keras.layers.LayerNormalization()], name="residual-norm"),
        ],
    ),
    (
        (4, 5, 2),
        [
            layers.Shift(name="shift-image"),
            layers.MaskedConv2D(3, (3, 5), dilation_rate=2, activation="relu", name="masked_conv2d-b"),
            layers.MaskedConv2D(3, (1, 5), mask_type="A", use_bias=False, name="masked_conv2d-row"),
            layers.ShiftedConv2D(3, (3, 3), "down", strict=True, weight_norm=False, name="shifted_conv2d-above"),
            layers.ShiftedConv2D(3, (2, 1), "down_right", strict=True, name="shifted_conv2d-left"),
            layers.GatedResnet(2, (2, 2), "down_right", name="gated_resnet-down_right"),
        ],
    ),
    (
        [(4, 5, 4), (4, 5, 4)],
        [
            layers.GatedBlock(4, kernel_size=5, dropout=0.1, name="gated_block-b5"),
        ],
    ),
    (
        (3, 5, 4),
        [
            layers.RowLSTM(3, kernel_size=5, residual=False, name="row_lstm-states"),
            layers.DiagonalBiLSTM(3, residual=False, name="diagonal_bilstm-states"),
        ],
    ),
    (
        (3, 4, 3, 2),
        [
            layers.MaskedConv2D(6, 3, mask_type="A", num_colors=3, name="masked_conv2d-a-rgb"),
            layers.MaskedConv2D(9, (1, 3), num_colors=3, name="masked_conv2d-b-rgb"),
            layers.MaskedConv2D(6, 1, mask_type="A", num_colors=3, name="masked_conv2d-colors"),
            layers.MaskedResidualBlock(6, num_colors=3, name="masked_residual_block-rgb"),
            layers.RowLSTM(3, num_colors=3, name="row_lstm-rgb"),
            layers.DiagonalBiLSTM(3, num_colors=3, name="diagonal_bilstm-rgb"),
        ],
    ),
]

MODELS = [
    models.FVSBN((3, 4, 1), name="fvsbn-binary"),
    models.FVSBN(4, head=heads.NormalMixture(2), name="fvsbn-mixture"),
    models.FVSBN(4, head=NORMALS, num_classes=2, kernel_regularizer="l2", name="fvsbn-normal"),
    models.NADE(6, units=5, activation="relu", head=heads.Categorical(4), condition_shape=(2, 2), name="nade-levels"),
    models.NADE((2, 2), units=5, head=heads.NormalMixture(2), ordering=[2, 0, 3, 1], name="nade-mixture"),
    models.NADE(4, units=5, head=NORMALS, name="nade-normal"),
    models.MADE(12, hidden_units=(16, 9), name="made-binary"),
    models.MADE(6, hidden_units=(11, 8), head=heads.Categorical(4), direct=True, num_classes=3, name="made-levels"),
    models.MADE(4, hidden_units=8, head=heads.NormalMixture(2), activation="tanh", name="made-mixture"),
    models.MADE(3, hidden_units=8, head=COLUMNS, ordering=[2, 0, 1], name="made-columns"),
    models.NADE(3, units=4, head=heads.NormalMixture(2, loc=[-1.0, 0.0, 30.0]), name="nade-columns"),
    models.PixelCNN((2, 2, 1), filters=4, num_blocks=0, kernel_size=3, head=PIXELS, name="pixel_cnn-columns"),
    models.DeepNADE(3, hidden_units=4, head=COLUMNS, ordering=[1, 2, 0], name="deep_nade-columns"),
    models.DeepNADE(
        (3, 2), hidden_units=(5, 4), activation="tanh", head=heads.NormalMixture(2), name="deep_nade-mixture"
    ),
    models.DeepNADE(10, hidden_units=8, name="deep_nade-binary"),
    models.ConvNADE(
        (2, 2), filters=3, num_blocks=1, kernel_size=2, head=heads.NormalMixture(2), name="conv_nade-mixture"
    ),
    models.ConvNADE((1, 2, 3), filters=3, num_blocks=0, condition_shape=2, name="conv_nade-colors"),
    models.ConvNADE((2, 2, 2), filters=3, activation="tanh", head=PairOfBits(), name="conv_nade-pairs"),
    models.OrderAgnosticMADE((3, 2), hidden_units=(3, 1), head=PairOfBits(), num_masks=2, name="agnostic_made-pairs"),
    models.OrderAgnosticMADE(3, hidden_units=4, head=COLUMNS, activation="tanh", name="agnostic_made-columns"),
    models.OrderAgnosticMADE(1, hidden_units=3, condition_shape=2, direct=True, name="agnostic_made-of-one"),
    models.LocallyMaskedPixelCNN(
        (2, 3, 2),
        orders=[[5, 1, 0, 2, 4, 3]],
        filters=4,
        num_blocks=0,
        kernel_size=5,
        head=PairOfBits(),
        name="local-pairs",
    ),
    models.LocallyMaskedPixelCNN((2, 2), filters=4, num_blocks=1, head=heads.NormalMixture(2), name="local-mixture"),
    models.MADE(10, hidden_units=(3, 1), activation="tanh", name="made-narrow"),
    models.MADE(2, hidden_units=3, name="made-of-two"),
    models.MADE(1, hidden_units=3, condition_shape=2, direct=True, name="made-of-one"),
    models.NADE(1, units=3, condition_shape=2, name="nade-of-one"),
    models.FVSBN(1, name="fvsbn-of-one"),
    models.FVSBN((3, 2), head=PairOfBits(), name="fvsbn-pairs"),
    models.NADE((2, 2, 2), units=5, head=PairOfBits(), ordering="reversed", name="nade-pairs"),
    models.MADE((4, 2), hidden_units=(9, 7), head=PairOfBits(), direct=True, condition_shape=2, name="made-pairs"),
    models.CausalSequential(5, layers=[layers.CausalGRU(4, strict=True)], head=NORMALS, name="layered-gru"),
    models.CausalSequential(
        5,
        layers=[keras.layers.Dense(3), layers.TriangularDense(4), keras.layers.Dense(5, "tanh")],
        head=heads.Categorical(3),
        name="layered-levels",
    ),
    models.CausalSequential(
        (2, 2, 3),
        layers=[layers.MaskedConv2D(6, 3, "A", num_colors=3), keras.layers.ReLU()],
        num_classes=2,
        name="layered-colors",
    ),
]

IMAGE_MODELS = [
    models.PixelCNN((3, 4, 1), filters=8, num_blocks=1, kernel_size=5, name="pixel_cnn-binary"),
    models.PixelCNN((2, 2, 3), filters=4, num_blocks=0, kernel_size=3, head=RGB, name="pixel_cnn-mixture"),
    models.GatedPixelCNN((2, 2, 3), filters=6, num_blocks=1, dropout=0.2, condition_shape=2, name="gated-rgb"),
    models.GatedPixelCNN(
        (2, 3), filters=4, num_blocks=0, kernel_size=5, head=heads.Categorical(4), name="gated-levels"
    ),
    models.PixelSNAIL(
        (2, 2, 3), filters=3, num_blocks=2, num_resnets=1, num_heads=1, head=RGB, num_classes=2, name="snail-rgb"
    ),
    models.ImageTransformer(
        (3, 3),
        units=6,
        num_layers=2,
        num_heads=1,
        norm="rms",
        dropout=0.1,
        head=heads.Categorical(2),
        condition_shape=2,
        name="image_transformer-whole",
    ),
    models.PixelCNNPlusPlus(
        (3, 4),
        filters=3,
        num_resnets=1,
        num_levels=2,
        head="bernoulli",
        dropout=0.0,
        num_classes=3,
        name="plus_plus-levels",
    ),
    models.PixelRNN((4, 3), variant="row", units=4, num_layers=2, kernel_size=3, name="row-binary"),
    models.PixelRNN((3, 4, 1), units=4, num_layers=2, kernel_size=3, num_classes=3, name="diagonal-binary"),
]

SEQUENCE_MODELS = [
    models.EncoderDecoder(
        4,
        condition_shape=(3, 2),
        units=6,
        num_layers=1,
        num_encoder_layers=2,
        num_heads=1,
        positions="learned",
        name="encoder_decoder-rows",
    ),
    models.TransformerDecoder(
        5, vocabulary="abc", units=6, num_layers=1, num_heads=1, positions="learned", name="transformer_decoder-text"
    ),
    models.TransformerDecoder(
        (2, 2),
        units=6,
        num_layers=1,
        num_heads=1,
        positions="sinusoidal",
        norm="rms",
        condition_shape=2,
        head=PairOfBits(),
        name="transformer_decoder-pairs",
    ),
    models.TransformerDecoder(3, units=6, num_layers=1, num_heads=1, head=NORMALS, name="transformer_decoder-normal"),
    models.CausalSequential(
        6,
        layers=[
            layers.Shift(),
            keras.layers.Dense(8),
            layers.PositionEmbedding(6),
            layers.TransformerBlock(2),
            layers.Residual([keras.layers.LayerNormalization(), layers.CausalAttention(8, 2, window=3)]),
        ],
        condition_shape=2,
        name="causal_sequential-gpt",
    ),
    models.CharRNN(
        8, vocabulary="01", embedding_dim=2, units=3, num_layers=1, cell="gru", num_classes=2, name="char_rnn-gru"
    ),
    models.WindowMLP((4, 2), window=2, hidden_units=5, head=PairOfBits(), activation="tanh", name="window_mlp-pairs"),
    models.WaveNet(
        6,
        filters=3,
        kernel_size=3,
        dilations=(1, 2),
        head=heads.Categorical(4),
        num_classes=3,
        name="wavenet-class",
    ),
    models.WaveNet(4, filters=3, dilations=(2, 1), head=heads.NormalMixture(2), name="wavenet-mixture"),
    models.WaveNet((3, 2), filters=3, dilations=(1,), head=heads.Independent("normal", 2), name="wavenet-values"),
    models.WaveNet(
        (4, 3),
        filters=3,
        skip_filters=2,
        dilations=(1, 2),
        head=RGB,
        condition_shape=(2, 2),
        upsampling=(2,),
        name="wavenet-rows",
    ),
]


def expected_failures(component):
    if component.name in ("agnostic_made-of-one", "made-of-one", "nade-of-one", "fvsbn-of-one"):
        return {"check_every_weight_learns": "a single value depends on no other, so weights between values are idle"}
    return {}


@parametrize_by_shape(LAYERS)
def test_layers_conform(check):
    check()


@parametrize_with_checks([*MODELS, *IMAGE_MODELS, *SEQUENCE_MODELS], expected_failures=expected_failures)
def test_models_conform(check):
    check()
