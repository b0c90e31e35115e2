"""Transformers in float64 NumPy, one position after the other, from the equations of the papers."""

import math

import numpy as np
from scipy.special import erf

__all__ = ["attend", "decoder", "encode", "gelu", "layer_norm", "rms_norm", "self_attention", "snail_attention"]


def gelu(x):
    """Hendrycks and Gimpel, 2016, exactly."""
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def layer_norm(x, gain, bias, epsilon=1e-5):
    """Ba et al., 2016."""
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon) * gain + bias


def rms_norm(x, gain, epsilon=1e-5):
    """Zhang and Sennrich, 2019."""
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * gain


def turned(x, t):
    """Su et al., 2021: pair `i` of a vector, a complex number, turned by the angle `t * 10000^(-i / n)`."""
    n = len(x) // 2
    z = (x[:n] + 1j * x[n:]) * np.exp(1j * t * 10000.0 ** (-np.arange(n) / n))
    return np.concatenate([z.real, z.imag])


def attend(query, keys, values):
    """Vaswani et al., 2017, equation 1, for one query of one head."""
    scores = np.array([query @ key / math.sqrt(len(query)) for key in keys])
    weights = np.exp(scores - scores.max())
    return (weights / weights.sum()) @ np.array(values)


def self_attention(x, to_heads, from_heads, num_heads, window=None, rotary=True, causal=True):
    """Attention of a sequence `(length, features)` to itself.

    Args:
        x: The sequence.
        to_heads: Kernel and bias of queries, keys and values, side by side.
        from_heads: Kernel and bias of the last product.
        num_heads: How many heads.
        window: How many positions an output sees, or `None`.
        rotary: Whether queries and keys are turned.
        causal: Whether later positions are hidden.
    """
    queries, keys, values = np.split(x @ to_heads[0] + to_heads[1], 3, axis=1)
    size = queries.shape[1] // num_heads
    outputs = []
    for t in range(len(x)):
        seen = [s for s in range(len(x)) if (s <= t or not causal) and (window is None or s > t - window)]
        found = []
        for head in range(num_heads):
            of_head = slice(head * size, (head + 1) * size)
            turn = turned if rotary else lambda v, _: v
            query = turn(queries[t, of_head], t)
            found.append(attend(query, [turn(keys[s, of_head], s) for s in seen], [values[s, of_head] for s in seen]))
        outputs.append(np.concatenate(found))
    return np.array(outputs) @ from_heads[0] + from_heads[1]


def to_source(x, source, to_queries, to_keys_and_values, from_heads, num_heads):
    """Attention of a sequence to a source, `(source length, channels)`, without its padding."""
    queries = x @ to_queries[0] + to_queries[1]
    keys, values = np.split(source @ to_keys_and_values[0] + to_keys_and_values[1], 2, axis=1)
    size = queries.shape[1] // num_heads
    heads = [slice(head * size, (head + 1) * size) for head in range(num_heads)]
    found = [np.concatenate([attend(q[of], keys[:, of], values[:, of]) for of in heads]) for q in queries]
    return np.array(found) @ from_heads[0] + from_heads[1]


def mlp(x, norm, to_hidden, from_hidden):
    """Two dense layers around a residual, normalization first."""
    h = layer_norm(x, *norm) @ to_hidden[0] + to_hidden[1]
    return x + gelu(h) @ from_hidden[0] + from_hidden[1]


def decoder(h, blocks, norm, to_params, num_heads, window=None, rotary=True, source=None):
    """A stack of blocks over features `(length, units)`: the parameters of each position.

    Args:
        h: Features of what comes before each position.
        blocks: For each block a dictionary of its weights.
        norm: Gain and bias of the last normalization.
        to_params: Kernel and bias of the last product.
        num_heads: How many heads.
        window: As in `self_attention`.
        rotary: As in `self_attention`.
        source: What blocks attend to, or `None`.
    """
    for block in blocks:
        attention = (block["to_heads"], block["from_heads"], num_heads, window, rotary)
        h = h + self_attention(layer_norm(h, *block["norm"]), *attention)
        if source is not None:
            h = h + to_source(layer_norm(h, *block["norm_of_attended"]), source, *block["source"], num_heads)
        h = mlp(h, block["norm_of_mlp"], block["to_hidden"], block["from_hidden"])
    return layer_norm(h, *norm) @ to_params[0] + to_params[1]


def encode(h, blocks, norm, num_heads, rotary=True):
    """The encoder of a source without padding."""
    for block in blocks:
        (query, bias), (others, others_bias) = block["to_queries"], block["to_keys_and_values"]
        to_heads = np.concatenate([query, others], axis=1), np.concatenate([bias, others_bias])
        x = layer_norm(h, *block["norm"])
        h = h + self_attention(x, to_heads, block["from_heads"], num_heads, None, rotary, causal=False)
        h = mlp(h, block["norm_of_mlp"], block["to_hidden"], block["from_hidden"])
    return layer_norm(h, *norm)


def snail_attention(h, x, to_queries, to_keys_and_values, num_heads):
    """Chen et al., 2017, section 3: pixel by pixel; `h` and `x` are `(rows, columns, channels)`."""
    rows, columns, _ = h.shape
    places = [(r / rows - 0.5, c / columns - 0.5) for r in range(rows) for c in range(columns)]
    h, x = h.reshape(rows * columns, -1), x.reshape(rows * columns, -1)
    outputs, keys, values = [], [], []
    for t, place in enumerate(places):
        query = np.concatenate([h[t], place]) @ to_queries[0] + to_queries[1]
        size = len(query) // num_heads
        heads = [slice(head * size, (head + 1) * size) for head in range(num_heads)]
        seen = [attend(query[of], [k[of] for k in keys], [v[of] for v in values]) for of in heads] if keys else []
        outputs.append(np.concatenate(seen) if keys else np.zeros(len(query)))
        key, value = np.split(np.concatenate([h[t], x[t], place]) @ to_keys_and_values[0] + to_keys_and_values[1], 2)
        keys.append(key)
        values.append(value)
    return np.array(outputs).reshape(rows, columns, -1)
