"""What the recurrent layers share: Keras computes them, and its cell steps."""

import keras
from keras import ops

from keras_ar import arguments


class CausalRNN(keras.layers.Layer):
    """Base of Keras' recurrent layers that can step.

    A subclass names the layer of Keras: `make(units, **kwargs)`.

    Args:
        units: Number of units.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")
        self.rnn = self.make(
            self.units, return_sequences=True, return_state=True, dtype=self.dtype_policy, name="recurrent"
        )

    def make(self, units, **kwargs):
        """The layer of Keras."""
        raise NotImplementedError

    def build(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(
                f"`inputs` must have shape (batch, length, channels). Received: inputs.shape={tuple(input_shape)}."
            )
        self.rnn.build(tuple(input_shape))

    def call(self, inputs):
        return self.run(inputs)[0]

    def run(self, inputs):
        """All outputs, and the state behind the last."""
        outputs, *states = self.rnn(ops.cast(inputs, self.compute_dtype))
        return outputs, states

    def start(self, batch_size):
        return self.rnn.cell.get_initial_state(batch_size)

    def step(self, state, x, t):
        y, state = self.rnn.cell(ops.cast(x, self.compute_dtype), state)
        return y, list(state)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}
