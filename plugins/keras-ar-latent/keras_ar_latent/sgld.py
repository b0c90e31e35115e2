"""SGLD. https://www.stats.ox.ac.uk/~teh/research/compstats/WelTeh2011a.pdf"""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, noise

__all__ = ["SGLD"]


@keras.saving.register_keras_serializable(package="keras_ar_latent")
class SGLD(keras.optimizers.SGD):
    """Gradient descent with so much noise that weights wander through their posterior distribution.

    If the loss is `-log p(weights, events) / num_events`, as it is with a `keras_ar.GaussianPrior` on all weights, then
    after a while the weights of every step are a draw from `p(weights | events)`, one draw much like the next. It is
    exact for small learning rates, and for batches of all events; smaller batches add noise of their own.
    `Snapshots` keeps some of these draws, and makes them an ensemble, the Bayesian predictive.

    Args:
        learning_rate: Float, or a schedule. Defaults to `0.01`.
        num_events: Integer, the number of events in the training data.
        seed: Integer, the seed of the noise; `None` for a fresh one. Defaults to `None`.
        name: String. Defaults to `"sgld"`.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 2, (50, 3))
    >>> model = keras_ar.models.FVSBN(3, kernel_regularizer=keras_ar.GaussianPrior(1.0, num_events=50))
    >>> model.compile(keras_ar_latent.SGLD(0.1, num_events=50, seed=0))
    >>> snapshots = keras_ar_latent.Snapshots(first=20, every=5)
    >>> history = model.fit(x, epochs=50, batch_size=50, callbacks=[snapshots], verbose=0)
    >>> snapshots.ensemble().score_members(x).shape
    (50, 7)

    Reference:
        [Welling and Teh, 2011](https://www.stats.ox.ac.uk/~teh/research/compstats/WelTeh2011a.pdf).
    """

    def __init__(self, learning_rate=0.01, *, num_events, seed=None, name="sgld"):
        super().__init__(learning_rate, name=name)
        self.num_events = arguments.integer(num_events, "num_events")
        self.seed = noise.check_seed(seed)
        self._generator = keras.random.SeedGenerator(0)

    def build(self, variables):
        if not self.built:
            # What changes from step to step must be a variable of the optimizer: it is all that JAX hands on.
            self._generator.state = self.add_variable(
                (2,), self._start, dtype=self._generator.state.dtype, aggregation="none", name="seed"
            )
        super().build(variables)

    def _start(self, shape, dtype):
        """The first state of the generator: the seed, and a count of the steps."""
        return ops.convert_to_tensor(np.array([self.seed % 2**31, 0]), dtype)

    def apply(self, grads, trainable_variables=None):
        """Makes a step along gradients to which noise is added.

        Args:
            grads: List of gradients.
            trainable_variables: List of the variables that they belong to, or `None`. Defaults to `None`.
        """
        if trainable_variables is not None and not self.built:
            self.build(list(trainable_variables))
        scale = ops.sqrt(2.0 / (self.num_events * ops.cast(self.learning_rate, "float32")))
        return super().apply([self._noisy(gradient, scale) for gradient in grads], trainable_variables)

    def _noisy(self, gradient, scale):
        if gradient is None:
            return None
        noise = keras.random.normal(np.shape(gradient), dtype="float32", seed=self._generator)
        return gradient + ops.cast(scale * noise, gradient.dtype)

    def get_config(self):
        config = super().get_config()
        kept = {name: config[name] for name in ("name", "learning_rate")}
        return {**kept, "num_events": self.num_events, "seed": self.seed}
