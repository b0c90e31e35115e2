"""Multi-scale PixelRNN: a small image first, then the large one around it. https://arxiv.org/abs/1601.06759"""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend, heads
from keras_ar.image import ImageModel
from keras_ar.models.pixel_rnn import PixelRNN


@keras.saving.register_keras_serializable(package="keras_ar")
class MultiScalePixelRNN(ImageModel):
    """A PixelRNN of a few pixels of the image, and one of the whole image that is told them beforehand.

    Every `factor`-th pixel of every `factor`-th row makes the small image, which
    comes first in the ordering. Enlarged by convolutions, it conditions each layer
    of the large PixelRNN. That one goes through the image in raster order and scores
    those pixels only that are not known yet: the likelihood is the exact
    `p(small) p(others | small)`. `complete` makes a large image of a small one.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colours)`.
        factor: How many times fewer rows and columns the small image has, rounded up.
        features: Number of features of a pixel of the enlarged small image.
        variant: `"row"` or `"diagonal"`.
        num_layers: Number of LSTM layers of each of the two.
        units: Number of units of each LSTM, as in `PixelRNN`.
        kernel_size: Kernel size of the first convolution of each of the two.
        dropout: Rate of dropout in each LSTM layer, in training.
        head: Name, instance, class or config of a head.
        condition_shape: Shape of the condition of one event, or `None`. Both PixelRNNs
            are given it; one of shape `(rows, columns, features)` is a map.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.MultiScalePixelRNN(event_shape=(4, 4), variant="row", num_layers=1, units=4)
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
        num_layers=2,
        units=32,
        kernel_size=7,
        dropout=0.0,
        head="bernoulli",
        condition_shape=None,
        **kwargs,
    ):
        head = heads.get(head)
        rows, columns, colours = arguments.image_shape(event_shape, head)
        if rows * columns == 1:
            raise ValueError(f"`event_shape` must have more than one pixel. Received: event_shape={event_shape!r}.")
        factor = arguments.integer(factor, "factor", least=2)
        row, column, _ = np.indices((rows, columns, colours))
        is_known = ((row % factor == 0) & (column % factor == 0)).ravel()
        ordering = np.concatenate([np.flatnonzero(is_known), np.flatnonzero(~is_known)])
        super().__init__(event_shape, head=head, ordering=ordering, condition_shape=condition_shape, **kwargs)
        self.factor = factor
        self.features = arguments.integer(features, "features")
        self._num_small = int(is_known.sum())
        self._drawn_before = np.roll(self.ordering, 1)
        # A known pixel stands alone in raster order: ahead of another one, or last of all.
        is_behind_known = np.arange(self.num_steps) % colours == 0
        is_behind_known[:colours] = False
        is_behind_known[colours:] &= is_known[:-colours]
        self._passes_by = is_behind_known[self.ordering]

        self.settings = {
            "variant": variant,
            "num_layers": num_layers,
            "units": units,
            "kernel_size": kernel_size,
            "dropout": dropout,
        }
        each = {**self.settings, "head": head, "dtype": self.dtype_policy}
        small_size = (math.ceil(rows / factor), math.ceil(columns / factor))
        small_condition = (*small_size, self.condition_shape[-1]) if self.has_map else self.condition_shape
        self.small = PixelRNN(
            (*small_size, *self.event_shape[2:]), condition_shape=small_condition, name="small", **each
        )
        convolution = {"padding": "same", "activation": "elu", "dtype": self.dtype_policy}
        self.enlarge = keras.layers.Conv2DTranspose(features, 2 * factor, factor, name="enlarge", **convolution)
        self.smooth = keras.layers.Conv2D(features, 3, name="smooth", **convolution)
        map_features = features
        if self.condition_shape:
            map_features += self.condition_shape[-1] if self.has_map else math.prod(self.condition_shape)
        self.large = PixelRNN(event_shape, condition_shape=(rows, columns, map_features), name="large", **each)

    def call(self, x, condition=None, training=None):
        pixels = x[:, :: self.factor, :: self.factor]
        small = self.small(pixels, self._for_small(condition), training=training)
        large = self.large(x, self._map_from(pixels, condition), training=training)
        small, large = (
            ops.reshape(params, (-1, n, self.head.num_params))
            for params, n in ((small, self._num_small), (large, self.num_steps))
        )
        others = ops.take(large, self.ordering[self._num_small :], axis=1)
        return self.from_steps(ops.concatenate([small, others], axis=1))

    def _for_small(self, condition):
        return condition[:, :: self.factor, :: self.factor] if self.has_map else condition

    def _map_from(self, pixels, condition):
        """What conditions the large image: the enlarged small one, beside the condition."""
        told = self.smooth(self.enlarge(self.small.encode_image(pixels))[:, : self.rows, : self.columns])
        if condition is None:
            return told
        condition = ops.cast(self.shaped(condition), told.dtype)
        if not self.has_map:
            condition = ops.zeros_like(told[..., :1]) + ops.expand_dims(condition, (1, 2))
        return ops.concatenate([told, condition], axis=-1)

    # The small image, then the others in raster order; the large PixelRNN passes by what is known.

    def start(self, batch_size, condition=None):
        nothing = ops.zeros((batch_size, *self.small.event_shape), self.head.dtype)
        return {
            # In raster order.
            "values": ops.zeros((batch_size, self.num_steps, *self.head.event_shape), self.head.dtype),
            "condition": () if condition is None else (condition,),
            "small": self.small.start(batch_size, self._for_small(condition)),
            "large": self.large.start(batch_size, self._map_from(nothing, condition)),
            "params": ops.zeros((batch_size, self.head.num_params), self.compute_dtype),
        }

    def step(self, state, t, previous):
        start = (0, backend.lookup(self._drawn_before, t), *(0 for _ in self.head.event_shape))
        values = ops.slice_update(state["values"], start, ops.cast(ops.expand_dims(previous, 1), self.head.dtype))
        state = {**state, "values": values}
        state = backend.when(t == self._num_small, self._begin_large, state)
        state = backend.when(t < self._num_small, lambda state: self._step_small(state, t, previous), state)
        state = backend.when(t >= self._num_small, lambda state: self._step_large(state, t), state)
        return state["params"], state

    def _begin_large(self, state):
        known = ops.take(state["values"], self.ordering[: self._num_small], axis=1)
        pixels = ops.reshape(known, (-1, *self.small.event_shape))
        condition = state["condition"][0] if state["condition"] else None
        return {**state, "large": self.large.start(pixels.shape[0], self._map_from(pixels, condition))}

    def _step_small(self, state, t, previous):
        t = t % self._num_small  # for XLA, which would look beyond the small image even where this has no part
        params, small = self.small.step(state["small"], t, previous)
        return {**state, "params": params, "small": small}

    def _step_large(self, state, t):
        place = backend.lookup(self.ordering, t)

        def at(state, place):
            params, large = self.large.step(state["large"], place, state["values"][:, place - 1])
            return {**state, "params": params, "large": large}

        def pass_by(state):
            for colour in range(self.colours):
                state = at(state, place - self.colours + colour)
            return state

        return at(backend.when(backend.lookup(self._passes_by, t) == 1, pass_by, state), place)

    def get_config(self):
        config = super().get_config()
        del config["ordering"]  # it follows from the rest
        return {**config, "factor": self.factor, "features": self.features, **self.settings}
