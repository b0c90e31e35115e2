"""Models: one file each, read from top to bottom."""

from keras_ar import registry
from keras_ar.models.causal_sequential import CausalSequential
from keras_ar.models.char_rnn import CharRNN
from keras_ar.models.conv_nade import ConvNADE
from keras_ar.models.deep_nade import DeepNADE
from keras_ar.models.encoder_decoder import EncoderDecoder
from keras_ar.models.ensemble import Ensemble
from keras_ar.models.factorized import Factorized
from keras_ar.models.fvsbn import FVSBN
from keras_ar.models.gated_pixel_cnn import GatedPixelCNN
from keras_ar.models.image_transformer import ImageTransformer
from keras_ar.models.locally_masked_pixel_cnn import LocallyMaskedPixelCNN
from keras_ar.models.made import MADE
from keras_ar.models.multi_scale_pixel_rnn import MultiScalePixelRNN
from keras_ar.models.nade import NADE
from keras_ar.models.order_agnostic_made import OrderAgnosticMADE
from keras_ar.models.pixel_cnn import PixelCNN
from keras_ar.models.pixel_cnn_plus_plus import PixelCNNPlusPlus
from keras_ar.models.pixel_rnn import PixelRNN
from keras_ar.models.pixel_snail import PixelSNAIL
from keras_ar.models.transformer_decoder import TransformerDecoder
from keras_ar.models.wavenet import WaveNet
from keras_ar.models.window_mlp import WindowMLP

__all__ = [
    "FVSBN",
    "MADE",
    "NADE",
    "CausalSequential",
    "CharRNN",
    "ConvNADE",
    "DeepNADE",
    "EncoderDecoder",
    "Ensemble",
    "Factorized",
    "GatedPixelCNN",
    "ImageTransformer",
    "LocallyMaskedPixelCNN",
    "MultiScalePixelRNN",
    "OrderAgnosticMADE",
    "PixelCNN",
    "PixelCNNPlusPlus",
    "PixelRNN",
    "PixelSNAIL",
    "TransformerDecoder",
    "WaveNet",
    "WindowMLP",
    "get",
]


def get(identifier, /, **kwargs):
    """A model by name, or from an instance, a class or a config.

    Args:
        identifier: `"made"`, `"dist-name:name"` for a plugin's, a `DensityModel`, a
            subclass of it, or `{"class_name": ..., "config": ...}`.
        **kwargs: Arguments of the model, where it is yet to be made.

    Example:

    >>> keras_ar.models.get("nade", event_shape=(4,), units=3).units
    3
    """
    return registry.get("models", identifier, **kwargs)
