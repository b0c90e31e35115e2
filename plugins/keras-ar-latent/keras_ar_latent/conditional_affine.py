"""ConditionalAffine: a shift and a stretch that depend on the condition alone."""

import math

import keras
from keras import ops

from keras_ar import arguments, bijectors
from keras_ar.numerics import bounded_log_scale

__all__ = ["ConditionalAffine"]


@keras.saving.register_keras_serializable(package="keras_ar_latent")
class ConditionalAffine(bijectors.Bijector):
    """Shifts and stretches each entry by what a linear layer makes of the condition: `x = loc + scale * z`.

    Of a standard normal base it makes the posterior of a variational autoencoder, a normal distribution with a diagonal
    covariance that an encoder predicts; further bijectors may bend it. It starts with shifts that differ from condition
    to condition, and narrow: a decoder that sees mostly noise at first learns to do without it, and few latent
    variables come to be used.

    Args:
        initial_scale: Float, the stretch to start from. Defaults to `0.125`.
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

    def __init__(self, initial_scale=0.125, **kwargs):
        super().__init__(**kwargs)
        self.initial_scale = arguments.number(initial_scale, "initial_scale", above=0)

    def build(self, x_shape, condition_shape=None):
        if condition_shape is None:
            raise ValueError("`condition` must be given: it says by how much to shift and stretch. Received: None.")
        self.event_shape = tuple(x_shape[1:])
        log_scale = math.log(self.initial_scale)
        self.to_params = keras.layers.Dense(
            2 * math.prod(self.event_shape),
            kernel_initializer=_halves(keras.initializers.GlorotUniform(), 0.0),
            bias_initializer=_halves(keras.initializers.Zeros(), log_scale),
            dtype=self.dtype_policy,
            name="to_params",
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
        log_scale = bounded_log_scale(log_scale)
        log_det = -ops.sum(log_scale, axis=-1)
        loc, scale = (ops.reshape(each, (-1, *self.event_shape)) for each in (loc, ops.exp(log_scale)))
        return loc, scale, log_det

    def get_config(self):
        return {**super().get_config(), "initial_scale": self.initial_scale}


def _halves(of_shifts, log_scale):
    """An initializer of what makes shifts and then log-scales: another one for shifts, a constant for log-scales."""

    def initialize(shape, dtype=None):
        shifts = of_shifts((*shape[:-1], shape[-1] // 2), dtype=dtype)
        return ops.concatenate([shifts, ops.full_like(shifts, log_scale)], axis=-1)

    return initialize
