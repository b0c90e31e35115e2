"""Sequences go on: of any length, behind a prompt, in a stream."""

import keras
import numpy as np
import pytest
from keras import ops, tree

from keras_ar import backend, heads, layers, models, plots, text
from keras_ar.testing import checks

LEVELS = heads.Categorical(5)
PAIRS = heads.DiscretizedLogisticMixture(4, num_components=2, num_channels=2)

MODELS = {
    "char_rnn": lambda: models.CharRNN(9, vocabulary="abcde", embedding=3, units=4, condition_shape=2),
    "gru": lambda: models.CharRNN(9, vocabulary="abcde", embedding=3, units=4, num_layers=1, cell="gru"),
    "window_mlp": lambda: models.WindowMLP(9, window=5, hidden_units=(6, 4), head=LEVELS, condition_shape=2),
    "wavenet": lambda: models.WaveNet((12,), filters=4, dilations=(1, 4, 2), head=LEVELS),
    "wavenet-pairs": lambda: models.WaveNet((6, 2), filters=3, kernel_size=3, dilations=(3, 1), head=PAIRS),
    "wavenet-class": lambda: models.WaveNet((8,), filters=4, dilations=(2, 1), head=LEVELS, condition_shape=3),
    "wavenet-rows": lambda: models.WaveNet(
        (12,), filters=4, skip_filters=2, dilations=(1, 2), head=LEVELS, condition_shape=(3, 2), upsampling=(2, 2)
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    model = MODELS[request.param]()
    checks.randomise(model)
    return model


def conditions(model, count, rows=9):
    """Keyword arguments for `count` sequences, with rows for 36 steps."""
    if model.condition_shape is None:
        return {}
    shape = (rows, model.condition_shape[1]) if model.steps_per_row else model.condition_shape
    return {"condition": np.random.default_rng(1).normal(size=(count, *shape)).astype("float32")}


def test_sequences_may_be_longer_or_shorter_than_they_are_by_default(model):
    given = conditions(model, 5)
    draws = {m: model.sample(5, length=20, seed=3, method=m, **given) for m in ("stepwise", "parallel", "full")}
    assert draws["stepwise"].shape == (5, 20, *model.event_shape[1:])
    assert (draws["stepwise"] == draws["parallel"]).all()
    assert (draws["stepwise"] == draws["full"]).all()
    assert (model.sample(5, length=7, seed=3, **given) == draws["full"][:, :7]).all()
    scores = {n: model.score_samples(draws["full"][:, :n], *given.values()) for n in (1, 7, 20)}
    each = ops.convert_to_numpy(model.conditional_log_prob(draws["full"], *given.values()))
    for n, score in scores.items():
        np.testing.assert_allclose(score, each[:, :n].sum(axis=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 5, 19])
def test_a_prompt_taken_in_by_one_pass_leaves_what_its_steps_would(model, length):
    given = conditions(model, 3)
    steps = model.sample(3, length=20, seed=0, **given)
    prime = backend.compiled(model, model.prime)
    found = prime(steps[:, :length], *given.values())

    def walk(steps, *condition):
        state = model.start(3, *condition)
        for t in range(length):
            _, state = model.step(state, t, steps[:, t - 1])
        return state

    expected = backend.compiled(model, walk)(steps, *given.values())
    tree.assert_same_structure(found, expected)
    for one, other in zip(tree.flatten(found), tree.flatten(expected), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), atol=1e-5)


def test_what_follows_a_prompt_is_what_follows_it_in_a_draw(model):
    given = conditions(model, 4)
    whole = model.sample(4, length=30, seed=7, **given)
    for method in ("stepwise", "parallel"):
        prompt = whole[:, :11]
        drawn, log_prob = model.sample(
            4, length=30, prompt=prompt, seed=7, batch_size=2, method=method, return_log_prob=True, **given
        )
        assert (drawn == whole).all(), method
        each = ops.convert_to_numpy(model.conditional_log_prob(whole, *given.values()))
        np.testing.assert_allclose(log_prob, each[:, 11:].sum(axis=1), atol=1e-3)
    one = model.sample(4, length=15, prompt=whole[0, :11], seed=7, **given)
    assert (one[:, :11] == whole[0, :11]).all()


def test_a_stream_draws_what_one_draw_does_and_goes_on_from_its_state(model):
    given = conditions(model, 2)
    whole, log_prob = model.sample(2, length=36, seed=5, batch_size=2, return_log_prob=True, **given)
    stream = model.stream(2, chunk=10, seed=5, return_log_prob=True, **given)
    first, _ = next(stream)
    saved = stream.state
    for array in tree.flatten(saved["carry"]):  # of each sequence: no weights
        assert array is None or 2 in array.shape
    second, _ = next(stream)
    again, _ = next(model.stream(2, chunk=10, state=saved, return_log_prob=True, **given))
    assert (second == again).all()
    rest = [next(stream) for _ in range(2)]
    found = np.concatenate([first, second, *(chunk for chunk, _ in rest)], axis=1)[:, :36]
    assert (found == whole).all()
    if model.steps_per_row:  # as long as the condition lasts
        np.testing.assert_allclose(rest[-1][1], log_prob, atol=1e-3)
        assert next(stream, None) is None


def test_a_stream_goes_on_behind_a_prompt(model):
    given = conditions(model, 2)
    whole = model.sample(2, length=30, seed=5, **given)
    stream = model.stream(2, chunk=6, prompt=whole[:, :9], seed=5, **given)
    found = np.concatenate([next(stream) for _ in range(3)], axis=1)
    assert (found == whole[:, 9:27]).all()


@pytest.mark.parametrize("name", ["char_rnn", "wavenet-rows"])
def test_training_takes_sequences_of_another_length(name):
    model = MODELS[name]()
    given = conditions(model, 8)
    x = model.sample(8, length=16, seed=1, **given)
    model.compile("adam")
    history = model.fit((x, *given.values()) if given else x, epochs=1, verbose=0).history
    nats = -model.score_samples(x, *given.values()).mean()
    found = model.evaluate((x, *given.values()) if given else x, return_dict=True, verbose=0)
    np.testing.assert_allclose(found["loss"], nats, rtol=1e-4)
    np.testing.assert_allclose(found["bits_per_dim"], nats / (np.log(2) * x[0].size), rtol=1e-4)
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("condition_shape", [None, (2,), (11, 2)], ids=str)
def test_a_wavenet_block_steps_as_it_computes(condition_shape):
    block = layers.WaveNetBlock(3, kernel_size=3, dilation_rate=2, skip_filters=4)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 11, 3)).astype("float32")
    given = [] if condition_shape is None else [rng.normal(size=(2, *condition_shape)).astype("float32")]
    given = list(map(ops.convert_to_tensor, given))
    block(x, *given)  # builds it
    checks.randomise(block)
    expected = [ops.convert_to_numpy(y) for y in block(x, *given)]
    state = block.start(2, *given)
    for t in range(11):
        *found, state = block.step(state, ops.convert_to_tensor(x[:, t]), t)
        for one, whole in zip(found, expected, strict=True):
            np.testing.assert_allclose(ops.convert_to_numpy(one), whole[:, t], atol=1e-5)


# Bad input.

WAVES = models.WaveNet((8,), filters=2, dilations=(1, 2), head=LEVELS)
ROWS = MODELS["wavenet-rows"]()
TEXT = models.CharRNN(8, vocabulary="ab", embedding=2, units=2)


def state_behind_a_chunk(num_samples):
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
        (
            lambda: WAVES.stream(3, state=state_behind_a_chunk(2)),
            r"same `num_samples`.*shape \(.*2.*\) in place of \(.*3.*\)",
        ),
        (lambda: WAVES.score_samples(np.zeros((2, 8, 1))), r"`x` must have shape \(batch, any length\)"),
        (
            lambda: ROWS.sample(2, np.zeros((2, 3, 2)), length=13),
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
            lambda: models.CharRNN(8, vocabulary="ab", condition_shape=(2, 3)),
            r"`condition_shape` must be \(features,\)",
        ),
        (
            lambda: TEXT.write(8, prompt="abc"),
            "`text` must be written in the 2 characters.*Received 'c', at position 2",
        ),
        (lambda: TEXT.write(3, prompt="abba"), "`prompt` must have 1 to 3 steps.*Received 4"),
        (lambda: TEXT.vocabulary.windows("abba", 5), "`length` must be from 1 to 4"),
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
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_receptive_field_is_told_and_true():
    model = models.WaveNet((40,), filters=3, kernel_size=3, dilations=(1, 2, 4))
    assert model.receptive_field == 3 + 2 * 7
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert any("Receptive field: 17 steps" in line for line in lines)
    seen = plots.sensitivity(model, 30, random_weights=True) > 0
    assert np.flatnonzero(seen).tolist() == list(range(30 - 17, 30))


def test_a_text_is_written_and_its_vocabulary_lasts(tmp_path):
    model = models.CharRNN(8, vocabulary=text.Vocabulary.of("hello world"), embedding=3, units=4)
    checks.randomise(model)
    model.save(tmp_path / "writer.keras")
    twin = keras.saving.load_model(tmp_path / "writer.keras")
    assert twin.vocabulary == model.vocabulary
    written = twin.write(20, prompt="hello", seed=0, temperature=0.5)
    assert written == model.write(20, prompt="hello", seed=0, temperature=0.5)
    assert written.startswith("hello")
    assert len(written) == 20
    several = model.write(9, num_samples=3, seed=1)
    assert [len(one) for one in several] == [9, 9, 9]
