"""The block of a Transformer. https://arxiv.org/abs/1706.03762, with normalization first."""

import keras

from keras_ar import arguments
from keras_ar.layers.attention import Attention
from keras_ar.layers.causal_attention import CausalAttention
from keras_ar.layers.kernel_layer import KernelLayer
from keras_ar.layers.position_wise import PositionWise
from keras_ar.layers.residual import Residual

__all__ = ["NORMS", "TransformerBlock", "make_dropout", "make_mlp", "make_norm"]

NORMS = {"layer": keras.layers.LayerNormalization, "rms": keras.layers.RMSNormalization}


@keras.saving.register_keras_serializable(package="keras_ar")
class TransformerBlock(KernelLayer):
    """Attention to earlier times, then to a source if there is one, then two dense layers; each around a residual.

    Inputs are normalized before each of the parts, not after, so that deep stacks train without a warmup.

    Args:
        num_heads: Integer, number of heads, which divides the number of features.
        mlp_ratio: Number, how many times as many hidden units as features the two dense layers have. Defaults to `4`.
        window: Integer, how many times an output attends to; `None` for all. Defaults to `None`.
        positions: `"rotary"` or `None`, as in `CausalAttention`. Defaults to `"rotary"`.
        norm: `"layer"` or `"rms"`: which normalization. Defaults to `"layer"`.
        activation: Activation of the hidden units, as in `keras.layers.Dense`. Defaults to `"gelu"`.
        dropout: Float in [0, 1). Dropout rate of the weights of attention, and after each part. Defaults to `0.0`.
        epsilon: Float, what normalization adds to a variance. Defaults to `1e-5`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, length, features)`.
        source: Optional tensor of shape `(batch, source length, channels)`, which every time attends to as a whole.
        is_present: Optional boolean tensor of shape `(batch, source length)`: what of the source is no padding.

    Returns:
        Tensor of the shape of `inputs`.

    Example:

    >>> block = keras_ar.layers.TransformerBlock(num_heads=2, norm="rms")
    >>> tuple(block(np.ones((1, 5, 8))).shape)
    (1, 5, 8)

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762); normalization first, as in
        [Xiong et al., 2020](https://arxiv.org/abs/2002.04745).
    """

    def __init__(
        self,
        num_heads,
        mlp_ratio=4,
        window=None,
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
        self.window = None if window is None else arguments.integer(window, "window")
        self.positions = positions
        self.norm = arguments.one_of(norm, "norm", tuple(NORMS))
        self.activation = keras.activations.get(activation)
        self.dropout = arguments.rate(dropout, "dropout")
        self.epsilon = arguments.number(epsilon, "epsilon", above=0)

    def build(self, inputs_shape, source_shape=None, is_present_shape=None):
        *_, features = inputs_shape
        arguments.multiple(features, "inputs.shape[-1]", self.num_heads, "num_heads")
        dtype = {"dtype": self.dtype_policy}
        options = {**dtype, **self.weight_options}
        attention = CausalAttention(
            features, self.num_heads, self.window, self.positions, self.dropout, name="attention", **options
        )
        self.attend_to_earlier = Residual(
            [make_norm(self), attention, make_dropout(self)], name="attend_to_earlier", **dtype
        )
        self.attend_to_earlier.build(inputs_shape)
        self.has_source = source_shape is not None
        if self.has_source:
            self.attention_to_source = Attention(
                features, self.num_heads, dropout=self.dropout, name="attention_to_source", **options
            )
            self.norm_of_attended, self.drop_attended = PositionWise(make_norm(self)), make_dropout(self)
            self.norm_of_attended.build(inputs_shape)
            self.attention_to_source.build(inputs_shape, source_shape)
        self.mlp = make_mlp(self, features, options)
        self.mlp.build(inputs_shape)

    def call(self, inputs, source=None, is_present=None, training=None):
        h = self.attend_to_earlier(inputs, training=training)  # (batch, length, features)
        if source is not None:
            y = self.attention_to_source(self.norm_of_attended(h), source, is_present, training=training)
            h = h + self.drop_attended(y, training=training)
        return self.mlp(h, training=training)

    def weights_of_source(self, inputs, source, is_present=None):
        """How much each time attends to each position of the source: `(batch, heads, length, source length)`."""
        h = self.norm_of_attended(self.attend_to_earlier(inputs))
        return self.attention_to_source.weights_of(self.attention_to_source.prepare((source, is_present)), h)

    # One time at a time.

    def prepare(self, condition=None):
        """What all steps share; of a block with a source, `condition` is the pair of the source and `is_present`."""
        constants = {"earlier": self.attend_to_earlier.prepare(), "mlp": self.mlp.prepare()}
        return {**constants, "source": self.attention_to_source.prepare(condition)} if self.has_source else constants

    def start(self, batch_size, num_steps):
        return {
            "earlier": self.attend_to_earlier.start(batch_size, num_steps),
            "mlp": self.mlp.start(batch_size, num_steps),
        }

    def step(self, constants, state, t, x):
        h, earlier = self.attend_to_earlier.step(constants["earlier"], state["earlier"], t, x)  # (batch, features)
        if self.has_source:
            y, _ = self.norm_of_attended.step((), (), t, h)
            h = h + self.attention_to_source.step(constants["source"], (), t, y)[0]
        h, mlp = self.mlp.step(constants["mlp"], state["mlp"], t, h)
        return h, {"earlier": earlier, "mlp": mlp}

    def prefill(self, constants, state, inputs):
        h, earlier = self.attend_to_earlier.prefill(constants["earlier"], state["earlier"], inputs)
        if self.has_source:
            h = h + self.attention_to_source.attend(constants["source"], self.norm_of_attended(h))
        h, mlp = self.mlp.prefill(constants["mlp"], state["mlp"], h)
        return h, {"earlier": earlier, "mlp": mlp}

    def compute_output_shape(self, inputs_shape, source_shape=None, is_present_shape=None):
        return tuple(inputs_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "window": self.window,
            "positions": self.positions,
            "norm": self.norm,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "epsilon": self.epsilon,
        }


# What the blocks of decoders and of encoders have in common.


def make_norm(block):
    """The normalization that a block asks for.

    Args:
        block: A layer with the arguments of `TransformerBlock`.

    Example:

    >>> keras_ar.layers.transformer_block.make_norm(keras_ar.layers.TransformerBlock(2, norm="rms")).epsilon
    1e-05
    """
    return NORMS[block.norm](epsilon=block.epsilon, name="norm", dtype=block.dtype_policy)


def make_dropout(block):
    """The dropout after each part of a block.

    Args:
        block: As in `make_norm`.

    Example:

    >>> keras_ar.layers.transformer_block.make_dropout(keras_ar.layers.TransformerBlock(2, dropout=0.1)).rate
    0.1
    """
    return keras.layers.Dropout(block.dropout, name="dropout", dtype=block.dtype_policy)


def make_mlp(block, features, options):
    """The two dense layers of a block, around a residual.

    Args:
        block: As in `make_norm`.
        features: Integer, number of features of the block.
        options: Dictionary of arguments for the dense layers.

    Example:

    >>> block = keras_ar.layers.TransformerBlock(2, mlp_ratio=4)
    >>> mlp = keras_ar.layers.transformer_block.make_mlp(block, features=8, options={})
    >>> tuple(mlp(np.ones((1, 5, 8))).shape)
    (1, 5, 8)
    """
    hidden_units = max(1, round(block.mlp_ratio * features))
    to_hidden = keras.layers.Dense(hidden_units, block.activation, name="to_hidden", **options)
    from_hidden = keras.layers.Dense(features, name="from_hidden", **options)
    layers = [make_norm(block), to_hidden, from_hidden, make_dropout(block)]
    return Residual(layers, name="mlp", dtype=block.dtype_policy)
