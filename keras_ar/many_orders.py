"""ManyOrdersModel: one network that is autoregressive in several orders, and the mixture of them all."""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend, batches, decoding, mapped, noise, orderings, training
from keras_ar.conditionals import ConditionalsModel

__all__ = ["ManyOrdersModel"]

_ENDLESS = 16  # orders that stand for all of them where it is not said how many


class ManyOrdersModel(ConditionalsModel):
    """A network whose conditionals are those of any of several orders, one pass for each, mixed in equal parts.

    An *order* is a dictionary of integer tensors. `"ordering"` is the permutation of the positions; a subclass may add
    to it in `arrangements`, as MADE does how its hidden units are connected. Each batch is trained in one order at
    random; `evaluate` takes the first one. `score_samples` is exact for the mixture, at one pass for each order.

    **A subclass writes**

    - `params_in_order(x, order, condition=None, training=None) -> params`, of shape `(batch, *positions, num_params)`:
      those of a position see what comes before it in the order, which is the same for the batch;
    - `prepare(condition=None) -> constants` and `start(batch_size) -> state`;
    - `step(constants, state, orders, t, before, previous, position) -> (params, state)`: the same one position after
      the other, each event in an order of its own: `orders` has an axis for the batch. At step `t` the parameters are
      those of `position`; `previous` is the value at `before`, the position of step `t - 1`. Both are of shape
      `(batch, ...)`, and mean nothing at `t = 0`.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        orders: Integer array of shape `(orders, positions)`: `orders[k, t]` is the position that the order `k` takes at
            step `t`; `None`: random ones. Defaults to `None`.
        num_orders: Integer, how many random orders there are; `None`: a new one for each batch, without end. Defaults
            to `None`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        seed: Integer, the seed of random orders. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Attributes:
        num_orders: Integer, how many orders there are; `None`: no end.

    Example:

    >>> model = keras_ar.models.OrderAgnosticMADE(4, hidden_units=8)
    >>> isinstance(model, keras_ar.ManyOrdersModel), model.num_orders
    (True, None)
    """

    def __init__(
        self,
        event_shape,
        *,
        orders=None,
        num_orders=None,
        head="bernoulli",
        condition_shape=None,
        num_classes=None,
        seed=0,
        **kwargs,
    ):
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        self.seed = noise.check_seed(seed)
        self.picking = keras.random.SeedGenerator(self.seed % 2**31)
        if orders is not None:
            if not len(orders):
                raise ValueError("`orders` must hold at least one permutation of the positions. Received none.")
            self._table = np.stack([orderings.get(order, self.num_steps) for order in orders])
        elif num_orders is not None:
            self._table = orderings.several(self.num_steps, arguments.integer(num_orders, "num_orders"), self.seed)
        else:
            self._table = None
        self.num_orders = None if self._table is None else len(self._table)
        self._drawing = backend.Loop(self)

    # What a subclass writes.

    def params_in_order(self, x, order, condition=None, training=None):
        """The parameters of all positions, each given what comes before it in the order."""
        raise NotImplementedError(f"A model must have `params_in_order`. {type(self).__name__} has none.")

    def prepare(self, condition=None):
        """What all steps share: a nest of tensors."""
        raise NotImplementedError(f"A model must have `prepare`. {type(self).__name__} has none.")

    def start(self, batch_size):
        """What is carried before the first step: a nest of tensors whose first axis is the batch."""
        raise NotImplementedError(f"A model must have `start`. {type(self).__name__} has none.")

    def step(self, constants, state, orders, t, before, previous, position):
        """The parameters of a position of each event, and the next state."""
        raise NotImplementedError(f"A model must have `step`. {type(self).__name__} has none.")

    def arrangements(self, numbers):
        """What an order is besides its `"ordering"`: a dictionary of integer arrays of shape `(len(numbers), ...)`.

        Args:
            numbers: Integer array, the numbers of orders.
        """
        return {}

    def random_order(self):
        """An order without a number, of tensors: those of training, where orders have no end."""
        return {"ordering": self.random_permutation(self.num_steps)}

    def random_permutation(self, size):
        """A permutation, as a tensor that is another one each time."""
        return ops.cast(ops.argsort(keras.random.uniform((size,), seed=self.picking)), "int32")

    # Orders.

    def orders(self, numbers):
        """Orders by their numbers: a dictionary of integer arrays of shape `(len(numbers), ...)`.

        Example:

        >>> model = keras_ar.models.OrderAgnosticMADE(4, hidden_units=8, num_masks=2)
        >>> model.orders([0, 1])["ordering"].shape
        (2, 4)
        """
        numbers = np.asarray(numbers)
        table = self._table
        if table is None:
            table = orderings.several(self.num_steps, int(numbers.max(initial=0)) + 1, self.seed)
        return {"ordering": table[numbers].astype("int32"), **self.arrangements(numbers)}

    @functools.cached_property
    def _default_orders(self):
        return self.orders(np.arange(self._checked_count(None)))

    def _checked_count(self, num_orderings):
        """How many orders to mix."""
        if num_orderings is None:
            return _ENDLESS if self.num_orders is None else self.num_orders
        count = arguments.integer(num_orderings, "num_orderings")
        if self.num_orders is not None and count > self.num_orders:
            raise ValueError(
                f"`num_orderings` must be at most {self.num_orders}, the number of orders that {self.name} is trained "
                f"in. Received: num_orderings={num_orderings!r}."
            )
        return count

    # Training.

    def call(self, x, condition=None, training=None):
        """The parameters of all positions: in training in a random order, else in the first one."""
        if not training:
            order = {name: ops.convert_to_tensor(array[0]) for name, array in self._default_orders.items()}
        elif self.num_orders is None:
            order = self.random_order()
        else:
            number = keras.random.randint((), 0, self.num_orders, seed=self.picking)
            order = {name: ops.take(array, number, axis=0) for name, array in self._default_orders.items()}
        return self.params_in_order(x, order, *([] if condition is None else [condition]), training=training)

    def log_prob_from(self, outputs, x):
        steps = self.head.log_prob_of_possible(ops.cast(outputs, "float32"), x)
        return ops.sum(steps, axis=tuple(range(1, len(steps.shape))))

    # Scores.

    def log_prob(self, x, condition=None):
        x, condition, impossible = training.replace_impossible(self, *self.checked_pair(x, condition))
        encoded = self.encode_condition(condition)

        def add(total, order):
            return ops.logaddexp(total, self.log_prob_from(self.params_in_order(x, order, *encoded), x)), ()

        orders = {name: ops.convert_to_tensor(array) for name, array in self._default_orders.items()}
        count = len(self._default_orders["ordering"])
        total, _ = backend.scan(add, ops.full((ops.shape(x)[0],), -math.inf), orders)
        return total - math.log(count) + impossible.log_prob

    def score_samples(self, x, condition=None, *, known=None, num_orderings=None, batch_size=None, verbose=0):
        """Log-likelihood of each event in nats, of the mixture of orders; or of what is known of it.

        In a random order what is known is taken first, and the rest is passed over. Of a model of certain orders,
        only those count that take first what is known.

        Args:
            x: Array of shape `(events, *event_shape)`, NaN where a value is missing, or masked.
            condition: As in `DensityModel.score_samples`. Defaults to `None`.
            known: Boolean array, of the shape of one event or of all: what is known. Defaults to `None`: what is not
                NaN.
            num_orderings: Integer, how many orders to mix, the first ones. Defaults to `None`: all of them, or 16 if
                they have no end.
            batch_size: Integer, how many events are scored at a time; `None`: 256 on a CPU, 1,024 elsewhere.
                Defaults to `None`.
            verbose: `1` for a progress bar. Defaults to `0`.

        Returns:
            float32 array of shape `(events,)`. Where nothing is known it holds 0.

        Example:

        >>> model = keras_ar.models.OrderAgnosticMADE(4, hidden_units=8)
        >>> float(model.score_samples(np.full((1, 4), np.nan))[0])
        0.0
        """
        if mapped.is_mapped(x) and known is None:
            options = {"num_orderings": num_orderings, "batch_size": batch_size, "verbose": verbose}
            score = functools.partial(self.score_samples, **options)
            return mapped.over_pieces(score, x, *self.check_condition(condition, len(x)))
        x, known = self.incomplete_events(x, known)
        condition, known = self.check_condition(condition, len(x)), known.reshape(len(x), -1)
        orders = self.orders(np.arange(self._checked_count(num_orderings)))
        batch_size, progress = batches.fitting(batch_size, len(x), on_cpu=256), batches.Progress(len(x), verbose)
        if known.all():
            compiled, arrays = self._score_all, [x, *condition]
            usable = np.ones((len(x), len(orders["ordering"])), "bool")
        else:
            compiled, arrays = self._score_known, [x, known, *condition]
            usable = self._usable(orders["ordering"], known)

        def score(first, *batch):
            each = ({name: array[k] for name, array in orders.items()} for k in range(len(orders["ordering"])))
            found = np.stack([ops.convert_to_numpy(compiled(order, *batch)) for order in each], axis=1)
            progress.add(batch_size)
            return found

        found = batches.run(score, arrays, len(x), batch_size, progress).astype("float64")
        scores = np.logaddexp.reduce(np.where(usable, found, -math.inf), axis=1) - np.log(usable.sum(axis=1))
        return self.check_scores(scores.astype("float32"))

    def _score_all(self, order, *batch):
        return self.compiled_function(self._score_batch)(order, *backend.share(batch))

    def _score_batch(self, order, x, condition=None):
        return self.log_prob_from(self.params_in_order(x, order, *self.encode_condition(condition)), x)

    def _score_known(self, order, x, known, *condition):
        orders = {name: np.broadcast_to(array, (len(x), *array.shape)) for name, array in order.items()}
        orders["ordering"] = _known_first(orders["ordering"], known)
        uniforms = np.full((len(x), self.num_steps, self.head.num_uniforms), 0.5, "float32")
        draw = self.compiled_function(self._draw_batch)
        num_steps, batch = max(int(known.sum(axis=1).max()), 1), backend.share((x, known, uniforms, *condition))
        return draw(backend.share(orders), num_steps, {}, *batch)[2]

    def _usable(self, table, known):
        """Which orders take first what is known of which events: `(events, orders)`."""
        if self.num_orders is None:
            return np.ones((len(known), len(table)), "bool")
        in_order = known[:, table]  # (events, orders, steps)
        usable = (in_order == np.logical_and.accumulate(in_order, axis=2)).all(axis=2)
        if not usable.any(axis=1).all():
            event = int(np.argmin(usable.any(axis=1)))
            raise ValueError(
                f"`known` must come first in one of the {self.num_orders} orders of {self.name}. Received event "
                f"{event}, of which {known[event].sum()} of {self.num_steps} positions are known: in each order one "
                f"that is not known comes before one of them."
            )
        return usable

    # Samples.

    @property
    def noise_shape(self):
        """Shape of the uniforms that `draw` makes one event of: one row for each position, and one for the order."""
        return (self.num_steps + 1, self.head.num_uniforms)

    def draw(self, noise, condition=None):
        count = len(self._default_orders["ordering"])
        numbers = ops.minimum(ops.cast(noise[:, -1, 0] * count, "int32"), count - 1)
        orders = {name: ops.take(array, numbers, axis=0) for name, array in self._default_orders.items()}
        x = self.filled(ops.zeros((ops.shape(noise)[0], *self.event_shape), self.support.dtype))
        encoded = self.encode_condition(condition)
        x, *_ = self.draw_in_orders(x, None, noise[:, :-1], orders, self.num_steps, {}, *encoded)
        return x, self.log_prob(x, condition)

    def draw_in_orders(self, x, known, noise, orders, num_steps, sampling, *condition):
        """Draws what is unknown of events, each in an order of its own: a piece of a graph.

        Args:
            x: Tensor of shape `(batch, *event_shape)`, of possible values at unknown places, too.
            known: Boolean tensor of shape `(batch, positions)`, of what comes first; `None` if nothing is known.
            noise: Tensor of shape `(batch, num_steps, num_uniforms)`: uniforms belong to positions.
            orders: Dictionary of integer tensors with an entry for each event.
            num_steps: Integer, how many steps are taken.
            sampling: Dictionary, as `decoding` takes it.
            *condition: The condition as `call` takes it, if there is one.

        Returns:
            The events; the log-probabilities of what was drawn, given what is known; and of what is known.
        """
        batch_size = ops.shape(x)[0]
        known = ops.zeros((batch_size, self.num_steps), "bool") if known is None else known
        ordering = ops.cast(ops.swapaxes(orders["ordering"], 0, 1), "int32")  # (steps, batch)
        rows = [self.in_order(each, ordering) for each in (self.flat(x), noise, known)]
        start = {
            "state": self.start(batch_size),
            "previous": ops.zeros_like(rows[0][0]),
            "before": ops.zeros((batch_size,), "int32"),
            "log_prob": ops.zeros((batch_size,), "float32"),
            "log_known": ops.zeros((batch_size,), "float32"),
        }
        constants = (self.prepare(*condition), orders, sampling)
        rows = (ordering, *rows)
        drawn, carry = self._drawing(self._turn, 0, num_steps, start, rows, rows[1], constants)
        drawn = self.in_order(ops.swapaxes(drawn, 0, 1), ops.argsort(ordering, axis=0))  # undoes the order
        x = ops.reshape(ops.swapaxes(drawn, 0, 1), (-1, *self.event_shape))
        return x, carry["log_prob"], carry["log_known"]

    def _turn(self, t, carry, row, constants, orders, sampling):
        position, value, uniforms, is_known = row
        before, previous = carry["before"], carry["previous"]
        params, state = self.step(constants, carry["state"], orders, t, before, previous, position)
        head = self.head.at(position)
        drawn, log_prob = decoding.draw_step(head, params, uniforms, sampling)
        log_known = head.log_prob_of_possible(ops.cast(params, "float32"), value)
        value = ops.where(self.over_draws(is_known), value, drawn)
        return {
            "state": state,
            "previous": value,
            "before": position,
            "log_prob": carry["log_prob"] + ops.where(is_known, 0.0, log_prob),
            "log_known": carry["log_known"] + ops.where(is_known, log_known, 0.0),
        }, value

    def sample(
        self,
        num_samples=1,
        condition=None,
        *,
        num_orderings=None,
        temperature=1.0,
        top_k=None,
        top_p=None,
        seed=None,
        first_event=0,
        batch_size=None,
        return_log_prob=False,
        verbose=0,
    ):
        """Samples events, each in one of the orders.

        Event 7 of a seed is the same event whatever the batch size and the number of samples, on every backend; except
        where a uniform falls within rounding of the edge between two values.

        Args:
            num_samples: As in `AutoregressiveModel.sample`.
            condition: As in `AutoregressiveModel.sample`.
            num_orderings: As in `score_samples`. Defaults to `None`.
            temperature: As in `AutoregressiveModel.sample`.
            top_k: As in `AutoregressiveModel.sample`.
            top_p: As in `AutoregressiveModel.sample`.
            seed: As in `AutoregressiveModel.sample`.
            first_event: As in `AutoregressiveModel.sample`.
            batch_size: As in `AutoregressiveModel.sample`.
            return_log_prob: Boolean, whether to return `score_samples` of the events, as well: a pass for each order.
                Of shaped draws, by `temperature`, `top_k` or `top_p`, it is the log-probability that an event was
                drawn with, in its order. Defaults to `False`.
            verbose: As in `AutoregressiveModel.sample`.

        Returns:
            Array of shape `(num_samples, *event_shape)`, or the pair of it and the float32 array of log-probabilities.
        """
        num_samples, condition, seed, first_event, batch_size = self.check_sample_arguments(
            num_samples, condition, seed, first_event, batch_size
        )
        sampling = self.check_sampling(temperature, top_k, top_p)
        arguments.boolean(return_log_prob, "return_log_prob")
        x = np.zeros((num_samples, *self.event_shape), self.support.dtype)
        x = ops.convert_to_numpy(self.filled(x)) if num_samples else x
        known = np.zeros((num_samples, self.num_steps), "bool")
        numbers = functools.partial(_picked, self._checked_count(num_orderings))
        progress = batches.Progress(num_samples, verbose)
        samples, log_prob = self._drawn(x, known, condition, numbers, sampling, seed, first_event, batch_size, progress)
        if not return_log_prob:
            return samples
        if num_samples and not sampling:
            log_prob = self.score_samples(samples, *condition, num_orderings=num_orderings)
        return samples, log_prob

    def complete(
        self,
        x,
        known=None,
        condition=None,
        *,
        num_draws=None,
        temperature=1.0,
        top_k=None,
        top_p=None,
        seed=None,
        batch_size=None,
        return_log_prob=False,
        verbose=0,
    ):
        """Samples what is missing of events, given what is known of them, in an order in which that comes first.

        A model of endless orders takes any pattern: of a random order, what is known comes first, then the rest. One of
        certain orders takes the first of these in which what is known comes first; if there is none, that is an error.

        Args:
            x: Array of shape `(events, *event_shape)`, NaN where a value is missing, or masked.
            known: As in `score_samples`. Defaults to `None`.
            condition: As in `score_samples`. Defaults to `None`.
            num_draws: Integer, how often to complete each event. Draw 3 of event 7 is the same whatever their numbers.
                Defaults to `None`: once.
            temperature: As in `sample`.
            top_k: As in `sample`.
            top_p: As in `sample`.
            seed: As in `sample`.
            batch_size: As in `sample`. Defaults to `None`.
            return_log_prob: Boolean, whether to return the log-probabilities, given what is known and in its order, of
                what was drawn, as well. Defaults to `False`.
            verbose: As in `sample`.

        Returns:
            Array of shape `(events, *event_shape)`, with `num_draws` of shape `(num_draws, events, *event_shape)`; or
            the pair of it and the float32 array of log-probabilities.

        Example:

        >>> model = keras_ar.models.OrderAgnosticMADE(4, hidden_units=8)
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
        if self.num_orders is None:
            numbers = functools.partial(_picked, self._checked_count(None))
        else:
            numbers = functools.partial(_first_usable, self._usable(self._default_orders["ordering"], known))
        firsts = [j * noise.STREAMS_OF_A_DRAW for j in range(count)]
        options = (condition, numbers, sampling, seed)
        found = [self._drawn(x, known, *options, first, batch_size, progress) for first in firsts]
        events, log_prob = (np.stack(each) for each in zip(*found, strict=True))
        if num_draws is None:
            events, log_prob = events[0], log_prob[0]
        return (events, log_prob) if return_log_prob else events

    def _drawn(self, x, known, condition, numbers, sampling, seed, first_event, batch_size, progress):
        """Events with what was unknown drawn, and its log-probabilities.

        `numbers` gives the orders of events, from their indices and a uniform of each.
        """
        draw = self.compiled_function(self._draw_batch)

        def draw_batch(first, events, x, known, *condition):
            uniforms = noise.uniforms(seed, first_event + first, batch_size, self.noise_shape)
            orders = self.orders(numbers(events, uniforms[:, -1, 0]))
            orders["ordering"] = _known_first(orders["ordering"], known)
            batch = backend.share((x, known, uniforms[:, :-1], *condition))
            found = draw(backend.share(orders), self.num_steps, sampling, *batch)
            progress.add(batch_size)
            return found[:2]

        return batches.run(draw_batch, [np.arange(len(x)), x, known, *condition], len(x), batch_size, progress)

    def _draw_batch(self, orders, num_steps, sampling, x, known, uniforms, condition=None):
        encoded = self.encode_condition(condition)
        return self.draw_in_orders(x, known, uniforms, orders, num_steps, sampling, *encoded)

    # Saving.

    def get_config(self):
        config = super().get_config()
        del config["ordering"]  # there are many
        return {**config, "seed": self.seed}


def _picked(count, events, uniforms):
    """The numbers of the orders of events: one of so many, by a uniform of each event."""
    return (uniforms * np.float32(count)).astype("int64").clip(max=count - 1)


def _first_usable(usable, events, uniforms):
    """The numbers of the orders of events: the first that may be used, whatever the uniforms."""
    return usable[events].argmax(axis=1)


def _known_first(ordering, known):
    """Orders, `(events, steps)`, with what is known of each event moved to the front."""
    later = ~np.take_along_axis(known, ordering.astype("int64"), axis=1)
    return np.take_along_axis(ordering, np.argsort(later, axis=1, kind="stable"), axis=1)
