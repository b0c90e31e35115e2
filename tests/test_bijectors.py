"""Bijectors: ours keep what the kit asks for, and the kit finds what is wrong with others."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_ar
from keras_ar.bijectors import Bijector, Permute
from keras_ar.testing.bijectors import BIJECTOR_CHECKS

CHECKS = {check.__name__: check for check in BIJECTOR_CHECKS}


class Affine(Bijector):
    """Right in all; each fault below changes one method."""

    def build(self, input_shape):
        self.loc = self.add_weight(input_shape[1:], "zeros", name="loc")
        self.log_scale = self.add_weight(input_shape[1:], "zeros", name="log_scale")

    def to_noise(self, x, condition=None):
        return (x - self.loc) * ops.exp(-self.clipped()), self.log_det(x)

    def from_noise(self, z, condition=None):
        return self.loc + z * ops.exp(self.clipped()), self.log_det(z)

    def clipped(self):
        return ops.clip(self.log_scale, -7.0, 7.0)

    def log_det(self, x):
        return ops.broadcast_to(-ops.sum(self.clipped()), ops.shape(x)[:1])


class Conditional(Bijector):
    """Shifts by a network's output for the condition."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.shift = keras.layers.Dense(6, dtype=self.dtype_policy, name="shift")

    def build(self, input_shape):
        self.shift.build((None, 2))

    def to_noise(self, x, condition=None):
        return x - ops.cast(self.shift(condition), "float32"), ops.zeros(ops.shape(x)[:1])

    def from_noise(self, z, condition=None):
        return z + ops.cast(self.shift(condition), "float32"), ops.zeros(ops.shape(z)[:1])


class NegatesOnTheWayBack(Affine):
    def from_noise(self, z, condition=None):
        x, log_det = super().from_noise(z)
        return x, -log_det


class HasTheOtherSign(Affine):
    def log_det(self, x):
        return -super().log_det(x)


class ForgetsTheMean(Affine):
    def from_noise(self, z, condition=None):
        return z * ops.exp(self.clipped()), self.log_det(z)


class NormalizesTheBatch(Affine):
    def to_noise(self, x, condition=None):
        return super().to_noise(x - ops.mean(x, axis=0))


class IgnoresTheMean(Affine):
    def to_noise(self, x, condition=None):
        return x * ops.exp(-self.clipped()), self.log_det(x)


class ForgetsItsArgument(Affine):
    def __init__(self, slope=1.0, **kwargs):
        super().__init__(**kwargs)
        self.slope = np.random.default_rng().normal()

    def to_noise(self, x, condition=None):
        z, log_det = super().to_noise(x)
        return self.slope * z, log_det


class Overflows(Affine):
    def clipped(self):
        return self.log_scale


class ComputesInLess(Affine):
    def to_noise(self, x, condition=None):
        z, log_det = super().to_noise(x)
        return z, ops.cast(log_det, self.compute_dtype)


class HoldsWeightsInLess(Affine):
    def add_weight(self, *args, **kwargs):
        return super().add_weight(*args, autocast=True, **kwargs)

    def to_noise(self, x, condition=None):
        return x * ops.cast(ops.exp(-self.clipped()), x.dtype), self.log_det(x)


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize(
    ("bijector", "shapes"),
    [
        (Affine(), {}),
        (Permute("reversed"), {}),
        (Permute("random", seed=3), {"event_shape": (3, 4)}),
        (Permute([1, 0]), {"event_shape": (2,)}),
        (Permute("natural"), {"event_shape": (1,)}),
        (Conditional(), {"condition_shape": (2,)}),
    ],
    ids=["affine", "reversed", "random", "own", "natural", "conditional"],
)
def test_a_right_bijector_passes(name, bijector, shapes):
    CHECKS[name](bijector, **shapes)


@pytest.mark.parametrize(
    ("name", "bijector", "says"),
    [
        ("inverts", NegatesOnTheWayBack(), "must return the same log"),
        ("log_det", HasTheOtherSign(), r"must be log \|det dz/dx\|"),
        ("inverts", ForgetsTheMean(), "`from_noise` of .* must undo `to_noise`"),
        ("alone_and_in_batch", NormalizesTheBatch(), "depends on the batch"),
        ("every_weight_learns", IgnoresTheMean(), "without a gradient: .*loc"),
        ("round_trip", ForgetsItsArgument(), "computes otherwise"),
        ("extremes", Overflows(), "not finite"),
        ("mixed_precision", ComputesInLess(), "`log_det` of .* must be float32"),
        ("mixed_precision", HoldsWeightsInLess(), "`log_det` of .* must be float32"),
    ],
    ids=lambda value: value.name if isinstance(value, Bijector) else None,
)
def test_a_fault_is_found(name, bijector, says):
    with pytest.raises(AssertionError, match=says):
        CHECKS[f"check_bijector_{name}"](bijector)


def test_permute_puts_entry_ordering_t_at_t():
    z, log_det = Permute([2, 0, 1])(np.array([[10.0, 11.0, 12.0]], "float32"))
    assert ops.convert_to_numpy(z).tolist() == [[12.0, 10.0, 11.0]]
    assert ops.convert_to_numpy(log_det).tolist() == [0.0]


def test_a_random_permutation_is_in_the_config():
    permute = Permute("random", seed=5)
    permute(np.zeros((1, 6), "float32"))
    config = permute.get_config()
    assert config["ordering"] == keras_ar.orderings.random(6, seed=5).tolist()
    assert Permute.from_config(config).get_config() == config


def test_a_permutation_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"must order the model's 3 positions\. Received an ordering of 2"):
        Permute([1, 0])(np.zeros((1, 3), "float32"))


def test_a_bijector_is_found_by_name_class_or_config():
    permute = keras_ar.bijectors.get("permute", ordering=[1, 0])
    assert keras_ar.bijectors.get(permute) is permute
    assert keras_ar.bijectors.get(Permute, ordering="reversed").ordering == "reversed"
    config = keras.saving.serialize_keras_object(permute)
    assert keras_ar.bijectors.get(config).ordering.tolist() == [1, 0]


@pytest.mark.parametrize("method", ["to_noise", "from_noise"])
def test_what_a_bijector_lacks_is_named(method):
    with pytest.raises(NotImplementedError, match=f"must have `{method}`. Bijector has none"):
        getattr(Bijector(), method)(np.zeros((1, 2), "float32"))
