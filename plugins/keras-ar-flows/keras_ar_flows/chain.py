"""Chain: one bijector after the other."""

import keras

from keras_ar import backend, registry
from keras_ar.bijectors import Bijector

__all__ = ["Chain", "make_weights"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class Chain(Bijector):
    """Several bijectors as one: the first is next to the events, the last next to the noise.

    Args:
        bijectors: List of bijectors, or of names or configs of such.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, *event_shape)`.
        condition: Tensor of shape `(batch, *condition_shape)`, given to each; or `None`. Defaults to `None`.

    Returns:
        Tensor of the shape that the last one makes, and the sum of all `log_det`, of shape `(batch,)`.

    Example:

    >>> chain = keras_ar_flows.Chain([keras_ar_flows.Squeeze(), keras_ar_flows.InvertibleConv1x1()])
    >>> z, log_det = chain(np.zeros((2, 4, 4, 1), "float32"))
    >>> tuple(z.shape)
    (2, 2, 2, 4)
    """

    def __init__(self, bijectors, **kwargs):
        super().__init__(**kwargs)
        self.bijectors = [registry.get("bijectors", each) for each in bijectors]
        if not self.bijectors:
            raise ValueError("`bijectors` must hold at least one bijector. Received: [].")
        self.support = self.bijectors[0].support

    @property
    def loops_to_noise(self):
        """Whether one of them is a loop on the way to noise."""
        return any(bijector.loops_to_noise for bijector in self.bijectors)

    @property
    def loops_from_noise(self):
        """Whether one of them is a loop on the way from noise."""
        return any(bijector.loops_from_noise for bijector in self.bijectors)

    def build(self, x_shape, condition_shape=None):
        for bijector in self.bijectors:
            make_weights(bijector, x_shape, condition_shape)
            x_shape, _ = bijector.compute_output_shape(x_shape)

    def compute_output_shape(self, x_shape, condition_shape=None):
        """Shapes of what the last one makes, and of `log_det`.

        Args:
            x_shape: Tuple, the shape of a batch of events.
            condition_shape: Not looked at.
        """
        for bijector in self.bijectors:
            x_shape, log_det_shape = bijector.compute_output_shape(x_shape)
        return x_shape, log_det_shape

    def to_noise(self, x, condition=None):
        z, total = x, 0.0
        for bijector in self.bijectors:
            z, log_det = bijector(z) if condition is None else bijector(z, condition)
            total = total + log_det
        return z, total

    def from_noise(self, z, condition=None):
        x, total = z, 0.0
        for bijector in reversed(self.bijectors):
            x, log_det = bijector.from_noise(x, condition)
            total = total + log_det
        return x, total

    def initialize_from_data(self, x, condition=None):
        """Lets each of them set its weights from what becomes of the events.

        Args:
            x: A few hundred events.
            condition: Their conditions. Defaults to `None`.
        """
        for bijector in self.bijectors:
            bijector.initialize_from_data(x, condition)
            x, _ = bijector(x) if condition is None else bijector(x, condition)

    def get_config(self):
        layers = [keras.saving.serialize_keras_object(bijector) for bijector in self.bijectors]
        return {**super().get_config(), "bijectors": layers}


def make_weights(layer, x_shape, condition_shape=None):
    """Has a layer within a bijector make its weights, when the bijector makes its own.

    Args:
        layer: A Keras layer of one or two tensors.
        x_shape: Tuple, the shape of the first with the batch.
        condition_shape: Tuple, the shape of the second, or `None`. Defaults to `None`.

    Example:

    >>> dense = keras.layers.Dense(2)
    >>> keras_ar_flows.chain.make_weights(dense, (None, 3))
    >>> tuple(dense.kernel.shape)
    (3, 2)
    """
    shapes = [x_shape, *([] if condition_shape is None else [condition_shape])]
    backend.make_weights(layer, *(keras.KerasTensor((1, *shape[1:])) for shape in shapes))
