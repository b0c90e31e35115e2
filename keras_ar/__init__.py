"""Autoregressive deep generative models with exact likelihoods, for Keras 3."""

from keras_ar import (
    callbacks,
    datasets,
    heads,
    layers,
    masks,
    models,
    noise,
    orderings,
    plots,
    registry,
    sound,
    testing,
    text,
)
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.density import DensityModel
from keras_ar.saving import load_model

__version__ = "0.1.0"

__all__ = [
    "AutoregressiveModel",
    "DensityModel",
    "callbacks",
    "datasets",
    "heads",
    "layers",
    "load_model",
    "masks",
    "models",
    "noise",
    "orderings",
    "plots",
    "registry",
    "sound",
    "testing",
    "text",
]

registry.refresh()  # reads metadata only
