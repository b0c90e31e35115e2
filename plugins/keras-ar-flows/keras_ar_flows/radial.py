"""Radial: a contraction or expansion around a point. https://arxiv.org/abs/1505.05770"""

import keras
from keras import ops

from keras_ar_flows.parametric import Parametric

__all__ = ["Radial"]

_LEAST = 1e-3


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class Radial(Parametric):
    """Draws space to a point or pushes it away: `z = x + beta (x - center) / (alpha + r)`, with `r = |x - center|`.

    It is one-to-one for `alpha > 0` and `alpha + beta > 0`; both are a `softplus` of a weight. The inverse is the
    positive root of a quadratic equation. All parameters may depend on the condition. It begins as the identity.

    Args:
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, *event_shape)`.
        condition: Tensor of shape `(batch, *condition_shape)`, or `None`. Defaults to `None`.

    Returns:
        Tensor of the shape of `x`, and `log_det` of shape `(batch,)`.

    Example:

    >>> radial = keras_ar_flows.Radial()
    >>> z, log_det = radial(np.array([[0.5, -1.0]], "float32"))
    >>> x, log_det = radial.from_noise(z)
    >>> keras.ops.convert_to_numpy(x).round(4).tolist()
    [[0.5, -1.0]]

    Reference:
        [Rezende and Mohamed, 2015](https://arxiv.org/abs/1505.05770), section 4.1 and appendix A.2.
    """

    def parameter_sizes(self, num_dims):
        """The center, `alpha`, and the sum of `alpha` and `beta`.

        Args:
            num_dims: Integer, the number of entries of an event.
        """
        random = keras.initializers.RandomNormal(stddev=1.0)
        return {"center": (num_dims, random), "alpha": (1, "zeros"), "alpha_plus_beta": (1, "zeros")}

    def to_noise(self, x, condition=None):
        x, (center, alpha, both) = self.flatten(x), self._values(condition)
        radius = _length(x - center)
        stretch = (radius + both) / (radius + alpha)  # 1 + beta / (alpha + r)
        return self.unflatten(center + (x - center) * stretch), self._log_det(radius, alpha, both)

    def from_noise(self, z, condition=None):
        z, (center, alpha, both) = self.flatten(z), self._values(condition)
        reach = _length(z - center)
        # r (r + both) / (r + alpha) = reach; of the two forms of the root, the one without a difference.
        half = 0.5 * (reach - both)
        root = ops.sqrt(ops.square(half) + reach * alpha)
        radius = ops.where(half > 0, half + root, reach * alpha / (root - ops.minimum(half, 0.0)))
        x = center + (z - center) * (radius + alpha) / (radius + both)
        return self.unflatten(x), self._log_det(radius, alpha, both)

    def _values(self, condition):
        parameters = self.parameters(condition)
        alpha, both = (ops.softplus(parameters[name]) + _LEAST for name in ("alpha", "alpha_plus_beta"))
        return parameters["center"], alpha, both

    def _log_det(self, radius, alpha, both):
        across = ops.log(radius + both) - ops.log(radius + alpha)
        along = ops.log(radius * (radius + 2.0 * alpha) + alpha * both) - 2.0 * ops.log(radius + alpha)
        return ((self.num_dims - 1) * across + along)[:, 0]


def _length(x):
    return ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis=-1, keepdims=True), 1e-12))
