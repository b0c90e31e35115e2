"""A plugin of keras-ar to start from: one head, one layer, one model."""

from keras_ar_template.causal_mean import CausalMean
from keras_ar_template.laplace import Laplace
from keras_ar_template.mean_net import MeanNet

__all__ = ["CausalMean", "Laplace", "MeanNet"]
