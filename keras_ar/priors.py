"""Priors on weights, for the most probable weights in place of the most likely ones."""

import math

import keras
from keras import ops

from keras_ar import arguments

__all__ = ["GaussianPrior"]


@keras.saving.register_keras_serializable(package="keras_ar")
class GaussianPrior(keras.regularizers.Regularizer):
    """A regularizer that is a normal prior on weights: `-log p(weights) / num_events`, in nats per event.

    The loss of a density model is the mean over events of `-log p(event | weights)`. With this regularizer on every
    weight that has a prior it is `-log p(weights, all events) / num_events`, exactly, so that `fit` finds the most
    probable weights given the data (MAP). The normalization of the prior is part of it, so that losses under different
    scales compare.

    As every regularizer of Keras it is part of `loss` in `evaluate`, too, but no part of `bits_per_dim` and
    `score_samples`.

    Args:
        scale: Float, the standard deviation of each weight.
        num_events: Integer, the number of events in the training data.

    Example:

    >>> prior = keras_ar.GaussianPrior(scale=2.0, num_events=100)
    >>> round(float(prior(np.zeros((3, 5), "float32"))), 4)  # 15 * log(2 * sqrt(2 pi)) / 100
    0.2418
    >>> model = keras_ar.models.FVSBN(4, kernel_regularizer=prior)
    """

    def __init__(self, scale, num_events):
        self.scale = arguments.number(scale, "scale", above=0)
        self.num_events = arguments.integer(num_events, "num_events")

    def __call__(self, x):
        x = ops.cast(x, "float32")
        of_one = math.log(self.scale) + 0.5 * math.log(2 * math.pi)
        return (0.5 * ops.sum(ops.square(x / self.scale)) + math.prod(x.shape) * of_one) / self.num_events

    def get_config(self):
        return {"scale": self.scale, "num_events": self.num_events}
