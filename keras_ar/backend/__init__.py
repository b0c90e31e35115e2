"""The only place that asks which backend runs: what `keras.ops` has no word for."""

import keras
import numpy as np
from keras import tree

_NAME = keras.backend.backend()

if _NAME == "jax":
    import jax
elif _NAME == "tensorflow":
    import tensorflow as tf
elif _NAME == "torch":
    import torch

    from keras_ar.backend import traced


def compiled(owner, function):
    """`function`, compiled where the backend compiles loops, for use outside of training.

    Compiled once per set of argument shapes. Weights of `owner` are read at each
    call; nothing may be assigned to. On torch the function runs as it is, without
    recording gradients.

    Args:
        owner: The layer or model whose weights `function` reads.
        function: A pure function of tensors (nests of them as well).

    Returns:
        A function of the same arguments; NumPy arrays and Python integers welcome.
    """
    if _NAME == "tensorflow":
        graph = tf.function(function, jit_compile=True, autograph=False)
        return lambda *args: graph(*tree.map_structure(tf.convert_to_tensor, args))

    if _NAME == "torch":

        def without_gradients(*args):
            with torch.no_grad():
                return function(*tree.map_structure(_torch_argument, args))

        return without_gradients

    variables = owner.variables

    @jax.jit
    def pure(values, args):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*args)

    return lambda *args: pure([variable.value for variable in variables], args)


def once(function, *args, owner=None):
    """`function(*args)` for once, without gradients: compiled on JAX, where each operation would be anyway.

    `owner` is the layer or model whose weights `function` reads, if it reads any.
    """
    if _NAME == "jax" and owner is None:
        return jax.jit(function)(*args)
    return function(*args) if _NAME == "tensorflow" else compiled(owner, function)(*args)


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
        last: The step behind the last.
        carry: What the first step is given, a nest of tensors.
        rows: A nest of tensors; step `t` is given their entry `t - first`.
        values: Tensor of the length of `rows`, whose entry `t - first` the `y` of step `t` replaces.
        constants: What all steps are given: a sequence of nests of tensors and integers.

    Returns:
        The values and the last carry.
    """

    def __init__(self, owner):
        self._on_torch = traced.Loop(owner) if _NAME == "torch" else None

    def __call__(self, body, first, last, carry, rows, values, constants=()):
        if self._on_torch:
            carry, ys = self._on_torch(body, first, last, carry, rows, constants)
            return torch.cat([torch.stack(ys), values[len(ys) :]]), carry

        def turn(t, loop):
            values, carry = loop
            row = tree.map_structure(lambda x: x[t - first], rows)
            carry, y = body(t, carry, row, *constants)
            start = (t - first, *(0 for _ in y.shape))
            return keras.ops.slice_update(values, start, keras.ops.expand_dims(y, 0)), carry

        return keras.ops.fori_loop(first, last, turn, (values, carry))


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
    """
    if _NAME == "jax":
        return jax.lax.scan(jax.checkpoint(body) if recompute else body, carry, xs)

    length = tree.flatten(xs)[0].shape[0]
    if _NAME == "tensorflow":
        # Neither `ops.scan` nor TensorFlow's own has a gradient under XLA: it wants to know the length from the start.
        # The gradient of `x[i]` in a loop is as large as `x` in each turn; that of an array's entry is not.
        arrays = tree.map_structure(lambda x: tf.TensorArray(x.dtype, length).unstack(x), xs)
        carry, first = body(carry, tree.map_structure(lambda x: x[0], xs))
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
    """
    num_taps, length = kernel.shape[0], x.shape[1]
    padded = keras.ops.pad(x, [[0, 0], [(num_taps - 1) * dilation, 0], [0, 0]])
    if _NAME == "torch" and x.device.type == "cpu":
        taps = [padded[:, tap * dilation : tap * dilation + length] for tap in range(num_taps)]
        return torch.matmul(torch.cat(taps, -1), kernel.reshape(-1, kernel.shape[-1]))
    return keras.ops.conv(padded, kernel, padding="valid", data_format="channels_last", dilation_rate=dilation)


def lookup(table, t):
    """Entry `t` of a NumPy array of integers, as an index into a loop: a Python integer where `t` is one."""
    if isinstance(t, int):
        return int(table[t])
    return keras.ops.take(np.asarray(table, "int32"), t)


def when(condition, function, state):
    """`function(state)` where the condition holds, else `state`, a nest of tensors; for a `bool` a plain `if`."""
    if isinstance(condition, bool):
        return function(state) if condition else state
    return keras.ops.cond(condition, lambda: function(state), lambda: state)


def jacobian(function, x):
    """Jacobian of `function` at the NumPy array `x`, of shape `(*outputs, *inputs)`, as a NumPy array."""
    x = keras.ops.convert_to_tensor(x, "float32")
    if _NAME == "jax":
        return np.asarray(jax.jit(jax.jacrev(function))(x))
    if _NAME == "torch":
        return keras.ops.convert_to_numpy(torch.autograd.functional.jacobian(function, x))

    @tf.function(autograph=False)
    def of_tensor(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        # A value that is looked up in a table has no gradient.
        return tape.jacobian(y, x, "zero", experimental_use_pfor=False)

    return of_tensor(x).numpy()


def gradients(function, variables):
    """Gradients of the scalar `function()` with respect to Keras variables, as NumPy arrays."""
    found = gradient_function(function, variables)()
    return [
        np.zeros(variable.shape, "float32") if gradient is None else keras.ops.convert_to_numpy(gradient)
        for gradient, variable in zip(found, variables, strict=True)
    ]


def gradient_function(function, variables):
    """The gradient of a scalar function of tensors with respect to Keras variables, compiled where that is done.

    Returns:
        A function of the same arguments that returns the gradients as tensors, `None` for an idle variable on some.
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

    @tf.function(autograph=False)
    def gradient(*args):
        with tf.GradientTape() as tape:
            y = function(*args)
        return tape.gradient(y, [variable.value for variable in variables])

    return lambda *args: gradient(*tree.map_structure(tf.convert_to_tensor, args))
