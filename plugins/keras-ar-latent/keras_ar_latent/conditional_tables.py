"""ConditionalTables: every conditional distribution as a table."""

import keras
import numpy as np
from keras import ops

from keras_ar import AutoregressiveModel, arguments, backend, heads, noise

__all__ = ["ConditionalTables"]

_MOST_ROWS = 2**20
_NEVER = 1e-30  # a probability that stands for zero


@keras.saving.register_keras_serializable(package="keras_ar_latent")
class ConditionalTables(AutoregressiveModel):
    """A table of `p(x[i] | x[:i])` for each entry, with a row for whatever came before it.

    It has no assumptions, and as many rows as there are beginnings of events: so it is for a few entries of a few
    levels. All that there is to say of learning has a closed form here: with a Dirichlet prior on each row, the most
    likely tables, the most probable ones, their posterior distribution, and the Bayesian predictive.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        num_levels: Integer, the number of levels of an entry. Defaults to `2`.
        ordering: As in `AutoregressiveModel`. Defaults to `None`.
        seed: Integer, the seed of `ordering="random"`. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar_latent.ConditionalTables(2)
    >>> x = [[1, 1], [1, 1], [1, 0], [0, 0]]
    >>> model.fit_tables(x)
    >>> round(float(np.exp(model.score_samples([[1, 1]])[0])), 4)  # 3/4 * 2/3
    0.5
    >>> model.fit_tables(x, concentration=1.0, estimate="mean")
    >>> round(float(np.exp(model.score_samples([[1, 1]])[0])), 4)  # 4/6 * 3/5
    0.4
    """

    def __init__(self, event_shape, *, num_levels=2, ordering=None, seed=0, **kwargs):
        kwargs.pop("head", None)  # of a config
        num_levels = arguments.integer(num_levels, "num_levels", least=2)
        super().__init__(event_shape, head=heads.Categorical(num_levels), ordering=ordering, seed=seed, **kwargs)
        self.num_levels = num_levels
        # Rows of step t begin after those of the steps before it, of which there are 1, num_levels, num_levels^2, …
        counts = [num_levels**t for t in range(self.num_steps)]
        if sum(counts) > _MOST_ROWS:
            raise ValueError(
                f"`event_shape` must be that of events with at most {_MOST_ROWS} beginnings. Received: "
                f"event_shape={event_shape!r}, num_levels={num_levels}."
            )
        self.first_rows = np.cumsum([0, *counts[:-1]]).astype("int32")
        self.logits = self.add_weight((sum(counts), num_levels), "zeros", name="logits")

    def call(self, x):
        return self.from_steps(ops.take(self.logits, self.rows(ops.cast(self.to_steps(x), "int32")), axis=0))

    def rows(self, steps):
        """The row of each step, from values in the order of the steps: both `(batch, num_steps)`."""
        rows, before = [], ops.zeros_like(steps[:, 0])
        for t, first in enumerate(self.first_rows):
            rows.append(before + int(first))
            before = before * self.num_levels + steps[:, t]
        return ops.stack(rows, axis=1)

    # One step at a time: the state is the number of the beginning.

    def start(self, batch_size, num_steps):
        return ops.zeros((batch_size,), "int32")

    def step(self, constants, state, t, previous):
        state = ops.where(t > 0, state * self.num_levels + ops.cast(previous, "int32"), 0)
        return ops.take(self.logits, state + backend.lookup(self.first_rows, t), axis=0), state

    # Closed forms.

    def fit_tables(self, x, *, concentration=1.0, estimate="mode", seed=0):
        """Sets the tables by counting, under a Dirichlet prior on each row.

        Args:
            x: Array of shape `(events, *event_shape)`.
            concentration: Float, that of the prior: as many events of each level are as if they had been seen before,
                for `"mean"`, or one less of each for `"mode"`. Defaults to `1.0`, the uniform prior.
            estimate: What to set a row to: `"mode"`, its most probable value, which for a concentration of one is the
                most likely one, the shares of what was counted; `"mean"`, which makes `score_samples` the Bayesian
                predictive; or `"draw"`, a draw from the posterior distribution. Defaults to `"mode"`.
            seed: Integer, the seed of draws. Defaults to `0`.
        """
        (x,) = self.check_batch(x)
        arguments.one_of(estimate, "estimate", ("mode", "mean", "draw"))
        concentration = arguments.number(concentration, "concentration", above=0)
        if estimate == "mode" and concentration < 1:
            raise ValueError(
                f"`concentration` must be at least 1 for a mode to exist. Received: concentration={concentration}."
            )
        steps = ops.convert_to_numpy(self.to_steps(ops.convert_to_tensor(x))).astype("int32")
        rows = ops.convert_to_numpy(self.rows(ops.convert_to_tensor(steps)))
        counts = np.full(self.logits.shape, concentration - (1.0 if estimate == "mode" else 0.0))
        np.add.at(counts, (rows, steps), 1.0)
        if estimate == "draw":
            counts = np.random.default_rng(noise.check_seed(seed)).standard_gamma(counts)
        totals = counts.sum(axis=1, keepdims=True)
        shares = np.where(totals > 0, counts / np.where(totals > 0, totals, 1.0), 1 / self.num_levels)
        self.logits.assign(np.log(np.maximum(shares, _NEVER)))

    def get_config(self):
        config = super().get_config()
        for name in ("head", "condition_shape"):
            config.pop(name, None)
        return {**config, "num_levels": self.num_levels}
