"""The base of causal layers with a kernel and a bias: initializers, regularizers and constraints as in Keras."""

import keras

from keras_ar.layers.causal_layer import CausalLayer

__all__ = ["KernelLayer"]

_KINDS = {"initializer": keras.initializers, "regularizer": keras.regularizers, "constraint": keras.constraints}


class KernelLayer(CausalLayer):
    """A causal layer that takes the arguments of `keras.layers.Dense` for its kernels and biases.

    A subclass makes its weights by `add_kernel` and `add_bias`. A block that is made of such layers
    hands them `self.weight_options`.

    Args:
        kernel_initializer: Initializer of the kernels. Defaults to `"glorot_uniform"`.
        bias_initializer: Initializer of the biases. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of the kernels, or `None`. Defaults to `None`.
        bias_regularizer: Regularizer of the biases, or `None`. Defaults to `None`.
        kernel_constraint: Constraint of the kernels, or `None`. Defaults to `None`.
        bias_constraint: Constraint of the biases, or `None`. Defaults to `None`.
        **kwargs: `name`, `dtype`, `activity_regularizer` and `trainable`, as in every Keras layer.

    Example:

    >>> layer = keras_ar.layers.CausalConv1D(4, kernel_size=2, kernel_regularizer="l2")
    >>> layer.kernel_regularizer
    <keras.src.regularizers.regularizers.L2 object at ...>
    """

    def __init__(
        self,
        *,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def add_kernel(self, shape, name="kernel", initializer=None):
        """Adds a kernel of that shape; `initializer` takes the place of `kernel_initializer`."""
        options = {"regularizer": self.kernel_regularizer, "constraint": self.kernel_constraint}
        return self.add_weight(shape, initializer or _fresh(self.kernel_initializer), name=name, **options)

    def add_bias(self, shape, name="bias"):
        """Adds a bias of that shape."""
        options = {"regularizer": self.bias_regularizer, "constraint": self.bias_constraint}
        return self.add_weight(shape, _fresh(self.bias_initializer), name=name, **options)

    @property
    def weight_options(self):
        """The six arguments as they are, for the layers that this one is made of."""
        return {f"{of}_{kind}": _fresh(getattr(self, f"{of}_{kind}")) for of in ("kernel", "bias") for kind in _KINDS}

    def get_config(self):
        options = {
            f"{of}_{kind}": module.serialize(getattr(self, f"{of}_{kind}"))
            for of in ("kernel", "bias")
            for kind, module in _KINDS.items()
        }
        return {**super().get_config(), **options}


def _fresh(option):
    """An initializer with random numbers of its own: one of Keras' draws the same ones at each call."""
    return option.clone() if isinstance(option, keras.initializers.Initializer) else option
