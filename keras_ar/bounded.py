"""BoundedModel: hidden randomness, and so a lower bound in place of the likelihood, which says that it is one."""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend, batches, noise, training
from keras_ar.density import DensityModel

__all__ = ["BoundedModel", "check_exact"]

_LEAST = 2.0**-24  # uniforms are strictly between 0 and 1, as those of `noise` are
_SEED_OF_EVALUATION = 0


def check_exact(part, name):
    """Raises a `ValueError` unless a density is exact.

    What a bound subtracts must be: a lower bound in its place would make the result no bound at all.

    Args:
        part: A `DensityModel`.
        name: String, what an error calls it.

    Example:

    >>> keras_ar.bounded.check_exact(keras_ar.models.FVSBN(3), "posterior")
    """
    if not part.exact:
        raise ValueError(
            f"`{name}` must be a density with exact likelihoods, because the bound subtracts them: a lower bound of "
            f"them would make it too high. Received: {part.name}, a {type(part).__name__}, whose scores are bounds."
        )


class BoundedModel(DensityModel):
    """Base of models with hidden randomness u: `log p(x) >= E[log p(x, u) - log q(u | x)]`, where q guesses u.

    **A subclass sets** `support` and `hidden_shape`, and **writes**

    - `log_weight(x, noise, condition=None, training=None)`: `log p(x, u) - log q(u | x)` of a guess u that is made of
      uniforms;
    - `noise_shape` and `draw_events(noise, condition=None)`: events from uniforms.

    The mean over guesses of the exponentials of log-weights is the likelihood, so the logarithm of such a mean is a
    lower bound in expectation: the evidence lower bound for one guess, the tighter the more there are.
    `score_samples(x, num_draws=..., seed=...)` is such a bound, and the same for any batch size, on every backend; its
    metric is called `bits_per_dim_at_most`. Evaluation, and validation in `fit`, meet the same guesses in each epoch.

    Args:
        event_shape: As in `DensityModel`.
        objective: What `fit` raises: `"elbo"`, the mean over guesses of log-weights; or `"iwae"`, the logarithm of the
            mean of their exponentials. For one guess they are the same. Defaults to `"elbo"`.
        num_draws: Integer, how many guesses there are of each event, in training and in evaluation. Defaults to `1`.
        **kwargs: As in `DensityModel`.

    Attributes:
        hidden_shape: Tuple, the shape of the uniforms of one guess.

    Example:

    >>> class Cups(keras_ar.BoundedModel):  # a bit is drawn from a hidden one of two cups, which is guessed blindly
    ...     support, hidden_shape, noise_shape = keras_ar.Support.levels(2), (1,), (2,)
    ...     def __init__(self, **kwargs):
    ...         super().__init__(1, **kwargs)
    ...         self.logits = self.add_weight((2,), "zeros")
    ...     def log_weight(self, x, noise, condition=None, training=None):
    ...         cup = keras.ops.cast(noise[:, 0] < 0.5, "int32")  # as probable as it was: log p(x | cup) is left
    ...         sign = 2.0 * keras.ops.cast(x[:, 0], "float32") - 1.0
    ...         return keras.ops.log_sigmoid(sign * keras.ops.take(self.logits, cup))
    ...     def draw_events(self, noise, condition=None):
    ...         cup = keras.ops.cast(noise[:, 0] < 0.5, "int32")
    ...         probability = keras.ops.sigmoid(keras.ops.take(self.logits, cup))
    ...         return keras.ops.cast(noise[:, 1:] < probability[:, None], "int32")
    >>> cups = Cups()
    >>> _ = cups.logits.assign([-3.0, 3.0])
    >>> [round(float(s), 2) for n in (1, 10_000) for s in cups.score_samples(np.array([[1]]), num_draws=n)]
    [-3.05, -0.69]

    Reference:
        [Burda et al., 2016](https://arxiv.org/abs/1509.00519), section 3, for more than one guess.
    """

    exact = False

    def __init__(self, event_shape, *, objective="elbo", num_draws=1, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.objective_name = arguments.one_of(objective, "objective", ("elbo", "iwae"))
        self.num_draws = arguments.integer(num_draws, "num_draws")
        self._training_noise = keras.random.SeedGenerator(noise.check_seed(None) % 2**31)
        self._evaluation_noise = keras.random.SeedGenerator(_SEED_OF_EVALUATION)

    # What a subclass sets and writes.

    @property
    def takes_condition(self):
        """Whether there may be a condition: whether `log_weight` has an argument for it."""
        return arguments.takes(self.log_weight, "condition")

    @property
    def hidden_shape(self):
        """Shape of the uniforms that one guess at what is hidden is made of."""
        raise NotImplementedError(f"A model must set `hidden_shape`. {type(self).__name__} does not.")

    def log_weight(self, x, noise, condition=None, training=None):
        """`log p(x, u) - log q(u | x)` of one guess for each event: a piece of a graph, differentiable.

        Args:
            x: Tensor of shape `(batch, *event_shape)`.
            noise: Tensor of shape `(batch, *hidden_shape)`, strictly between 0 and 1, of which the guess is made.
            condition: As `call` takes it. Defaults to `None`.
            training: Boolean, or `None`. Defaults to `None`.

        Returns:
            float32 tensor of shape `(batch,)`.
        """
        raise NotImplementedError(f"A model must have `log_weight`. {type(self).__name__} has none.")

    # Scores.

    def call(self, x, condition=None, training=None):
        """Log-weights of random guesses, `(batch, num_draws)`.

        Outside of training and evaluation, where `training` is `None`, the guesses are always the same.
        """
        return self.for_each_draw(self.log_weight, x, condition, training)

    def for_each_draw(self, function, x, condition=None, training=None):
        """A function of events and guesses, of `num_draws` random guesses for each event: a piece of a graph.

        Args:
            function: Takes what `log_weight` does, and returns a tensor whose first axis is the batch.
            x: As in `call`.
            condition: As in `call`. Defaults to `None`.
            training: As in `call`. Defaults to `None`.

        Returns:
            What the function returns, with `(batch, num_draws)` in place of the first axis.
        """
        count = ops.shape(x)[0]
        x, *condition = (self._repeat(each) for each in (x, *([] if condition is None else [condition])))
        seed = {True: self._training_noise, False: self._evaluation_noise}.get(training, _SEED_OF_EVALUATION)
        uniforms = keras.random.uniform((count * self.num_draws, *self.hidden_shape), dtype="float32", seed=seed)
        found = function(x, ops.clip(uniforms, _LEAST, 1.0 - _LEAST), *condition, training=training)
        return ops.reshape(found, (count, self.num_draws, *found.shape[1:]))

    def _repeat(self, x):
        return x if self.num_draws == 1 else ops.repeat(x, self.num_draws, axis=0)

    def log_weights_from(self, outputs):
        """Log-weights, `(batch, num_draws)`, from what `call` returned: where a subclass returns more than these."""
        return outputs

    def log_prob_from(self, outputs, x):
        """The bound: the logarithm of the mean weight."""
        return ops.logsumexp(self.log_weights_from(outputs), axis=1) - math.log(self.num_draws)

    def objective(self, outputs, x, training):
        """What `fit` lowers. In evaluation it is the bound, whatever the objective of training."""
        if training and self.objective_name == "elbo":
            return -ops.mean(self.log_weights_from(outputs), axis=1)
        return -self.log_prob_from(outputs, x)

    def evaluate(self, *args, **kwargs):
        """As in every density model: bounds of as many guesses as the model has, the same ones in each call.

        Args:
            *args: As in `DensityModel.evaluate`.
            **kwargs: As in `DensityModel.evaluate`.
        """
        state = self._evaluation_noise.state
        state.assign(np.array([_SEED_OF_EVALUATION, 0], keras.backend.standardize_dtype(state.dtype)))
        return super().evaluate(*args, **kwargs)

    def score_samples(self, x, condition=None, *, num_draws=None, seed=0, batch_size=None, verbose=0):
        """Lower bounds of the log-likelihood of each event in nats.

        In the mean over seeds they rise with the number of draws, towards the log-likelihood.

        Args:
            x: Array of shape `(events, *event_shape)`.
            condition: Array of shape `(events, *condition_shape)`; or the class of each event, or one of all.
                Defaults to `None`.
            num_draws: Integer, how many guesses there are of each event; `None`: as many as the model has. Defaults to
                `None`.
            seed: Integer, the seed of the guesses. Defaults to `0`.
            batch_size: Integer, how many events are scored at a time; `None`: 256 on a CPU, 1,024 elsewhere. Defaults
                to `None`.
            verbose: `1` for a progress bar. Defaults to `0`.

        Returns:
            float32 array of shape `(events,)`: the same for any batch size.
        """
        count = self.num_draws if num_draws is None else arguments.integer(num_draws, "num_draws")
        seed = noise.check_seed(seed)
        arrays = self.check_batch(x, condition)
        batch_size = batches.fitting(batch_size, len(arrays[0]), on_cpu=256)
        progress = batches.Progress(len(arrays[0]), verbose)
        weigh = self.compiled_function(self._weigh)

        def score(first, *batch):
            total, batch = np.full(batch_size, -np.inf), backend.share(batch)
            for draw in range(count):
                stream = noise.OTHER_STREAMS + first + draw * noise.STREAMS_OF_A_DRAW
                uniforms = noise.uniforms(seed, stream, batch_size, self.hidden_shape)
                found = ops.convert_to_numpy(weigh(backend.share(uniforms), *batch))
                total = np.logaddexp(total, found.astype("float64"))
                progress.add(batch_size / count)
            return (total - math.log(count)).astype("float32")

        return self.check_scores(batches.run(score, arrays, len(arrays[0]), batch_size, progress))

    def _weigh(self, uniforms, x, condition=None):
        x, condition, impossible = training.replace_impossible(self, *self.checked_pair(x, condition))
        return self.log_weight(x, uniforms, *self.encode_condition(condition)) + impossible.log_prob

    # Samples.

    def draw_events(self, noise, condition=None):
        """Events from uniforms of shape `(batch, *noise_shape)`: a pure function, a piece of a graph."""
        raise NotImplementedError(f"A model that samples must have `draw_events`. {type(self).__name__} has none.")

    def draw(self, noise, condition=None):
        """Events from uniforms; beside them the bound of their log-probabilities that needs no guess, `-inf`."""
        x = self.draw_events(noise, condition)
        return x, ops.full(ops.shape(x)[:1], -math.inf)

    def sample_by(self, *args, return_log_prob=False, **kwargs):
        """As in every density model, but without log-probabilities: those of a model with hidden randomness are bounds.

        Args:
            *args: As in `DensityModel.sample_by`.
            return_log_prob: Must be `False`: `score_samples` gives bounds.
            **kwargs: As in `DensityModel.sample_by`.
        """
        if arguments.boolean(return_log_prob, "return_log_prob"):
            raise ValueError(
                f"`return_log_prob` must be False: {self.name} has lower bounds of log-probabilities, which "
                f"`score_samples` gives. Received: return_log_prob=True."
            )
        return super().sample_by(*args, **kwargs)

    def get_config(self):
        return {**super().get_config(), "objective": self.objective_name, "num_draws": self.num_draws}
