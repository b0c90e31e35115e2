"""Snapshots: the weights in the course of training, as the members of an ensemble."""

import keras

from keras_ar import DensityModel, arguments, backend, models

__all__ = ["Snapshots"]


class Snapshots(keras.callbacks.Callback):
    """Keeps the weights of a model every few epochs, and makes an ensemble of them.

    Under `SGLD` they are draws from the posterior distribution of the weights, and the ensemble is the Bayesian
    predictive, `p(x) = E[p(x | weights)]`. Under other optimizers it is an average along the way, or at the ends of the
    cycles of a learning rate.

    Args:
        first: Integer, the epoch of the first snapshot, counted from 1. Defaults to `1`.
        every: Integer, how many epochs there are from one snapshot to the next. Defaults to `1`.

    Example:

    >>> model = keras_ar.models.FVSBN(3)
    >>> model.compile("adam")
    >>> snapshots = keras_ar_latent.Snapshots(first=2)
    >>> history = model.fit(np.ones((8, 3)), epochs=4, callbacks=[snapshots], verbose=0)
    >>> snapshots.ensemble().score_samples(np.ones((2, 3))).shape
    (2,)

    Reference:
        [Huang et al., 2017](https://arxiv.org/abs/1704.00109), for the ends of cycles.
    """

    def __init__(self, *, first=1, every=1):
        super().__init__()
        self.first = arguments.integer(first, "first")
        self.every = arguments.integer(every, "every")
        self.weights = []

    def on_train_begin(self, logs=None):
        if not isinstance(self.model, DensityModel):
            raise ValueError(f"`Snapshots` is for density models. Received: a {type(self.model).__name__}.")
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        epoch += 1  # as the progress bar counts
        if epoch >= self.first and (epoch - self.first) % self.every == 0:
            backend.return_weights(self.model)
            self.weights.append(self.model.get_weights())

    def ensemble(self, **kwargs):
        """An `Ensemble` of copies of the model with the weights of the snapshots.

        Args:
            **kwargs: As in `keras_ar.models.Ensemble`.
        """
        if not self.weights:
            raise ValueError(f"`first` must be at most the number of epochs. Received: first={self.first}.")
        config, members = self.model.get_config(), []
        for i, weights in enumerate(self.weights):
            members.append(type(self.model).from_config({**config, "name": f"{self.model.name}_{i}"}))
            members[-1].set_weights(weights)
        return models.Ensemble(members, **kwargs)
