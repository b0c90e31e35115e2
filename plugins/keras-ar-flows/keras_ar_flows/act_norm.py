"""ActNorm: a mean and a scale for each channel. https://arxiv.org/abs/1807.03039"""

import math

import keras
from keras import ops

from keras_ar.bijectors import Bijector
from keras_ar.numerics import bounded_exp

__all__ = ["ActNorm"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class ActNorm(Bijector):
    """Subtracts a learned mean from each channel, the last axis, and divides by a learned scale.

    `initialize_from_data`, of this bijector or of a flow of many, sets them such that the channels of some events are
    standardized. From then on they are plain weights: no statistics of a batch enter a density, and a flow scores an
    event the same alone and among others, in training and after.

    Args:
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, ..., channels)`.
        condition: Not looked at.

    Returns:
        Tensor of the shape of `x`, and `log_det` of shape `(batch,)`.

    Example:

    >>> norm = keras_ar_flows.ActNorm()
    >>> images = np.random.default_rng(0).normal(5.0, 2.0, (100, 4, 4, 1)).astype("float32")
    >>> norm.initialize_from_data(images)
    >>> z, log_det = norm(images)
    >>> print(f"{keras.ops.convert_to_numpy(z).std():.3f}")
    1.000

    Reference:
        [Kingma and Dhariwal, 2018](https://arxiv.org/abs/1807.03039), section 3.1.
    """

    def build(self, x_shape, condition_shape=None):
        self.num_positions = math.prod(x_shape[1:-1])
        self.mean = self.add_weight((x_shape[-1],), "zeros", name="mean")
        self.log_scale = self.add_weight((x_shape[-1],), "zeros", name="log_scale")

    def to_noise(self, x, condition=None):
        scale = bounded_exp(self.log_scale)
        return (ops.cast(x, "float32") - self.mean) / scale, self._log_det(scale, x)

    def from_noise(self, z, condition=None):
        scale = bounded_exp(self.log_scale)
        return self.mean + ops.cast(z, "float32") * scale, self._log_det(scale, z)

    def _log_det(self, scale, x):
        return ops.broadcast_to(-self.num_positions * ops.sum(ops.log(scale)), ops.shape(x)[:1])

    def initialize_from_data(self, x, condition=None):
        """Standardizes the channels of the events that it is given.

        Args:
            x: A few hundred events.
            condition: Not looked at.
        """
        self(x)  # makes the weights
        axes = tuple(range(len(x.shape) - 1))
        x = ops.cast(x, "float32")
        self.mean.assign(ops.mean(x, axis=axes))
        self.log_scale.assign(ops.log(ops.maximum(ops.std(x, axis=axes), 1e-3)))
