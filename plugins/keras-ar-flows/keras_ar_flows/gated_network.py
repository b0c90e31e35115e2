"""GatedNetwork: the convolutions and the attention within Flow++. https://arxiv.org/abs/1902.00275"""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.activations import concat_elu, gated_linear
from keras_ar_flows.chain import make_weights

__all__ = ["GatedNetwork"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class GatedNetwork(keras.layers.Layer):
    """Residual blocks of gated convolutions and of attention among all pixels: a network for couplings of images.

    A block adds a gated convolution to its input, then gated attention, with a layer normalization after each. Pixels
    know their place by learned vectors.

    Args:
        filters: Integer, number of filters.
        num_blocks: Integer, number of blocks. Defaults to `4`.
        num_heads: Integer, number of heads of attention, which divides `filters`; `0` for none. Defaults to `4`.
        dropout: Float in [0, 1). Dropout rate within the convolutions, active in training. Defaults to `0.0`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, height, width, filters)`.

    Example:

    >>> network = keras_ar_flows.GatedNetwork(8, num_blocks=1)
    >>> coupling = keras_ar_flows.Coupling("checkerboard", network=network)
    >>> z, log_det = coupling(np.zeros((1, 4, 4, 3), "float32"))
    >>> tuple(z.shape)
    (1, 4, 4, 3)

    Reference:
        [Ho et al., 2019](https://arxiv.org/abs/1902.00275), section 3.3.
    """

    def __init__(self, filters, num_blocks=4, num_heads=4, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.num_blocks = arguments.integer(num_blocks, "num_blocks")
        self.num_heads = arguments.integer(num_heads, "num_heads", least=0)
        self.dropout = arguments.rate(dropout, "dropout")
        if num_heads:
            arguments.multiple(filters, "filters", num_heads, "num_heads")
        dtype = {"dtype": self.dtype_policy}
        self.first = keras.layers.Conv2D(filters, 3, padding="same", name="first", **dtype)
        self.blocks = []
        for i in range(num_blocks):
            self.blocks.append(_GatedConvolution(filters, dropout, name=f"convolution_{i}", **dtype))
            if num_heads:
                self.blocks.append(_GatedAttention(filters, num_heads, name=f"attention_{i}", **dtype))
        self.norms = [keras.layers.LayerNormalization(name=f"norm_{i}", **dtype) for i in range(len(self.blocks))]

    def build(self, x_shape):
        if len(x_shape) != 4:
            raise ValueError(f"`x` must be images (batch, height, width, channels). Received: shape {tuple(x_shape)}.")
        make_weights(self.first, x_shape)
        for block, norm in zip(self.blocks, self.norms, strict=True):
            make_weights(block, (*x_shape[:-1], self.filters))
            make_weights(norm, (*x_shape[:-1], self.filters))

    def call(self, x, training=None):
        h = self.first(x)
        for block, norm in zip(self.blocks, self.norms, strict=True):
            h = norm(h + block(h, training=training))
        return h

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }


class _GatedConvolution(keras.layers.Layer):
    """Two convolutions, the second of which also computes how much of it passes."""

    def __init__(self, filters, dropout, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.layers.Conv2D(filters, 3, padding="same", name="first", dtype=self.dtype_policy)
        self.second = keras.layers.Conv2D(2 * filters, 1, name="second", dtype=self.dtype_policy)
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, x_shape):
        doubled = (*x_shape[:-1], 2 * x_shape[-1])  # by `concat_elu`
        make_weights(self.first, doubled)
        make_weights(self.second, doubled)

    def call(self, x, training=None):
        h = self.dropout(concat_elu(self.first(concat_elu(x))), training=training)
        return gated_linear(self.second(h))


class _GatedAttention(keras.layers.Layer):
    """Attention among all pixels, whose output is gated."""

    def __init__(self, filters, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.attention = keras.layers.MultiHeadAttention(
            num_heads, filters // num_heads, name="attention", dtype=self.dtype_policy
        )
        self.output_layer = keras.layers.Dense(2 * filters, name="output", dtype=self.dtype_policy)

    def build(self, x_shape):
        _, height, width, filters = x_shape
        random = keras.initializers.RandomNormal(stddev=0.01)
        self.places = self.add_weight((height * width, filters), random, name="places")
        pixels = (1, height * width, filters)
        self.attention.build(pixels, pixels)
        make_weights(self.output_layer, pixels)

    def call(self, x, training=None):
        _, height, width, filters = x.shape
        pixels = ops.reshape(x, (-1, height * width, filters)) + self.places
        h = gated_linear(self.output_layer(self.attention(pixels, pixels, training=training)))
        return ops.reshape(h, (-1, height, width, filters))
