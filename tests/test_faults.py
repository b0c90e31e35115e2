"""The conformance kit catches real faults: each is planted here, and found by the check that is there for it."""

import functools

import keras
import numpy as np
import pytest
from keras import ops, tree

from keras_ar import FlowModel, bijectors, heads, layers, masks
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.testing import bijectors as bijector_checks
from keras_ar.testing import checks_for
from keras_ar.testing import densities as density_checks
from keras_ar.testing import flows as flow_checks
from keras_ar.testing import heads as head_checks
from keras_ar.testing import layers as layer_checks
from keras_ar.testing import models as checks


@keras.saving.register_keras_serializable(package="tests")
class Faulty(AutoregressiveModel):
    """A small MADE of one layer, with one fault."""

    def __init__(self, event_shape, *, fault=None, head="bernoulli", **kwargs):
        super().__init__(event_shape, head=head, **kwargs)
        self.fault = fault
        n, p = self.num_steps, self.head.num_params
        mask = masks.connect(masks.input_degrees(n), masks.output_degrees(n, p))
        if fault == "leaking mask":
            mask[n - 2, (n - 2) * p] = 1
        self.dense = layers.MaskedDense(n * p, mask)
        self.idle = self.add_weight((1,), name="idle") if fault == "idle weight" else None

    def call(self, x):
        params = ops.reshape(self.dense(self.encode_steps(x)[..., 0]), (-1, self.num_steps, self.head.num_params))
        if self.fault == "leak of a step's own value":
            params = params + 0.1 * self.encode_steps(x)
        return self.from_steps(params)

    def start(self, batch_size, num_steps):
        return ops.zeros((self.num_steps + 1, batch_size))

    def step(self, constants, state, t, previous):
        x = ops.transpose(self.encode_previous(previous, t))
        seen = ops.slice_update(state, (t, 0), x)  # slot 0 is before the first step
        if self.fault == "step adds before it draws":
            seen = ops.slice_update(state, (ops.minimum(t + 1, self.num_steps), 0), x)
        kernel = ops.pad(ops.multiply(self.dense.kernel, self.dense.mask), [[1, 0], [0, 0]])
        params = ops.matmul(ops.transpose(seen), kernel) + self.dense.bias
        params = ops.reshape(params, (-1, self.num_steps, self.head.num_params))[:, t]
        if self.fault == "looks at the batch":
            params = params + 0.05 * previous.shape[0]
        return params, seen

    def get_config(self):
        return {**super().get_config(), "fault": self.fault}


@keras.saving.register_keras_serializable(package="tests")
class WeighsWhatItDraws(Faulty):
    """Weighs particles by all of their values, and not only by those that are known."""

    def drawer(self, *args, **kwargs):
        draw = super().drawer(*args, **kwargs)

        def weighs_all(*args):
            values, log_prob, log_weight = draw(*args)
            return values, log_prob, log_weight + log_prob

        return weighs_all


@keras.saving.register_keras_serializable(package="tests")
class RoundsLate(heads.Normal):
    """Feeds on a value that is not the one it returns in the end: the grid comes too late."""

    def sample(self, params, uniforms):
        return ops.round(super().sample(params, uniforms))


@keras.saving.register_keras_serializable(package="tests")
class SumsToMore(heads.Bernoulli):
    """Probabilities that sum to 1.01."""

    def log_prob(self, params, x):
        return super().log_prob(params, x) + float(np.log(1.01))


@keras.saving.register_keras_serializable(package="tests")
class IgnoresTheLogit(heads.Bernoulli):
    """A fair coin, whatever it scores."""

    def sample(self, params, uniforms):
        return super().sample(0.0 * params, uniforms)


@keras.saving.register_keras_serializable(package="tests")
class SharesASign(heads.Normal):
    """Both ways say the same wrong thing of the slope."""

    def to_noise(self, params, x):
        z, log_slope = super().to_noise(params, x)
        return z, -log_slope

    def from_noise(self, params, z):
        x, log_slope = super().from_noise(params, z)
        return x, -log_slope


@keras.saving.register_keras_serializable(package="tests")
class ClampsItsDraws(heads.Normal):
    """Draws nothing from the tails, and scores them."""

    def from_noise(self, params, z):
        return super().from_noise(params, ops.clip(z, -1.5, 1.5))


@keras.saving.register_keras_serializable(package="tests")
class DrawsRealNumbers(IgnoresTheLogit):
    """Levels, but of another dtype."""

    def sample(self, params, uniforms):
        return ops.cast(super().sample(params, uniforms), "float32")


@keras.saving.register_keras_serializable(package="tests")
class ClipsTheProbability(heads.Bernoulli):
    """log of a probability that underflows."""

    def log_prob(self, params, x):
        p = ops.sigmoid(params[..., 0])
        return ops.log(ops.where(ops.cast(x, "bool"), p, 1.0 - p))


def forgetful(component, method):
    """A subclass with an argument `factor` that its method multiplies by, and that the config does not tell."""

    class Forgetful(component):
        def __init__(self, *args, factor=1.0, **kwargs):
            super().__init__(*args, **kwargs)
            self.factor = factor

    @functools.wraps(getattr(component, method))
    def scaled(self, *args, **kwargs):
        return tree.map_structure(lambda y: self.factor * y, getattr(component, method)(self, *args, **kwargs))

    setattr(Forgetful, method, scaled)
    return keras.saving.register_keras_serializable("tests", f"Forgetful{component.__name__}")(Forgetful)


@keras.saving.register_keras_serializable(package="tests")
class DropsInVain(Faulty):
    """Noise inside of a layer inside of a list, which is never switched on."""

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.blocks = [layers.PositionWise(keras.layers.GaussianNoise(0.5))]

    def call(self, x):
        return self.blocks[0](super().call(x), training=False)


@keras.saving.register_keras_serializable(package="tests")
class FaultyAttention(layers.CausalAttention):
    """Attention with the mistakes that are easy to make."""

    def __init__(self, units, num_heads, window=None, fault=None, **kwargs):
        super().__init__(units, num_heads, window=window, **kwargs)
        self.fault = fault

    def call(self, inputs, training=None):
        if self.fault == "mask one too far":
            inputs = ops.concatenate([inputs[:, 1:], inputs[:, :1]], axis=1)
        return super().call(inputs, training=training)

    def step(self, constants, state, t, x):
        if self.fault == "looks at empty slots":
            state = tree.map_structure(lambda slots: slots + 0.1, state)
            t = t + state["keys"].shape[2]  # so that all of them count
        if self.fault == "turns by the slot":
            t = t % state["keys"].shape[2]
        return super().step(constants, state, t, x)

    def prefill(self, constants, state, inputs):
        outputs, state = super().prefill(constants, state, inputs)
        if self.fault == "ring that is not rolled":
            state = tree.map_structure(lambda slots: ops.roll(slots, -inputs.shape[1] % slots.shape[2], axis=2), state)
        return outputs, state

    def get_config(self):
        return {**super().get_config(), "fault": self.fault}


@keras.saving.register_keras_serializable(package="tests")
class Sinh(bijectors.Bijector):
    """`z = sinh(x + shift)`, with one fault."""

    def __init__(self, fault=None, **kwargs):
        super().__init__(**kwargs)
        self.fault = fault

    def build(self, x_shape, condition_shape=None):
        self.shift = self.add_weight(x_shape[1:], "zeros", name="shift")

    def to_noise(self, x, condition=None):
        if self.fault == "statistics of the batch":
            x = x - ops.mean(x, axis=0)
        moved = x + self.shift
        return ops.sinh(moved), self.log_det(moved)

    def from_noise(self, z, condition=None):
        moved = ops.arcsinh(z)
        x = moved - self.shift
        return ops.clip(x, -1.0, 1.0) if self.fault == "clamped draw" else x, self.log_det(moved)

    def log_det(self, moved):
        log_slopes = ops.log(ops.cosh(moved))
        if self.fault == "other sign":
            log_slopes = -log_slopes
        if self.fault == "missing term":
            log_slopes = log_slopes[:, 1:]
        return ops.sum(log_slopes, axis=-1)

    def get_config(self):
        return {**super().get_config(), "fault": self.fault}


OF_LOG_DETS = ("other sign", "missing term")


def flow_with(fault):
    return FlowModel(2, bijectors=[Sinh(fault)])


FAULTS = [
    (Faulty(6, fault="leaking mask"), checks.check_causal, "step 4 sees step 4"),
    (Faulty(6, fault="leak of a step's own value"), checks.check_causal, "step 0 sees step 0"),
    (Faulty(6, fault="step adds before it draws"), checks.check_step_equals_call, "disagrees with `call` at step"),
    (Faulty(6, fault="step adds before it draws"), checks.check_methods_agree, "are not those of full"),
    (Faulty(6, fault="looks at the batch"), checks.check_draws_repeat, "drawn in batches of 12"),
    (WeighsWhatItDraws(6), checks.check_any_pattern, "times as probable as it is"),
    (Faulty(6, fault="idle weight"), checks.check_every_weight_learns, "idle"),
    (Faulty(6, head=SumsToMore()), checks.check_normalized, "sum to 1.06"),
    (SumsToMore(), head_checks.check_head_normalized, "sum to"),
    (Faulty(6, head=IgnoresTheLogit()), checks.check_honest_draws, "do not follow"),
    (IgnoresTheLogit(), head_checks.check_head_draws_what_it_scores, "do not follow"),
    (Faulty(6, head=RoundsLate()), checks.check_uniform_transform, "do not follow"),
    (RoundsLate(scale=0.1), head_checks.check_head_draws_what_it_scores, "do not follow"),
    (SharesASign(scale=3.0), head_checks.check_head_noise, "is off by"),
    (ClampsItsDraws(), head_checks.check_head_noise, "not increasing"),
    (DrawsRealNumbers(), head_checks.check_head_draws_what_it_scores, "do not follow"),
    (DrawsRealNumbers(), head_checks.check_head_shapes, "must be int32. Received: float32"),
    (ClipsTheProbability(), head_checks.check_head_extremes, "not finite"),
    (forgetful(Faulty, "call")(4, factor=3.0), checks.check_config_round_trip, "from its config scores otherwise"),
    (
        forgetful(layers.MaskedDense, "call")(3, [[1, 1, 0], [0, 1, 1]], factor=3.0),
        layer_checks.check_layer_round_trip,
        "from its config computes otherwise",
    ),
    (forgetful(heads.Normal, "sample")(factor=3.0), head_checks.check_head_round_trip, "`sample` of"),
    (
        forgetful(bijectors.Permute, "to_noise")("reversed", factor=3.0),
        bijector_checks.check_bijector_round_trip,
        "from its config computes otherwise",
    ),
    *((flow_with(fault), density_checks.check_density_integrates, "integrates to") for fault in OF_LOG_DETS),
    *(
        (flow_with(fault), flow_checks.check_flow_changes_variables, "must be that of its noise")
        for fault in OF_LOG_DETS
    ),
    *((Sinh(fault), bijector_checks.check_bijector_log_det, "must be log") for fault in OF_LOG_DETS),
    (flow_with("statistics of the batch"), checks.check_batch_of_one, "scores an event otherwise in another batch"),
    (flow_with("statistics of the batch"), flow_checks.check_flow_changes_variables, "must be that of its noise"),
    (Sinh("statistics of the batch"), bijector_checks.check_bijector_alone_and_in_batch, "depends on the batch"),
    (flow_with("clamped draw"), density_checks.check_draws_follow_density, "do not follow its own density"),
    (flow_with("clamped draw"), flow_checks.check_flow_inverts, "is off by"),
    (Sinh("clamped draw"), bijector_checks.check_bijector_inverts, "must undo"),
    (DropsInVain(6), checks.check_dropout_drops, "is idle in training"),
    *(
        (FaultyAttention(4, 2, window=3, fault=fault), check, message)
        for fault, check, message in (
            ("mask one too far", layer_checks.check_layer_causal, "position 0 sees position 1"),
            ("looks at empty slots", layer_checks.check_layer_step_equals_call, "disagrees with `call` at position 0"),
            ("turns by the slot", layer_checks.check_layer_step_equals_call, "disagrees with `call` at position 3"),
            ("ring that is not rolled", layer_checks.check_layer_prefill_equals_call, "disagrees with `call` at"),
        )
    ),
]


@pytest.mark.parametrize(("component", "check", "message"), FAULTS)
def test_the_kit_finds(component, check, message):
    with pytest.raises(AssertionError, match=message):
        check(component)


def test_noise_in_nested_layers_is_looked_at():
    assert "check_dropout_drops" in checks_for(DropsInVain(6))
    assert "check_dropout_drops" not in checks_for(Faulty(6))


def test_without_a_fault_nothing_is_found():
    model = Faulty(6)
    for check in (checks.check_causal, checks.check_normalized, checks.check_step_equals_call):
        check(model)
    checks.check_honest_draws(model)
    checks.check_methods_agree(model)


def test_expected_failures_become_xfails():
    from keras_ar.testing import parametrize_with_checks

    mark = parametrize_with_checks([SumsToMore()], expected_failures=lambda _: {"check_head_normalized": "planted"})
    marks = {case.id.split("-")[-1]: case.marks for case in mark.args[1]}
    assert [m.kwargs["reason"] for m in marks["check_head_normalized"]] == ["planted"]
    assert not marks["check_head_mode"]


@pytest.mark.parametrize("component", [flow_with(None), Sinh()])
def test_the_map_without_a_fault_passes(component):
    checks = checks_for(component, input_shape=(2,))
    for name in checks.keys() - {"check_extreme_weights", "check_bijector_extremes"}:  # `sinh` overflows
        checks[name]()
