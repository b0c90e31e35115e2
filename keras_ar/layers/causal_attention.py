"""Attention to what comes earlier. https://arxiv.org/abs/1706.03762"""

import keras
from keras import ops

from keras_ar import arguments, attending
from keras_ar.layers.kernel_layer import KernelLayer
from keras_ar.positions import Waves

__all__ = ["CausalAttention"]


@keras.saving.register_keras_serializable(package="keras_ar")
class CausalAttention(KernelLayer):
    """Self-attention over a sequence, whose output at a time sees that time and earlier ones.

    Steps keep the keys and values of earlier times in two buffers. With a `window` these are rings, and a stream may
    run without end; without, they are as long as the event. Scores and weights are float32 under any policy.

    Args:
        units: Integer, number of output features, and of those of the keys of all heads together.
        num_heads: Integer, number of heads; `units` is a multiple of it.
        window: Integer, how many times an output sees, its own among them; `None` for all. Defaults to `None`.
        positions: `"rotary"`: queries and keys are turned by angles that grow with time, so that a score depends on how
            far back a key lies; or `None`: the layer does not know what came when. Defaults to `"rotary"`.
        dropout: Float in [0, 1). Dropout rate of the weights of attention, active in training. Defaults to `0.0`.
        strict: Boolean, whether to hide each time from itself. Defaults to `False`.
        use_bias: Boolean, whether the projections have biases. Defaults to `True`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, length, channels)`.

    Returns:
        Tensor of shape `(batch, length, units)`.

    Example:

    >>> layer = keras_ar.layers.CausalAttention(8, num_heads=2, window=16)
    >>> tuple(layer(np.ones((1, 100, 3))).shape)
    (1, 100, 8)

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3.2.
    """

    def __init__(
        self, units, num_heads, window=None, positions="rotary", dropout=0.0, strict=False, use_bias=True, **kwargs
    ):
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")
        self.num_heads = arguments.integer(num_heads, "num_heads")
        arguments.multiple(self.units, "units", self.num_heads, "num_heads")
        self.window = None if window is None else arguments.integer(window, "window")
        self.positions = None if positions is None else arguments.one_of(positions, "positions", ("rotary",))
        self.dropout = arguments.rate(dropout, "dropout")
        self.strict = arguments.boolean(strict, "strict")
        self.use_bias = arguments.boolean(use_bias, "use_bias")
        self._size = self.units // self.num_heads
        if self.positions and self._size % 2:
            raise ValueError(
                f"`units` must be an even multiple of `num_heads` for rotary positions. "
                f"Received: units={units}, num_heads={num_heads}."
            )
        self._waves = Waves(self._size // 2) if self.positions else None

        options = {"use_bias": use_bias, "dtype": self.dtype_policy, **self.weight_options}
        self.to_heads = keras.layers.Dense(3 * self.units, name="to_heads", **options)
        self.from_heads = keras.layers.Dense(self.units, name="from_heads", **options)
        self.dropout_layer = keras.layers.Dropout(dropout, dtype="float32")

    def build(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(
                f"`inputs` must have shape (batch, length, channels). Received: inputs.shape={tuple(input_shape)}."
            )
        self.to_heads.build(input_shape)
        self.from_heads.build((*input_shape[:-1], self.units))

    def call(self, inputs, training=None):
        queries, keys, values = self._whole(inputs)
        drop = (lambda weights: self.dropout_layer(weights, training=True)) if self.dropout and training else None
        found = attending.attend_in_window(queries, keys, values, self.window, drop)
        return self.from_heads(attending.heads_together(found))

    def _whole(self, inputs):
        """Queries, keys and values of all times, each `(batch, heads, length, size)`."""
        x = ops.cast(inputs, self.compute_dtype)
        if self.strict:
            x = ops.pad(x[:, :-1], [[0, 0], [1, 0], [0, 0]])
        x = self.to_heads(x)
        queries, keys, values = (attending.heads_apart(part, self.num_heads) for part in ops.split(x, 3, axis=-1))
        if self._waves is None:
            return queries, keys, values
        waves = self._waves(ops.arange(ops.shape(x)[1] if x.shape[1] is None else x.shape[1]))  # (length, size / 2)
        return attending.rotate(queries, *waves), attending.rotate(keys, *waves), values

    # One time at a time: a key and a value are put into their slots, and all slots are looked at.

    def start(self, batch_size, num_steps):
        num_slots = attending.ring_size(self.window, num_steps, self.name)
        shape = (batch_size, self.num_heads, num_slots, self._size)
        # Two tensors that are never stacked or cut: so that compilers write to them in place.
        return {"keys": ops.zeros(shape, self.compute_dtype), "values": ops.zeros(shape, self.compute_dtype)}

    def step(self, constants, state, t, x):
        x = ops.cast(x, self.compute_dtype)
        if self.strict:  # before the first time there is nothing
            x = ops.where(t > 0, x, ops.zeros_like(x))
        x = ops.reshape(self.to_heads(x), (-1, 3, self.num_heads, 1, self._size))
        query, key, value = x[:, 0], x[:, 1], x[:, 2]  # (batch, heads, 1, size)
        if self._waves is not None:
            waves = self._waves(t)
            query, key = attending.rotate(query, *waves), attending.rotate(key, *waves)
        num_slots = state["keys"].shape[2]
        slot = (0, 0, t % num_slots, 0)
        keys, values = ops.slice_update(state["keys"], slot, key), ops.slice_update(state["values"], slot, value)
        found = attending.attend(query, keys, values, ops.arange(num_slots) <= t)  # the others are yet to be filled
        return self.from_heads(ops.reshape(found, (-1, self.units))), {"keys": keys, "values": values}

    def prefill(self, constants, state, inputs):
        queries, *whole = self._whole(inputs)
        found = attending.attend_in_window(queries, *whole, self.window)
        keys, values = (attending.ring(x, state["keys"].shape[2]) for x in whole)
        return self.from_heads(attending.heads_together(found)), {"keys": keys, "values": values}

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_heads": self.num_heads,
            "window": self.window,
            "positions": self.positions,
            "dropout": self.dropout,
            "strict": self.strict,
            "use_bias": self.use_bias,
        }
