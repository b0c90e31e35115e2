"""Squeeze: pixels become channels. https://arxiv.org/abs/1605.08803"""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.bijectors import Bijector

__all__ = ["Squeeze", "squeezed"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class Squeeze(Bijector):
    """Turns each square of pixels into one pixel with more channels: `(H, W, C)` becomes `(H/2, W/2, 4 C)`.

    Nothing is stretched: the log-determinant is zero.

    Args:
        factor: Integer, the side of the squares. Defaults to `2`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, height, width, channels)`, whose height and width are multiples of the factor.
        condition: Not looked at.

    Returns:
        Tensor of shape `(batch, height / factor, width / factor, channels * factor**2)`, and zeros of shape `(batch,)`.

    Example:

    >>> z, log_det = keras_ar_flows.Squeeze()(np.arange(16.0).reshape(1, 4, 4, 1))
    >>> keras.ops.convert_to_numpy(z)[0, 0].tolist()
    [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]

    Reference:
        [Dinh et al., 2017](https://arxiv.org/abs/1605.08803), section 3.6.
    """

    def __init__(self, factor=2, **kwargs):
        super().__init__(**kwargs)
        self.factor = arguments.integer(factor, "factor", least=2)

    def build(self, x_shape, condition_shape=None):
        if len(x_shape) != 4 or x_shape[1] % self.factor or x_shape[2] % self.factor:
            raise ValueError(
                f"`x` must be images (batch, height, width, channels), with height and width multiples of "
                f"factor={self.factor}. Received: shape {tuple(x_shape)}."
            )
        self.event_shape = tuple(x_shape[1:])

    def compute_output_shape(self, x_shape, condition_shape=None):
        """Shapes of the squeezed images, and of `log_det`.

        Args:
            x_shape: Tuple, the shape of a batch of images.
            condition_shape: Not looked at.
        """
        batch, height, width, channels = x_shape
        side = self.factor
        return (batch, height // side, width // side, channels * side * side), (batch,)

    def to_noise(self, x, condition=None):
        z = squeezed(x, self.factor)
        return z, ops.zeros(ops.shape(z)[:1], "float32")

    def from_noise(self, z, condition=None):
        height, width, channels = self.event_shape
        side = self.factor
        blocks = ops.reshape(z, (-1, height // side, width // side, side, side, channels))
        x = ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4, 5)), (-1, *self.event_shape))
        return x, ops.zeros(ops.shape(x)[:1], "float32")

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def squeezed(x, factor):
    """Images whose squares of pixels are one pixel each.

    Args:
        x: Tensor of shape `(batch, height, width, channels)`.
        factor: Integer, the side of the squares.

    Example:

    >>> tuple(keras_ar_flows.squeeze.squeezed(np.zeros((5, 6, 4, 3)), 2).shape)
    (5, 3, 2, 12)
    """
    _, height, width, channels = x.shape
    rows, columns = height // factor, width // factor
    blocks = ops.transpose(ops.reshape(x, (-1, rows, factor, columns, factor, channels)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(blocks, (-1, rows, columns, factor * factor * channels))
