"""Weight normalisation: the direction of a kernel and its length are learned apart."""

import keras
from keras import ops


class WeightNorm(keras.layers.Layer):
    """Base of layers with a normalised kernel, `gain * kernel / |kernel|`, one gain for each output.

    While `initializing` is true, a call sets the gains and biases such that each of
    its outputs has mean zero and variance one over the batch at hand:
    `PixelCNNPlusPlus.initialize_from_data` is built on this.

    Reference:
        [Salimans & Kingma, 2016](https://arxiv.org/abs/1602.07868).
    """

    initializing = False

    def add_kernel(self, shape, outputs_axis=-1):
        """Adds the weights: a kernel of this shape, with its outputs along one axis."""
        self._reduced = tuple(axis for axis in range(len(shape)) if axis != outputs_axis % len(shape))
        self.kernel = self.add_weight(shape, keras.initializers.RandomNormal(stddev=0.05), name="kernel")
        self.gain = self.add_weight((shape[outputs_axis],), "ones", name="gain")
        self.bias = self.add_weight((shape[outputs_axis],), "zeros", name="bias")

    def unit_kernel(self):
        """The kernel, with length one for each output."""
        kernel = ops.convert_to_tensor(self.kernel)
        length = ops.sqrt(ops.sum(ops.square(kernel), axis=self._reduced, keepdims=True))
        return ops.cast(kernel / ops.maximum(length, 1e-12), self.compute_dtype)

    def scaled(self, responses):
        """Gain and bias, put to the responses to `unit_kernel`; their last axis is that of the outputs."""
        if self.initializing:
            mean, variance = ops.moments(ops.cast(responses, "float32"), axes=list(range(len(responses.shape) - 1)))
            gain = ops.rsqrt(variance + 1e-8)
            self.gain.assign(gain)
            self.bias.assign(-mean * gain)
        return responses * self._cast(self.gain) + self._cast(self.bias)

    def _cast(self, weight):
        return ops.cast(ops.convert_to_tensor(weight), self.compute_dtype)
