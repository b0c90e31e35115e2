"""SetFlow: couplings among the entries of a set. https://arxiv.org/abs/2006.09790, section 3.3"""

import keras

from keras_ar import FlowModel, arguments
from keras_ar_flows.act_norm import ActNorm
from keras_ar_flows.attention_network import AttentionNetwork
from keras_ar_flows.coupling import Coupling
from keras_ar_flows.invertible_conv1x1 import InvertibleConv1x1
from keras_ar_flows.logistic_mixture import LogisticMixture

__all__ = ["SetFlow"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class SetFlow(FlowModel):
    """Sets of vectors: half of the features of all entries are mapped, given the other half, by attention.

    The order of the entries does not matter: an event has the same density if they change places.

    Args:
        event_shape: Tuple `(entries, features)`, of two features at least.
        num_layers: Integer, number of couplings. Defaults to `8`.
        units: Integer, features of each network. Defaults to `128`.
        num_blocks: Integer, blocks of attention of each network. Defaults to `2`.
        num_heads: Integer, heads of attention. Defaults to `4`.
        num_components: Integer, components of each mixture of logistics. Defaults to `8`.
        dropout: Float in [0, 1). Dropout rate of the networks, active in training. Defaults to `0.0`.
        **kwargs: `base`, `resolution`, `condition_shape`, `num_classes`, `name` and `dtype`, as in `FlowModel`.

    Example:

    >>> flow = keras_ar_flows.SetFlow((5, 2), num_layers=2, units=8, num_blocks=1)
    >>> x = flow.sample(1, seed=0)
    >>> same = flow.score_samples(x[:, ::-1])
    >>> bool(np.allclose(flow.score_samples(x), same, atol=1e-3))
    True

    Reference:
        [Lippe and Gavves, 2021](https://arxiv.org/abs/2006.09790).
    """

    def __init__(
        self,
        event_shape,
        *,
        num_layers=8,
        units=128,
        num_blocks=2,
        num_heads=4,
        num_components=8,
        dropout=0.0,
        **kwargs,
    ):
        event_shape = arguments.integers(event_shape, "event_shape")
        if len(event_shape) != 2:
            raise ValueError(f"`event_shape` must be (entries, features). Received: event_shape={event_shape!r}.")
        num_layers = arguments.integer(num_layers, "num_layers")
        dtype = {"dtype": kwargs.get("dtype")}
        head, layers = LogisticMixture(num_components), []
        for i in range(num_layers):
            network = AttentionNetwork(units, num_blocks, num_heads, dropout, **dtype)
            layers += [ActNorm(**dtype), InvertibleConv1x1(seed=i, **dtype)]
            layers.append(Coupling("channels", i % 2 == 1, head, network, **dtype))
        super().__init__(event_shape, bijectors=layers, **kwargs)
        self.num_layers, self.units, self.num_blocks, self.num_heads = num_layers, units, num_blocks, num_heads
        self.num_components, self.dropout = num_components, dropout

    def get_config(self):
        return {
            **self.config_of_flow(),
            "num_layers": self.num_layers,
            "units": self.units,
            "num_blocks": self.num_blocks,
            "num_heads": self.num_heads,
            "num_components": self.num_components,
            "dropout": self.dropout,
        }
