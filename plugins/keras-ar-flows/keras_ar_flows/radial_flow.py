"""RadialFlow. https://arxiv.org/abs/1505.05770"""

import keras

from keras_ar import FlowModel, arguments
from keras_ar_flows.radial import Radial

__all__ = ["RadialFlow"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class RadialFlow(FlowModel):
    """Contractions and expansions around points, one after the other: both ways are known in closed form.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        num_layers: Integer, number of centers. Defaults to `16`.
        **kwargs: `base`, `resolution`, `condition_shape`, `num_classes`, `name` and `dtype`, as in `FlowModel`.

    Example:

    >>> flow = keras_ar_flows.RadialFlow(2, num_layers=4)
    >>> flow.compile("adam")
    >>> history = flow.fit(np.random.default_rng(0).normal(size=(64, 2)), verbose=0)
    >>> flow.sample(3, seed=0).shape
    (3, 2)

    Reference:
        [Rezende and Mohamed, 2015](https://arxiv.org/abs/1505.05770).
    """

    def __init__(self, event_shape, *, num_layers=16, **kwargs):
        num_layers = arguments.integer(num_layers, "num_layers")
        layers = [Radial(dtype=kwargs.get("dtype")) for _ in range(num_layers)]
        super().__init__(event_shape, bijectors=layers, **kwargs)
        self.num_layers = num_layers

    def get_config(self):
        return {**self.config_of_flow(), "num_layers": self.num_layers}
