"""FVSBN: the fully visible sigmoid belief network. https://papers.nips.cc/paper/1153"""

import math

import keras
from keras import ops

from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.layers import TriangularDense


@keras.saving.register_keras_serializable(package="keras_ar")
class FVSBN(AutoregressiveModel):
    """Fully visible sigmoid belief network: each value by a (generalised) linear regression on those before it.

    With binary values, `n (n + 1) / 2` weights make `p(x_i = 1 | x_<i) = sigmoid(b_i + sum_{j<i} W_ij x_j)`.

    Args:
        event_shape: Shape of one event; an image is flattened inside.
        head: Name, instance, class or config of a head.
        ordering: Which position comes when; see `keras_ar.orderings`.
        condition_shape: Shape of the condition of one event, or `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.FVSBN(event_shape=(10,))
    >>> model.count_params()  # 10 * 11 / 2
    55

    Reference:
        [Frey et al., 1996](https://papers.nips.cc/paper/1153);
        [Gan et al., 2015](https://proceedings.mlr.press/v38/gan15.html).
    """

    def __init__(self, event_shape, *, head="bernoulli", ordering=None, condition_shape=None, **kwargs):
        super().__init__(event_shape, head=head, ordering=ordering, condition_shape=condition_shape, **kwargs)
        num_params = self.head.num_params
        self.regressions = TriangularDense(num_params, dtype=self.dtype_policy, name="regressions")
        if self.condition_shape:
            self.condition_bias = keras.layers.Dense(
                self.num_steps * num_params, use_bias=False, dtype=self.dtype_policy, name="condition_bias"
            )

    def call(self, x, condition=None):
        params = self.regressions(self.encode_steps(x))  # (batch, steps, num_params)
        if condition is not None:
            params = params + self._bias_from(condition)
        return self.from_steps(params)

    def start(self, batch_size, condition=None):
        bias = () if condition is None else ops.swapaxes(self._bias_from(condition), 0, 1)
        return {"regressions": self.regressions.start(batch_size), "bias": bias}

    def step(self, state, t, previous):
        params, regressions = self.regressions.step(state["regressions"], self.encode_previous(previous), t)
        if self.condition_shape:
            params = params + state["bias"][t]
        return params, {**state, "regressions": regressions}

    def _bias_from(self, condition):
        condition = ops.reshape(condition, (-1, math.prod(self.condition_shape)))
        return ops.reshape(self.condition_bias(condition), (-1, self.num_steps, self.head.num_params))
