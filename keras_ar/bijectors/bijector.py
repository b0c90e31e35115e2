"""The base of all bijectors."""

from typing import Any

import keras

from keras_ar import cards
from keras_ar.support import Support

__all__ = ["Bijector"]


class Bijector(keras.layers.Layer):
    """An invertible map between events `x` and noise `z`, which says by how much it stretches.

    **A subclass writes** `to_noise` and `from_noise`. Both return the same number `log_det` for the same pair
    of `x` and `z`: `log |det dz/dx|`, in nats, one for each event. So whichever way one came, it is added:

        log p(x) = log p(z) + log_det

    Like any Keras layer, a bijector makes its weights in `build`, when it is first called, and describes itself
    by `get_config`. Calling it is `to_noise`. Its arithmetic is float32, also under a mixed-precision policy: Keras
    casts neither its inputs nor its weights. A network inside may compute in less, if what it returns is cast to
    float32.

    Args:
        **kwargs: `name` and `dtype`, as in every Keras layer.

    Attributes:
        loops_to_noise: Boolean, whether `to_noise` is a loop, without a gradient.
        loops_from_noise: Boolean, whether `from_noise` is a loop, without a gradient.
        support: `keras_ar.Support`, the values that an entry of an event may have. Defaults to all real numbers.

    Call arguments:
        x: Tensor of shape `(batch, *event_shape)`.
        condition: Tensor of shape `(batch, *condition_shape)`, or `None`. Defaults to `None`.

    Returns:
        The pair of `z`, a tensor of shape `(batch, *event_shape)`, and `log_det`, of shape `(batch,)`.

    Example:

    >>> class Affine(keras_ar.bijectors.Bijector):
    ...     def build(self, input_shape):
    ...         self.loc = self.add_weight(input_shape[1:], "zeros")
    ...         self.log_scale = self.add_weight(input_shape[1:], "ones")
    ...     def to_noise(self, x, condition=None):
    ...         return (x - self.loc) * keras.ops.exp(-self.log_scale), self._log_det(x)
    ...     def from_noise(self, z, condition=None):
    ...         return self.loc + z * keras.ops.exp(self.log_scale), self._log_det(z)
    ...     def _log_det(self, x):
    ...         return keras.ops.broadcast_to(-keras.ops.sum(self.log_scale), keras.ops.shape(x)[:1])
    >>> affine = Affine()
    >>> z, log_det = affine(np.ones((2, 3), "float32"))
    >>> keras.ops.convert_to_numpy(log_det).tolist()  # three entries, each divided by e
    [-3.0, -3.0]
    >>> x, log_det = affine.from_noise(z)
    >>> keras.ops.convert_to_numpy(log_det).tolist()
    [-3.0, -3.0]
    """

    loops_to_noise: bool = False
    loops_from_noise: bool = False
    support: Support = Support.reals()

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def _repr_html_(self):
        """What a notebook shows: the arguments that it was made with."""
        return cards.html(self)

    @property
    def metrics(self):
        """None: those of a model inside are for its own training."""
        return []

    def add_weight(self, *args, **kwargs):
        """As in every Keras layer, but the weight stays float32 under a mixed-precision policy."""
        return super().add_weight(*args, **{"autocast": False, **kwargs})

    def to_noise(self, x: Any, condition: Any = None) -> tuple[Any, Any]:
        """Noise and `log |det dz/dx|`, from events.

        Args:
            x: Tensor of shape `(batch, *event_shape)`.
            condition: Tensor of shape `(batch, *condition_shape)`, or `None`. Defaults to `None`.

        Returns:
            Float32 tensors of shape `(batch, *event_shape)` and `(batch,)`.
        """
        raise NotImplementedError(f"A bijector must have `to_noise`. {type(self).__name__} has none.")

    def from_noise(self, z: Any, condition: Any = None) -> tuple[Any, Any]:
        """Events and the same `log |det dz/dx|`, from noise: the inverse of `to_noise`.

        Args:
            z: Tensor of shape `(batch, *event_shape)`.
            condition: Tensor of shape `(batch, *condition_shape)`, or `None`. Defaults to `None`.

        Returns:
            Float32 tensors of shape `(batch, *event_shape)` and `(batch,)`.
        """
        raise NotImplementedError(f"A bijector must have `from_noise`. {type(self).__name__} has none.")

    def call(self, x, condition=None):
        return self.to_noise(x, condition)

    def compute_output_shape(self, x_shape: Any, condition_shape: Any = None) -> Any:
        """Shapes of the noise, which are those of the events unless a subclass says otherwise, and of `log_det`."""
        return tuple(x_shape), (x_shape[0],)

    def initialize_from_data(self, x: Any, condition: Any = None) -> None:
        """Sets weights from a few hundred events, before training. Does nothing, unless a subclass says otherwise."""
