"""Planar: a fold along a plane. https://arxiv.org/abs/1505.05770"""

import keras
from keras import ops

from keras_ar.numerics import monotone_root, with_gradient_of_root
from keras_ar_flows.parametric import Parametric

__all__ = ["Planar"]

_LEAST_SLOPE = 1e-3


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class Planar(Parametric):
    """Stretches or compresses space across a plane: `z = x + u tanh(w·x + b)`.

    `u` is moved along `w` such that `w·u > -1`, which makes the map one-to-one. Its inverse has no closed form, but
    only one number is missing: how far `x` lies along `w`. That is the root of an increasing function, found by halving
    an interval, with the gradient of the implicit function. All three parameters may depend on the condition.

    Args:
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, *event_shape)`.
        condition: Tensor of shape `(batch, *condition_shape)`, or `None`. Defaults to `None`.

    Returns:
        Tensor of the shape of `x`, and `log_det` of shape `(batch,)`.

    Example:

    >>> planar = keras_ar_flows.Planar()
    >>> z, log_det = planar(np.array([[0.5, -1.0]], "float32"))
    >>> x, log_det = planar.from_noise(z)
    >>> keras.ops.convert_to_numpy(x).round(4).tolist()
    [[0.5, -1.0]]

    Reference:
        [Rezende and Mohamed, 2015](https://arxiv.org/abs/1505.05770), section 4.1 and appendix A.1.
    """

    def parameter_sizes(self, num_dims):
        """A direction `u`, a normal `w` of the plane, and its offset `b`.

        Args:
            num_dims: Integer, the number of entries of an event.
        """
        random = keras.initializers.RandomNormal(stddev=num_dims**-0.5)
        return {"u": (num_dims, random), "w": (num_dims, random), "b": (1, "zeros")}

    def to_noise(self, x, condition=None):
        x, plane = self.flatten(x), self._plane(condition)
        tanh = ops.tanh(_dot(x, plane["w"]) + plane["b"])
        return self.unflatten(x + plane["u"] * tanh), self._log_slope(plane, tanh)

    def from_noise(self, z, condition=None):
        z, plane = self.flatten(z), self._plane(condition)
        along = self._root(plane, _dot(z, plane["w"]))
        tanh = ops.tanh(along + plane["b"])
        return self.unflatten(z - plane["u"] * tanh), self._log_slope(plane, tanh)

    def _plane(self, condition):
        """The parameters, with a `u` whose product with `w` is `slope - 1`, `slope` being positive."""
        parameters = self.parameters(condition)
        u, w = parameters["u"], parameters["w"]
        product = _dot(u, w)
        slope = ops.softplus(product) + _LEAST_SLOPE
        u = u + (slope - 1.0 - product) * w / ops.maximum(_dot(w, w), 1e-12)
        return {"u": u, "w": w, "b": parameters["b"], "slope": slope}

    def _log_slope(self, plane, tanh):
        # 1 + w·u (1 - tanh²), as a sum of two positive numbers.
        square = ops.square(tanh)
        return ops.log(plane["slope"] * (1.0 - square) + square)[:, 0]

    def _root(self, plane, target):
        """The `a` for which `a + w·u tanh(a + b)` is the target."""
        fixed = {name: ops.stop_gradient(value) for name, value in {**plane, "target": target}.items()}
        reach = ops.abs(fixed["slope"] - 1.0)
        zero = ops.zeros_like(fixed["target"] + reach)  # of the whole batch

        def excess(a, of):
            return a + (of["slope"] - 1.0) * ops.tanh(a + of["b"]) - of["target"]

        start = fixed["target"] + zero
        root = monotone_root(lambda a: excess(a, fixed), start - reach, start + reach)
        square = ops.square(ops.tanh(root + fixed["b"]))
        slope = fixed["slope"] * (1.0 - square) + square
        return with_gradient_of_root(root, excess(root, {**plane, "target": target}), slope)


def _dot(a, b):
    return ops.sum(a * b, axis=-1, keepdims=True)
