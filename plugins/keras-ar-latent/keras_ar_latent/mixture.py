"""Mixture: the base of mixtures of normal distributions."""

import functools

import keras
import numpy as np
from keras import ops

from keras_ar import DensityModel, Support, arguments, noise
from keras_ar.numerics import inverse_cdf, normal_quantile
from keras_ar_latent import em

__all__ = ["Mixture"]


class Mixture(DensityModel):
    """Base of mixtures of normal distributions: exact likelihoods, trained by gradients or by EM.

    The hidden variable of a mixture is the component that an event comes from. There are few of them, so that the sum
    over all is no bound, but the likelihood itself.

    **A subclass writes**

    - `component_log_prob(x)`: log-densities within each component, of events that are flat vectors;
    - `noise_size` and `draw_components(picked, normals)`: how far drawn events are from the means of their components;
    - `estimate(x, means, shares, regularization)` in NumPy: its covariances of largest likelihood;
    - `set_covariances(covariances)`, which sets its weights by them.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        num_components: Integer, the number of normal distributions.
        resolution: Float, the spacing of the grid that the data were measured on; only bits per dimension need it.
            Defaults to `1.0`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar_latent.MixtureOfGaussians(1, num_components=2)  # a subclass
    >>> model.set_components(weights=[0.5, 0.5], means=[[-1.0], [1.0]], covariances=np.ones((2, 1, 1)))
    >>> model.responsibilities([[0.0], [2.0]]).astype("float64").round(3).tolist()
    [[0.5, 0.5], [0.018, 0.982]]
    """

    def __init__(self, event_shape, *, num_components, resolution=1.0, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.num_components = arguments.integer(num_components, "num_components")
        self.resolution = arguments.number(resolution, "resolution", above=0)

        # Weights. Means that are all the same would stay so.
        self.logits = np.zeros(1, "float32")
        if num_components > 1:
            self.logits = self.add_weight((num_components,), "zeros", name="logits")
        self.means = self.add_weight(
            (num_components, self.num_dims), keras.initializers.RandomNormal(stddev=1.0), name="means"
        )

    @property
    def support(self):
        return Support.reals(resolution=self.resolution)

    # What a subclass writes.

    def component_log_prob(self, x):
        """Log-densities of events of shape `(batch, num_dims)` within each component, `(batch, num_components)`."""
        raise NotImplementedError(f"A mixture must have `component_log_prob`. {type(self).__name__} has none.")

    @property
    def noise_size(self):
        """How many normal variables an event is made of."""
        raise NotImplementedError(f"A mixture must have `noise_size`. {type(self).__name__} has none.")

    def draw_components(self, picked, normals):
        """Events less the means of their components, `(batch, num_dims)`.

        Args:
            picked: Integer tensor of shape `(batch,)`, the component of each event.
            normals: Tensor of shape `(batch, noise_size)`, of standard normal variables.
        """
        raise NotImplementedError(f"A mixture must have `draw_components`. {type(self).__name__} has none.")

    def estimate(self, x, means, shares, regularization):
        """The covariances of largest likelihood, as `em.expectation_maximization` asks for them.

        Args:
            x: float64 array of shape `(events, num_dims)`.
            means: Array of shape `(num_components, num_dims)`.
            shares: Array of shape `(events, num_components)`: how far each event counts, of columns that sum to one.
            regularization: Float, which is added to all variances.
        """
        raise NotImplementedError(f"A mixture must have `estimate`. {type(self).__name__} has none.")

    def set_covariances(self, covariances):
        """Sets the weights by which the components are as wide as these covariances say."""
        raise NotImplementedError(f"A mixture must have `set_covariances`. {type(self).__name__} has none.")

    # Scores.

    @property
    def log_weights(self):
        """Logarithms of the weights of the components: a float32 tensor of shape `(num_components,)`."""
        logits = ops.convert_to_tensor(self.logits)
        return logits - ops.logsumexp(logits)

    def build(self, input_shape):
        """Nothing is left to build."""

    def call(self, x, training=None):
        """Log-densities of being drawn by each component, `(batch, num_components)`."""
        return self.component_log_prob(self.flatten(x)) + self.log_weights

    def log_prob_from(self, outputs, x):
        return ops.logsumexp(outputs, axis=-1)

    def flatten(self, x):
        """Events as float32 vectors."""
        return ops.reshape(ops.cast(x, "float32"), (-1, self.num_dims))

    def responsibilities(self, x, *, batch_size=None, verbose=0):
        """How probable it is that each event was drawn by each component, given the event.

        Args:
            x: As in `score_samples`.
            batch_size: As in `score_samples`. Defaults to `None`.
            verbose: As in `score_samples`. Defaults to `0`.

        Returns:
            float32 array of shape `(events, num_components)`, whose rows sum to one.
        """
        return self.map_events(self._responsibilities, x, batch_size=batch_size, verbose=verbose)

    def _responsibilities(self, x):
        outputs = self(x)
        return ops.exp(outputs - ops.logsumexp(outputs, axis=-1, keepdims=True))

    # Samples.

    @property
    def noise_shape(self):
        """Shape of the uniforms that `draw` makes one event of: the last one picks the component."""
        return (self.noise_size + 1,)

    def draw(self, noise, condition=None):
        picked = ops.zeros(ops.shape(noise)[:1], "int32")
        if self.num_components > 1:
            picked = picked + inverse_cdf(ops.expand_dims(self.log_weights, 0), noise[:, -1])
        x = ops.take(self.means, picked, axis=0) + self.draw_components(picked, normal_quantile(noise[:, :-1]))
        x = ops.reshape(x, (-1, *self.event_shape))
        return x, self.log_prob(x)

    # Training.

    def initialize_from_data(self, x, condition=None):
        """Sets the components to clusters of events, a bit wider than these are."""
        x = arguments.array(x, "x")
        self.fit_em(x, num_iterations=1, regularization=0.1 * x.astype("float64").var() + 1e-6)

    def fit_em(self, x, *, num_iterations=100, tolerance=1e-5, regularization=1e-6, seed=0):
        """Sets the weights by EM, which needs no learning rate: no step lowers the likelihood.

        Args:
            x: Array of shape `(events, *event_shape)`.
            num_iterations: Integer, the most steps there are. Defaults to `100`.
            tolerance: Float, in nats. The last step is the one that raises the mean log-likelihood by less.
                Defaults to `1e-5`.
            regularization: Float, which is added to all variances, so that no component shrinks to a point. Defaults
                to `1e-6`.
            seed: Integer, the seed of the clusters that the components start from. Defaults to `0`.

        Returns:
            Array of the mean log-likelihood after each step, in nats.
        """
        (x,) = self.check_batch(x)
        if len(x) < self.num_components:
            raise ValueError(
                f"`x` must hold at least one event for each of the {self.num_components} components. "
                f"Received: x.shape={x.shape}."
            )
        if arguments.number(regularization, "regularization") < 0:
            raise ValueError(f"`regularization` must be at least 0. Received: regularization={regularization!r}.")
        weights, means, covariances, history = em.expectation_maximization(
            x.reshape(len(x), -1).astype("float64"),
            self.num_components,
            functools.partial(self.estimate, regularization=regularization),
            arguments.integer(num_iterations, "num_iterations"),
            arguments.number(tolerance, "tolerance"),
            noise.check_seed(seed),
        )
        self.set_components(weights, means, covariances)
        return history

    def set_components(self, weights, means, covariances):
        """Sets the weights of the model, to a mixture that is known.

        Args:
            weights: Array of shape `(num_components,)`, positive numbers that sum to one.
            means: Array of shape `(num_components, num_dims)`.
            covariances: Array, as `covariances_` of scikit-learn's mixtures.
        """
        if self.num_components > 1:
            self.logits.assign(np.log(np.maximum(weights, 1e-30)))
        self.means.assign(np.asarray(means))
        self.set_covariances(np.asarray(covariances, "float64"))

    def get_config(self):
        config = super().get_config()
        del config["condition_shape"]
        return {**config, "num_components": self.num_components, "resolution": self.resolution}
