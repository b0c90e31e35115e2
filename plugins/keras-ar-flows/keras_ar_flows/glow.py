"""Glow. https://arxiv.org/abs/1807.03039"""

import keras

from keras_ar import FlowModel, arguments, heads, noise
from keras_ar_flows.act_norm import ActNorm
from keras_ar_flows.coupling import Coupling
from keras_ar_flows.invertible_conv1x1 import InvertibleConv1x1
from keras_ar_flows.multi_scale import MultiScale
from keras_ar_flows.squeeze import Squeeze

__all__ = ["Glow"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class Glow(FlowModel):
    """Images at several scales: at each, steps of `ActNorm`, `InvertibleConv1x1` and a coupling of the channels.

    Call `initialize_from_data` with some hundred images before `fit`.

    Args:
        event_shape: Tuple `(height, width, channels)`; height and width are multiples of `2 ** num_levels`.
        num_levels: Integer, number of scales. Defaults to `3`.
        num_steps: Integer, number of steps at each. Defaults to `8`.
        filters: Integer, filters of the two convolutions of each network. Defaults to `128`.
        activation: Activation of the filters. Defaults to `"relu"`.
        head: Name, instance, class or config of a head with `to_noise` and `from_noise`. Defaults to `Affine()`.
        seed: Integer, of the permutations of channels. Defaults to `0`.
        **kwargs: `base`, `resolution`, `condition_shape`, `num_classes`, `name` and `dtype`, as in `FlowModel`.

    Example:

    >>> flow = keras_ar_flows.Glow((4, 4, 3), num_levels=2, num_steps=1, filters=8)
    >>> flow.compile("adam")
    >>> images = np.random.default_rng(0).normal(size=(64, 4, 4, 3))
    >>> flow.initialize_from_data(images)
    >>> history = flow.fit(images, verbose=0)
    >>> flow.sample(2, seed=0).shape
    (2, 4, 4, 3)

    Reference:
        [Kingma and Dhariwal, 2018](https://arxiv.org/abs/1807.03039).
    """

    def __init__(
        self,
        event_shape,
        *,
        num_levels=3,
        num_steps=8,
        filters=128,
        activation="relu",
        head="keras-ar-flows:affine",
        seed=0,
        **kwargs,
    ):
        num_levels = arguments.integer(num_levels, "num_levels")
        num_steps = arguments.integer(num_steps, "num_steps")
        filters, seed = arguments.integer(filters, "filters"), noise.check_seed(seed)
        dtype = {"dtype": kwargs.get("dtype")}
        network = {"head": heads.get(head), "network": (filters, filters), "activation": activation, **dtype}
        levels = []
        for level in range(num_levels):
            layers = [Squeeze(**dtype)]
            for step in range(num_steps):
                mix = InvertibleConv1x1(seed + level * num_steps + step, **dtype)
                layers += [ActNorm(**dtype), mix, Coupling("channels", **network)]
            levels.append(layers)
        super().__init__(event_shape, bijectors=[MultiScale(levels, **dtype)], **kwargs)
        self.num_levels, self.num_steps, self.filters, self.seed = num_levels, num_steps, filters, seed
        self.activation, self.head = keras.activations.get(activation), network["head"]

    def get_config(self):
        return {
            **self.config_of_flow(),
            "num_levels": self.num_levels,
            "num_steps": self.num_steps,
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
            "head": keras.saving.serialize_keras_object(self.head),
            "seed": self.seed,
        }
