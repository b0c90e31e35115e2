"""The layers that a layer or a model is made of."""

import functools

import keras

__all__ = ["parts"]


def parts(layer):
    """A layer and all the layers in it that its public attributes lead to: each once, in the order of their weights.

    Args:
        layer: A Keras layer or model.

    Returns:
        A list of layers; those without weights come last.

    Example:

    >>> model = keras_ar.models.MADE(3, hidden_units=4)
    >>> [type(part).__name__ for part in keras_ar.parts.parts(model)]
    ['MADE', 'MaskedDense', 'MaskedDense', 'Dropout']
    """
    found = []

    def walk(layer):
        if all(layer is not part for part in found):
            found.append(layer)
            for part in _layers_in(layer.layers if isinstance(layer, keras.Model) else _attributes(layer)):
                walk(part)

    walk(layer)
    place = {id(variable): i for i, variable in enumerate(layer.variables)}
    return sorted(found, key=lambda part: min((place[id(variable)] for variable in part.variables), default=len(place)))


def _attributes(layer):
    """The public attributes that not every layer has; by `dir`, because torch's modules hide layers from `vars`.

    Properties are left alone: they may compute, and fail.
    """
    names = [name for name in dir(layer) if not name.startswith("_") and not hasattr(keras.layers.Layer, name)]
    computed = (property, functools.cached_property)
    return [getattr(layer, name, None) for name in names if not isinstance(getattr(type(layer), name, None), computed)]


def _layers_in(value):
    if isinstance(value, keras.layers.Layer):
        return [value]
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [layer for entry in entries for layer in _layers_in(entry)]
