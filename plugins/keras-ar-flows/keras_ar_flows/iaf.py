"""IAF: the inverse autoregressive flow. https://arxiv.org/abs/1606.04934"""

import keras

from keras_ar import FlowModel, noise
from keras_ar.bijectors import Autoregressive, Inverse
from keras_ar_flows.maf import stacked_mades

__all__ = ["IAF"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class IAF(FlowModel):
    """MADEs the other way round: it draws in one pass for each layer, with a gradient, and scores what it draws.

    So it is a posterior: `draw` of noise gives latents and their log-probabilities, both differentiable. To score an
    event that it has not drawn takes a loop over the entries, at the arithmetic of one pass but without a gradient;
    `fit`, which would need one, is refused.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        num_layers: Integer, number of MADEs. Defaults to `2`.
        hidden_units: Integer or tuple, units of the hidden layers of each MADE. Defaults to `(320,)`.
        activation: Activation of the hidden units. Defaults to `"relu"`.
        head: Name, instance, class or config of a head with `to_noise` and `from_noise`. Defaults to `Affine()`.
        ordering: `"alternate"` or `"random"`, as in `MAF`. Defaults to `"alternate"`.
        seed: Integer. Defaults to `0`.
        **kwargs: `base`, `resolution`, `condition_shape`, `num_classes`, `name` and `dtype`, as in `FlowModel`.

    Example:

    >>> flow = keras_ar_flows.IAF(3, hidden_units=16)
    >>> events, log_prob = flow.sample(4, seed=0, return_log_prob=True)
    >>> bool(np.allclose(flow.score_samples(events), log_prob, atol=1e-4))
    True

    Reference:
        [Kingma et al., 2016](https://arxiv.org/abs/1606.04934).
    """

    def __init__(
        self,
        event_shape,
        *,
        num_layers=2,
        hidden_units=(320,),
        activation="relu",
        head="keras-ar-flows:affine",
        ordering="alternate",
        seed=0,
        **kwargs,
    ):
        mades = stacked_mades(event_shape, num_layers, hidden_units, activation, head, ordering, seed, **kwargs)
        dtype = {"dtype": kwargs.get("dtype")}
        layers = [Inverse(Autoregressive(made, **dtype), **dtype) for made in mades]
        super().__init__(event_shape, bijectors=layers, **kwargs)
        self.num_layers, self.hidden_units, self.head = num_layers, mades[0].hidden_units, mades[0].head
        self.activation = keras.activations.get(activation)
        self.ordering, self.seed = ordering, noise.check_seed(seed)

    def get_config(self):
        return {
            **self.config_of_flow(),
            "num_layers": self.num_layers,
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
            "head": keras.saving.serialize_keras_object(self.head),
            "ordering": self.ordering,
            "seed": self.seed,
        }
