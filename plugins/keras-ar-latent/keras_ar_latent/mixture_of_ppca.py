"""MixtureOfPPCA: clusters that are flat, each in directions of its own."""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar_latent import em
from keras_ar_latent.mixture import Mixture

__all__ = ["MixtureOfPPCA"]

_MOST_LOG_SCALE = 20.0


@keras.saving.register_keras_serializable(package="keras_ar_latent")
class MixtureOfPPCA(Mixture):
    """A mixture of probabilistic principal component analyzers, with an exact likelihood.

    Within a component an event is `mean + scale * (loadings z + noise)`: a few latent variables `z` move it in a plane,
    and noise that is alike in all directions moves it off. All of `z` and the noise are standard normal variables, so
    that the event is one, too: with few latent variables its covariance has few numbers, even for long events.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        num_components: Integer, the number of analyzers.
        latent_dims: Integer, the number of latent variables of each; less than the number of entries of an event.
        **kwargs: `resolution`, the spacing of the grid that the data were measured on, which only bits per dimension
            need, `name` and `dtype`.

    Example:

    >>> model = keras_ar_latent.MixtureOfPPCA((8, 8), num_components=3, latent_dims=2)
    >>> x = np.random.default_rng(0).normal(size=(200, 8, 8))
    >>> nats = model.fit_em(x, num_iterations=5)
    >>> model.sample(4, seed=0).shape
    (4, 8, 8)
    >>> model.latents(x).shape
    (200, 3, 2)

    Reference:
        [Tipping and Bishop, 1999](https://doi.org/10.1162/089976699300016728).
    """

    def __init__(self, event_shape, *, num_components, latent_dims, **kwargs):
        super().__init__(event_shape, num_components=num_components, **kwargs)
        self.latent_dims = arguments.integer(latent_dims, "latent_dims")
        if self.latent_dims >= self.num_dims:
            raise ValueError(
                f"`latent_dims` must be less than the {self.num_dims} entries of an event. Received: "
                f"latent_dims={latent_dims!r}."
            )

        # Weights. Loadings are in units of the scale of the noise.
        self.log_scales = self.add_weight((num_components,), "zeros", name="log_scales")
        shape = (num_components, self.num_dims, latent_dims)
        self.loadings = self.add_weight(shape, keras.initializers.RandomNormal(stddev=0.1), name="loadings")

    def component_log_prob(self, x):
        away, z, factor = self.explain(x)
        rest = away - ops.matmul(z, ops.swapaxes(self.loadings, 1, 2))
        # What the noise must be, and what the latent variables are: no difference of large numbers.
        squares = ops.sum(ops.square(rest), axis=-1) + ops.sum(ops.square(z), axis=-1)  # (components, batch)
        log_det = ops.sum(ops.log(ops.diagonal(factor, axis1=1, axis2=2)), axis=-1) + self.num_dims * self._log_scales()
        return -0.5 * (ops.swapaxes(squares, 0, 1) + self.num_dims * math.log(2 * math.pi)) - log_det

    def explain(self, x):
        """Events in units of the noise, their most probable latent variables, and the factor of the latter's precision.

        All by components: `(components, batch, dims)`, `(components, batch, latent)`, `(components, latent, latent)`.
        """
        scales = ops.exp(ops.reshape(self._log_scales(), (-1, 1, 1)))
        away = (ops.expand_dims(x, 0) - ops.expand_dims(self.means, 1)) / scales
        loadings = ops.convert_to_tensor(self.loadings)
        transposed = ops.swapaxes(loadings, 1, 2)
        factor = ops.cholesky(ops.matmul(transposed, loadings) + ops.eye(self.latent_dims))
        z = ops.solve_triangular(factor, ops.matmul(transposed, ops.swapaxes(away, 1, 2)), lower=True)
        z = ops.solve_triangular(ops.swapaxes(factor, 1, 2), z, lower=False)
        return away, ops.swapaxes(z, 1, 2), factor

    def _log_scales(self):
        return ops.clip(ops.convert_to_tensor(self.log_scales), -_MOST_LOG_SCALE, _MOST_LOG_SCALE)

    def latents(self, x, *, batch_size=None, verbose=0):
        """The mean of the latent variables of each event, given the event and the component that drew it.

        Args:
            x: As in `score_samples`.
            batch_size: As in `score_samples`. Defaults to `None`.
            verbose: As in `score_samples`. Defaults to `0`.

        Returns:
            float32 array of shape `(events, num_components, latent_dims)`.
        """
        return self.map_events(self._latents, x, batch_size=batch_size, verbose=verbose)

    def _latents(self, x):
        return ops.swapaxes(self.explain(self.flatten(x))[1], 0, 1)

    # Samples.

    @property
    def noise_size(self):
        """How many normal variables an event is made of: one for each of its entries, and the latent ones."""
        return self.num_dims + self.latent_dims

    def draw_components(self, picked, normals):
        loadings = ops.take(self.loadings, picked, axis=0)  # (batch, dims, latent)
        moved = ops.matmul(loadings, ops.expand_dims(normals[:, self.num_dims :], -1))[..., 0]
        scales = ops.exp(ops.take(self._log_scales(), picked, axis=0))
        return ops.expand_dims(scales, -1) * (moved + normals[:, : self.num_dims])

    # Training.

    def estimate(self, x, means, shares, regularization):
        """Covariances that are alike in all but the directions in which events vary most."""
        values, vectors = np.linalg.eigh(em.weighted_covariances(x, means, shares))  # from the smallest variance on
        values = values.clip(0.0) + regularization
        values[:, : -self.latent_dims] = values[:, : -self.latent_dims].mean(axis=1, keepdims=True)
        return (vectors * values[:, None]) @ np.swapaxes(vectors, 1, 2)

    def set_covariances(self, covariances):
        values, vectors = np.linalg.eigh(covariances)
        noise = values[:, : -self.latent_dims].mean(axis=1)
        lengths = np.sqrt(np.maximum(values[:, -self.latent_dims :] / noise[:, None] - 1.0, 0.0))
        loadings = (vectors[:, :, -self.latent_dims :] * lengths[:, None])[..., ::-1]  # the longest first
        signs = np.sign(loadings.sum(axis=1, keepdims=True))  # which no likelihood tells
        self.loadings.assign(loadings * np.where(signs == 0, 1.0, signs))
        self.log_scales.assign(0.5 * np.log(noise))

    def get_config(self):
        return {**super().get_config(), "latent_dims": self.latent_dims}
