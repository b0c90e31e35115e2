"""Bijectors: invertible maps between events and noise."""

from keras_ar import registry
from keras_ar.bijectors.autoregressive import Autoregressive
from keras_ar.bijectors.bijector import Bijector
from keras_ar.bijectors.inverse import Inverse
from keras_ar.bijectors.permute import Permute

__all__ = ["Autoregressive", "Bijector", "Inverse", "Permute", "get"]


def get(identifier, /, **kwargs):
    """A bijector by name, or from an instance, a class or a config.

    Args:
        identifier: `"permute"`, `"dist-name:name"` for a plugin's, a `Bijector`, a
            subclass of it, or `{"class_name": ..., "config": ...}`.
        **kwargs: Arguments of the bijector, where it is yet to be made.

    Example:

    >>> keras_ar.bijectors.get("permute", ordering="reversed").ordering
    'reversed'
    """
    return registry.get("bijectors", identifier, **kwargs)
