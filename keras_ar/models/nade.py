"""NADE: the neural autoregressive distribution estimator. https://proceedings.mlr.press/v15/larochelle11a.html"""

import keras

from keras_ar import arguments
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.layers import NADEDense

__all__ = ["NADE"]


@keras.saving.register_keras_serializable(package="keras_ar")
class NADE(AutoregressiveModel):
    """Neural autoregressive distribution estimator: a hidden layer for each value, all sharing one kernel.

    With a `normal_mixture` head this is RNADE.

    Args:
        event_shape: Integer or tuple, the shape of one event; an image is flattened inside.
        units: Integer, number of hidden units. Defaults to `500`.
        activation: Activation of the hidden units. Defaults to `"sigmoid"`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        ordering: Which position comes when; see `keras_ar.orderings`. Defaults to `None`, the natural order.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        seed: Integer, the seed of `ordering="random"`. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.NADE(event_shape=(10,), units=16)
    >>> model.count_params()  # 2 n d + n + d
    346

    Reference:
        [Larochelle & Murray, 2011](https://proceedings.mlr.press/v15/larochelle11a.html);
        [Uria et al., 2016](https://arxiv.org/abs/1605.02226).
    """

    def __init__(
        self,
        event_shape,
        *,
        units=500,
        activation="sigmoid",
        head="bernoulli",
        ordering=None,
        condition_shape=None,
        num_classes=None,
        seed=0,
        **kwargs,
    ):
        # Check and store.
        super().__init__(
            event_shape,
            head=head,
            ordering=ordering,
            condition_shape=condition_shape,
            num_classes=num_classes,
            seed=seed,
            **kwargs,
        )
        self.units = arguments.integer(units, "units")
        self.activation = keras.activations.get(activation)

        # Layers.
        dtype = {"dtype": self.dtype_policy}
        self.networks = NADEDense(units, self.head.num_params, activation=activation, name="networks", **dtype)
        if self.condition_shape:
            self.condition_bias = keras.layers.Dense(units, use_bias=False, name="condition_bias", **dtype)

    def call(self, x, condition=None):
        return self.from_steps(self.networks(self.encode_steps(x), self._bias_from(condition)))

    def _bias_from(self, condition):
        return None if condition is None else self.condition_bias(self.flat_condition(condition))

    # One step at a time.

    def prepare(self, condition=None):
        return self.networks.prepare(self._bias_from(condition))

    def start(self, batch_size, num_steps):
        return self.networks.start(batch_size, num_steps)

    def step(self, constants, state, t, previous):
        return self.networks.step(constants, state, t, self.encode_previous(previous, t))

    def prefill(self, constants, state, values):
        return self.networks.prefill(constants, state, self.encode_first_steps(values))

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
        }
