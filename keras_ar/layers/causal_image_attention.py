"""Attention to earlier pixels. https://arxiv.org/abs/1712.09763"""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, attending
from keras_ar.layers.kernel_layer import KernelLayer

__all__ = ["CausalImageAttention"]


@keras.saving.register_keras_serializable(package="keras_ar")
class CausalImageAttention(KernelLayer):
    """Attention of each pixel of an image to those before it, in raster order.

    Queries are made of a pixel's features and its place. So are keys and values, which a pixel may see of itself; but
    with `content`, the image itself, they are made of that, too, and a pixel sees earlier ones only: at a place that
    looks like its own it finds what came there.

    Args:
        units: Integer, number of output features, and of those of the keys of all heads together.
        num_heads: Integer, number of heads; `units` is a multiple of it.
        dropout: Float in [0, 1). Dropout rate of the weights of attention, active in training. Defaults to `0.0`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, rows, columns, channels)`.
        content: Optional tensor of shape `(batch, rows, columns, channels of the image)`. A step is given it one pixel
            late.

    Returns:
        Tensor of shape `(batch, rows, columns, units)`; with `content` the first pixel, which sees nothing, has zeros.

    Example:

    >>> layer = keras_ar.layers.CausalImageAttention(8, num_heads=2)
    >>> tuple(layer(np.ones((1, 4, 5, 3)), np.ones((1, 4, 5, 1))).shape)
    (1, 4, 5, 8)

    Reference:
        [Chen et al., 2017](https://arxiv.org/abs/1712.09763), section 3.
    """

    def __init__(self, units, num_heads, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")
        self.num_heads = arguments.integer(num_heads, "num_heads")
        arguments.multiple(self.units, "units", self.num_heads, "num_heads")
        self.dropout = arguments.rate(dropout, "dropout")
        options = {"dtype": self.dtype_policy, **self.weight_options}
        self.to_queries = keras.layers.Dense(self.units, name="to_queries", **options)
        self.to_keys_and_values = keras.layers.Dense(2 * self.units, name="to_keys_and_values", **options)
        self.dropout_layer = keras.layers.Dropout(dropout, dtype="float32")

    def build(self, inputs_shape, content_shape=None):
        if len(inputs_shape) != 4:
            raise ValueError(
                f"`inputs` must have shape (batch, rows, columns, channels). "
                f"Received: inputs.shape={tuple(inputs_shape)}."
            )
        _, self._rows, self._columns, channels = inputs_shape
        self._num_pixels = self._rows * self._columns
        self._channels = channels
        pixels = np.arange(self._num_pixels)
        self._places = np.stack([pixels // self._columns / self._rows, pixels % self._columns / self._columns], axis=1)
        self._places = (self._places - 0.5).astype("float32")
        self.has_content = content_shape is not None
        self.to_queries.build((*inputs_shape[:-1], channels + 2))
        of_content = content_shape[-1] if self.has_content else 0
        self.to_keys_and_values.build((*inputs_shape[:-1], channels + of_content + 2))

    def call(self, inputs, content=None, training=None):
        drop = (lambda weights: self.dropout_layer(weights, training=training)) if self.dropout else None
        h = self._in_a_row(inputs)  # (batch, pixels, channels)
        places = ops.cast(self._places, h.dtype) + ops.zeros_like(h[..., :1])
        queries = attending.heads_apart(self.to_queries(ops.concatenate([h, places], axis=-1)), self.num_heads)
        of_keys = [h, places] if content is None else [h, self._in_a_row(content), places]
        keys, values = self._keys_and_values(ops.concatenate(of_keys, axis=-1))
        t = np.arange(self._num_pixels)
        is_seen = t[:, None] >= t if content is None else (t[:, None] > t) | (t[:, None] + t == 0)
        found = attending.heads_together(attending.attend(queries, keys, values, is_seen, drop))
        if content is not None:  # the first pixel has looked at itself, and must not
            found = found * ops.cast(t > 0, found.dtype)[:, None]
        return ops.reshape(found, (-1, self._rows, self._columns, self.units))

    def _in_a_row(self, x):
        return ops.reshape(ops.cast(x, self.compute_dtype), (-1, self._num_pixels, x.shape[-1]))

    def _keys_and_values(self, x):
        return (attending.heads_apart(part, self.num_heads) for part in ops.split(self.to_keys_and_values(x), 2, -1))

    # One pixel at a time: its key and value are put into their slots; with content, a pixel late.

    def start(self, batch_size, num_steps):
        shape = (batch_size, self.num_heads, self._num_pixels, self.units // self.num_heads)
        state = {"keys": ops.zeros(shape, self.compute_dtype), "values": ops.zeros(shape, self.compute_dtype)}
        if self.has_content:
            state["last"] = ops.zeros((batch_size, self._channels), self.compute_dtype)
        return state

    def step(self, constants, state, t, x, content=None):
        x = ops.cast(x, self.compute_dtype)
        query = ops.reshape(
            self.to_queries(self._with_place(x, t)), (-1, self.num_heads, 1, self.units // self.num_heads)
        )
        slot, of_key = t, x
        if self.has_content:
            slot, of_key = t - 1, ops.concatenate([state["last"], ops.cast(content, self.compute_dtype)], axis=-1)
        slot = slot % self._num_pixels  # before the first pixel: the last slot, which nobody looks at
        key, value = self._keys_and_values(ops.expand_dims(self._with_place(of_key, slot), 1))
        keys = ops.slice_update(state["keys"], (0, 0, slot, 0), key)
        values = ops.slice_update(state["values"], (0, 0, slot, 0), value)
        pixels = ops.arange(self._num_pixels)
        is_seen = pixels <= (ops.maximum(t - 1, 0) if self.has_content else t)
        found = ops.reshape(attending.attend(query, keys, values, is_seen), (-1, self.units))
        state = {**state, "keys": keys, "values": values}
        if self.has_content:
            found, state["last"] = ops.where(t > 0, found, ops.zeros_like(found)), x
        return found, state

    def _with_place(self, x, t):
        place = ops.take(ops.convert_to_tensor(self._places), t, axis=0)
        return ops.concatenate([x, ops.cast(place, x.dtype) + ops.zeros_like(x[:, :1])], axis=-1)

    def compute_output_shape(self, inputs_shape, content_shape=None):
        return (*inputs_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }
