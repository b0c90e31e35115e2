"""The base of all heads: what one draw of a model can be."""

import functools
import math
from typing import Any

from keras import ops

from keras_ar import notebook

__all__ = ["Head"]

_OPTIONAL = ("mean", "mode", "cdf", "temper", "truncate", "to_noise", "from_noise")


class _Required:
    """An attribute that every head must set."""

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, head, owner=None):
        if head is None:
            return self
        raise NotImplementedError(f"A head must set `{self.name}`. {type(head).__name__} does not.")


class Head:
    """Turns a model's outputs into log-probabilities, and uniforms into values.

    A head has no weights. It describes a distribution: how many parameters it
    needs, how they score a value, and how they turn uniforms into a value.

    `params` always has shape `(..., num_params)` and `x` has shape
    `(..., *event_shape)`; scores have shape `(...)`.

    **A subclass must set** `num_params` and `support`, and write `encode`,
    `log_prob` and `sample`.

    **A subclass may write** `mean`, `mode`, `cdf`, `temper`, `truncate`, and the pair `to_noise`
    and `from_noise`. What is there can be used: `capabilities` lists it, and a model that is
    asked for something its head lacks says so.

    Attributes:
        num_params: Integer, how many parameters describe one draw.
        support: `keras_ar.Support`, the values that are possible.
        num_uniforms: Integer, how many uniforms one draw consumes. Defaults to `1`.
        event_shape: Tuple, the shape of one draw: `()` for a single value, `(3,)` for a
            pixel whose three channels are drawn together. Defaults to `()`.
        num_features: Integer, how many numbers `encode` makes of one draw. Defaults to
            the number of values in a draw.

    Example:

    >>> class Exponential(keras_ar.heads.Head):
    ...     num_params = 1  # the logarithm of the rate
    ...     support = keras_ar.Support.reals(low=0.0)
    ...     def encode(self, x):
    ...         return keras.ops.cast(x, "float32")
    ...     def log_prob(self, params, x):
    ...         return params[..., 0] - keras.ops.exp(params[..., 0]) * self.encode(x)
    ...     def sample(self, params, uniforms):
    ...         return -keras.ops.log(uniforms[..., 0]) * keras.ops.exp(-params[..., 0])
    >>> model = keras_ar.models.FVSBN(3, head=Exponential())
    >>> [round(float(p), 2) for p in model.score_samples([[1.0, 1.0, 1.0]])]  # the rates start at 1
    [-3.0]
    """

    num_params: Any = _Required()
    support: Any = _Required()
    num_uniforms: int = 1
    event_shape: tuple[int, ...] = ()

    @property
    def num_features(self) -> int:
        """How many numbers `encode` makes of one draw."""
        return math.prod(self.event_shape)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "log_prob" in vars(cls):
            cls.log_prob_of_possible = cls.log_prob
            cls.log_prob = _for_any_value(cls.log_prob)

    # What a subclass must write.

    def encode(self, x: Any) -> Any:
        """What the network sees of values: float32, of order one.

        Of the shape of `x`, or `(..., num_features)` for a draw of shape `event_shape`.
        """
        raise NotImplementedError(f"A head must have `encode`. {type(self).__name__} has none.")

    def log_prob(self, params: Any, x: Any) -> Any:
        """Log-probability (or log-density) of `x` in nats.

        What a subclass writes need not heed values off the support: the class has it as `log_prob_of_possible`, and
        as `log_prob` a function that gives `-inf` for those.
        """
        raise NotImplementedError(f"A head must have `log_prob`. {type(self).__name__} has none.")

    log_prob_of_possible = log_prob

    def sample(self, params: Any, uniforms: Any) -> Any:
        """Values that follow the distribution: a pure function of `uniforms`, of shape `(..., num_uniforms)`."""
        raise NotImplementedError(f"A head must have `sample`. {type(self).__name__} has none.")

    # What a subclass may write.

    def mean(self, params: Any) -> Any:
        """Expected value."""
        raise self._lacks("mean")

    def mode(self, params: Any) -> Any:
        """Most probable value."""
        raise self._lacks("mode")

    def cdf(self, params: Any, x: Any) -> Any:
        """Probability of a value of at most `x`."""
        raise self._lacks("cdf")

    def temper(self, params: Any, temperature: Any) -> Any:
        """Parameters of the distribution proportional to `p ** (1 / temperature)`."""
        raise self._lacks("temper")

    def truncate(self, params: Any, top_k: Any = None, top_p: Any = None) -> Any:
        """Parameters with the most probable values only."""
        raise self._lacks("truncate")

    def to_noise(self, params: Any, x: Any) -> Any:
        """The pair of standard normal noise `z` and `log(dz / dx)`: an increasing map of real values."""
        raise self._lacks("to_noise")

    def from_noise(self, params: Any, z: Any) -> Any:
        """The pair of the value that `to_noise` maps to `z`, and the same `log(dz / dx)`."""
        raise self._lacks("from_noise")

    @property
    def capabilities(self) -> frozenset[str]:
        """Names of the optional methods that this head has.

        >>> sorted(keras_ar.heads.Bernoulli().capabilities)
        ['cdf', 'mean', 'mode', 'temper']
        """
        return frozenset(name for name in _OPTIONAL if getattr(type(self), name) is not getattr(Head, name))

    def require(self, capability: str, argument: str) -> None:
        """Raises a `ValueError` unless the head has an optional method.

        Args:
            capability: String, the name of the method.
            argument: String, the name of the argument that asks for it.
        """
        if capability not in self.capabilities:
            has = ", ".join(sorted(self.capabilities)) or "none of the optional methods"
            raise ValueError(f"`{argument}` needs a head with `{capability}`. Received: {self}, which has {has}.")

    @property
    def position_shape(self) -> tuple[int, ...] | None:
        """Shape of the positions that the head is made for, if it differs between positions; else `None`."""
        return None

    def at(self, positions: Any) -> "Head":
        """The head of some positions: itself, unless it differs between them.

        Args:
            positions: Integer, or an array or a tensor of integers, which count positions in raster order.
        """
        return self

    def encode_draws(self, x: Any) -> Any:
        """`encode` with the features of each draw on one axis: `(..., *event_shape) -> (..., num_features)`."""
        encoded = self.encode(x)
        leading = len(x.shape) - len(self.event_shape)
        if math.prod(encoded.shape[leading:]) != self.num_features:
            raise ValueError(
                f"`encode` of {self} must make `num_features` = {self.num_features} numbers of a draw of shape "
                f"{self.event_shape}. Received: shape {tuple(encoded.shape)} for values of shape {tuple(x.shape)}."
            )
        sizes = [ops.shape(encoded)[i] if n is None else n for i, n in enumerate(encoded.shape[:leading])]
        return ops.reshape(encoded, (*sizes, self.num_features))

    def is_possible(self, x: Any) -> Any:
        """Whether draws are possible: a boolean tensor of shape `(...)` for `x` of shape `(..., *event_shape)`.

        >>> bool(keras_ar.heads.Bernoulli().is_possible(np.array(2)))
        False
        """
        return self._of_draws(self.support.contains(x))

    def _of_draws(self, is_possible):
        """Whether draws are possible, from whether each of their values is."""
        return ops.all(is_possible, axis=tuple(range(-len(self.event_shape), 0))) if self.event_shape else is_possible

    def check(self, x: Any, name: str = "x") -> None:
        """Raises a `ValueError` if the NumPy array `x` holds values that are not possible."""
        self.support.check(x, name, owner=self)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor, as JSON types."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Head":
        """A head from `get_config`."""
        return cls(**config)

    def _lacks(self, capability):
        return NotImplementedError(f"{self} has no `{capability}`.")

    def _repr_html_(self):
        """What a notebook shows: what a value can be, and what the head can do."""
        rows = {"support": self.support, "numbers for each value": self.num_params}
        return notebook.facts(repr(self), rows)

    def __repr__(self):
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def _for_any_value(log_prob):
    """`log_prob` of a head, with `-inf` for values off its support."""

    @functools.wraps(log_prob)
    def log_prob_of_any(self, params, x):
        is_possible = self.support.contains(x)
        found = log_prob(self, params, self.support.replace_impossible(x, is_possible))
        return ops.where(self._of_draws(is_possible), found, -math.inf)

    return log_prob_of_any
