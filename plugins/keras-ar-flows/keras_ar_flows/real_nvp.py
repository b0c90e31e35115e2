"""RealNVP. https://arxiv.org/abs/1605.08803"""

import keras

from keras_ar import FlowModel, arguments, heads
from keras_ar_flows.act_norm import ActNorm
from keras_ar_flows.coupling import Coupling
from keras_ar_flows.multi_scale import MultiScale
from keras_ar_flows.squeeze import Squeeze

__all__ = ["RealNVP"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class RealNVP(FlowModel):
    """Affine couplings, of vectors or of images at several scales.

    Of a vector, or of an image that is treated as one, every other entry is mapped, then the rest, and so on. With
    `num_scales`, images go through couplings on a checkerboard; their pixels become channels, which are coupled in
    turn; half of them are done, and the other half, an image of half the size, is treated the same way. An `ActNorm`
    before each coupling stands for the batch normalization of the paper: call `initialize_from_data` before `fit`.

    Args:
        event_shape: Integer or tuple, the shape of one event; of two entries at least.
        num_layers: Integer, number of couplings; of an image, on the checkerboard and on the channels of each scale.
            Defaults to `8`.
        hidden_units: Integer or tuple, units of the hidden layers of each network: dense ones, or 3x3 convolutions if
            there are scales. Defaults to `(256, 256)`.
        num_scales: Integer, number of scales of images `(height, width, channels)`; `None` for vectors. Height and
            width must be multiples of `2 ** (num_scales - 1)`. Defaults to `None`.
        activation: Activation of the hidden units. Defaults to `"relu"`.
        head: Name, instance, class or config of a head with `to_noise` and `from_noise`. Defaults to `Affine()`.
        **kwargs: `base`, `resolution`, `condition_shape`, `num_classes`, `name` and `dtype`, as in `FlowModel`.

    Example:

    >>> flow = keras_ar_flows.RealNVP((4, 4, 1), num_layers=2, hidden_units=8, num_scales=2)
    >>> flow.compile("adam")
    >>> images = np.random.default_rng(0).normal(size=(64, 4, 4, 1))
    >>> flow.initialize_from_data(images)
    >>> history = flow.fit(images, verbose=0)
    >>> flow.sample(3, seed=0).shape
    (3, 4, 4, 1)

    Reference:
        [Dinh et al., 2017](https://arxiv.org/abs/1605.08803).
    """

    def __init__(
        self,
        event_shape,
        *,
        num_layers=8,
        hidden_units=(256, 256),
        num_scales=None,
        activation="relu",
        head="keras-ar-flows:affine",
        **kwargs,
    ):
        num_layers = arguments.integer(num_layers, "num_layers")
        hidden_units = arguments.integers(hidden_units, "hidden_units")
        num_scales = None if num_scales is None else arguments.integer(num_scales, "num_scales")
        dtype = {"dtype": kwargs.get("dtype")}
        network = {"head": heads.get(head), "network": hidden_units, "activation": activation, **dtype}

        def couplings(split):
            pairs = [(ActNorm(**dtype), Coupling(split, flip=i % 2 == 1, **network)) for i in range(num_layers)]
            return [layer for pair in pairs for layer in pair]

        if num_scales is None:
            layers = couplings("alternate")
        else:
            scales = [
                [*couplings("checkerboard"), Squeeze(**dtype), *couplings("channels")] for _ in range(num_scales - 1)
            ]
            layers = [MultiScale([*scales, couplings("checkerboard")], **dtype)]
        super().__init__(event_shape, bijectors=layers, **kwargs)
        self.num_layers, self.hidden_units, self.num_scales = num_layers, hidden_units, num_scales
        self.activation, self.head = keras.activations.get(activation), network["head"]

    def get_config(self):
        return {
            **self.config_of_flow(),
            "num_layers": self.num_layers,
            "hidden_units": self.hidden_units,
            "num_scales": self.num_scales,
            "activation": keras.activations.serialize(self.activation),
            "head": keras.saving.serialize_keras_object(self.head),
        }
