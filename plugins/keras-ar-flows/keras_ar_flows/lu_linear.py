"""LULinear: a matrix that is never singular. https://arxiv.org/abs/1807.03039"""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import backend, noise
from keras_ar.bijectors import Bijector
from keras_ar.numerics import bounded_exp

__all__ = ["LULinear"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class LULinear(Bijector):
    """Multiplies the entries of an event, as one vector, by a matrix, and adds a vector.

    The matrix is `lower @ upper @ permutation`. The permutation is fixed, from a seed; `lower` has ones on its diagonal
    and `upper` positive numbers, whose logarithms are weights: the determinant is their product, and never zero. Both
    begin as the identity. Going back solves two triangular systems, and inverts nothing.

    Args:
        seed: Integer, the seed of the permutation. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, *event_shape)`.
        condition: Not looked at.

    Returns:
        Tensor of the shape of `x`, and `log_det` of shape `(batch,)`.

    Example:

    >>> linear = keras_ar_flows.LULinear(seed=1)
    >>> z, log_det = linear(np.array([[1.0, 2.0, 3.0]]))  # a permutation, at first
    >>> sorted(keras.ops.convert_to_numpy(z)[0].tolist())
    [1.0, 2.0, 3.0]

    Reference:
        [Kingma and Dhariwal, 2018](https://arxiv.org/abs/1807.03039), section 3.2;
        [Durkan et al., 2019](https://arxiv.org/abs/1906.04032), section 3.2.
    """

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.seed = noise.check_seed(seed)

    def mixed_size(self, event_shape):
        """How many entries are mixed with each other: all of an event.

        Args:
            event_shape: Tuple, the shape of an event.
        """
        return math.prod(event_shape)

    def build(self, x_shape, condition_shape=None):
        self.event_shape = tuple(x_shape[1:])
        size = self.mixed_size(self.event_shape)
        self.num_positions = math.prod(self.event_shape) // size
        self.order = noise.permutation(size, self.seed)
        self.lower = self.add_weight((size, size), "zeros", name="lower")
        self.upper = self.add_weight((size, size), "zeros", name="upper")
        self.log_diagonal = self.add_weight((size,), "zeros", name="log_diagonal")
        self.bias = self.add_weight((size,), "zeros", name="bias")

    def to_noise(self, x, condition=None):
        lower, upper = self._triangles()
        rows = backend.permuted(self._rows(x), self.order, axis=1)
        rows = ops.matmul(ops.matmul(rows, ops.transpose(upper)), ops.transpose(lower)) + self.bias
        return self._events(rows), self._log_det(x)

    def from_noise(self, z, condition=None):
        lower, upper = self._triangles()
        columns = ops.transpose(self._rows(z) - self.bias)
        columns = ops.solve_triangular(upper, ops.solve_triangular(lower, columns, lower=True))
        rows = backend.permuted(ops.transpose(columns), np.argsort(self.order), axis=1)
        return self._events(rows), self._log_det(z)

    def _triangles(self):
        lower = ops.tril(ops.convert_to_tensor(self.lower), -1) + ops.eye(len(self.order))
        upper = ops.triu(ops.convert_to_tensor(self.upper), 1)
        return lower, upper + ops.diag(bounded_exp(self.log_diagonal))

    def _rows(self, x):
        return ops.cast(ops.reshape(x, (-1, len(self.order))), "float32")

    def _events(self, rows):
        return ops.reshape(rows, (-1, *self.event_shape))

    def _log_det(self, x):
        log_diagonal = ops.log(bounded_exp(self.log_diagonal))
        return ops.broadcast_to(self.num_positions * ops.sum(log_diagonal), ops.shape(x)[:1])

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
