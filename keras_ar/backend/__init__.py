"""The only place that asks which backend runs: what `keras.ops` has no word for.

Authors of layers, heads and models find here what a step and a pass are made of: `scan`, a loop with
gradients; `when` and `lookup`, branches and tables inside of a step; `compiled`, for functions outside of training.
"""

import contextlib
import os
import re
import threading

import keras
import numpy as np
from keras import tree

from keras_ar.backend import exporting
from keras_ar.backend.precision import true_float32

__all__ = [
    "UNTRACKED",
    "Constant",
    "Loop",
    "allows_xla",
    "alone",
    "causal_convolution",
    "checked_dataset",
    "compiled",
    "deliver_interrupts",
    "elu_of_both",
    "ensure_shape",
    "environment_of_workers",
    "exporting",
    "gradient_function",
    "gradients",
    "is_seen_true",
    "jacobian",
    "lookup",
    "make_weights",
    "needing_gradients",
    "needs_gradients",
    "note_loop",
    "noting_loops",
    "num_replicas",
    "num_shares",
    "on_accelerator",
    "once",
    "output_shape",
    "permuted",
    "positions_at_once",
    "prefers_eager",
    "random_state",
    "return_weights",
    "scan",
    "set_random_state",
    "share",
    "shared_data",
    "traced_gradients",
    "transposed_convolution",
    "true_float32",
    "wants_known_lengths",
    "watched_step",
    "weight_of_part",
    "when",
]

_NAME = keras.backend.backend()

# What a trainer sets on its model at each step: Keras would look through all of it for layers and variables.
UNTRACKED = frozenset({"_jax_state"})

if _NAME == "jax":
    import jax

    from keras_ar.backend import sharing
    from keras_ar.backend.keeping import CheckedData, Keeping
elif _NAME == "tensorflow":
    import tensorflow as tf
    from tensorflow.python.framework.config import is_op_determinism_enabled
elif _NAME == "torch":
    import torch

    from keras_ar.backend import traced
    from keras_ar.backend.training_traced import Gradients


def compiled(owner, function, mode="xla"):
    """`function`, compiled where the backend compiles, for use outside of training.

    Compiled once per set of argument shapes. The weights of `owner` are read at each
    call; nothing may be assigned to. On torch the function runs as it is, without
    recording gradients. On GPUs float32 means float32 in it, see `true_float32`.

    Args:
        owner: The layer or model whose weights `function` reads, or `None`.
        function: A pure function of tensors, or nests of tensors.
        mode: `"xla"`; `"graph"`, which on TensorFlow is a graph without XLA and elsewhere the
            same as `"eager"`; or `"eager"`: not compiled. Defaults to `"xla"`.

    Returns:
        A function of the same arguments. NumPy arrays and Python integers are welcome.

    Example:

    >>> dense = keras.layers.Dense(2, kernel_initializer="ones")
    >>> dense.build((None, 3))
    >>> keras.ops.convert_to_numpy(keras_ar.backend.compiled(dense, dense)(np.ones((1, 3), "float32"))).tolist()
    [[3.0, 3.0]]
    """
    run = _compiled(owner, function, mode)

    def outside_of_training(*args):
        with true_float32(), needing_gradients(False):
            return run(*args)

    return outside_of_training


def _compiled(owner, function, mode):
    if _NAME == "tensorflow":
        if mode != "eager":
            function = tf.function(function, jit_compile=mode == "xla", autograph=False)
        return lambda *args: function(*tree.map_structure(tf.convert_to_tensor, args))

    if _NAME == "torch":

        def without_gradients(*args):
            with torch.no_grad():
                return function(*tree.map_structure(_torch_argument, args))

        return without_gradients

    if mode != "xla":
        return lambda *args: function(*tree.map_structure(jax.numpy.asarray, args))

    variables = [] if owner is None else owner.variables

    @jax.jit
    def pure(values, args):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*args)

    return lambda *args: pure(sharing.weights(variables), args)


_of_this_thread = threading.local()


class Constant:
    """A NumPy array as a tensor, which is the same in each call of a layer.

    On torch, which computes as it goes, the tensor is made once, where a conversion at each call costs as much as a
    product; in a step that is traced, the trace keeps one of its own. No symbolic pass has a part in it, so it may be
    made in `build`.

    Args:
        array: NumPy array.
        dtype: String, the dtype of the tensor.

    Example:

    >>> ones = keras_ar.backend.Constant(np.ones(3, bool), "float32")
    >>> keras.ops.convert_to_numpy(ones()).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, array, dtype):
        self.array, self.dtype = array, dtype
        if _NAME == "torch":
            with torch.inference_mode(False):
                self._tensor = torch.from_numpy(np.array(array, "float32")).to(getattr(torch, dtype))

    def __call__(self):
        if _NAME != "torch" or traced.is_tracing():
            return keras.ops.cast(self.array, self.dtype)
        return keras.ops.convert_to_tensor(self._tensor)  # on the device of the day


def needs_gradients():
    """Whether what is computed here may be asked for gradients; `False` where it may be computed in a faster way.

    In `compiled`, and under torch's `no_grad`, nobody will ask. It holds for what is traced there, too.

    Example:

    >>> keras_ar.backend.needs_gradients()
    True
    """
    said = getattr(_of_this_thread, "needs_gradients", None)
    if said is None:
        return _NAME != "torch" or torch.is_grad_enabled()
    return said


@contextlib.contextmanager
def needing_gradients(is_needed):
    """A context in which `needs_gradients` is as it is said.

    Args:
        is_needed: Boolean.

    Example:

    >>> with keras_ar.backend.needing_gradients(False):
    ...     keras_ar.backend.needs_gradients()
    False
    """
    before = getattr(_of_this_thread, "needs_gradients", None)
    _of_this_thread.needs_gradients = is_needed
    try:
        yield
    finally:
        _of_this_thread.needs_gradients = before


@contextlib.contextmanager
def noting_loops():
    """A context that notes which loops run or are traced in it: `scan`, `Loop`, and all that tell of it by `note_loop`.

    Example:

    >>> with keras_ar.backend.noting_loops() as loops:
    ...     total, _ = keras_ar.backend.scan(lambda s, x: (s + x, s), keras.ops.zeros(()), keras.ops.ones(3))
    >>> loops
    ['scan']
    """
    before = getattr(_of_this_thread, "loops", None)
    _of_this_thread.loops = []
    try:
        yield _of_this_thread.loops
    finally:
        _of_this_thread.loops = before


def note_loop(name):
    """Tells `noting_loops` of a loop that is not one of this module, such as a recurrent layer of Keras.

    Args:
        name: String, what the loop is called.

    Example:

    >>> with keras_ar.backend.noting_loops() as loops:
    ...     keras_ar.backend.note_loop("while_loop")
    >>> loops
    ['while_loop']
    """
    loops = getattr(_of_this_thread, "loops", None)
    if loops is not None:
        loops.append(name)


def once(function, *args, owner=None):
    """`function(*args)` for a single time, without gradients.

    On JAX it is compiled, because there each operation would be.

    Args:
        function: A pure function of tensors.
        *args: Its arguments.
        owner: The layer or model whose weights `function` reads, or `None`. Defaults to `None`.

    Example:

    >>> float(keras_ar.backend.once(keras.ops.sum, np.ones(3)))
    3.0
    """
    return compiled(owner, function, "xla" if _NAME == "jax" else "eager")(*args)


def allows_xla():
    """Whether XLA may compile: on TensorFlow not while its operations must be deterministic, which XLA cannot promise.

    Example:

    >>> type(keras_ar.backend.allows_xla()).__name__
    'bool'
    """
    return _NAME != "tensorflow" or not is_op_determinism_enabled()


def environment_of_workers():
    """Environment variables for other processes that compute as this one does, of which a machine may have several.

    Each has one thread, and on JAX takes memory of a GPU only as it needs it.

    Example:

    >>> keras_ar.backend.environment_of_workers()["KERAS_BACKEND"] == keras.backend.backend()
    True
    """
    fixed = {"KERAS_BACKEND": _NAME, "OMP_NUM_THREADS": "1", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    fixed["NPROC"] = "1"  # what XLA on JAX counts its threads by
    return {**fixed, **{name: os.environ[name] for name in ("TF_CPP_MIN_LOG_LEVEL", "XLA_FLAGS") if name in os.environ}}


def prefers_eager():
    """Whether functions that run a few times on small tensors take less time if they are not compiled.

    So it is on TensorFlow, where tracing and compiling a small model takes seconds and running it uncompiled
    milliseconds. On JAX each operation of an uncompiled function is compiled by itself; torch compiles nothing.

    Example:

    >>> keras_ar.backend.prefers_eager() == (keras.backend.backend() == "tensorflow")
    True
    """
    return _NAME == "tensorflow"


def is_seen_true(condition):
    """Whether a boolean tensor is true, if a look costs nothing, as on torch's CPU; `False` where it would cost a wait.

    For shortcuts that leave the result as it is.

    Example:

    >>> keras_ar.backend.is_seen_true(keras.ops.convert_to_tensor(False))
    False
    """
    if _NAME != "torch" or condition.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return bool(condition)


def wants_known_lengths():
    """Whether loops of a length known to the compiler are faster: on GPUs, which otherwise ask the host at each turn.

    Example:

    >>> type(keras_ar.backend.wants_known_lengths()).__name__
    'bool'
    """
    if _NAME == "jax":
        return jax.default_backend() == "gpu"
    return _NAME == "tensorflow" and bool(tf.config.list_physical_devices("GPU"))


def on_accelerator():
    """Whether tensors are made on a GPU or its like, and not on a CPU.

    Example:

    >>> type(keras_ar.backend.on_accelerator()).__name__
    'bool'
    """
    if _NAME == "jax":
        return jax.default_backend() != "cpu"
    if _NAME == "torch":
        return keras.ops.zeros(()).device.type not in ("cpu", "meta")
    return any(device.device_type != "CPU" for device in tf.config.list_logical_devices())


def positions_at_once():
    """How many positions a sum over all earlier ones best takes at a time, where gradients are needed.

    On a CPU as many as leave what is in between in the cache, by measurement: fewer where a turn costs little. On
    an accelerator a turn costs more than the arithmetic.

    Example:

    >>> 2 <= keras_ar.backend.positions_at_once() <= 128
    True
    """
    return 128 if on_accelerator() else {"jax": 4, "tensorflow": 8, "torch": 16}[_NAME]


def num_shares():
    """Among how many devices of this process each batch is divided: those of a `keras.distribution` on JAX.

    Elsewhere it is 1: `tf.distribute` and torch divide the batches of training in ways of their own.

    Example:

    >>> keras_ar.backend.num_shares()
    1
    """
    return sharing.num_shares() if _NAME == "jax" else 1


def num_replicas():
    """How many devices compute a loss each, of their part of a batch, by a strategy of TensorFlow; 1 elsewhere.

    Keras divides each of these losses by their number, so that the sum is a mean.

    Example:

    >>> keras_ar.backend.num_replicas()
    1
    """
    return tf.distribute.get_strategy().num_replicas_in_sync if _NAME == "tensorflow" else 1


def weight_of_part(num_events):
    """The weight of a mean over this device's part of a batch: 1, or more for a part that is longer than others.

    TensorFlow's strategies take the mean over devices of the means over their parts. With these weights it is the mean
    over the batch.

    Args:
        num_events: Integer or scalar tensor, the length of the part.

    Example:

    >>> keras_ar.backend.weight_of_part(5)
    1.0
    """
    if num_replicas() == 1:
        return 1.0
    context = tf.distribute.get_replica_context()
    if context is None:  # outside of a step
        return 1.0
    num_events = tf.cast(num_events, "float32")
    return num_events * context.num_replicas_in_sync / context.all_reduce(tf.distribute.ReduceOp.SUM, num_events)


def share(arrays, axis=0):
    """Arrays for a compiled function, of which each device of a distribution gets its part.

    Args:
        arrays: A nest of NumPy arrays with an entry for each event. They come back as they are where no devices share,
            or cannot divide them.
        axis: Integer, the axis of the events. Defaults to `0`.

    Example:

    >>> keras_ar.backend.share([np.ones(2)])[0].shape
    (2,)
    """
    return sharing.share(arrays, axis) if num_shares() > 1 else arrays


def alone():
    """A context in which one of several processes that train together does something without the others.

    Keras makes variables when it saves a model, and on JAX would wait for all processes to make them.

    Example:

    >>> with keras_ar.backend.alone():
    ...     pass
    """
    return sharing.alone() if _NAME == "jax" else contextlib.nullcontext()


def shared_data(x, y=None, sample_weight=None, batch_size=None, shuffle=False):
    """Data for Keras' trainer on devices that share: batches are padded to a length that these divide.

    Args:
        x: Arrays, or any dataset that Keras trains on.
        y: As in `keras.Model.fit`. Defaults to `None`.
        sample_weight: As in `keras.Model.fit`. Defaults to `None`.
        batch_size: As in `keras.Model.fit`. Defaults to `None`.
        shuffle: As in `keras.Model.fit`. Defaults to `False`.

    Example:

    >>> if keras_ar.backend.num_shares() > 1:
    ...     data = keras_ar.backend.shared_data(np.zeros((6, 3)), batch_size=4)
    """
    return sharing.PaddedData(x, y=y, sample_weight=sample_weight, batch_size=batch_size, shuffle=shuffle)


def checked_dataset(dataset, shuffle=False):
    """A dataset for Keras' trainer, whose batches are checked on JAX: numbers only, none that its 32 bits cannot hold.

    Args:
        dataset: Any dataset that Keras trains on.
        shuffle: Boolean, as in `keras.Model.fit`: whether to shuffle the batches of a `PyDataset`. Defaults to `False`.

    Example:

    >>> class Batches(keras.utils.PyDataset):
    ...     def __len__(self):
    ...         return 3
    >>> keras_ar.backend.checked_dataset(Batches()) is not None
    True
    """
    return CheckedData(dataset, shuffle=shuffle) if _NAME == "jax" else dataset


def deliver_interrupts(model):
    """Raises `KeyboardInterrupt` if one came in the middle of a step of training, where `watched_step` held it back.

    Example:

    >>> keras_ar.backend.deliver_interrupts(keras_ar.models.FVSBN(3))
    """
    if _NAME == "jax":
        for function in (model.train_function, model.test_function, model.predict_function):
            if isinstance(function, Keeping):
                function.deliver()


def ensure_shape(x, shape, name):
    """A tensor whose shape is known when it comes, as on TensorFlow: then it is an error if it is another than this.

    Args:
        x: Tensor. If its shape is known already, it is left to others to check it.
        shape: Tuple of integers, `None` for any length.
        name: String, what the error of `watched_step` calls the tensor.

    Example:

    >>> tuple(keras_ar.backend.ensure_shape(keras.ops.ones((5, 3)), (None, 3), "x").shape)
    (5, 3)
    """
    if _NAME != "tensorflow" or not tf.is_tensor(x) or x.shape.is_fully_defined():
        return x
    return tf.ensure_shape(x, shape, f"shape_of_{name}") if x.shape.is_compatible_with(shape) else x


def _with_plain_words(model, function):
    """A step of TensorFlow's whose error is a `ValueError` where `ensure_shape` has refused a batch.

    A step that fails before it has made the variables of the optimizer is forgotten: TensorFlow would let no later call
    of it make them.
    """

    def run(*args):
        try:
            return function(*args)
        except Exception as error:
            if model.optimizer is not None and not model.optimizer.built:
                model.train_function = None
            if not isinstance(error, tf.errors.InvalidArgumentError):
                raise
            found = re.search(r" (\[.*\]) is not compatible .* (\[.*\])\.\s.*shape_of_([a-z]+)", error.message)
            if not found:
                raise
            shape, expected, name = found.groups()
            raise ValueError(
                f"`{name}` must have shape {expected} in each batch. Received: {name}.shape={shape}."
            ) from error

    return run


def watched_step(model, function, kinds, watch=None):
    """A step of Keras' trainer whose loss is watched, and that leaves the model its weights if it fails.

    On TensorFlow and torch the weights stay where they are.

    Args:
        model: A Keras model.
        function: What `make_train_function` of Keras, or its like, has made.
        kinds: Kinds of variables, in the order in which the trainer hands on their values on JAX.
        watch: Has `note(logs)`, `is_due` and `check(model)`, which raises an error for a loss that is
            not finite; `None` for a step without loss. Defaults to `None`.

    Example:

    >>> model = keras_ar.models.FVSBN(3)
    >>> step = keras_ar.backend.watched_step(model, lambda *args: ({"loss": 1.0}, []), ())
    >>> step([], iter("a"))[0]
    {'loss': 1.0}
    """
    if _NAME == "jax":
        return Keeping(model, function, kinds, watch)
    if _NAME == "tensorflow":
        function = _with_plain_words(model, function)
    if watch is None:
        return function

    def watched(*args):
        logs = function(*args)
        watch.note(logs)
        if watch.is_due:
            watch.check(model)
        return logs

    return watched


def traced_gradients(model):
    """What traces the steps in which a model is trained, `training_traced.Gradients`; `None` where nothing does.

    That is on JAX and TensorFlow, which compile them, and on torch where a model is compiled or run eagerly by its own
    wish, where its loss is scaled, and where several devices have a part in it.

    Args:
        model: A compiled Keras model.

    Example:

    >>> model = keras_ar.models.FVSBN(3)
    >>> model.compile("adam", run_eagerly=True)
    >>> print(keras_ar.backend.traced_gradients(model))
    None
    """
    if _NAME != "torch" or model.run_eagerly or model.jit_compile or num_shares() > 1 or num_replicas() > 1:
        return None
    optimizer = model.optimizer
    is_scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or optimizer.loss_scale_factor is not None
    return None if is_scaled else Gradients()


def random_state():
    """What random numbers follow from that no variable holds: uint8 arrays, of torch's own generators.

    Example:

    >>> all(array.dtype == "uint8" for array in keras_ar.backend.random_state())
    True
    """
    if _NAME != "torch":
        return []
    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ())]
    return [state.numpy() for state in states]


def set_random_state(state):
    """Sets what `random_state` returned.

    Args:
        state: List of uint8 arrays.

    Example:

    >>> keras_ar.backend.set_random_state(keras_ar.backend.random_state())
    """
    if _NAME == "torch":
        cpu, *gpus = map(torch.tensor, state)
        torch.set_rng_state(cpu)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)


def return_weights(model):
    """Gives a model the weights that JAX's trainer holds during an epoch. Elsewhere it has them.

    Example:

    >>> keras_ar.backend.return_weights(keras_ar.models.FVSBN(3))
    """
    if _NAME == "jax":
        model.jax_state_sync()


def make_weights(function, *specs):
    """Runs a function of tensors once, so that the layers in it make their weights.

    On TensorFlow and torch it runs on zeros, which takes a tenth of the time of a symbolic run; on JAX it is traced,
    because there each operation of an eager run would be compiled.

    Args:
        function: A function of tensors.
        *specs: `keras.KerasTensor`s, the shapes and dtypes of its arguments, with the batch size.

    Returns:
        What the function returns, of which only shapes and dtypes say anything.

    Example:

    >>> dense = keras.layers.Dense(2)
    >>> _ = keras_ar.backend.make_weights(dense, keras.KerasTensor((1, 3)))
    >>> tuple(dense.kernel.shape)
    (3, 2)
    """
    if _NAME == "jax":
        return _Traced(function)(*specs)

    def for_training(*args):  # which takes no loop of many steps
        with needing_gradients(True):
            return function(*args)

    return compiled(None, for_training, "eager")(*(np.zeros(spec.shape, spec.dtype) for spec in specs))


def output_shape(layer, input_shape):
    """The shape of what a layer makes of one input of a shape; without the axis of the batch. The layer is built.

    Example:

    >>> keras_ar.backend.output_shape(keras.layers.Conv2D(8, 3), (5, 5, 1))
    (3, 3, 8)
    """
    return tuple(make_weights(layer, keras.KerasTensor((1, *input_shape))).shape[1:])


class _Traced(keras.Operation):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, *args):
        return self.function(*args)


def _torch_argument(argument):
    # Integers stay what they are: a loop over them is a plain Python loop.
    return argument if isinstance(argument, int) else keras.ops.convert_to_tensor(argument)


class Loop:
    """Steps that draw one value after the other, without gradients: compiled as one loop on JAX and TensorFlow.

    On torch it is a loop of Python; one that runs for long is traced (see `backend/traced.py`).

    Args:
        owner: The layer or model whose weights the steps read.

    Call arguments:
        body: `carry, y = body(t, carry, row, *constants)`, a pure function of these and of
            the owner's weights: the same one at each call. What it carries keeps shape and dtype.
        first: The first step.
        last: One more than the last step.
        carry: What the first step is given, a nest of tensors.
        rows: A nest of tensors; step `t` is given their entry `t - first`. They may hold more than are needed,
            unless `wants_known_lengths()`.
        values: Tensor of the length of `rows`, whose entry `t - first` the `y` of step `t` replaces.
        constants: What all steps are given: a sequence of nests of tensors and integers.

    Returns:
        The values and the last carry.

    Example:

    >>> loop = keras_ar.backend.Loop(owner=None)
    >>> add = lambda t, total, x: (total + x, total + x)
    >>> ones = keras.ops.ones(3)
    >>> sums, _ = loop(add, 0, 3, keras.ops.zeros(()), ones, keras.ops.zeros(3))
    >>> [float(s) for s in sums]
    [1.0, 2.0, 3.0]
    """

    def __init__(self, owner):
        self._on_torch = traced.Loop(owner) if _NAME == "torch" else None

    def __call__(self, body, first, last, carry, rows, values, constants=()):
        note_loop("Loop")
        if self._on_torch:
            carry, ys = self._on_torch(body, first, last, carry, rows, constants)
            return torch.cat([ys, values[len(ys) :]]), carry

        def turn(i, loop):
            values, carry = loop
            row = tree.map_structure(lambda x: x[i], rows)
            carry, y = body(first + i, carry, row, *constants)
            start = (i, *(0 for _ in y.shape))
            return keras.ops.slice_update(values, start, keras.ops.expand_dims(y, 0)), carry

        num_steps = values.shape[0] if wants_known_lengths() else last - first
        return keras.ops.fori_loop(0, num_steps, turn, (values, carry))


def scan(body, carry, xs, recompute=False):
    """`body(carry, x) -> (carry, y)` over the first axis of the tensors in `xs`; with gradients on every backend.

    The loop is compiled as one on JAX and TensorFlow, and is a Python loop on torch.

    Args:
        body: A pure function; what it carries keeps shape and dtype.
        carry: What the first call is given, a nest of tensors.
        xs: A nest of tensors with a first axis of one length.
        recompute: Whether on JAX what `body` computes inside is computed again for
            the gradient instead of being kept.

    Returns:
        The last carry, and the `y` stacked along a new first axis.

    Example:

    >>> total, sums = keras_ar.backend.scan(lambda s, x: (s + x, s + x), keras.ops.zeros(()), keras.ops.ones(3))
    >>> float(total), [float(s) for s in sums]
    (3.0, [1.0, 2.0, 3.0])
    """
    note_loop("scan")
    if _NAME == "jax":
        return jax.lax.scan(jax.checkpoint(body) if recompute else body, carry, xs)

    length = tree.flatten(xs)[0].shape[0]
    if _NAME == "tensorflow":
        # Neither `ops.scan` nor TensorFlow's own has a gradient under XLA: it wants to know the length from the start.
        # The gradient of `x[i]` in a loop is as large as `x` in each turn; that of an array's entry is not.
        arrays = tree.map_structure(lambda x: tf.TensorArray(x.dtype, length).unstack(x), xs)
        carry, first = body(carry, tree.map_structure(lambda x: x[0], xs))
        if length == 1:  # a loop of no turns has no gradient under XLA
            return carry, tree.map_structure(lambda y: tf.expand_dims(y, 0), first)
        ys = tree.map_structure(lambda y: tf.TensorArray(y.dtype, length, element_shape=y.shape).write(0, y), first)

        def turn(i, carry, ys):
            carry, y = body(carry, tree.map_structure(lambda array: array.read(i), arrays))
            return i + 1, carry, tree.map_structure(lambda array, y: array.write(i, y), ys, y)

        loop = (tf.constant(1), carry, ys)
        _, carry, ys = tf.while_loop(lambda i, *_: i < length, turn, loop, maximum_iterations=length - 1)
        return carry, tree.map_structure(lambda array: array.stack(), ys)

    entries = tree.map_structure(lambda x: x.unbind(0), xs)
    ys = []
    for i in range(length):
        carry, y = body(carry, tree.map_structure_up_to(xs, lambda entry: entry[i], entries))  # noqa: B023
        ys.append(y)
    return carry, tree.map_structure(lambda *ys: keras.ops.stack(ys), *ys)


def causal_convolution(x, kernel, dilation):
    """Convolution over time, `(batch, length, channels)`, whose last tap lies on the output's own time.

    In the faster of two forms: torch on a CPU is faster with one product of all taps.

    Args:
        x: Tensor of shape `(batch, length, channels)`.
        kernel: Tensor of shape `(taps, channels, filters)`.
        dilation: Integer, the spacing of the taps.

    Example:

    >>> x = keras.ops.convert_to_tensor(np.arange(4, dtype="float32").reshape(1, 4, 1))
    >>> y = keras_ar.backend.causal_convolution(x, keras.ops.ones((2, 1, 1)), dilation=1)
    >>> keras.ops.convert_to_numpy(y).ravel().tolist()
    [0.0, 1.0, 3.0, 5.0]
    """
    num_taps, length = kernel.shape[0], x.shape[1]
    padded = keras.ops.pad(x, [[0, 0], [(num_taps - 1) * dilation, 0], [0, 0]])
    if _NAME == "torch" and x.device.type == "cpu":
        taps = [padded[:, tap * dilation : tap * dilation + length] for tap in range(num_taps)]
        return torch.matmul(torch.cat(taps, -1), kernel.reshape(-1, kernel.shape[-1]))
    return keras.ops.conv(padded, kernel, padding="valid", data_format="channels_last", dilation_rate=dilation)


def transposed_convolution(x, kernel, strides):
    """A transposed convolution of images, `(batch, rows, columns, channels)`, without padding.

    XLA walks through the gradient of its kernel in loops of its own on a CPU. There it is a convolution that makes
    squares of pixels as channels.

    Args:
        x: Tensor of shape `(batch, rows, columns, channels)`.
        kernel: Tensor of shape `(rows, columns, filters, channels)`.
        strides: Pair of integers.

    Example:

    >>> x = keras.ops.convert_to_tensor([[[[1.0], [2.0]]]])
    >>> y = keras_ar.backend.transposed_convolution(x, keras.ops.ones((1, 3, 1, 1)), (1, 2))
    >>> keras.ops.convert_to_numpy(y)[0, 0, :, 0].tolist()
    [1.0, 1.0, 3.0, 2.0, 2.0]
    """
    if _NAME != "jax" or on_accelerator():
        return keras.ops.conv_transpose(x, kernel, strides, padding="valid", data_format="channels_last")
    (_, rows, columns, channels), (height, width, filters, _) = x.shape, kernel.shape
    taps = [-(-k // stride) for k, stride in zip((height, width), strides, strict=True)]
    missing = [n * stride - k for n, stride, k in zip(taps, strides, (height, width), strict=True)]
    kernel = keras.ops.pad(kernel, [[0, missing[0]], [0, missing[1]], [0, 0], [0, 0]])
    kernel = keras.ops.reshape(kernel, (taps[0], strides[0], taps[1], strides[1], filters, channels))
    kernel = keras.ops.transpose(keras.ops.flip(kernel, axis=(0, 2)), (0, 2, 5, 1, 3, 4))
    kernel = keras.ops.reshape(kernel, (*taps, channels, strides[0] * strides[1] * filters))
    x = keras.ops.pad(x, [[0, 0], *([n - 1, n - 1] for n in taps), [0, 0]])
    squares = keras.ops.conv(x, kernel, padding="valid", data_format="channels_last")
    rows, columns = squares.shape[1:3]
    y = keras.ops.reshape(squares, (-1, rows, columns, *strides, filters))
    y = keras.ops.transpose(y, (0, 1, 3, 2, 4, 5))
    y = keras.ops.reshape(y, (-1, rows * strides[0], columns * strides[1], filters))
    hanging = [n * stride - max(k, stride) for n, stride, k in zip(taps, strides, (height, width), strict=True)]
    return y[:, : rows * strides[0] - hanging[0], : columns * strides[1] - hanging[1]]


def elu_of_both(x):
    """`elu` of `x` and of `-x`, side by side on the last axis.

    One of the two is itself. XLA on a CPU takes most of the time for exponentials: half of them will do. Elsewhere one
    operation on both is faster than several on each.

    Example:

    >>> [round(float(y), 3) for y in keras_ar.backend.elu_of_both(keras.ops.array([2.0, -1.0]))]
    [2.0, -0.632, -0.865, 1.0]
    """
    if _NAME != "jax":
        return keras.ops.elu(keras.ops.concatenate([x, -x], axis=-1))
    negative, is_positive = keras.ops.expm1(-keras.ops.abs(x)), x > 0
    both = [keras.ops.where(is_positive, x, negative), keras.ops.where(is_positive, negative, -x)]
    return keras.ops.concatenate(both, axis=-1)


def has_fused_attention():
    """Whether `fused_attention` is faster than its parts: on torch, and not on the others.

    Example:

    >>> isinstance(keras_ar.backend.has_fused_attention(), bool)
    True
    """
    # With gradients, on a CPU: 1.5 to 2.7 times as fast on torch, 0.5 to 0.8 times on JAX and TensorFlow.
    return _NAME == "torch"


def fused_attention(queries, keys, values):
    """Attention of each position to itself and to earlier ones, on torch: no matrix of weights is kept.

    Args:
        queries: float32 tensor of shape `(batch, heads, length, size)`.
        keys: Tensor of the same shape.
        values: Tensor of shape `(batch, heads, length, size of values)`.
    """
    return torch.nn.functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)


def lookup(table, t):
    """Entry `t` of a NumPy array of integers: a Python integer where `t` is one, else a tensor.

    Example:

    >>> keras_ar.backend.lookup(np.array([5, 7]), 1)
    7
    """
    if isinstance(t, int):
        return int(table[t])
    return keras.ops.take(np.asarray(table, "int32"), t)


def permuted(x, order, axis):
    """Entries along an axis in another order: each once.

    The gradient of a lookup is a sum over what has been looked up; that of an order is another order, which TensorFlow
    does not find by itself.

    Args:
        x: Tensor.
        order: NumPy array of integers: which entry comes first, and so on.
        axis: Integer.

    Example:

    >>> keras.ops.convert_to_numpy(keras_ar.backend.permuted(keras.ops.arange(3), np.array([2, 0, 1]), axis=0))
    array([2, 0, 1], dtype=int32)
    """
    natural = np.arange(len(order))
    if (order == natural).all():
        return x
    if (order == natural[::-1]).all():
        return keras.ops.flip(x, axis=axis)
    if _NAME != "tensorflow":
        return keras.ops.take(x, order, axis=axis)
    inverse = np.argsort(order)

    @tf.custom_gradient
    def permute(x):
        return tf.gather(x, order, axis=axis), lambda gradient: tf.gather(gradient, inverse, axis=axis)

    return permute(tf.convert_to_tensor(x))  # it takes no variable


def when(condition, function, state):
    """`function(state)` where the condition holds, else `state`, a nest of tensors; for a `bool` a plain `if`.

    Example:

    >>> float(keras_ar.backend.when(True, lambda x: x + 1.0, keras.ops.zeros(())))
    1.0
    """
    if isinstance(condition, bool):
        return function(state) if condition else state
    return keras.ops.cond(condition, lambda: function(state), lambda: state)


def jacobian(function, x):
    """Jacobian of `function` at the NumPy array `x`, of shape `(*outputs, *inputs)`, as a NumPy array.

    Example:

    >>> keras_ar.backend.jacobian(lambda x: 2.0 * x, np.ones(2)).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    x = keras.ops.convert_to_tensor(x, "float32")
    if _NAME == "jax":
        return np.asarray(jax.jit(jax.jacrev(function))(x))
    if _NAME == "torch":
        return keras.ops.convert_to_numpy(torch.autograd.functional.jacobian(function, x))

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = function(x)
    # A value that is looked up in a table has no gradient.
    return tape.jacobian(y, x, "zero", experimental_use_pfor=False).numpy()


def gradients(function, variables):
    """Gradients of the scalar `function()` with respect to Keras variables, as NumPy arrays; compiled on JAX only.

    Example:

    >>> variable = keras.Variable(3.0)
    >>> [float(g) for g in keras_ar.backend.gradients(lambda: variable * variable, [variable])]
    [6.0]
    """
    if _NAME == "tensorflow":
        with tf.GradientTape() as tape:
            y = function()
        found = tape.gradient(y, [variable.value for variable in variables])
    else:
        found = gradient_function(function, variables)()
    return [
        np.zeros(variable.shape, "float32") if gradient is None else keras.ops.convert_to_numpy(gradient)
        for gradient, variable in zip(found, variables, strict=True)
    ]


def gradient_function(function, variables):
    """The gradient of a scalar function of tensors with respect to Keras variables, under XLA on JAX and TensorFlow.

    Returns:
        A function of the same arguments that returns the gradients as tensors, `None` for an idle variable on some.

    Example:

    >>> variable = keras.Variable(3.0)
    >>> gradient = keras_ar.backend.gradient_function(lambda x: x * variable, [variable])
    >>> [float(g) for g in gradient(np.float32(2.0))]
    [2.0]
    """
    if _NAME == "jax":

        def of_values(values, args):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return function(*args)

        gradient = jax.jit(jax.grad(of_values))
        return lambda *args: jax.block_until_ready(gradient([variable.value for variable in variables], args))

    if _NAME == "torch":

        def gradient(*args):
            y = function(*[keras.ops.convert_to_tensor(a) for a in args])
            return torch.autograd.grad(y, [variable.value for variable in variables], allow_unused=True)

        return gradient

    @tf.function(autograph=False, jit_compile=True)
    def gradient(*args):
        with tf.GradientTape() as tape:
            y = function(*args)
        return tape.gradient(y, [variable.value for variable in variables])

    return lambda *args: gradient(*tree.map_structure(tf.convert_to_tensor, args))
