"""A density model without head, steps or ordering: a mixture of two Gaussians, as a plugin might have it."""

import math

import keras
from keras import ops

import keras_ar


@keras.saving.register_keras_serializable(package="gaussian_mixture")
class GaussianMixture(keras_ar.DensityModel):
    """Two Gaussians of independent values, each as probable as the other; a class shifts both."""

    support = keras_ar.Support.reals()

    def __init__(self, event_shape, *, spread=1.0, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.spread = spread
        means = keras.initializers.RandomNormal(stddev=spread, seed=0)
        self.means = self.add_weight((2, self.num_dims), means, name="means")
        self.log_scales = self.add_weight((2, self.num_dims), "zeros", name="log_scales")
        if self.condition_shape:
            self.shifts = self.add_weight((*self.condition_shape, self.num_dims), "zeros", name="shifts")

    def call(self, x, condition=None):
        x = ops.reshape(ops.cast(x, "float32"), (-1, 1, self.num_dims))
        z = (x - self._means_given(condition)) * ops.exp(-self.log_scales)
        logs = -0.5 * ops.square(z) - self.log_scales - 0.5 * math.log(2 * math.pi)
        return ops.sum(logs, axis=-1) - math.log(2.0)  # (batch, component)

    def log_prob_from(self, outputs, x):
        return ops.logsumexp(outputs, axis=-1)

    @property
    def noise_shape(self):
        return (1 + self.num_dims,)

    def draw(self, noise, condition=None):
        z = math.sqrt(2.0) * ops.erfinv(2.0 * noise[:, 1:] - 1.0)
        both = (
            self._means_given(*self.encode_condition(condition)) + ops.exp(self.log_scales) * z[:, None]
        )  # (batch, component, values)
        x = ops.where(noise[:, :1] < 0.5, both[:, 0], both[:, 1])
        x = ops.reshape(x, (-1, *self.event_shape))
        return x, self.log_prob(x, condition)

    def _means_given(self, condition=None):
        return self.means if condition is None else self.means + ops.matmul(condition, self.shifts)[:, None]

    def get_config(self):
        return {**super().get_config(), "spread": self.spread}


@keras.saving.register_keras_serializable(package="gaussian_mixture")
class BoundedMixture(GaussianMixture):
    """The same, which owns up to a lower bound only."""

    exact = False

    def log_prob_from(self, outputs, x):
        return super().log_prob_from(outputs, x) - 1.0


@keras.saving.register_keras_serializable(package="gaussian_mixture")
class ScoresOnly(keras_ar.DensityModel):
    """One Gaussian that nobody has taught to sample, whose arguments are all of its base."""

    support = keras_ar.Support.reals()

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.mean = self.add_weight(self.event_shape, "zeros", name="mean")

    def call(self, x):
        return ops.square(ops.cast(x, "float32") - self.mean) + math.log(2 * math.pi)

    def log_prob_from(self, outputs, x):
        return -0.5 * ops.sum(outputs, axis=tuple(range(1, len(outputs.shape))))
