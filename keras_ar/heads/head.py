"""The base of all heads."""

import numpy as np


class Head:
    """Turns a model's outputs into log-probabilities and into draws.

    A head has no weights. It is a description: how many parameters a
    distribution needs, how they score a value, and how they turn uniforms
    into a value. To write one, set the attributes and override the methods
    below, and register the class with Keras so that files can name it.

    `params` always has shape `(..., num_params)` and `x` has shape
    `(..., *event_shape)`; scores have shape `(...)`.

    Attributes:
        num_params: How many parameters describe one draw.
        num_uniforms: How many uniforms one draw consumes.
        event_shape: Shape of one draw: `()` for a single value, `(3,)` for a
            pixel whose three channels are drawn together.
        num_levels: Number of integer levels `0, 1, ...`, or `None` for real values.
        resolution: Spacing of the grid that the data were measured on; only
            `bits_per_dim` of real values needs it.

    Example:

    >>> head = keras_ar.heads.get("bernoulli")
    >>> head.num_params, head.num_uniforms, head.num_levels
    (1, 1, 2)
    """

    num_params = 1
    num_uniforms = 1
    event_shape = ()
    num_levels = None
    resolution = 1.0

    @property
    def dtype(self):
        """The dtype of drawn values."""
        return "float32" if self.num_levels is None else "int32"

    def encode(self, x):
        """Rescales values for the network: float32, the same shape, of order one."""
        raise NotImplementedError

    def log_prob(self, params, x):
        """Log-probability (or log-density) of `x` in nats."""
        raise NotImplementedError

    def sample(self, params, uniforms):
        """Draws by inverting the CDF: a pure function of `uniforms`, of shape `(..., num_uniforms)`."""
        raise NotImplementedError

    def mean(self, params):
        """Expected value."""
        raise NotImplementedError

    def mode(self, params):
        """Most probable value."""
        raise NotImplementedError

    def cdf(self, params, x):
        """Probability of a value of at most `x`."""
        raise NotImplementedError

    def temper(self, params, temperature):
        """Parameters of the distribution proportional to `p ** (1 / temperature)`."""
        raise NotImplementedError

    def check(self, x, name="x"):
        """Raises a `ValueError` if the NumPy array `x` holds values that this head gives no probability."""
        values = np.asarray(x)
        if values.dtype.kind not in "biuf":
            raise ValueError(f"`{name}` must hold numbers. Received: {name}.dtype={values.dtype}.")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"`{name}` must be finite. Received {_first(values, ~np.isfinite(values), name)}.")
        if self.num_levels is None:
            return
        off = (values < 0) | (values >= self.num_levels)
        if values.dtype.kind == "f":
            off |= values != np.floor(values)
        if off.any():
            raise ValueError(
                f"`{name}` must hold integers from 0 to {self.num_levels - 1}, the support of {self}. "
                f"Received {_first(values, off, name)}."
            )

    def get_config(self):
        """Arguments of the constructor, as JSON types."""
        return {}

    @classmethod
    def from_config(cls, config):
        """A head from `get_config`."""
        return cls(**config)

    def __repr__(self):
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def _first(values, wrong, name):
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{name}{list(index)} = {values[index]}"
