"""What the recurrent layers share: Keras computes them, and its cell steps."""

from keras import ops

from keras_ar import arguments, backend
from keras_ar.layers.causal_layer import CausalLayer

__all__ = ["CausalRNN"]

_OPTIONS = [
    f"{weight}_{kind}"
    for weight in ("kernel", "recurrent", "bias")
    for kind in ("initializer", "regularizer", "constraint")
]


class CausalRNN(CausalLayer):
    """Base of Keras' recurrent layers that can step.

    A subclass names the layer of Keras, in `make`. The weights are those of its cell, which reads them itself.

    Args:
        units: Integer, number of units.
        strict: Boolean, whether to hide each time from itself. Defaults to `False`.
        **kwargs: `kernel_initializer`, `recurrent_regularizer`, `bias_constraint`, …: the initializers, regularizers
            and constraints of the layer of Keras, which is handed those that are given; `name` and `dtype`.

    Example:

    >>> class CausalSimpleRNN(keras_ar.layers.CausalRNN):
    ...     def make(self, units, **kwargs):
    ...         return keras.layers.SimpleRNN(units, **kwargs)
    >>> layer = CausalSimpleRNN(4)
    >>> tuple(layer(np.ones((1, 6, 3))).shape)
    (1, 6, 4)
    """

    def __init__(self, units, strict=False, **kwargs):
        options = {name: kwargs.pop(name) for name in _OPTIONS if name in kwargs}
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")
        self.strict = arguments.boolean(strict, "strict")
        self.rnn = self.make(
            self.units, return_sequences=True, return_state=True, dtype=self.dtype_policy, name="recurrent", **options
        )

    def make(self, units, **kwargs):
        """The layer of Keras."""
        raise NotImplementedError(f"{type(self).__name__} has no `make`.")

    def build(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(
                f"`inputs` must have shape (batch, length, channels). Received: inputs.shape={tuple(input_shape)}."
            )
        self.rnn.build(tuple(input_shape))

    def call(self, inputs):
        backend.note_loop(type(self).__name__)
        return self.rnn(self._cast(inputs))[0]

    def _cast(self, inputs):
        """The inputs as Keras' layer is given them: a strict layer is given each a time late."""
        inputs = ops.cast(inputs, self.compute_dtype)
        return ops.pad(inputs[:, :-1], [[0, 0], [1, 0], [0, 0]]) if self.strict else inputs

    def start(self, batch_size, num_steps):
        return self.rnn.cell.get_initial_state(batch_size)

    def step(self, constants, state, t, x):
        x = ops.cast(x, self.compute_dtype)
        if self.strict:  # nothing comes before the first
            x = ops.where(t > 0, x, ops.zeros_like(x))
        y, state = self.rnn.cell(x, state)
        return y, list(state)

    def prefill(self, constants, state, inputs):
        outputs, *state = self.rnn(self._cast(inputs), initial_state=state)
        return outputs, state

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        of_keras = self.rnn.get_config()
        return {
            **super().get_config(),
            "units": self.units,
            "strict": self.strict,
            **{name: of_keras[name] for name in _OPTIONS},
        }
