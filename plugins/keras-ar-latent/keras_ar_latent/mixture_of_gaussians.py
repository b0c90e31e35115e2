"""MixtureOfGaussians: clusters, each with a covariance of its own."""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar_latent import em
from keras_ar_latent.mixture import Mixture

__all__ = ["MixtureOfGaussians"]

_MOST_LOG_SCALE = 20.0


@keras.saving.register_keras_serializable(package="keras_ar_latent")
class MixtureOfGaussians(Mixture):
    """A mixture of normal distributions, with an exact likelihood.

    Each component has a mean and the Cholesky factor of a covariance, `diag(scale) (1 + strictly lower triangle)`: so
    any weights make a covariance that is positive definite, and its determinant is the product of the scales.

    `fit_em` trains by EM, from clusters; `fit` by gradients, as every model, after `initialize_from_data`. What is
    called training by the incomplete likelihood is both: the components of events are summed out.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        num_components: Integer, the number of normal distributions.
        covariance: `"full"`, `"diag"`, or `"spherical"` for one variance in all directions. Defaults to `"full"`.
        **kwargs: `resolution`, the spacing of the grid that the data were measured on, which only bits per dimension
            need, `name` and `dtype`.

    Example:

    >>> x = np.concatenate([np.zeros((50, 2)), np.ones((50, 2))]) + 0.1 * np.random.default_rng(0).normal(size=(100, 2))
    >>> model = keras_ar_latent.MixtureOfGaussians(2, num_components=2)
    >>> nats = model.fit_em(x)
    >>> bool((np.diff(nats) >= 0).all())
    True
    >>> model.responsibilities([[0.0, 0.1], [0.9, 1.0]]).max(axis=1).round(3).tolist()
    [1.0, 1.0]

    Reference:
        [Dempster et al., 1977](https://doi.org/10.1111/j.2517-6161.1977.tb01600.x), for EM.
    """

    def __init__(self, event_shape, *, num_components, covariance="full", **kwargs):
        super().__init__(event_shape, num_components=num_components, **kwargs)
        self.covariance = arguments.one_of(covariance, "covariance", ("full", "diag", "spherical"))
        self.has_factors = covariance == "full" and self.num_dims > 1
        num_scales = 1 if covariance == "spherical" else self.num_dims

        # Weights.
        self.log_scales = self.add_weight((num_components, num_scales), "zeros", name="log_scales")
        if self.has_factors:  # of which the strictly lower triangles count
            self.factors = self.add_weight((num_components, self.num_dims, self.num_dims), "zeros", name="factors")

    def component_log_prob(self, x):
        log_scales = self._log_scales()
        z = (ops.expand_dims(x, 1) - self.means) * ops.exp(-log_scales)  # (batch, components, dims)
        if self.has_factors:
            unit = ops.tril(self.factors, -1) + ops.eye(self.num_dims)
            z = ops.solve_triangular(unit, ops.transpose(z, (1, 2, 0)), lower=True)
            z = ops.transpose(z, (2, 0, 1))
        log_det = self.num_dims * ops.mean(log_scales, axis=-1)
        return -0.5 * (ops.sum(ops.square(z), axis=-1) + self.num_dims * math.log(2 * math.pi)) - log_det

    def _log_scales(self):
        return ops.clip(ops.convert_to_tensor(self.log_scales), -_MOST_LOG_SCALE, _MOST_LOG_SCALE)

    @property
    def noise_size(self):
        """How many normal variables an event is made of: as many as it has entries."""
        return self.num_dims

    def draw_components(self, picked, normals):
        z = normals
        if self.has_factors:
            factors = ops.take(ops.tril(self.factors, -1), picked, axis=0)  # (batch, dims, dims)
            z = z + ops.matmul(factors, ops.expand_dims(z, -1))[..., 0]
        return z * ops.exp(ops.take(self._log_scales(), picked, axis=0))

    # Training.

    def estimate(self, x, means, shares, regularization):
        if self.covariance == "full":
            return em.weighted_covariances(x, means, shares) + regularization * np.eye(self.num_dims)
        variances = shares.T @ x**2 - means**2
        if self.covariance == "spherical":
            variances = np.broadcast_to(variances.mean(axis=1, keepdims=True), variances.shape)
        return np.maximum(variances, 0.0) + regularization

    def set_covariances(self, covariances):
        if self.covariance != "full":
            scales = np.sqrt(covariances.reshape(self.num_components, -1)[:, : self.log_scales.shape[1]])
        else:
            lower = np.linalg.cholesky(covariances)
            scales = np.diagonal(lower, axis1=1, axis2=2)
            if self.has_factors:
                self.factors.assign(np.tril(lower / scales[..., None], -1))
        self.log_scales.assign(np.log(scales))

    def get_config(self):
        return {**super().get_config(), "covariance": self.covariance}
