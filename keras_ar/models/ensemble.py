"""Ensemble: several density models as one, the mixture of them all."""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend, batches, noise, registry
from keras_ar.density import DensityModel

__all__ = ["Ensemble"]


@keras.saving.register_keras_serializable(package="keras_ar")
class Ensemble(DensityModel):
    """A mixture of density models: one of them is picked by its weight, and draws the whole event.

    So it is the probabilities of whole events that are averaged:

        p(x) = w_1 p_1(x) + … + w_K p_K(x)

    Members may be of any kind, as long as their events are the same: a MADE in several orders, one model from several
    seeds or from bootstrap samples of the data, draws from a posterior distribution, flows, other ensembles. The
    log-likelihood of an event is at least the weighted mean of what the members say.

    Members that are trained already need no more training with equal weights. `fit` trains all that is trainable, the
    members and the learned weights, by the likelihood of the mixture; each member then fits its own part of the data.
    To learn the weights alone, set `member.trainable = False` of each member. Members that begin with the same weights,
    as those of an `FVSBN` are, get the same gradients and stay alike: `fit` them apart first.

    A score costs a score by each member. `sample` lets each event be drawn by its own member only: many events cost one
    draw each, and `return_log_prob=True` adds a score. `draw`, the piece of a graph, draws each event by all members
    and keeps one, which costs a draw by each member and a score.

    A member takes part with what its `log_prob` is: an `AnyOrderModel` with its own order, at a pass for each position,
    and a `ManyOrdersModel` with the mixture of its orders. No value of an event may be missing.

    Args:
        members: List of `DensityModel`s, or their configs, with one `event_shape`, one `support`, and one
            `condition_shape` or `num_classes`. Events of sequences have the length of `event_shape`.
        weights: `"equal"`, or `"learned"`: trained with the members, from equal ones on. Defaults to `"equal"`.
        **kwargs: `name` and `dtype`.

    Attributes:
        exact: Boolean, whether scores are likelihoods: if those of all members are. The mixture of lower bounds, and of
            bounds and likelihoods, is a lower bound.
        differentiable: Boolean, whether the `log_prob` of every member has a gradient.

    Example:

    >>> made = [keras_ar.models.MADE(4, hidden_units=8, ordering="random", seed=seed) for seed in range(3)]
    >>> ensemble = keras_ar.models.Ensemble(made)
    >>> ensemble.sample(2, seed=0).shape
    (2, 4)
    >>> ensemble.score_members(np.zeros((2, 4))).shape
    (2, 3)
    """

    def __init__(self, members, *, weights="equal", **kwargs):
        # Check and store.
        if not isinstance(members, list | tuple) or not members:
            raise ValueError(f"`members` must be a list of at least one density model. Received: members={members!r}.")
        members = [registry.get("models", each) if isinstance(each, dict) else each for each in members]
        _check_members(members)
        first, is_of_classes = members[0], members[0].num_classes is not None
        self.exact = all(member.exact for member in members)  # ahead of the base, whose metric is named by it
        super().__init__(
            first.event_shape,
            condition_shape=None if is_of_classes else first.condition_shape,
            num_classes=first.num_classes,
            **kwargs,
        )
        self.weighting = arguments.one_of(weights, "weights", ("equal", "learned"))
        self.members = members

        # Weights.
        if weights == "learned":
            self.weight_logits = self.add_weight((len(members),), "zeros", name="weight_logits")
        else:
            self.weight_logits = np.zeros(len(members), "float32")

    @property
    def support(self):
        """The values that an entry of an event may have: those of every member."""
        return self.members[0].support

    @property
    def differentiable(self):
        """Whether `log_prob` has a gradient: if that of every member has."""
        return all(member.differentiable for member in self.members)

    @property
    def log_weights(self):
        """Logarithms of the weights of the members: a float32 tensor of shape `(members,)`."""
        return ops.log_softmax(ops.convert_to_tensor(self.weight_logits))

    # Scores.

    def build(self, input_shape):
        """Nothing is left to build: members are built."""

    def encode_condition(self, condition):
        """The condition as it is, in a list that is empty if there is none: each member encodes it for itself."""
        return [] if condition is None else [condition]

    def call(self, x, condition=None, training=None):
        """Log-likelihood of each event by each member: float32 tensor of shape `(batch, members)`."""
        given = self.encode_condition(condition)
        scores = [member.log_prob(x, *given) for member in self.members]
        scores = [
            score if member.differentiable else ops.stop_gradient(score)
            for member, score in zip(self.members, scores, strict=True)
        ]
        return ops.stack(scores, axis=-1)

    def log_prob_from(self, outputs, x):
        terms = outputs + self.log_weights  # (batch, members)
        # Where all members say zero, the gradient of the logarithm would be NaN: there it is taken of something else.
        is_possible = ops.any(ops.not_equal(terms, -math.inf), axis=-1)
        terms = ops.where(ops.expand_dims(is_possible, -1), terms, 0.0)
        return ops.where(is_possible, ops.logsumexp(terms, axis=-1), -math.inf)

    def score_members(self, x, condition=None, *, batch_size=None, verbose=0):
        """Log-likelihood of each event by each member, in nats.

        Args:
            x: As in `score_samples`.
            condition: As in `score_samples`. Defaults to `None`.
            batch_size: As in `score_samples`. Defaults to `None`.
            verbose: As in `score_samples`. Defaults to `0`.

        Returns:
            float32 array of shape `(events, members)`.
        """
        return self.map_events(self.__call__, x, condition, batch_size=batch_size, verbose=verbose)

    def responsibilities(self, x, condition=None, *, batch_size=None, verbose=0):
        """How probable it is that each event was drawn by each member, given the event.

        Args:
            x: As in `score_samples`.
            condition: As in `score_samples`. Defaults to `None`.
            batch_size: As in `score_samples`. Defaults to `None`.
            verbose: As in `score_samples`. Defaults to `0`.

        Returns:
            float32 array of shape `(events, members)`, whose rows sum to one; NaN for an event that no member can draw.

        Example:

        >>> members = [keras_ar.models.FVSBN(2), keras_ar.models.FVSBN(2)]
        >>> keras_ar.models.Ensemble(members).responsibilities([[0, 1]]).tolist()
        [[0.5, 0.5]]
        """
        terms = self.score_members(x, condition, batch_size=batch_size, verbose=verbose).astype("float64")
        terms += ops.convert_to_numpy(self.log_weights)
        with np.errstate(invalid="ignore"):
            return np.exp(terms - np.logaddexp.reduce(terms, axis=1, keepdims=True)).astype("float32")

    # Samples.

    @property
    def noise_shape(self):
        """Shape of the uniforms that `draw` makes one event of: as many as any member needs, and one that picks it.

        Only one member draws an event, so all of them may use the same uniforms.
        """
        return (max(math.prod(member.noise_shape) for member in self.members) + 1,)

    def draw(self, noise, condition=None):
        given = self.encode_condition(condition)
        edges = ops.cumsum(ops.exp(self.log_weights))[:-1]
        picked = ops.sum(ops.cast(noise[:, -1:] >= edges, "int32"), axis=-1)
        picked = ops.reshape(picked, (-1, *(1 for _ in self.event_shape)))
        x = ops.zeros((1, *self.event_shape), self.support.dtype)
        for k in range(len(self.members)):
            x = ops.where(picked == k, self._draw_by(k, noise, *given), x)
        return x, self.log_prob(x, *given)

    def _draw_by(self, k, noise, *condition):
        """Events drawn by one member, from the first of the uniforms."""
        shape = self.members[k].noise_shape
        return self.members[k].draw(ops.reshape(noise[:, : math.prod(shape)], (-1, *shape)), *condition)[0]

    def sample(
        self,
        num_samples=1,
        condition=None,
        *,
        seed=None,
        first_event=0,
        batch_size=None,
        return_log_prob=False,
        verbose=0,
    ):
        """Samples events, each by the member that is picked for it.

        Event 7 of a seed is the same event whatever the batch size and the number of samples. Its member samples the
        same event as event 7 of that seed.

        Args:
            num_samples: As in `DensityModel.sample`.
            condition: As in `DensityModel.sample`. Defaults to `None`.
            seed: As in `DensityModel.sample`. Defaults to `None`.
            first_event: As in `DensityModel.sample`. Defaults to `0`.
            batch_size: Integer, how many events a member samples at a time, at most. Defaults to `None`: 64 on a CPU,
                1,024 elsewhere.
            return_log_prob: Boolean, whether to return `score_samples` of the events, as well. Defaults to `False`.
            verbose: As in `DensityModel.sample`. Defaults to `0`.

        Returns:
            Array of shape `(num_samples, *event_shape)`, or the pair of it and the float32 array of log-probabilities.
        """
        num_samples, condition, seed, first_event, batch_size = self.check_sample_arguments(
            num_samples, condition, seed, first_event, batch_size
        )
        arguments.boolean(return_log_prob, "return_log_prob")
        progress = batches.Progress(num_samples, verbose)
        streams = np.uint64(first_event) + np.arange(num_samples, dtype="uint64")
        picked = self._picked(seed, streams)
        # A member draws its share of few events in a smaller batch. Sizes are powers of two: each one is compiled for.
        share = math.ceil(max(num_samples, 1) / len(self.members))
        batch_size = min(batch_size, 2 ** (share - 1).bit_length())
        samples = np.zeros((num_samples, *self.event_shape), self.support.dtype)
        for k in np.unique(picked):
            mine = np.flatnonzero(picked == k)
            arrays = [streams[mine], *(array[mine] for array in condition)]
            samples[mine] = self._sample_by(int(k), seed, arrays, batch_size, progress)
        if not return_log_prob:
            return samples
        log_prob = self.score_samples(samples, *condition) if num_samples else np.zeros(0, "float32")
        return samples, log_prob

    def _picked(self, seed, streams):
        """The numbers of the members that draw events, by the last uniform of each."""
        uniforms = noise.of_streams(seed, streams, (1,), skip=self.noise_shape[0] - 1)
        edges = np.cumsum(np.exp(ops.convert_to_numpy(self.log_weights)))[:-1]
        return (uniforms >= edges).sum(axis=1)

    def _sample_by(self, k, seed, arrays, batch_size, progress):
        """Events drawn by one member, from the numbers of their streams and their conditions."""
        draw = self.compiled_function(functools.partial(self._draw_by, k), key=("draw", k))
        num_events, size = len(arrays[0]), math.prod(self.members[k].noise_shape)

        def draw_batch(first, streams, *condition):
            found = draw(*backend.share([noise.of_streams(seed, streams, (size,)), *condition]))
            progress.add(min(batch_size, num_events - first))
            return found

        return batches.run(draw_batch, arrays, num_events, batch_size, progress)

    # Training and saving.

    def fit(self, *args, **kwargs):
        """As in every density model. A member without a gradient takes part if it is not trained.

        Args:
            *args: As in `DensityModel.fit`.
            **kwargs: As in `DensityModel.fit`.
        """
        names = [member.name for member in self.members if member.trainable_variables and not member.differentiable]
        if names:
            raise ValueError(
                f"`members` must have a gradient to be trained by likelihood. Received: {', '.join(names)}. Set "
                f"`trainable = False` of each of them to train the rest."
            )
        return super().fit(*args, **kwargs)

    def initialize_from_data(self, x, condition=None):
        for member in self.members:
            member.initialize_from_data(x, *self.encode_condition(condition))

    def get_config(self):
        config = super().get_config()
        for name in ("event_shape", "condition_shape", "num_classes"):  # those of the members
            config.pop(name, None)
        members = [keras.saving.serialize_keras_object(member) for member in self.members]
        for member in members:
            member.pop("compile_config", None)  # the ensemble trains them
        return {**config, "members": members, "weights": self.weighting}


def _check_members(members):
    """Raises a `ValueError` unless these are different density models of the same kind of events."""
    for i, member in enumerate(members):
        if not isinstance(member, DensityModel):
            raise ValueError(f"`members` must hold density models. Received: members[{i}]={member!r}.")
        if any(member is other for other in members[:i]):
            raise ValueError(
                f"`members` must be different models. Received: members[{i}] is {member.name}, as one before it is."
            )
        for name in ("event_shape", "support", "num_classes", "condition_shape"):
            found, expected = getattr(member, name), getattr(members[0], name)
            if found != expected:
                raise ValueError(
                    f"`members` must have one `{name}`: that of members[0] is {expected!r}. Received: members[{i}]."
                    f"{name}={found!r}."
                )
