"""Dense layer with a fixed mask."""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend
from keras_ar.layers.kernel_layer import KernelLayer

__all__ = ["MaskedDense"]


@keras.saving.register_keras_serializable(package="keras_ar")
class MaskedDense(KernelLayer):
    """Dense layer whose kernel is multiplied by a fixed 0/1 mask.

    Output `j` may depend on input `i` only where `mask[i, j] == 1`: this is
    how MADE keeps each output blind to what comes after it. Positions, if the inputs have any besides the
    features, are treated alike.

    Args:
        units: Integer, the number of outputs.
        mask: NumPy array of shape `(inputs, units)`, entries 0 or 1.
        activation: Activation function, as in `keras.layers.Dense`. Defaults to `None`.
        use_bias: Boolean, whether to add a bias. Defaults to `True`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense` (a regularizer sees
            the masked entries of the kernel, too); `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(..., inputs)`.

    Returns:
        Tensor of shape `(..., units)`.

    Example:

    >>> layer = keras_ar.layers.MaskedDense(2, mask=np.triu(np.ones((2, 2)), 1))
    >>> tuple(layer(np.ones((1, 2))).shape)
    (1, 2)

    Reference:
        [Germain et al., 2015](https://arxiv.org/abs/1502.03509), section 3.
    """

    def __init__(self, units, mask, activation=None, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.units = units = arguments.integer(units, "units")
        self.mask = np.asarray(mask, "float32")
        if self.mask.ndim != 2 or self.mask.shape[1] != units or not np.isin(self.mask, (0, 1)).all():
            raise ValueError(
                f"`mask` must hold zeros and ones and have shape (inputs, units) = (inputs, {units}). "
                f"Received: mask.shape={self.mask.shape}, with values from {self.mask.min()} to {self.mask.max()}."
            )
        self.activation = keras.activations.get(activation)
        self.use_bias = arguments.boolean(use_bias, "use_bias")

    def build(self, input_shape):
        if input_shape[-1] != self.mask.shape[0]:
            raise ValueError(
                f"The mask is for {self.mask.shape[0]} inputs. Received inputs of shape {tuple(input_shape)}."
            )
        self.kernel = self.add_kernel(self.mask.shape)
        self._zeros_and_ones = backend.Constant(self.mask, self.compute_dtype)
        self.bias = self.add_bias((self.units,)) if self.use_bias else None

    def call(self, inputs):
        outputs = ops.matmul(inputs, ops.multiply(self.kernel, self._zeros_and_ones()))
        return self.activation(outputs + self.bias if self.use_bias else outputs)

    def step(self, constants, state, t, x):
        return self(x), state

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "mask": self.mask.astype(int).tolist(),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
        }
