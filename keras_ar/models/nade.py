"""NADE: the neural autoregressive distribution estimator. https://proceedings.mlr.press/v15/larochelle11a.html"""

import math

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.layers import NADEDense


@keras.saving.register_keras_serializable(package="keras_ar")
class NADE(AutoregressiveModel):
    """Neural autoregressive distribution estimator: a hidden layer for each value, all sharing one kernel.

    With a `normal_mixture` head this is RNADE.

    Args:
        event_shape: Shape of one event; an image is flattened inside.
        units: Number of hidden units.
        activation: Activation of the hidden units: `"sigmoid"`, `"relu"`, …
        head: Name, instance, class or config of a head.
        ordering: Which position comes when; see `keras_ar.orderings`.
        condition_shape: Shape of the condition of one event, or `None`.
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
        **kwargs,
    ):
        super().__init__(event_shape, head=head, ordering=ordering, condition_shape=condition_shape, **kwargs)
        self.units = arguments.integer(units, "units")
        self.activation = keras.activations.get(activation)
        self.networks = NADEDense(
            units, self.head.num_params, activation=activation, dtype=self.dtype_policy, name="networks"
        )
        if self.condition_shape:
            self.context = keras.layers.Dense(units, use_bias=False, dtype=self.dtype_policy, name="context")

    def call(self, x, condition=None):
        return self.from_steps(self.networks(self.encode_steps(x), self._context_from(condition)))

    def start(self, batch_size, condition=None):
        return self.networks.start(batch_size, self._context_from(condition))

    def step(self, state, t, previous):
        return self.networks.step(state, self.encode_previous(previous), t)

    def _context_from(self, condition):
        if condition is None:
            return None
        return self.context(ops.reshape(condition, (-1, math.prod(self.condition_shape))))

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
        }
