"""What models have in common that make integers of real values, whose density another model is."""

import math

from keras import ops

from keras_ar import DensityModel

__all__ = ["check_density", "check_head", "conditions_of", "sum_of_entries", "without_shapes"]


def check_density(density, name):
    """Raises a `ValueError` unless this is a density model of all real numbers."""
    if not isinstance(density, DensityModel) or density.support.is_discrete or math.isfinite(density.support.low):
        raise ValueError(f"`{name}` must be a DensityModel of all real numbers. Received: {name}={density!r}.")


def check_head(head, *capabilities):
    """Raises a `ValueError` unless a head has these methods, and is one for all entries, of single values."""
    for capability in capabilities:
        head.require(capability, "head")
    if head.event_shape or head.position_shape:
        raise ValueError(f"`head` must be one for all entries, of single values. Received: {head}.")


def conditions_of(density):
    """The arguments by which a model takes the conditions that its density takes."""
    is_of_classes = density.num_classes is not None
    return {"condition_shape": None if is_of_classes else density.condition_shape, "num_classes": density.num_classes}


def without_shapes(config):
    """A config without what a model has from its density."""
    return {k: value for k, value in config.items() if k not in ("event_shape", "condition_shape", "num_classes")}


def sum_of_entries(x):
    """The sum over all entries of each event: `(batch,)`."""
    return ops.sum(ops.reshape(x, (ops.shape(x)[0], -1)), axis=-1)
