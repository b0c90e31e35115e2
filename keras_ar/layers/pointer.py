"""A mixture of what a model predicts and of what followed where it stood before. https://arxiv.org/abs/1609.07843"""

import math

import keras
from keras import ops

from keras_ar import arguments, attending

__all__ = ["Pointer"]

_SUREST = 0.999  # of what is copied: the model keeps a share, so that everything stays possible
_MOST = 100.0  # times a cosine: with more, only the step that is most alike counts, and gradients overflow


@keras.saving.register_keras_serializable(package="keras_ar")
class Pointer(keras.layers.Layer):
    """Lets a model of levels copy: what followed where the sequence looked alike before may follow again.

    Each step compares its features with those of earlier steps. The levels that followed these, weighted by the softmax
    of `scale` times the cosines of the features, are a second distribution of the next level, and a gate says how much
    of it is mixed into the first. So names and rare words can be copied from a text that no training part had.
    The projection of the features, the scale and the gate are learned. All is float32 under any policy.

    Args:
        num_levels: Integer, number of levels of a value.
        window: Integer, how many steps it looks back, or `None` for all. Defaults to `None`.
        size: Integer, number of features that are compared. Defaults to `64`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        logits: Tensor of shape `(batch, length, num_levels)`: what the model predicts at each step.
        features: Tensor of shape `(batch, length, channels)`, which knows only what comes before a step.
        x: Integer tensor of shape `(batch, length)`: the sequence.

    Returns:
        Tensor of shape `(batch, length, num_levels)`: the logarithms of the mixed probabilities.

    Example:

    >>> pointer = keras_ar.layers.Pointer(num_levels=3, window=16)
    >>> tuple(pointer(np.zeros((1, 100, 3)), np.ones((1, 100, 8)), np.ones((1, 100), int)).shape)
    (1, 100, 3)

    Reference:
        [Merity et al., 2016](https://arxiv.org/abs/1609.07843); cosines of what a step knows, as in
        [Grave et al., 2016](https://arxiv.org/abs/1612.04426).
    """

    def __init__(self, num_levels, window=None, size=64, **kwargs):
        super().__init__(autocast=False, **kwargs)  # levels would be rounded
        self.num_levels = arguments.integer(num_levels, "num_levels", least=2)
        self.window = None if window is None else arguments.integer(window, "window")
        self.size = arguments.integer(size, "size")
        self.to_keys = keras.layers.Dense(size, use_bias=False, dtype="float32", name="to_keys")
        # At first nearly all is left to the model.
        few = keras.initializers.Constant(-3.0)
        self.to_gate = keras.layers.Dense(1, bias_initializer=few, dtype="float32", name="to_gate")

    def build(self, logits_shape, features_shape, x_shape):
        *_, channels = features_shape
        self.to_keys.build((None, channels))
        self.to_gate.build((None, channels + self.num_levels))
        initial = keras.initializers.Constant(math.log(12.0))
        self.log_scale = self.add_weight((), initial, dtype="float32", autocast=False, name="log_scale")

    def call(self, logits, features, x):
        features = ops.cast(features, "float32")
        keys = self._keys(features)  # (batch, length, size)
        return self._mix(logits, features, self._find(keys, *self._pairs(keys, x)))

    def _keys(self, features):
        keys = self.to_keys(features)
        return keys * ops.rsqrt(ops.sum(ops.square(keys), axis=-1, keepdims=True) + 1e-6)

    def _query(self, keys):
        scale = ops.exp(ops.minimum(self.log_scale, math.log(_MOST)))
        return keys * (scale * math.sqrt(self.size))  # attention divides by the root of the size

    def _pairs(self, keys, x):
        """Key and level of the step before each. Before the first is nothing: a key and a value of zeros."""
        values = ops.one_hot(ops.cast(x[:, :-1], "int32"), self.num_levels, dtype="float32")
        pairs = (ops.pad(pair, [[0, 0], [1, 0], [0, 0]]) for pair in (keys[:, :-1], values))
        return tuple(ops.expand_dims(pair, 1) for pair in pairs)  # (batch, 1, length, size): attention of one head

    def _find(self, keys, of_keys, of_values):
        queries = ops.expand_dims(self._query(keys), 1)
        return attending.attend_in_window(queries, of_keys, of_values, self.window)[:, 0]

    def _mix(self, logits, features, found):
        """Logarithms of the mixture, where `found` are the probabilities by the levels of earlier steps.

        These sum to less than one in so far as a step found nothing: that part is the model's.
        """
        log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        gate = self.to_gate(ops.concatenate([features, found], axis=-1))  # before its sigmoid
        share, log_share = _SUREST * ops.sigmoid(gate), math.log(_SUREST) + ops.log_sigmoid(gate)
        log_rest = ops.log1p(-share * ops.sum(found, axis=-1, keepdims=True))
        is_found = found > 1e-30
        log_found = ops.where(is_found, ops.log(ops.where(is_found, found, 1.0)), -1e30)
        return ops.logaddexp(log_rest + log_probs, log_share + log_found)

    # One step at a time: the pair of the step before is put into its slot, and all slots are looked at.

    def start(self, batch_size, num_steps):
        """The state before the first step."""
        shape = (batch_size, 1, attending.ring_size(self.window, num_steps, self.name))
        return {
            "keys": ops.zeros((*shape, self.size), "float32"),
            "values": ops.zeros((*shape, self.num_levels), "float32"),
            "last": ops.zeros((batch_size, self.size), "float32"),
        }

    def step(self, state, t, logits, features, previous):
        """The mixture at step `t`, `(batch, num_levels)`, given the level of the step before; and the state after."""
        features = ops.cast(features, "float32")
        value = ops.one_hot(ops.cast(previous, "int32"), self.num_levels, dtype="float32")
        value = ops.where(t > 0, value, ops.zeros_like(value))
        num_slots = state["keys"].shape[2]
        slot = (0, 0, t % num_slots, 0)
        keys = ops.slice_update(state["keys"], slot, state["last"][:, None, None])
        values = ops.slice_update(state["values"], slot, value[:, None, None])
        key = self._keys(features)  # (batch, size)
        found = attending.attend(self._query(key)[:, None, None], keys, values, ops.arange(num_slots) <= t)
        params = self._mix(logits, features, found[:, 0, 0])
        return params, {"keys": keys, "values": values, "last": key}

    def prefill(self, state, logits, features, x):
        """The mixture at the first steps, `(batch, steps, num_levels)`, and the state after them."""
        features = ops.cast(features, "float32")
        keys = self._keys(features)
        of_keys, of_values = self._pairs(keys, x)
        num_slots = state["keys"].shape[2]
        state = {
            "keys": attending.ring(of_keys, num_slots),
            "values": attending.ring(of_values, num_slots),
            "last": keys[:, -1],
        }
        return self._mix(logits, features, self._find(keys, of_keys, of_values)), state

    def compute_output_shape(self, logits_shape, features_shape, x_shape):
        return tuple(logits_shape)

    def get_config(self):
        return {**super().get_config(), "num_levels": self.num_levels, "window": self.window, "size": self.size}
