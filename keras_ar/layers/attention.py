"""Attention to a whole source. https://arxiv.org/abs/1706.03762"""

import keras
from keras import ops

from keras_ar import arguments, attending
from keras_ar.layers.kernel_layer import KernelLayer
from keras_ar.positions import Waves

__all__ = ["Attention"]


@keras.saving.register_keras_serializable(package="keras_ar")
class Attention(KernelLayer):
    """Attention of each position to a whole source of its own length, which may be padded.

    Between a decoder and the source that it is given; and of a source to itself, as in an encoder. The keys and values
    of the source are computed once for all steps, in `prepare`.

    Args:
        units: Integer, number of output features, and of those of the keys of all heads together.
        num_heads: Integer, number of heads; `units` is a multiple of it.
        positions: `"rotary"`, for a source that attends to itself: a score depends on how far apart two positions are;
            or `None`. Defaults to `None`.
        dropout: Float in [0, 1). Dropout rate of the weights of attention, active in training. Defaults to `0.0`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, length, channels)`.
        source: Tensor of shape `(batch, source length, source channels)`.
        is_present: Boolean tensor of shape `(batch, source length)`, false where the source is padding; at least one of
            each event is true. Defaults to `None`: nothing is padding.

    Returns:
        Tensor of shape `(batch, length, units)`.

    Example:

    >>> layer = keras_ar.layers.Attention(8, num_heads=2)
    >>> tuple(layer(np.ones((1, 5, 3)), np.ones((1, 9, 4))).shape)
    (1, 5, 8)

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3.2.
    """

    def __init__(self, units, num_heads, positions=None, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")
        self.num_heads = arguments.integer(num_heads, "num_heads")
        arguments.multiple(self.units, "units", self.num_heads, "num_heads")
        self.positions = None if positions is None else arguments.one_of(positions, "positions", ("rotary",))
        self.dropout = arguments.rate(dropout, "dropout")
        size = self.units // self.num_heads
        if self.positions and size % 2:
            raise ValueError(
                f"`units` must be an even multiple of `num_heads` for rotary positions. "
                f"Received: units={units}, num_heads={num_heads}."
            )
        self._waves = Waves(size // 2) if self.positions else None

        options = {"dtype": self.dtype_policy, **self.weight_options}
        self.to_queries = keras.layers.Dense(self.units, name="to_queries", **options)
        self.to_keys_and_values = keras.layers.Dense(2 * self.units, name="to_keys_and_values", **options)
        self.from_heads = keras.layers.Dense(self.units, name="from_heads", **options)
        self.dropout_layer = keras.layers.Dropout(dropout, dtype="float32")

    def build(self, inputs_shape, source_shape, is_present_shape=None):
        self.to_queries.build(inputs_shape)
        self.to_keys_and_values.build(source_shape)
        self.from_heads.build((*inputs_shape[:-1], self.units))

    def call(self, inputs, source, is_present=None, training=None):
        drop = (lambda weights: self.dropout_layer(weights, training=training)) if self.dropout else None
        return self.attend(self.prepare((source, is_present)), inputs, drop)

    def prepare(self, condition=None):
        """Keys and values, from the pair of a source and `is_present`."""
        source, is_present = condition
        keys, values = ops.split(self.to_keys_and_values(ops.cast(source, self.compute_dtype)), 2, axis=-1)
        keys = self._turned(attending.heads_apart(keys, self.num_heads))
        constants = {"keys": keys, "values": attending.heads_apart(values, self.num_heads)}
        return constants if is_present is None else {**constants, "is_present": is_present[:, None, None]}

    def attend(self, constants, inputs, drop=None):
        """The outputs for inputs `(batch, length, channels)`, given what `prepare` made of the source."""
        keys, values = constants["keys"], constants["values"]
        found = attending.attend(self._queries(inputs), keys, values, constants.get("is_present"), drop)
        return self.from_heads(attending.heads_together(found))

    def weights_of(self, constants, inputs):
        """How much the inputs attend to each position of the source: `(batch, heads, length, source length)`."""
        return attending.weights(self._queries(inputs), constants["keys"], constants.get("is_present"))

    def _queries(self, inputs):
        queries = self.to_queries(ops.cast(inputs, self.compute_dtype))
        return self._turned(attending.heads_apart(queries, self.num_heads))

    def _turned(self, x):
        if self._waves is None:
            return x
        length = ops.shape(x)[2] if x.shape[2] is None else x.shape[2]
        return attending.rotate(x, *self._waves(ops.arange(length)))

    def step(self, constants, state, t, x):
        return self.attend(constants, ops.expand_dims(x, 1))[:, 0], state

    def prefill(self, constants, state, inputs):
        return self.attend(constants, inputs), state

    def compute_output_shape(self, inputs_shape, source_shape=None, is_present_shape=None):
        return (*inputs_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_heads": self.num_heads,
            "positions": self.positions,
            "dropout": self.dropout,
        }
