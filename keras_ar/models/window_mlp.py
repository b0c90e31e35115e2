"""WindowMLP: a multilayer perceptron over the last few values. https://www.jmlr.org/papers/v3/bengio03a.html"""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers import CausalConv1D
from keras_ar.sequence import SequenceModel

__all__ = ["WindowMLP"]


@keras.saving.register_keras_serializable(package="keras_ar")
class WindowMLP(SequenceModel):
    """One network for every step of a sequence, over a window of the values before it.

    The first layer is a convolution as wide as the window; the others take each
    step by itself. Before the beginning are zeros.

    Args:
        event_shape: Integer or tuple, `(length,)`, or `(length, ...)` with what the head draws together.
        window: Integer, how many earlier steps each step sees. Defaults to `16`.
        hidden_units: Integer or tuple, number of units of each hidden layer. Defaults to `(256,)`.
        activation: Activation function of the hidden units. Defaults to `"relu"`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, `(features,)`, the shape of the condition of one event, or `None`.
            Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.WindowMLP(20, window=5, hidden_units=8, head="normal")
    >>> model.sample(2, length=30, seed=0).shape
    (2, 30)

    Reference:
        [Bengio et al., 2003](https://www.jmlr.org/papers/v3/bengio03a.html).
    """

    def __init__(
        self,
        event_shape,
        *,
        window=16,
        hidden_units=(256,),
        activation="relu",
        head="bernoulli",
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        # Check and store.
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        self.window = arguments.integer(window, "window")
        self.hidden_units = arguments.integers(hidden_units, "hidden_units")
        self.activation = keras.activations.get(activation)

        # Layers.
        first, *others = self.hidden_units
        dtype = {"dtype": self.dtype_policy}
        self.stem = CausalConv1D(first, self.window, strict=True, name="stem", **dtype)
        self.hidden = [keras.layers.Dense(n, activation, name=f"hidden_{i}", **dtype) for i, n in enumerate(others)]
        self.to_params = keras.layers.Dense(self.head.num_params, name="to_params", **dtype)
        if self.condition_shape:
            self.condition_bias = keras.layers.Dense(first, use_bias=False, name="condition_bias", **dtype)

    def call(self, x, condition=None):
        h = self.stem(self.encode_steps(x))  # (batch, length, units)
        if condition is not None:
            h = h + ops.expand_dims(self.condition_bias(condition), 1)
        return self._after_stem(h)

    def _after_stem(self, h):
        h = self.activation(h)
        for layer in self.hidden:
            h = layer(h)
        return self.to_params(h)

    # One step at a time.

    def prepare(self, condition=None):
        constants = {"stem": self.stem.prepare()}
        return constants if condition is None else {**constants, "bias": self.condition_bias(condition)}

    def start(self, batch_size, num_steps):
        return self.stem.start(batch_size, num_steps)

    def step(self, constants, state, t, previous):
        h, state = self.stem.step(constants["stem"], state, t, self.encode_previous(previous, t))  # (batch, units)
        return self._after_stem(h + constants["bias"] if "bias" in constants else h), state

    def prefill(self, constants, state, values):
        h, state = self.stem.prefill(constants["stem"], state, self.encode_first_steps(values))
        return self._after_stem(h + ops.expand_dims(constants["bias"], 1) if "bias" in constants else h), state

    def get_config(self):
        return {
            **super().get_config(),
            "window": self.window,
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
        }
