"""AutoregressiveModel: every conditional `p(x_i | x_<i)`, all at once or one after the other."""

import functools
import math

import numpy as np
from keras import ops

from keras_ar import arguments, backend, batches, decoding, mapped, missing, noise, particles, samplers, training
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
        """What there is of each position in step order: `(batch, *positions, ...) -> (batch, num_steps, ...)`."""
        return self._unroll(params, params.shape[1 + len(self.position_shape) :])

    def _unroll(self, x, inner):
        x = ops.reshape(x, (-1, self.num_steps, *inner))
        return x if self.is_natural else backend.permuted(x, self.ordering, axis=1)

    def from_steps(self, x):
        """Undoes `to_steps` and `params_to_steps`."""
        if not self.is_natural:
            x = backend.permuted(x, self.inverse_ordering, axis=1)
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

    def score_samples(
        self,
        x,
        condition=None,
        *,
        known=None,
        num_particles=None,
        seed=0,
        return_effective_size=False,
        batch_size=None,
        verbose=0,
    ):
        """Log-likelihood of each event in nats, or of what is known of it.

        Where what is known comes first in the model's ordering, scores are exact. Those of any other pattern are the
        logarithm of an unbiased estimate, from particles as in `complete`; so in the mean they are too low, by little
        where the effective sample size is large.

        Args:
            x: Array of shape `(events, *event_shape)`, NaN where a value is missing, or masked.
            condition: Array of shape `(events, *condition_shape)`; or the class of each event, or one of
                all. Defaults to `None`.
            known: As in `complete`. Defaults to `None`: what is not NaN.
            num_particles: As in `complete`. Defaults to `None`.
            seed: Integer, the seed of the particles. Defaults to `0`.
            return_effective_size: As in `complete`. Defaults to `False`.
            batch_size: Integer, how many events are scored at a time; `None`: 256 on a CPU, 1,024 elsewhere.
                Defaults to `None`.
            verbose: `1` for a progress bar. Defaults to `0`.

        Returns:
            float32 array of shape `(events,)`; or the pair of it and that of the effective sample sizes.

        Example:

        >>> model = keras_ar.models.FVSBN(3)  # starts with equal odds
        >>> [round(float(p), 3) for p in model.score_samples(np.array([[np.nan, 1, 1]]), num_particles=10)]
        [-1.386]
        """
        arguments.boolean(return_effective_size, "return_effective_size")
        if num_particles is not None:
            x, known = self._incomplete(x, known, num_particles)
            condition = self.check_condition(condition, len(x))
            scores, sizes = particles.score(self, known, condition, num_particles, seed, batch_size, verbose)
            return (scores, sizes) if return_effective_size else scores
        if return_effective_size:
            raise ValueError("`return_effective_size` must be False without `num_particles`.")
        x = arguments.array(missing.with_nan(x, known), "x")
        if x.dtype.kind != "f" or not any(np.isnan(piece).any() for _, piece in mapped.pieces(x)):
            return super().score_samples(x, condition, batch_size=batch_size, verbose=verbose)
        x, (_, is_known) = self._incomplete(x, None, None)
        scores = self.score_conditionals(x, condition, batch_size=batch_size, verbose=verbose)
        steps = ops.convert_to_numpy(self.params_to_steps(ops.convert_to_tensor(scores)))
        return self.check_scores(np.where(is_known, steps, 0.0).sum(axis=1))

    # Samples.

    @property
    def noise_shape(self):
        """Shape of the uniforms that `draw` makes one event of."""
        return (self.num_steps, self.head.num_uniforms)

    def draw(self, noise, condition=None):
        """Events and their log-probabilities, from uniforms of shape `(batch, num_steps, num_uniforms)`."""
        return decoding.draw(self, self._drawing, noise, *self.encode_condition(condition))

    @functools.cached_property
    def _drawing(self):
        return backend.Loop(self)

    def sample(
        self,
        num_samples=1,
        condition=None,
        *,
        method="auto",
        temperature=1.0,
        top_k=None,
        top_p=None,
        sampler=None,
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
            sampler: A `keras_ar.samplers.Sampler`, a rule of one's own that shapes the distribution of each step
                before `temperature`, `top_k` and `top_p` do; not with `method="parallel"`. Defaults to `None`.
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
            sampler=sampler,
            seed=seed,
            first_event=first_event,
            batch_size=batch_size,
            return_log_prob=return_log_prob,
            verbose=verbose,
        )

    def complete(
        self,
        x,
        known=None,
        condition=None,
        *,
        num_draws=None,
        num_particles=None,
        method="auto",
        temperature=1.0,
        top_k=None,
        top_p=None,
        sampler=None,
        seed=None,
        batch_size=None,
        return_log_prob=False,
        return_effective_size=False,
        verbose=0,
    ):
        """Samples what is missing of events, given what is known of them.

        Where what is known comes first in the model's ordering, the upper rows of an image, the beginning of a
        sequence, draws are exact. Of any other pattern they are drawn from particles: `num_particles` draws of the
        event in which what is known stands where it must, each weighted by how probable the model finds that there.
        The more particles there are, the nearer the draws are to the model's distribution; the effective sample size
        says how many of them count.

        Args:
            x: Array of shape `(events, *event_shape)`, NaN where a value is missing, or masked.
            known: Boolean array, of the shape of one event or of all: what is known. Defaults to `None`: what is not
                NaN.
            condition: Array of shape `(events, *condition_shape)`, one for all, or classes. Defaults to `None`.
            num_draws: Integer, how often to complete each event. Defaults to `None`: once.
            num_particles: Integer, how many particles there are of each event; `None` where none are needed. Defaults
                to `None`.
            method: As in `sample`.
            temperature: As in `sample`; particles are drawn at 1 only.
            top_k: As in `sample`; not beside `num_particles`.
            top_p: As in `sample`; not beside `num_particles`.
            sampler: As in `sample`; not beside `num_particles`.
            seed: Integer from 0 to 2**64 - 1; `None` for a fresh one. Defaults to `None`.
            batch_size: As in `sample`. Defaults to `None`.
            return_log_prob: Boolean, whether to return the log-probabilities with which the missing parts were drawn,
                given the known ones, as well; not beside `num_particles`. Defaults to `False`.
            return_effective_size: Boolean, whether to return the effective sample size of the particles of each
                event, as well. Defaults to `False`.
            verbose: `1` for a progress bar. Defaults to `0`.

        Returns:
            Array of shape `(events, *event_shape)`, with `num_draws` of shape `(num_draws, events, *event_shape)`; or
            the pair of it and a float32 array, log-probabilities or effective sample sizes.

        Example:

        >>> model = keras_ar.models.MADE(event_shape=(4,), hidden_units=8)
        >>> model.complete(np.array([[1, 0, 0, 0]]), known=[True, True, False, False], seed=0)[0, :2].tolist()
        [1, 0]
        >>> model.complete(np.array([[np.nan, 0, np.nan, 1]]), num_particles=64, seed=0)[0, [1, 3]].tolist()
        [0, 1]
        """
        arguments.boolean(return_log_prob, "return_log_prob")
        arguments.boolean(return_effective_size, "return_effective_size")
        x, known = self._incomplete(x, known, num_particles)
        sampling, seed = self.check_sampling(temperature, top_k, top_p), noise.check_seed(seed)
        count = 1 if num_draws is None else arguments.integer(num_draws, "num_draws")
        options = {"method": method, "batch_size": batch_size, "verbose": verbose}
        if num_particles is None:
            if return_effective_size:
                raise ValueError("`return_effective_size` must be False without `num_particles`.")
            first = [j * noise.STREAMS_OF_A_DRAW for j in range(count)]
            options |= {"num_steps": known[0].shape[1], "known": known, "seed": seed}
            options |= {"sampling": sampling, "sampler": sampler}
            found = [
                self.sample_steps(len(x), condition, first_event=of, return_log_prob=True, **options) for of in first
            ]
            events, extra = (np.stack(each) for each in zip(*found, strict=True))
        else:
            if sampling or sampler is not None or return_log_prob:
                raise ValueError(
                    "`temperature`, `top_k`, `top_p`, `sampler` and `return_log_prob` must be left as they are beside "
                    "`num_particles`: only draws from the model as it is can be weighted."
                )
            condition = self.check_condition(condition, len(x), broadcast=True)
            events, extra = particles.complete(self, known, condition, count, num_particles, seed, **options)
        if num_draws is None:
            events, extra = events[0], extra[0] if return_log_prob else extra
        return (events, extra) if return_log_prob or return_effective_size else events

    def _incomplete(self, x, known, num_particles):
        """Events of which parts are known, checked: they, and by steps the values and which of these are known."""
        if num_particles is not None:
            arguments.integer(num_particles, "num_particles")
        x, is_known = self.incomplete_events(x, known)
        is_known = ops.convert_to_numpy(self.params_to_steps(ops.convert_to_tensor(is_known)))
        if num_particles is None:
            self._check_known_come_first(is_known)
        return x, [ops.convert_to_numpy(self.to_steps(ops.convert_to_tensor(x))), is_known]

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
        sampler=None,
        first_event=0,
        known=None,
    ):
        """The driver of `sample` and `complete`: samples of `num_steps` steps.

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
            sampler: As in `sample`. Defaults to `None`.
            first_event: As in `sample`.
            known: A list of values, `(num_samples, num_steps, ...)`, and of which of them are given, a boolean array of
                shape `(num_samples, num_steps)`: the first ones. `None` if nothing is given. Defaults to `None`.
        """
        num_samples, condition, seed, first_event, batch_size = self.check_sample_arguments(
            num_samples, condition, seed, first_event, batch_size
        )
        arguments.boolean(return_log_prob, "return_log_prob")
        self.check_num_steps(num_steps, condition)
        progress = batches.Progress(num_samples, verbose)
        known = known or []
        num_known = int(known[1].sum(axis=1).min()) if known else 0  # of all events
        draw = self.drawer(method, math.ceil(num_samples / batch_size), progress, num_known, sampler=sampler)

        def draw_batch(first, *arrays):
            given, rest = arrays[: len(known)], arrays[len(known) :]
            shape = (num_steps, self.head.num_uniforms)
            uniforms = noise.uniforms(seed, first_event + first, batch_size, shape)
            values, log_prob, _ = draw(sampling, uniforms, given, rest)
            return self.from_steps(ops.swapaxes(values, 0, 1)), log_prob

        samples = batches.run(draw_batch, [*known, *condition], num_samples, batch_size, progress)
        return samples if return_log_prob else samples[0]

    def drawer(self, method, num_batches, progress, num_known=0, last=None, sampler=None):
        """What draws a batch of events, by the method asked for or the fastest.

        Args:
            method: As in `sample`.
            num_batches: Integer, how many batches there are.
            progress: A `batches.Progress`.
            num_known: Integer, how many of the first steps are given of all events: they can be gone through in one
                pass. Defaults to `0`.
            last: Integer, one more than the last step that is needed. Defaults to `None`: all are.
            sampler: As in `sample`. Defaults to `None`.

        Returns:
            A function of `sampling`, uniforms, what is given and conditions, all of them by events: lists of arrays or
            none, what is given being values and a boolean array. It returns values, `(steps, batch, ...)`, the
            log-probabilities of those that were drawn and, unless there was a pass for what is given, of that.
        """
        methods = self._methods(method, num_batches, self.check_sampler(sampler))
        draw = decoding.Fastest([self._drawing_by(method, num_known, last, sampler) for method in methods])

        def draw_values(sampling, uniforms, known, condition):
            return draw(sampling, [_by_steps(each) for each in (uniforms, *known)], condition, progress)

        return draw_values

    def _drawing_by(self, method, num_known, last, sampler):
        drawing = decoding.Drawing(self, method, sampler)
        if method == "parallel":
            return functools.partial(self._draw_parallel, drawing)
        return functools.partial(self._draw_by_steps, drawing, num_known if drawing.has_prefill else 0, last)

    def _draw_parallel(self, drawing, sampling, rows, condition, progress):
        uniforms, *known = rows
        *found, _ = drawing.parallel(uniforms, sampling, condition, known)
        progress.add(uniforms.shape[1])
        return found

    def _draw_by_steps(self, drawing, num_known, last_needed, sampling, rows, condition, progress):
        num_steps, batch_size = rows[0].shape[:2]
        num_needed = num_steps if last_needed is None else last_needed
        constants, carry = drawing.prepare(condition), drawing.start(batch_size, num_steps)
        values = []
        if num_known:
            prompt = rows[1][:num_known]
            carry = drawing.prefill(constants, carry, prompt)
            values = [prompt]
            rows = rows if rows[2][num_known:].any() else rows[:1]
        piece = self.piece_length(num_needed, progress)
        for first in range(num_known, num_needed, piece):
            last = min(first + piece, num_needed)
            # Where a compiled loop need not know its length, the last one is padded: it is compiled already.
            length = last - first if backend.wants_known_lengths() else piece
            cut = [np.resize(array[first:last], (length, *array.shape[1:])) for array in rows]
            drawn, carry = drawing.advance(constants, carry, first, last, cut, sampling)
            values.append(drawn[: last - first])
            progress.add(batch_size * (last - first) / num_needed)
        return ops.concatenate(values), carry["log_prob"], carry["log_weight"]

    def check_num_steps(self, num_steps, condition):
        """Raises a `ValueError` where an event cannot have so many steps. `condition` is a list of one or none."""

    def piece_length(self, num_steps, progress):
        """How many steps one compiled loop takes. A loop is cut into pieces only to show how far it is."""
        return math.ceil(num_steps / 20) if progress.is_shown else num_steps

    # Checking and saving.

    def check_sampler(self, sampler):
        """A `Sampler`, or `None`, as it is."""
        if sampler is not None and not isinstance(sampler, samplers.Sampler):
            raise ValueError(f"`sampler` must be a keras_ar.samplers.Sampler. Received: sampler={sampler!r}.")
        return sampler

    def _methods(self, method, num_batches, sampler):
        """The methods to draw by, of which the fastest is to be found."""
        arguments.one_of(method, "method", ("auto", "stepwise", "parallel", "full"))
        if method == "stepwise" and not self.steppable:
            raise ValueError(f"`method` must not be 'stepwise': {self.name} has a part without `step`.")
        if method == "parallel" and sampler is not None:
            raise ValueError("`method` must not be 'parallel' beside a `sampler`, which goes by what came before.")
        if method != "auto":
            return [method]
        if sampler is not None:
            return ["stepwise" if self.steppable else "full"]
        if not self.steppable:
            return ["parallel"]
        # On a CPU steps have been the fastest for all models. Methods agree on integers only to the last bit.
        is_worth_a_trial = num_batches >= _BATCHES_FOR_TRIAL and backend.on_accelerator()
        if is_worth_a_trial and self.support.num_levels is not None and None not in self.data_shape:
            return ["stepwise", "parallel"]
        return ["stepwise"]

    def _check_known_come_first(self, is_known):
        """Raises a `ValueError` unless of each event the first steps are known: `is_known` is `(events, steps)`."""
        beyond = is_known & ~np.logical_and.accumulate(is_known, axis=1)
        if beyond.any():
            event, step = (int(i) for i in np.argwhere(beyond)[0])
            gap, beyond = self.name_of_step(int(np.argmin(is_known[event]))), self.name_of_step(step)
            raise ValueError(
                f"`known` must be what comes first in the model's ordering, with no gap, unless there are "
                f"`num_particles`: {self.name} draws {gap} before {beyond}. Received: {beyond} known, {gap} not, in "
                f"event {event}."
            )


def _by_steps(x):
    """`(batch, steps, ...) -> (steps, batch, ...)`, of a NumPy array."""
    return np.ascontiguousarray(np.swapaxes(x, 0, 1))
