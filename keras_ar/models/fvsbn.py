"""FVSBN: the fully visible sigmoid belief network. https://papers.nips.cc/paper/1153"""

import keras
from keras import ops

from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.layers import TriangularDense

__all__ = ["FVSBN"]


@keras.saving.register_keras_serializable(package="keras_ar")
class FVSBN(AutoregressiveModel):
    """Fully visible sigmoid belief network: each value by a (generalized) linear regression on those before it.

    With binary values, `n (n + 1) / 2` weights make `p(x_i = 1 | x_<i) = sigmoid(b_i + sum_{j<i} W_ij x_j)`.

    Args:
        event_shape: Integer or tuple, the shape of one event; an image is flattened inside.
        kernel_regularizer: Regularizer of the weights `W`, such as `"l2"`, or `None`. Defaults to `None`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        ordering: Which position comes when; see `keras_ar.orderings`. Defaults to `None`, the natural order.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        seed: Integer, the seed of `ordering="random"`. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.FVSBN(event_shape=(10,))
    >>> model.count_params()  # 10 * 11 / 2
    55

    Reference:
        [Frey et al., 1996](https://papers.nips.cc/paper/1153);
        [Gan et al., 2015](https://proceedings.mlr.press/v38/gan15.html).
    """

    def __init__(
        self,
        event_shape,
        *,
        kernel_regularizer=None,
        head="bernoulli",
        ordering=None,
        condition_shape=None,
        num_classes=None,
        seed=0,
        **kwargs,
    ):
        super().__init__(
            event_shape,
            head=head,
            ordering=ordering,
            condition_shape=condition_shape,
            num_classes=num_classes,
            seed=seed,
            **kwargs,
        )
        # Layers. From zero weights every value starts with equal odds.
        self.regressions = TriangularDense(
            self.head.num_params,
            kernel_initializer="zeros",
            kernel_regularizer=kernel_regularizer,
            dtype=self.dtype_policy,
            name="regressions",
        )
        if self.condition_shape:
            self.condition_bias = keras.layers.Dense(
                self.num_steps * self.head.num_params, use_bias=False, dtype=self.dtype_policy, name="condition_bias"
            )

    def call(self, x, condition=None):
        params = self.regressions(self.encode_steps(x))  # (batch, steps, num_params)
        if condition is not None:
            params = params + self._bias_from(condition)
        return self.from_steps(params)

    def _bias_from(self, condition):
        bias = self.condition_bias(self.flat_condition(condition))
        return ops.reshape(bias, (-1, self.num_steps, self.head.num_params))

    # One step at a time.

    def prepare(self, condition=None):
        constants = {"regressions": self.regressions.prepare()}
        return constants if condition is None else {**constants, "bias": self._bias_from(condition)}

    def start(self, batch_size, num_steps):
        return self.regressions.start(batch_size, num_steps)

    def step(self, constants, state, t, previous):
        params, state = self.regressions.step(constants["regressions"], state, t, self.encode_previous(previous, t))
        return params + constants["bias"][:, t] if "bias" in constants else params, state

    def prefill(self, constants, state, values):
        params, state = self.regressions.prefill(constants["regressions"], state, self.encode_first_steps(values))
        return params + constants["bias"][:, : params.shape[1]] if "bias" in constants else params, state

    def get_config(self):
        regularizer = keras.regularizers.serialize(self.regressions.kernel_regularizer)
        return {**super().get_config(), "kernel_regularizer": regularizer}
