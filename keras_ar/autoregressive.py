"""AutoregressiveModel: every conditional `p(x_i | x_<i)`, all at once or one after the other."""

import functools
import math

import numpy as np
from keras import ops

from keras_ar import arguments, backend, batches, decoding, noise, training
from keras_ar.conditionals import ConditionalsModel

__all__ = ["AutoregressiveModel"]

_BATCHES_FOR_TRIAL = 8  # of which two of each method are the trial


class AutoregressiveModel(ConditionalsModel):
    """A model that maps an event to the parameters of each of its conditionals.

    **A subclass writes**

    - `call(x, condition=None, training=None) -> params`, of shape `(batch, *positions, num_params)`.

    **It may write** what computes the same one position at a time, and makes samples cheap:

    - `prepare(condition=None) -> constants`: the weights laid out for stepping, and what follows from the condition;
    - `start(batch_size, num_steps) -> state`: what is carried, before the first step;
    - `step(constants, state, t, previous) -> (params, state)`: the parameters of step `t`, of
      shape `(batch, num_params)`. `previous` is what was drawn at step `t - 1`; at
      `t = 0` it means nothing and must have no effect;
    - `prefill(constants, state, values) -> (params, state)`: the same for all of `values`,
      `(batch, steps, ...)`, in one pass.

    Constants and states are nests of tensors without `None`. `to_steps` and `from_steps` translate between the
    layout of events and the order in which they are drawn.

    Args:
        event_shape: Integer or tuple, the shape of one event, such as `(28, 28, 1)`.
        head: Name, instance, class or config of a head: the distribution of a step. Defaults to `"bernoulli"`.
        ordering: Which position comes when: `"natural"`, `"reversed"`, `"random"`, a permutation of the
            positions (`ordering[t]` is the one drawn at step `t`), or `None` for the natural order. Defaults to `None`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        seed: Integer, the seed of `ordering="random"`. Defaults to `0`.
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

    @classmethod
    def from_layers(cls, layers, *, event_shape, **kwargs):
        """A model from a chain of causal layers: a word for `keras_ar.models.CausalSequential`.

        Args:
            layers: Causal layers, and Keras layers that treat every position alike.
            event_shape: Integer or tuple, the shape of one event.
            **kwargs: What `CausalSequential` takes besides.

        Example:

        >>> layers = [keras_ar.layers.NADEDense(units=8, outputs=4), keras.layers.ReLU()]
        >>> keras_ar.AutoregressiveModel.from_layers(layers, event_shape=6).sample(2, seed=0).shape
        (2, 6)
        """
        if cls is not AutoregressiveModel:
            raise ValueError(
                f"`from_layers` must be called as AutoregressiveModel.from_layers: its layers are the whole model. "
                f"Received: {cls.__name__}.from_layers."
            )
        from keras_ar import registry

        return registry.get("models", "causal_sequential", event_shape=event_shape, layers=layers, **kwargs)

    # The conditionals one at a time.

    def prepare(self, condition=None):
        """What all steps share: a nest of tensors."""
        return ()

    def start(self, batch_size, num_steps):
        """The initial state, a nest of tensors; `num_steps` is `None` for a stream without end."""
        raise NotImplementedError(f"{type(self).__name__} has no `start` and `step`: sample by 'parallel' or 'full'.")

    def step(self, constants, state, t, previous):
        """The parameters of step `t`, and the next state."""
        raise NotImplementedError(f"{type(self).__name__} has no `start` and `step`: sample by 'parallel' or 'full'.")

    def prefill(self, constants, state, values):
        """The parameters of the first steps, and the state after them.

        Args:
            constants: From `prepare`.
            state: From `start`.
            values: Tensor of shape `(batch, steps, *head.event_shape)`, in the order of the steps.

        Returns:
            The pair of parameters `(batch, steps, num_params)` and the state.
        """
        previous = ops.swapaxes(values, 0, 1)
        previous = ops.concatenate([previous[:1], previous[:-1]])  # the first means nothing

        def body(state, xs):
            t, previous = xs
            params, state = self.step(constants, state, t, previous)
            return state, params

        state, params = backend.scan(body, state, (ops.arange(previous.shape[0]), previous))
        return ops.swapaxes(params, 0, 1), state

    @property
    def steppable(self):
        """Whether the model can compute its conditionals one at a time."""
        return type(self).step is not AutoregressiveModel.step

    @property
    def has_prefill(self):
        """Whether `prefill` is one pass, in place of a loop of steps."""
        return type(self).prefill is not AutoregressiveModel.prefill

    def to_steps(self, x):
        """Events in the order of their steps: `(batch, *event_shape) -> (batch, num_steps, *head.event_shape)`."""
        return self._unroll(x, self.head.event_shape)

    def params_to_steps(self, params):
        """Parameters in step order: `(batch, *positions, num_params) -> (batch, num_steps, num_params)`."""
        return self._unroll(params, (self.head.num_params,))

    def _unroll(self, x, inner):
        x = ops.reshape(x, (-1, self.num_steps, *inner))
        return x if self.is_natural else ops.take(x, self.ordering, axis=1)

    def from_steps(self, x):
        """Undoes `to_steps` and `params_to_steps`."""
        if not self.is_natural:
            x = ops.take(x, self.inverse_ordering, axis=1)
        return ops.reshape(x, (-1, *self.position_shape, *x.shape[2:]))

    def encode_steps(self, x):
        """Events as a network's inputs, in the order of their steps: `(batch, num_steps, num_features)`."""
        return self.encode_first_steps(self.to_steps(x))

    def encode_first_steps(self, values):
        """What was drawn in the first steps as a network's inputs: `(batch, steps, num_features)`."""
        return self.head_of_steps(values.shape[1]).encode_draws(values)

    def encode_previous(self, previous, t):
        """What was drawn in step `t - 1` as a network's input: `(batch, num_features)`."""
        head = self.head if self.head.position_shape is None else self.head_at(ops.maximum(t - 1, 0))
        return head.encode_draws(previous)

    def head_at(self, t):
        """The head of step `t`: the model's head, unless that differs between positions."""
        if self.head.position_shape is None:
            return self.head
        return self.head.at(t if self.is_natural else ops.take(self.ordering, t))

    def head_of_steps(self, num_steps):
        """The head of the first steps."""
        return self.head.at(self.ordering[:num_steps])

    # Scores.

    def conditional_log_prob(self, x, condition=None):
        """Log-probability of each step given those before it: float32 tensor of shape `(batch, *positions)`.

        That of an impossible value is `-inf`, and those of later steps are as if it had been a possible one. Those of
        an event given a class that does not exist are NaN.
        """
        x, condition = self.checked_pair(x, condition)
        possible, condition, impossible = training.replace_impossible(self, x, condition)
        found = self.head.log_prob(ops.cast(self(possible, condition), "float32"), x)
        is_given = ops.logical_not(ops.isnan(impossible.log_prob))
        return ops.where(ops.reshape(is_given, (-1, *(1 for _ in self.position_shape))), found, math.nan)

    def log_prob_from(self, outputs, x):
        steps = self.head.log_prob_of_possible(ops.cast(outputs, "float32"), x)
        return ops.sum(steps, axis=tuple(range(1, len(steps.shape))))

    def conditional_cdf(self, x, condition=None):
        """Probabilities, for each step given those before it, of a value below `x` and of one up to `x`.

        For real values the two are the same.

        Returns:
            The pair of them, float32 tensors of shape `(batch, *positions)`.
        """
        self.head.require("cdf", "conditional_cdf")
        params, values = ops.cast(self(x, condition), "float32"), ops.cast(x, "float32")
        up_to = self.head.cdf(params, values)
        return (self.head.cdf(params, values - 1.0) if self.support.is_discrete else up_to), up_to

    def score_conditionals(self, x, condition=None, *, batch_size=None, verbose=0):
        """Log-probability, in nats, of each position given those before it; they add up to `score_samples`.

        Args:
            x: Array of shape `(events, *event_shape)`.
            condition: Array of shape `(events, *condition_shape)`, or of classes. Defaults to `None`.
            batch_size: As in `score_samples`. Defaults to `None`.
            verbose: `1` for a progress bar. Defaults to `0`.

        Returns:
            float32 array of shape `(events, *position_shape)`.

        Example:

        >>> model = keras_ar.models.FVSBN(3)  # starts with equal odds
        >>> [round(float(p), 3) for p in model.score_conditionals(np.array([[0, 1, 1]]))[0]]
        [-0.693, -0.693, -0.693]
        """
        return self.map_events(self.conditional_log_prob, x, condition, batch_size=batch_size, verbose=verbose)

    # Samples.

    @property
    def noise_shape(self):
        """Shape of the uniforms that `draw` makes one event of."""
        return (self.num_steps, self.head.num_uniforms)

    def draw(self, noise, condition=None):
        """Events and their log-probabilities, from uniforms of shape `(batch, num_steps, num_uniforms)`."""
        return decoding.draw(self, noise, *self.encode_condition(condition))

    def sample(
        self,
        num_samples=1,
        condition=None,
        *,
        method="auto",
        temperature=1.0,
        top_k=None,
        top_p=None,
        seed=None,
        first_event=0,
        batch_size=None,
        return_log_prob=False,
        verbose=0,
    ):
        """Samples events.

        Event 7 of a seed is the same event whatever the method, the batch size and
        the number of samples, on every backend; except where a uniform falls within
        rounding of the edge between two values. Between any two backends, no event
        differed among 512 of 784 binary values nor among 512 of 64 values of 256
        levels (`benchmarks/near_ties.py`); among some hundred thousand values of 256
        levels, expect the first.

        Args:
            num_samples: Integer, how many events to sample. Defaults to `1`.
            condition: Array of shape `(num_samples, *condition_shape)`, or of shape `condition_shape`: one
                for all. Classes are one integer, or `num_samples` of them. Defaults to `None`.
            method: `"stepwise"`: by `prepare`, `start` and `step`, at the arithmetic of about one
                whole pass. `"parallel"`: all positions at once, repeated until nothing
                changes. `"full"`: a whole pass for each position. `"auto"`: stepwise
                where the model can, else parallel; for many batches of integers on an accelerator, whichever
                takes less time there. Defaults to `"auto"`.
            temperature: Float. Draws each step from the distribution proportional to `p ** (1 / temperature)`; mixtures
                temper the choice of the component and each component, which is close to that. At 0 each step
                takes its most probable value. Defaults to `1.0`.
            top_k: Integer: draws from so many most probable levels only. Defaults to `None`.
            top_p: Float from 0 to 1: draws from the fewest most probable levels that
                have at least this probability together; with `top_k`, of the `top_k` levels. Defaults to `None`.
            seed: Integer from 0 to 2**64 - 1; `None` for a fresh one. Defaults to `None`.
            first_event: Integer, the number of the first event. Defaults to `0`.
            batch_size: Integer, how many events are sampled at a time; `None`: 64 on a CPU, 1,024 elsewhere.
                Defaults to `None`.
            return_log_prob: Boolean, whether to return the log-probabilities that the events were drawn
                with, as well. At another temperature than 1 these are not `score_samples`; but at 0 they
                are. Defaults to `False`.
            verbose: `1` for a progress bar. Defaults to `0`.

        Returns:
            Array of shape `(num_samples, *event_shape)`; with `return_log_prob=True` the
            pair of it and the float32 array of log-probabilities.
        """
        return self.sample_steps(
            num_samples,
            condition,
            num_steps=self.num_steps,
            method=method,
            sampling=self.check_sampling(temperature, top_k, top_p),
            seed=seed,
            first_event=first_event,
            batch_size=batch_size,
            return_log_prob=return_log_prob,
            verbose=verbose,
        )

    def complete(
        self,
        x,
        known,
        condition=None,
        *,
        method="auto",
        temperature=1.0,
        top_k=None,
        top_p=None,
        seed=None,
        batch_size=None,
        return_log_prob=False,
        verbose=0,
    ):
        """Samples what is missing of events, given what is known of them.

        What is known must come first in the model's ordering: the upper rows of an
        image, the beginning of a sequence.

        Args:
            x: Array of shape `(events, *event_shape)`. What it holds at unknown places means nothing.
            known: Boolean array of shape `event_shape`: what is known, of all the events.
            condition: Array of shape `(events, *condition_shape)`, one for all, or classes. Defaults to `None`.
            method: As in `sample`.
            temperature: As in `sample`.
            top_k: As in `sample`.
            top_p: As in `sample`.
            seed: Integer from 0 to 2**64 - 1; `None` for a fresh one. Defaults to `None`.
            batch_size: As in `sample`. Defaults to `None`.
            return_log_prob: Boolean, whether to return the log-probabilities with which the
                missing parts were drawn, given the known ones, as well. Defaults to `False`.
            verbose: `1` for a progress bar. Defaults to `0`.

        Returns:
            Array of the shape of `x`, or the pair of it and the float32 array of
            log-probabilities.

        Example:

        >>> model = keras_ar.models.MADE(event_shape=(4,), hidden_units=8)
        >>> model.complete(np.array([[1, 0, 0, 0]]), known=[True, True, False, False], seed=0)[0, :2].tolist()
        [1, 0]
        """
        x, known = arguments.array(x, "x"), arguments.array(known, "known")
        self.check_event_shape(x)
        self._check_known(known, x)
        x = np.where(known, x, 0)
        self.check_events(x)
        x = x.astype(self.support.dtype)
        steps = ops.convert_to_numpy(self.to_steps(ops.convert_to_tensor(x)))
        return self.sample_steps(
            len(x),
            condition,
            num_steps=steps.shape[1],
            known=steps,
            num_known=self._count_known(known),
            method=method,
            sampling=self.check_sampling(temperature, top_k, top_p),
            seed=seed,
            batch_size=batch_size,
            return_log_prob=return_log_prob,
            verbose=verbose,
        )

    def sample_steps(
        self,
        num_samples,
        condition,
        *,
        num_steps,
        method,
        sampling,
        seed,
        batch_size,
        return_log_prob,
        verbose,
        first_event=0,
        known=None,
        num_known=0,
    ):
        """The driver of `sample` and `complete`: samples of `num_steps` steps, the first `num_known` of them given.

        Args:
            num_samples: As in `sample`.
            condition: As in `sample`.
            num_steps: Integer, how many steps an event has.
            method: As in `sample`.
            sampling: From `check_sampling`.
            seed: As in `sample`.
            batch_size: As in `sample`.
            return_log_prob: As in `sample`.
            verbose: As in `sample`.
            first_event: As in `sample`.
            known: Array of shape `(num_samples, num_steps, ...)`, whose first `num_known` steps count, or `None`.
            num_known: Integer. Defaults to `0`.
        """
        num_samples, condition, seed, first_event, batch_size = self.check_sample_arguments(
            num_samples, condition, seed, first_event, batch_size
        )
        arguments.boolean(return_log_prob, "return_log_prob")
        self.check_num_steps(num_steps, condition)
        methods = self._methods(method, math.ceil(num_samples / batch_size))
        draw = decoding.Fastest([self._drawing_by(method) for method in methods])
        progress = batches.Progress(num_samples, verbose)

        def draw_batch(first, *arrays):
            given, rest = ([], arrays) if known is None else ([_by_steps(arrays[0])], arrays[1:])
            shape = (num_steps, self.head.num_uniforms)
            uniforms = _by_steps(noise.uniforms(seed, first_event + first, batch_size, shape))
            values, log_prob = draw(sampling, uniforms, given, num_known, rest, progress)
            return self.from_steps(ops.swapaxes(values, 0, 1)), log_prob

        arrays = condition if known is None else [known, *condition]
        samples = batches.run(draw_batch, arrays, num_samples, batch_size, progress)
        return samples if return_log_prob else samples[0]

    def _drawing_by(self, method):
        draw = self._draw_parallel if method == "parallel" else self._draw_by_steps
        return functools.partial(draw, decoding.Drawing(self, method))

    def _draw_parallel(self, drawing, sampling, uniforms, known, num_known, condition, progress):
        values, log_prob, _ = drawing.parallel(uniforms, sampling, condition, *([known, num_known] if known else []))
        progress.add(uniforms.shape[1])
        return values, log_prob

    def _draw_by_steps(self, drawing, sampling, uniforms, known, num_known, condition, progress):
        num_steps, batch_size = uniforms.shape[:2]
        constants, carry = drawing.prepare(condition), drawing.start(batch_size, num_steps)
        values, begin, rows = [], 0, [uniforms, *known]
        if num_known and drawing.has_prefill:
            prompt = known[0][:num_known]
            carry = drawing.prefill(constants, carry, prompt)
            values, begin, rows = [prompt], num_known, [uniforms]
        piece = self.piece_length(num_steps, progress)
        for first in range(begin, num_steps, piece):
            last = min(first + piece, num_steps)
            # Where a compiled loop need not know its length, the last one is padded: it is compiled already.
            length = last - first if backend.wants_known_lengths() else piece
            cut = [np.resize(array[first:last], (length, *array.shape[1:])) for array in rows]
            drawn, carry = drawing.advance(constants, carry, first, last, cut, sampling, num_known)
            values.append(drawn[: last - first])
            progress.add(batch_size * (last - first) / num_steps)
        return ops.concatenate(values), carry["log_prob"]

    def check_num_steps(self, num_steps, condition):
        """Raises a `ValueError` where an event cannot have so many steps. `condition` is a list of one or none."""

    def piece_length(self, num_steps, progress):
        """How many steps one compiled loop takes. A loop is cut into pieces only to show how far it is."""
        return math.ceil(num_steps / 20) if progress.is_shown else num_steps

    # Checking and saving.

    def _methods(self, method, num_batches):
        """The methods to draw by, of which the fastest is to be found."""
        arguments.one_of(method, "method", ("auto", "stepwise", "parallel", "full"))
        if method == "stepwise" and not self.steppable:
            raise ValueError(f"`method` must not be 'stepwise': {self.name} has a part without `step`.")
        if method != "auto":
            return [method]
        if not self.steppable:
            return ["parallel"]
        # On a CPU steps have been the fastest for all models. Methods agree on integers only to the last bit.
        is_worth_a_trial = num_batches >= _BATCHES_FOR_TRIAL and backend.on_accelerator()
        if is_worth_a_trial and self.support.num_levels is not None and None not in self.data_shape:
            return ["stepwise", "parallel"]
        return ["stepwise"]

    def _check_known(self, known, x):
        if known.shape != x.shape[1:] or known.dtype != bool:
            raise ValueError(
                f"`known` must be a boolean array of shape {x.shape[1:]}. "
                f"Received: known.shape={known.shape}, known.dtype={known.dtype}."
            )

    def _count_known(self, known):
        """How many steps are known, of which there must be no other."""
        steps = ops.convert_to_numpy(self.to_steps(ops.convert_to_tensor(known[None])))[0]
        steps = steps.reshape(len(steps), -1)
        whole = steps.all(axis=1)
        num_known = len(steps) if whole.all() else int(np.argmin(whole))
        if steps[num_known:].any():
            beyond = num_known + int(np.argmax(steps[num_known:].any(axis=1)))
            gap, beyond = self.name_of_step(num_known), self.name_of_step(beyond)
            raise ValueError(
                f"`known` must be what comes first in the model's ordering, with no gap: "
                f"{self.name} draws {gap} before {beyond}. Received: {beyond} known, {gap} not (or not all of it)."
            )
        return num_known


def _by_steps(x):
    """`(batch, steps, ...) -> (steps, batch, ...)`, of a NumPy array."""
    return np.ascontiguousarray(np.swapaxes(x, 0, 1))
