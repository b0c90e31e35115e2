"""Inverse: a bijector the other way round."""

import keras

from keras_ar import backend, registry
from keras_ar.bijectors.bijector import Bijector

__all__ = ["Inverse"]


@keras.saving.register_keras_serializable(package="keras_ar")
class Inverse(Bijector):
    """What a bijector makes of noise becomes noise, and what it makes of events becomes events.

    Of an autoregressive bijector it makes an inverse autoregressive flow: it draws in one pass, and scores its own
    draws in one; to score an event takes a loop. So it is for noise that is known, as in a variational posterior.

    Args:
        bijector: The `Bijector`, or its name, class or config.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, *event_shape)`.
        condition: As the bijector takes it. Defaults to `None`.

    Returns:
        Tensor of the shape of the bijector's events, and `log_det` of shape `(batch,)`.

    Example:

    >>> permute = keras_ar.bijectors.Permute([1, 2, 0])
    >>> z, log_det = keras_ar.bijectors.Inverse(permute)(np.array([[1.0, 2.0, 3.0]]))
    >>> keras.ops.convert_to_numpy(z).tolist()
    [[3.0, 1.0, 2.0]]

    Reference:
        [Kingma et al., 2016](https://arxiv.org/abs/1606.04934).
    """

    def __init__(self, bijector, **kwargs):
        super().__init__(**kwargs)
        self.bijector = registry.get("bijectors", bijector)

    @property
    def loops_to_noise(self):
        """Whether `to_noise` is a loop, without a gradient."""
        return self.bijector.loops_from_noise

    @property
    def loops_from_noise(self):
        """Whether `from_noise` is a loop, without a gradient."""
        return self.bijector.loops_to_noise

    def build(self, x_shape, condition_shape=None):
        shapes = [x_shape, *([] if condition_shape is None else [condition_shape])]
        backend.make_weights(self.bijector, *(keras.KerasTensor((1, *shape[1:])) for shape in shapes))

    def to_noise(self, x, condition=None):
        z, log_det = self.bijector.from_noise(x, condition)
        return z, -log_det

    def from_noise(self, z, condition=None):
        x, log_det = self.bijector.to_noise(z, condition)
        return x, -log_det

    def get_config(self):
        return {**super().get_config(), "bijector": keras.saving.serialize_keras_object(self.bijector)}
