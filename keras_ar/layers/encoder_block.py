"""The block of an encoder: every position attends to all. https://arxiv.org/abs/1706.03762"""

import keras

from keras_ar import arguments
from keras_ar.layers.attention import Attention
from keras_ar.layers.position_wise import PositionWise
from keras_ar.layers.transformer_block import NORMS, make_dropout, make_mlp, make_norm

__all__ = ["EncoderBlock"]


@keras.saving.register_keras_serializable(package="keras_ar")
class EncoderBlock(keras.layers.Layer):
    """Attention of a sequence to itself, as a whole, and two dense layers: for what a model is given.

    It is no causal layer: what a model draws must not pass through it.

    Args:
        num_heads: Integer, number of heads, which divides the number of features.
        mlp_ratio: Number, as in `TransformerBlock`. Defaults to `4`.
        positions: `"rotary"` or `None`, as in `Attention`. Defaults to `"rotary"`.
        norm: `"layer"` or `"rms"`. Defaults to `"layer"`.
        activation: Activation of the hidden units. Defaults to `"gelu"`.
        dropout: Float in [0, 1). As in `TransformerBlock`. Defaults to `0.0`.
        epsilon: Float, what normalization adds to a variance. Defaults to `1e-5`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, length, features)`.
        is_present: Boolean tensor of shape `(batch, length)`, false where there is padding. Defaults to `None`.

    Returns:
        Tensor of the shape of `inputs`.

    Example:

    >>> block = keras_ar.layers.EncoderBlock(num_heads=2)
    >>> tuple(block(np.ones((1, 5, 8))).shape)
    (1, 5, 8)
    """

    def __init__(
        self,
        num_heads,
        mlp_ratio=4,
        positions="rotary",
        norm="layer",
        activation="gelu",
        dropout=0.0,
        epsilon=1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = arguments.integer(num_heads, "num_heads")
        self.mlp_ratio = arguments.number(mlp_ratio, "mlp_ratio", above=0)
        self.positions = positions
        self.norm = arguments.one_of(norm, "norm", tuple(NORMS))
        self.activation = keras.activations.get(activation)
        self.dropout = arguments.rate(dropout, "dropout")
        self.epsilon = arguments.number(epsilon, "epsilon", above=0)

    def build(self, inputs_shape, is_present_shape=None):
        *_, features = inputs_shape
        dtype = {"dtype": self.dtype_policy}
        self.norm_of_inputs, self.drop_attended = PositionWise(make_norm(self)), make_dropout(self)
        self.attention = Attention(features, self.num_heads, self.positions, self.dropout, name="attention", **dtype)
        self.norm_of_inputs.build(inputs_shape)
        self.attention.build(inputs_shape, inputs_shape)
        self.mlp = make_mlp(self, features, dtype)
        self.mlp.build(inputs_shape)

    def call(self, inputs, is_present=None, training=None):
        h = self.norm_of_inputs(inputs)  # (batch, length, features)
        h = inputs + self.drop_attended(self.attention(h, h, is_present, training=training), training=training)
        return self.mlp(h, training=training)

    def compute_output_shape(self, inputs_shape, is_present_shape=None):
        return tuple(inputs_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "positions": self.positions,
            "norm": self.norm,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "epsilon": self.epsilon,
        }
