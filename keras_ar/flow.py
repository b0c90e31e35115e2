"""FlowModel: bijectors, and the density of the noise that they end in."""

import dataclasses
import functools
import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, heads, registry
from keras_ar.bounded import check_exact
from keras_ar.density import DensityModel
from keras_ar.support import Support

__all__ = ["FlowModel", "check_posterior"]


def check_posterior(posterior, event_shape, condition_shape):
    """Raises a `ValueError` unless a flow can guess what is hidden: exact, and drawn from in one pass, with a gradient.

    Args:
        posterior: A `FlowModel` of all real numbers.
        event_shape: Tuple, the shape that its events must have.
        condition_shape: Tuple, the shape that its condition must have.

    Example:

    >>> flow = keras_ar.FlowModel(2, bijectors=[], condition_shape=3)
    >>> keras_ar.flow.check_posterior(flow, (2,), (3,))
    """
    if not isinstance(posterior, FlowModel) or math.isfinite(posterior.support.low):
        raise ValueError(f"`posterior` must be a FlowModel of all real numbers. Received: posterior={posterior!r}.")
    check_exact(posterior, "posterior")
    for name, expected in (("event_shape", event_shape), ("condition_shape", condition_shape)):
        if getattr(posterior, name) != expected:
            raise ValueError(
                f"`posterior` must have {name}={expected}. Received: posterior.{name}={getattr(posterior, name)}."
            )
    if posterior.num_classes is not None:
        raise ValueError(
            f"`posterior` must take vectors, by `condition_shape`, not classes. "
            f"Received: posterior.num_classes={posterior.num_classes}."
        )
    if not posterior.draws_with_gradient:
        loops = [bijector.name for bijector in posterior.bijectors if bijector.loops_from_noise]
        raise ValueError(
            f"`posterior` must draw in one pass, with a gradient: {', '.join(loops) or 'its base'} would take a loop. "
            f"Use planar maps, couplings, or `Inverse(Autoregressive(made))`."
        )


@keras.saving.register_keras_serializable(package="keras_ar")
class FlowModel(DensityModel):
    """A normalizing flow: an event is mapped to noise by one bijector after the other, and scored as what it becomes.

    By the change of variables, `log p(x) = log p(z) + sum of all log_det`.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        bijectors: List of bijectors, the first one next to the events: each one a `Bijector`, or its config.
        base: The density of the noise: a head, or its name, of which each entry of the noise is drawn with all
            parameters zero, so that `"normal"` is the standard normal; or a `DensityModel` of the shape of the noise,
            such as a MADE of mixtures. Defaults to `"normal"`.
        resolution: Float, the spacing of the grid that the data were measured on; only bits per dimension need it.
            Defaults to `1.0`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Each bijector is given
            the condition, and the base if it takes one. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Bijectors are given one-hot
            vectors. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> layers = [
    ...     keras_ar.bijectors.Autoregressive(
    ...         keras_ar.models.MADE(2, hidden_units=16, head="normal", ordering=ordering)
    ...     )
    ...     for ordering in ("natural", "reversed")
    ... ]
    >>> flow = keras_ar.FlowModel(2, bijectors=layers)
    >>> flow.sample(5, seed=0).shape
    (5, 2)
    """

    def __init__(
        self,
        event_shape,
        *,
        bijectors,
        base="normal",
        resolution=1.0,
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        base = keras.saving.deserialize_keras_object(base) if isinstance(base, dict) else base
        if isinstance(base, DensityModel):
            self.exact = base.exact  # ahead of the rest, whose metric is named by it
        super().__init__(event_shape, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        self.bijectors = [registry.get("bijectors", each) for each in bijectors]
        self.resolution = arguments.number(resolution, "resolution", above=0)
        shape = (1, *self.event_shape)
        for bijector in self.bijectors:
            shape, _ = bijector.compute_output_shape(shape)
        self.latent_shape = tuple(shape[1:])
        self.base = base if isinstance(base, DensityModel) else None
        self.base_head = heads.get(base) if self.base is None else None
        if self.base is not None and self.base.event_shape != self.latent_shape:
            raise ValueError(
                f"`base` must be a density of noise of shape {self.latent_shape}. Received: {self.base.name}, a "
                f"density of events of shape {self.base.event_shape}."
            )
        if self.base is not None and self.base.num_classes is not None:
            raise ValueError("`base` must take its condition as vectors, by `condition_shape`, not by `num_classes`.")
        support = (self.base_head if self.base is None else self.base).support
        if support.is_discrete or (self.base_head is not None and self.base_head.event_shape):
            raise ValueError(f"`base` must be a density of single real values. Received: base={base!r}.")

    @property
    def support(self):
        """What the first bijector takes: all real numbers, mostly."""
        taken = self.bijectors[0].support if self.bijectors else Support.reals()
        return dataclasses.replace(taken, resolution=self.resolution)

    @property
    def differentiable(self):
        """Whether every bijector maps to noise in one pass, and the base has a gradient: what `fit` needs."""
        return not self._without_gradient()

    @property
    def draws_with_gradient(self):
        """Whether `draw` is one pass, with a gradient by the weights and the condition: what a posterior needs."""
        of_base = self.base is None or (isinstance(self.base, FlowModel) and self.base.draws_with_gradient)
        return of_base and not any(bijector.loops_from_noise for bijector in self.bijectors)

    def initialize_from_data(self, x, condition=None):
        """Lets each bijector, and the base, set weights from what becomes of a few hundred events, before training."""
        z, condition = self.checked_pair(x, condition)
        condition, z = self.encode_condition(condition), ops.cast(z, "float32")
        for bijector in self.bijectors:
            bijector.initialize_from_data(z, *condition)
            z, _ = bijector(z, *condition)
        if self.base is not None:
            self.base.initialize_from_data(z, *self._base_condition(*condition or [None]))

    def to_noise(self, x, condition=None):
        """What events become, and by how much they are stretched: a piece of a graph.

        Args:
            x: Tensor of shape `(batch, *event_shape)`.
            condition: As `call` takes it: `encode_condition` makes it. Defaults to `None`.

        Returns:
            Tensor of shape `(batch, *latent_shape)`, and the sums of all `log_det`, of shape `(batch,)`.
        """
        z, total = ops.cast(x, "float32"), ops.zeros(ops.shape(x)[:1], "float32")
        for bijector in self.bijectors:
            z, log_det = bijector(z) if condition is None else bijector(z, condition)
            total = total + log_det
        return z, total

    def from_noise(self, z, condition=None):
        """The events that become this noise, and the same sums: a piece of a graph.

        Args:
            z: Tensor of shape `(batch, *latent_shape)`.
            condition: As in `to_noise`. Defaults to `None`.

        Returns:
            Tensor of shape `(batch, *event_shape)`, and the sums of all `log_det`, of shape `(batch,)`.
        """
        x, total = z, ops.zeros(ops.shape(z)[:1], "float32")
        for bijector in reversed(self.bijectors):
            x, log_det = bijector.from_noise(x, condition)
            total = total + log_det
        return x, total

    def call(self, x, condition=None, training=None):
        """Log-likelihoods: those of the noise, and by how much events are stretched on the way to it."""
        z, log_det = self.to_noise(x, condition)
        return self.base_log_prob(z, condition) + log_det

    def log_prob_from(self, outputs, x):
        return outputs

    def base_log_prob(self, z, condition=None):
        """Log-density of noise under the base: a piece of a graph.

        Args:
            z: Tensor of shape `(batch, *latent_shape)`.
            condition: As in `to_noise`. Defaults to `None`.
        """
        if self.base is not None:
            return self.base.log_prob(z, *self._base_condition(condition))
        steps = self.base_head.log_prob(self._base_params(z), z)
        return ops.sum(ops.reshape(steps, (ops.shape(z)[0], -1)), axis=-1)

    def _base_params(self, z):
        return ops.zeros((*ops.shape(z), self.base_head.num_params), "float32")

    def _base_condition(self, condition):
        return [] if self.base.condition_shape is None else [condition]

    @property
    def noise_shape(self):
        """Shape of the uniforms that `draw` makes one event of: those of the base."""
        return (*self.latent_shape, self.base_head.num_uniforms) if self.base is None else self.base.noise_shape

    def draw(self, noise, condition=None):
        return self.draw_at(None, noise, condition)

    def draw_at(self, temperature, noise, condition=None):
        """As `draw`, with the base at a temperature: a piece of a graph.

        Args:
            temperature: Scalar tensor; or `None`, for 1.
            noise: Tensor of shape `(batch, *noise_shape)`.
            condition: As in `draw`. Defaults to `None`.

        Returns:
            Tensors of shape `(batch, *event_shape)` and `(batch,)`: events, and their log-probabilities, those at 1.
        """
        condition = self.encode_condition(condition)
        if self.base is None:
            params = self._base_params(noise[..., 0])
            tempered = params if temperature is None else self.base_head.temper(params, temperature)
            z = self.base_head.sample(tempered, noise)
            log_prob = self.base_log_prob(z, None)
        elif isinstance(self.base, FlowModel):
            z, log_prob = self.base.draw_at(temperature, noise, *self._base_condition(*condition or [None]))
        else:
            z, log_prob = self.base.draw(noise, *self._base_condition(*condition or [None]))
        x, log_det = self.from_noise(z, *condition)
        return x, log_prob + log_det

    def sample(self, num_samples=1, condition=None, *, temperature=1.0, **kwargs):
        """As in every density model, and at a temperature of the noise.

        Args:
            num_samples: As in `DensityModel.sample`. Defaults to `1`.
            condition: As in `DensityModel.sample`. Defaults to `None`.
            temperature: Float. Draws noise from the density proportional to `p ** (1 / temperature)`: normal noise
                `sqrt(temperature)` times as wide. Log-probabilities are those at temperature 1. Defaults to `1.0`.
            **kwargs: As in `DensityModel.sample`.

        Returns:
            As `DensityModel.sample`.
        """
        if self.check_temperature(temperature) == 1.0:
            return super().sample(num_samples, condition, **kwargs)
        draw = self.compiled_function(self.draw_at)
        return self.sample_by(functools.partial(draw, np.float32(temperature)), num_samples, condition, **kwargs)

    def check_temperature(self, temperature):
        if self.base_head is None:
            known = self.base if isinstance(self.base, FlowModel) else super()
            return known.check_temperature(temperature)
        temperature = arguments.number(temperature, "temperature", above=0)
        if temperature != 1.0:
            self.base_head.require("temper", "temperature")
        return temperature

    def fit(self, *args, **kwargs):
        """As in every density model.

        Args:
            *args: As in `DensityModel.fit`.
            **kwargs: As in `DensityModel.fit`.
        """
        self._check_differentiable("trained by likelihood")
        return super().fit(*args, **kwargs)

    def evaluate(self, *args, **kwargs):
        """As in every density model.

        Args:
            *args: As in `DensityModel.evaluate`.
            **kwargs: As in `DensityModel.evaluate`.
        """
        self._check_differentiable("scored by what trains models; `score_samples` takes the loop")
        return super().evaluate(*args, **kwargs)

    def _check_differentiable(self, purpose):
        found = self._without_gradient()
        if found:
            raise ValueError(
                f"`bijectors` must map to noise in one pass to be {purpose}: {', '.join(found)} would take a loop "
                f"without a gradient. Is an `Inverse` one too many?"
            )

    def _without_gradient(self):
        """Names of the bijectors, and of the base, whose way to noise is a loop."""
        found = [bijector.name for bijector in self.bijectors if bijector.loops_to_noise]
        return found if self.base is None or self.base.differentiable else [*found, self.base.name]

    def config_of_flow(self):
        """The arguments of the constructor but `bijectors`: for the config of a subclass that makes its own."""
        base = keras.saving.serialize_keras_object(self.base_head if self.base is None else self.base)
        return {**super().get_config(), "base": base, "resolution": self.resolution}

    def get_config(self):
        layers = [keras.saving.serialize_keras_object(bijector) for bijector in self.bijectors]
        return {**self.config_of_flow(), "bijectors": layers}
