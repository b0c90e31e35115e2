"""Locally masked PixelCNN: convolutions in any order of the pixels. https://arxiv.org/abs/2006.12486"""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, orderings
from keras_ar.image import image_size
from keras_ar.many_orders import ManyOrdersModel

__all__ = ["LocallyMaskedPixelCNN"]


@keras.saving.register_keras_serializable(package="keras_ar")
class LocallyMaskedPixelCNN(ManyOrdersModel):
    """A PixelCNN whose convolutions have a mask for each pixel, so that it can take the pixels in several orders.

    All orders share the weights; the model is the mixture of them, at one pass for each. It completes an image in an
    order in which what is known comes first: with S-curves any half of it, with a spiral what lies in the middle.

    The colors of a pixel are drawn together, by a head such as `"discretized_logistic_mixture"` or `"independent"`.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colors)`.
        orders: List of permutations of the pixels, such as those in `keras_ar.orderings`. Defaults to `None`: the eight
            S-curves, which begin in each corner and go along both axes.
        filters: Integer, number of features of a pixel, a multiple of 2. Defaults to `64`.
        num_blocks: Integer, number of residual blocks. Defaults to `5`.
        kernel_size: Odd integer, kernel size of the convolutions. Defaults to `3`.
        dropout: Float in [0, 1). Dropout rate in each block, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        seed: Integer, the seed of which order a batch is trained in. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.LocallyMaskedPixelCNN((4, 4, 1), filters=8, num_blocks=1)
    >>> image = np.zeros((1, 4, 4, 1))
    >>> image[:, :, 2:] = np.nan  # the right half
    >>> model.complete(image, num_draws=3, seed=0).shape
    (3, 1, 4, 4, 1)

    Reference:
        [Jain, Abbeel & Pathak, 2020](https://arxiv.org/abs/2006.12486).
    """

    def __init__(
        self,
        event_shape,
        *,
        orders=None,
        filters=64,
        num_blocks=5,
        kernel_size=3,
        dropout=0.0,
        head="bernoulli",
        condition_shape=None,
        num_classes=None,
        seed=0,
        **kwargs,
    ):
        # Check and store.
        self.rows, self.columns, num_colors = image_size(event_shape, head)
        if num_colors > 1:
            raise ValueError(
                f"`head` must draw the {num_colors} colors of a pixel together: see `keras_ar.heads.Independent`. "
                f"Received: event_shape={event_shape!r}, head={head!r}."
            )
        if orders is None:
            orders = orderings.symmetries(orderings.s_curve, (self.rows, self.columns))
        super().__init__(
            event_shape,
            orders=orders,
            head=head,
            condition_shape=condition_shape,
            num_classes=num_classes,
            seed=seed,
            **kwargs,
        )
        self.filters = arguments.integer(filters, "filters")
        arguments.multiple(filters, "filters", 2, "2")
        self.num_blocks = arguments.integer(num_blocks, "num_blocks", least=0)
        self.kernel_size = arguments.integer(kernel_size, "kernel_size")
        if kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd: a kernel has a center. Received: kernel_size={kernel_size}.")
        self.dropout = arguments.rate(dropout, "dropout")
        self._neighbors = _neighbors(self.rows, self.columns, kernel_size)

        # Layers. A convolution is a product of what stands in the window of a pixel, one after the other.
        dtype = {"dtype": self.dtype_policy}

        def dense(units, name):
            return keras.layers.Dense(units, name=name, **dtype)

        self.stem = dense(filters, "stem")
        self.blocks = [
            [dense(filters // 2, f"block_{i}_in"), dense(filters // 2, f"block_{i}"), dense(filters, f"block_{i}_out")]
            for i in range(num_blocks)
        ]
        self.dropout_layers = [keras.layers.Dropout(dropout, **dtype) for _ in range(num_blocks)]
        self.hidden = dense(filters, "hidden")
        self.to_params = dense(self.head.num_params, "to_params")
        if self.condition_shape:
            self.condition_bias = keras.layers.Dense(filters, use_bias=False, name="condition_bias", **dtype)

    # All pixels at once, in one order.

    def params_in_order(self, x, order, condition=None, training=None):
        steps = ops.cast(ops.argsort(order["ordering"]), "int32")  # of each pixel
        of_neighbors = ops.take(ops.pad(steps, [[0, 1]], constant_values=self.num_steps), self._neighbors)
        before, so_far = of_neighbors < steps[:, None], of_neighbors <= steps[:, None]  # (pixels, window)
        h = self.stem(
            self._windows(self._seen(self.flat(x), np.arange(self.num_steps)), before)
        )  # (batch, pixels, filters)
        if condition is not None:
            h = h + self.condition_bias(self.flat_condition(condition))[:, None]
        for (inner, conv, outer), dropout in zip(self.blocks, self.dropout_layers, strict=True):
            inside = ops.relu(inner(ops.relu(h)))
            inside = dropout(ops.relu(conv(self._windows(inside, so_far))), training=training)
            h = h + outer(inside)
        return ops.reshape(self._params(h), (-1, *self.position_shape, self.head.num_params))

    def _seen(self, values, positions):
        """What the network sees of values: `(..., num_features + 1)`, of which the last tells that there is a value."""
        features = ops.cast(self.head.at(positions).encode_draws(values), self.compute_dtype)
        return ops.concatenate([features, ops.ones_like(features[..., :1])], axis=-1)

    def _windows(self, x, seen):
        """The windows of all pixels, `(batch, pixels, window * features)`, without what is not yet seen."""
        features, half = x.shape[-1], self.kernel_size // 2
        image = ops.reshape(x, (-1, self.rows, self.columns, features))
        image = ops.pad(image, [[0, 0], [half, half], [half, half], [0, 0]])
        places = [(r, c) for r in range(self.kernel_size) for c in range(self.kernel_size)]
        parts = [image[:, r : r + self.rows, c : c + self.columns] for r, c in places]
        mask = ops.reshape(ops.cast(seen, x.dtype), (self.rows, self.columns, len(places), 1))
        windows = ops.stack(parts, axis=3) * mask
        return ops.reshape(windows, (-1, self.num_steps, len(places) * features))

    def _params(self, h):
        return self.to_params(ops.relu(self.hidden(ops.relu(h))))

    # One pixel at a time: what is not yet seen is still zero.

    def prepare(self, condition=None):
        return () if condition is None else (self.condition_bias(self.flat_condition(condition)),)

    def start(self, batch_size):
        sizes = [self.num_features + 1, *(self.filters // 2 for _ in self.blocks)]
        # A last pixel stands for all that are outside of the image.
        return [ops.zeros((batch_size, self.num_steps + 1, size), self.compute_dtype) for size in sizes]

    def step(self, constants, state, orders, t, before, previous, position):
        window = ops.take(self._neighbors, position, axis=0)  # (batch, window)
        seen = self._seen(previous, before) * ops.cast(t > 0, self.compute_dtype)
        image, *insides = state
        image, states = _with_pixel(image, before, seen), []
        h = self.stem(_window(image, window))
        for bias in constants:
            h = h + bias
        for (inner, conv, outer), inside in zip(self.blocks, insides, strict=True):
            inside = _with_pixel(inside, position, ops.relu(inner(ops.relu(h))))
            h = h + outer(ops.relu(conv(_window(inside, window))))
            states.append(inside)
        return self._params(h), [image, *states]

    def get_config(self):
        return {
            **super().get_config(),
            "orders": self.orders(np.arange(self.num_orders))["ordering"].tolist(),
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
        }


def _neighbors(rows, columns, kernel_size):
    """The pixels in the window of each pixel: `(pixels, window)`; outside of the image, one more than the last."""
    half, pixels = kernel_size // 2, np.arange(rows * columns).reshape(rows, columns)
    padded = np.pad(pixels, half, constant_values=rows * columns)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel_size, kernel_size))
    return windows.reshape(rows * columns, -1).astype("int32")


def _with_pixel(image, pixel, features):
    """Images, `(batch, pixels, features)`, with what is new of a pixel of each."""
    event = ops.arange(ops.shape(pixel)[0], dtype="int32")
    return ops.scatter_update(image, ops.stack([event, pixel], axis=1), ops.cast(features, image.dtype))


def _window(image, window):
    """What stands in a window of each image: `(batch, window * features)`."""
    found = ops.take_along_axis(image, window[:, :, None], axis=1)
    return ops.reshape(found, (-1, found.shape[1] * found.shape[2]))
