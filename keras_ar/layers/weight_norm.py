"""Weight normalization: the direction of a kernel and its length are learned separately."""

import contextlib
import contextvars

from keras import ops

from keras_ar.layers.kernel_layer import KernelLayer

__all__ = ["WeightNorm", "initialization"]

_is_initializing = contextvars.ContextVar("is_initializing", default=False)


@contextlib.contextmanager
def initialization():
    """While active, a call of a weight-normalized layer sets its gains and biases from the batch it is given.

    Each output then has mean zero and variance one over the batch; of one that is constant, only the mean is
    set. Layers that come later see the outputs of those before them as they are once these are set.

    Example:

    >>> layer = keras_ar.layers.WeightNormDense(1)
    >>> with keras_ar.layers.weight_norm.initialization():
    ...     y = keras.ops.convert_to_numpy(layer(np.array([[1.0], [2.0], [6.0]])))
    >>> round(abs(float(y.mean())), 3), round(float(y.std()), 3)
    (0.0, 1.0)
    """
    token = _is_initializing.set(True)
    try:
        yield
    finally:
        _is_initializing.reset(token)


class WeightNorm(KernelLayer):
    """Base of layers with a weight-normalized kernel, `gain * kernel / |kernel|`, with one gain for each output.

    The weight `kernel` is a direction: its length has no effect. Its initializer, regularizer and constraint
    apply to it as it is.

    Args:
        kernel_initializer: Initializer of the kernel. Defaults to `"random_normal"`, with standard deviation 0.05.
        **kwargs: As in `KernelLayer`.

    Reference:
        [Salimans & Kingma, 2016](https://arxiv.org/abs/1602.07868).
    """

    def __init__(self, *, kernel_initializer="random_normal", **kwargs):
        super().__init__(kernel_initializer=kernel_initializer, **kwargs)

    def add_normalized_kernel(self, shape, outputs_axis=-1):
        """Adds the weights `kernel`, `gain` and `bias`: a kernel of that shape, with its outputs along one axis."""
        self._inputs_axes = tuple(axis for axis in range(len(shape)) if axis != outputs_axis % len(shape))
        self.kernel = self.add_kernel(shape)
        self.gain = self.add_weight((shape[outputs_axis],), "ones", name="gain")
        self.bias = self.add_bias((shape[outputs_axis],))

    def unit_kernel(self):
        """The kernel with length one for each output."""
        kernel = ops.convert_to_tensor(self.kernel)
        square = ops.sum(ops.square(kernel), axis=self._inputs_axes, keepdims=True)
        return ops.cast(kernel * ops.rsqrt(ops.maximum(square, 1e-24)), self.compute_dtype)

    def normalized_kernel(self):
        """The kernel with length `gain` for each output."""
        return self.unit_kernel() * ops.expand_dims(self.cast_weight(self.gain), self._inputs_axes)

    def rescale(self, responses):
        """`gain * responses + bias`, for responses to `unit_kernel` with the outputs on the last axis."""
        if _is_initializing.get():
            axes = tuple(range(len(responses.shape) - 1))
            mean, variance = ops.moments(ops.cast(responses, "float32"), axes=axes)
            gain = ops.where(variance > 1e-8, ops.rsqrt(variance), 1.0)  # not of rounding errors
            self.gain.assign(gain)
            self.bias.assign(-mean * gain)
        return responses * self.cast_weight(self.gain) + self.cast_weight(self.bias)
