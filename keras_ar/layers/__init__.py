"""Causal layers: an output sees only what comes earlier."""

from keras_ar import registry
from keras_ar.layers.attention import Attention
from keras_ar.layers.causal_attention import CausalAttention
from keras_ar.layers.causal_conv1d import CausalConv1D
from keras_ar.layers.causal_gru import CausalGRU
from keras_ar.layers.causal_image_attention import CausalImageAttention
from keras_ar.layers.causal_layer import CausalLayer
from keras_ar.layers.causal_lstm import CausalLSTM
from keras_ar.layers.causal_rnn import CausalRNN
from keras_ar.layers.diagonal_bilstm import DiagonalBiLSTM
from keras_ar.layers.encoder_block import EncoderBlock
from keras_ar.layers.gated_block import GatedBlock
from keras_ar.layers.gated_resnet import GatedResnet
from keras_ar.layers.kernel_layer import KernelLayer
from keras_ar.layers.masked_conv2d import MaskedConv2D
from keras_ar.layers.masked_dense import MaskedDense
from keras_ar.layers.masked_residual_block import MaskedResidualBlock
from keras_ar.layers.nade_dense import NADEDense
from keras_ar.layers.pointer import Pointer
from keras_ar.layers.position_embedding import PositionEmbedding
from keras_ar.layers.position_wise import PositionWise, is_position_wise
from keras_ar.layers.residual import Residual
from keras_ar.layers.row_lstm import RowLSTM
from keras_ar.layers.shift import Shift
from keras_ar.layers.shifted_conv2d import ShiftedConv2D
from keras_ar.layers.shifted_conv2d_transpose import ShiftedConv2DTranspose
from keras_ar.layers.sight import sees_earlier, sees_later
from keras_ar.layers.transformer_block import TransformerBlock
from keras_ar.layers.triangular_dense import TriangularDense
from keras_ar.layers.wavenet_block import WaveNetBlock
from keras_ar.layers.weight_norm_dense import WeightNormDense

__all__ = [
    "Attention",
    "CausalAttention",
    "CausalConv1D",
    "CausalGRU",
    "CausalImageAttention",
    "CausalLSTM",
    "CausalLayer",
    "CausalRNN",
    "DiagonalBiLSTM",
    "EncoderBlock",
    "GatedBlock",
    "GatedResnet",
    "KernelLayer",
    "MaskedConv2D",
    "MaskedDense",
    "MaskedResidualBlock",
    "NADEDense",
    "Pointer",
    "PositionEmbedding",
    "PositionWise",
    "Residual",
    "RowLSTM",
    "Shift",
    "ShiftedConv2D",
    "ShiftedConv2DTranspose",
    "TransformerBlock",
    "TriangularDense",
    "WaveNetBlock",
    "WeightNormDense",
    "get",
    "is_position_wise",
    "sees_earlier",
    "sees_later",
]


def get(identifier, /, **kwargs):
    """A causal layer by name, or from an instance, a class or a config.

    Args:
        identifier: `"masked_dense"`, `"dist-name:name"` for a plugin's, a Keras
            layer, a class of one, or `{"class_name": ..., "config": ...}`.
        **kwargs: Arguments of the layer, where it is yet to be made.

    Example:

    >>> keras_ar.layers.get("triangular_dense", units=1).units
    1
    """
    return registry.get("layers", identifier, **kwargs)
