"""Autoregressive deep generative models with exact likelihoods, for Keras 3."""

from keras_ar import (
    arguments,
    backend,
    batches,
    bijectors,
    callbacks,
    cards,
    datasets,
    diagnostics,
    heads,
    layers,
    masks,
    missing,
    models,
    noise,
    notebook,
    numerics,
    orderings,
    parts,
    passes,
    plots,
    priors,
    registry,
    samplers,
    scale,
    sound,
    splines,
    stops,
    testing,
    text,
    zoo,
)
from keras_ar.any_order import AnyOrderModel
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.bounded import BoundedModel
from keras_ar.conditionals import ConditionalsModel
from keras_ar.density import DensityModel
from keras_ar.flow import FlowModel
from keras_ar.image import ImageModel
from keras_ar.many_orders import ManyOrdersModel
from keras_ar.priors import GaussianPrior
from keras_ar.saving import load_model, save_model
from keras_ar.sequence import SequenceModel
from keras_ar.support import Support
from keras_ar.zoo import load

__version__ = "0.1.0"

__all__ = [
    "AnyOrderModel",
    "AutoregressiveModel",
    "BoundedModel",
    "ConditionalsModel",
    "DensityModel",
    "FlowModel",
    "GaussianPrior",
    "ImageModel",
    "ManyOrdersModel",
    "SequenceModel",
    "Support",
    "arguments",
    "backend",
    "batches",
    "bijectors",
    "callbacks",
    "cards",
    "datasets",
    "diagnostics",
    "heads",
    "layers",
    "load",
    "load_model",
    "masks",
    "missing",
    "models",
    "noise",
    "notebook",
    "numerics",
    "orderings",
    "parts",
    "passes",
    "plots",
    "priors",
    "registry",
    "samplers",
    "save_model",
    "scale",
    "sound",
    "splines",
    "stops",
    "testing",
    "text",
    "zoo",
]

registry.refresh()  # reads metadata only
