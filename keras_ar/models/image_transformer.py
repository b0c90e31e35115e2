"""Image Transformer: pixels and their colors as a sequence. https://arxiv.org/abs/1802.05751"""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, heads
from keras_ar.image import ImageModel
from keras_ar.layers import PositionWise, TransformerBlock
from keras_ar.layers.transformer_block import NORMS

__all__ = ["ImageTransformer"]


@keras.saving.register_keras_serializable(package="keras_ar")
class ImageTransformer(ImageModel):
    """A stack of Transformer blocks over the pixels of an image, which know their row, column and color.

    With a head of single values the colors of a pixel come one after the other, R, G, B. With `window_rows` a block
    looks back over so many rows only, and costs that much: blocks above it see further.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colors)`.
        units: Integer, number of features of a position. Defaults to `128`.
        num_layers: Integer, number of blocks. Defaults to `4`.
        num_heads: Integer, number of heads of attention. Defaults to `4`.
        mlp_ratio: Number, how many times `units` the hidden units of a block are. Defaults to `4`.
        window_rows: Integer, how many rows' worth of pixels a block looks back; `None` for the whole image. Defaults to
            `None`.
        norm: `"layer"` or `"rms"`: which normalization. Defaults to `"layer"`.
        activation: Activation of hidden units. Defaults to `"gelu"`.
        dropout: Float in [0, 1). Dropout rate of attention and after each part, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.ImageTransformer(event_shape=(4, 5, 1), units=8, num_layers=1, num_heads=2)
    >>> model.sample(2, seed=0).shape
    (2, 4, 5, 1)

    Reference:
        [Parmar et al., 2018](https://arxiv.org/abs/1802.05751).
    """

    takes_maps = False

    def __init__(
        self,
        event_shape,
        *,
        units=128,
        num_layers=4,
        num_heads=4,
        mlp_ratio=4,
        window_rows=None,
        norm="layer",
        activation="gelu",
        dropout=0.0,
        head="bernoulli",
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        # Check and store.
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        self.units = arguments.integer(units, "units")
        self.num_layers = arguments.integer(num_layers, "num_layers")
        self.num_heads = arguments.integer(num_heads, "num_heads")
        arguments.multiple(self.units, "units", self.num_heads, "num_heads")
        self.mlp_ratio = mlp_ratio
        self.window_rows = None if window_rows is None else arguments.integer(window_rows, "window_rows")
        self.norm = arguments.one_of(norm, "norm", tuple(NORMS))
        self.activation = keras.activations.get(activation)
        self.dropout = arguments.rate(dropout, "dropout")

        # A value as features, a learned vector that stands before the first, and one for each row, column and color.
        dtype = {"dtype": self.dtype_policy}
        small = keras.initializers.RandomNormal(stddev=0.1)
        if isinstance(self.head, heads.Categorical):
            self.embedding = keras.layers.Embedding(self.head.num_levels, units, small, name="embedding", **dtype)
        else:
            self.embedding = keras.layers.Dense(units, name="embedding", **dtype)
        self.first = self.add_weight((units,), small.clone(), name="first")
        sizes = {"row": self.rows, "column": self.columns, "color": self.num_colors}
        self.of_position = [
            self.add_weight((size, units), small.clone(), name=f"of_{name}") for name, size in sizes.items() if size > 1
        ]
        places = np.unravel_index(np.arange(self.num_steps), tuple(sizes.values()))
        self._places = [p.astype("int32") for p, size in zip(places, sizes.values(), strict=True) if size > 1]
        if self.condition_shape:
            self.condition_bias = keras.layers.Dense(units, use_bias=False, name="condition_bias", **dtype)
        self.dropout_layer = keras.layers.Dropout(dropout, **dtype)

        # Blocks, and the parameters of the head.
        window = None if window_rows is None else window_rows * self.columns * self.num_colors
        of_blocks = {"mlp_ratio": mlp_ratio, "norm": norm, "activation": activation, "dropout": dropout}
        self.blocks = [
            TransformerBlock(num_heads, window=window, positions=None, name=f"block_{i}", **of_blocks, **dtype)
            for i in range(num_layers)
        ]
        self.norm_of_outputs = PositionWise(NORMS[norm](epsilon=1e-5, name="norm_of_outputs", **dtype))
        self.to_params = keras.layers.Dense(self.head.num_params, name="to_params", **dtype)

    def call(self, x, condition=None, training=None):
        h = self._embed(self.to_steps(x))  # (batch, steps, units)
        if condition is not None:
            h = h + ops.expand_dims(self.condition_bias(self.flat_condition(condition)), 1)
        h = self.dropout_layer(h, training=training)
        for block in self.blocks:
            h = block(h, training=training)
        params = self.to_params(self.norm_of_outputs(h))
        return ops.reshape(params, (-1, *self.position_shape, self.head.num_params))

    def _embed(self, values):
        """Features of what comes before each step, and of its place."""
        h = self._features(values[:, :-1])
        first = ops.broadcast_to(ops.cast(self.first, h.dtype), (ops.shape(h)[0], 1, self.units))
        return ops.concatenate([first, h], axis=1) + self._of_places(slice(0, values.shape[1]), h.dtype)

    def _features(self, values):
        if isinstance(self.embedding, keras.layers.Embedding):
            return self.embedding(ops.cast(values, "int32"))
        return self.embedding(self.head.encode_draws(values))

    def _of_places(self, steps, dtype):
        """The sum of the vectors of row, column and color, at one step or at some."""
        found = ops.zeros((self.units,), dtype)
        for table, places in zip(self.of_position, self._places, strict=True):
            at = places[steps] if isinstance(steps, slice) else ops.take(ops.convert_to_tensor(places), steps)
            found = found + ops.cast(ops.take(table, at, axis=0), dtype)
        return found

    # One step at a time.

    def prepare(self, condition=None):
        constants = {"blocks": [block.prepare() for block in self.blocks]}
        if condition is None:
            return constants
        return {**constants, "bias": self.condition_bias(self.flat_condition(condition))}

    def start(self, batch_size, num_steps):
        return [block.start(batch_size, num_steps) for block in self.blocks]

    def step(self, constants, state, t, previous):
        h = self._features(previous)  # (batch, units)
        h = ops.where(t > 0, h, ops.cast(self.first, h.dtype)) + self._of_places(t, h.dtype)
        h, states = h + constants["bias"] if "bias" in constants else h, []
        for block, of_block, block_state in zip(self.blocks, constants["blocks"], state, strict=True):
            h, block_state = block.step(of_block, block_state, t, h)
            states.append(block_state)
        return self.to_params(self.norm_of_outputs.step((), (), t, h)[0]), states

    def prefill(self, constants, state, values):
        h = self._embed(values)  # (batch, steps, units)
        h, states = h + ops.expand_dims(constants["bias"], 1) if "bias" in constants else h, []
        for block, of_block, block_state in zip(self.blocks, constants["blocks"], state, strict=True):
            h, block_state = block.prefill(of_block, block_state, h)
            states.append(block_state)
        return self.to_params(self.norm_of_outputs(h)), states

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "window_rows": self.window_rows,
            "norm": self.norm,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
        }
