"""Affine head: a normal distribution whose scale is bounded softly."""

import keras
from keras import ops

from keras_ar.arguments import number
from keras_ar.heads import Head, Normal

__all__ = ["Affine"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class Affine(Normal):
    """A normal distribution whose log-scale stays within a bound, for maps that are stacked.

    The head `Normal` lets a scale be anything from `exp(-7)` to `exp(7)`, which is right for one layer; five of them
    would stretch by `exp(35)`. Here the log-scale is `bound * tanh(parameter / bound)`: it never leaves the bound, and
    always has a gradient.

    Args:
        bound: Float, which log-scales do not reach. Defaults to `3.0`.
        loc: Float or array, as in `Normal`. Defaults to `0.0`.
        scale: Float or array, as in `Normal`. Defaults to `1.0`.
        resolution: Float, as in `Normal`. Defaults to `1.0`.

    Example:

    >>> head = keras_ar_flows.Affine(bound=2.0)
    >>> z, log_slope = head.to_noise(np.array([[1.0, -100.0]], "float32"), np.array([3.0], "float32"))
    >>> round(float(log_slope[0]), 3)
    2.0
    """

    def __init__(self, bound=3.0, loc=0.0, scale=1.0, resolution=1.0):
        super().__init__(loc, scale, resolution)
        self.bound = number(bound, "bound", above=0)

    temper = Head.temper  # another scale could lie beyond the bound

    def mean_and_log_scale(self, params):
        """What the parameters stand for; log-scales lie within the bound."""
        mean, log_scale = ops.unstack(ops.convert_to_tensor(params), 2, axis=-1)
        return mean, self.bound * ops.tanh(log_scale / self.bound)

    def get_config(self):
        """Arguments of the constructor."""
        return {"bound": self.bound, **super().get_config()}
