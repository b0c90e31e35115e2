"""What the checks are made of. Compiling costs more than running: what is compiled is shared between checks."""

import math
import weakref

import keras
import numpy as np
from keras import ops, tree

from keras_ar import backend, noise

__all__ = [
    "BATCH",
    "FEW",
    "MOST_EVENTS",
    "SEED",
    "all_events",
    "call_params",
    "computed",
    "prepare",
    "random_params",
    "repeat",
    "sample",
    "score",
    "sees_by_gradient",
    "size",
    "train",
    "trainee",
    "with_dtype",
]

MOST_EVENTS = 2**12  # of a space that is gone through event by event
BATCH, FEW = 256, 12  # two sizes for nearly all that is compiled
SEED = 11  # of samples

_prepared, _trainees, _functions_of_call = (weakref.WeakKeyDictionary() for _ in range(3))


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
    """A copy of a model as it was made, with its initial weights, compiled for training; without regularizers."""
    if model not in _trainees:
        keras.utils.set_random_seed(SEED)  # of the initial weights, whatever has been made before
        copy = type(model).from_config(model.get_config())
        for variable in copy.trainable_variables:
            variable.regularizer = None
        copy.compile(keras.optimizers.Adam(), run_eagerly=backend.prefers_eager())
        copy.optimizer.build(copy.trainable_variables)
        _trainees[model] = copy, copy.get_weights(), [ops.convert_to_numpy(v) for v in copy.optimizer.variables]
    copy, weights, of_optimizer = _trainees[model]
    copy.set_weights(weights)
    for variable, value in zip(copy.optimizer.variables, of_optimizer, strict=True):
        variable.assign(value)
    copy.optimizer.learning_rate = learning_rate
    return copy


def train(model, events, *condition, epochs=1):
    """Steps of training, on all events at once; returns the loss of each."""
    data = (events, *condition) if condition else events
    return model.fit(data, batch_size=len(events), epochs=epochs, shuffle=False, verbose=0).history["loss"]


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
    """`model.sample`, in batches of one of two sizes where that is compiled."""
    if batch_size is None:
        batch_size = max(count, 1) if backend.prefers_eager() else FEW if count <= FEW else BATCH
    return model.sample(count, *condition, seed=seed, batch_size=batch_size, **kwargs)


def score(model, events, condition):
    """`model.score_samples`, as float64."""
    batch_size = len(events) if backend.prefers_eager() else BATCH
    return model.score_samples(events, *condition, batch_size=batch_size).astype("float64")


def call_params(model, steps, condition):
    """The parameters of all steps that `call` computes: an array `(rows, num_steps, num_params)`.

    Args:
        model: An autoregressive model.
        steps: Array of shape `(rows, num_steps, ...)`, of values in the order in which they are drawn.
        condition: List of one array, with a row for each of the events, or of none.
    """
    if model not in _functions_of_call:

        def params(steps, *condition):
            return model.params_to_steps(model(model.from_steps(steps), *condition))

        _functions_of_call[model] = backend.compiled(model, params, "eager" if backend.prefers_eager() else "xla")
    rows = len(steps)
    count = rows if backend.prefers_eager() else math.ceil(rows / FEW) * FEW
    steps, *condition = (np.resize(x, (count, *x.shape[1:])) for x in (steps, *condition))
    return ops.convert_to_numpy(_functions_of_call[model](steps, *condition))[:rows]


def sees_by_gradient(function, x):
    """How strongly each position of `function(x)` depends on each position of `x`, an array `(positions, positions)`.

    By a single gradient: in a batch of copies of `x`, row `i` asks for position `i`, for a random mixture of its
    numbers.

    Args:
        function: A function of a tensor `(rows, positions, ...)` that returns a tensor of the same first axes.
        x: Array of shape `(1, positions, ...)`.

    Example:

    >>> function = lambda x: keras.ops.cumsum(x, axis=1)
    >>> (keras_ar.testing.tools.sees_by_gradient(function, np.ones((1, 3, 1))) > 0).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    n = x.shape[1]
    rows = keras.Variable(np.repeat(x, n, axis=0), dtype="float32")

    def mixture():
        y = ops.reshape(ops.cast(function(ops.convert_to_tensor(rows)), "float32"), (n, n, -1))
        each = np.eye(n)[:, :, None] * noise.normals(y.shape[-1], SEED)
        return ops.sum(ops.multiply(y, each.astype("float32")))

    (gradient,) = backend.gradients(mixture, [rows])
    return np.abs(gradient).reshape(n, n, -1).max(axis=2)


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
