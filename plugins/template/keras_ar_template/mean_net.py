"""MeanNet: each value from the mean of those before it."""

import keras

from keras_ar import AutoregressiveModel
from keras_ar_template.causal_mean import CausalMean


@keras.saving.register_keras_serializable(package="keras_ar_template")
class MeanNet(AutoregressiveModel):
    """A small network over the running mean of the values so far."""

    def __init__(self, event_shape, *, units=16, head="bernoulli", **kwargs):
        super().__init__(event_shape, head=head, **kwargs)
        self.units = units
        self.mean = CausalMean(units, name="mean")
        self.to_params = keras.layers.Dense(self.head.num_params, name="to_params")

    def call(self, x):
        h = keras.ops.relu(self.mean(self.encode_steps(x)))  # (batch, steps, units)
        return self.from_steps(self.to_params(h))

    def start(self, batch_size):
        return self.mean.start(batch_size)

    def step(self, state, t, previous):
        h, state = self.mean.step(state, self.encode_previous(previous), t)
        return self.to_params(keras.ops.relu(h)), state

    def get_config(self):
        return {**super().get_config(), "units": self.units}
