"""Multi-scale PixelRNN: a small image first, then the large one around it. https://arxiv.org/abs/1601.06759"""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend, heads
from keras_ar.image import ImageModel, image_size
from keras_ar.models.pixel_rnn import PixelRNN

__all__ = ["MultiScalePixelRNN"]


@keras.saving.register_keras_serializable(package="keras_ar")
class MultiScalePixelRNN(ImageModel):
    """Two PixelRNNs: one of every few pixels of the image, one of the whole image given those.

    Every `factor`-th pixel of every `factor`-th row belongs to the small image, which
    comes first in the ordering. Upsampled by convolutions, it conditions each layer
    of the large PixelRNN. That one goes through the image in raster order and scores
    only the pixels that are not known yet: the likelihood is the exact
    `p(small) p(others | small)`. `complete` makes a large image of a small one.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colors)`.
        factor: Integer, how many times fewer rows and columns the small image has, rounded up. Defaults to `2`.
        features: Integer, number of features of a pixel of the upsampled small image. Defaults to `16`.
        variant: `"row"` or `"diagonal"`. Defaults to `"diagonal"`.
        units: Integer, number of units of each LSTM, as in `PixelRNN`. Defaults to `32`.
        num_layers: Integer, number of LSTM layers of each PixelRNN. Defaults to `1`.
        kernel_size: Odd integer, kernel size of the first convolution of each PixelRNN. Defaults to `7`.
        dropout: Float in [0, 1). Dropout rate in each LSTM layer, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Both PixelRNNs
            are given it; one of shape `(rows, columns, features)` is a map. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.MultiScalePixelRNN(event_shape=(4, 4), variant="row", units=4)
    >>> known = np.zeros((4, 4), bool)
    >>> known[::2, ::2] = True  # the small image
    >>> model.complete(np.ones((1, 4, 4)), known, seed=0)[:, ::2, ::2].tolist()
    [[[1, 1], [1, 1]]]

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), section 3.6.
    """

    def __init__(
        self,
        event_shape,
        *,
        factor=2,
        features=16,
        variant="diagonal",
        units=32,
        num_layers=1,
        kernel_size=7,
        dropout=0.0,
        head="bernoulli",
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        # Check and store.
        head = heads.get(head)
        factor = arguments.integer(factor, "factor", least=2)
        is_small = _is_small(event_shape, head, factor)
        ordering = np.argsort(~is_small, kind="stable")
        super().__init__(
            event_shape,
            head=head,
            ordering=ordering,
            condition_shape=condition_shape,
            num_classes=num_classes,
            **kwargs,
        )
        self.factor = factor
        self.features = arguments.integer(features, "features")

        # Steps.
        self._num_small = int(is_small.sum())
        self._drawn_before = np.roll(self.ordering, 1)
        # No two pixels of the small image are neighbors in raster order, so the large one passes by one at a time.
        first_color = np.arange(self.num_steps) % self.num_colors == 0
        self._passes_by = (first_color & np.roll(is_small, self.num_colors))[self.ordering]

        # Models of the small and of the large image.
        rows, columns = math.ceil(self.rows / factor), math.ceil(self.columns / factor)
        small_condition, map_features = None, features
        if self.condition_shape:
            num_features = self.condition_shape[-1] if self.has_map else math.prod(self.condition_shape)
            small_condition = (rows, columns, num_features) if self.has_map else num_features
            map_features = features + num_features
        options = {
            "variant": variant,
            "units": units,
            "num_layers": num_layers,
            "kernel_size": kernel_size,
            "dropout": dropout,
            "head": head,
            "dtype": self.dtype_policy,
        }
        small_shape, map_shape = (rows, columns, *self.event_shape[2:]), (self.rows, self.columns, map_features)
        self.small = PixelRNN(small_shape, condition_shape=small_condition, name="small", **options)
        self.large = PixelRNN(event_shape, condition_shape=map_shape, name="large", **options)
        convolution = {"padding": "same", "activation": "elu", "dtype": self.dtype_policy}
        self.upsample = keras.layers.Conv2DTranspose(features, 2 * factor, factor, name="upsample", **convolution)
        self.refine = keras.layers.Conv2D(features, 3, name="refine", **convolution)

    def call(self, x, condition=None, training=None):
        pixels = x[:, :: self.factor, :: self.factor]
        small = self.small(pixels, self._small_condition(condition), training=training)
        large = self.large(x, self._map_from(pixels, condition), training=training)
        small, large = self.small.params_to_steps(small), self.large.params_to_steps(large)
        others = ops.take(large, self.ordering[self._num_small :], axis=1)
        return self.from_steps(ops.concatenate([small, others], axis=1))

    def _small_condition(self, condition):
        return condition[:, :: self.factor, :: self.factor] if self.has_map else self.flat_condition(condition)

    def _map_from(self, pixels, condition):
        """What conditions the large image: the upsampled small one, beside the condition."""
        upsampled = self.upsample(self.small.encode_image(pixels))[:, : self.rows, : self.columns]
        features = self.refine(upsampled)  # (batch, rows, columns, features)
        if condition is None:
            return features
        condition = ops.cast(self.layer_condition(condition), features.dtype)
        if not self.has_map:
            condition = ops.zeros_like(features[..., :1]) + ops.expand_dims(condition, (1, 2))
        return ops.concatenate([features, condition], axis=-1)

    # The small image, then the others in raster order. What the small image adds to the layers of the large one is
    # computed in between, and carried.

    def prepare(self, condition=None):
        return {
            "condition": [] if condition is None else [condition],
            "small": self.small.prepare(self._small_condition(condition)),
            "large": self.large.prepare(),
        }

    def start(self, batch_size, num_steps):
        dtype, size = self.compute_dtype, (self.rows, self.columns, self.num_colors)
        return {
            # In raster order.
            "values": ops.zeros((batch_size, self.num_steps, *self.head.event_shape), self.support.dtype),
            "small": self.small.start(batch_size, num_steps),
            "large": self.large.start(batch_size, num_steps),
            "biases": [
                ops.zeros((batch_size, *size, lstm.num_gates // self.num_colors), dtype) for lstm in self.large.lstms
            ],
        }

    def step(self, constants, state, t, previous):
        place = (0, backend.lookup(self._drawn_before, t), *(0 for _ in self.head.event_shape))
        values = ops.slice_update(state["values"], place, ops.cast(ops.expand_dims(previous, 1), self.support.dtype))

        def begin_large(_):
            pixels = ops.take(values, self.ordering[: self._num_small], axis=1)
            pixels = ops.reshape(pixels, (-1, *self.small.event_shape))
            return self.large.biases_from(self._map_from(pixels, *constants["condition"] or [None]))

        def step_small(params_and_state):
            # The remainder is for XLA, which looks beyond the small image even where this is not called for.
            return self.small.step(constants["small"], params_and_state[1], t % self._num_small, previous)

        def step_large(params_and_state):
            return self._step_large(self.large.with_biases(constants["large"], biases), params_and_state, t, values)

        biases = backend.when(t == self._num_small, begin_large, state["biases"])
        params = ops.zeros((values.shape[0], self.head.num_params), self.compute_dtype)
        params, small = backend.when(t < self._num_small, step_small, (params, state["small"]))
        params, large = backend.when(t >= self._num_small, step_large, (params, state["large"]))
        return params, {"values": values, "small": small, "large": large, "biases": biases}

    def _step_large(self, constants, params_and_state, t, values):
        place = backend.lookup(self.ordering, t)

        def at(place, params_and_state):
            return self.large.step(constants, params_and_state[1], place, values[:, place - 1])

        def pass_by(params_and_state):
            for color in range(self.num_colors):
                params_and_state = at(place - self.num_colors + color, params_and_state)
            return params_and_state

        passes_by = backend.lookup(self._passes_by, t) == 1
        return at(place, backend.when(passes_by, pass_by, params_and_state))

    def get_config(self):
        settings = ("variant", "units", "num_layers", "kernel_size", "dropout")
        return {
            **super().get_config(),
            "factor": self.factor,
            "features": self.features,
            **{name: getattr(self.large, name) for name in settings},
        }


def _is_small(event_shape, head, factor):
    """Which positions, in raster order, belong to the small image."""
    rows, columns, num_colors = image_size(event_shape, head)
    if rows * columns == 1:
        raise ValueError(f"`event_shape` must have more than one pixel. Received: event_shape={event_shape!r}.")
    row, column, _ = np.indices((rows, columns, num_colors))
    return ((row % factor == 0) & (column % factor == 0)).ravel()
