"""InvertibleConv1x1: the channels of each pixel, mixed by a matrix. https://arxiv.org/abs/1807.03039"""

import keras

from keras_ar_flows.lu_linear import LULinear

__all__ = ["InvertibleConv1x1"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class InvertibleConv1x1(LULinear):
    """Multiplies the channels of each pixel by one matrix, that of `LULinear`: a convolution of kernel size 1.

    Its log-determinant is that of the matrix times the number of pixels.

    Args:
        seed: Integer, the seed of the permutation. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, ..., channels)`.
        condition: Not looked at.

    Returns:
        Tensor of the shape of `x`, and `log_det` of shape `(batch,)`.

    Example:

    >>> conv = keras_ar_flows.InvertibleConv1x1()
    >>> z, log_det = conv(np.zeros((2, 4, 4, 3), "float32"))
    >>> tuple(conv.lower.shape)
    (3, 3)

    Reference:
        [Kingma and Dhariwal, 2018](https://arxiv.org/abs/1807.03039), section 3.2.
    """

    def mixed_size(self, event_shape):
        """How many entries are mixed with each other: the channels.

        Args:
            event_shape: Tuple, the shape of an event.
        """
        return event_shape[-1]
