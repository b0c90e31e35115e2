"""ConditionalsModel: a head at each position of an event."""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend, heads, missing, noise, orderings
from keras_ar.density import DensityModel

__all__ = ["ConditionalsModel"]

_LEAST_TEMPERATURE = 1e-20  # at which no logit that a model gives overflows


class ConditionalsModel(DensityModel):
    """Base of models that are made of conditionals: what a head can draw at a position, given other positions.

    Args:
        event_shape: Integer or tuple, the shape of one event, which ends in the shape of what the head draws together.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        ordering: Which position comes when; see `keras_ar.orderings`. Defaults to `None`, the natural order.
        condition_shape: As in `DensityModel`. Defaults to `None`.
        num_classes: As in `DensityModel`. Defaults to `None`.
        seed: Integer, the seed of `ordering="random"`. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Attributes:
        head: The head.
        position_shape: Tuple, the shape of the positions: `event_shape` without what the head draws together.
        num_steps: Integer, the number of positions.
        step_size: Integer, how many values of an event a position has.
        num_features: Integer, what a network sees of a position.
        ordering: Integer array: `ordering[t]` is the (flattened) position of step `t`.
        inverse_ordering: Integer array: `inverse_ordering[position]` is the step at which it comes.
        is_natural: Boolean, whether steps count positions as NumPy does.

    Example:

    >>> model = keras_ar.models.FVSBN((4, 2), head=keras_ar.heads.Independent("bernoulli", 2))
    >>> model.position_shape, model.num_steps, model.step_size
    ((4,), 4, 2)
    """

    def __init__(
        self,
        event_shape,
        *,
        head="bernoulli",
        ordering=None,
        condition_shape=None,
        num_classes=None,
        seed=0,
        **kwargs,
    ):
        super().__init__(event_shape, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        self.head = heads.get(head)
        drawn_together = self.head.event_shape
        if drawn_together and self.event_shape[-len(drawn_together) :] != drawn_together:
            raise ValueError(
                f"`event_shape` must end in {drawn_together}, which {self.head} draws together. "
                f"Received: event_shape={self.event_shape}."
            )
        self.position_shape = self.event_shape[: len(self.event_shape) - len(drawn_together)]
        self.num_steps = math.prod(self.position_shape)
        if self.head.position_shape not in (None, self.position_shape):
            raise ValueError(
                f"`head` must be made for the positions of an event, of shape {self.position_shape}. "
                f"Received: {self.head}, made for positions of shape {self.head.position_shape}."
            )
        self.step_size = math.prod(drawn_together)  # values of an event that a step draws
        self.num_features = self.head.num_features  # what the network sees of them
        self.ordering = orderings.get(ordering, self.num_steps, noise.check_seed(seed))
        self.is_natural = bool((self.ordering == np.arange(self.num_steps)).all())
        self.inverse_ordering = np.argsort(self.ordering)

    @property
    def support(self):
        """The values that an entry of an event may have: those of the head."""
        return self.head.support

    def flat(self, x):
        """Events with all positions on one axis: `(batch, *event_shape) -> (batch, num_steps, *head.event_shape)`."""
        return ops.reshape(x, (-1, self.num_steps, *self.head.event_shape))

    def over_draws(self, positions):
        """`(..., positions)` with an axis of length 1 for each of those of a draw."""
        return ops.reshape(positions, (*positions.shape, *(1 for _ in self.head.event_shape)))

    def in_order(self, x, ordering):
        """What there is of each position, in the order of steps: `(batch, positions, ...) -> (steps, batch, ...)`.

        Args:
            x: Tensor of shape `(batch, positions, ...)`.
            ordering: Integer tensor of shape `(steps,)`, one order for all, or `(steps, batch)`.
        """
        if len(ordering.shape) == 1:
            return ops.swapaxes(ops.take(x, ordering, axis=1), 0, 1)
        indices = ops.reshape(ops.swapaxes(ordering, 0, 1), (-1, self.num_steps, *(1 for _ in x.shape[2:])))
        return ops.swapaxes(ops.take_along_axis(x, indices, axis=1), 0, 1)

    def flat_condition(self, condition):
        """The condition as one vector for each event, `(batch, features)`; `None` if there is none."""
        return None if condition is None else ops.reshape(condition, (-1, math.prod(self.condition_shape)))

    # Missing values.

    def is_there(self, x):
        """Which positions of events have a value, and are not NaN: a boolean tensor of shape `(batch, *positions)`."""
        x = ops.convert_to_tensor(x)
        there = ops.equal(x, x)
        if self.head.event_shape:
            there = ops.all(there, axis=tuple(range(-len(self.head.event_shape), 0)))
        return there

    def filled(self, x):
        """Events with possible values in place of missing ones: NaN in a network is NaN in all gradients."""
        return self.support.replace_impossible(x, self.support.contains(x))

    def check_incomplete_events(self, x, name="x"):
        """As `check_events`; but values may be NaN, if all are that the head draws together."""
        self.check_event_shape(x, name)
        if x.dtype.kind != "f":
            self.head.check(x, name)
            return
        is_missing = np.isnan(x)
        self.head.check(np.where(is_missing, ops.convert_to_numpy(self.filled(np.nan)), x), name)
        if self.head.event_shape:
            of_draw = is_missing.reshape(-1, self.step_size)
            if (of_draw.any(axis=1) != of_draw.all(axis=1)).any():
                raise ValueError(
                    f"`{name}` must be NaN in all the values that {self.head} draws together, or in none. Received "
                    f"some of shape {self.head.event_shape} that are NaN in part."
                )

    def incomplete_events(self, x, known=None):
        """Events of which parts are known, checked, as arrays.

        Args:
            x: Array of shape `(events, *event_shape)`, NaN where a value is missing, or masked.
            known: Boolean array, of the shape of one event or of all; `None`: what is not NaN. Defaults to `None`.

        Returns:
            The events, with possible values where they are missing, and which positions are known, a boolean array of
            shape `(events, *positions)`.
        """
        x = x if isinstance(x, np.ma.MaskedArray) else arguments.array(x, "x")
        self.check_event_shape(x)
        x = missing.with_nan(x, known)
        self.check_incomplete_events(x)
        filled = ops.convert_to_numpy(self.filled(x)).astype(self.support.dtype)
        return filled, ops.convert_to_numpy(self.is_there(x))

    # Events.

    def random_batch(self, num_events, seed=0):
        """Random events on the support, in the units of the head, and random conditions if the model takes any."""
        events, *condition = super().random_batch(num_events, seed)
        if self.support.num_levels is None:  # the head knows the scale: what it draws from parameters near zero
            shape = (num_events, self.num_steps)
            uniforms = noise.uniforms(noise.check_seed(seed), 0, num_events, (self.num_steps, self.head.num_uniforms))
            params = 0.1 * np.random.default_rng(seed).normal(size=(*shape, self.head.num_params)).astype("float32")
            steps = backend.once(self.head.at(np.arange(self.num_steps)).sample, params, uniforms)
            events = ops.convert_to_numpy(steps).reshape(events.shape).astype(self.support.dtype)
        return [events, *condition]

    # Checking and saving.

    def check_sampling(self, temperature=1.0, top_k=None, top_p=None):
        """The arguments that shape the distribution of a step, checked: a dictionary as `decoding` takes it."""
        sampling = {}
        temperature = arguments.number(temperature, "temperature")
        if temperature == 0.0:
            self.head.require("mode", "temperature=0")
            sampling["mode"] = np.float32(0.0)
        elif temperature < _LEAST_TEMPERATURE:
            raise ValueError(
                f"`temperature` must be 0, for the most probable values, or at least {_LEAST_TEMPERATURE:g}. "
                f"Received: temperature={temperature!r}."
            )
        elif temperature != 1.0:
            self.head.require("temper", "temperature")
            sampling["temperature"] = np.float32(temperature)
        for name, limit in (("top_k", top_k), ("top_p", top_p)):
            if limit is not None:
                self.head.require("truncate", name)
        if top_k is not None:
            # More than all levels are all levels.
            sampling["top_k"] = np.int32(min(arguments.integer(top_k, "top_k"), self.support.num_levels))
        if top_p is not None:
            if arguments.number(top_p, "top_p", above=0) > 1:
                raise ValueError(f"`top_p` must be at most 1. Received: top_p={top_p}.")
            sampling["top_p"] = np.float32(top_p)
        return sampling

    def check_temperature(self, temperature):
        self.check_sampling(temperature)
        return float(temperature)

    def name_of_step(self, step):
        """What an error calls the value of a step, such as `x[0, 3]`."""
        return f"x{[int(i) for i in np.unravel_index(self.ordering[step], self.position_shape)]}"

    def check_events(self, x, name="x"):
        """Raises a `ValueError` unless the array holds at least one event, of the right shape, on the support."""
        self.check_event_shape(x, name)
        self.head.check(x, name)

    def get_config(self):
        return {
            **super().get_config(),
            "head": keras.saving.serialize_keras_object(self.head),
            "ordering": None if self.is_natural else self.ordering.tolist(),
        }
