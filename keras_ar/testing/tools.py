"""What the checks are made of. Compiling costs more than running: what is compiled is shared between checks."""

import math
import weakref

import keras
import numpy as np
from keras import ops, tree

from keras_ar import backend, noise

__all__ = [
    "BATCH",
    "MOST_EVENTS",
    "SEED",
    "all_events",
    "computed",
    "gradients",
    "prepare",
    "random_params",
    "repeat",
    "sample",
    "score",
    "size",
    "trainee",
    "with_dtype",
]

MOST_EVENTS = 2**12  # of a space that is gone through event by event
BATCH = 512  # one size for nearly all that is compiled
SEED = 11  # of samples

_prepared, _trainees, _gradient_functions = (weakref.WeakKeyDictionary() for _ in range(3))


def prepare(model):
    """A copy of a model with random weights, made once: fresh models often start at zero, where everything is causal.

    Where compiling costs more than it saves, the drivers of the copy run uncompiled.

    Args:
        model: A `DensityModel`.

    Example:

    >>> model = keras_ar.models.FVSBN(3)
    >>> copy = keras_ar.testing.prepare(model)
    >>> bool(copy.get_weights()[0].any()), bool(model.get_weights()[0].any())
    (True, False)
    """
    if model not in _prepared:
        copy = type(model).from_config(model.get_config())
        noise.randomize(copy)
        copy.compile("adam", run_eagerly=backend.prefers_eager())
        copy.optimizer.build(copy.trainable_variables)
        _prepared[model] = copy
    return _prepared[model]


def trainee(model, learning_rate=0.01):
    """A copy of a model with its initial weights, compiled for training as users do it."""
    if model not in _trainees:
        copy = type(model).from_config(model.get_config())
        copy.compile(keras.optimizers.Adam(learning_rate))
        copy.optimizer.build(copy.trainable_variables)  # else TensorFlow traces the training step twice
        _trainees[model] = copy, copy.get_weights()
    copy, weights = _trainees[model]
    copy.set_weights(weights)
    copy.optimizer.learning_rate = learning_rate
    return copy


def all_events(model):
    """Every event of a model over integer levels, as an array of shape `(model.num_events, *event_shape)`.

    Args:
        model: A `DensityModel` with a finite `num_events`.

    Example:

    >>> keras_ar.testing.all_events(keras_ar.models.FVSBN(2)).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    indices = np.indices((model.support.num_levels,) * model.num_dims).reshape(model.num_dims, -1)
    return indices.T.reshape(-1, *model.event_shape).astype("int32")


def random_params(head, count, seed=0):
    """Random parameters of a head, as an array of shape `(count, num_params)`."""
    return np.random.default_rng(seed).normal(size=(count, head.num_params)).astype("float32")


def repeat(condition, count):
    """The first condition of a list of one array or of none, for `count` events."""
    return [np.repeat(c[:1], count, axis=0) for c in condition]


def sample(model, count, condition, seed=SEED, batch_size=None, **kwargs):
    """`model.sample`, in batches of one size where that is compiled."""
    batch_size = batch_size or (max(count, 1) if backend.prefers_eager() else BATCH)
    return model.sample(count, *condition, seed=seed, batch_size=batch_size, **kwargs)


def score(model, events, condition):
    """`model.score_samples`, as float64."""
    batch_size = len(events) if backend.prefers_eager() else BATCH
    return model.score_samples(events, *condition, batch_size=batch_size).astype("float64")


def gradients(model, *batch):
    """Gradients of the mean log-likelihood of a batch, for all the weights that learn."""
    if model not in _gradient_functions:
        _gradient_functions[model] = backend.gradient_function(
            lambda *batch: ops.mean(model.log_prob(*batch)), model.trainable_variables
        )
    return [
        np.zeros(variable.shape, "float32") if gradient is None else ops.convert_to_numpy(gradient)
        for gradient, variable in zip(_gradient_functions[model](*batch), model.trainable_variables, strict=True)
    ]


def computed(function, *args, owner=None):
    """What a function of tensors returns, as NumPy arrays."""
    args = tree.map_structure(ops.convert_to_tensor, args)
    return tree.map_structure(ops.convert_to_numpy, backend.once(function, *args, owner=owner))


def size(shape):
    """Number of entries of an array."""
    return math.prod(shape)


def with_dtype(config, dtype):
    """A config as it would be, had the component and all that it is made of been given that `dtype`.

    Example:

    >>> keras_ar.testing.tools.with_dtype({"units": 3, "part": {"dtype": "float32"}}, "mixed_bfloat16")
    {'units': 3, 'part': {'dtype': 'mixed_bfloat16'}}
    """
    if isinstance(config, list | tuple):
        return type(config)(with_dtype(entry, dtype) for entry in config)
    if not isinstance(config, dict):
        return config
    return {key: dtype if key == "dtype" else with_dtype(value, dtype) for key, value in config.items()}
