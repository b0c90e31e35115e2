"""A family of distributions of TensorFlow Probability, and what it can do."""

import difflib
import math
import numbers
from statistics import NormalDist

import keras
import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar.numerics import normal_cdf, normal_quantile_of_logs
from keras_ar_tfp.constraints import CONSTRAINTS
from keras_ar_tfp.line import Line
from keras_ar_tfp.substrate import distributions

# Families that would be made and then fail, or draw what nobody expects.
_REFUSED = {
    "Bates": "XLA lacks an operation that it needs",
    "Skellam": "its values reach below 0, where levels begin",
}
# Families whose CDF loses so many digits in the tails that noise does not come back.
_WITHOUT_NOISE = ("Cauchy", "HalfCauchy", "TwoPieceNormal", "TwoPieceStudentT")

# Outputs of a network at which a family is asked what it can do. It can what it can do at all of them: the mean of
# Student's t is finite only where it has more than one degree of freedom.
_PROBES = (-3.0, -1.0, 0.0, 1.0, 3.0)


class Family:
    """Distributions of one name, whose parameters are numbers or made of the outputs of a network.

    Args:
        name: String, the name of a class of `tensorflow_probability.distributions`.
        parameters: Dictionary from the names of parameters to constraints or numbers.
        num_components: Integer, how many of the distributions are mixed; `None` for one alone.

    Attributes:
        num_params: How many outputs of the network one distribution needs.
        line: The real numbers that are possible, a `Line`; `None` for integers.
        first: The lowest of integers.
        can: Which of "mean", "mode", "quantile" and "noise" it can.
    """

    def __init__(self, name, parameters, num_components=None):
        self.name = name
        self._class = _find(name)
        self._takes = f"{name} takes {', '.join(_properties(self._class))}"
        self.parameters = self._checked(parameters)
        self._num_predicted = sum(isinstance(value, str) for value in self.parameters.values())
        self.num_components, self.num_params = None, self._num_predicted
        if num_components is not None:
            self.num_components = arguments.integer(num_components, "num_components")
            self.num_params = self.num_components * (1 + self._num_predicted)
            quantiles = (np.arange(self.num_components) + 0.5) / self.num_components
            self._anchors = np.array([NormalDist().inv_cdf(q) for q in quantiles], "float32")

        try:
            probe = self.distribution(self._probes())
            component = probe if num_components is None else probe.components_distribution
            bijector = component.experimental_default_event_space_bijector()
        except Exception as error:  # each family refuses in its own way
            raise ValueError(
                f"`parameters` must be what a distribution of single numbers is made of: {self._takes}. "
                f"Received: parameters={parameters!r}. {type(error).__name__}: {error}"
            ) from error
        self.line = None if bijector is None else self._line(bijector, tuple(component.batch_shape))
        self._dtype = keras.backend.standardize_dtype(probe.dtype)
        self.can = {name for name in ("mean", "mode") if _is_finite(getattr(probe, name))}
        if self.line:
            self._check_cdf(probe)
            self.can |= {"quantile"} if _is_finite(probe.quantile, 0.5) else set()
            self.can |= {"noise"} if self._has_noise(component) else set()
        else:
            self.first = 0 if _is_finite(probe.log_prob, np.zeros((), self._dtype)) else 1

    def distribution(self, outputs):
        """The distribution, from outputs of a network of shape `(..., num_params)`."""
        outputs = ops.convert_to_tensor(outputs)
        if self.num_components is None:
            return self._component(ops.unstack(outputs, self.num_params, axis=-1))
        logits, *outputs = ops.split(outputs, 1 + self._num_predicted, axis=-1)  # each (..., components)
        families = distributions()
        return families.MixtureSameFamily(
            families.Categorical(logits=logits), self._component([each + self._anchors for each in outputs])
        )

    def _component(self, outputs):
        """The distribution whose parameters are made of these outputs, one after the other."""
        outputs = iter(outputs)
        return self._class(
            **{
                name: CONSTRAINTS[value](next(outputs)) if isinstance(value, str) else np.float32(value)
                for name, value in self.parameters.items()
            }
        )

    def levels(self, num_levels):
        """The lowest integers, as the distribution takes them: an array, which may be no longer than they are many."""
        levels = np.arange(self.first, self.first + num_levels).astype(self._dtype)
        log_probs = ops.convert_to_numpy(self.distribution(self._probes()[:, None]).log_prob(levels))
        if not (np.isfinite(log_probs).all() and np.exp(log_probs).sum(axis=-1).max() < 1.001):
            raise ValueError(
                f"`num_levels` must be at most the number of values of {self.name} with "
                f"parameters={self.parameters!r}. Received: num_levels={num_levels}."
            )
        return levels

    def _probes(self):
        """Outputs of a network, of shape `(probes, num_params)`."""
        return np.repeat(np.array(_PROBES, "float32")[:, None], self.num_params, axis=1)

    def _checked(self, parameters):
        """The parameters in the order of TFP, which is that of the outputs: files need not keep a dictionary's."""
        if not isinstance(parameters, dict):
            raise ValueError(f"`parameters` must be a dictionary. Received: parameters={parameters!r}.")
        names = list(_properties(self._class))
        found = {}
        for name, value in parameters.items():
            if name not in names:
                raise ValueError(
                    f"`parameters` must have the names that TFP gives them: {self._takes}. Received: {name!r}."
                )
            if isinstance(value, numbers.Real):
                found[name] = arguments.number(value, f"parameters[{name!r}]")
            elif isinstance(value, str) and value in CONSTRAINTS:
                found[name] = value
            else:
                raise ValueError(
                    f"`parameters[{name!r}]` must be a number or one of the constraints "
                    f"{', '.join(map(repr, CONSTRAINTS))}. Received: {value!r}."
                )
        if not any(isinstance(value, str) for value in found.values()):
            raise ValueError(
                f"`parameters` must name a constraint for at least one parameter, for the network to predict: "
                f"{self._takes}. Received: parameters={parameters!r}."
            )
        return {name: found[name] for name in names if name in found}

    def _line(self, bijector, shape):
        """The support, which must be the same whatever the network says."""
        images = [ops.convert_to_numpy(bijector.forward(np.full(shape, x, "float32"))).ravel() for x in (-1e30, 1e30)]
        ends = np.sort(images, axis=0)  # a bijector may decrease
        ends = np.where(np.abs(ends) < 1e-20, 0.0, np.where(np.abs(ends) > 1e20, np.copysign(math.inf, ends), ends))
        if not (ends == ends[:, :1]).all():
            raise ValueError(
                f"`parameters` must be numbers where they say at which values {self.name} begins and ends. "
                f"Received: parameters={self.parameters!r}, by which it may reach from {ends[0]} to {ends[1]}."
            )
        return Line(float(ends[0, 0]), float(ends[1, 0]))

    def _check_cdf(self, probe):
        """Draws are made by the CDF, which must be there, and run from 0 to 1."""
        is_there = _is_finite(probe.cdf, np.float32(self.line.somewhere))
        for end, expected in ((self.line.low, 0.0), (self.line.high, 1.0)):
            if is_there and math.isfinite(end):
                is_there = np.allclose(ops.convert_to_numpy(probe.cdf(np.float32(end))), expected, atol=1e-3)
        if not is_there:
            raise ValueError(
                f"`family` must have a CDF, from 0 to 1: draws are made by it. Received: family={self.name!r}, which "
                f"has none for parameters={self.parameters!r}."
            )

    def _has_noise(self, component):
        """Whether noise comes back from the values that it becomes, four standard deviations out on either side."""
        if self.name in _WITHOUT_NOISE or math.isfinite(self.line.high):  # next to 1 float32 tells few numbers apart
            return False
        if not _is_finite(component.quantile, 0.5):
            return True
        z = np.linspace(-4.0, 4.0, 5, dtype="float32").reshape(-1, *(1 for _ in component.batch_shape))
        x = self.line.clip(component.quantile(normal_cdf(z, 0.0, 1.0)))
        back = normal_quantile_of_logs(component.log_cdf(x), component.log_survival_function(x))
        return np.allclose(ops.convert_to_numpy(back), z, atol=0.02)


def _find(name):
    """The class of that name."""
    module = distributions()
    found = getattr(module, name, None) if isinstance(name, str) else None
    if not (isinstance(found, type) and issubclass(found, module.Distribution)):
        near = difflib.get_close_matches(str(name), vars(module), 1)
        advice = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"`family` must be the name of a distribution of TensorFlow Probability. Received: family={name!r}.{advice}"
        )
    if name in _REFUSED:
        raise ValueError(f"`family` must be another one. Received: family={name!r}: {_REFUSED[name]}.")
    properties = _properties(found)
    if not properties or not all(each.is_tensor and each.event_ndims == 0 for each in properties.values()):
        raise ValueError(
            f"`family` must be a distribution of single numbers, by parameters that are numbers. "
            f"Received: family={name!r}."
        )
    return found


def _properties(found):
    """What each parameter of a distribution is, by name."""
    try:
        return found.parameter_properties("float32")
    except NotImplementedError:
        return {}


def _is_finite(function, *args):
    """Whether a function of a distribution is there, and finite at all probes."""
    try:
        return bool(np.isfinite(ops.convert_to_numpy(function(*args))).all())
    except NotImplementedError:
        return False
