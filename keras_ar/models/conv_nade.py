"""ConvNADE: convolutions that answer for every set of known pixels. https://jmlr.org/papers/v17/16-272.html"""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.any_order import AnyOrderModel
from keras_ar.image import image_size

__all__ = ["ConvNADE"]


@keras.saving.register_keras_serializable(package="keras_ar")
class ConvNADE(AnyOrderModel):
    """NADE for images, in any order: a convolutional network over what is known, and which pixels these are.

    Residual blocks of two convolutions each; each block looks twice as far as the one before it. Its weights do not
    depend on the size of the image. Every value is a pass over the whole image, so that scores and draws cost as many
    passes as there are positions; `passes=` makes them few.

    Values may be missing in training, as NaN, if they are missing at random: whether one is missing must say nothing of
    it that the others do not say.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colors)`.
        filters: Integer, number of features of a pixel. Defaults to `64`.
        num_blocks: Integer, number of residual blocks. Defaults to `3`.
        kernel_size: Integer, kernel size of the convolutions. Defaults to `3`.
        activation: Activation of the hidden features. Defaults to `"relu"`.
        dropout: Float in [0, 1). Dropout rate in each block, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        ordering: In which order positions are taken unless another one is asked for; see `keras_ar.orderings`.
            Defaults to `None`, the natural order.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        seed: Integer, the seed of what is hidden in training, and of `ordering="random"`. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.ConvNADE(event_shape=(8, 8, 1), filters=4, num_blocks=1)
    >>> image = np.zeros((1, 8, 8, 1))
    >>> image[0, 2:4, 2:4] = np.nan  # a hole
    >>> model.complete(image, num_draws=5, seed=0).shape
    (5, 1, 8, 8, 1)

    Reference:
        [Uria et al., 2016](https://jmlr.org/papers/v17/16-272.html), section 6.
    """

    def __init__(
        self,
        event_shape,
        *,
        filters=64,
        num_blocks=3,
        kernel_size=3,
        activation="relu",
        dropout=0.0,
        head="bernoulli",
        ordering=None,
        condition_shape=None,
        num_classes=None,
        seed=0,
        **kwargs,
    ):
        # Check and store.
        super().__init__(
            event_shape,
            head=head,
            ordering=ordering,
            condition_shape=condition_shape,
            num_classes=num_classes,
            seed=seed,
            **kwargs,
        )
        self.rows, self.columns, self.num_colors = image_size(self.event_shape, self.head)
        self.filters = arguments.integer(filters, "filters")
        self.num_blocks = arguments.integer(num_blocks, "num_blocks", least=0)
        self.kernel_size = arguments.integer(kernel_size, "kernel_size")
        self.activation = keras.activations.get(activation)
        self.dropout = arguments.rate(dropout, "dropout")

        # Layers.
        dtype = {"dtype": self.dtype_policy}

        def conv(name, distance=1):
            return keras.layers.Conv2D(filters, kernel_size, padding="same", dilation_rate=distance, name=name, **dtype)

        self.stem = conv("stem")
        self.blocks = [[conv(f"block_{i}_{j}", distance=2**i) for j in (0, 1)] for i in range(num_blocks)]
        self.dropout_layers = [keras.layers.Dropout(dropout, **dtype) for _ in range(num_blocks)]
        self.hidden = keras.layers.Dense(filters, name="hidden", **dtype)
        self.to_params = keras.layers.Dense(self.num_colors * self.head.num_params, name="to_params", **dtype)
        if self.condition_shape:
            self.condition_bias = keras.layers.Dense(filters, use_bias=False, name="condition_bias", **dtype)

    def conditionals(self, x, known, condition=None, training=None):
        seen = ops.reshape(self.encode_known(x, known), (-1, self.rows, self.columns, self._channels))
        inside = ops.ones_like(seen[..., :1])  # beyond the edges there are zeros, as where nothing is known
        h = self.stem(ops.concatenate([seen, inside], axis=-1))
        if condition is not None:
            h = h + ops.expand_dims(self.condition_bias(self.flat_condition(condition)), (1, 2))
        for (first, second), dropout in zip(self.blocks, self.dropout_layers, strict=True):
            h = h + second(dropout(self.activation(first(self.activation(h))), training=training))
        params = self.to_params(self.activation(self.hidden(self.activation(h))))
        return ops.reshape(params, (-1, *self.position_shape, self.head.num_params))

    @property
    def _channels(self):
        return self.num_colors * (self.num_features + 1)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "kernel_size": self.kernel_size,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
        }
