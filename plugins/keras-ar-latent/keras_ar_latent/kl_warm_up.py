"""KLWarmUp: the divergence from the prior counts little at first."""

import keras

from keras_ar import arguments
from keras_ar_latent.vae import VAE

__all__ = ["KLWarmUp"]


class KLWarmUp(keras.callbacks.Callback):
    """Raises `beta` of a `VAE` in equal steps, from a small number in the first epoch to its own value.

    Until a decoder knows what latent variables are good for, it is cheapest to say nothing by them. A decoder that can
    do without, such as that of a `PixelVAE`, may never come to know. While `beta` is small, they are for free.

    Args:
        num_epochs: Integer, the number of the epoch, counted from 1, that is the first with the full `beta`.

    Example:

    >>> vae = keras_ar_latent.VAE(4, latent_shape=2, encoder=8, decoder=8)
    >>> vae.compile("adam")
    >>> x = np.random.default_rng(0).integers(0, 2, (64, 4))
    >>> history = vae.fit(x, epochs=3, callbacks=[keras_ar_latent.KLWarmUp(4)], verbose=0).history
    >>> history["beta"]
    [0.25, 0.5, 0.75]

    Reference:
        [Bowman et al., 2016](https://arxiv.org/abs/1511.06349), section 3.1.
    """

    def __init__(self, num_epochs):
        super().__init__()
        self.num_epochs = arguments.integer(num_epochs, "num_epochs")
        self._beta = None

    def on_train_begin(self, logs=None):
        if not isinstance(self.model, VAE) or self.model.objective_name != "elbo":
            raise ValueError(
                f"`KLWarmUp` is for a `VAE` that is trained by objective='elbo'. Received: {self.model.name}, a "
                f"{type(self.model).__name__}."
            )

    def on_epoch_begin(self, epoch, logs=None):
        self._beta = self.model.initial_beta * min((epoch + 1) / self.num_epochs, 1.0)
        self.model.beta.assign(self._beta)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["beta"] = self._beta

    def on_train_end(self, logs=None):
        self.model.beta.assign(self.model.initial_beta)
