"""CategoricalFlow. https://arxiv.org/abs/2006.09790"""

import math
from statistics import NormalDist

import keras
import numpy as np
from keras import ops

from keras_ar import BoundedModel, Support, arguments, heads, models, noise
from keras_ar.numerics import inverse_cdf, normal_quantile
from keras_ar_flows.parts import check_density, check_head, conditions_of, sum_of_entries, without_shapes

__all__ = ["CategoricalFlow"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class CategoricalFlow(BoundedModel):
    """Categories, which have no order, as places in a space of real values, where a flow is the density.

    Each category has its own distribution of places, which is learned. The category of a place follows by Bayes' rule,
    for each entry by itself: whatever entries have to do with each other, the flow must model. Where an event lies is
    hidden, so its score is a lower bound. Samples are places of the flow, whose categories are drawn.

    Args:
        flow: A `DensityModel` of all real numbers, whose `event_shape` is that of the events with one axis more, that
            of the space, such as `(entries, 4)`. Conditions are its own.
        num_levels: Integer, the number of categories.
        head: Name, instance, class or config of a head with `from_noise`: the distribution of each coordinate of the
            places of a category, around its center. Defaults to `Affine()`.
        **kwargs: `objective` and `num_draws`, as in `BoundedModel`, `name` and `dtype`.

    Example:

    >>> flow = keras_ar_flows.SetFlow((3, 2), num_layers=2, units=8, num_blocks=1)
    >>> model = keras_ar_flows.CategoricalFlow(flow, num_levels=5)
    >>> x = model.sample(4, seed=0)
    >>> x.shape, int(x.max()) < 5
    ((4, 3), True)
    >>> bounds = model.score_samples(x, num_draws=10)
    >>> bounds.shape
    (4,)

    Reference:
        [Lippe and Gavves, 2021](https://arxiv.org/abs/2006.09790).
    """

    def __init__(self, flow, *, num_levels, head="keras-ar-flows:affine", **kwargs):
        flow = models.get(flow) if isinstance(flow, dict) else flow
        check_density(flow, "flow")
        if len(flow.event_shape) < 2:
            raise ValueError(
                f"`flow` must be of events with an axis for the space of each entry, such as (entries, 4). "
                f"Received: flow.event_shape={flow.event_shape}."
            )
        head = heads.get(head)
        check_head(head, "from_noise")
        *event_shape, self.latent_dims = flow.event_shape
        super().__init__(event_shape, **conditions_of(flow), **kwargs)
        self.num_levels = arguments.integer(num_levels, "num_levels", least=2)
        self.flow, self.head = flow, head
        shape = (self.num_levels, self.latent_dims)
        self.centers = self.add_weight(shape, _apart(*shape), autocast=False, name="centers")
        self.params = self.add_weight((*shape, head.num_params), "zeros", autocast=False, name="params")
        self.logits = self.add_weight((self.num_levels,), "zeros", autocast=False, name="logits")

    @property
    def support(self):
        return Support.levels(self.num_levels)

    @property
    def differentiable(self):
        """Whether the flow has a gradient."""
        return self.flow.differentiable

    @property
    def hidden_shape(self):
        """Shape of the uniforms of one place for each entry."""
        return self.flow.event_shape

    def log_weight(self, x, noise, condition=None, training=None):
        x = ops.cast(x, "int32")
        z = self.places(x, noise)
        outputs = self.flow.call(z, *([] if condition is None else [condition]), training=training)
        log_categories = ops.take_along_axis(self.log_categories(z), ops.expand_dims(x, -1), axis=-1)
        # The density of z given its category is in that by Bayes' rule, and is what the guess is divided by.
        return self.flow.log_prob_from(outputs, z) + sum_of_entries(log_categories) - self._log_guess(x, z)

    def initialize_from_data(self, x, condition=None):
        z = self.places(x, noise.uniforms(0, 0, len(x), self.hidden_shape))
        self.flow.initialize_from_data(z, *([] if condition is None else [condition]))

    def places(self, x, noise):
        """Places of categories, from uniforms.

        Args:
            x: Integer tensor of shape `(batch, *event_shape)`.
            noise: Tensor of shape `(batch, *hidden_shape)`.

        Returns:
            Tensor of shape `(batch, *event_shape, dimensions of the space)`.
        """
        x = ops.cast(x, "int32")
        around, _ = self.head.from_noise(ops.take(self.params, x, axis=0), normal_quantile(noise))
        return ops.take(self.centers, x, axis=0) + around

    def log_categories(self, z):
        """Log-probabilities of the categories of places.

        Args:
            z: Tensor of shape `(batch, *event_shape, dimensions of the space)`.

        Returns:
            Tensor of shape `(batch, *event_shape, num_levels)`.
        """
        around = ops.expand_dims(z, -2) - self.centers  # (batch, *event_shape, num_levels, dimensions)
        each = self.head.log_prob(self.params, around)
        return ops.log_softmax(ops.sum(each, axis=-1) + self.logits, axis=-1)

    def _log_guess(self, x, z):
        around = z - ops.take(self.centers, x, axis=0)
        return sum_of_entries(self.head.log_prob(ops.take(self.params, x, axis=0), around))

    @property
    def noise_shape(self):
        """Shape of the uniforms of one event: those of the flow, and one for each category."""
        return (math.prod(self.flow.noise_shape) + self.num_dims,)

    def draw_events(self, noise, condition=None):
        of_flow, of_categories = noise[:, : -self.num_dims], noise[:, -self.num_dims :]
        z, _ = self.flow.draw(ops.reshape(of_flow, (-1, *self.flow.noise_shape)), condition)
        return inverse_cdf(self.log_categories(z), ops.reshape(of_categories, (-1, *self.event_shape)))

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("flow", "head")}
        return {**without_shapes(super().get_config()), "num_levels": self.num_levels, **parts}


def _apart(num_levels, latent_dims):
    """An initializer of centers so far apart that few places are of two categories: else there is little to learn from.

    On a line random centers would come close to each other, so there they are the quantiles of what is random in space.
    """
    scale = 2.0 * num_levels ** (1.0 / latent_dims)
    if latent_dims > 1:
        return keras.initializers.RandomNormal(stddev=scale)
    quantiles = [NormalDist(0.0, scale).inv_cdf((i + 0.5) / num_levels) for i in range(num_levels)]
    return keras.initializers.Constant(np.array(quantiles, "float32")[:, None])
