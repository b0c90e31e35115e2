"""ElementwiseSpline: a monotone curve for each entry, begun from the quantiles of the data."""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, splines
from keras_ar.numerics import bounded_exp
from keras_ar_flows.parametric import Parametric

__all__ = ["ElementwiseSpline"]

_LEAST = 1e-3  # which bins are wide at the start, also where many events are equal


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class ElementwiseSpline(Parametric):
    """Bends each entry along a rational-quadratic spline of its own, the same for all events, or set by the condition.

    At the start it does nothing. `initialize_from_data` lays the curves through the quantiles of some events, so that
    each entry becomes nearly normal: what is skewed, heavy-tailed or in clumps is spread out before the layers that
    follow, which are left with what entries have to do with each other. Beyond its last bins a spline is a line. Data
    should be standardized: no bin is narrower than a thousandth.

    Args:
        num_bins: Integer, bins of each spline, at least 2. Defaults to `32`.
        bound: Float: at the start bins reach from `-bound` to `bound`. Defaults to `4.0`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, *event_shape)`.
        condition: Tensor of shape `(batch, *condition_shape)`, or `None`. Defaults to `None`.

    Returns:
        Tensor of the shape of `x`, and `log_det` of shape `(batch,)`.

    Example:

    >>> spline = keras_ar_flows.ElementwiseSpline()
    >>> waits = np.random.default_rng(0).exponential(size=(1000, 1)).astype("float32")
    >>> spline.initialize_from_data(waits)
    >>> z, _ = spline(waits)
    >>> np.quantile(keras.ops.convert_to_numpy(z), [0.02, 0.16, 0.84, 0.98]).round().tolist()
    [-2.0, -1.0, 1.0, 2.0]
    """

    def __init__(self, num_bins=32, bound=4.0, **kwargs):
        super().__init__(**kwargs)
        self.num_bins = arguments.integer(num_bins, "num_bins", least=2)
        self.bound = arguments.number(bound, "bound", above=0)

    def parameter_sizes(self, num_dims):
        """Of each entry the first knot, and logarithms of the sizes of bins and of slopes.

        Args:
            num_dims: Integer, the number of entries of an event.
        """
        first, size = keras.initializers.Constant(-self.bound), math.log(2.0 * self.bound / self.num_bins)
        sizes = keras.initializers.Constant(size)
        return {
            "left": (num_dims, first),
            "bottom": (num_dims, first.clone()),
            "log_widths": (num_dims * self.num_bins, sizes),
            "log_heights": (num_dims * self.num_bins, sizes.clone()),
            "log_slopes": (num_dims * (self.num_bins + 1), "zeros"),
        }

    def to_noise(self, x, condition=None):
        knots, x = self._knots(condition), self.flatten(x)
        inside = ops.clip(x, knots["x"][..., 0], knots["x"][..., -1])
        z, log_slope = splines.forward(knots, inside)
        z = z + (x - inside) * ops.exp(log_slope)  # the slope at the edge goes on beyond it
        return self.unflatten(z), ops.sum(log_slope, axis=-1)

    def from_noise(self, z, condition=None):
        knots, z = self._knots(condition), self.flatten(z)
        inside = ops.clip(z, knots["z"][..., 0], knots["z"][..., -1])
        x, log_slope = splines.backward(knots, inside)
        x = x + (z - inside) * ops.exp(-log_slope)
        return self.unflatten(x), ops.sum(log_slope, axis=-1)

    def _knots(self, condition):
        """Knots of all splines, as `keras_ar.splines` has them: `(1 or batch, num_dims, ...)`."""
        found = self.parameters(condition)
        by_entry = {
            name: ops.reshape(found[name], (-1, self.num_dims, self.num_bins + (name == "log_slopes")))
            for name in ("log_widths", "log_heights", "log_slopes")
        }
        knots = {"slope": bounded_exp(by_entry["log_slopes"])}
        for axis, size, first in (("x", "width", "left"), ("z", "height", "bottom")):
            knots[size] = bounded_exp(by_entry[f"log_{size}s"])
            ends = ops.expand_dims(found[first], -1)
            knots[axis] = ops.concatenate([ends, ends + ops.cumsum(knots[size], axis=-1)], axis=-1)
        return knots

    def initialize_from_data(self, x, condition=None):
        """Lays the splines through the quantiles of the events that it is given.

        Args:
            x: A few thousand events; the more, the farther into the tails the splines reach.
            condition: Their conditions; they make no difference at first. Defaults to `None`.
        """
        self(x) if condition is None else self(x, condition)  # makes the weights
        x = ops.convert_to_numpy(self.flatten(x)).astype("float64")

        # Knots at equal distances on the axis of the noise, as far out as so many events tell.
        quantile = math.sqrt(2.0) * float(ops.erfinv(1.0 - 1.0 / (len(x) + 1.0)))
        z = np.linspace(-1.0, 1.0, self.num_bins + 1) * min(self.bound, quantile)
        edges = np.quantile(x, [0.5 + 0.5 * math.erf(each / math.sqrt(2.0)) for each in z], axis=0).T
        widths = np.maximum(np.diff(edges), _LEAST)
        log_steep = np.log(np.diff(z)) - np.log(widths)
        inner = (log_steep[:, 1:] + log_steep[:, :-1]) / 2.0
        log_slopes = np.concatenate([log_steep[:, :1], inner, log_steep[:, -1:]], axis=1)
        self.vectors["left"].assign(edges[:, 0])
        self.vectors["bottom"].assign(np.full(self.num_dims, z[0]))
        self.vectors["log_widths"].assign(np.log(widths).ravel())
        self.vectors["log_heights"].assign(np.log(np.tile(np.diff(z), self.num_dims)))
        self.vectors["log_slopes"].assign(log_slopes.ravel())

    def get_config(self):
        return {**super().get_config(), "num_bins": self.num_bins, "bound": self.bound}
