"""DensityModel: a Keras model that is trained and judged by its exact likelihood."""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend, noise


@keras.saving.register_keras_serializable(package="keras_ar")
class NegativeLogLikelihood(keras.losses.Loss):
    """Reduces the nats of each event to a loss, with Keras' sample weights and scaling over devices."""

    def call(self, y_true, y_pred):
        return y_pred


class _WholeOnceConstructed(type(keras.Model)):
    """Makes all weights behind the outermost `__init__`: never in a compiled function, whoever subclasses whom."""

    def __call__(cls, *args, **kwargs):
        model = super().__call__(*args, **kwargs)
        if not model.built:
            condition = model.condition_shape and keras.KerasTensor((None, *model.condition_shape))
            model(keras.KerasTensor((None, *model.event_shape)), condition)
        return model


class DensityModel(keras.Model, metaclass=_WholeOnceConstructed):
    """Base of all models: an event goes in, its exact log-likelihood comes out.

    A subclass implements `call`, which computes whatever describes the
    distribution, `_log_prob`, which scores events by it, and `_sample_batch`.
    From these the base class makes training, evaluation, scoring and sampling.
    A model has its weights as soon as it is constructed.

    A batch is an array of events, or the pair `(events, conditions)` where the
    model has a `condition_shape`; that holds for `fit` and `evaluate`, too.

    Args:
        event_shape: Shape of one event: an integer, or a tuple such as `(28, 28, 1)`.
        condition_shape: Shape of the condition of one event: an integer or a tuple
            such as `(10,)`; `None` for a model without condition. In place of vectors of
            10 numbers, integers from 0 to 9 are welcome: classes.
        **kwargs: `name` and `dtype`, as in every Keras model.

    Example:

    >>> model = keras_ar.models.MADE(event_shape=4, hidden_units=8)
    >>> isinstance(model, keras_ar.DensityModel)
    True
    >>> model.compile(optimizer="adam")  # no loss: it is the negative log-likelihood
    >>> history = model.fit(np.ones((32, 4)), epochs=2, verbose=0)
    >>> sorted(history.history)
    ['bits_per_dim', 'loss']
    >>> model.score_samples(np.ones((3, 4))).shape
    (3,)
    """

    resolution = 1.0

    def __init__(self, event_shape, *, condition_shape=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.event_shape = arguments.integers(event_shape, "event_shape")
        self.condition_shape = (
            None if condition_shape is None else arguments.integers(condition_shape, "condition_shape")
        )
        self.num_dims = math.prod(self.event_shape)
        self._reduce_nats = NegativeLogLikelihood()
        self._bits_per_dim = keras.metrics.Mean(name="bits_per_dim")

    @property
    def data_shape(self):
        """Shape that an event of the data must have, `None` where it may have any length."""
        return self.event_shape

    @property
    def condition_data_shape(self):
        """Shape that the condition of an event must have, `None` where it may have any length."""
        return self.condition_shape

    # Pieces of a graph: tensors in, tensors out.

    def __call__(self, x, condition=None, **kwargs):
        x, *condition = self._unpack(x, condition)
        return super().__call__(x, *condition, **kwargs)

    def stateless_call(self, trainable_variables, non_trainable_variables, x, condition=None, **kwargs):
        # The trainer on JAX comes in here, past `__call__`.
        x, *condition = self._unpack(x, condition)
        return super().stateless_call(trainable_variables, non_trainable_variables, x, *condition, **kwargs)

    def _unpack(self, x, condition):
        """Events, and the condition if there is one, from the two forms that a batch may have."""
        if condition is None and isinstance(x, tuple | list):
            x, condition = _pair(x)
        self._check_condition_is_due(condition)
        _check_shape(x, self.data_shape, "x")
        if condition is None:
            return (x,)
        if self._are_classes(condition):
            condition = ops.one_hot(ops.cast(condition, "int32"), *self.condition_shape)
        _check_shape(condition, self.condition_data_shape, "condition")
        return x, condition

    def _are_classes(self, condition):
        """Whether a condition holds an integer for each event, in place of a vector."""
        is_integer = "int" in str(condition.dtype)
        return is_integer and len(condition.shape) == 1 and len(self.condition_shape) == 1

    def log_prob(self, x, condition=None):
        """Log-likelihood of each event in nats: float32 tensor of shape `(batch,)`, differentiable."""
        return self._log_prob(self(x, condition), x)

    def _log_prob(self, outputs, x):
        """Scores events by what `call` computed for them."""
        raise NotImplementedError

    # Training.

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Nats per event, and whatever regularizers add."""
        events = x[0] if isinstance(x, tuple | list) else x
        nats = -self._log_prob(y_pred, events)
        self._bits_per_dim.update_state(self._to_bits_per_dim(nats, events), sample_weight)
        loss = self._reduce_nats(nats, nats, sample_weight=sample_weight)
        for extra in self.losses:
            loss = loss + self._aggregate_additional_loss(extra)
        return loss

    def fit(self, x=None, y=None, *args, sample_weight=None, validation_data=None, **kwargs):
        """As in every Keras model; `x` is an array of events, a pair with conditions, or any dataset of such."""
        x, y = self._prepare_data(x, y, sample_weight)
        if isinstance(validation_data, tuple | list) and validation_data:
            self._prepare_data(validation_data[0], None, None, "validation_data")
        return super().fit(x, y, *args, sample_weight=sample_weight, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        """As in every Keras model: `loss` is in nats per event."""
        x, y = self._prepare_data(x, y, sample_weight)
        return super().evaluate(x, y, *args, sample_weight=sample_weight, **kwargs)

    def _to_bits_per_dim(self, nats, events):
        num_dims = ops.cast(ops.prod(ops.shape(events)[1:]), "float32")
        return nats / (num_dims * math.log(2.0)) - math.log2(self.resolution)

    # Drivers: NumPy in, NumPy out.

    def score_samples(self, x, condition=None, *, batch_size=256, verbose=0):
        """Log-likelihood of each event in nats.

        Args:
            x: Array of shape `(events, *event_shape)`.
            condition: Array of shape `(events, *condition_shape)`.
            batch_size: How many events are scored at a time; the last batch is
                padded, so that no number of events compiles anything anew.
            verbose: 1 for a progress bar.

        Returns:
            float32 array of shape `(events,)`.
        """
        return self._score("log_prob", self.log_prob, x, condition, batch_size, verbose)

    def _score(self, name, function, x, condition, batch_size, verbose):
        """`function` of events and conditions, batch by batch, as one NumPy array; compiled once, under `name`."""
        arguments.integer(batch_size, "batch_size")
        x = np.asarray(x)
        self._check_events(x)
        arrays = [x, *self._check_condition(condition, len(x))]
        if name not in self.compiled_functions:
            self.compiled_functions[name] = backend.compiled(self, function)
        function = self.compiled_functions[name]
        progress = Progress(len(x), verbose)
        scores = []
        for first in range(0, len(x), batch_size):
            batch = [array[first : first + batch_size] for array in arrays]
            score = ops.convert_to_numpy(function(*[_pad(array, batch_size) for array in batch]))
            scores.append(score[: len(batch[0])])
            progress.add(len(batch[0]))
        return np.concatenate(scores)

    def sample(
        self, num_samples=1, condition=None, *, seed=None, batch_size=64, return_log_prob=False, verbose=0, **options
    ):
        """Draws events.

        Event 7 of a seed is the same event whatever the batch size and the
        number of samples.

        Args:
            num_samples: How many events to draw.
            condition: Array of shape `(num_samples, *condition_shape)`, or of shape
                `condition_shape`: one for all. Classes are integers: one, or `num_samples`.
            seed: Integer from 0 to 2**64 - 1; `None` for a fresh one.
            batch_size: How many events are drawn at a time; the last batch is
                padded, so that no number of samples compiles anything anew.
            return_log_prob: Whether to return the log-probabilities with which the
                events were drawn, as well.
            verbose: 1 for a progress bar.
            **options: What the kind of model offers besides.

        Returns:
            Array of shape `(num_samples, *event_shape)`, or the pair of it and the
            float32 array of log-probabilities.
        """
        arguments.integer(num_samples, "num_samples", least=0)
        arguments.integer(batch_size, "batch_size")
        seed = noise.check_seed(seed)
        condition = self._check_condition(condition, num_samples, broadcast=True)
        draws = self._draw(num_samples, condition, (), seed, batch_size, verbose, **options)
        return draws if return_log_prob else draws[0]

    def _draw(self, num_samples, condition, given, seed, batch_size, verbose, **options):
        """Draws batch by batch: arrays of events and of log-probabilities.

        `condition` and `given` are lists of arrays with one entry for each event; they reach
        `_sample_batch` cut into batches.
        """
        progress = Progress(num_samples, verbose)
        events, log_probs = [], []
        # Nothing asked for still tells shape and dtype: a batch is drawn and cut to nothing.
        for first in range(0, max(num_samples, 1), batch_size):
            size = min(batch_size, num_samples - first)
            batch, *batches = (
                [_pad(array[first : first + batch_size], batch_size) for array in arrays]
                for arrays in (condition, given)
            )
            event, log_prob = self._sample_batch(seed, first, batch_size, batch, *batches, progress, **options)
            events.append(event[:size])
            log_probs.append(log_prob[:size])
        return np.concatenate(events), np.concatenate(log_probs)

    def _sample_batch(self, seed, first_event, batch_size, condition, given, progress, **options):
        """Draws the events `first_event, ...` of a seed: NumPy arrays of events and of log-probabilities."""
        raise NotImplementedError

    # Building, checking, saving.

    def build_from_config(self, config):
        """Nothing is left to build: a model has its weights as soon as it is constructed."""

    @functools.cached_property
    def compiled_functions(self):
        """What this model has compiled so far, by name. A plain dict that Keras does not track."""
        return {}

    def get_config(self):
        config = super().get_config()
        return {**config, "event_shape": self.event_shape, "condition_shape": self.condition_shape}

    def _prepare_data(self, x, y, sample_weight, name="x"):
        """Checks data given as arrays, and returns what to give to Keras as `x` and `y`.

        Batches of a dataset are checked for their shape as they come.
        """
        if self.compiled and self.loss is not None:
            raise ValueError(
                f"`loss` must be None in `compile`: the loss of {self.name} is its negative log-likelihood. "
                f"Received: loss={self.loss!r}."
            )
        if isinstance(x, list) and not (len(x) == 2 and all(hasattr(array, "shape") for array in x)):
            x = np.asarray(x)  # a list of numbers, not a pair of arrays
        events, condition = _pair(x) if isinstance(x, tuple | list) else (x, None)
        if not (isinstance(events, np.ndarray) or ops.is_tensor(events)):
            return x, y
        self._check_events(ops.convert_to_numpy(events), name)
        self._check_condition(condition, len(events))
        if y is None:
            # Keras drops sample weights that come without targets.
            return x, None if sample_weight is None else events
        if tuple(np.shape(y)) != tuple(events.shape):
            raise ValueError(
                f"`y` must be None: events are their own targets; conditions are given as `x=(events, conditions)`. "
                f"Received: y of shape {tuple(np.shape(y))}."
            )
        return x, y

    def _check_shape_of_events(self, x, name="x"):
        _check_shape(x, self.data_shape, name)

    def _check_events(self, x, name="x"):
        self._check_shape_of_events(x, name)
        if len(x) == 0:
            raise ValueError(f"`{name}` must hold at least one event. Received: {name}.shape={x.shape}.")

    def _check_condition_is_due(self, condition):
        if (condition is None) != (self.condition_shape is None):
            raise ValueError(
                f"`condition` must be given if and only if the model has a `condition_shape`. Received: "
                f"condition={'None' if condition is None else 'an array'}, condition_shape={self.condition_shape}."
            )

    def _check_condition(self, condition, num_events, broadcast=False):
        """The condition as a list of one array, or of none."""
        self._check_condition_is_due(condition)
        if condition is None:
            return []
        array = np.asarray(ops.convert_to_numpy(condition))
        if broadcast and array.ndim == 0:
            array = np.broadcast_to(array, num_events)  # one class for all
        if self._are_classes(array):
            array = self._one_hot(array, num_events)
        array = array.astype("float32")
        if broadcast and _fits(array.shape, self.condition_data_shape):
            array = np.broadcast_to(array, (num_events, *array.shape))
        if not _fits(array.shape, (num_events, *self.condition_data_shape)):
            raise ValueError(
                f"`condition` must have shape {_told((num_events, *self.condition_data_shape))}: one for each event. "
                f"Received: condition.shape={array.shape}."
            )
        if not np.isfinite(array).all():
            raise ValueError("`condition` must be finite. Received NaN or infinite entries.")
        return [array]

    def _one_hot(self, classes, num_events):
        """Classes as the vectors that they stand for."""
        (num_classes,) = self.condition_shape
        if classes.shape != (num_events,):
            raise ValueError(
                f"`condition` must hold one class for each of {num_events} events, or vectors of {num_classes} "
                f"real numbers. Received integers: condition.shape={classes.shape}."
            )
        if num_events and not (classes.min() >= 0 and classes.max() < num_classes):
            wrong = classes[(classes < 0) | (classes >= num_classes)][0]
            raise ValueError(
                f"`condition` must hold classes from 0 to {num_classes - 1}, or vectors of {num_classes} numbers. "
                f"Received class {wrong}."
            )
        return np.eye(num_classes, dtype="float32")[classes]


class Progress:
    """A bar over the events of a driver; silent unless `verbose`."""

    def __init__(self, num_events, verbose):
        self._bar = keras.utils.Progbar(num_events, unit_name="event") if verbose else None
        self.shown = bool(verbose)
        self._done = 0.0
        self._num_events = num_events

    def add(self, events):
        """Moves on by so many events, or parts of one."""
        self._done = min(self._done + events, self._num_events)
        if self._bar:
            self._bar.update(int(self._done + 1e-6))


def _pair(x):
    if len(x) != 2:
        raise ValueError(f"A batch must be events, or the pair (events, conditions). Received {len(x)} arrays.")
    return x


def _check_shape(x, shape, name):
    found = tuple(x.shape)
    if not _fits(found[1:], shape) or not found:
        raise ValueError(f"`{name}` must have shape {_told(('batch', *shape))}. Received: {name}.shape={found}.")


def _fits(found, shape):
    """Whether a shape is the one wanted, where `None` on either side may be any length."""
    return len(found) == len(shape) and all(None in (a, b) or a == b for a, b in zip(found, shape, strict=True))


def _told(shape):
    """A shape as errors name it."""
    return f"({', '.join('any length' if n is None else str(n) for n in shape)}{',' if len(shape) == 1 else ''})"


def _pad(array, length):
    missing = length - len(array)
    if missing == 0:
        return array
    filler = array[-1:] if len(array) else np.zeros((1, *array.shape[1:]), array.dtype)
    return np.concatenate([array, np.repeat(filler, missing, axis=0)])
