"""DensityModel: a Keras model that scores events and samples events."""

import math
import numbers
import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_ar import arguments, backend, batches, cards, mapped, noise, numerics, parts, training
from keras_ar.support import Support
from keras_ar.training import Impossible

__all__ = ["DensityModel", "NegativeLogLikelihood"]

_KERAS_BATCH_SIZE = 32  # of arrays, if nobody says another
# Keras would look through these for layers and variables, and torch's exporter would sort their keys.
_UNTRACKED = {"_compiled_functions", *backend.UNTRACKED}


@keras.saving.register_keras_serializable(package="keras_ar")
class NegativeLogLikelihood(keras.losses.Loss):
    """Reduces nats per event to a loss, with Keras' sample weights and its scaling over devices.

    Keras' losses compare targets with predictions. Here the model has computed the nats already, so `y_pred` *is* the
    loss of each event, and only the reduction is left.

    Example:

    >>> loss = keras_ar.density.NegativeLogLikelihood()
    >>> float(loss(np.zeros(2, "float32"), np.array([1.0, 3.0], "float32")))
    2.0
    """

    def call(self, y_true, y_pred):
        return y_pred


# What happens when Keras calls a DensityModel: the constructor returns to `_BuiltAtOnce.__call__`, which builds the
# model, so that all weights exist. `fit` and `evaluate` then call `model(batch)` on TensorFlow and torch, and
# `model.stateless_call(weights, ..., batch)` on JAX. Both unpack a batch that is a pair into event and condition, and
# go on to `call`. The trainer hands what `call` returns to `compute_loss`. Before that, `train_step` and `test_step`
# bring each batch into one form, and replace what is impossible in it: `y` is then what it was, an `Impossible`.


class _BuiltAtOnce(type(keras.Model)):  # type: ignore[misc]
    """Builds a model once the outermost `__init__` has returned.

    So weights are never created inside a compiled function, however deep the subclassing.
    """

    def __call__(cls, *args, **kwargs):
        model = super().__call__(*args, **kwargs)
        if not model.built:
            model.build((None, *model.event_shape))
        if not model.trainable:  # Keras does not tell this to the weights of a layer that is made from its config
            for variable in model.variables:
                variable.trainable = False
        return model


class DensityModel(keras.Model, metaclass=_BuiltAtOnce):
    """Base of all models: scores events, samples events, and is trained by the likelihood.

    **A subclass sets** `support`, and **writes**

    - `call(x, condition=None, training=None)`: whatever describes the distribution of `x`;
    - `log_prob_from(outputs, x)`: nats per event, from what `call` returned;
    - `noise_shape` and `draw(noise, condition=None)`: events from uniforms.

    The rest follows: `fit`, `evaluate`, `score_samples`, `sample`, files, the command line, the conformance kit.
    A subclass never sees how events are cut into batches.

    A batch is an array of events, or the pair `(events, conditions)` where the
    model takes conditions; that holds for `fit` and `evaluate`, too.

    Args:
        event_shape: Integer or tuple, the shape of one event, such as `(28, 28, 1)`.
        condition_shape: Integer or tuple, the shape of the condition of one event, a vector or an array of
            real numbers; `None` for a model without. Defaults to `None`.
        num_classes: Integer, the number of classes, where the condition of an event is a class: an
            integer from 0 to `num_classes - 1`. `call` is given one-hot vectors. Defaults to `None`.
        **kwargs: `name` and `dtype`, as in every Keras model.

    Attributes:
        support: `keras_ar.Support`, the values that an entry of an event may have.
        exact: Boolean, whether scores are likelihoods; `False` where they are lower bounds.
        steppable: Boolean, whether the model can sample one position at a time.
        any_order: Boolean, whether the model answers for any set of known values.
        differentiable: Boolean, whether `log_prob` has a gradient, so that `fit` can train the model.

    Example:

    >>> class Coins(keras_ar.DensityModel):
    ...     support = keras_ar.Support.levels(2)
    ...     def __init__(self, event_shape, **kwargs):
    ...         super().__init__(event_shape, **kwargs)
    ...         self.logits = self.add_weight(self.event_shape, "zeros")
    ...     def call(self, x):
    ...         return keras.ops.zeros_like(keras.ops.cast(x, "float32")) + self.logits
    ...     def log_prob_from(self, logits, x):
    ...         sign = 2.0 * keras.ops.cast(x, "float32") - 1.0
    ...         return keras.ops.sum(keras.ops.log_sigmoid(sign * logits), axis=-1)
    ...     @property
    ...     def noise_shape(self):
    ...         return self.event_shape
    ...     def draw(self, noise):
    ...         x = keras.ops.cast(noise < keras.ops.sigmoid(self.logits), "int32")
    ...         return x, self.log_prob(x)
    >>> coins = Coins(3)
    >>> coins.compile("adam")
    >>> history = coins.fit(np.ones((64, 3)), epochs=2, verbose=0)
    >>> sorted(history.history)
    ['bits_per_dim', 'loss']
    >>> coins.sample(4, seed=0).shape
    (4, 3)
    """

    exact = True
    steppable = False
    any_order = False
    differentiable = True

    def __init__(self, event_shape, *, condition_shape=None, num_classes=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if condition_shape is not None and num_classes is not None:
            raise ValueError(
                f"`num_classes` must come without `condition_shape`: a condition is a class or an array. Received: "
                f"num_classes={num_classes!r}, condition_shape={condition_shape!r}."
            )
        if (condition_shape, num_classes) != (None, None) and not self.takes_condition:
            raise ValueError(
                f"`condition_shape` and `num_classes` must be None: a {type(self).__name__} takes no condition. "
                f"Received: condition_shape={condition_shape!r}, num_classes={num_classes!r}."
            )
        self.event_shape = arguments.integers(event_shape, "event_shape")
        self.num_dims = math.prod(self.event_shape)
        self.num_classes = None if num_classes is None else arguments.integer(num_classes, "num_classes")
        if self.num_classes is not None:
            condition_shape = self.num_classes  # the length of the one-hot vectors that `call` is given
        self.condition_shape = (
            None if condition_shape is None else arguments.integers(condition_shape, "condition_shape")
        )
        self._reduce_nats = NegativeLogLikelihood()
        self._bits_per_dim = keras.metrics.Mean(name="bits_per_dim" if self.exact else "bits_per_dim_at_most")
        # Keras' own mean of the loss counts padding, and takes parts of a batch for as long as each other.
        self._loss_of_events = None
        if backend.num_shares() > 1 or backend.num_replicas() > 1:
            self._loss_of_events = training.LossOfEvents()
        self._first_impossible, self._watch = training.FirstImpossible(), training.LossWatch()
        self._compiled_functions, self._compiled_for = {}, None
        self._requested_jit_compile = "auto"
        self._gradients = None  # what traces steps of training, where something does

    @property
    def takes_condition(self) -> bool:
        """Whether there may be a condition: whether `call` has an argument for it."""
        return arguments.takes(self.call, "condition")

    def add_weight(self, *args, **kwargs):
        """As in every Keras layer, but the weight stays float32 under a mixed-precision policy."""
        return super().add_weight(*args, **{"autocast": False, **kwargs})

    # What a subclass sets and writes.

    @property
    def support(self) -> Support:
        """The values that an entry of an event may have."""
        raise NotImplementedError(f"A model must set `support`. {type(self).__name__} does not.")

    def log_prob_from(self, outputs: Any, x: Any) -> Any:
        """Nats of each event, from what `call` returned for it: float32 tensor of shape `(batch,)`."""
        raise NotImplementedError(f"A model must have `log_prob_from` or `log_prob`. {type(self).__name__} has none.")

    def objective(self, outputs: Any, x: Any, training: bool) -> Any:
        """Nats of each event that `fit` lowers; the negative log-likelihood, unless a subclass says otherwise."""
        return -self.log_prob_from(outputs, x)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the uniforms that `draw` makes one event of."""
        raise NotImplementedError(f"A model that samples must have `noise_shape`. {type(self).__name__} has none.")

    def draw(self, noise: Any, condition: Any = None) -> tuple[Any, Any]:
        """Events and their log-probabilities, from uniforms: a pure function, a piece of a graph.

        Args:
            noise: Tensor of shape `(batch, *noise_shape)`, strictly between 0 and 1.
            condition: As in `log_prob`: `encode_condition` makes of it what `call` takes. Defaults to `None`.

        Returns:
            Tensors of shape `(batch, *event_shape)` and `(batch,)`.
        """
        raise NotImplementedError(f"A model that samples must have `draw`. {type(self).__name__} has none.")

    def initialize_from_data(self, x: Any, condition: Any = None) -> None:
        """Sets weights from a few hundred events, before training. Does nothing, unless a subclass says otherwise."""

    @property
    def data_shape(self) -> tuple[int | None, ...]:
        """Shape that an event of the data must have, `None` where it may have any length."""
        return self.event_shape

    @property
    def condition_data_shape(self) -> tuple[int | None, ...] | None:
        """Shape that the condition of an event must have, `None` where it may have any length."""
        return () if self.num_classes is not None else self.condition_shape

    @property
    def num_events(self) -> float:
        """How many different events there are: an integer, or infinity."""
        levels = self.support.num_levels
        return math.inf if levels is None else levels**self.num_dims

    # Pieces of a graph: tensors in, tensors out.

    def __call__(self, x, condition=None, **kwargs):
        x, *condition = self._unpack(x, condition)
        return super().__call__(x, *condition, **kwargs)

    def stateless_call(
        self, trainable_variables, non_trainable_variables, x, condition=None, *, return_losses=False, **kwargs
    ):
        """As in every Keras layer. Keras would run `call` alone: models inside would not hear of `training`."""
        values = [*trainable_variables, *non_trainable_variables]
        mapping = zip([*self.trainable_variables, *self.non_trainable_variables], values, strict=True)
        with keras.StatelessScope(state_mapping=list(mapping), collect_losses=return_losses) as scope:
            outputs = self(x, condition, **kwargs)
            losses = [self.losses] if return_losses else []
        return outputs, [scope.get_current_value(v) for v in self.non_trainable_variables], *losses

    def _unpack(self, x, condition):
        """Events, and the condition as `call` takes it if there is one, from the two forms of a batch."""
        x, condition = self.checked_pair(x, condition)
        return (x, *self.encode_condition(condition))

    def checked_pair(self, x, condition):
        """Events and condition, or `None`, from the two forms of a batch, of the right shapes."""
        if condition is None and isinstance(x, tuple | list):
            x, condition = _pair(x)
        self._check_condition_is_due(condition)
        x = backend.ensure_shape(arguments.tensor(x, "x"), (None, *self.data_shape), "x")
        self.check_event_shape(x)
        if condition is not None:
            shape = self.condition_data_shape or ()
            condition = backend.ensure_shape(arguments.tensor(condition, "condition"), (None, *shape), "condition")
            _check_shape(condition, shape, "condition")
            if not _fits(condition.shape[:1], x.shape[:1]):
                raise ValueError(
                    f"`condition` must have an entry for each of the {x.shape[0]} events. "
                    f"Received: condition.shape={tuple(condition.shape)}."
                )
        return x, condition

    def encode_condition(self, condition: Any) -> list[Any]:
        """The condition as `call` takes it, in a list that is empty if there is none.

        Classes become one-hot vectors, everything else float32.
        """
        if condition is None:
            return []
        if self.num_classes is not None:
            return [numerics.one_hot(condition, self.num_classes)]
        return [ops.cast(condition, "float32")]

    def log_prob(self, x: Any, condition: Any = None) -> Any:
        """Log-likelihood of each event in nats: float32 tensor of shape `(batch,)`, differentiable.

        That of an impossible event is `-inf`, that of an event given a class that does not exist NaN.
        """
        x, condition, impossible = training.replace_impossible(self, *self.checked_pair(x, condition))
        return self.log_prob_from(self(x, condition), x) + impossible.log_prob

    def is_possible(self, x: Any) -> Any:
        """Whether each entry of events is possible: a boolean tensor of the shape of `x`."""
        return self.support.contains(x)

    def is_possible_condition(self, condition: Any) -> Any:
        """Whether each entry of conditions is possible: a boolean tensor of the shape of `condition`."""
        if self.num_classes is not None:
            return Support("int32", self.num_classes, 0, self.num_classes - 1).contains(condition)
        return ops.isfinite(ops.cast(condition, "float32"))

    # Training.

    def __setattr__(self, name, value):
        if name in _UNTRACKED:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def compile(self, optimizer="rmsprop", loss=None, *, jit_compile="auto", **kwargs):
        """Configures training, as in every Keras model, but without a loss and metrics.

        Args:
            optimizer: Name, config or instance of a Keras optimizer. Defaults to `"rmsprop"`.
            loss: Must be `None`: the loss is the model's own, nats per event.
            jit_compile: Whether XLA compiles, in training and in the drivers alike. `"auto"` leaves training to Keras;
                the drivers use XLA where all layers support it. Defaults to `"auto"`.
            **kwargs: `run_eagerly`, `steps_per_execution`, … of `keras.Model.compile`. `metrics`, `weighted_metrics`
                and `loss_weights` must be `None`.
        """
        for name in ("metrics", "weighted_metrics", "loss_weights"):
            if kwargs.get(name) is not None:
                raise ValueError(
                    f"`{name}` must be None in `compile`: there are no targets, and `bits_per_dim` is reported "
                    f"already. Received: {name}={kwargs[name]!r}. For numbers of your own, write a callback."
                )
        if loss is not None:
            raise ValueError(
                f"`loss` must be None in `compile`: the loss of {self.name} is its negative log-likelihood. "
                f"Received: loss={loss!r}."
            )
        if not (jit_compile == "auto" if isinstance(jit_compile, str) else isinstance(jit_compile, bool)):
            raise ValueError(f"`jit_compile` must be 'auto', True or False. Received: jit_compile={jit_compile!r}.")
        arguments.boolean(kwargs.get("run_eagerly", False), "run_eagerly")
        arguments.integer(kwargs.get("steps_per_execution", 1), "steps_per_execution")
        self._requested_jit_compile = jit_compile
        self._compiled_functions.clear()
        super().compile(_optimizer(optimizer), jit_compile=jit_compile, **kwargs)

    def get_compile_config(self):
        """The arguments of `compile`. Keras would write what `"auto"` means on this backend into a file for any."""
        config = super().get_compile_config()
        return {**config, "jit_compile": self._requested_jit_compile} if config else config

    def compile_from_config(self, config):
        """Compiles the model as it was when it was saved. Keras leaves this to whoever overrides `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force=False):
        kinds = ("trainable", "non_trainable", "optimizer", "metrics")
        if self._make_and_keep("train_function", super().make_train_function, force, kinds):
            has_its_own_loss = type(self).compute_loss is not DensityModel.compute_loss
            self._gradients = None if has_its_own_loss else backend.traced_gradients(self)

    def make_test_function(self, force=False):
        self._make_and_keep(
            "test_function", super().make_test_function, force, ("trainable", "non_trainable", "metrics")
        )

    def make_predict_function(self, force=False):
        self._make_and_keep("predict_function", super().make_predict_function, force, ("trainable", "non_trainable"))

    def _make_and_keep(self, name, make, force, kinds):
        """Lets Keras make a function of its trainer, and has it keep the weights and watch the loss if it is new."""
        before = getattr(self, name)
        make(force)
        is_new = getattr(self, name) is not before
        if is_new:
            watch = None if name == "predict_function" else self._watch
            setattr(self, name, backend.watched_step(self, getattr(self, name), kinds, watch))
        return is_new

    def train_step(self, *args):  # of the data; on JAX of the variables and the data
        *variables, data = args
        x, impossible, sample_weight = batch = self._possible_batch(data)
        found = None
        if self._gradients is not None:
            found = self._gradients(self, self._loss_of_batch, (x, impossible.log_prob, sample_weight))
        if found is None:
            return super().train_step(*variables, batch)
        (loss, nats, outputs), gradients = found
        self._note_loss(loss, nats, x, impossible, sample_weight)
        self.metrics[0].update_state(loss, sample_weight=len(nats))  # Keras' mean of the loss
        self._gradients.apply(self, gradients)
        return self.compute_metrics(x, impossible, outputs, sample_weight=sample_weight)

    def test_step(self, *args):
        *variables, data = args
        with backend.needing_gradients(False):
            return super().test_step(*variables, self._possible_batch(data))

    def predict_step(self, *args):
        """Returns the outputs, and of each event whether it is possible: a `log_prob` of 0."""
        *variables, data = args
        x, impossible, _ = self._possible_batch(data)
        with backend.needing_gradients(False):
            found = super().predict_step(*variables, (x,))
        of_events = {"log_prob": impossible.log_prob}
        if impossible.is_padding is not None:
            of_events["is_padding"] = impossible.is_padding
        if variables:  # on JAX
            outputs, *variables = found
            return (outputs, of_events), *variables
        return found, of_events

    def _possible_batch(self, data):
        """A batch of any form as `(x, impossible, sample_weight)`, where `x` is events or the pair with conditions."""
        is_padding = None
        if isinstance(data, tuple) and len(data) == 4:  # of `backend.shared_data`
            data, is_padding = data[:3], data[3]
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        batch = self._batch(x, y, is_weighted=sample_weight is not None)
        pair = self.checked_pair(batch, None)
        events, condition, impossible = training.replace_impossible(self, *pair, may_look=True, is_padding=is_padding)
        return (events if condition is None else (events, condition)), impossible, sample_weight

    def _batch(self, x, y, is_weighted=False):
        """Events, or the pair of events and conditions, from what Keras calls inputs and targets."""
        batch = tuple(_pair(x)) if isinstance(x, tuple | list) else x
        if y is None:
            return batch
        events = batch[0] if isinstance(batch, tuple) else batch
        if self.condition_shape is not None and events is batch:
            return events, y
        if not is_weighted or tuple(y.shape) != tuple(events.shape):
            raise ValueError(
                f"A dataset `x` must give batches of events, or pairs (events, conditions) to a model with a "
                f"`condition_shape` or `num_classes`; with weights (events, events, weights), or ((events, "
                f"conditions), events, weights). Received a second part of shape {tuple(y.shape)}, and "
                f"condition_shape={self.condition_shape}, num_classes={self.num_classes}."
            )
        return batch

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Nats per event, and whatever regularizers add."""
        log_prob = y.log_prob if isinstance(y, Impossible) else None
        loss, nats = self._loss_and_nats(x, log_prob, y_pred, sample_weight, training)
        return self._note_loss(loss, nats, x, y, sample_weight)

    def _loss_of_batch(self, batch):
        """What is to be lowered, the nats of each event and the outputs: a function of the batch and the weights."""
        x, log_prob, sample_weight = batch
        outputs = self(x, training=True)
        return *self._loss_and_nats(x, log_prob, outputs, sample_weight, True), outputs

    def _loss_and_nats(self, x, log_prob, outputs, sample_weight, training):
        """The loss, and the nats of each event, to which those of what is impossible are added."""
        nats = self.objective(outputs, _events(x), training)
        if log_prob is not None:
            nats = nats - log_prob
        loss = self._reduce_nats(nats, nats, sample_weight=sample_weight)
        if self.losses:
            # Regularizers know nothing of devices: Keras' own way of adding them scales their sum for each.
            loss = loss + super().compute_loss(None, None, None, None, training)
        return loss, nats

    def _note_loss(self, loss, nats, x, y, sample_weight):
        """Tells the metrics of a loss, and returns what a device that has a part in it lowers."""
        if isinstance(y, Impossible):
            self._first_impossible.update_state(y)
        bits = self.to_bits_per_dim(nats, _events(x))
        # As in the loss, a weight is a factor: what it weighs is divided by the number of events.
        bits = bits if sample_weight is None else bits * ops.cast(sample_weight, "float32")
        if self._loss_of_events is None:
            self._bits_per_dim.update_state(bits)
            return loss
        is_padding = y.is_padding if isinstance(y, Impossible) else None
        count = ops.shape(nats)[0] if is_padding is None else ops.sum(ops.cast(ops.logical_not(is_padding), "float32"))
        self._bits_per_dim.update_state(ops.mean(bits), count)
        self._loss_of_events.update_state(loss * backend.num_replicas(), count)
        return loss * backend.weight_of_part(count)

    def explain_loss(self, loss: float) -> str:
        """Why the loss of the last batches is not finite, in words: what `fit` and `evaluate` raise."""
        found = self._first_impossible.found()
        if found is None:
            return (
                f"The loss of {self.name} must be finite. Received: loss={loss:g}, although all values are possible: "
                f"its weights have become too large, or NaN. Try a lower learning rate, or `clipnorm`."
            )
        batch, in_condition, index, value = found
        name, shape, expected = "x", self.data_shape, str(self.support)
        if in_condition:
            name, shape, expected = "condition", self.condition_data_shape or (), self.condition_text()
        sizes = [size for size in shape if size is not None]
        place = [index]  # in the flattened batch, if the length of an event is open
        if len(sizes) == len(shape):
            place = [int(i) for i in np.unravel_index(index, (index + 1, *sizes))]
        number = f"{value:.0f}" if value.is_integer() else value
        return f"`{name}` must hold {expected}. Received {name}{place} = {number} in batch {batch}, counted from 0."

    def to_bits_per_dim(self, nats: Any, events: Any) -> Any:
        """Nats of each event as bits for each of its entries, on the grid that the data were measured on."""
        num_dims = math.prod(events.shape[1:]) if None not in events.shape[1:] else ops.prod(ops.shape(events)[1:])
        return nats / (ops.cast(num_dims, "float32") * math.log(2.0)) - math.log2(self.support.resolution)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        *,
        validation_data=None,
        sample_weight=None,
        class_weight=None,
        **kwargs,
    ):
        """As in every Keras model, on events and conditions in place of inputs and targets.

        A value that is impossible, and a loss that is not finite, end it with an error.

        Args:
            x: Array of events, the pair `(events, conditions)`, or any dataset whose batches are such. An `np.memmap`
                is read batch by batch, in a random order if `shuffle`, and is not checked before.
            y: Conditions, if `x` is an array of events and the model takes them; else `None`. Defaults to `None`.
            batch_size: Integer. Defaults to `None`: 32 for arrays.
            epochs: Integer. Defaults to `1`.
            verbose: As in `keras.Model.fit`. Defaults to `"auto"`.
            callbacks: List of Keras callbacks. Defaults to `None`.
            validation_data: Array of events, the pair `(events, conditions)`, either of them in a tuple of
                its own, or any dataset. Defaults to `None`.
            sample_weight: Array with a weight for each event, by which its loss is multiplied. Defaults to `None`.
            class_weight: Must be `None`: give `sample_weight`.
            **kwargs: As in `keras.Model.fit`.
        """
        _check_class_weight(class_weight)
        batch_size, epochs = _count(batch_size, "batch_size"), arguments.integer(epochs, "epochs")
        _check_verbose(verbose)
        for name in {"steps_per_epoch", "validation_steps", "validation_batch_size"} & kwargs.keys():
            kwargs[name] = _count(kwargs[name], name)
        arguments.rate(kwargs.get("validation_split", 0.0), "validation_split")
        # Keras' default is to shuffle, and to warn that most datasets cannot be: here only if it was asked for.
        kwargs.setdefault("shuffle", _holds_arrays(x) or isinstance(x, keras.utils.PyDataset))
        if kwargs.get("validation_split") and backend.num_shares() > 1:
            raise ValueError(
                "`validation_split` must be 0 where devices share batches: give `validation_data`. "
                f"Received: validation_split={kwargs['validation_split']}."
            )
        is_mapped = mapped.holds_mapped(x) or (self.condition_shape is not None and mapped.is_mapped(y))
        if is_mapped and kwargs.get("validation_split"):
            raise ValueError(
                f"`validation_split` must be 0 where `x` is mapped into memory: give a slice of it to "
                f"`validation_data`. Received: validation_split={kwargs['validation_split']!r}."
            )
        x, y, sample_weight = self._trainer_data(x, y, sample_weight, "x", batch_size, kwargs["shuffle"])
        kwargs["shuffle"] = kwargs["shuffle"] and not is_mapped  # batches of mapped arrays come in a random order
        validation_batch_size = kwargs.get("validation_batch_size") or batch_size
        return super().fit(
            x,
            y,
            batch_size,
            epochs,
            verbose,
            self._with_check_of_loss(callbacks),
            validation_data=self._prepare_validation_data(validation_data, validation_batch_size),
            sample_weight=sample_weight,
            **kwargs,
        )

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """As in every Keras model: `loss` is in nats per event.

        Args:
            x: As in `fit`.
            y: As in `fit`.
            batch_size: Integer. Defaults to `None`: 32 for arrays.
            verbose: As in `keras.Model.evaluate`. Defaults to `"auto"`.
            sample_weight: Array with a weight for each event. Defaults to `None`.
            steps: Integer, how many batches to evaluate; `None` for all. Defaults to `None`.
            callbacks: List of Keras callbacks. Defaults to `None`.
            return_dict: Boolean, whether to return a dictionary in place of a list. Defaults to `False`.
            **kwargs: As in `keras.Model.evaluate`.
        """
        batch_size, steps = _count(batch_size, "batch_size"), _count(steps, "steps")
        _check_verbose(verbose)
        arguments.boolean(return_dict, "return_dict")
        x, y, sample_weight = self._trainer_data(x, y, sample_weight, "x", batch_size)
        callbacks = self._with_check_of_loss(callbacks)
        return super().evaluate(x, y, batch_size, verbose, sample_weight, steps, callbacks, return_dict, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto", steps=None, callbacks=None) -> Any:
        """What `call` returns for events, as in every Keras model.

        Args:
            x: As in `fit`.
            batch_size: Integer. Defaults to `None`: 32 for arrays.
            verbose: As in `keras.Model.predict`. Defaults to `"auto"`.
            steps: Integer, how many batches to take; `None` for all. Defaults to `None`.
            callbacks: List of Keras callbacks. Defaults to `None`.

        Returns:
            The nest of outputs, of NumPy arrays.

        Example:

        >>> model = keras_ar.models.FVSBN(3)
        >>> logits = model.predict(np.zeros((5, 3)), verbose=0)
        >>> logits.shape
        (5, 3, 1)
        """
        batch_size, steps = _count(batch_size, "batch_size"), _count(steps, "steps")
        _check_verbose(verbose)
        x, *_ = self._trainer_data(x, None, None, "x", batch_size)
        found = super().predict(x, batch_size, verbose, steps, _checked_callbacks(callbacks))
        backend.deliver_interrupts(self)
        return self._checked_outputs(found)

    def predict_on_batch(self, x: Any) -> Any:
        """What `call` returns for one batch of events, as in every Keras model.

        Args:
            x: Array of events, or the pair `(events, conditions)`.
        """
        return self._checked_outputs(super().predict_on_batch(self._prepare_batch(x, None, None)[0]))

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step of training, as in every Keras model.

        Args:
            x: Array of events, or the pair `(events, conditions)`.
            y: Conditions, if `x` is an array of events and the model takes them; else `None`. Defaults to `None`.
            sample_weight: Array with a weight for each event. Defaults to `None`.
            class_weight: Must be `None`: give `sample_weight`.
            return_dict: Boolean, whether to return a dictionary in place of a list. Defaults to `False`.

        Returns:
            The loss of the batch before the step in nats per event, and its bits per dimension.

        Example:

        >>> model = keras_ar.models.FVSBN(3)
        >>> model.compile("adam")
        >>> sorted(model.train_on_batch(np.ones((5, 3)), return_dict=True))
        ['bits_per_dim', 'loss']
        """
        _check_class_weight(class_weight)
        return self._on_batch(super().train_on_batch, x, y, sample_weight, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """The loss of one batch, as in every Keras model.

        Args:
            x: Array of events, or the pair `(events, conditions)`.
            y: As in `train_on_batch`.
            sample_weight: Array with a weight for each event. Defaults to `None`.
            return_dict: Boolean, whether to return a dictionary in place of a list. Defaults to `False`.
        """
        return self._on_batch(super().test_on_batch, x, y, sample_weight, return_dict)

    def _on_batch(self, step, x, y, sample_weight, return_dict):
        arguments.boolean(return_dict, "return_dict")
        x, y, sample_weight = self._prepare_batch(x, y, sample_weight)
        self._watch.reset()
        found = step(x, y, sample_weight, return_dict=True)
        backend.deliver_interrupts(self)
        self._watch.check(self, found)
        return found if return_dict else [found[metric.name] for metric in self.metrics if metric.name in found]

    def _checked_outputs(self, found):
        """What `call` returned, from what `predict_step` did; an error if an event was impossible."""
        outputs, of_events = found
        log_prob = ops.convert_to_numpy(of_events["log_prob"])
        if log_prob.any():
            event = int(log_prob.astype(bool).argmax())
            name, expected = ("condition", self.condition_text()) if np.isnan(log_prob[event]) else ("x", self.support)
            raise ValueError(f"`{name}` must hold {expected}. Received another value in event {event}, counted from 0.")
        if "is_padding" in of_events:
            is_event = ~ops.convert_to_numpy(of_events["is_padding"])
            outputs = tree.map_structure(lambda x: ops.convert_to_numpy(x)[is_event], outputs)
        return outputs

    def condition_text(self):
        """What conditions are, in words."""
        return "finite numbers" if self.num_classes is None else f"classes, integers from 0 to {self.num_classes - 1}"

    def _with_check_of_loss(self, callbacks):
        """The callbacks, after one that ends in an error if the loss is not finite."""
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            return [training.StopAtBadLoss(self._watch), *_checked_callbacks(callbacks)]
        if not any(isinstance(callback, training.StopAtBadLoss) for callback in callbacks.callbacks):
            callbacks.append(training.StopAtBadLoss(self._watch))
            callbacks.callbacks[-1].set_model(self)
        return callbacks

    # Drivers: NumPy in, NumPy out.

    def score_samples(
        self, x: Any, condition: Any = None, *, batch_size: int | None = None, verbose: int = 0
    ) -> np.ndarray:
        """Log-likelihood of each event in nats.

        Args:
            x: Array of shape `(events, *event_shape)`.
            condition: Array of shape `(events, *condition_shape)`; or the class of each event, or one of
                all. Defaults to `None`.
            batch_size: Integer, how many events are scored at a time; `None`: 256 on a CPU, 1,024 elsewhere.
                Defaults to `None`.
            verbose: `1` for a progress bar. Defaults to `0`.

        Returns:
            float32 array of shape `(events,)`.
        """
        return self.check_scores(self.map_events(self.log_prob, x, condition, batch_size=batch_size, verbose=verbose))

    def check_scores(self, scores: np.ndarray) -> np.ndarray:
        """Returns the scores of events; raises a `ValueError` if one is NaN."""
        if np.isnan(scores).any():
            raise ValueError(
                f"`x` must have scores. Received an event that scores NaN, x[{int(np.isnan(scores).argmax())}]: a "
                f"weight of {self.name} is NaN or infinite, or too large. Was a learning rate too high?"
            )
        return scores

    def map_events(
        self,
        function: Callable,
        x: Any,
        condition: Any = None,
        *,
        extra: Sequence[np.ndarray] = (),
        noise_shape: tuple[int, ...] | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        verbose: int = 0,
    ) -> Any:
        """A function of events, over any number of them: checked, in batches of one size, compiled once.

        Args:
            function: Takes a batch of events, then one of each: conditions if the model has them, `extra`,
                noise if there is a `noise_shape`. Returns a nest of tensors whose first axis is the batch. A method
                of the model, or a function that is kept: each new one is compiled anew.
            x: Array of shape `(events, *event_shape)`.
            condition: Array of shape `(events, *condition_shape)`, or of classes. Defaults to `None`.
            extra: More arrays with an entry for each event. Defaults to `()`.
            noise_shape: Tuple, the shape of uniforms for each event, or `None`. An event has the same ones in
                every batch, and other ones than `sample` draws by. Defaults to `None`.
            seed: Integer, the seed of the noise. Defaults to `0`.
            batch_size: As in `score_samples`. Defaults to `None`.
            verbose: `1` for a progress bar. Defaults to `0`.

        Returns:
            The nest, of NumPy arrays with an entry for each event.

        Example:

        >>> model = keras_ar.models.FVSBN(3)
        >>> model.map_events(model.conditional_log_prob, np.zeros((5, 3))).shape
        (5, 3)
        """
        if not callable(function):
            raise ValueError(f"`function` must be a function of tensors. Received: function={function!r}.")
        arrays = self.check_batch(x, condition)
        arrays = [*arrays, *_checked_extra(extra, len(arrays[0]))]
        noise_shape = None if noise_shape is None else arguments.integers(noise_shape, "noise_shape")
        batch_size = batches.fitting(batch_size, len(arrays[0]), on_cpu=256)
        compiled, progress = self.compiled_function(function), batches.Progress(len(arrays[0]), verbose)
        seed = noise.check_seed(seed)

        def score(first, *batch):
            uniforms = []
            if noise_shape is not None:
                uniforms = [noise.uniforms(seed, noise.OTHER_STREAMS + first, batch_size, noise_shape)]
            found = compiled(*backend.share([*batch, *uniforms]))
            progress.add(batch_size)
            return found

        return batches.run(score, arrays, len(arrays[0]), batch_size, progress)

    def sample(
        self,
        num_samples: int = 1,
        condition: Any = None,
        *,
        seed: int | None = None,
        first_event: int = 0,
        batch_size: int | None = None,
        return_log_prob: bool = False,
        verbose: int = 0,
    ) -> Any:
        """Samples events.

        Event 7 of a seed is the same event whatever the batch size and the
        number of samples.

        Args:
            num_samples: Integer, how many events to sample. Defaults to `1`.
            condition: Array of shape `(num_samples, *condition_shape)`, or of shape `condition_shape`: one
                for all. Classes are one integer, or `num_samples` of them. Defaults to `None`.
            seed: Integer from 0 to 2**64 - 1; `None` for a fresh one. Defaults to `None`.
            first_event: Integer, the number of the first event. Defaults to `0`.
            batch_size: Integer, how many events are sampled at a time; `None`: 64 on a CPU, 1,024 elsewhere.
                Defaults to `None`.
            return_log_prob: Boolean, whether to return the log-probabilities with which the
                events were drawn, as well. Defaults to `False`.
            verbose: `1` for a progress bar. Defaults to `0`.

        Returns:
            Array of shape `(num_samples, *event_shape)`, or the pair of it and the
            float32 array of log-probabilities.
        """
        return self.sample_by(
            self.compiled_function(self.draw),
            num_samples,
            condition,
            seed=seed,
            first_event=first_event,
            batch_size=batch_size,
            return_log_prob=return_log_prob,
            verbose=verbose,
        )

    def sample_by(
        self,
        draw,
        num_samples,
        condition,
        *,
        seed=None,
        first_event=0,
        batch_size=None,
        return_log_prob=False,
        verbose=0,
    ):
        """Samples by a function such as `draw`: what `sample` does, for a subclass that draws in other ways, too.

        Args:
            draw: Function of uniforms `(batch, *noise_shape)`, and of a condition if the model takes one, which returns
                a pair as `draw` does.
            num_samples: As in `sample`, as is all that follows.
            condition: See above.
            seed: See above. Defaults to `None`.
            first_event: See above. Defaults to `0`.
            batch_size: See above. Defaults to `None`.
            return_log_prob: See above. Defaults to `False`.
            verbose: See above. Defaults to `0`.

        Example:

        >>> model = keras_ar.models.FVSBN(3)
        >>> model.sample_by(model.compiled_function(model.draw), 5, None, seed=0).shape
        (5, 3)
        """
        num_samples, condition, seed, first_event, batch_size = self.check_sample_arguments(
            num_samples, condition, seed, first_event, batch_size
        )
        arguments.boolean(return_log_prob, "return_log_prob")
        progress = batches.Progress(num_samples, verbose)

        def draw_batch(first, *condition):
            uniforms = noise.uniforms(seed, first_event + first, batch_size, self.noise_shape)
            found = draw(*backend.share([uniforms, *condition]))
            progress.add(batch_size)
            return found

        samples = batches.run(draw_batch, condition, num_samples, batch_size, progress)
        return samples if return_log_prob else samples[0]

    def check_temperature(self, temperature: float) -> float:
        """The temperature as a float; a `ValueError` if this model cannot sample at it.

        Args:
            temperature: Float. At 1, which every model can, samples follow the scores.

        Example:

        >>> keras_ar.models.FVSBN(3).check_temperature(0.5)
        0.5
        """
        temperature = arguments.number(temperature, "temperature")
        if temperature != 1.0:
            raise ValueError(
                f"`temperature` must be 1: a {type(self).__name__} samples at no other. "
                f"Received: temperature={temperature}."
            )
        return temperature

    def random_batch(self, num_events: int, seed: int = 0) -> list[np.ndarray]:
        """Random events on the support, and random conditions if the model takes any: for trying a model out.

        Args:
            num_events: Integer, how many.
            seed: Integer. Defaults to `0`.

        Returns:
            A list of one or two arrays.

        Example:

        >>> model = keras_ar.models.FVSBN(3, num_classes=2)
        >>> [array.shape for array in model.random_batch(5)]
        [(5, 3), (5,)]
        """
        events = self.support.random((num_events, *self.event_shape), seed)
        if self.condition_shape is None:
            return [events]
        return [events, self.random_condition(num_events, np.random.default_rng([seed, 1]))]

    def random_condition(self, num_events: int, rng: np.random.Generator) -> np.ndarray:
        """Random conditions of a model that takes any."""
        if self.num_classes is not None:
            return rng.integers(0, self.num_classes, num_events).astype("int32")
        return rng.normal(size=(num_events, *self.condition_shape)).astype("float32")

    def compiled_function(self, function: Callable, key: Any = None) -> Callable:
        """A function of this model, compiled as `compile` says, and kept until `compile` or a new weight.

        Args:
            function: A pure function of tensors that reads the model's weights.
            key: What the function is kept under. Defaults to the function itself.

        Returns:
            A function of arrays or tensors.
        """
        variables = [id(variable) for variable in self.variables]
        if self._compiled_for != variables:
            self._compiled_functions.clear()
            self._compiled_for = variables
        key = function if key is None else key
        if key not in self._compiled_functions:
            mode = "eager" if self.compiled and self.run_eagerly else "xla" if self._compiles_with_xla() else "graph"
            self._compiled_functions[key] = backend.compiled(self, function, mode)
        return self._compiled_functions[key]

    def _compiles_with_xla(self):
        if self._requested_jit_compile == "auto":
            # Keras trains without XLA on TensorFlow's CPU. Drivers take it there, too: it makes a loop of steps fast.
            return backend.allows_xla() and all(part.supports_jit for part in parts.parts(self))
        return self._requested_jit_compile

    # Checking.

    def check_batch(self, x: Any, condition: Any = None, name: str = "x") -> list[np.ndarray]:
        """Events, and conditions if the model takes them, as arrays; a `ValueError` if the model cannot take them.

        Args:
            x: Array of shape `(events, *event_shape)`, on the support.
            condition: Array of shape `(events, *condition_shape)`, or of classes. Defaults to `None`.
            name: String, what an error calls the events. Defaults to `"x"`.

        Returns:
            A list of one or two arrays.

        Example:

        >>> keras_ar.models.FVSBN(3).check_batch([[0, 1, 2]])
        Traceback (most recent call last):
        ...
        ValueError: `x` must hold integers from 0 to 1, the support of Bernoulli(). Received x[0, 2] = 2.
        """
        x = arguments.array(x, name)
        self.check_events(x, name)
        return [x, *self.check_condition(condition, len(x))]

    def check_event_shape(self, x: np.ndarray, name: str = "x") -> None:
        """Raises a `ValueError` unless the array holds at least one event of the right shape."""
        _check_shape(x, self.data_shape, name)
        if x.shape[0] == 0:
            raise ValueError(f"`{name}` must hold at least one event. Received: {name}.shape={x.shape}.")

    def check_events(self, x: np.ndarray, name: str = "x") -> None:
        """Raises a `ValueError` unless the array holds at least one event, of the right shape, on the support."""
        self.check_event_shape(x, name)
        self.support.check(x, name, owner=self.name)

    def check_condition(self, condition: Any, num_events: int, broadcast: bool = False) -> list[np.ndarray]:
        """The condition of each event, as a list of one array, or of none.

        Args:
            condition: Array of shape `(num_events, *condition_shape)`, or of classes; `None`.
            num_events: Integer, how many events there are.
            broadcast: Boolean, whether one condition may serve all events. Defaults to `False`.
        """
        array = self._condition_of_each(condition, num_events, broadcast)
        return [] if array is None else [self.check_condition_values(array)]

    def _condition_of_each(self, condition, num_events, broadcast=False):
        """An array with a condition for each event, whose values are not checked; `None` if there is none."""
        self._check_condition_is_due(condition)
        if condition is None:
            return None
        array = arguments.array(condition, "condition")
        shape = self.condition_data_shape or ()
        broadcast = broadcast or self.num_classes is not None  # one class for all events is no mistake
        if broadcast and _fits(array.shape, shape):
            array = np.broadcast_to(array, (num_events, *array.shape))
        if not _fits(array.shape, (num_events, *shape)):
            expected = "one for each event" if self.num_classes is None else "a class for each event"
            hint = ""
            if self.num_classes is None and array.dtype.kind in "iu" and array.ndim <= 1:
                hint = " For classes, make the model with `num_classes` in place of `condition_shape`."
            raise ValueError(
                f"`condition` must have shape {_shape_text((num_events, *shape))}: {expected}. "
                f"Received: condition.shape={array.shape}.{hint}"
            )
        return array

    def check_condition_values(self, array: np.ndarray) -> np.ndarray:
        """Conditions of the right shape as `log_prob` takes them; a `ValueError` if one is impossible."""
        Support.reals().check(array, "condition")
        if self.num_classes is None:
            return array.astype("float32")
        wrong = (array < 0) | (array >= self.num_classes) | (array != np.floor(array))
        if wrong.any():
            raise ValueError(
                f"`condition` must hold classes, integers from 0 to {self.num_classes - 1}. "
                f"Received class {array[wrong][0]}."
            )
        return array.astype("int32")

    def check_sample_arguments(self, num_samples, condition, seed, first_event, batch_size):
        """Checks what every way of sampling takes, and returns it; the conditions are a list of one or none."""
        num_samples = arguments.integer(num_samples, "num_samples", least=0)
        first_event = arguments.integer(first_event, "first_event", least=0)
        if first_event + num_samples > noise.OTHER_STREAMS:
            raise ValueError(
                f"`first_event` must be at most {noise.OTHER_STREAMS - num_samples}. "
                f"Received: first_event={first_event}."
            )
        batch_size = batches.fitting(batch_size, num_samples, on_cpu=64)
        condition = self.check_condition(condition, num_samples, broadcast=True)
        return num_samples, condition, noise.check_seed(seed), first_event, batch_size

    def _check_condition_is_due(self, condition):
        if (condition is None) != (self.condition_shape is None):
            argument = f"condition_shape={self.condition_shape}"
            if self.num_classes is not None:
                argument = f"num_classes={self.num_classes}"
            raise ValueError(
                f"`condition` must be given if and only if the model has a `condition_shape` or `num_classes`. "
                f"Received: condition={'None' if condition is None else 'an array'}, {argument}."
            )

    def _prepare_batch(self, x, y, sample_weight):
        """As `_prepare_data` does, of a single batch."""
        if not _holds_arrays(x):
            raise ValueError(
                f"`x` must be one batch: an array of events, or the pair (events, conditions). "
                f"Received: x of type {type(x).__name__}."
            )
        if mapped.holds_mapped(x):
            x = tree.map_structure(np.array, x)
        x, y, sample_weight = self._prepare_data(x, y, sample_weight)
        count = len(x[0] if isinstance(x, tuple) else x)
        if count % backend.num_shares():
            raise ValueError(
                f"`x` must have a number of events that {backend.num_shares()} devices can divide. Received {count}."
            )
        return x, y, sample_weight

    def _trainer_data(self, x, y, sample_weight, name="x", batch_size=None, shuffle=False):
        """As `_prepare_data` does, for devices that share each batch where there are such."""
        x, y, sample_weight = self._prepare_data(x, y, sample_weight, name, batch_size, shuffle)
        if backend.num_shares() == 1:
            return x, y, sample_weight
        return backend.shared_data(x, y, sample_weight, batch_size, shuffle), None, None

    def _prepare_data(self, x, y, sample_weight, name="x", batch_size=None, shuffle=False):
        """Checks data given as arrays, and returns what to give to Keras as `x`, `y` and `sample_weight`.

        Batches of a dataset are checked as they come, and so are those of arrays that are mapped into memory.
        """
        if not _holds_arrays(x):
            if _length(x) == 0:
                raise ValueError(f"`{name}` must hold at least one batch. Received: {type(x).__name__} of length 0.")
            for part, value in (("y", y), ("sample_weight", sample_weight)):
                if value is not None:
                    raise ValueError(
                        f"`{part}` must be None beside a dataset: its batches hold all there is. "
                        f"Received: x of type {type(x).__name__}, and {part} of type {type(value).__name__}."
                    )
            return backend.checked_dataset(x, shuffle), None, None
        if isinstance(x, list) and not (len(x) == 2 and all(hasattr(array, "shape") for array in x)):
            x = arguments.array(x, name)  # a list of numbers, not a pair of arrays
        events, condition = _pair(x) if isinstance(x, tuple | list) else (x, None)
        if self.condition_shape is not None and condition is None and y is not None:
            condition, y = y, None
        if mapped.holds_mapped((events, condition)):
            return self._in_batches(events, condition, y, sample_weight, name, batch_size, shuffle)
        events, *condition = self._as_arrays(events, condition, name)
        if y is not None and not np.array_equal(arguments.array(y, "y"), arguments.array(events, name)):
            raise ValueError(
                f"`y` must be None: events are their own targets; conditions are for models with a `condition_shape` "
                f"or `num_classes`, as `x=(events, conditions)`. Received: y of shape {tuple(np.shape(y))}."
            )
        x = (events, *condition) if condition else events
        if sample_weight is None:
            return x, None, None
        # Keras drops sample weights that come without targets.
        return x, events, _checked_weights(sample_weight, len(events))

    def _in_batches(self, events, condition, y, sample_weight, name, batch_size, shuffle):
        """What `_prepare_data` returns for arrays that are mapped into memory."""
        events = arguments.array(events, name)
        self.check_event_shape(events, name)
        condition = self._condition_of_each(condition, len(events))
        if y is not None:
            raise ValueError(
                f"`y` must be None beside events that are mapped into memory. "
                f"Received: y of shape {tuple(np.shape(y))}."
            )
        weights = None if sample_weight is None else _checked_weights(sample_weight, len(events))
        dataset = mapped.Batches(events, condition, weights, batch_size or _KERAS_BATCH_SIZE, shuffle)
        return backend.checked_dataset(dataset), None, None

    def _as_arrays(self, events, condition, name):
        """Events and conditions, checked: tensors of this backend as they are, everything else in NumPy."""
        checked = self.check_batch(events, condition, name)
        given = (events, condition)
        return [x if ops.is_tensor(x) else array for x, array in zip(given[: len(checked)], checked, strict=True)]

    def _prepare_validation_data(self, data, batch_size):
        """Checks validation data given as arrays, and returns what to give to Keras.

        Keras takes a pair for inputs and targets. Here events are their own targets, so of a model with
        conditions the pair is events and conditions.
        """
        name = "validation_data"
        if data is None or not _holds_arrays(data):
            return data if data is None else self._trainer_data(data, None, None, name)[0]
        if not isinstance(data, tuple | list) or (isinstance(data, list) and not hasattr(data[0], "shape")):
            data = (data,)  # events alone
        events, y, weights = keras.utils.unpack_x_y_sample_weight(tuple(data))
        events, y, weights = self._trainer_data(events, y, weights, name, batch_size)
        return (events, *(part for part in (y, weights) if part is not None))

    # Building and saving.

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """As in every Keras model; where several processes train together, one of them may save.

        Args:
            filepath: String or path.
            overwrite: Boolean, whether a file that exists is replaced without asking. Defaults to `True`.
            zipped: As in `keras.Model.save`. Defaults to `None`.
            **kwargs: As in `keras.Model.save`.
        """
        with backend.alone():
            super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def quantize(self, *args, **kwargs):
        """Refused: samples and scores of a quantized model would not agree."""
        raise ValueError(
            f"`quantize` is not for density models: most of their layers have no quantized form, and their samples "
            f"would not follow their scores. For less memory make the model with `dtype='mixed_bfloat16'`. "
            f"Received: {self.name}.quantize."
        )

    def enable_lora(self, *args, **kwargs):
        """Refused: most layers of density models have no low-rank form."""
        raise ValueError(
            f"`enable_lora` is not for density models: most of their layers have no low-rank form. Received: "
            f"{self.name}.enable_lora."
        )

    def export(self, filepath: str | os.PathLike, format: str = "tf_saved_model") -> None:
        """Exports `log_prob` to a file that runs without Keras: events, and conditions, in; nats of each event out.

        It takes batches of any size, of events of `event_shape`. The log-likelihood of an impossible event is `-inf`.
        A model whose `log_prob` is a loop over steps, as in recurrent ones, is refused: one that runs `backend.scan` or
        tells of a loop by `backend.note_loop`.

        Args:
            filepath: String or path: of a folder for a SavedModel, of a file for ONNX.
            format: `"tf_saved_model"`, which is written on TensorFlow and JAX and has the endpoint `serve`; or
                `"onnx"`, which is written on torch. Defaults to `"tf_saved_model"`.

        Example:

        ```python
        model = keras_ar.load_model("digits.keras")  # on torch
        model.export("digits.onnx", format="onnx")

        session = onnxruntime.InferenceSession("digits.onnx")  # anywhere
        (nats,) = session.run(["log_prob"], {"x": x.astype("int32")})
        ```
        """
        backend.exporting.check_can_export(format)
        if format == "onnx" and self.compute_dtype != "float32":
            raise ValueError(
                f"`format='onnx'` is for models that compute in float32. {self.name} computes in {self.compute_dtype}: "
                f"load its weights into one that is made with `dtype='float32'`."
            )
        batch = self.random_batch(2)
        with backend.noting_loops() as loops:
            backend.once(self.log_prob, *batch, owner=self)
        if loops:
            raise ValueError(
                f"`export` is for models whose `log_prob` runs no loop over steps. That of {self.name} "
                f"({type(self).__name__}) does: keep it by `save`."
            )
        specs = [
            keras.layers.InputSpec(shape=(None, *array.shape[1:]), dtype=str(array.dtype), name=name)
            for name, array in zip(("x", "condition"), batch, strict=False)
        ]

        def log_prob(x, condition=None):
            with backend.needing_gradients(False):
                return self.log_prob(x, condition)

        backend.exporting.export(log_prob, self, specs, os.fspath(filepath), format)

    def build(self, input_shape):
        """Makes all weights, by running `call` once on one event."""
        shapes = [input_shape[1:], *([] if self.condition_shape is None else [self.condition_shape])]
        backend.make_weights(self.call, *(keras.KerasTensor((1, *shape)) for shape in shapes))

    def get_build_config(self):
        """Nothing to build: the number of the format that the file is written in."""
        return {"format": 1}

    def build_from_config(self, config):
        """Nothing is left to build: a model has its weights as soon as it is constructed."""

    def _repr_html_(self):
        """What a notebook shows: what the model is, and the arguments that it was made with."""
        return cards.html(self, cards.facts(self))

    def get_config(self):
        config = {**super().get_config(), "event_shape": self.event_shape}
        if self.num_classes is not None:
            return {**config, "num_classes": self.num_classes}
        return {**config, "condition_shape": self.condition_shape}


def _holds_arrays(x):
    """Whether data are arrays, or what may be meant for such, and not a dataset."""
    return x is None or hasattr(x, "__array__") or isinstance(x, Collection | numbers.Number)


def _length(dataset):
    """How many batches a dataset has; `None` if it does not say."""
    try:
        return len(dataset)
    except (TypeError, NotImplementedError):
        return None


def _optimizer(identifier):
    expected = "`optimizer` must be the name, the config or an instance of a Keras optimizer"
    if identifier is None:
        raise ValueError(f"{expected}. Received: optimizer=None.")
    try:
        return keras.optimizers.get(identifier)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{expected}. Received: optimizer={identifier!r}.") from error


def _count(value, name):
    """An argument of Keras' trainers that is an integer, or `None`."""
    return None if value is None else arguments.integer(value, name)


def _check_class_weight(class_weight):
    if class_weight is not None:
        raise ValueError(
            f"`class_weight` must be None: events have no targets. Give `sample_weight=` a weight for each event. "
            f"Received: class_weight={class_weight!r}."
        )


def _check_verbose(verbose):
    if not (verbose == "auto" if isinstance(verbose, str) else isinstance(verbose, numbers.Integral)):
        raise ValueError(f"`verbose` must be 'auto', 0, 1 or 2. Received: verbose={verbose!r}.")


def _checked_callbacks(callbacks):
    """Callbacks as a list, or as Keras' own `CallbackList`."""
    if callbacks is None or isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks or []
    found = tree.flatten(callbacks)
    if not all(isinstance(callback, keras.callbacks.Callback) for callback in found):
        raise ValueError(f"`callbacks` must be a list of Keras callbacks. Received: callbacks={callbacks!r}.")
    return found


def _checked_weights(sample_weight, num_events):
    weights = arguments.array(sample_weight, "sample_weight")
    if weights.shape not in ((num_events,), (num_events, 1)):
        raise ValueError(
            f"`sample_weight` must hold a number for each of the {num_events} events. "
            f"Received: sample_weight.shape={weights.shape}."
        )
    Support.reals().check(weights, "sample_weight")
    return weights


def _checked_extra(extra, num_events):
    """Arrays with an entry for each event."""
    if not isinstance(extra, tuple | list):
        raise ValueError(f"`extra` must be a list of arrays. Received: extra of type {type(extra).__name__}.")
    arrays = [arguments.array(array, "extra") for array in extra]
    if any(array.shape[:1] != (num_events,) for array in arrays):
        raise ValueError(
            f"`extra` must hold arrays with an entry for each of the {num_events} events. "
            f"Received arrays of the shapes {[array.shape for array in arrays]}."
        )
    return arrays


def _events(x):
    """The events of a batch of the trainer: of a pair with conditions, its first part."""
    return x[0] if isinstance(x, tuple | list) else x


def _pair(x):
    if len(x) != 2:
        raise ValueError(f"`x` must be events, or the pair (events, conditions). Received {len(x)} arrays.")
    return x


def _check_shape(x, shape, name):
    found = tuple(x.shape)
    if not found or not _fits(found[1:], shape):
        expected = _shape_text(("batch", *shape))
        raise ValueError(f"`{name}` must have shape {expected}. Received: {name}.shape={found}.")


def _fits(found, shape):
    """Whether a shape is the one wanted, where `None` on either side may be any length."""
    return len(found) == len(shape) and all(None in (a, b) or a == b for a, b in zip(found, shape, strict=True))


def _shape_text(shape):
    """A shape as errors name it."""
    return f"({', '.join('any length' if n is None else str(n) for n in shape)}{',' if len(shape) == 1 else ''})"
