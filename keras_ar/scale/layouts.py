"""How the weights of a model are split among devices."""

import re

import keras

from keras_ar import arguments

__all__ = ["layout_map"]


def layout_map(model: keras.Model, device_mesh: keras.distribution.DeviceMesh, axis: str = "model"):
    """A layout of the weights of any model for `keras.distribution.ModelParallel`, on JAX.

    Each kernel, an array of two or more axes, is split along its last axis, the units or filters that it leads to. What
    cannot be divided by the number of devices is copied to all of them.

    Args:
        model: A Keras model, made without a distribution: the layout is for models made by the same arguments.
        device_mesh: A `keras.distribution.DeviceMesh`.
        axis: String, the axis of the mesh along which kernels are split. Defaults to `"model"`.

    Returns:
        A `keras.distribution.LayoutMap`.

    Example:

    >>> mesh = keras.distribution.DeviceMesh((1, 1), ["batch", "model"], devices=["cpu:0"])
    >>> layouts = keras_ar.scale.layout_map(keras_ar.models.MADE(6, hidden_units=8), mesh)
    >>> sorted(layouts)[0], tuple(layouts[sorted(layouts)[0]].axes)
    ('[^/]+/hidden_0/kernel', (None, 'model'))
    """
    arguments.one_of(axis, "axis", device_mesh.axis_names)
    count = device_mesh.shape[device_mesh.axis_names.index(axis)]
    layouts, divided = keras.distribution.LayoutMap(device_mesh), {}
    for variable in model.trainable_variables:
        _, _, path = variable.path.partition("/")
        rank, is_divided = divided.get(path, (len(variable.shape), True))
        is_kernel = len(variable.shape) > 1 and variable.shape[-1] % count == 0
        divided[path] = rank, is_divided and is_kernel and rank == len(variable.shape)
    for path, (rank, is_divided) in divided.items():  # models in a model may have weights of one name
        if is_divided:
            layouts[f"[^/]+/{re.escape(path)}"] = (*(None for _ in range(rank - 1)), axis)
    return layouts
