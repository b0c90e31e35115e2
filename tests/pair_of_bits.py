"""A head that draws two values in one step, as a mixture over RGB will: it tests steps of more than one value."""

import keras
import numpy as np
from keras import ops

from keras_ar import Support
from keras_ar.heads import Categorical, Head


@keras.saving.register_keras_serializable(package="tests")
class PairOfBits(Head):
    """Two bits drawn together, by a logit for each of 00, 01, 10 and 11."""

    num_params = 4
    support = Support.levels(2)
    event_shape = (2,)
    outcomes = Categorical(4)

    def encode(self, x):
        return ops.cast(x, "float32")

    def log_prob(self, params, x):
        x = ops.cast(x, "int32")
        return self.outcomes.log_prob(params, 2 * x[..., 0] + x[..., 1])

    def sample(self, params, uniforms):
        return self.bits(self.outcomes.sample(params, uniforms))

    def mean(self, params):
        return ops.matmul(ops.softmax(params, axis=-1), np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32"))

    def mode(self, params):
        return self.bits(self.outcomes.mode(params))

    def temper(self, params, temperature):
        return params / temperature

    def bits(self, outcome):
        return ops.stack([outcome // 2, outcome % 2], axis=-1)
