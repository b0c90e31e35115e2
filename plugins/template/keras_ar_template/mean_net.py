"""MeanNet: each value from the mean of those before it."""

import keras
from keras import ops

from keras_ar import AutoregressiveModel
from keras_ar_template.causal_mean import CausalMean

__all__ = ["MeanNet"]


@keras.saving.register_keras_serializable(package="keras_ar_template")
class MeanNet(AutoregressiveModel):
    """A small network over the running mean of the values so far.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        units: Integer, the size of the hidden layer. Defaults to `16`.
        **kwargs: `head`, `ordering`, `seed`, `name` and `dtype`.

    Example:

    >>> model = keras_ar_template.MeanNet(8, head="bernoulli")
    >>> model.sample(2, seed=0).shape
    (2, 8)
    """

    def __init__(self, event_shape, *, units=16, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.units = units
        self.mean = CausalMean(units, dtype=self.dtype_policy, name="mean")
        self.to_params = keras.layers.Dense(self.head.num_params, dtype=self.dtype_policy, name="to_params")

    def call(self, x):
        h = ops.relu(self.mean(self.encode_steps(x)))  # (batch, steps, units)
        return self.from_steps(self.to_params(h))

    # One step at a time: the layer's steps, and the rest as in `call`.

    def prepare(self, condition=None):
        return self.mean.prepare()

    def start(self, batch_size, num_steps):
        return self.mean.start(batch_size, num_steps)

    def step(self, constants, state, t, previous):
        h, state = self.mean.step(constants, state, t, self.encode_previous(previous, t))
        return self.to_params(ops.relu(h)), state

    def get_config(self):
        return {**super().get_config(), "units": self.units}
