"""PixelCNN: masked convolutions over an image. https://arxiv.org/abs/1601.06759"""

import keras

from keras_ar import arguments, heads
from keras_ar.autoregressive import LayeredModel
from keras_ar.layers import MaskedConv2D, MaskedResidualBlock


@keras.saving.register_keras_serializable(package="keras_ar")
class PixelCNN(LayeredModel):
    """Masked convolutions, each pixel seeing those above it and to its left.

    A first convolution hides each pixel from itself; residual blocks and two 1×1
    convolutions follow. With a head of single values the colours of a pixel come
    one after the other, R, G, B; a head that draws a pixel's colours together
    takes a pixel in one step.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colours)`.
        filters: Number of features of a pixel; a multiple of twice the number of
            colours, where these come one after the other.
        num_blocks: Number of residual blocks.
        kernel_size: Kernel size of the first convolution.
        dropout: Rate of dropout in each block, in training.
        head: Name, instance, class or config of a head.
        condition_shape: Shape of the condition of one event, or `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.PixelCNN(event_shape=(8, 8, 1), filters=16, num_blocks=2)
    >>> model.sample(3, seed=0).shape
    (3, 8, 8, 1)

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), section 3.5 and table 1.
    """

    def __init__(
        self,
        event_shape,
        *,
        filters=64,
        num_blocks=5,
        kernel_size=7,
        dropout=0.0,
        head="bernoulli",
        condition_shape=None,
        **kwargs,
    ):
        head = heads.get(head)
        _, _, colours = arguments.image_shape(event_shape, head)
        each = {"groups": colours, "dtype": kwargs.get("dtype")}
        arguments.multiple(arguments.integer(filters, "filters"), "filters", 2 * colours, "2 * colours")
        layers = [
            MaskedConv2D(filters, kernel_size, mask_type="A", name="look", **each),
            *(
                MaskedResidualBlock(filters, dropout=dropout, name=f"block_{i}", **each)
                for i in range(arguments.integer(num_blocks, "num_blocks", least=0))
            ),
            keras.layers.ReLU(dtype=kwargs.get("dtype")),
            MaskedConv2D(filters, 1, activation="relu", name="mix", **each),
        ]
        super().__init__(event_shape, layers=layers, head=head, condition_shape=condition_shape, **kwargs)
        self.filters = filters
        self.num_blocks = num_blocks
        self.kernel_size = kernel_size
        self.dropout = dropout

    def get_config(self):
        config = super().get_config()
        del config["layers"]  # they follow from the rest
        return {
            **config,
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
        }
