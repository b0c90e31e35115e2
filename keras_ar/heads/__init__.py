"""Heads: the distributions of one step of an autoregressive model."""

from keras_ar import registry
from keras_ar.heads.bernoulli import Bernoulli
from keras_ar.heads.categorical import Categorical
from keras_ar.heads.discretized_logistic_mixture import DiscretizedLogisticMixture
from keras_ar.heads.head import Head
from keras_ar.heads.independent import Independent
from keras_ar.heads.level_head import LevelHead
from keras_ar.heads.monotone_head import MonotoneHead
from keras_ar.heads.normal import Normal
from keras_ar.heads.normal_mixture import NormalMixture
from keras_ar.heads.rational_quadratic_spline import RationalQuadraticSpline
from keras_ar.heads.real_head import RealHead

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiscretizedLogisticMixture",
    "Head",
    "Independent",
    "LevelHead",
    "MonotoneHead",
    "Normal",
    "NormalMixture",
    "RationalQuadraticSpline",
    "RealHead",
    "get",
]


def get(identifier, /, **kwargs):
    """A head by name, or from an instance, a class or a config.

    Args:
        identifier: `"bernoulli"`, `"dist-name:name"` for a plugin's, a `Head`, a
            subclass of it, or `{"class_name": ..., "config": ...}`.
        **kwargs: Arguments of the head, where it is yet to be made.

    Example:

    >>> keras_ar.heads.get("categorical", num_levels=16)
    Categorical(num_levels=16)
    """
    return registry.get("heads", identifier, **kwargs)
