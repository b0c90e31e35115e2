"""WindowMLP: a multilayer perceptron that sees the last few values of a sequence."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers import CausalConv1D
from keras_ar.sequence import SequenceModel


@keras.saving.register_keras_serializable(package="keras_ar")
class WindowMLP(SequenceModel):
    """One network for every place of a sequence, over a window of the values before it.

    The first layer is a convolution as wide as the window; the others take each
    place by itself. Before the beginning stand zeros.

    Args:
        event_shape: `(length,)`, or `(length, ...)` with what the head draws together.
        window: How many earlier steps each step sees.
        hidden_units: Number of units of each hidden layer, an integer or a tuple.
        activation: Activation function of the hidden units.
        head: Name, instance, class or config of a head.
        condition_shape: Shape of the condition of one event, `(features,)`, or `None`.
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
        hidden_units=(128, 128),
        activation="relu",
        head="bernoulli",
        condition_shape=None,
        **kwargs,
    ):
        super().__init__(event_shape, head=head, condition_shape=condition_shape, **kwargs)
        self.window = arguments.integer(window, "window")
        self.hidden_units = arguments.integers(hidden_units, "hidden_units")
        self.activation = keras.activations.get(activation)

        first, *others = self.hidden_units
        dtype = {"dtype": self.dtype_policy}
        self.look = CausalConv1D(first, self.window, strict=True, name="look", **dtype)
        if self.condition_shape:
            self.from_condition = keras.layers.Dense(first, use_bias=False, name="condition", **dtype)
        self.hidden = [keras.layers.Dense(n, activation, name=f"hidden_{i}", **dtype) for i, n in enumerate(others)]
        self.to_params = keras.layers.Dense(self.head.num_params, name="to_params", **dtype)

    def call(self, x, condition=None):
        h = self.look(self.encode_steps(x))
        if condition is not None:
            h = h + ops.expand_dims(self.from_condition(condition), 1)
        return self._behind_first(h)

    def _behind_first(self, h):
        h = self.activation(h)
        for layer in self.hidden:
            h = layer(h)
        return self.to_params(h)

    def start(self, batch_size, condition=None):
        return self._state(self.look.start(batch_size), condition)

    def _state(self, look, condition):
        return {"look": look, "told": () if condition is None else (self.from_condition(condition),)}

    def step(self, state, t, previous):
        h, look = self.look.step(state["look"], self.encode_previous(previous), t)
        for told in state["told"]:
            h = h + told
        return self._behind_first(h), {**state, "look": look}

    def prime(self, prompt, condition=None):
        return self._state(self.look.prime(self.encode_steps(prompt)), condition)

    def get_config(self):
        return {
            **super().get_config(),
            "window": self.window,
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
        }
