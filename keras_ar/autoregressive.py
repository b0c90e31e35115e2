"""AutoregressiveModel: every conditional `p(x_i | x_<i)`, all at once or one after the other."""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, decoding, heads, noise, orderings
from keras_ar.density import DensityModel
from keras_ar.layers import MaskedConv2D, protocol
from keras_ar.layers import get as get_layer


class AutoregressiveModel(DensityModel):
    """A model that maps an event to the parameters of each of its conditionals.

    A subclass implements `call`, and `start` and `step` where it can, which
    compute the same, one position at a time:

    - `call(x, condition=None) -> params`, of shape `(batch, *positions, num_params)`;
      with an argument `training`, passed on, where a part behaves otherwise in training;
    - `start(batch_size, condition=None) -> state`, a nest of tensors;
    - `step(state, t, previous) -> (params_t, state)`: the parameters of step `t`, of
      shape `(batch, num_params)`. `previous` is what was drawn at step `t - 1`; at
      `t = 0` it means nothing and must have no effect.

    `to_steps` and `from_steps` translate between the layout of events and the
    order in which they unroll.

    Args:
        event_shape: Shape of one event: an integer, or a tuple such as `(28, 28, 1)`.
        head: Name, instance, class or config of a head: the distribution of a step.
        ordering: Which position comes when: `None` for the natural order, a name or a
            permutation from `keras_ar.orderings`.
        condition_shape: Shape of the condition of one event, or `None`.
        **kwargs: `name` and `dtype`, as in every Keras model.

    Example:

    >>> class Independent(keras_ar.AutoregressiveModel):
    ...     def __init__(self, event_shape, **kwargs):
    ...         super().__init__(event_shape, **kwargs)
    ...         self.params = self.add_weight((self.num_steps, self.head.num_params))
    ...     def call(self, x):
    ...         return keras.ops.zeros((keras.ops.shape(x)[0], 1, 1)) + self.params
    >>> model = Independent(3, head="bernoulli")
    >>> model.sample(5, seed=0).shape
    (5, 3)
    """

    def __init__(self, event_shape, *, head="bernoulli", ordering=None, condition_shape=None, **kwargs):
        super().__init__(event_shape, condition_shape=condition_shape, **kwargs)
        self.head = heads.get(head)
        drawn_together = self.head.event_shape
        if drawn_together and self.event_shape[-len(drawn_together) :] != drawn_together:
            raise ValueError(
                f"`event_shape` must end in {drawn_together}, which {self.head} draws together. "
                f"Received: event_shape={self.event_shape}."
            )
        self.position_shape = self.event_shape[: len(self.event_shape) - len(drawn_together)]
        self.num_steps = math.prod(self.position_shape)
        self.step_size = math.prod(drawn_together)
        self.resolution = self.head.resolution
        self.ordering = orderings.get(ordering, self.num_steps)
        self._is_natural = bool((self.ordering == np.arange(self.num_steps)).all())
        self._inverse_ordering = np.argsort(self.ordering)

    @staticmethod
    def from_layers(layers, *, event_shape, head="bernoulli", condition_shape=None, **kwargs):
        """A model from a chain of causal layers; see `LayeredModel`."""
        return LayeredModel(event_shape, layers=layers, head=head, condition_shape=condition_shape, **kwargs)

    # The conditionals.

    def start(self, batch_size, condition=None):
        """State before the first step."""
        raise NotImplementedError(f"{type(self).__name__} has no `start` and `step`; draw by 'parallel' or 'full'.")

    def step(self, state, t, previous):
        """Parameters of step `t`, and the next state."""
        raise NotImplementedError(f"{type(self).__name__} has no `start` and `step`; draw by 'parallel' or 'full'.")

    @property
    def steppable(self):
        """Whether the model can compute its conditionals one at a time."""
        return type(self).step is not AutoregressiveModel.step

    def to_steps(self, x, values_in=True):
        """Unrolls `(batch, *event_shape)` to `(batch, num_steps, *head.event_shape)`.

        Parameters, of shape `(batch, *positions, num_params)`, unroll as well, with `values_in=False`.
        """
        inner = self.head.event_shape if values_in else (self.head.num_params,)
        x = ops.reshape(x, (-1, self.num_steps, *inner))
        return x if self._is_natural else ops.take(x, self.ordering, axis=1)

    def from_steps(self, x):
        """Undoes `to_steps`, for values and for parameters."""
        if not self._is_natural:
            x = ops.take(x, self._inverse_ordering, axis=1)
        return ops.reshape(x, (-1, *self.position_shape, *x.shape[2:]))

    def encode_steps(self, x):
        """Events as a network's inputs, unrolled: `(batch, num_steps, step_size)`."""
        return ops.reshape(self.to_steps(self.head.encode(x)), (-1, self.num_steps, self.step_size))

    def encode_previous(self, previous):
        """What was drawn in one step as a network's input: `(batch, step_size)`."""
        return ops.reshape(self.head.encode(previous), (-1, self.step_size))

    # Scores.

    def conditional_log_prob(self, x, condition=None):
        """Log-probability of each step given those before it: float32 tensor of shape `(batch, *positions)`."""
        return self._conditional_log_prob(self(x, condition), x)

    def _conditional_log_prob(self, params, x):
        return self.head.log_prob(ops.cast(params, "float32"), x)

    def _log_prob(self, outputs, x):
        steps = self._conditional_log_prob(outputs, x)
        return ops.sum(steps, axis=tuple(range(1, len(steps.shape))))

    def score_conditionals(self, x, condition=None, *, batch_size=256, verbose=0):
        """Log-probability, in nats, of each position given those before it; they add up to `score_samples`.

        Args:
            x: Array of shape `(events, *event_shape)`.
            condition: Array of shape `(events, *condition_shape)`.
            batch_size: How many events are scored at a time.
            verbose: 1 for a progress bar.

        Returns:
            float32 array of shape `(events, *position_shape)`.

        Example:

        >>> model = keras_ar.models.FVSBN(3)  # starts with equal odds
        >>> [round(float(p), 3) for p in model.score_conditionals(np.array([[0, 1, 1]]))[0]]
        [-0.693, -0.693, -0.693]
        """
        return self._score("conditional_log_prob", self.conditional_log_prob, x, condition, batch_size, verbose)

    # Draws.

    def sample(
        self, num_samples=1, condition=None, *, method="auto", temperature=1.0, top_k=None, top_p=None, **kwargs
    ):
        """Draws events.

        Event 7 of a seed is the same event whatever the method, the batch size and
        the number of samples, on every backend; except where a uniform falls within
        rounding of the edge between two values. Between any two backends, no event
        differed among 512 of 784 binary values nor among 512 of 64 values of 256
        levels (`benchmarks/near_ties.py`); among some hundred thousand values of 256
        levels, expect the first.

        Args:
            num_samples: How many events to draw.
            condition: Array of shape `(num_samples, *condition_shape)`, or of shape
                `condition_shape`: one for all. Classes are integers: one, or `num_samples`.
            method: `"stepwise"`: by `start` and `step`, at the arithmetic of about one
                whole pass. `"parallel"`: all positions at once, repeated until nothing
                changes. `"full"`: a whole pass for each position. `"auto"`: stepwise
                where the model can, else parallel.
            temperature: Draws each step from the distribution proportional to
                `p ** (1 / temperature)`.
            top_k: Integer: draws from so many most probable levels only.
            top_p: Number from 0 to 1: draws from the fewest most probable levels that
                have at least this probability together.
            **kwargs: `seed`, `batch_size`, `return_log_prob` and `verbose`, as in
                `DensityModel.sample`.

        Returns:
            Array of shape `(num_samples, *event_shape)`; with `return_log_prob=True` the
            pair of it and the log-probabilities that the events were drawn with
            (at another temperature than 1 these are not `score_samples`).
        """
        options = {"method": self._check_method(method), "shaping": self._check_shaping(temperature, top_k, top_p)}
        return super().sample(num_samples, condition, **options, **kwargs)

    def _check_shaping(self, temperature, top_k, top_p):
        """From what to draw, as `decoding` takes it."""
        shaping = {"temperature": np.float32(arguments.number(temperature, "temperature", above=0))}
        for name, limit in (("top_k", top_k), ("top_p", top_p)):
            if limit is not None and not hasattr(self.head, "truncate"):
                raise ValueError(
                    f"`{name}` is for heads that can cut off levels, such as Categorical. Received {self.head}."
                )
        if top_k is not None:
            shaping["top_k"] = np.int32(arguments.integer(top_k, "top_k"))
        if top_p is not None:
            if arguments.number(top_p, "top_p", above=0) > 1:
                raise ValueError(f"`top_p` must be at most 1. Received: top_p={top_p}.")
            shaping["top_p"] = np.float32(top_p)
        return shaping

    def _check_method(self, method):
        if method == "auto":
            method = "stepwise" if self.steppable else "parallel"
        if method not in ("stepwise", "parallel", "full"):
            raise ValueError(f"`method` must be 'auto', 'stepwise', 'parallel' or 'full'. Received: method={method!r}.")
        if method == "stepwise" and not self.steppable:
            raise ValueError(f"`method` must not be 'stepwise': {self.name} has a part without `step`.")
        return method

    def complete(
        self,
        x,
        known,
        condition=None,
        *,
        seed=None,
        batch_size=64,
        return_log_prob=False,
        verbose=0,
        method="auto",
        temperature=1.0,
        top_k=None,
        top_p=None,
    ):
        """Draws what is missing of events, given what is known of them.

        What is known must come first in the model's ordering: the upper rows of an
        image, the beginning of a sequence.

        Args:
            x: Array of shape `(events, *event_shape)`. What stands at unknown places means nothing.
            known: Boolean array of shape `event_shape`: what is known, of all the events.
            condition: Array of shape `(events, *condition_shape)`, or one for all.
            seed: Integer from 0 to 2**64 - 1; `None` for a fresh one.
            batch_size: How many events are completed at a time.
            return_log_prob: Whether to return the log-probabilities with which the
                missing parts were drawn, given the known ones, as well.
            verbose: 1 for a progress bar.
            method: As in `sample`.
            temperature: As in `sample`.
            top_k: As in `sample`.
            top_p: As in `sample`.

        Returns:
            Array of the shape of `x`, or the pair of it and the float32 array of
            log-probabilities.

        Example:

        >>> model = keras_ar.models.MADE(event_shape=(4,), hidden_units=8)
        >>> model.complete(np.array([[1, 0, 0, 0]]), known=[True, True, False, False], seed=0)[0, :2].tolist()
        [1, 0]
        """
        method, shaping = self._check_method(method), self._check_shaping(temperature, top_k, top_p)
        arguments.integer(batch_size, "batch_size")
        seed, x, known = noise.check_seed(seed), np.asarray(x), np.asarray(known)
        self._check_shape_of_events(x)
        num_given = self._count_given(known, x.shape[1:])
        x = np.where(known, x, 0)
        self._check_events(x)
        condition = self._check_condition(condition, len(x), broadcast=True)
        steps = ops.convert_to_numpy(self.to_steps(ops.convert_to_tensor(x))).astype(self.head.dtype)
        options = {"method": method, "shaping": shaping, "num_given": num_given, "num_steps": steps.shape[1]}
        draws = self._draw(len(x), condition, [steps], seed, batch_size, verbose, **options)
        return draws if return_log_prob else draws[0]

    def _count_given(self, known, shape):
        """How many steps are known, of which there must be no other."""
        if known.shape != shape or known.dtype != bool:
            raise ValueError(
                f"`known` must be a boolean array of shape {shape}. "
                f"Received: known.shape={known.shape}, known.dtype={known.dtype}."
            )
        steps = ops.convert_to_numpy(self.to_steps(ops.convert_to_tensor(known[None])))[0]
        steps = steps.reshape(len(steps), self.step_size)
        whole = steps.all(axis=1)
        num_given = len(steps) if whole.all() else int(np.argmin(whole))
        if steps[num_given:].any():
            gap, beyond = (
                self._place(step) for step in (num_given, num_given + int(np.argmax(steps[num_given:].any(axis=1))))
            )
            raise ValueError(
                f"`known` must be what comes first in the model's ordering, with no gap: "
                f"{self.name} draws {gap} before {beyond}. Received: {beyond} known, {gap} not (or not all of it)."
            )
        return num_given

    def _place(self, step):
        return f"x{[int(i) for i in np.unravel_index(self.ordering[step], self.position_shape)]}"

    def _sample_batch(
        self, seed, first_event, batch_size, condition, given, progress, *, method, shaping, num_given=0, num_steps=None
    ):
        num_steps = num_steps or self.num_steps
        known = [np.swapaxes(steps, 0, 1) for steps in given]
        uniforms = noise.uniforms(seed, first_event, batch_size, num_steps, self.head.num_uniforms)
        if method == "parallel":
            draw = decoding.compiled(self, decoding.parallel)
            values, log_prob, _ = draw(uniforms, shaping, condition, *((steps, num_given) for steps in known))
            progress.add(batch_size)
        else:
            values, begun, carry = self._begin(method, uniforms, condition, known, num_given)
            rows = [uniforms, *(known if begun < num_given else [])]
            advance = decoding.compiled(self, decoding.advance, method, num_steps)
            piece = self._length_of_pieces(num_steps, progress)
            for first in range(begun, num_steps, piece):
                last = min(first + piece, num_steps)
                cut = [np.resize(array[first:last], (piece, *array.shape[1:])) for array in rows]
                drawn, carry = advance(carry, first, last, cut, shaping, num_given)
                values.append(drawn[: last - first])
                progress.add(batch_size * (last - first) / num_steps)
            values, log_prob = ops.concatenate(values), carry["log_prob"]
        events = self.from_steps(ops.swapaxes(values, 0, 1))
        return ops.convert_to_numpy(events), ops.convert_to_numpy(log_prob)

    def _begin(self, method, uniforms, condition, known, num_given):
        """What is known of the values already, the first step that is not, and what the drawing carries there."""
        return [], 0, decoding.compiled(self, decoding.begin, method, len(uniforms))(uniforms, *condition)

    def _length_of_pieces(self, num_steps, progress):
        """The loop is cut into pieces of one length only to show how far it is."""
        return math.ceil(num_steps / 20) if progress.shown else num_steps

    # Checking and saving.

    def _check_events(self, x, name="x"):
        super()._check_events(x, name)
        self.head.check(x, name)

    def get_config(self):
        return {
            **super().get_config(),
            "head": keras.saving.serialize_keras_object(self.head),
            "ordering": None if self._is_natural else self.ordering.tolist(),
        }


@keras.saving.register_keras_serializable(package="keras_ar")
class LayeredModel(AutoregressiveModel):
    """A chain of causal layers as a model: `AutoregressiveModel.from_layers` makes it.

    The layers see the encoded event with its positions first and features last,
    `(batch, *positions, features)`: a trailing axis of one channel, or of the
    channels that the head draws together, holds the features; otherwise
    there is one. A last `Dense` makes the head's parameters. A condition enters as
    a learned bias behind the layer that hides each position from itself. Positions
    come in raster order.

    Args:
        event_shape: Shape of one event.
        layers: Causal layers and Keras layers that treat every position alike; just
            one of them is strict (mask type A).
        head: Name, instance, class or config of a head.
        condition_shape: Shape of the condition of one event, or `None`.
        **kwargs: `name` and `dtype`; the layers keep their own.

    Example:

    >>> model = keras_ar.AutoregressiveModel.from_layers(
    ...     [keras_ar.layers.NADEDense(units=8, outputs=4), keras.layers.ReLU()], event_shape=(6,))
    >>> model.sample(2, seed=0).shape
    (2, 6)
    """

    def __init__(self, event_shape, *, layers, head="bernoulli", condition_shape=None, **kwargs):
        super().__init__(event_shape, head=head, condition_shape=condition_shape, **kwargs)
        self.chain = [get_layer(layer) for layer in layers]
        strict = [i for i, layer in enumerate(self.chain) if protocol.is_strict(layer)]
        if len(strict) != 1:
            raise ValueError(
                "`layers` must have exactly one strict layer (mask type A), which hides each position from itself. "
                f"Received {len(strict)} of them in {[layer.name for layer in self.chain]}."
            )
        by_row = [layer.name for layer in self.chain if protocol.is_by_row(layer)]
        if by_row:
            raise ValueError(f"`layers` must not see a row of an image as a whole. Received such layers: {by_row}.")
        self._strict_index = strict[0]
        has_channels = self.step_size > 1 or (len(self.event_shape) > 1 and self.event_shape[-1] == 1)
        self._inner_shape = self.event_shape if has_channels else (*self.event_shape, 1)

        shape = (None, *self._inner_shape)
        for i, layer in enumerate(self.chain):
            if not layer.built:
                layer.build(shape)
            output_shape = layer.compute_output_shape(shape)
            if len(output_shape) != len(shape) or output_shape[1:-1] != shape[1:-1]:
                raise ValueError(
                    f"`layers` must keep the positions as they are, {shape[1:-1]}. Received: {layer.name}, which gives "
                    f"the shape {output_shape} for inputs of shape {shape}."
                )
            shape = output_shape
            if i == self._strict_index and self.condition_shape:
                # One for each feature; and for each colour, where these come one after the other.
                self._bias_shape = (*self._inner_shape[2:-1], shape[-1])
                self.condition_bias = keras.layers.Dense(
                    math.prod(self._bias_shape), use_bias=False, dtype=layer.dtype_policy
                )
        self.to_params = self._make_to_params()

    def _make_to_params(self):
        options = {"dtype": self.dtype_policy, "name": "to_params"}
        if len(self._inner_shape) < 4:
            return keras.layers.Dense(self.head.num_params, **options)
        # Colours that come one after the other: each has parameters of its own, and sees those before it.
        colours = self._inner_shape[2]
        return MaskedConv2D(colours * self.head.num_params, 1, groups=colours, **options)

    def call(self, x, condition=None, training=None):
        h = ops.reshape(self.head.encode(x), (-1, *self._inner_shape))  # (batch, *positions, features)
        for i, layer in enumerate(self.chain):
            h = layer(h, training=training)
            if i == self._strict_index and condition is not None:
                ones = (1 for _ in h.shape[1 : -len(self._bias_shape)])
                h = h + ops.reshape(self._bias_from(condition), (-1, *ones, *self._bias_shape))
        return ops.reshape(self.to_params(h), (-1, *self.position_shape, self.head.num_params))

    @property
    def steppable(self):
        # Ahead of the strict layer a step runs one position behind: only layers that do not count positions can.
        ahead, others = self.chain[: self._strict_index], self.chain[self._strict_index :]
        return all(map(protocol.is_position_wise, ahead)) and all(map(protocol.is_steppable, others))

    def start(self, batch_size, condition=None):
        bias = () if condition is None else self._bias_from(condition)
        chain = [*self.chain, self.to_params]
        return {"bias": bias, "layers": [protocol.start(layer, batch_size) for layer in chain]}

    def step(self, state, t, previous):
        h = self.encode_previous(previous)  # (batch, features)
        states = []
        for i, layer in enumerate([*self.chain, self.to_params]):
            h, layer_state = protocol.step(layer, state["layers"][i], h, t)
            states.append(layer_state)
            if i == self._strict_index and self.condition_shape:
                num_colours, num_features = math.prod(self._bias_shape[:-1]), self._bias_shape[-1]
                h = h + ops.reshape(state["bias"], (-1, num_colours, num_features))[:, t % num_colours]
        return h, {"bias": state["bias"], "layers": states}

    def _bias_from(self, condition):
        return self.condition_bias(ops.reshape(condition, (-1, math.prod(self.condition_shape))))

    def get_config(self):
        config = super().get_config()
        del config["ordering"]  # raster, always
        return {**config, "layers": [keras.saving.serialize_keras_object(layer) for layer in self.chain]}
