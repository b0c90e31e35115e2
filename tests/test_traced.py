"""On torch a loop of many steps is traced: it draws the same values, by the weights of the moment."""

import logging
import time
import types

import keras
import numpy as np
import pytest

from keras_ar import backend, heads, layers, models, noise

if keras.backend.backend() != "torch":
    pytest.skip("only torch traces", allow_module_level=True)

import torch

from keras_ar.backend import replayed

traced = backend.traced
LEVELS = heads.Categorical(5)
PAIRS = heads.DiscretizedLogisticMixture(4, num_components=2, num_channels=2)
WAVENET = {"filters": 4, "dilations": (1, 4, 2), "head": LEVELS}
MODELS = {
    "wavenet": lambda: models.WaveNet(12, **WAVENET),
    "wavenet-pairs": lambda: models.WaveNet((12, 2), filters=3, kernel_size=3, dilations=(3, 1), head=PAIRS),
    "wavenet-vector": lambda: models.WaveNet(12, condition_shape=3, **WAVENET),
    "wavenet-class": lambda: models.WaveNet(12, num_classes=3, **WAVENET),
    "wavenet-rows": lambda: models.WaveNet(12, condition_shape=(3, 2), **WAVENET),
    "wavenet-upsampling": lambda: models.WaveNet(12, condition_shape=(3, 2), upsampling=(2, 2), **WAVENET),
    "wavenet-normal": lambda: models.WaveNet(12, filters=4, dilations=(1, 2), head="normal_mixture"),
    "lstm": lambda: models.CharRNN(12, vocabulary="abcde", units=4, embedding_dim=3, condition_shape=2),
    "gru": lambda: models.CharRNN(12, vocabulary="abcde", units=4, embedding_dim=3, cell="gru"),
    "pointer": lambda: models.CharRNN(12, vocabulary="abcde", units=4, embedding_dim=3, copy_window=5),
    "transformer": lambda: models.TransformerDecoder(12, units=8, num_layers=1, num_heads=2, head=LEVELS, stop=1),
    "transformer-window": lambda: models.TransformerDecoder(
        12, units=8, num_layers=2, num_heads=2, window=5, positions="learned", norm="rms", num_classes=3
    ),
    "encoder_decoder": lambda: models.EncoderDecoder(
        12, condition_shape=4, source_levels=5, units=8, num_layers=1, num_heads=2, head=LEVELS
    ),
    "window_mlp": lambda: models.WindowMLP(12, window=5, hidden_units=(6, 4), head=LEVELS, condition_shape=2),
    "fvsbn": lambda: models.FVSBN(12, condition_shape=2),
    "deep_nade": lambda: models.DeepNADE(12, hidden_units=(6, 5), direct=True, head=LEVELS, num_classes=3),
    "conv_nade": lambda: models.ConvNADE((3, 4), filters=3, num_blocks=1, head=LEVELS, condition_shape=2),
    "agnostic_made": lambda: models.OrderAgnosticMADE(12, hidden_units=(20, 7), head=LEVELS, direct=True),
    "local": lambda: models.LocallyMaskedPixelCNN((3, 4), filters=6, num_blocks=1, head=LEVELS, condition_shape=2),
    "factorized": lambda: models.Factorized(12, hidden_units=5, head=LEVELS, condition_shape=2),
    "nade": lambda: models.NADE(12, units=5, head=LEVELS, num_classes=3),
    "made": lambda: models.MADE(12, hidden_units=(20, 7), head=LEVELS, direct=True, condition_shape=2),
    "pixel_cnn": lambda: models.PixelCNN((3, 4), filters=4, num_blocks=1, head=LEVELS),
    "pixel_cnn-colors": lambda: models.PixelCNN((2, 2, 3), filters=6, num_blocks=1, head=LEVELS, num_classes=2),
    "gated_pixel_cnn": lambda: models.GatedPixelCNN((3, 4), filters=4, num_blocks=1, head=LEVELS),
    "plus_plus": lambda: models.PixelCNNPlusPlus((3, 4), filters=4, num_resnets=1, num_levels=2, head=LEVELS),
    "snail": lambda: models.PixelSNAIL((3, 4), filters=4, num_blocks=1, num_resnets=1, num_heads=2, head=LEVELS),
    "image_transformer": lambda: models.ImageTransformer(
        (2, 2, 3), units=8, num_layers=1, num_heads=2, window_rows=1, head=LEVELS, num_classes=2
    ),
    "row": lambda: models.PixelRNN((3, 4), variant="row", units=4, head=LEVELS),
    "diagonal": lambda: models.PixelRNN((3, 4), variant="diagonal", units=4, head=LEVELS, num_classes=2),
    "multi_scale": lambda: models.MultiScalePixelRNN((4, 4), units=4, head=LEVELS),
}


@keras.saving.register_keras_serializable(package="tests")
class Moody(layers.CausalLayer):
    """A layer whose step does one thing or another, as its inputs are."""

    strict = True

    def call(self, inputs):
        return self._act(keras.ops.pad(inputs[:, :-1], [[0, 0], [1, 0], [0, 0]]))

    def step(self, constants, state, t, x):
        x = x * keras.ops.cast(t > 0, x.dtype)
        return self._act(x) if bool(keras.ops.all(x < 10)) else x, state

    def _act(self, x):
        return keras.ops.tanh(x)

    def compute_output_shape(self, input_shape):
        return input_shape


def build(name):
    model = MODELS[name]()
    noise.randomize(model)
    _, *condition = model.random_batch(3)
    return model, {"condition": condition[0]} if condition else {}


LOOPS = []  # that a test has made


def kinds_of(model):
    """The kinds of steps that the model's loop has run."""
    (kinds,) = (loop.kinds for loop in LOOPS if loop.owner is model and loop.kinds)
    return list(kinds.values())


@pytest.fixture(autouse=True)
def loops(monkeypatch):
    """Notes all loops, which are traced at their first step."""
    made = traced.Loop.__init__

    def noted(self, owner):
        made(self, owner)
        LOOPS.append(self)

    LOOPS.clear()
    monkeypatch.setattr(traced.Loop, "__init__", noted)
    monkeypatch.setattr(traced, "FROM_STEPS", 1)
    return monkeypatch


def both_ways(monkeypatch, draw, model):
    """What is drawn traced, and as it is."""
    model.compile()  # forgets what has been compiled
    found = draw()
    model.compile()
    with monkeypatch.context() as context:
        context.setattr(traced, "FROM_STEPS", 10**9)
        return found, draw()


@pytest.fixture
def on_a_gpu(loops):
    """Goes the way of a GPU on the CPU."""
    if torch.cuda.is_available():
        return
    loops.setattr(replayed, "is_possible", lambda device: True)
    loops.setattr(torch.cuda, "graph_pool_handle", lambda: None)

    def record(memory, run):
        memory.hold_results(run([x.clone() for x in memory.carry])[0])
        return types.SimpleNamespace(replay=lambda: memory.take(*run(memory.carry)))

    loops.setattr(replayed.Memory, "record", record)


def same(one, other):
    if one[0].dtype.kind == "i":
        assert (one[0] == other[0]).all()
    for found, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [*MODELS])
@pytest.mark.parametrize("shaping", [{}, {"temperature": 0.7, "top_k": 3, "top_p": 0.9}], ids=["plain", "shaped"])
def test_a_traced_draw_is_the_same(name, shaping, loops):
    model, given = build(name)
    if "truncate" not in model.head.capabilities:
        shaping = {key: value for key, value in shaping.items() if key == "temperature"}
    options = {"seed": 3, "batch_size": 2, "return_log_prob": True, **given, **shaping}
    same(*both_ways(loops, lambda: model.sample(3, **options), model))


@pytest.mark.usefixtures("on_a_gpu")
@pytest.mark.parametrize("name", [*MODELS])
def test_a_recorded_draw_is_the_same(name, loops):
    model, given = build(name)
    options = {"seed": 3, "batch_size": 2, "return_log_prob": True, **given}
    same(*both_ways(loops, lambda: model.sample(3, **options), model))
    model, given = build(name)
    model.sample(3, **options)
    (kind,) = kinds_of(model)
    assert kind.trace.replay.num_graphs >= 1
    noise.randomize(model, seed=1)
    found = model.sample(3, **options)
    loops.setattr(traced, "FROM_STEPS", 10**9)
    twin, _ = build(name)
    noise.randomize(twin, seed=1)
    same(found, twin.sample(3, **options))


@pytest.mark.usefixtures("on_a_gpu")
def test_recorded_steps_go_on_where_a_chunk_ends(loops):
    model, given = build("wavenet")
    whole = model.sample(2, seed=1, length=30, batch_size=2, **given)
    stream = model.stream(2, chunk=10, seed=1, **given)
    assert (np.concatenate([next(stream) for _ in range(3)], axis=1) == whole).all()


@pytest.mark.parametrize("name", [*MODELS])
def test_every_step_of_our_models_is_traced(name, loops, caplog):
    loops.setattr(time, "perf_counter", lambda: 0.0)  # no trace costs more than steps that run as they are
    model, given = build(name)
    model.sample(3, seed=0, batch_size=3, **given)
    (kind,) = kinds_of(model)
    for model_type in type(model).__mro__:
        if "step" in vars(model_type):
            loops.setattr(model_type, "step", None)  # runs no more
    model.sample(3, seed=1, batch_size=3, **given)
    assert kind.trace.num_courses >= 1
    assert not kind.trace.has_failed


def test_what_is_scored_one_position_after_the_other_is_traced(loops):
    loops.setattr(time, "perf_counter", lambda: 0.0)
    model, _ = build("nade")
    events, condition = model.random_batch(3)
    found = model.score_samples(events, condition)
    (kind,) = kinds_of(model.networks)
    assert kind.trace.num_courses == 1
    with backend.needing_gradients(True):  # by blocks
        expected = keras.ops.convert_to_numpy(model.log_prob(events, condition))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_is_carried_is_read_before_it_is_written_over(loops):
    loops.setattr(time, "perf_counter", lambda: 0.0)

    def body(t, total, x):
        following = total + x
        return following, 2.0 * total

    with torch.no_grad():
        total, doubled = traced.Loop(owner=None)(body, 0, 4, torch.zeros(2), torch.ones(4, 2), ())
    assert total.tolist() == [4.0, 4.0]
    assert doubled[:, 0].tolist() == [0.0, 2.0, 4.0, 6.0]


def test_a_loop_within_a_traced_step_is_a_part_of_it(loops):
    loops.setattr(time, "perf_counter", lambda: 0.0)
    model, given = build("nade")
    drawn = model.sample(3, seed=0, method="full", **given)
    assert not any(loop.kinds for loop in LOOPS if loop.owner is model.networks)
    assert (drawn == model.sample(3, seed=0, **given)).all()


@pytest.mark.parametrize("name", ["made", "fvsbn", "pixel_cnn", "row", "wavenet", "transformer"])
def test_full_passes_are_traced(name, loops, caplog):
    loops.setattr(time, "perf_counter", lambda: 0.0)
    model, given = build(name)
    with caplog.at_level(logging.WARNING, logger="keras_ar"):
        drawn = model.sample(3, seed=0, method="full", **given)
    assert not caplog.messages
    assert (drawn == model.sample(3, seed=0, **given)).all()


def test_steps_that_do_the_same_share_a_trace(loops):
    loops.setattr(time, "perf_counter", lambda: 0.0)
    for name, count in (("fvsbn", 1), ("gated_pixel_cnn", 2), ("row", 2)):  # new rows, other pixels
        model, given = build(name)
        model.sample(3, seed=0, batch_size=3, **given)
        (kind,) = kinds_of(model)
        assert kind.trace.num_courses == count, name


def test_a_trace_is_made_once_its_price_is_paid(loops):
    model, _ = build("gated_pixel_cnn")
    loops.setattr(time, "perf_counter", iter(range(10**6)).__next__)  # a second passes at each look
    model.sample(3, seed=0, batch_size=3)
    (kind,) = kinds_of(model)
    assert kind.trace.num_courses == 2  # new rows after the first of them


def test_a_step_that_cannot_be_traced_is_told_of_once(caplog):
    model = models.CausalSequential(12, layers=[Moody(), keras.layers.Dense(3)], head=LEVELS)
    noise.randomize(model)
    with caplog.at_level(logging.WARNING, logger="keras_ar"):
        drawn = [model.sample(3, seed=0) for _ in range(2)]
    (message,) = caplog.messages
    assert f"{model.name} is not traced" in message
    assert "depends on the value of a tensor" in message
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] == model.sample(3, seed=0, method="full")).all()


@pytest.mark.parametrize("name", ["wavenet-class", "lstm", "made", "pixel_cnn", "plus_plus", "diagonal"])
def test_what_is_known_is_kept(name, loops):
    model, given = build(name)
    x = model.sample(3, seed=0, **given)
    known = np.arange(12).reshape(model.event_shape) < 5
    for method in ("stepwise", "full"):
        options = {"seed": 1, "return_log_prob": True, "method": method, **given}
        found, expected = both_ways(loops, lambda o=options: model.complete(x, known, **o), model)
        same(found, expected)
        assert (found[0][:, known] == x[:, known]).all()


def test_a_stream_is_traced_and_its_state_is_ones_own(loops):
    model, given = build("wavenet-class")
    prompt = model.sample(3, length=6, seed=8, **given)

    def draw():
        stream = model.stream(3, chunk=10, seed=5, prompt=prompt, return_log_prob=True, **given)
        first, _ = next(stream)
        saved = stream.state
        following = next(stream)[0]
        again, log_prob = next(model.stream(3, chunk=10, state=saved, return_log_prob=True, **given))
        assert (again == following).all()
        return np.concatenate([first, following], axis=1), log_prob

    same(*both_ways(loops, draw, model))


@pytest.mark.parametrize("name", ["wavenet", "lstm", "window_mlp"])
def test_a_traced_draw_reads_the_weights_of_the_moment(name):
    model, given = build(name)
    before = model.sample(3, seed=0, **given)
    first = model.get_weights()
    model.compile("sgd")
    for change in (
        lambda: noise.randomize(model, seed=1),
        lambda: [weight.assign(weight * 0.5) for weight in model.trainable_variables],
        lambda: model.fit((before, *given.values()) if given else before, verbose=0),
        lambda: model.set_weights(first),
    ):
        change()
        drawn = model.sample(3, seed=0, **given)
        assert (drawn == model.sample(3, seed=0, method="full", **given)).all()
    assert (drawn == before).all()


def test_few_traces_are_kept_and_none_is_made_for_few_steps(loops):
    loops.setattr(traced, "FROM_STEPS", 30)
    model, _ = build("wavenet")
    for _ in range(2):
        model.sample(1, seed=0, batch_size=1)
        (kind,) = kinds_of(model)
        assert kind.trace is None
    model.sample(1, seed=0, batch_size=1)
    assert kind.trace is not None
    for size in range(2, 20):
        model.sample(size, seed=0, batch_size=size)
    assert len(kinds_of(model)) == 8


def test_what_a_step_hands_on_is_its_own(loops):
    """Steps that swap tensors, hand one on twice, or a constant, and write to what they were given."""
    loops.setattr(time, "perf_counter", lambda: 0.0)  # all courses are traced

    def body(t, carry, row, constant):
        a, b, c, d = carry
        y = a + b + c + d
        if t % 2:
            return (b, a, c, constant), y
        return (a, a, *(keras.ops.slice_update(x, (t % 3,), row) for x in (c, d))), y

    def run(from_steps):
        loops.setattr(traced, "FROM_STEPS", from_steps)
        constant = torch.full((3,), 7.0)
        with torch.no_grad():
            carry = tuple(torch.arange(3.0) + i for i in range(4))
            carry, ys = traced.Loop(None)(body, 0, 12, carry, torch.arange(12.0)[:, None], (constant,))
        assert (constant == 7.0).all()
        return torch.stack([*ys, *carry])

    assert torch.equal(run(1), run(10**9))


def test_a_long_stream_keeps_the_numbers_of_few_steps(loops):
    loops.setattr(time, "perf_counter", lambda: 0.0)
    loops.setattr(traced, "KEPT_STEPS", 20)
    model, given = build("wavenet")
    stream = model.stream(1, chunk=50, seed=0, **given)
    chunks = [next(stream) for _ in range(2)]
    kinds = [kind for loop in LOOPS for kind in loop.kinds.values()]
    assert all(kind.trace.course(90, []).num_kept <= 20 for kind in kinds)
    assert (np.concatenate(chunks, axis=1) == model.sample(1, seed=0, length=100, batch_size=1, **given)).all()
