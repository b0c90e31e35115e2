"""Flow++. https://arxiv.org/abs/1902.00275"""

import keras

from keras_ar import FlowModel, arguments
from keras_ar.bijectors import Inverse
from keras_ar_flows.act_norm import ActNorm
from keras_ar_flows.chain import Chain
from keras_ar_flows.coupling import Coupling
from keras_ar_flows.gated_network import GatedNetwork
from keras_ar_flows.invertible_conv1x1 import InvertibleConv1x1
from keras_ar_flows.logistic_mixture import LogisticMixture
from keras_ar_flows.squeeze import Squeeze

__all__ = ["FlowPlusPlus"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class FlowPlusPlus(FlowModel):
    """Couplings of images by mixtures of logistics, whose networks are gated convolutions with attention.

    First come couplings on a checkerboard; then squares of pixels become channels, and there are couplings of the
    channels, and again some on a checkerboard. Before each stand an `ActNorm` and, where there are channels to mix, an
    `InvertibleConv1x1`. Call `initialize_from_data` with some hundred images before `fit`.

    The paper has two of them: the model of images, and in `Dequantized` the posterior that guesses their fractions.
    The latter is drawn from in training, so its couplings stand the other way round: `as_posterior=True`.

    Args:
        event_shape: Tuple `(height, width, channels)`; height and width are even, if there is anything after the first
            checkerboard.
        num_layers: Three integers: how many couplings there are on the checkerboard, on the channels of squares, and
            on their checkerboard. Defaults to `(4, 2, 3)`.
        filters: Integer, filters of each network. Defaults to `96`.
        num_blocks: Integer, blocks of each network. Defaults to `4`.
        num_heads: Integer, heads of attention among all pixels; `0` for none. Defaults to `4`.
        num_components: Integer, components of each mixture. Defaults to `8`.
        dropout: Float in [0, 1). Dropout rate of the networks, active in training. Defaults to `0.0`.
        as_posterior: Boolean, whether to draw takes one pass, and to score a search; else it is the other way round.
            Defaults to `False`.
        **kwargs: `base`, `resolution`, `condition_shape`, `num_classes`, `name` and `dtype`, as in `FlowModel`.

    Example:

    >>> options = {"filters": 8, "num_blocks": 1, "num_components": 2}
    >>> shape = (4, 4, 1)
    >>> flow = keras_ar_flows.FlowPlusPlus(shape, num_layers=(1, 1, 1), **options)
    >>> fractions = keras_ar_flows.FlowPlusPlus(
    ...     shape, num_layers=(2, 0, 0), as_posterior=True, condition_shape=shape, **options
    ... )
    >>> model = keras_ar_flows.Dequantized(flow, num_levels=16, posterior=fractions)
    >>> model.sample(3, seed=0).shape
    (3, 4, 4, 1)

    Reference:
        [Ho et al., 2019](https://arxiv.org/abs/1902.00275).
    """

    def __init__(
        self,
        event_shape,
        *,
        num_layers=(4, 2, 3),
        filters=96,
        num_blocks=4,
        num_heads=4,
        num_components=8,
        dropout=0.0,
        as_posterior=False,
        **kwargs,
    ):
        event_shape = arguments.integers(event_shape, "event_shape")
        if len(event_shape) != 3:
            raise ValueError(f"`event_shape` must be (height, width, channels). Received: event_shape={event_shape!r}.")
        num_layers = _numbers_of_layers(num_layers)
        as_posterior = arguments.boolean(as_posterior, "as_posterior")
        num_channels = event_shape[-1]
        dtype = {"dtype": kwargs.get("dtype")}
        head = LogisticMixture(num_components)

        def couplings(split, count, width):
            found = []
            for i in range(count):
                mix = [InvertibleConv1x1(seed=i, **dtype)] if width > 1 else []
                network = GatedNetwork(filters, num_blocks, num_heads, dropout, **dtype)
                found += [ActNorm(**dtype), *mix, Coupling(split, i % 2 == 1, head, network, **dtype)]
            return found

        first, channels, last = num_layers
        layers = couplings("checkerboard", first, num_channels)
        if channels or last:
            layers += [Squeeze(**dtype), *couplings("channels", channels, 4 * num_channels)]
            layers += couplings("checkerboard", last, 4 * num_channels)
        bijectors = [Inverse(Chain(layers, **dtype), **dtype)] if as_posterior else layers
        super().__init__(event_shape, bijectors=bijectors, **kwargs)
        self.num_layers, self.filters, self.num_blocks, self.num_heads = num_layers, filters, num_blocks, num_heads
        self.num_components, self.dropout, self.as_posterior = num_components, dropout, as_posterior

    def get_config(self):
        return {
            **self.config_of_flow(),
            "num_layers": self.num_layers,
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "num_heads": self.num_heads,
            "num_components": self.num_components,
            "dropout": self.dropout,
            "as_posterior": self.as_posterior,
        }


def _numbers_of_layers(num_layers):
    if not isinstance(num_layers, list | tuple) or len(num_layers) != 3:
        raise ValueError(f"`num_layers` must be three integers. Received: num_layers={num_layers!r}.")
    found = tuple(arguments.integer(number, "num_layers", least=0) for number in num_layers)
    if not any(found):
        raise ValueError(f"`num_layers` must count one coupling at least. Received: num_layers={num_layers!r}.")
    return found
