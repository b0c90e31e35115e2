"""ElementwiseAffine: a mean and a scale for each entry."""

import keras
from keras import ops

from keras_ar.numerics import bounded_exp
from keras_ar_flows.parametric import Parametric

__all__ = ["ElementwiseAffine"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class ElementwiseAffine(Parametric):
    """Subtracts a learned mean from each entry and divides by a learned scale; both may depend on the condition.

    At the start it does nothing; `initialize_from_data` makes it standardize.

    Args:
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, *event_shape)`.
        condition: Tensor of shape `(batch, *condition_shape)`, or `None`. Defaults to `None`.

    Returns:
        Tensor of the shape of `x`, and `log_det` of shape `(batch,)`.

    Example:

    >>> affine = keras_ar_flows.ElementwiseAffine()
    >>> x = np.array([[1.0, -10.0], [3.0, 30.0]], "float32")
    >>> affine.initialize_from_data(x)
    >>> keras.ops.convert_to_numpy(affine(x)[0]).round(3).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """

    def parameter_sizes(self, num_dims):
        """A mean and a log-scale for each entry.

        Args:
            num_dims: Integer, the number of entries of an event.
        """
        return {"mean": (num_dims, "zeros"), "log_scale": (num_dims, "zeros")}

    def to_noise(self, x, condition=None):
        mean, scale = self._mean_and_scale(condition)
        return self.unflatten((self.flatten(x) - mean) / scale), self._log_det(scale, x)

    def from_noise(self, z, condition=None):
        mean, scale = self._mean_and_scale(condition)
        return self.unflatten(mean + self.flatten(z) * scale), self._log_det(scale, z)

    def _mean_and_scale(self, condition):
        parameters = self.parameters(condition)
        return parameters["mean"], bounded_exp(parameters["log_scale"])

    def _log_det(self, scale, x):
        return ops.broadcast_to(-ops.sum(ops.log(scale), axis=-1), ops.shape(x)[:1])

    def initialize_from_data(self, x, condition=None):
        """Standardizes the events that it is given.

        Args:
            x: A few hundred events.
            condition: Their conditions; they make no difference at first. Defaults to `None`.
        """
        self(x) if condition is None else self(x, condition)  # makes the weights
        x = self.flatten(x)
        self.vectors["mean"].assign(ops.mean(x, axis=0))
        self.vectors["log_scale"].assign(ops.log(ops.maximum(ops.std(x, axis=0), 1e-3)))
