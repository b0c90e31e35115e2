"""PPCA: the directions in which events vary most, as a density."""

import keras
from keras import ops

from keras_ar_latent.mixture_of_ppca import MixtureOfPPCA

__all__ = ["PPCA"]


@keras.saving.register_keras_serializable(package="keras_ar_latent")
class PPCA(MixtureOfPPCA):
    """Probabilistic principal component analysis: a linear map of a few latent variables, and noise.

    It is the one model with a continuous latent variable whose likelihood is known, which makes it the measure of all
    that follow: a `VAE` of a linear decoder is this model, and its bounds must stay below. `fit_em` finds the weights
    of largest likelihood in one step, from the eigenvectors of the covariance.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        latent_dims: Integer, the number of latent variables; less than the number of entries of an event.
        **kwargs: `resolution`, the spacing of the grid that the data were measured on, which only bits per dimension
            need, `name` and `dtype`.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(500, 1)) * [3.0, 4.0, 0.0] + rng.normal(size=(500, 3))
    >>> model = keras_ar_latent.PPCA(3, latent_dims=1)
    >>> nats = model.fit_em(x)
    >>> model.latents(x).shape, model.reconstruct(x).shape
    ((500, 1), (500, 3))

    Reference:
        [Tipping and Bishop, 1999](https://doi.org/10.1111/1467-9868.00196).
    """

    def __init__(self, event_shape, *, latent_dims, **kwargs):
        super().__init__(event_shape, num_components=1, latent_dims=latent_dims, **kwargs)

    def latents(self, x, *, batch_size=None, verbose=0):
        """The mean of the latent variables, given the event.

        Args:
            x: As in `score_samples`.
            batch_size: As in `score_samples`. Defaults to `None`.
            verbose: As in `score_samples`. Defaults to `0`.

        Returns:
            float32 array of shape `(events, latent_dims)`.
        """
        return super().latents(x, batch_size=batch_size, verbose=verbose)[:, 0]

    def reconstruct(self, x, *, batch_size=None, verbose=0):
        """Events as their latent variables make them, without noise.

        Args:
            x: As in `score_samples`.
            batch_size: As in `score_samples`. Defaults to `None`.
            verbose: As in `score_samples`. Defaults to `0`.

        Returns:
            float32 array of shape `(events, *event_shape)`.
        """
        return self.map_events(self._reconstruct, x, batch_size=batch_size, verbose=verbose)

    def _reconstruct(self, x):
        z = self.explain(self.flatten(x))[1][0]
        moved = ops.matmul(z, ops.transpose(self.loadings[0]))
        return ops.reshape(self.means[0] + ops.exp(self.log_scales[0]) * moved, (-1, *self.event_shape))

    def get_config(self):
        config = super().get_config()
        del config["num_components"]
        return config
