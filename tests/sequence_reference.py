"""Models of sequences straight from the papers' equations: float64 NumPy, one sequence at a time, in plain loops.

Nothing here knows keras_ar. A sequence is an array `(length, channels)`; a convolution's
weights are the pair of a kernel `(taps, inputs, outputs)` and a bias.
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


def enlarged(rows, kernel, bias, times):
    """Each row spread over `2 * times` steps, half of them beyond its own, and bent: learned upsampling, section 2.5.

    The kernel is `(2 * times, outputs, inputs)`; below zero the values are divided by five.
    """
    y = np.zeros((len(rows) * times, len(bias))) + bias
    for row, value in enumerate(rows):
        for tap in range(2 * times):
            step = row * times + tap - times // 2
            if 0 <= step < len(y):
                y[step] += kernel[tap] @ value
    return np.where(y > 0, y, y / 5)


def wavenet(x, look, blocks, mix, to_params, condition=None):
    """Van den Oord et al., 2016, figure 4, with conditions as in section 2.5.

    Args:
        x: Network inputs, `(length, channels)`.
        look: Weights of the first, strict convolution.
        blocks: Of each block by name: "dilation"; the weights "convolution" and "out", whose first outputs go on and
            whose others go to the head; with a condition its kernel "condition".
        mix: Kernel and bias of the first layer of the head.
        to_params: Those of the second.
        condition: One vector for all times, or one for each.
    """
    h, total = causal_convolution(x, *look, strict=True), 0.0
    for block in blocks:
        gates = causal_convolution(h, *block["convolution"], block["dilation"])
        if condition is not None:
            gates = gates + condition @ block["condition"]
        filtered, gate = np.split(gates, 2, axis=-1)
        kernel, bias = block["out"]
        out = (np.tanh(filtered) * sigmoid(gate)) @ kernel + bias
        h, total = h + out[:, : h.shape[1]], total + out[:, h.shape[1] :]
    return dense(relu(dense(relu(total), *mix)), *to_params)


def window_mlp(x, look, hidden, to_params, activation, condition=None):
    """Bengio et al., 2003: a network over the last few values, the same for all times.

    Args:
        x: Network inputs, `(length, channels)`.
        look: Kernel `(window, inputs, units)` and bias of the first layer.
        hidden: Kernel and bias of each of the others.
        to_params: Those of the last.
        activation: Of the hidden units.
        condition: What a condition adds to the first layer.
    """
    window = len(look[0])
    params = []
    for t in range(len(x)):
        before = np.zeros((window, x.shape[1]))
        count = min(window, t)
        before[window - count :] = x[t - count : t]
        h = before.ravel() @ look[0].reshape(-1, look[0].shape[2]) + look[1]
        h = activation(h if condition is None else h + condition)
        for kernel, bias in hidden:
            h = activation(h @ kernel + bias)
        params.append(h @ to_params[0] + to_params[1])
    return np.array(params)


def dense(x, kernel, bias):
    """An affine map of each row."""
    return x @ kernel + bias
