"""Permute: another order of an event's entries."""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import backend, noise, orderings
from keras_ar.bijectors.bijector import Bijector

__all__ = ["Permute"]


@keras.saving.register_keras_serializable(package="keras_ar")
class Permute(Bijector):
    """Puts the entries of an event in another order: entry `t` of the noise is entry `ordering[t]` of the event.

    Between two bijectors that treat the entries in order, it lets each entry come early in one
    and late in the other. Nothing is stretched: the log-determinant is zero. Files hold the permutation itself.

    Args:
        ordering: `"natural"`, `"reversed"`, `"random"`, or a permutation of the flattened entries of an event.
        seed: Integer, the seed of `"random"`. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, *event_shape)`.
        condition: Ignored.

    Returns:
        Tensor of shape `(batch, *event_shape)`, and zeros of shape `(batch,)`.

    Example:

    >>> permute = keras_ar.bijectors.Permute("reversed")
    >>> z, log_det = permute(np.array([[1.0, 2.0, 3.0]]))
    >>> keras.ops.convert_to_numpy(z).tolist()
    [[3.0, 2.0, 1.0]]
    """

    def __init__(self, ordering, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.ordering = ordering if isinstance(ordering, str) else orderings.from_permutation(ordering)
        self.seed = noise.check_seed(seed)

    def build(self, x_shape, condition_shape=None):
        self.event_shape = tuple(x_shape[1:])
        self.ordering = orderings.get(self.ordering, math.prod(self.event_shape), self.seed)

    def to_noise(self, x, condition=None):
        return self._take(x, self.ordering)

    def from_noise(self, z, condition=None):
        return self._take(z, np.argsort(self.ordering))

    def _take(self, x, ordering):
        flat = ops.reshape(x, (-1, len(ordering)))
        permuted = ops.reshape(backend.permuted(flat, ordering, axis=1), (-1, *self.event_shape))
        return permuted, ops.zeros(ops.shape(permuted)[:1], "float32")

    def get_config(self):
        ordering = self.ordering if isinstance(self.ordering, str) else self.ordering.tolist()
        return {**super().get_config(), "ordering": ordering, "seed": self.seed}
