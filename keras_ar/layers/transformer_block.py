"""The block of a Transformer. https://arxiv.org/abs/1706.03762, with normalization first."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.attention import Attention
from keras_ar.layers.causal_attention import CausalAttention
from keras_ar.layers.kernel_layer import KernelLayer
from keras_ar.layers.position_wise import PositionWise

__all__ = ["NORMS", "TransformerBlock"]

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
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, inputs_shape, source_shape=None, is_present_shape=None):
        *_, features = inputs_shape
        arguments.multiple(features, "inputs.shape[-1]", self.num_heads, "num_heads")
        dtype = {"dtype": self.dtype_policy}
        options = {**dtype, **self.weight_options}
        self.attention = CausalAttention(
            features,
            self.num_heads,
            window=self.window,
            positions=self.positions,
            dropout=self.dropout,
            name="attention",
            **options,
        )
        self.to_hidden = keras.layers.Dense(
            max(1, round(self.mlp_ratio * features)), self.activation, name="to_hidden", **options
        )
        self.from_hidden = keras.layers.Dense(features, name="from_hidden", **options)
        self.norm_of_inputs, self.norm_of_hidden = self._make_norm("inputs"), self._make_norm("hidden")
        self.attention.build(inputs_shape)
        self.to_hidden.build(inputs_shape)
        self.from_hidden.build((*inputs_shape[:-1], self.to_hidden.units))
        norms = [self.norm_of_inputs, self.norm_of_hidden]
        self.has_source = source_shape is not None
        if self.has_source:
            self.attention_to_source = Attention(
                features, self.num_heads, dropout=self.dropout, name="attention_to_source", **options
            )
            self.attention_to_source.build(inputs_shape, source_shape)
            self.norm_of_attended = self._make_norm("attended")
            norms.append(self.norm_of_attended)
        for norm in norms:
            norm.build(inputs_shape)

    def _make_norm(self, of):
        options = {"epsilon": self.epsilon, "name": f"norm_of_{of}", "dtype": self.dtype_policy}
        return PositionWise(NORMS[self.norm](**options))

    def call(self, inputs, source=None, is_present=None, training=None):
        def dropped(x):
            return self.dropout_layer(x, training=training)

        h = ops.cast(inputs, self.compute_dtype)  # (batch, length, features)
        h = h + dropped(self.attention(self.norm_of_inputs(h), training=training))
        if source is not None:
            h = h + dropped(self.attention_to_source(self.norm_of_attended(h), source, is_present, training=training))
        return h + dropped(self.from_hidden(self.to_hidden(self.norm_of_hidden(h))))

    # One time at a time.

    def prepare(self, condition=None):
        """What all steps share; of a block with a source, `condition` is the pair of the source and `is_present`."""
        constants = {"attention": self.attention.prepare()}
        return {**constants, "source": self.attention_to_source.prepare(condition)} if self.has_source else constants

    def start(self, batch_size, num_steps):
        return self.attention.start(batch_size, num_steps)

    def step(self, constants, state, t, x):
        h = ops.cast(x, self.compute_dtype)  # (batch, features)
        y, state = self.attention.step(constants["attention"], state, t, self._normalized(self.norm_of_inputs, h))
        h = h + y
        if self.has_source:
            y = self._normalized(self.norm_of_attended, h)
            h = h + self.attention_to_source.attend(constants["source"], ops.expand_dims(y, 1))[:, 0]
        return h + self.from_hidden(self.to_hidden(self._normalized(self.norm_of_hidden, h))), state

    def _normalized(self, norm, x):
        return norm.step((), (), 0, x)[0]

    def prefill(self, constants, state, inputs):
        h = ops.cast(inputs, self.compute_dtype)
        y, state = self.attention.prefill(constants["attention"], state, self.norm_of_inputs(h))
        h = h + y
        if self.has_source:
            h = h + self.attention_to_source.attend(constants["source"], self.norm_of_attended(h))
        return h + self.from_hidden(self.to_hidden(self.norm_of_hidden(h))), state

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
