"""Transformers: sources and their padding, stops, beams, streams, rules of drawing, text."""

import keras
import numpy as np
import pytest
from keras import ops
from variants import on_one_backend

from keras_ar import backend, heads, layers, models, noise, samplers, stops, text
from keras_ar.testing import all_events, tools

LEVELS = heads.Categorical(4)
SMALL = {"units": 8, "num_layers": 2, "num_heads": 2}


def randomized(model):
    noise.randomize(model)
    model.compile(run_eagerly=backend.prefers_eager())
    return model


@pytest.fixture(scope="module")
def decoder():
    return randomized(models.TransformerDecoder(5, head=LEVELS, stop=3, **SMALL))


@pytest.fixture(scope="module")
def of_tokens():
    return randomized(models.EncoderDecoder(4, condition_shape=6, source_levels=5, head=LEVELS, stop=3, **SMALL))


@pytest.fixture(scope="module")
def of_rows():
    return randomized(models.EncoderDecoder(4, condition_shape=(6, 2), head=LEVELS, positions="sinusoidal", **SMALL))


# Sources.


def test_padding_of_a_source_changes_nothing(of_tokens, of_rows):
    events = of_tokens.sample(2, [[4, 0, 2], [1, 1, 3]], seed=0)
    alone = of_tokens.score_samples(events, np.array([[4, 0, 2], [1, 1, 3]]))
    padded = of_tokens.score_samples(events, of_tokens.pad_sources([[4, 0, 2], [1, 1, 3], [0] * 9])[:2])
    np.testing.assert_allclose(alone, padded, atol=1e-5)
    assert np.abs(of_tokens.score_samples(events, np.array([[4, 0, 2, 0], [1, 1, 3, 0]])) - alone).max() > 1e-3

    rows = np.random.default_rng(0).normal(size=(2, 3, 2)).astype("float32")
    longer = np.concatenate([rows, np.full((2, 4, 2), np.nan, "float32")], axis=1)
    events = of_rows.sample(2, rows, seed=0)
    np.testing.assert_allclose(of_rows.score_samples(events, rows), of_rows.score_samples(events, longer), atol=1e-5)
    assert (of_rows.sample(2, longer, seed=0) == events).all()


def test_a_model_learns_from_padded_sources_with_finite_gradients(of_rows):
    model = models.EncoderDecoder.from_config(of_rows.get_config())
    model.compile("adam", run_eagerly=backend.prefers_eager())
    x, condition = model.random_batch(16)
    assert np.isnan(condition).any()
    model.fit((x, condition), epochs=2, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


# Stops.


def test_probabilities_of_padded_sequences_sum_to_one(decoder):
    x = all_events(decoder)
    is_possible = ops.convert_to_numpy(decoder.is_possible(ops.convert_to_tensor(x))).all(axis=1)
    assert is_possible.sum() == 3**5 + sum(3**n for n in range(5))
    scores = decoder.score_samples(x)
    assert (scores[~is_possible] == -np.inf).all()
    assert abs(np.exp(scores[is_possible].astype("float64")).sum() - 1) < 1e-5


def test_padding_of_an_event_costs_nothing(decoder):
    short = stops.padded([[0, 2], [1]], stop=3, length=3)
    longer = stops.padded([[0, 2], [1]], stop=3, length=9)
    np.testing.assert_allclose(decoder.score_samples(short), decoder.score_samples(longer), atol=1e-5)
    each = decoder.score_conditionals(longer)
    assert (each[0, 3:] == 0).all()
    assert (each[1, 2:] == 0).all()


def test_fit_names_what_follows_a_stop(decoder):
    with pytest.raises(ValueError, match=r"Received x\[\d\] = 2 in batch 0"):
        decoder.fit(np.array([[0, 3, 2, 3, 3]] * 4), epochs=1, verbose=0)


# Beams.


@pytest.mark.parametrize("prompt", [[2], *on_one_backend([None])], ids=str)
def test_enough_beams_find_the_most_probable_sequences(decoder, prompt):
    x = all_events(decoder)
    given = 0 if prompt is None else len(prompt)
    if prompt:
        x = x[(x[:, :given] == prompt).all(axis=1)]
    scores = decoder.score_samples(x)
    if prompt:
        scores -= decoder.score_conditionals(x)[:, :given].sum(axis=1)
    best = np.argsort(-scores)[:10]
    found, log_probs = decoder.search(num_beams=256, prompt=prompt, all_beams=True, return_log_prob=True)
    np.testing.assert_allclose(log_probs[0, :10], scores[best], atol=1e-4)
    assert (found[0, 0] == x[best[0]]).all()


@pytest.mark.one_backend
def test_one_beam_is_greedy_and_more_are_no_worse(of_tokens):
    sources = of_tokens.random_batch(5)[1]
    greedy, log_prob = of_tokens.search(5, sources, num_beams=1, return_log_prob=True)
    expected = of_tokens.sample(5, sources, temperature=0)
    assert (greedy == expected).all()
    np.testing.assert_allclose(log_prob, of_tokens.score_samples(greedy, sources), atol=1e-4)
    found, better = of_tokens.search(5, sources, num_beams=64, batch_size=2, return_log_prob=True)
    assert (better >= log_prob - 1e-4).all()
    np.testing.assert_allclose(better, of_tokens.score_samples(found, sources), atol=1e-4)


@pytest.mark.one_backend
def test_a_penalty_orders_beams_by_their_length(decoder):
    found, log_probs = decoder.search(num_beams=64, all_beams=True, return_log_prob=True, length_penalty=2.0)
    sizes = np.minimum(1 + stops.lengths(found, 3), 5)
    assert (np.diff(log_probs[0] / sizes[0] ** 2.0) <= 1e-6).all()


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "model",
    [
        models.CharRNN(5, vocabulary="abc", units=3, num_layers=1, embedding_dim=2),
        models.WaveNet(5, filters=3, dilations=(1, 2), head=heads.Categorical(3)),
        models.WindowMLP(5, window=2, hidden_units=4, head=heads.Categorical(3)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_beams_follow_the_states_of_every_sequence_model(model):
    randomized(model)
    scores = model.score_samples(all_events(model))
    _, log_probs = model.search(num_beams=81, all_beams=True, return_log_prob=True)
    np.testing.assert_allclose(log_probs[0, :20], np.sort(scores)[::-1][:20], atol=1e-4)


# Rules of drawing.


def test_a_penalty_on_repetition_is_one_rule_for_all_methods(decoder):
    rule = samplers.Together([samplers.RepetitionPenalty(3.0), samplers.MinP(0.05)])
    drawn, log_prob = decoder.sample(64, sampler=rule, seed=1, return_log_prob=True)
    assert (drawn == decoder.sample(64, sampler=rule, seed=1, method="full", batch_size=16)).all()
    after = decoder.sample(64, sampler=rule, seed=1, prompt=drawn[:, :2])
    assert (after == drawn).all()

    # By the definition, from what `call` gives.
    logits = ops.convert_to_numpy(decoder(drawn)).astype("float64")  # (events, steps, levels)
    total, was_drawn = np.zeros(64), np.zeros((64, 4), bool)
    for t in range(5):
        of_step = logits[:, t]
        lowered = np.where(of_step > 0, of_step / 3.0, of_step * 3.0)
        of_step = np.where(was_drawn, lowered, of_step)
        p = np.exp(of_step - of_step.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p = np.where(p >= 0.05 * p.max(axis=1, keepdims=True), p, 0.0)
        p /= p.sum(axis=1, keepdims=True)
        total += np.log(p[np.arange(64), drawn[:, t]])
        was_drawn[np.arange(64), drawn[:, t]] = True
    np.testing.assert_allclose(log_prob, total, atol=1e-4)


@pytest.mark.one_backend
def test_a_stream_takes_a_sampler():
    model = randomized(models.TransformerDecoder(6, head=LEVELS, window=3, **SMALL))
    rule = samplers.RepetitionPenalty(1.5)
    whole = model.sample(2, length=24, sampler=rule, seed=4)
    stream = model.stream(2, chunk=8, sampler=rule, seed=4)
    found = [next(stream)]
    stream = model.stream(2, chunk=8, sampler=rule, state=stream.state)
    assert (np.concatenate([*found, next(stream), next(stream)], axis=1) == whole).all()


# Long sequences.


@pytest.mark.one_backend
def test_rings_do_not_depend_on_how_long_a_stream_has_run():
    """Far along, a step gives what a whole pass over the last positions gives: angles of large numbers are exact."""
    model = randomized(models.TransformerDecoder(8, head=LEVELS, window=4, units=8, num_layers=1, num_heads=2))
    values = np.random.default_rng(0).integers(0, 4, (2, 12))
    constants = model.prepare()
    found = {}
    for begin in (1, 100_001, 20_000_001):
        state = model.start(2, None)
        for i, value in enumerate(values.T):
            params, state = model.step(constants, state, begin + i, ops.convert_to_tensor(value))
        found[begin] = ops.convert_to_numpy(params)
    for begin in (100_001, 20_000_001):
        np.testing.assert_allclose(found[begin], found[1], atol=1e-4)


@pytest.mark.one_backend
def test_a_chain_of_layers_is_a_transformer_with_a_prompt_in_one_pass():
    chain = [layers.Shift(), keras.layers.Dense(8), layers.TransformerBlock(2, window=4)]
    model = randomized(models.CausalSequential(12, layers=chain, head=LEVELS))
    assert model.has_prefill
    drawn = model.sample(4, seed=0)
    known = np.arange(12) < 7
    assert (model.complete(drawn, known=known, seed=0) == drawn).all()
    assert (model.sample(4, seed=0, method="full") == drawn).all()


# Text.


@pytest.mark.one_backend
def test_byte_pairs_are_saved_with_the_model(tmp_path):
    corpus = "the cat sat on the mat and the rat sat on the cat. " * 20
    vocabulary = text.BytePairVocabulary.of(corpus, size=290, special=("<stop>",))
    assert vocabulary.decode(vocabulary.encode("the cät")) == "the cät"
    assert len(vocabulary.encode("the cat")) < 7
    model = models.TransformerDecoder(12, vocabulary=vocabulary, stop="<stop>", **SMALL)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    assert twin.vocabulary == vocabulary
    assert twin.stop == vocabulary.encode("<stop>")[0] == 0
    assert model.write(12, prompt="the", seed=0) == twin.write(12, prompt="the", seed=0)
    assert model.write(12, prompt="the", seed=0).startswith("the")


@pytest.mark.one_backend
def test_bytes_are_a_vocabulary_of_any_text():
    vocabulary = text.ByteVocabulary()
    assert vocabulary.decode(vocabulary.encode("naïve ☃")) == "naïve ☃"
    model = models.TransformerDecoder(6, vocabulary=vocabulary, stop=10, **SMALL)
    assert "\n" not in model.write(40, num_samples=8, seed=0, prompt="a")[0]
    assert models.TransformerDecoder.from_config(model.get_config()).vocabulary == vocabulary


# Bad input.

DECODER = models.TransformerDecoder(5, head=LEVELS, positions="learned", **SMALL)
SOURCES = models.EncoderDecoder(4, condition_shape=6, source_levels=5, positions="learned", **SMALL)
ROWS = models.EncoderDecoder(4, condition_shape=(6, 2), **SMALL)
EVENTS = np.zeros((1, 4), int)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: models.TransformerDecoder(5, window=0), "`window` must be .*at least 1. Received: window=0"),
        (lambda: models.TransformerDecoder(5, units=6, num_heads=2), "`units` must be an even multiple of `num_heads`"),
        (lambda: models.TransformerDecoder(5, units=6, num_heads=4), "`units` must be a multiple of `num_heads`"),
        (lambda: models.TransformerDecoder(5, positions="fourier"), "`positions` must be 'rotary', 'learned' or"),
        (lambda: models.TransformerDecoder(5, vocabulary="ab", head=LEVELS), "`head` must be None beside a `vocab"),
        (lambda: models.TransformerDecoder(5, vocabulary=3), "`vocabulary` must be a vocabulary of keras_ar.text"),
        (lambda: models.TransformerDecoder(5, stop=0), "`stop` must be None unless the head is Categorical"),
        (lambda: models.TransformerDecoder(5, head=LEVELS, stop=4), "`stop` must be a level, at most 3"),
        (lambda: models.TransformerDecoder(5, vocabulary="ab", stop="ab"), "`stop` must be one token"),
        (lambda: DECODER.sample(length=6), "`length` must have at most 5 positions"),
        (lambda: DECODER.sample(length=6, prompt=[0] * 6), "`length` must have at most 5 positions"),
        (lambda: DECODER.score_samples(np.zeros((1, 7), int)), "`x` must have at most 5 positions.*Received 7"),
        (lambda: DECODER.stream(), "`length` must be None for a stream|`window` must be an integer for a stream"),
        (lambda: models.TransformerDecoder(5, **SMALL).stream(), "`window` must be an integer for a stream"),
        (lambda: DECODER.write(5), "`write` needs a vocabulary"),
        (lambda: DECODER.sample(sampler=len), "`sampler` must be a keras_ar.samplers.Sampler"),
        (
            lambda: DECODER.sample(sampler=samplers.MinP(0.1), method="parallel"),
            "`method` must not be 'parallel' beside a `sampler`",
        ),
        (lambda: samplers.MinP(2.0), "`least` must be at most 1"),
        (lambda: samplers.RepetitionPenalty(0.5), "`penalty` must be at least 1"),
        (
            lambda: models.TransformerDecoder(3, head="normal", **SMALL).sample(sampler=samplers.RepetitionPenalty(2)),
            "a penalty needs a logit for each level",
        ),
        (lambda: models.TransformerDecoder(3, head="normal", **SMALL).search(), "`search` is for models that step"),
        (lambda: DECODER.search(num_beams=0), "`num_beams` must be"),
        (lambda: stops.padded([[1, 2, 3]], stop=0, length=3), "`length` must be at least 4"),
        (lambda: stops.padded([[1, 0, 3]], stop=0), "`sequences` must hold sequences of integers without the stop"),
        (
            lambda: models.EncoderDecoder(4, condition_shape=6, **SMALL),
            "`source_levels` must say how many tokens a source may have",
        ),
        (
            lambda: models.EncoderDecoder(4, condition_shape=(6, 2), source_levels=3, **SMALL),
            "`source_levels` and `source_vocabulary` must be None where a source has rows",
        ),
        (
            lambda: models.EncoderDecoder(4, condition_shape=(6, 2, 1), **SMALL),
            r"`condition_shape` must be \(length,\)",
        ),
        (lambda: SOURCES.score_samples(EVENTS), "`condition` must be given"),
        (lambda: SOURCES.score_samples(EVENTS, np.zeros((1, 0), int)), "Received a source of padding alone"),
        (lambda: SOURCES.score_samples(EVENTS, np.full((1, 3), -1)), "Received a source of padding alone"),
        (
            lambda: SOURCES.score_samples(EVENTS, [[0, 5]]),
            r"tokens from 0 to 4, -1 for padding. Received .*\[0, 1\] = 5",
        ),
        (lambda: SOURCES.score_samples(EVENTS, [[0.5]]), "tokens from 0 to 4"),
        (lambda: SOURCES.score_samples(EVENTS, np.zeros((1, 7), int)), "`condition` must have at most 6 positions"),
        (lambda: ROWS.score_samples(EVENTS, np.full((1, 3, 2), np.nan)), "Received a source of padding alone"),
        (lambda: ROWS.score_samples(EVENTS, [[[np.nan, 0.0]]]), "rows of finite numbers"),
        (lambda: ROWS.pad_sources([np.zeros((3, 4))]), "`sources` must hold sequences of shape"),
        (lambda: text.Vocabulary("ab").encode("abc"), "Received 'c'"),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()


@pytest.mark.one_backend
def test_fit_names_a_bad_source():
    SOURCES.compile("adam")
    data = [(np.zeros((2, 4), int), np.array([[0, 1], [0, 9]]))]

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return data[index]

    with pytest.raises(ValueError, match=r"`condition` must hold tokens from 0 to 4.*Received condition.* = 9"):
        SOURCES.fit(Batches(), epochs=1, verbose=0)


@pytest.mark.one_backend
def test_scores_of_sources_agree_by_piece_and_driver(of_tokens):
    x, sources = of_tokens.random_batch(3)
    found = tools.computed(of_tokens.log_prob, x, sources, owner=of_tokens)
    np.testing.assert_allclose(found, of_tokens.score_samples(x, sources), atol=1e-4)
