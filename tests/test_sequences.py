"""Sequences go on: of any length, after a prompt, in a stream."""

import math

import keras
import numpy as np
import pytest
from keras import ops, tree
from variants import variants

from keras_ar import Support, backend, heads, layers, models, noise, text
from keras_ar.testing import tools

LEVELS = heads.Categorical(5)
PAIRS = heads.DiscretizedLogisticMixture(4, num_components=2, num_channels=2)


@keras.saving.register_keras_serializable(package="tests")
class Angle(heads.Head):
    """An angle from 0 to 2 pi, with density `(1 + r cos(x - m)) / (2 pi)`: a network sees its cosine and sine."""

    num_params = 2  # the angle m, and a number that is large if r is close to 1
    num_features = 2
    num_uniforms = 2
    support = Support.reals(0.0, 2.0 * math.pi)

    def encode(self, x):
        x = ops.cast(x, "float32")
        return ops.stack([ops.cos(x), ops.sin(x)], axis=-1)

    def log_prob(self, params, x):
        x = ops.cast(x, "float32")
        return ops.log1p(self._size(params) * ops.cos(x - params[..., 0])) - math.log(2.0 * math.pi)

    def sample(self, params, uniforms):
        # Of an angle and the one opposite to it, the first is chosen with probability (1 + r cos(x - m)) / 2.
        x = math.pi * uniforms[..., 0]
        is_first = uniforms[..., 1] < 0.5 * (1.0 + self._size(params) * ops.cos(x - params[..., 0]))
        return ops.where(is_first, x, x + math.pi)

    def _size(self, params):
        return ops.sigmoid(params[..., 1])


MODELS = {
    "char_rnn": lambda: models.CharRNN(9, vocabulary="abcde", units=4, embedding_dim=3, condition_shape=2),
    "char_rnn-gru": lambda: models.CharRNN(
        9, vocabulary="abcde", units=4, num_layers=1, embedding_dim=3, cell="gru", num_classes=3
    ),
    "char_rnn-pointer": lambda: models.CharRNN(9, vocabulary="abcde", units=4, embedding_dim=3, copy_window=4),
    "window_mlp": lambda: models.WindowMLP(9, window=5, hidden_units=(6, 4), head=LEVELS, condition_shape=2),
    "window_mlp-class": lambda: models.WindowMLP(9, window=1, hidden_units=6, head=LEVELS, num_classes=3),
    "transformer-vector": lambda: models.TransformerDecoder(
        12, units=8, num_layers=2, num_heads=2, window=4, head=LEVELS, condition_shape=2
    ),
    "transformer-class": lambda: models.TransformerDecoder(
        12, units=4, num_layers=1, num_heads=1, window=50, positions="sinusoidal", head=LEVELS, stop=2, num_classes=3
    ),
    "transformer-pairs": lambda: models.TransformerDecoder(
        (6, 2), units=4, num_layers=1, num_heads=1, window=1, norm="rms", head=PAIRS
    ),
    "transformer-angles": lambda: models.TransformerDecoder(
        8, units=4, num_layers=2, num_heads=2, window=3, head=Angle()
    ),
    "window_mlp-angles": lambda: models.WindowMLP(9, window=3, hidden_units=6, head=Angle()),
    "wavenet": lambda: models.WaveNet((12,), filters=4, dilations=(1, 4, 2), head=LEVELS),
    "wavenet-pairs": lambda: models.WaveNet((6, 2), filters=3, kernel_size=3, dilations=(3, 1), head=PAIRS),
    "wavenet-angles": lambda: models.WaveNet(8, filters=3, dilations=(1, 2), head=Angle()),
    "wavenet-vector": lambda: models.WaveNet((8,), filters=4, dilations=(2, 1), head=LEVELS, condition_shape=3),
    "wavenet-class": lambda: models.WaveNet((8,), filters=4, dilations=(2, 1), head=LEVELS, num_classes=3),
    "wavenet-rows": lambda: models.WaveNet(12, filters=4, dilations=(1, 2), head=LEVELS, condition_shape=(3, 2)),
    "upsampled_wavenet": lambda: models.WaveNet(
        (12,), filters=4, skip_filters=2, dilations=(1, 2), head=LEVELS, condition_shape=(3, 2), upsampling=(2, 2)
    ),
}


@pytest.fixture(scope="module", params=variants(MODELS))
def model(request):
    model = MODELS[request.param]()
    noise.randomize(model)
    model.compile(run_eagerly=backend.prefers_eager())
    return model


def conditions(model, count, rows=9):
    """Keyword arguments for `count` sequences, with rows for 36 steps."""
    if model.num_classes:
        return {"condition": np.arange(count) % model.num_classes}
    if model.condition_shape is None:
        return {}
    shape = (rows, model.condition_shape[1]) if model.steps_per_row else model.condition_shape
    return {"condition": np.random.default_rng(1).normal(size=(count, *shape)).astype("float32")}


def assert_same(found, expected):
    """The same levels, or the same real values but for rounding."""
    assert found.shape == expected.shape
    if expected.dtype.kind == "i":
        assert (found == expected).all()
    else:
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_sequences_may_be_longer_or_shorter_than_they_are_by_default(model):
    given = conditions(model, 5)
    draws = {m: model.sample(5, length=20, seed=3, method=m, **given) for m in ("stepwise", "parallel", "full")}
    assert draws["stepwise"].shape == (5, 20, *model.event_shape[1:])
    assert_same(draws["stepwise"], draws["parallel"])
    assert_same(draws["stepwise"], draws["full"])
    assert_same(model.sample(5, length=7, seed=3, **given), draws["full"][:, :7])
    scores = {n: model.score_samples(draws["full"][:, :n], *given.values()) for n in (1, 7, 20)}
    each = tools.computed(model.conditional_log_prob, draws["full"], *given.values(), owner=model)
    for n, score in scores.items():
        np.testing.assert_allclose(score, each[:, :n].sum(axis=1), rtol=1e-4, atol=1e-4)


@pytest.mark.one_backend
def test_prefill_computes_in_one_pass_what_the_steps_do(model):
    given = conditions(model, 3)
    steps = ops.convert_to_numpy(model.sample(3, length=20, seed=0, **given))
    assert model.has_prefill

    def begin(condition):
        return model.prepare(*model.encode_condition(*condition or (None,))), model.start(3, None)

    def fill(values, *condition):
        return model.prefill(*begin(condition), values)

    def walk(previous, *condition):
        constants, state = begin(condition)

        def step(state, xs):
            params, state = model.step(constants, state, *xs)
            return state, (params, state)

        return backend.scan(step, state, (ops.arange(19), previous))[1]

    previous = np.swapaxes(np.roll(steps[:, :19], 1, axis=1), 0, 1)
    params, states = tools.computed(walk, previous, *given.values(), owner=model)
    whole = ops.convert_to_numpy(model(steps, *given.values()))
    for length in (1, 2, 5, 19):
        found, state = tools.computed(fill, steps[:, :length], *given.values(), owner=model)
        np.testing.assert_allclose(found, np.swapaxes(params[:length], 0, 1), atol=1e-5)
        np.testing.assert_allclose(found, whole[:, :length], atol=1e-5)
        tree.assert_same_structure(state, states)
        for one, each in zip(tree.flatten(state), tree.flatten(states), strict=True):
            np.testing.assert_allclose(one, each[length - 1], rtol=1e-5, atol=1e-5)


def test_what_follows_a_prompt_is_what_follows_it_in_a_draw(model):
    given = conditions(model, 4)
    whole = model.sample(4, length=30, seed=7, **given)
    each = tools.computed(model.conditional_log_prob, whole, *given.values(), owner=model)
    for method in ("stepwise", "parallel"):
        prompt = whole[:, :11]
        drawn, log_prob = model.sample(
            4, length=30, prompt=prompt, seed=7, batch_size=2, method=method, return_log_prob=True, **given
        )
        assert_same(drawn, whole)
        np.testing.assert_allclose(log_prob, each[:, 11:].sum(axis=1), atol=1e-3)
    one = model.sample(4, length=15, prompt=whole[0, :11], seed=7, **given)
    assert (one[:, :11] == whole[0, :11]).all()
    prompt = whole[:, :9]
    assert (model.sample(4, length=9, prompt=prompt, seed=7, **given) == prompt).all()


def test_a_stream_draws_what_one_draw_does_and_goes_on_from_its_state(model):
    given = conditions(model, 2)
    whole, log_prob = model.sample(2, length=36, seed=5, batch_size=2, return_log_prob=True, **given)
    stream = model.stream(2, chunk=10, seed=5, return_log_prob=True, **given)
    first, _ = next(stream)
    saved = stream.state
    for array in tree.flatten(saved["carry"]):  # of each sequence: no weights
        assert isinstance(array, np.ndarray)
        assert 2 in array.shape
    second, _ = next(stream)
    again, _ = next(model.stream(2, chunk=10, state=saved, return_log_prob=True, **given))
    assert (second == again).all()
    rest = [next(stream) for _ in range(2)]
    found = np.concatenate([first, second, *(chunk for chunk, _ in rest)], axis=1)[:, :36]
    assert_same(found, whole)
    if model.steps_per_row:  # as long as the condition lasts
        np.testing.assert_allclose(rest[-1][1], log_prob, atol=1e-3)
        assert next(stream, None) is None


def test_a_stream_goes_on_after_a_prompt(model):
    given = conditions(model, 2)
    whole = model.sample(2, length=30, seed=5, **given)
    stream = model.stream(2, chunk=6, prompt=whole[:, :9], seed=5, **given)
    found = np.concatenate([next(stream) for _ in range(3)], axis=1)
    assert_same(found, whole[:, 9:27])


@pytest.mark.parametrize("name", variants(["char_rnn", "char_rnn-gru", "wavenet-angles", "upsampled_wavenet"]))
def test_training_takes_sequences_of_another_length(name):
    model = MODELS[name]()
    model.compile("adam", run_eagerly=backend.prefers_eager())
    given = conditions(model, 8)
    x = model.sample(8, length=16, seed=1, **given)
    history = model.fit((x, *given.values()) if given else x, epochs=1, verbose=0).history
    nats = -model.score_samples(x, *given.values()).mean()
    found = model.evaluate((x, *given.values()) if given else x, return_dict=True, verbose=0)
    np.testing.assert_allclose(found["loss"], nats, rtol=1e-4)
    np.testing.assert_allclose(found["bits_per_dim"], nats / (np.log(2) * x[0].size), rtol=1e-4)
    assert np.isfinite(history["loss"]).all()


@pytest.mark.one_backend
@pytest.mark.parametrize("condition_shape", [None, (2,), (11, 2)], ids=str)
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_a_wavenet_block_steps_as_it_computes(condition_shape, kernel_size):
    block = layers.WaveNetBlock(3, kernel_size, dilation_rate=2, skip_filters=4)
    rng = np.random.default_rng(0)
    x = ops.convert_to_tensor(rng.normal(size=(2, 11, 3)), "float32")
    given = (
        [] if condition_shape is None else [ops.convert_to_tensor(rng.normal(size=(2, *condition_shape)), "float32")]
    )
    block(x, *given)  # builds it
    noise.randomize(block)
    assert_steps_as_it_computes(block, x, *given)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "layer",
    [
        layers.CausalConv1D(3, 3, dilation_rate=2, activation="tanh"),
        layers.CausalConv1D(3, 2, strict=True, use_bias=False),
        layers.CausalConv1D(3, 1, strict=True),
        layers.CausalLSTM(3),
        layers.CausalGRU(3),
        layers.CausalGRU(3, strict=True),
    ],
    ids=["conv", "strict", "one_tap", "lstm", "gru", "strict_gru"],
)
def test_a_layer_steps_as_it_computes(layer):
    x = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(2, 11, 4)), "float32")
    layer.build(x.shape)
    noise.randomize(layer)
    assert_steps_as_it_computes(layer, x)


def assert_steps_as_it_computes(layer, x, *condition):
    length = x.shape[1]
    whole, constants = layer(x, *condition), layer.prepare(*condition)
    for start in (0, 7):
        state, pieces = layer.start(2, length), []
        if start:
            filled, state = layer.prefill(constants, state, x[:, :start])
            pieces.append(filled)
        for t in range(start, length):
            y, state = layer.step(constants, state, t, x[:, t - layer.strict])
            pieces.append(tree.map_structure(lambda y: ops.expand_dims(y, 1), y))
        found = tree.map_structure(lambda *ys: ops.concatenate(ys, axis=1), *pieces)
        tree.assert_same_structure(found, whole)
        for one, other in zip(tree.flatten(found), tree.flatten(whole), strict=True):
            np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), atol=1e-5)


@pytest.mark.one_backend
@pytest.mark.parametrize("make", [layers.CausalLSTM, layers.CausalGRU])
def test_a_recurrent_layer_takes_the_options_of_keras(make):
    layer = make(
        3,
        kernel_initializer="ones",
        recurrent_initializer="zeros",
        recurrent_regularizer=keras.regularizers.L2(0.5),
        bias_constraint="non_neg",
    )
    layer = make.from_config(layer.get_config())
    layer.build((None, 5, 2))
    kernel, recurrent_kernel, bias = layer.weights
    assert (ops.convert_to_numpy(kernel) == 1).all()
    assert not ops.convert_to_numpy(recurrent_kernel).any()
    recurrent_kernel.assign(np.ones(recurrent_kernel.shape, "float32"))
    assert [float(ops.convert_to_numpy(loss)) for loss in layer.losses] == [0.5 * math.prod(recurrent_kernel.shape)]
    assert isinstance(bias.constraint, keras.constraints.NonNeg)
    assert isinstance(layer.rnn, keras.layers.LSTM if make is layers.CausalLSTM else keras.layers.GRU)


@pytest.mark.one_backend
@pytest.mark.parametrize("layer", [layers.CausalConv1D(3, 2), layers.WaveNetBlock(2)], ids=lambda layer: layer.name)
def test_a_layer_hands_on_its_regularizers(layer):
    regularized = type(layer).from_config({**layer.get_config(), "kernel_regularizer": "l2"})
    regularized.build((None, 5, 2))
    kernels = [weight for weight in regularized.trainable_variables if "kernel" in weight.path]
    assert len(regularized.losses) == len(kernels) > 0


@pytest.mark.one_backend
def test_a_prompt_may_be_a_text_where_the_model_has_a_vocabulary():
    prompt = TEXT.vocabulary.encode("abb")
    assert (TEXT.sample(2, prompt="abb", seed=0) == TEXT.sample(2, prompt=prompt, seed=0)).all()
    assert (next(TEXT.stream(prompt="abb", seed=0)) == next(TEXT.stream(prompt=prompt, seed=0))).all()


@pytest.mark.one_backend
def test_a_last_axis_of_one_value_is_no_obstacle():
    alone, with_axis = (models.WaveNet(shape, filters=2, dilations=(1, 2)) for shape in (6, (6, 1)))
    noise.randomize(alone)
    with_axis.set_weights(alone.get_weights())
    samples = with_axis.sample(3, seed=0)
    assert samples.shape == (3, 6, 1)
    np.testing.assert_array_equal(samples[..., 0], alone.sample(3, seed=0))


# Bad input.

WAVES = models.WaveNet((8,), filters=2, dilations=(1, 2), head=LEVELS)
ROWS = MODELS["upsampled_wavenet"]()
TEXT = models.CharRNN(8, vocabulary="ab", units=2, embedding_dim=2)


def state_after_a_chunk(num_samples):
    stream = WAVES.stream(num_samples, chunk=2, seed=0)
    next(stream)
    return stream.state


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WAVES.sample(1, length=0), "`length` must be an integer of at least 1"),
        (lambda: WAVES.sample(1, length=4, prompt=np.zeros(5, int)), "`prompt` must have 1 to 4 steps.*Received 5"),
        (lambda: WAVES.sample(2, prompt=np.zeros((3, 5), int)), r"`prompt` must have shape \(steps\), or \(2, steps\)"),
        (lambda: WAVES.sample(1, prompt=[7]), r"`prompt` must hold integers from 0 to 4.*prompt\[0, 0\] = 7"),
        (lambda: WAVES.sample(1, prompt=[]), "`prompt` must have 1 to 8 steps"),
        (lambda: WAVES.stream(1, chunk=0), "`chunk` must be an integer of at least 1"),
        (lambda: WAVES.stream(1, state={}, seed=1), "`state` must come without `prompt` and `seed`"),
        (lambda: WAVES.stream(1, state={}), "`state` must be the `state` of a stream.*a dictionary of carry, position"),
        (
            lambda: WAVES.stream(2, state={**state_after_a_chunk(2), "carry": {}}),
            "`state` must be the `state` of a stream",
        ),
        (lambda: WAVES.sample(1, prompt="text"), "`prompt` must not be text: .* has no vocabulary"),
        (
            lambda: models.WaveNet((8, 3), head="normal"),
            r"Take a head of several values, or heads.Independent\(Normal\(.*\), 3\)",
        ),
        (
            lambda: WAVES.stream(3, state=state_after_a_chunk(2)),
            r"same `num_samples`.*shape \(.*2.*\) in place of \(.*3.*\)",
        ),
        (lambda: WAVES.score_samples(np.zeros((2, 8, 1))), r"`x` must have shape \(batch, any length\)"),
        (
            lambda: ROWS.sample(2, np.zeros((2, 3, 2)), length=13),
            r"`condition` must have a row for every 4 steps, 4 for 13 steps. Received 3 rows",
        ),
        (
            lambda: ROWS.stream(2, np.zeros((2, 3, 2)), prompt=np.zeros(13, int)),
            r"`condition` must have a row for every 4 steps, 4 for 13 steps. Received 3 rows",
        ),
        (lambda: ROWS.score_samples(np.zeros((2, 12)), np.zeros((2, 2, 2))), "`condition` must have a row for every 4"),
        (lambda: ROWS.sample(2, np.zeros((2, 3, 1))), r"`condition` must have shape \(2, any length, 2\)"),
        (lambda: models.CharRNN(8, vocabulary="a"), "`characters` must be a string of at least two characters"),
        (lambda: models.CharRNN(8, vocabulary="aba"), "`characters` must be .*all different. Received: 'aba'"),
        (
            lambda: models.CharRNN(8, vocabulary="ab", cell="rnn"),
            "`cell` must be 'lstm' or 'gru'. Received: cell='rnn'",
        ),
        (
            lambda: models.CharRNN(8, vocabulary="ab", copy_window=0),
            "`copy_window` must be an integer of at least 1.*Received: copy_window=0",
        ),
        (lambda: layers.Pointer(1), "`num_levels` must be an integer of at least 2.*Received: num_levels=1"),
        (lambda: layers.Pointer(2).start(1, None), "`window` must be an integer for a stream"),
        (
            lambda: models.CharRNN(8, vocabulary="ab", condition_shape=(2, 3)),
            r"`condition_shape` must be \(features,\)",
        ),
        (
            lambda: TEXT.write(8, prompt="abc"),
            "`text` must be written in the 2 characters.*Received 'c', at position 2",
        ),
        (lambda: TEXT.write(3, prompt="abba"), "`prompt` must have 1 to 3 steps.*Received 4"),
        (lambda: TEXT.vocabulary.windows("abba", 5), "`length` must be at most 4"),
        (lambda: models.WindowMLP(8, window=0), "`window` must be an integer of at least 1"),
        (lambda: models.WindowMLP(8, condition_shape=(2, 3)), r"`condition_shape` must be \(features,\)"),
        (lambda: models.WaveNet((8, 8)), r"`event_shape` must be that of a sequence"),
        (lambda: models.WaveNet(9, condition_shape=(2, 3)), r"`event_shape\[0\]` must be a multiple of .* = 2"),
        (lambda: models.WaveNet(8, condition_shape=(2, 3, 1)), r"`condition_shape` must be \(features,\), or"),
        (lambda: models.WaveNet(8, kernel_size=1), "`kernel_size` must be an integer of at least 2"),
        (lambda: models.WaveNet(8, dilations=()), "`dilations` must hold at least one integer"),
        (
            lambda: models.WaveNet(8, condition_shape=(2, 3), upsampling=(2, 3)),
            r"`upsampling` must have the product 4, .*Received: upsampling=\(2, 3\)",
        ),
    ],
)
def test_bad_input_raises_a_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_receptive_field_is_reported_and_true():
    model = models.WaveNet((40,), filters=3, kernel_size=3, dilations=(1, 2, 4))
    assert model.receptive_field == 3 + 2 * 7
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert any("Receptive field: 17 steps" in line for line in lines)
    noise.randomize(model)
    seen = backend.jacobian(lambda x: model(x)[:, 30], np.zeros((1, 40))).any(axis=(0, 1, 2))
    assert np.flatnonzero(seen).tolist() == list(range(30 - 17, 30))


def test_a_text_is_written_and_its_vocabulary_lasts(tmp_path):
    model = models.CharRNN(8, vocabulary=text.Vocabulary.of("hello world"), units=4, embedding_dim=3)
    noise.randomize(model)
    model.save(tmp_path / "writer.keras")
    twin = keras.saving.load_model(tmp_path / "writer.keras")
    assert twin.vocabulary == model.vocabulary
    written = twin.write(20, prompt="hello", seed=0, temperature=0.5)
    assert written == model.write(20, prompt="hello", seed=0, temperature=0.5)
    assert written.startswith("hello")
    assert len(written) == 20
    several = model.write(9, num_samples=3, seed=1)
    assert [len(one) for one in several] == [9, 9, 9]
    assert model.write(9, num_samples=1, seed=1) == [model.write(9, seed=1)] == several[:1]
