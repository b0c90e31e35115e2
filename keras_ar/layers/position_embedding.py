"""What says which position is which."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.causal_layer import CausalLayer
from keras_ar.positions import Waves

__all__ = ["PositionEmbedding"]


@keras.saving.register_keras_serializable(package="keras_ar")
class PositionEmbedding(CausalLayer):
    """Adds to each position of a sequence a vector of its own: a learned one, or sines and cosines.

    Args:
        length: Integer, the most positions there are, each with a learned vector; `None` for sines and cosines, for any
            number of positions. Defaults to `None`.
        initializer: Initializer of the vectors. Defaults to `"random_normal"`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, positions, features)`.

    Returns:
        Tensor of the shape of `inputs`.

    Example:

    >>> layer = keras_ar.layers.PositionEmbedding()
    >>> [round(float(x), 2) for x in np.array(layer(np.zeros((1, 2, 4))))[0, 1]]  # of 1 and of 0.01 radians
    [0.84, 0.01, 0.54, 1.0]

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3.5.
    """

    def __init__(self, length=None, initializer="random_normal", **kwargs):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)
        self.length = None if length is None else arguments.integer(length, "length")

    def build(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(
                f"`inputs` must have shape (batch, positions, features). Received: inputs.shape={tuple(input_shape)}."
            )
        features = input_shape[-1]
        if self.length is not None:
            self.vectors = self.add_weight((self.length, features), self.initializer, name="vectors")
            return
        if features % 2:
            raise ValueError(
                f"`inputs` must have an even number of features for sines and cosines. Received {features}."
            )
        self._waves = Waves(features // 2)

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        if self.length is not None and x.shape[1] is not None:
            self.check_length(x.shape[1])
            return x + self.cast_weight(self.vectors)[: x.shape[1]]
        return x + self._vectors_at(ops.arange(ops.shape(x)[1] if x.shape[1] is None else x.shape[1]))

    def _vectors_at(self, t):
        if self.length is not None:
            return ops.take(self.cast_weight(self.vectors), t, axis=0)
        cosines, sines = self._waves(t)
        return ops.cast(ops.concatenate([sines, cosines], axis=-1), self.compute_dtype)

    def check_length(self, num_positions, name="inputs"):
        """Raises a `ValueError` if there are more positions than vectors."""
        if self.length is not None and num_positions > self.length:
            raise ValueError(
                f"`{name}` must have at most {self.length} positions, which have learned vectors. "
                f"Received {num_positions}."
            )

    def start(self, batch_size, num_steps):
        if self.length is not None:
            if num_steps is None:
                raise ValueError(
                    f"`length` must be None for a stream, which has no last position: {self.name} has learned vectors. "
                    f"Received: length={self.length}."
                )
            self.check_length(num_steps, "num_steps")
        return ()

    def step(self, constants, state, t, x):
        return ops.cast(x, self.compute_dtype) + self._vectors_at(t), state

    def prefill(self, constants, state, inputs):
        return self(inputs), state

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "length": self.length,
            "initializer": keras.initializers.serialize(self.initializer),
        }
