"""Models of sequences straight from the papers' equations: float64 NumPy, one sequence at a time, in plain loops.

Nothing here knows keras_ar. A sequence is an array `(length, channels)`; a convolution's
weights are the pair of a kernel `(taps, inputs, outputs)` and a bias; those of a recurrent layer are as
Keras has them, kernel, recurrent kernel and bias, with the gates side by side.
"""

import numpy as np
from reference import relu, sigmoid


def causal_convolution(x, kernel, bias, dilation=1, strict=False):
    """The last tap lies on the output's own time, or with `strict` on the one before; the others `dilation` apart."""
    y = np.zeros((len(x), kernel.shape[2])) + bias
    for t in range(len(x)):
        for tap in range(len(kernel)):
            source = t - strict - (len(kernel) - 1 - tap) * dilation
            if source >= 0:
                y[t] += x[source] @ kernel[tap]
    return y


def upsampled(rows, kernel, bias, times):
    """Each row spread over `2 * times` steps, half of them its own, then a leaky ReLU: learned upsampling, section 2.5.

    The kernel is `(2 * times, outputs, inputs)`; below zero the values are divided by five.
    """
    y = np.zeros((len(rows) * times, len(bias))) + bias
    for row, value in enumerate(rows):
        for tap in range(2 * times):
            step = row * times + tap - times // 2
            if 0 <= step < len(y):
                y[step] += kernel[tap] @ value
    return np.where(y > 0, y, y / 5)


def wavenet(x, stem, blocks, hidden, to_params, condition=None):
    """Van den Oord et al., 2016, figure 4, with conditions as in section 2.5.

    Args:
        x: Network inputs, `(length, channels)`.
        stem: Weights of the first, strict convolution.
        blocks: Of each block by name: "dilation"; the weights "convolution" and "out", whose first outputs go on and
            whose others go to the head; with a condition its kernel "condition_bias".
        hidden: Kernel and bias of the hidden layer before the parameters.
        to_params: Those of the layer that makes the parameters.
        condition: One vector for all times, or one for each.
    """
    h, total = causal_convolution(x, *stem, strict=True), 0.0
    for block in blocks:
        gates = causal_convolution(h, *block["convolution"], block["dilation"])
        if condition is not None:
            gates = gates + condition @ block["condition_bias"]
        filtered, gate = np.split(gates, 2, axis=-1)
        kernel, bias = block["out"]
        out = (np.tanh(filtered) * sigmoid(gate)) @ kernel + bias
        h, total = h + out[:, : h.shape[1]], total + out[:, h.shape[1] :]
    return dense(relu(dense(relu(total), *hidden)), *to_params)


def window_mlp(x, stem, hidden, to_params, activation, condition_bias=None):
    """Bengio et al., 2003: a network over the last few values, the same for all times.

    Args:
        x: Network inputs, `(length, channels)`.
        stem: Kernel `(window, inputs, units)` and bias of the first layer.
        hidden: Kernel and bias of each of the others.
        to_params: Those of the last.
        activation: Of the hidden units.
        condition_bias: What a condition adds to the first layer.
    """
    window = len(stem[0])
    params = []
    for t in range(len(x)):
        before = np.zeros((window, x.shape[1]))
        count = min(window, t)
        before[window - count :] = x[t - count : t]
        h = before.ravel() @ stem[0].reshape(-1, stem[0].shape[2]) + stem[1]
        h = activation(h if condition_bias is None else h + condition_bias)
        for kernel, bias in hidden:
            h = activation(h @ kernel + bias)
        params.append(h @ to_params[0] + to_params[1])
    return np.array(params)


def char_rnn(x, embedding, layers, to_params, cell, condition_bias=0.0):
    """Recurrent layers over characters, each of which sees those before it.

    Args:
        x: Integers, `(length,)`.
        embedding: Features of each character, and in the last row of what comes before the first.
        layers: Weights of each recurrent layer.
        to_params: Kernel and bias of the layer that makes the parameters.
        cell: "lstm" or "gru".
        condition_bias: What a condition adds to the features of a character.
    """
    before = [len(embedding) - 1, *x[:-1]]
    h = embedding[before] + condition_bias
    for weights in layers:
        h = {"lstm": lstm, "gru": gru}[cell](h, *weights)
    return dense(h, *to_params)


def pointer(logits, features, x, projection, scale, to_gate, gate_bias, window):
    """Merity et al., 2016, equation 3, where steps are compared as by Grave et al., 2016, equation 2, by cosines.

    A step sees the `window` steps before it, and what followed each: its value. Before the first step is nothing, which
    a step sees at a cosine of zero, and whose share goes to the model.
    """
    keys = features @ projection
    keys = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    outputs = []
    for t in range(len(x)):
        seen = [s for s in range(t) if s >= t - window]
        scores = np.exp([scale * keys[t] @ keys[s] for s in seen])
        total = scores.sum() + (1.0 if t < window else 0.0)
        copied = np.zeros(logits.shape[1])
        for s, score in zip(seen, scores, strict=True):
            copied[x[s]] += score / total
        gate = 0.999 * sigmoid(np.concatenate([features[t], copied]) @ to_gate + gate_bias)
        model = np.exp(logits[t]) / np.exp(logits[t]).sum()
        outputs.append(np.log((1.0 - gate * copied.sum()) * model + gate * copied))
    return np.array(outputs)


def lstm(x, kernel, recurrent_kernel, bias):
    """Hochreiter and Schmidhuber, 1997, with forget gates."""
    h = cell = np.zeros(len(recurrent_kernel))
    outputs = []
    for features in x:
        i, f, g, o = np.split(features @ kernel + h @ recurrent_kernel + bias, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(cell)
        outputs.append(h)
    return np.array(outputs)


def gru(x, kernel, recurrent_kernel, bias):
    """Cho et al., 2014, with the reset gate applied after the product, as in cuDNN."""
    h = np.zeros(len(recurrent_kernel))
    outputs = []
    for features in x:
        z, r, n = np.split(features @ kernel + bias[0], 3)
        recurrent_z, recurrent_r, recurrent_n = np.split(h @ recurrent_kernel + bias[1], 3)
        z, r = sigmoid(z + recurrent_z), sigmoid(r + recurrent_r)
        h = z * h + (1 - z) * np.tanh(n + r * recurrent_n)
        outputs.append(h)
    return np.array(outputs)


def dense(x, kernel, bias):
    """An affine map of each row."""
    return x @ kernel + bias
