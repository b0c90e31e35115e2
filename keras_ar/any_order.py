"""AnyOrderModel: the conditionals of every position, given any set of known ones."""

import functools
import math

import keras
import numpy as np
from keras import ops, tree

from keras_ar import arguments, backend, batches, decoding, mapped, missing, noise, orderings, training
from keras_ar import passes as in_passes
from keras_ar.conditionals import ConditionalsModel

__all__ = ["AnyOrderModel"]

_STREAMS_OF_ORDERINGS = 2**62  # where those begin that order the positions of each event
_GOLDEN = (math.sqrt(5) - 1) / 2
_ROWS_OF_SETS = 64  # rows of a batch, from where on the sets of `evaluate` use the same numbers again


class AnyOrderModel(ConditionalsModel):
    """A model that answers for any set of known positions: any order, and any missing value.

    **A subclass writes**

    - `conditionals(x, known, condition=None, training=None) -> params`: the parameters of all positions, of shape
      `(batch, *positions, num_params)`, blind to `x` where the boolean `known`, of shape `(batch, *positions)`, is
      false. At known positions they mean nothing. `encode_known` makes of both what a network may see.

    **It may write** what computes the same one position at a time, and makes scores and draws cheap:

    - `prepare(condition=None) -> constants`: the weights laid out, and what follows from the condition;
    - `start(batch_size) -> state`: a nest of tensors whose first axis is the batch: nothing is known;
    - `absorb(constants, state, position, value) -> state`: one more position is known;
    - `absorb_all(constants, state, x, known) -> state`: all that is known at once;
    - `read(constants, state, position) -> params`: the parameters of a position, `(batch, num_params)`.

    A `position` is an integer tensor: a scalar, or of shape `(batch,)`. Without these five, each score of a position
    and each draw is a whole pass of `conditionals`.

    Training hides values: each event keeps a random set, of which every size is as likely as every other, and the rest
    is scored given it. So the loss is an unbiased estimate of the nats of an event, in the mean over all orders, and
    not the nats themselves. `evaluate` uses the same sets whenever it is called, so that epochs can be compared;
    `score_samples` is exact.

    **Missing values** are NaN in float arrays, in batches of any dataset; or `known=` says where values are, or a
    masked array of NumPy. Scores are of what is there. Training on them assumes that values are missing at random:
    that whether one is missing says nothing of it that the others do not say.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        ordering: In which order `log_prob`, `score_samples` and `sample` take the positions unless they are told
            another one; see `keras_ar.orderings`. Defaults to `None`, the natural order.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        seed: Integer, the seed of what is hidden, and of `ordering="random"`. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> class Neighbors(keras_ar.AnyOrderModel):  # the more ones are known, the more probable is a one
    ...     def __init__(self, event_shape, **kwargs):
    ...         super().__init__(event_shape, **kwargs)
    ...         self.dense = keras.layers.Dense(1)
    ...     def conditionals(self, x, known, condition=None, training=None):
    ...         count = keras.ops.sum(self.encode_known(x, known), axis=1, keepdims=True)
    ...         return keras.ops.repeat(self.dense(count), self.num_steps, axis=1)
    >>> model = Neighbors(3)
    >>> x = np.array([[1.0, np.nan, 0.0]])
    >>> model.score_samples(x).shape, model.complete(x, num_draws=5, seed=0).shape
    ((1,), (5, 1, 3))
    """

    any_order = True

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
        super().__init__(
            event_shape,
            head=head,
            ordering=ordering,
            condition_shape=condition_shape,
            num_classes=num_classes,
            seed=seed,
            **kwargs,
        )
        self.seed = noise.check_seed(seed)
        self.hiding = keras.random.SeedGenerator(self.seed % 2**31)
        self._scoring, self._drawing = backend.Loop(self), backend.Loop(self)

    # What a subclass writes.

    def conditionals(self, x, known, condition=None, training=None):
        """The parameters of all positions, given those that are known."""
        raise NotImplementedError(f"A model must have `conditionals`. {type(self).__name__} has none.")

    # What it may write: here a state is what is known, and each parameter is one of a whole pass.

    def prepare(self, condition=None):
        """What all steps share: a nest of tensors."""
        return () if condition is None else (condition,)

    def start(self, batch_size):
        """The state in which nothing is known, a nest of tensors whose first axis is the batch."""
        values = ops.zeros((batch_size, self.num_steps, *self.head.event_shape), self.support.dtype)
        known = ops.zeros((batch_size, self.num_steps), "bool")
        return {"x": self.support.replace_impossible(values, self.support.contains(values)), "known": known}

    def absorb(self, constants, state, position, value):
        """The state in which one more position is known.

        Args:
            constants: From `prepare`.
            state: From `start` or `absorb`.
            position: Integer tensor, a scalar or of shape `(batch,)`.
            value: Tensor of shape `(batch, *head.event_shape)`.
        """
        here = ops.equal(ops.arange(self.num_steps), ops.reshape(position, (-1, 1)))  # (1 or batch, positions)
        values = ops.expand_dims(ops.cast(value, state["x"].dtype), 1)
        return {
            "x": ops.where(self.over_draws(here), values, state["x"]),
            "known": ops.logical_or(state["known"], here),
        }

    def absorb_all(self, constants, state, x, known):
        """The state in which, of events, all is known that `known` says.

        Args:
            constants: From `prepare`.
            state: From `start`.
            x: Tensor of shape `(batch, *event_shape)`, of possible values at unknown places, too.
            known: Boolean tensor of shape `(batch, *positions)`.
        """
        return {"x": ops.cast(self.flat(x), state["x"].dtype), "known": ops.reshape(known, state["known"].shape)}

    def read(self, constants, state, position):
        """The parameters of a position, of shape `(batch, num_params)`."""
        batch_size = ops.shape(state["known"])[0]
        x = ops.reshape(state["x"], (batch_size, *self.event_shape))
        known = ops.reshape(state["known"], (batch_size, *self.position_shape))
        params = ops.reshape(self.conditionals(x, known, *constants), (batch_size, self.num_steps, -1))
        if len(position.shape) == 0:
            return ops.take(params, position, axis=1)
        return ops.take_along_axis(params, ops.reshape(position, (-1, 1, 1)), axis=1)[:, 0]

    # Positions.

    def encode_known(self, x, known):
        """What a network may see: `(batch, *positions, num_features + 1)`, zeros where nothing is known.

        The last feature is 1 at known positions: a value that is zero is another thing than none.

        Args:
            x: Tensor of shape `(batch, *event_shape)`, of possible values at unknown places, too.
            known: Boolean tensor of shape `(batch, *positions)`.
        """
        features = self.head.at(np.arange(self.num_steps)).encode_draws(self.flat(x))
        flags = ops.reshape(ops.cast(known, "float32"), (-1, self.num_steps, 1))
        seen = ops.concatenate([ops.cast(features, "float32") * flags, flags], axis=-1)
        return ops.reshape(seen, (-1, *self.position_shape, self.num_features + 1))

    def is_possible(self, x):
        x = ops.convert_to_tensor(x)
        return ops.logical_or(self.support.contains(x), ops.not_equal(x, x))

    # Training.

    def call(self, x, condition=None, training=None):
        """The conditionals of what is hidden of events, given the rest.

        Returns:
            A dictionary: `params`; `x`, possible everywhere; `there`, which positions have a value, and `known`, which
            of those were seen.
        """
        there = self.is_there(x)
        x = self.filled(x)
        known = ops.logical_and(there, self.kept(ops.shape(there)[0], training))
        params = self.conditionals(x, known, *([] if condition is None else [condition]), training=training)
        return {"params": params, "x": x, "there": there, "known": known}

    def kept(self, batch_size, training):
        """Random sets of positions to keep: a boolean tensor of shape `(batch, *positions)`.

        Each event keeps a position with a probability that is uniform from 0 to 1: so every size is as likely as every
        other. In a batch these probabilities lie as evenly as may be.

        Args:
            batch_size: Integer or tensor.
            training: Boolean, whether the sets are new ones each time.
        """
        row = ops.arange(batch_size)
        if training:
            uniforms = keras.random.uniform((batch_size, self.num_steps + 1), seed=self.hiding)
            # Evenly spaced from a random beginning: an event that is always first in its batch is not always alike.
            share = (ops.cast(row, "float32") / ops.cast(batch_size, "float32") + uniforms[0, 0])[:, None] % 1.0
            uniforms = uniforms[:, 1:]
        else:
            uniforms = ops.take(self._uniforms_of_evaluation, row % _ROWS_OF_SETS, axis=0)
            share = ((ops.cast(row, "float32") + 0.5) * _GOLDEN % 1.0)[:, None]
        return ops.reshape(uniforms < share, (-1, *self.position_shape))

    @functools.cached_property
    def _uniforms_of_evaluation(self):
        return noise.uniforms(self.seed, 0, _ROWS_OF_SETS, (self.num_steps,))

    def objective(self, outputs, x, training):
        """An estimate of the nats of each event: of what was hidden, weighted so that the mean is over all orders."""
        params, x, there, known = (outputs[name] for name in ("params", "x", "there", "known"))
        nats = -self.head.log_prob_of_possible(ops.cast(params, "float32"), x)
        axes = tuple(range(1, len(there.shape)))
        hidden = ops.logical_and(there, ops.logical_not(known))
        num_there, num_hidden = (ops.sum(ops.cast(which, "float32"), axis=axes) for which in (there, hidden))
        return ops.sum(ops.where(hidden, nats, 0.0), axis=axes) * (num_there + 1.0) / ops.maximum(num_hidden, 1.0)

    def to_bits_per_dim(self, nats, events):
        """Nats of each event as bits for each of its entries that are there."""
        axes = tuple(range(1, len(events.shape)))
        count = ops.maximum(ops.sum(ops.cast(ops.equal(events, events), "float32"), axis=axes), 1.0)
        return nats / (count * math.log(2.0)) - math.log2(self.support.resolution)

    def fit(self, x=None, *args, known=None, **kwargs):
        """As in every density model; values may be missing, at random: see above.

        Args:
            x: As in `DensityModel.fit`, NaN where a value is missing.
            *args: As in `DensityModel.fit`.
            known: Boolean array, where arrays of events have values: of the shape of one event or of all. Defaults to
                `None`: where they are not NaN.
            **kwargs: As in `DensityModel.fit`. Of `validation_data`, too, NaN is missing.

        Example:

        >>> model = keras_ar.models.DeepNADE(3, hidden_units=4)
        >>> model.compile("adam")
        >>> history = model.fit(np.array([[0, 1, 1], [1, 0, 0]]), known=[True, True, False], verbose=0)
        """
        return super().fit(missing.with_nan(x, known), *args, **kwargs)

    def evaluate(self, x=None, *args, known=None, **kwargs):
        """As in every density model; values may be missing. `loss` is an estimate, over the same sets at each call.

        Args:
            x: As in `fit`.
            *args: As in `DensityModel.evaluate`.
            known: As in `fit`. Defaults to `None`.
            **kwargs: As in `DensityModel.evaluate`.
        """
        return super().evaluate(missing.with_nan(x, known), *args, **kwargs)

    # Scores: a piece of a graph, and drivers.

    def log_prob(self, x, condition=None):
        x, condition, impossible = training.replace_impossible(self, *self.checked_pair(x, condition))
        there, encoded = self.is_there(x), self.encode_condition(condition)
        return self.score_in_order(self.filled(x), there, None, self.ordering, *encoded) + impossible.log_prob

    def score_in_order(self, x, scored, given, ordering, *condition, num_steps=None):
        """Log-probability of some positions given others, taken in an order: a piece of a graph, differentiable.

        Args:
            x: As in `score_steps_in_order`.
            scored: As in `score_steps_in_order`.
            given: As in `score_steps_in_order`.
            ordering: As in `score_steps_in_order`.
            *condition: As in `score_steps_in_order`.
            num_steps: As in `score_steps_in_order`. Defaults to `None`.

        Returns:
            float32 tensor of shape `(batch,)`.
        """
        steps = self.score_steps_in_order(x, scored, given, ordering, *condition, num_steps=num_steps)
        return ops.sum(steps, axis=0)

    def score_steps_in_order(self, x, scored, given, ordering, *condition, num_steps=None):
        """Log-probability of each of some positions given those before it: a piece of a graph, differentiable.

        Args:
            x: Tensor of shape `(batch, *event_shape)`, of possible values.
            scored: Boolean tensor of shape `(batch, *positions)`.
            given: The same, of which none is scored; `None` if nothing is given.
            ordering: Integer tensor of shape `(num_steps,)`.
            *condition: The condition as `call` takes it, if there is one.
            num_steps: Integer, after how many of the steps nothing is scored. Defaults to `None`: after all.

        Returns:
            float32 tensor of shape `(num_steps, batch)`, in the order; zero where a position is not scored.
        """
        constants, state = self._begin(x, given, condition)
        ordering = ops.convert_to_tensor(ordering, "int32")
        rows = (ordering, self.in_order(self.flat(x), ordering), self.in_order(self._by_position(scored), ordering))
        if backend.needs_gradients():
            return backend.scan(lambda state, row: self._score(0, state, row, constants), state, rows)[1]
        values = ops.zeros(rows[2].shape, "float32")
        last = self.num_steps if num_steps is None else num_steps
        return self._scoring(self._score, 0, last, state, rows, values, (constants,))[0]

    def _begin(self, x, known, condition):
        """What all steps share, and the state before the first."""
        constants, state = self.prepare(*condition), self.start(ops.shape(x)[0])
        return constants, state if known is None else self.absorb_all(constants, state, x, known)

    def _score(self, t, state, row, constants):
        position, value, is_scored = row
        params = ops.cast(self.read(constants, state, position), "float32")
        log_prob = ops.where(is_scored, self.head.at(position).log_prob_of_possible(params, value), 0.0)
        return self._absorbed(constants, state, position, value, is_scored), log_prob

    def _absorbed(self, constants, state, position, value, is_new):
        """The state after a position that is new to some of the events."""
        new = self.absorb(constants, state, position, value)

        def of_each(new, old):
            return ops.where(ops.reshape(is_new, (-1, *(1 for _ in new.shape[1:]))), new, old)

        return tree.map_structure(of_each, new, state)

    def _by_position(self, positions):
        return ops.reshape(positions, (-1, self.num_steps))

    def score_samples(
        self,
        x,
        condition=None,
        *,
        known=None,
        given=None,
        ordering=None,
        num_orderings=None,
        passes=None,
        seed=0,
        batch_size=None,
        verbose=0,
    ):
        """Log-likelihood of what is known of each event in nats, exactly.

        Every order of the positions makes a distribution of its own, over all events and over the values at any set
        of positions; `num_orderings` makes the mixture of several, which scores best.

        Args:
            x: Array of shape `(events, *event_shape)`, NaN where a value is missing, or masked.
            condition: As in `DensityModel.score_samples`. Defaults to `None`.
            known: Boolean array, of the shape of one event or of all: what is known. Defaults to `None`: what is not
                NaN.
            given: The same: what of it is given. The score is of the rest, given this. Defaults to `None`: nothing.
            ordering: In which order to take what is scored; what is not known is passed over. `"random"`: in one of
                `seed`, the same for all events. Defaults to `None`: in that of the model.
            num_orderings: Integer, how many random orders to mix; they are the same for all events. Defaults to
                `None`: the single one of `ordering`.
            passes: Score the model that takes several values in one pass, which are independent given those of the
                passes before: the number of passes, or the steps at which they begin, as `keras_ar.passes.schedule`
                finds them. Defaults to `None`: value by value.
            seed: Integer, the seed of the random orders; the first ones of a seed are always the same. Defaults to `0`.
            batch_size: Integer, how many events are scored at a time; `None`: 256 on a CPU, 1,024 elsewhere.
                Defaults to `None`.
            verbose: `1` for a progress bar. Defaults to `0`.

        Returns:
            float32 array of shape `(events,)`. Where nothing is scored it holds 0.

        Example:

        >>> model = keras_ar.models.DeepNADE(3, hidden_units=4)
        >>> float(model.score_samples(np.full((1, 3), np.nan))[0])
        0.0
        """
        if mapped.is_mapped(x) and known is None and given is None:
            options = {"ordering": ordering, "num_orderings": num_orderings, "passes": passes, "seed": seed}
            score = functools.partial(self.score_samples, **options, batch_size=batch_size, verbose=verbose)
            return mapped.over_pieces(score, x, *self.check_condition(condition, len(x)))
        x, *condition = self.check_batch(missing.with_nan(x, known), condition)
        there = ops.convert_to_numpy(self.is_there(x))
        given = [] if given is None else [self._checked_given(given, x, there)]
        scored = there & ~given[0] if given else there
        orders = self._orders(ordering, num_orderings, seed)
        x = ops.convert_to_numpy(self.filled(x))
        score_batch = self._score_in_steps
        if passes is not None:
            score_batch = functools.partial(self._score_in_passes, in_passes.check(passes, self.num_steps))
        batch_size = batches.fitting(batch_size, len(x), on_cpu=256)
        progress, num_conditions = batches.Progress(len(x), verbose), len(condition)

        def score(first, x, scored, *rest):
            given, condition = rest[: len(rest) - num_conditions], rest[len(rest) - num_conditions :]
            batch = (x, scored, list(given), *condition)
            found = np.stack([ops.convert_to_numpy(score_batch(order, *batch)) for order in orders])
            progress.add(batch_size)
            return np.logaddexp.reduce(found.astype("float64"), axis=0) - math.log(len(orders))

        scores = batches.run(score, [x, scored, *given, *condition], len(x), batch_size, progress).astype("float32")
        return self.check_scores(scores)

    def _score_in_steps(self, order, x, scored, given, *condition):
        is_needed = scored.reshape(len(x), -1).any(axis=0)[order]
        order = np.concatenate([order[is_needed], order[~is_needed]])  # no step is taken for what nobody scores
        score = self.compiled_function(self._score_batch)
        return score(order, max(int(is_needed.sum()), 1), *backend.share((x, scored, given, *condition)))

    def _score_batch(self, order, num_steps, x, scored, given, condition=None):
        given, encoded = given[0] if given else None, self.encode_condition(condition)
        return self.score_in_order(x, scored, given, order, *encoded, num_steps=num_steps)

    def _score_in_passes(self, starts, order, x, scored, given, *condition):
        score_pass = self.compiled_function(self.score_pass)
        scored, known = (of.reshape(len(x), -1) for of in (scored, given[0] if given else np.zeros_like(scored)))
        block = in_passes.blocks(starts, order, scored, known)
        total = np.zeros(len(x), "float32")
        for number in range(len(starts)):
            if (block == number).any():
                batch = backend.share((x, known, block == number, *condition))
                total = total + ops.convert_to_numpy(score_pass(*batch))
                known = known | (block == number)
        return total

    def score_pass(self, x, known, scored, condition=None):
        """Log-probability of some positions, each by itself given what is known: a piece of a graph, differentiable.

        Args:
            x: Tensor of shape `(batch, *event_shape)`, of possible values.
            known: Boolean tensor of shape `(batch, num_steps)`.
            scored: The same, of positions that are not known.
            condition: As in `log_prob`. Defaults to `None`.

        Returns:
            float32 tensor of shape `(batch,)`.
        """
        nats = self.head.log_prob_of_possible(self._params_given(x, known, condition), x)
        return ops.sum(ops.where(scored, self._by_position(nats), 0.0), axis=1)

    def _params_given(self, x, known, condition):
        known = ops.reshape(known, (-1, *self.position_shape))
        return ops.cast(self.conditionals(x, known, *self.encode_condition(condition)), "float32")

    def loss_by_step(self, x, condition=None, *, num_orderings=8, seed=0, batch_size=None, verbose=0):
        """How hard a value is to predict by how many others are known: the mean over events and random orders.

        Args:
            x: Array of shape `(events, *event_shape)`, of which nothing is missing.
            condition: As in `score_samples`. Defaults to `None`.
            num_orderings: Integer, over how many random orders to take the mean. Defaults to `8`.
            seed: As in `score_samples`. Defaults to `0`.
            batch_size: As in `score_samples`. Defaults to `None`.
            verbose: As in `score_samples`. Defaults to `0`.

        Returns:
            float64 array of shape `(num_steps,)`, in nats: entry `t` is of a value given `t` others. They add up to the
            mean over the orders of the nats of an event.

        Example:

        >>> model = keras_ar.models.DeepNADE(3, hidden_units=4)
        >>> model.loss_by_step(np.array([[0, 1, 1], [1, 1, 0]])).shape
        (3,)
        """
        x = arguments.array(x, "x")
        missing = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, "bool")
        if missing.any():
            place = [int(i) for i in np.argwhere(missing)[0]]
            raise ValueError(f"`x` must have no missing values. Received x{place} = nan.")
        orders = self._orders(None, num_orderings, seed)
        nats = [
            -self.map_events(
                self._scores_of_steps,
                x,
                condition,
                extra=[np.broadcast_to(order, (len(x), self.num_steps))],
                batch_size=batch_size,
                verbose=verbose,
            ).mean(axis=0, dtype="float64")
            for order in orders
        ]
        return np.mean(nats, axis=0)

    def _scores_of_steps(self, x, *rest):
        *condition, orders = rest  # the same order for each event of the batch
        encoded = self.encode_condition(*condition or (None,))
        return ops.swapaxes(self.score_steps_in_order(x, self.is_there(x), None, orders[0], *encoded), 0, 1)

    def conditionals_of(self, x, known=None, condition=None, *, batch_size=None, verbose=0):
        """The distribution of each unknown value given all that is known, in one pass.

        Args:
            x: As in `score_samples`.
            known: As in `score_samples`. Defaults to `None`.
            condition: As in `score_samples`. Defaults to `None`.
            batch_size: As in `score_samples`. Defaults to `None`.
            verbose: As in `score_samples`. Defaults to `0`.

        Returns:
            float32 array of shape `(events, *positions, num_params)`: parameters for `model.head`, whose `mean` and
            `mode` are those of each value by itself. NaN at known positions.

        Example:

        >>> model = keras_ar.models.DeepNADE(3, hidden_units=4)
        >>> logits = model.conditionals_of(np.array([[0, 1, 0]]), known=[True, False, True])
        >>> np.isnan(logits[0, :, 0]).tolist()
        [True, False, True]
        """
        x = missing.with_nan(x, known)
        return self.map_events(self._unknown_params, x, condition, batch_size=batch_size, verbose=verbose)

    def _unknown_params(self, x, condition=None):
        there = self.is_there(x)
        params = self.conditionals(self.filled(x), there, *self.encode_condition(condition))
        return ops.where(ops.expand_dims(there, -1), math.nan, ops.cast(params, "float32"))

    # Samples.

    @property
    def noise_shape(self):
        """Shape of the uniforms that `draw` makes one event of: they belong to positions, whatever the order."""
        return (self.num_steps, self.head.num_uniforms)

    def draw(self, noise, condition=None):
        x = self.start_events(ops.shape(noise)[0])
        ordering = ops.convert_to_tensor(self.ordering, "int32")
        return self.draw_in_order(x, None, noise, ordering, self.num_steps, {}, *self.encode_condition(condition))

    def start_events(self, batch_size):
        """Possible events of which nothing is known."""
        x = ops.zeros((batch_size, *self.event_shape), self.support.dtype)
        return self.filled(x)

    def draw_in_order(self, x, known, noise, ordering, num_steps, sampling, *condition):
        """Draws what is unknown of events, given what is known: a piece of a graph.

        Args:
            x: Tensor of shape `(batch, *event_shape)`, of possible values at unknown places, too.
            known: Boolean tensor of shape `(batch, *positions)`; `None` if nothing is known.
            noise: Tensor of shape `(batch, *noise_shape)`.
            ordering: Integer tensor of shape `(num_steps,)`, or `(num_steps, batch)`: an order for each event.
            num_steps: Integer, after how many of the steps nothing is unknown.
            sampling: Dictionary, as `decoding` takes it.
            *condition: The condition as `call` takes it, if there is one.

        Returns:
            The events and the log-probabilities, given what is known, of what was drawn.
        """
        constants, state = self._begin(x, known, condition)
        known = ops.zeros((ops.shape(x)[0], self.num_steps), "bool") if known is None else known
        flat = ops.cast(self.flat(x), self.support.dtype)
        values, noise, known = (self.in_order(each, ordering) for each in (flat, noise, self._by_position(known)))
        carry = {"state": state, "log_prob": ops.zeros((ops.shape(x)[0],), "float32")}
        rows = (ordering, values, noise, known)
        drawn, carry = self._drawing(self._draw, 0, num_steps, carry, rows, values, (constants, sampling))
        drawn = self.in_order(ops.swapaxes(drawn, 0, 1), ops.argsort(ordering, axis=0))  # undoes the order
        return ops.reshape(ops.swapaxes(drawn, 0, 1), (-1, *self.event_shape)), carry["log_prob"]

    def _draw(self, t, carry, row, constants, sampling):
        position, value, uniforms, is_known = row
        params = self.read(constants, carry["state"], position)
        drawn, log_prob = decoding.draw_step(self.head.at(position), params, uniforms, sampling)
        value = ops.where(self.over_draws(is_known), value, drawn)
        log_prob = carry["log_prob"] + ops.where(is_known, 0.0, log_prob)
        is_new = ops.logical_not(is_known)
        state = self._absorbed(constants, carry["state"], position, value, is_new)
        return {"state": state, "log_prob": log_prob}, value

    def sample(
        self,
        num_samples=1,
        condition=None,
        *,
        ordering=None,
        passes=None,
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

        Event 7 of a seed and an order is the same event whatever the batch size and the number of samples, on every
        backend; except where a uniform falls within rounding of the edge between two values.

        Args:
            num_samples: As in `AutoregressiveModel.sample`.
            condition: As in `AutoregressiveModel.sample`.
            ordering: In which order to draw the positions. `"random"`: each event in an order of its own. Defaults to
                `None`: that of the model.
            passes: Draw several values in one pass, as in `score_samples`. Defaults to `None`: value by value.
            temperature: As in `AutoregressiveModel.sample`.
            top_k: As in `AutoregressiveModel.sample`.
            top_p: As in `AutoregressiveModel.sample`.
            seed: As in `AutoregressiveModel.sample`.
            first_event: As in `AutoregressiveModel.sample`.
            batch_size: As in `AutoregressiveModel.sample`.
            return_log_prob: Boolean, whether to return the log-probabilities that the events were drawn with, in their
                order, as well. Defaults to `False`.
            verbose: As in `AutoregressiveModel.sample`.

        Returns:
            Array of shape `(num_samples, *event_shape)`, or the pair of it and the float32 array of log-probabilities.
        """
        num_samples, condition, seed, first_event, batch_size = self.check_sample_arguments(
            num_samples, condition, seed, first_event, batch_size
        )
        arguments.boolean(return_log_prob, "return_log_prob")
        sampling = self.check_sampling(temperature, top_k, top_p)
        x = ops.convert_to_numpy(self.start_events(num_samples))
        progress = batches.Progress(num_samples, verbose)
        draw = self._drawer(x, None, condition, ordering, passes, sampling, seed, batch_size, progress, first_event)
        return draw(0) if return_log_prob else draw(0)[0]

    def complete(
        self,
        x,
        known=None,
        condition=None,
        *,
        num_draws=None,
        ordering=None,
        passes=None,
        temperature=1.0,
        top_k=None,
        top_p=None,
        seed=None,
        batch_size=None,
        return_log_prob=False,
        verbose=0,
    ):
        """Samples what is missing of events, given what is known of them: any pattern, one for each event.

        Args:
            x: Array of shape `(events, *event_shape)`, NaN where a value is missing, or masked.
            known: Boolean array, of the shape of one event or of all: what is known. Defaults to `None`: what is not
                NaN.
            condition: As in `score_samples`. Defaults to `None`.
            num_draws: Integer, how often to complete each event, independently: to see how sure the model is. Draw 3
                of event 7 is the same whatever their numbers. Defaults to `None`: once.
            ordering: As in `sample`; what is known comes first. Defaults to `None`: that of the model.
            passes: As in `sample`; what is known counts as taken. Defaults to `None`: value by value.
            temperature: As in `sample`.
            top_k: As in `sample`.
            top_p: As in `sample`.
            seed: As in `sample`.
            batch_size: Integer, how many events are completed at a time; `None`: 64 on a CPU, 1,024 elsewhere.
                Defaults to `None`.
            return_log_prob: Boolean, whether to return the log-probabilities, given what is known, of what was drawn,
                in its order, as well. Defaults to `False`.
            verbose: `1` for a progress bar. Defaults to `0`.

        Returns:
            Array of shape `(events, *event_shape)`, with `num_draws` of shape `(num_draws, events, *event_shape)`; or
            the pair of it and the float32 array of log-probabilities.

        Example:

        >>> model = keras_ar.models.DeepNADE(4, hidden_units=8)
        >>> model.complete(np.array([[np.nan, 1, np.nan, 0]]), num_draws=2, seed=0)[:, 0, [1, 3]].tolist()
        [[1, 0], [1, 0]]
        """
        x, known = self.incomplete_events(x, known)
        condition, known = self.check_condition(condition, len(x)), known.reshape(len(x), -1)
        arguments.boolean(return_log_prob, "return_log_prob")
        count = 1 if num_draws is None else arguments.integer(num_draws, "num_draws")
        sampling, seed = self.check_sampling(temperature, top_k, top_p), noise.check_seed(seed)
        batch_size = batches.fitting(batch_size, len(x), on_cpu=64)
        progress = batches.Progress(count * len(x), verbose)
        draw = self._drawer(x, known, condition, ordering, passes, sampling, seed, batch_size, progress)
        found = [draw(j) for j in range(count)]
        events, log_prob = (np.stack(each) for each in zip(*found, strict=True))
        if num_draws is None:
            events, log_prob = events[0], log_prob[0]
        return (events, log_prob) if return_log_prob else events

    def _drawer(self, x, known, condition, ordering, passes, sampling, seed, batch_size, progress, first_event=0):
        """A function of the number of a draw: events and their log-probabilities.

        Of them is `known` what an array of shape `(events, positions)` says; nothing, if it is `None`.
        """
        is_new = known is None
        arrays = [x, *condition] if is_new else [x, known, *condition]
        is_own = isinstance(ordering, str) and ordering == "random"
        (shared,) = [None] if is_own else self._orders(ordering, None, seed)
        draw_in_order = self.compiled_function(self._draw_batch)
        if passes is not None:
            draw_in_order = functools.partial(self._draw_in_passes, in_passes.check(passes, self.num_steps))

        def draw(j):
            def draw_batch(first, x, *rest):
                known, condition = ([], rest) if is_new else ([rest[0]], rest[1:])
                is_known = known[0] if known else np.zeros((len(x), self.num_steps), "bool")
                stream = first_event + first + j * noise.STREAMS_OF_A_DRAW
                uniforms = noise.uniforms(seed, stream, batch_size, self.noise_shape)
                if is_own:
                    own = noise.uniforms(seed, _STREAMS_OF_ORDERINGS + stream, batch_size, (self.num_steps, 1))
                    # What is known comes last, where no step is taken.
                    order = np.argsort(own[..., 0] - ~is_known, axis=1, kind="stable").astype("int32").T
                    num_steps = int((~is_known).sum(axis=1).max())
                else:
                    is_needed = ~is_known.all(axis=0)[shared]
                    order = np.concatenate([shared[is_needed], shared[~is_needed]]).astype("int32")
                    num_steps = int(is_needed.sum())
                found = x, np.zeros(batch_size, "float32")
                if num_steps:
                    batch = backend.share((x, list(known), uniforms, *condition))
                    found = draw_in_order(order, num_steps, sampling, *batch)
                progress.add(batch_size)
                return found

            return batches.run(draw_batch, arrays, len(x), batch_size, progress)

        return draw

    def _draw_batch(self, ordering, num_steps, sampling, x, known, uniforms, condition=None):
        known, encoded = known[0] if known else None, self.encode_condition(condition)
        return self.draw_in_order(x, known, uniforms, ordering, num_steps, sampling, *encoded)

    def _draw_in_passes(self, starts, order, num_steps, sampling, x, known, uniforms, *condition):
        draw_pass = self.compiled_function(self.draw_pass)
        known = known[0] if known else np.zeros((len(x), self.num_steps), "bool")
        block, total = in_passes.blocks(starts, order, ~known, known), np.zeros(len(x), "float32")
        for number in range(len(starts)):
            if (block == number).any():
                x, log_prob = draw_pass(sampling, x, known, block == number, uniforms, *condition)
                total, known = total + ops.convert_to_numpy(log_prob), known | (block == number)
        return x, total

    def draw_pass(self, sampling, x, known, drawn, uniforms, condition=None):
        """Draws some positions, each by itself given what is known: a piece of a graph.

        Args:
            sampling: Dictionary, as `decoding` takes it.
            x: As in `score_pass`.
            known: As in `score_pass`.
            drawn: Boolean tensor of shape `(batch, num_steps)`, of positions that are not known.
            uniforms: Tensor of shape `(batch, *noise_shape)`.
            condition: As in `log_prob`. Defaults to `None`.

        Returns:
            The events with what was drawn, and its log-probabilities.
        """
        params = ops.reshape(self._params_given(x, known, condition), (-1, self.num_steps, self.head.num_params))
        head, flat = self.head.at(np.arange(self.num_steps)), ops.cast(self.flat(x), self.support.dtype)
        values, log_prob = decoding.draw_step(head, params, uniforms, sampling)
        x = ops.reshape(ops.where(self.over_draws(drawn), values, flat), (-1, *self.event_shape))
        return x, ops.sum(ops.where(drawn, log_prob, 0.0), axis=1)

    # Checking.

    def check_events(self, x, name="x"):
        """Raises a `ValueError` unless the array holds at least one event, of the right shape, on the support or NaN.

        What a head draws together must be there or missing together.
        """
        self.check_incomplete_events(x, name)

    def _checked_given(self, given, x, there):
        given = missing.positions(given, "given", x)
        of_draw = given.reshape(len(x), self.num_steps, -1)
        if (of_draw.any(axis=2) != of_draw.all(axis=2)).any():
            raise ValueError(f"`given` must hold all the values that {self.head} draws together, or none.")
        given = of_draw.all(axis=2).reshape(there.shape)
        if (given & ~there).any():
            event = int(np.argwhere(given & ~there)[0][0])
            raise ValueError(f"`given` must be known. Received a value of event {event} that is given and missing.")
        return given

    def _orders(self, ordering, num_orderings, seed):
        """The orders of the positions to mix, as integer arrays."""
        if num_orderings is not None:
            if ordering is not None:
                raise ValueError(
                    f"`num_orderings` must be None beside an `ordering`. Received: ordering={ordering!r}, "
                    f"num_orderings={num_orderings!r}."
                )
            count = arguments.integer(num_orderings, "num_orderings")
            return list(orderings.several(self.num_steps, count, noise.check_seed(seed)).astype("int32"))
        if ordering is None:
            return [self.ordering.astype("int32")]
        return [orderings.get(ordering, self.num_steps, noise.check_seed(seed)).astype("int32")]

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
