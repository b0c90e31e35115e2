"""NICE. https://arxiv.org/abs/1410.8516"""

import keras

from keras_ar import FlowModel, arguments
from keras_ar_flows.coupling import Coupling
from keras_ar_flows.elementwise_affine import ElementwiseAffine
from keras_ar_flows.shift import Shift

__all__ = ["NICE"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class NICE(FlowModel):
    """Additive couplings, and one scale for each entry at the end.

    Every other entry is moved by what a network makes of the rest, and the next layer moves the others. Nothing but the
    last layer stretches space.

    Args:
        event_shape: Integer or tuple, the shape of one event; of two entries at least.
        num_layers: Integer, number of couplings. Defaults to `4`.
        hidden_units: Integer or tuple, units of the hidden layers of each network. Defaults to `(256, 256)`.
        activation: Activation of the hidden units. Defaults to `"relu"`.
        **kwargs: `base`, `resolution`, `condition_shape`, `num_classes`, `name` and `dtype`, as in `FlowModel`.

    Example:

    >>> flow = keras_ar_flows.NICE(2, hidden_units=16)
    >>> flow.compile("adam")
    >>> history = flow.fit(np.random.default_rng(0).normal(size=(64, 2)), verbose=0)
    >>> flow.sample(3, seed=0).shape
    (3, 2)

    Reference:
        [Dinh et al., 2015](https://arxiv.org/abs/1410.8516).
    """

    def __init__(self, event_shape, *, num_layers=4, hidden_units=(256, 256), activation="relu", **kwargs):
        num_layers = arguments.integer(num_layers, "num_layers")
        hidden_units = arguments.integers(hidden_units, "hidden_units")
        dtype = {"dtype": kwargs.get("dtype")}
        couplings = [
            Coupling("alternate", flip=i % 2 == 1, head=Shift(), network=hidden_units, activation=activation, **dtype)
            for i in range(num_layers)
        ]
        super().__init__(event_shape, bijectors=[*couplings, ElementwiseAffine(**dtype)], **kwargs)
        self.num_layers, self.hidden_units = num_layers, hidden_units
        self.activation = keras.activations.get(activation)

    def get_config(self):
        return {
            **self.config_of_flow(),
            "num_layers": self.num_layers,
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
        }
