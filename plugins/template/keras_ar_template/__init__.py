"""A plugin of keras-ar to start from: one head, one layer, one bijector, one model."""

from keras_ar_template.causal_mean import CausalMean
from keras_ar_template.laplace import Laplace
from keras_ar_template.mean_net import MeanNet
from keras_ar_template.standardize import Standardize

__all__ = ["CausalMean", "Laplace", "MeanNet", "Standardize"]
