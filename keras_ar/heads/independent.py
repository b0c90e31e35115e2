"""Several values at a time, independent of each other."""

import keras
from keras import ops

from keras_ar import arguments, registry
from keras_ar.heads.head import Head

__all__ = ["Independent"]

_BY_VALUE = ("mean", "mode", "temper", "truncate")


@keras.saving.register_keras_serializable(package="keras_ar")
class Independent(Head):
    """Several values that a model draws in one step, independent of each other given all that comes before.

    So a sequence may have several values at each time, such as the coordinates of a pen or the channels of a sensor.

    Args:
        head: Name, instance, class or config of a head: the distribution of one value.
        num_values: Integer, how many values there are.

    Example:

    >>> head = keras_ar.heads.Independent("normal", 3)
    >>> model = keras_ar.models.WaveNet((20, 3), filters=4, dilations=(1, 2), head=head)
    >>> model.sample(2, seed=0).shape
    (2, 20, 3)
    """

    def __init__(self, head, num_values):
        self.head = registry.get("heads", head)
        self.num_values = arguments.integer(num_values, "num_values")
        if self.head.event_shape:
            raise ValueError(f"`head` must be that of one value. Received: {self.head}.")
        if self.head.position_shape not in (None, (self.num_values,)):
            raise ValueError(
                f"`head` must be the same for all values, or be made for {self.num_values} of them. "
                f"Received: {self.head}, made for positions of shape {self.head.position_shape}."
            )
        self.support = self.head.support
        self.event_shape = (self.num_values,)
        self.num_params = self.num_values * self.head.num_params
        self.num_uniforms = self.num_values * self.head.num_uniforms

    @property
    def num_features(self):
        """How many numbers `encode` makes of all values."""
        return self.num_values * self.head.num_features

    @property
    def capabilities(self):
        """Names of the optional methods: those of the head that treat each value alone."""
        return frozenset(_BY_VALUE) & self.head.capabilities

    def encode(self, x):
        """What the network sees of the values: what it sees of each."""
        return self.head.encode(x)

    def log_prob(self, params, x):
        """Log-probability of all values together, in nats."""
        return ops.sum(self.head.log_prob_of_possible(self._by_value(params), x), axis=-1)

    def sample(self, params, uniforms):
        """Each value by its own uniforms."""
        return self.head.sample(self._by_value(params), self._by_value(uniforms))

    def mean(self, params):
        """The mean of each value."""
        return self.head.mean(self._by_value(params))

    def mode(self, params):
        """The mode of each value."""
        return self.head.mode(self._by_value(params))

    def temper(self, params, temperature):
        """Tempers each value."""
        return self._together(self.head.temper(self._by_value(params), temperature))

    def truncate(self, params, top_k=None, top_p=None):
        """Truncates the distribution of each value."""
        return self._together(self.head.truncate(self._by_value(params), top_k, top_p))

    def get_config(self):
        """Arguments of the constructor."""
        return {"head": keras.saving.serialize_keras_object(self.head), "num_values": self.num_values}

    def _by_value(self, x):
        """`(..., values * n) -> (..., values, n)`."""
        x = ops.convert_to_tensor(x)
        sizes = [ops.shape(x)[i] if n is None else n for i, n in enumerate(x.shape[:-1])]
        return ops.reshape(x, (*sizes, self.num_values, x.shape[-1] // self.num_values))

    def _together(self, x):
        """Undoes `_by_value`."""
        sizes = [ops.shape(x)[i] if n is None else n for i, n in enumerate(x.shape[:-2])]
        return ops.reshape(x, (*sizes, x.shape[-2] * x.shape[-1]))
