"""The base of bijectors that have a few parameters, which may follow from a condition."""

import math

from keras import ops

from keras_ar.bijectors import Bijector

__all__ = ["Parametric"]


class Parametric(Bijector):
    """A bijector with named vectors of parameters: weights, to which a linear function of the condition is added.

    **A subclass writes** `parameter_sizes(num_dims)`, and asks for the parameters by `parameters(condition)`.

    Args:
        **kwargs: `name` and `dtype`.

    Example:

    >>> class Move(keras_ar_flows.parametric.Parametric):
    ...     def parameter_sizes(self, num_dims):
    ...         return {"loc": (num_dims, "zeros")}
    ...     def to_noise(self, x, condition=None):
    ...         return x - self.parameters(condition)["loc"], keras.ops.zeros(keras.ops.shape(x)[:1])
    ...     def from_noise(self, z, condition=None):
    ...         return z + self.parameters(condition)["loc"], keras.ops.zeros(keras.ops.shape(z)[:1])
    >>> move = Move()
    >>> _ = move(np.zeros((1, 2), "float32"), np.zeros((1, 5), "float32"))
    >>> [tuple(weight.shape) for weight in move.weights]
    [(2,), (5, 2)]
    """

    def parameter_sizes(self, num_dims):
        """The length and the initializer of each vector of parameters, by name.

        Args:
            num_dims: Integer, the number of entries of an event.
        """
        raise NotImplementedError(f"{type(self).__name__} must have `parameter_sizes`.")

    def build(self, x_shape, condition_shape=None):
        self.event_shape = tuple(x_shape[1:])
        self.num_dims = math.prod(self.event_shape)
        self.vectors, self.kernels = {}, {}
        for name, (size, initializer) in self.parameter_sizes(self.num_dims).items():
            self.vectors[name] = self.add_weight((size,), initializer, name=name)
            if condition_shape is not None:
                shape = (math.prod(condition_shape[1:]), size)
                self.kernels[name] = self.add_weight(shape, "zeros", name=f"{name}_of_condition")

    def parameters(self, condition):
        """Tensors of shape `(1 or batch, length)`, by name.

        Args:
            condition: Tensor of shape `(batch, *condition_shape)`, or `None`.
        """
        found = {name: ops.expand_dims(ops.convert_to_tensor(vector), 0) for name, vector in self.vectors.items()}
        if not self.kernels:
            return found
        if condition is None:
            raise ValueError(f"`condition` must be given to {self.name}. Received: None.")
        flat = ops.cast(ops.reshape(condition, (ops.shape(condition)[0], -1)), "float32")
        return {name: vector + ops.matmul(flat, self.kernels[name]) for name, vector in found.items()}

    def flatten(self, x):
        """Events as vectors: `(batch, num_dims)`, float32."""
        return ops.cast(ops.reshape(x, (-1, self.num_dims)), "float32")

    def unflatten(self, x):
        """Vectors as events."""
        return ops.reshape(x, (-1, *self.event_shape))
