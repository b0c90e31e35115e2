"""A perceptron that answers for any set of known bits: trained on random sets, scored in the natural order."""

import keras
import numpy as np
from keras import ops

import keras_ar
from keras_ar.numerics import logit


@keras.saving.register_keras_serializable(package="proofs")
class AnyOrderMLP(keras_ar.DensityModel):
    """Bits; the network sees those that are known, and which these are."""

    support = keras_ar.Support.levels(2)
    any_order = True

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.hidden = keras.layers.Dense(32, "relu", dtype=self.dtype_policy)
        self.logits = keras.layers.Dense(self.num_dims, dtype=self.dtype_policy)
        self.seeds = keras.random.SeedGenerator(0)

    def conditionals(self, x, known):
        """A logit for every bit, given those that are known."""
        return ops.cast(self.logits(self.hidden(ops.concatenate([x * known, known], axis=-1))), "float32")

    def call(self, x, training=None):
        """Logits of all bits and what is known, `(batch, sets, bits)`: a random set in training, else each prefix."""
        x, known = ops.expand_dims(ops.cast(x, "float32"), 1), np.tri(self.num_dims, k=-1, dtype="float32")[None]
        if training:
            uniforms = keras.random.uniform((ops.shape(x)[0], 1, self.num_dims + 1), seed=self.seeds)
            known = ops.cast(uniforms[..., 1:] < uniforms[..., :1], "float32")
        known = ops.add(ops.zeros_like(x), known)
        return self.conditionals(ops.zeros_like(known) + x, known), known

    def objective(self, outputs, x, training):
        """Unbiased for the mean over all orders: a set of t known bits counts (n + 1) / (n - t) times."""
        logits, known = outputs
        log_probs = ops.log_sigmoid((2.0 * ops.expand_dims(ops.cast(x, "float32"), 1) - 1.0) * logits)
        if not training:  # each prefix scores the bit that comes next
            return -ops.sum(log_probs * ops.eye(self.num_dims), axis=(1, 2))
        weights = (self.num_dims + 1.0) / ops.maximum(ops.sum(1.0 - known, axis=-1, keepdims=True), 1.0)
        return -ops.sum(weights * (1.0 - known) * log_probs, axis=(1, 2))

    def log_prob_from(self, outputs, x):
        return -self.objective(outputs, x, training=False)

    @property
    def noise_shape(self):
        return self.event_shape

    def draw(self, noise):
        x = ops.zeros_like(noise)
        for i, (is_known, is_next) in enumerate(zip(np.tri(self.num_dims, k=-1), np.eye(self.num_dims), strict=True)):
            logits = self.conditionals(x, ops.add(ops.zeros_like(x), is_known.astype("float32")))
            bit = ops.cast(logit(noise[:, i : i + 1]) > -logits[:, i : i + 1], "float32")
            x = x + ops.multiply(bit, is_next.astype("float32"))
        return ops.cast(x, "int32"), self.log_prob(x)
