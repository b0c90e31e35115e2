"""Transformers beside float64 NumPy references, and beside KerasHub with copied weights."""

import keras
import numpy as np
import pytest
import transformer_reference as reference
from keras import ops

from keras_ar import heads, layers, models, noise, positions

LEVELS = heads.Categorical(4)


def numpy(x):
    return ops.convert_to_numpy(x).astype("float64")


def weights(layer):
    return [numpy(weight) for weight in layer.weights]


def randomized(model):
    noise.randomize(model)
    return model


def of_block(block):
    """The weights of a `TransformerBlock` by the names of the reference."""
    norm, attention, _ = block.attend_to_earlier.chain
    norm_of_mlp, to_hidden, from_hidden, _ = block.mlp.chain
    found = {
        "norm": weights(norm),
        "to_heads": weights(attention.to_heads),
        "from_heads": weights(attention.from_heads),
        "norm_of_mlp": weights(norm_of_mlp),
        "to_hidden": weights(to_hidden),
        "from_hidden": weights(from_hidden),
    }
    if block.has_source:
        found["norm_of_attended"] = weights(block.norm_of_attended)
        of_source = block.attention_to_source
        found["source"] = [weights(each) for each in (of_source.to_queries, of_source.to_keys_and_values)]
        found["source"].append(weights(of_source.from_heads))
    return found


def of_encoder_block(block):
    norm_of_mlp, to_hidden, from_hidden, _ = block.mlp.chain
    return {
        "norm": weights(block.norm_of_inputs),
        **{
            name: weights(getattr(block.attention, name)) for name in ("to_queries", "to_keys_and_values", "from_heads")
        },
        "norm_of_mlp": weights(norm_of_mlp),
        "to_hidden": weights(to_hidden),
        "from_hidden": weights(from_hidden),
    }


def test_angles_are_exact_however_far_along():
    t = np.array([0, 1, 1000, 123_456, 20_000_001, 2**31 - 1])
    cosines, sines = positions.Waves(8)(ops.convert_to_tensor(t, "int32"))
    angles = np.outer(t, 10000.0 ** (-np.arange(8) / 8))
    np.testing.assert_allclose(ops.convert_to_numpy(cosines), np.cos(angles), atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(sines), np.sin(angles), atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{}, {"window": 3}, {"window": 2}, {"positions": None, "num_heads": 1}, {"window": 4, "positions": None}],
    ids=str,
)
def test_attention_is_that_of_the_paper(options):
    options = {"num_heads": 2, **options}
    layer = layers.CausalAttention(8, **options)
    x = np.random.default_rng(0).normal(size=(2, 9, 5)).astype("float32")
    layer.build(x.shape)
    noise.randomize(layer)
    found = numpy(layer(x))
    of_layer = weights(layer.to_heads), weights(layer.from_heads)
    for event, output in zip(x.astype("float64"), found, strict=True):
        expected = reference.self_attention(
            event, *of_layer, options["num_heads"], options.get("window"), options.get("positions", "rotary")
        )
        np.testing.assert_allclose(output, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["rotary", "learned", "sinusoidal"])
def test_a_decoder_is_a_stack_of_blocks(kind):
    options = {"units": 8, "num_layers": 2, "num_heads": 2, "window": 4, "positions": kind}
    model = randomized(models.TransformerDecoder(9, head=LEVELS, num_classes=3, stop=2, **options))
    x, classes = model.random_batch(3)
    embedding, first = numpy(model.embedding.embeddings), numpy(model.first)
    angles = np.outer(np.arange(9), 10000.0 ** (-np.arange(4) / 4))
    of_positions = {
        "rotary": 0.0,
        "learned": numpy(model.position_embedding.vectors) if kind == "learned" else None,
        "sinusoidal": np.concatenate([np.sin(angles), np.cos(angles)], axis=1),
    }[kind]
    last = weights(model.norm_of_outputs), weights(model.to_params)
    for event, label, found in zip(x, classes, numpy(model(x, classes)), strict=True):
        h = (
            np.concatenate([first[None], embedding[event[:-1]]])
            + of_positions
            + numpy(model.condition_bias.kernel)[label]
        )
        blocks = [of_block(block) for block in model.blocks]
        expected = reference.decoder(h, blocks, *last, 2, 4, kind == "rotary")
        length = 9 if 2 not in event else 1 + int(np.argmax(event == 2))  # what follows a stop is certain
        np.testing.assert_allclose(found[:length], expected[:length], atol=2e-5)
        assert (found[length:, 2] == 0).all()
        assert (np.delete(found[length:], 2, axis=1) < -1e29).all()


def test_an_encoder_decoder_attends_to_what_is_no_padding():
    options = {"units": 8, "num_layers": 2, "num_heads": 2}
    model = randomized(models.EncoderDecoder(5, condition_shape=6, source_levels=7, head=LEVELS, **options))
    x = model.random_batch(3)[0]
    sources = [[3, 1, 4], [6], [0, 1, 2, 3, 4, 5]]
    embedding, first = numpy(model.embedding.embeddings), numpy(model.first)
    last = weights(model.norm_of_outputs), weights(model.to_params)
    encoder = [of_encoder_block(block) for block in model.encoder]
    for event, source, found in zip(x, sources, numpy(model(x, model.pad_sources(sources))), strict=True):
        h = numpy(model.source_embedding.embeddings)[source]
        encoded = reference.encode(h, encoder, weights(model.norm_of_source), 2)
        h = np.concatenate([first[None], embedding[event[:-1]]])
        expected = reference.decoder(h, [of_block(block) for block in model.blocks], *last, 2, source=encoded)
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_attention_to_pixels_is_that_of_the_paper():
    layer = layers.CausalImageAttention(8, num_heads=2)
    rng = np.random.default_rng(0)
    h, x = rng.normal(size=(2, 3, 4, 5)).astype("float32"), rng.normal(size=(2, 3, 4, 2)).astype("float32")
    layer.build(h.shape, x.shape)
    noise.randomize(layer)
    found = numpy(layer(h, x))
    for i in range(2):
        expected = reference.snail_attention(
            h[i].astype("float64"),
            x[i].astype("float64"),
            weights(layer.to_queries),
            weights(layer.to_keys_and_values),
            2,
        )
        np.testing.assert_allclose(found[i], expected, atol=1e-5)


@pytest.mark.one_backend
def test_a_block_computes_what_that_of_gpt_2_does():
    hub = pytest.importorskip("keras_hub")
    theirs = hub.layers.TransformerDecoder(
        intermediate_dim=32,
        num_heads=2,
        activation=lambda x: keras.activations.gelu(x, approximate=True),
        layer_norm_epsilon=1e-5,
        normalize_first=True,
    )
    x = np.random.default_rng(0).normal(size=(2, 7, 8)).astype("float32")
    theirs(x)
    noise.randomize(theirs)
    ours = layers.TransformerBlock(2, positions=None, activation=lambda x: keras.activations.gelu(x, approximate=True))
    ours.build(x.shape)
    copy_block(theirs, ours)
    np.testing.assert_allclose(numpy(ours(x)), numpy(theirs(x)), atol=1e-4)


def copy_block(theirs, ours):
    """Weights of KerasHub's decoder block, which are named by it, into ours."""
    found = {weight.path.split("/", 1)[1]: numpy(weight) for weight in theirs.weights}
    units = ours.mlp.chain[0].weights[0].shape[0]

    def kernel(name, shape):
        (path,) = (p for p in found if p.endswith(f"{name}/kernel"))
        return found[path].reshape(shape), found[path.replace("kernel", "bias")].reshape(-1)

    def norm(name):
        (path,) = (p for p in found if p.endswith(f"{name}/gamma"))
        return found[path], found[path.replace("gamma", "beta")]

    of_norm, attention, _ = ours.attend_to_earlier.chain
    norm_of_mlp, to_hidden, from_hidden, _ = ours.mlp.chain
    of_norm.layer.set_weights(norm("self_attention_layer_norm"))
    norm_of_mlp.layer.set_weights(norm("feedforward_layer_norm"))
    parts = [kernel(name, (units, units)) for name in ("query", "key", "value")]
    attention.to_heads.set_weights([np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)])
    attention.from_heads.set_weights(kernel("attention_output", (units, units)))
    to_hidden.layer.set_weights(kernel("feedforward_intermediate_dense", (units, -1)))
    from_hidden.layer.set_weights(kernel("feedforward_output_dense", (-1, units)))
