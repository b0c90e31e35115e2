"""A mixture of two Gaussians: a closed form, with neither layers nor positions."""

import keras
from keras import ops

import keras_ar
from keras_ar.numerics import normal_log_density, normal_quantile


@keras.saving.register_keras_serializable(package="proofs")
class TwoGaussians(keras_ar.DensityModel):
    """Two diagonal Gaussians in any number of dimensions, and how often each of them comes."""

    def __init__(self, event_shape, *, resolution=1.0, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.resolution = resolution
        spread = keras.initializers.RandomNormal(stddev=1.0)
        self.logit = self.add_weight((), "zeros", name="logit")
        self.means = self.add_weight((2, self.num_dims), spread, name="means")
        self.log_scales = self.add_weight((2, self.num_dims), "zeros", name="log_scales")

    @property
    def support(self):
        return keras_ar.Support.reals(resolution=self.resolution)

    def call(self, x):
        """Log-density of each event under each component, with the component's own: `(batch, 2)`."""
        x = ops.reshape(ops.cast(x, "float32"), (-1, 1, self.num_dims))
        scales = keras_ar.numerics.bounded_exp(self.log_scales)
        log_densities = ops.sum(normal_log_density(x, ops.convert_to_tensor(self.means), scales), axis=-1)
        return log_densities + ops.log_sigmoid(ops.multiply([1.0, -1.0], self.logit))

    def log_prob_from(self, outputs, x):
        return ops.logsumexp(outputs, axis=-1)

    @property
    def noise_shape(self):
        return (1 + self.num_dims,)

    def draw(self, noise):
        is_first = ops.cast(noise[:, :1] < ops.sigmoid(self.logit), "float32")
        means, log_scales = (
            is_first * weights[0] + (1.0 - is_first) * weights[1] for weights in (self.means, self.log_scales)
        )
        x = means + keras_ar.numerics.bounded_exp(log_scales) * normal_quantile(noise[:, 1:])
        x = ops.reshape(x, (-1, *self.event_shape))
        return x, self.log_prob(x)

    def get_config(self):
        return {**super().get_config(), "resolution": self.resolution}
