"""ConditionalAffine: a shift and a stretch that depend on the condition alone."""

import math

import keras
from keras import ops

from keras_ar import bijectors
from keras_ar.numerics import bounded_exp

__all__ = ["ConditionalAffine"]


@keras.saving.register_keras_serializable(package="keras_ar_latent")
class ConditionalAffine(bijectors.Bijector):
    """Shifts and stretches each entry by what a linear layer makes of the condition: `x = loc + scale * z`.

    Of a standard normal base it makes the posterior of a variational autoencoder, a normal distribution with a diagonal
    covariance that an encoder predicts; further bijectors may bend it. It starts as the identity.

    Args:
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, *event_shape)`.
        condition: Tensor of shape `(batch, features)`.

    Returns:
        Tensor of the shape of `x`, and `log_det` of shape `(batch,)`.

    Example:

    >>> affine = keras_ar_latent.ConditionalAffine()
    >>> features = np.array([[1.0, -1.0, 2.0]], "float32")
    >>> z, log_det = affine(np.array([[0.5, -1.0]], "float32"), features)
    >>> x, log_det = affine.from_noise(z, features)
    >>> keras.ops.convert_to_numpy(x).round(4).tolist()
    [[0.5, -1.0]]
    """

    def build(self, x_shape, condition_shape=None):
        if condition_shape is None:
            raise ValueError("`condition` must be given: it says by how much to shift and stretch. Received: None.")
        self.event_shape = tuple(x_shape[1:])
        num_params = 2 * math.prod(self.event_shape)
        self.to_params = keras.layers.Dense(
            num_params, kernel_initializer="zeros", dtype=self.dtype_policy, name="to_params"
        )
        self.to_params.build((None, math.prod(condition_shape[1:])))

    def to_noise(self, x, condition=None):
        loc, scale, log_det = self._params(condition)
        return (ops.cast(x, "float32") - loc) / scale, log_det

    def from_noise(self, z, condition=None):
        loc, scale, log_det = self._params(condition)
        return loc + scale * ops.cast(z, "float32"), log_det

    def _params(self, condition):
        flat = ops.reshape(condition, (ops.shape(condition)[0], -1))
        loc, log_scale = ops.split(ops.cast(self.to_params(flat), "float32"), 2, axis=-1)
        scale = bounded_exp(log_scale)
        log_det = -ops.sum(ops.log(scale), axis=-1)
        return ops.reshape(loc, (-1, *self.event_shape)), ops.reshape(scale, (-1, *self.event_shape)), log_det
