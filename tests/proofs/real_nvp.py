"""RealNVP on the plane: affine couplings that end in a normal distribution. https://arxiv.org/abs/1605.08803"""

import keras
from keras import ops

import keras_ar
from keras_ar.numerics import normal_log_density, normal_quantile


@keras.saving.register_keras_serializable(package="proofs")
class RealNVP(keras_ar.DensityModel):
    """Couplings of two coordinates: one is stretched and moved by what a small network makes of the other."""

    support = keras_ar.Support.reals()

    def __init__(self, event_shape=2, *, num_couplings=4, units=16, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.num_couplings, self.units = num_couplings, units
        dtype = {"dtype": self.dtype_policy}
        self.hidden = [keras.layers.Dense(units, "tanh", **dtype) for _ in range(num_couplings)]
        self.maps = [keras.layers.Dense(2, **dtype) for _ in range(num_couplings)]

    def call(self, x, condition=None):
        """Noise, and the logarithm of how much the map stretches at each event."""
        coordinates, log_det = ops.split(ops.cast(x, "float32"), 2, axis=-1), 0.0
        for i in range(self.num_couplings):
            shift, log_scale = self._map(i, coordinates[i % 2], condition)
            coordinates[1 - i % 2] = (coordinates[1 - i % 2] - shift) * ops.exp(-log_scale)
            log_det = log_det - log_scale[:, 0]
        return ops.concatenate(coordinates, axis=-1), log_det

    def _map(self, i, x, condition):
        inputs = x if condition is None else ops.concatenate([x, condition], axis=-1)
        outputs = ops.cast(self.maps[i](self.hidden[i](inputs)), "float32")
        shift, log_scale = ops.split(outputs, 2, axis=-1)
        return shift, 2.0 * ops.tanh(log_scale)

    def log_prob_from(self, outputs, x):
        z, log_det = outputs
        return ops.sum(normal_log_density(z, 0.0, ops.ones(())), axis=-1) + log_det

    @property
    def noise_shape(self):
        return (2,)

    def draw(self, noise, condition=None):
        encoded = self.encode_condition(condition)
        coordinates = ops.split(normal_quantile(noise), 2, axis=-1)
        for i in reversed(range(self.num_couplings)):
            shift, log_scale = self._map(i, coordinates[i % 2], *(encoded or [None]))
            coordinates[1 - i % 2] = coordinates[1 - i % 2] * ops.exp(log_scale) + shift
        x = ops.concatenate(coordinates, axis=-1)
        return x, self.log_prob(x, condition)

    def get_config(self):
        return {**super().get_config(), "num_couplings": self.num_couplings, "units": self.units}
