"""Dequantized: integers as reals that were rounded down. https://arxiv.org/abs/1902.00275, section 3.1"""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_ar import BoundedModel, FlowModel, Support, arguments, models, noise
from keras_ar.flow import check_posterior
from keras_ar_flows.parts import check_density, conditions_of, sum_of_entries, without_shapes

__all__ = ["Dequantized"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class Dequantized(BoundedModel):
    """A density of real values, such as a flow, as a model of integers, which are real values without their fraction.

    The probability of an integer is the integral of the density over the cell of values that round down to it. The
    fraction is hidden: it is guessed, uniformly or by a flow that sees the integers, and the score is a lower bound.
    The density is of `logit((x + fraction) / num_levels)`, so that all of it lies in cells: nothing is lost beyond the
    ends, and samples are rounded down, never clamped.

    Args:
        density: A `DensityModel` of all real numbers; `event_shape` and conditions are its own.
        num_levels: Integer, the number of levels of an entry. Defaults to `256`.
        posterior: A `FlowModel` of all real numbers, of the same `event_shape` and with a `condition_shape` equal to
            it: fractions are the sigmoid of what it draws, given the integers. `None` for uniform fractions. Defaults
            to `None`.
        **kwargs: `objective` and `num_draws`, as in `BoundedModel`, `name` and `dtype`.

    Example:

    >>> flow = keras_ar_flows.RealNVP(4, num_layers=2, hidden_units=8)
    >>> model = keras_ar_flows.Dequantized(flow, num_levels=8)
    >>> x = model.sample(5, seed=0)
    >>> x.shape, int(x.max()) < 8
    ((5, 4), True)
    >>> bounds = model.score_samples(x, num_draws=10)
    >>> bounds.shape
    (5,)

    Reference:
        [Ho et al., 2019](https://arxiv.org/abs/1902.00275); [Theis et al., 2016](https://arxiv.org/abs/1511.01844) for
        uniform fractions.
    """

    def __init__(self, density, *, num_levels=256, posterior=None, **kwargs):
        density, posterior = map(_model, (density, posterior))
        check_density(density, "density")
        if posterior is not None:
            check_posterior(posterior, density.event_shape, density.event_shape)
        super().__init__(density.event_shape, **conditions_of(density), **kwargs)
        self.num_levels = arguments.integer(num_levels, "num_levels", least=2)
        self.density, self.posterior = density, posterior

    @property
    def support(self):
        return Support.levels(self.num_levels)

    @property
    def differentiable(self):
        """Whether the density has a gradient."""
        return self.density.differentiable

    @property
    def hidden_shape(self):
        """Shape of the uniforms of all fractions of an event."""
        return self.event_shape if self.posterior is None else self.posterior.noise_shape

    def initialize_from_data(self, x, condition=None):
        x = ops.cast(x, "float32")
        *fractions, _ = self.fractions(x, noise.uniforms(0, 0, len(x), self.hidden_shape))
        z, _ = self.to_reals(x, *fractions)
        self.density.initialize_from_data(z, *([] if condition is None else [condition]))

    def log_weight(self, x, noise, condition=None, training=None):
        x = ops.cast(x, "float32")
        *fractions, log_q = self.fractions(x, noise)
        z, log_det = self.to_reals(x, *fractions)
        outputs = self.density.call(z, *([] if condition is None else [condition]), training=training)
        return self.density.log_prob_from(outputs, z) + log_det - log_q

    def fractions(self, x, noise):
        """Guesses at what was rounded off: the logarithms of fractions and of one minus these, and the log-density.

        Args:
            x: float32 tensor of shape `(batch, *event_shape)`, of integers.
            noise: Tensor of shape `(batch, *hidden_shape)`.
        """
        if self.posterior is None:
            return ops.log(noise), ops.log1p(-noise), 0.0
        z, log_prob = self.posterior.draw(noise, (2.0 * x + 1.0) / self.num_levels - 1.0)
        log_fraction, log_rest = ops.log_sigmoid(z), ops.log_sigmoid(-z)
        return log_fraction, log_rest, log_prob - sum_of_entries(log_fraction + log_rest)

    def to_reals(self, x, log_fraction, log_rest):
        """The logit of integers with their fractions, which the density is of, and its log-determinant.

        Args:
            x: As in `fractions`.
            log_fraction: Tensor of the shape of `x`.
            log_rest: Tensor of the shape of `x`.
        """
        below, above = _log_sum(x, log_fraction), _log_sum(self.num_levels - 1.0 - x, log_rest)
        return below - above, sum_of_entries(math.log(self.num_levels) - below - above)

    @property
    def noise_shape(self):
        """Shape of the uniforms that `draw` makes one event of: that of the density."""
        return self.density.noise_shape

    def draw_events(self, noise, condition=None):
        return self._rounded(self.density.draw(noise, condition)[0])

    def sample(self, num_samples=1, condition=None, *, temperature=1.0, **kwargs):
        """As in every density model, and at a temperature of the noise if the density is a flow.

        Args:
            num_samples: As in `DensityModel.sample`. Defaults to `1`.
            condition: As in `DensityModel.sample`. Defaults to `None`.
            temperature: Float, as in `FlowModel.sample`. Defaults to `1.0`.
            **kwargs: As in `BoundedModel.sample`.

        Returns:
            As `DensityModel.sample`.
        """
        if self.check_temperature(temperature) == 1.0:
            return super().sample(num_samples, condition, **kwargs)
        draw = self.compiled_function(self._draw_at)
        return self.sample_by(functools.partial(draw, np.float32(temperature)), num_samples, condition, **kwargs)

    def check_temperature(self, temperature):
        known = self.density if isinstance(self.density, FlowModel) else super()
        return known.check_temperature(temperature)

    def _draw_at(self, temperature, noise, condition=None):
        x = self._rounded(self.density.draw_at(temperature, noise, condition)[0])
        return x, ops.full(ops.shape(x)[:1], -math.inf)

    def _rounded(self, z):
        x = ops.floor(self.num_levels * ops.sigmoid(z))
        return ops.cast(ops.minimum(x, self.num_levels - 1.0), "int32")  # where the sigmoid is rounded up to 1

    def get_config(self):
        parts = {name: getattr(self, name) for name in ("density", "posterior")}
        serialized = {name: part and keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        return {**without_shapes(super().get_config()), "num_levels": self.num_levels, **serialized}


def _model(part):
    return models.get(part) if isinstance(part, dict) else part


def _log_sum(levels, log_fraction):
    """The logarithm of a number of levels and a fraction, which may be too small for any float."""
    sum_of_some = ops.log(ops.maximum(levels, 1.0) + ops.exp(log_fraction))
    return ops.where(levels == 0.0, log_fraction, sum_of_some)
