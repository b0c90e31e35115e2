"""The image models once more, straight from the papers' equations: float64 NumPy, one event at a time, in plain loops.

Nothing here knows keras_ar. Weights come in as arrays, a convolution's as the pair
of kernel `(rows, columns, inputs, outputs)` and bias; an image, or the features of
its pixels, is an array `(rows, columns, features)`. Where colors come one after
the other, the features of a pixel are as many equal parts, in the order of the colors.

There is no padding, no cropping and no array of masks: a convolution goes through
every pair of a source and a target, asks whether the one may see the other, and
takes the tap of the kernel that lies at their offset.
"""

import math

import numpy as np
from reference import relu, sigmoid

# What a convolution sees.


def masked_convolution(x, kernel, bias, mask_type="B", num_colors=1, dilation=1):
    """Van den Oord et al., 2016a, section 3.4: earlier positions are seen; with mask B the current one, too.

    Args:
        x: `(rows, columns, channels)`.
        kernel: The whole of it, around its center. What a mask hides is never looked at, and may be NaN.
        bias: `(filters,)`.
        mask_type: "A" or "B".
        num_colors: How many colors of a pixel come one after the other.
        dilation: Spacing of the taps.
    """
    height, width = kernel.shape[:2]
    tap_at = {((a - height // 2) * dilation, (b - width // 2) * dilation): (a, b) for a, b in np.ndindex(height, width)}

    def sees(target, source):
        # Python compares row, then column, then color: the order in which values are drawn.
        return source < target or (mask_type == "B" and source == target)

    return _convolution(x, kernel, bias, tap_at, sees, num_colors)


def shifted_convolution(x, kernel, bias, direction, strict=False, stride=1):
    """Salimans et al., 2017, section 2: no masks, the kernel hangs above the pixel, or above it and to its left.

    Args:
        x: `(rows, columns, channels)`.
        kernel: `(rows, columns, channels, filters)`.
        bias: `(filters,)`.
        direction: "down": the middle of the kernel's last row lies on the pixel; "down_right": its last corner does.
        strict: Whether it hangs one row higher ("down") or one column further left ("down_right").
        stride: Every how many rows and columns there is an output.
    """
    height, width = kernel.shape[:2]
    if direction == "down":
        up, left = height - 1 + strict, width // 2
    else:
        up, left = height - 1, width - 1 + strict
    tap_at = {(a - up, b - left): (a, b) for a, b in np.ndindex(height, width)}
    return _convolution(x, kernel, bias, tap_at, lambda target, source: True, stride=stride)


def _convolution(x, kernel, bias, tap_at, sees, num_colors=1, stride=1):
    """Sums what each target sees; sources and targets are `(row, column, color)`."""
    rows, columns = (math.ceil(n / stride) for n in x.shape[:2])
    x = x.reshape(*x.shape[:2], num_colors, -1)
    kernel = kernel.reshape(*kernel.shape[:2], num_colors, x.shape[3], num_colors, -1)
    y = np.zeros((rows, columns, len(bias))) + bias
    of_colors = y.reshape(rows, columns, num_colors, -1)
    for i, j, color in np.ndindex(of_colors.shape[:3]):
        target = (stride * i, stride * j, color)
        for source in np.ndindex(x.shape[:3]):
            tap = tap_at.get((source[0] - target[0], source[1] - target[1]))
            if tap is not None and sees(target, source):
                of_colors[i, j, color] += x[source] @ kernel[tap][source[2], :, color]
    return y


def transposed_convolution(x, kernel, bias, direction, size, stride=2):
    """Input `(i, j)` adds to the outputs `(s i + a, s j + b)`; "down" is centered in its columns.

    Args:
        x: `(rows, columns, channels)`.
        kernel: `(rows, columns, filters, channels)`.
        bias: `(filters,)`.
        direction: "down" or "down_right".
        size: Rows and columns of the output.
        stride: s.
    """
    height, width = kernel.shape[:2]
    left = width // 2 if direction == "down" else 0
    y = np.zeros((*size, len(bias))) + bias
    for i, j in np.ndindex(x.shape[:2]):
        for a, b in np.ndindex(height, width):
            r, c = stride * i + a, stride * j + b - left
            if r < size[0] and 0 <= c < size[1]:
                y[r, c] += kernel[a, b] @ x[i, j]
    return y


def weight_normalized(direction, gain, outputs_axis=-1):
    """Salimans & Kingma, 2016, eq. 2: `w = g v / |v|`, for each output by itself."""
    v = np.moveaxis(np.asarray(direction, "float64"), outputs_axis, 0)
    w = np.stack([gain[k] * v[k] / math.sqrt(sum(entry**2 for entry in v[k].ravel())) for k in range(len(v))])
    return np.moveaxis(w, 0, outputs_axis)


# PixelCNN.


def residual_block(x, reduce, middle, expand, num_colors=1):
    """Van den Oord et al., 2016a, figure 5, left: a ReLU before each of three convolutions of mask B, and the input."""
    h = x
    for weights in (reduce, middle, expand):
        h = masked_convolution(relu(h), *weights, "B", num_colors)
    return x + h


def pixel_cnn(x, stem, blocks, hidden, to_params, num_colors=1, bias=0.0):
    """Van den Oord et al., 2016a, table 1: mask A, residual blocks, then twice a ReLU and a 1x1 convolution of mask B.

    Args:
        x: Network inputs, `(rows, columns, channels)`.
        stem: Weights of the first convolution.
        blocks: Those of `residual_block`, of each.
        hidden: Weights of the 1x1 convolution.
        to_params: Weights of the last one.
        num_colors: How many colors of a pixel come one after the other.
        bias: What a condition adds after the first convolution.
    """
    h = masked_convolution(x, *stem, "A", num_colors) + bias
    for weights in blocks:
        h = residual_block(h, *weights, num_colors)
    h = masked_convolution(relu(h), *hidden, "B", num_colors)
    return masked_convolution(relu(h), *to_params, "B", num_colors)


# Gated PixelCNN.


def gate(x, squash, num_colors=1):
    """Van den Oord et al., 2016b, eq. 2: `squash(f) * sigmoid(g)`; of each color's features f come first, then g."""
    gated = []
    for of_color in np.split(x, num_colors, axis=-1):
        f, g = np.split(of_color, 2, axis=-1)
        gated.append(squash(f) * sigmoid(g))
    return np.concatenate(gated, axis=-1)


def gated_block(v, h, weights, mask_type, num_colors=1, condition=None):
    """Van den Oord et al., 2016b, figure 2, with conditions as in eqs. 4 and 5.

    The vertical features of a pixel depend on the rows above it alone. So the first
    block, which takes the image, sees only the rows above; later ones see the vertical
    features of the current row as well. The figure leaves open where a condition enters
    the horizontal stack, and has no skip connections to the head: these are choices.

    Args:
        v: Vertical features, or the image.
        h: Horizontal features, or the image.
        weights: By name: "vertical", "horizontal", "vertical_to_horizontal", "skip" and "out"; with a condition also
            the pair "condition_biases", for the two stacks, of kernels `(features, outputs)`.
        mask_type: "A" for the first block, "B" for others.
        num_colors: How many colors of a pixel come one after the other.
        condition: One vector for all pixels, or one for each.

    Returns:
        Vertical features, horizontal ones, and those for the head.
    """
    v = shifted_convolution(v, *weights["vertical"], "down", strict=mask_type == "A")
    current_row = masked_convolution(h, *weights["horizontal"], mask_type, num_colors)
    if condition is not None:
        to_vertical, to_horizontal = weights["condition_biases"]
        v, current_row = v + condition @ to_vertical, current_row + condition @ to_horizontal
    from_vertical = v @ weights["vertical_to_horizontal"]  # before the gate, as the figure has it
    gated = gate(current_row + from_vertical, np.tanh, num_colors)
    out = masked_convolution(gated, *weights["out"], "B", num_colors)
    if mask_type == "B":  # the first has nothing to add to but the image, which a pixel must not see
        out = h + out
    return gate(v, np.tanh), out, masked_convolution(gated, *weights["skip"], "B", num_colors)


def gated_pixel_cnn(x, blocks, hidden, to_params, num_colors=1, condition=None):
    """A block of mask A, others of mask B; the last features and all skips go through two 1x1 convolutions.

    Args:
        x: Network inputs, `(rows, columns, channels)`.
        blocks: Weights of `gated_block`, of each.
        hidden: Weights of the 1x1 convolution.
        to_params: Weights of the last one.
        num_colors: How many colors of a pixel come one after the other.
        condition: One vector for all pixels, or one for each.
    """
    v, h, skips = x, x, []
    for i, weights in enumerate(blocks):
        v, h, skip = gated_block(v, h, weights, "A" if i == 0 else "B", num_colors, condition)
        skips.append(skip)
    h = masked_convolution(relu(h + sum(skips)), *hidden, "B", num_colors)
    return masked_convolution(relu(h), *to_params, "B", num_colors)


# PixelCNN++.


def elu(x):
    """`x` where it is positive, else `exp(x) - 1`."""
    return np.where(x > 0, x, np.exp(np.minimum(x, 0.0)) - 1.0)


def concat_elu(x):
    """The ELUs of `x`, then those of `-x`."""
    return np.concatenate([elu(x), elu(-x)], axis=-1)


def gated_resnet(x, weights, direction, shortcut=None, condition=None):
    """Salimans et al., 2017, section 2 and its code: two convolutions and a gate, added to the input.

    Args:
        x: `(rows, columns, features)`.
        weights: By name: "first" and "second" of the convolutions; "shortcut", the pair of a kernel
            `(inputs, features)` and a bias; "condition_bias", a kernel `(features, outputs)`.
        direction: "down" or "down_right".
        shortcut: Features that come from elsewhere, into what the first convolution gives.
        condition: Vector that adds to what the second gives.
    """
    h = shifted_convolution(concat_elu(x), *weights["first"], direction)
    if shortcut is not None:
        kernel, bias = weights["shortcut"]
        h = h + concat_elu(shortcut) @ kernel + bias
    h = shifted_convolution(concat_elu(h), *weights["second"], direction)
    if condition is not None:
        h = h + condition @ weights["condition_bias"]
    return x + gate(h, lambda f: f)


def pixel_cnn_plus_plus(x, weights, condition=None):
    """Salimans et al., 2017, figure 2: all features are kept on the way down, and taken back on the way up.

    Args:
        x: Network inputs, `(rows, columns, channels)`.
        weights: By name: "vertical", "above" and "left" of the first convolutions; "down" and "up", the lists of
            steps `(kind, for_u, for_h)` in the order in which they are taken; "to_params", kernel and bias.
        condition: Vector that each residual block takes.
    """
    x = np.concatenate([x, np.ones((*x.shape[:2], 1))], axis=-1)  # which tell zeros of the image from those outside
    u = shifted_convolution(x, *weights["vertical"], "down", strict=True)
    h = shifted_convolution(x, *weights["above"], "down", strict=True)
    h = h + shifted_convolution(x, *weights["left"], "down_right", strict=True)
    kept = [(u, h)]
    for kind, for_u, for_h in weights["down"]:
        if kind == "downsample":
            u = shifted_convolution(u, *for_u, "down", stride=2)
            h = shifted_convolution(h, *for_h, "down_right", stride=2)
        else:
            u = gated_resnet(u, for_u, "down", None, condition)
            h = gated_resnet(h, for_h, "down_right", u, condition)
        kept.append((u, h))
    u, h = kept.pop()
    for kind, for_u, for_h in weights["up"]:
        if kind == "upsample":
            size = kept[-1][0].shape[:2]  # that of the next features that are taken back
            u = transposed_convolution(u, *for_u, "down", size)
            h = transposed_convolution(h, *for_h, "down_right", size)
        else:
            kept_u, kept_h = kept.pop()
            u = gated_resnet(u, for_u, "down", kept_u, condition)
            h = gated_resnet(h, for_h, "down_right", np.concatenate([u, kept_h], axis=-1), condition)
    assert not kept, "each of the features that are kept is taken back"
    kernel, bias = weights["to_params"]
    return elu(h) @ kernel + bias


# PixelRNN.


def lstm_unit(gates, cell, num_colors=1):
    """Van den Oord et al., 2016a, eq. 3, for one pixel: state and cell; of each color's gates o, f, i, then g."""
    states, cells = [], []
    for of_color, before in zip(np.split(gates, num_colors), np.split(cell, num_colors), strict=True):
        o, f, i, g = np.split(of_color, 4)
        cells.append(sigmoid(f) * before + sigmoid(i) * np.tanh(g))
        states.append(sigmoid(o) * np.tanh(cells[-1]))
    return np.concatenate(states), np.concatenate(cells)


def row_lstm(x, weights, num_colors=1, condition=None):
    """Section 3.1: the states of the row above are convolved along the row; above the first row they are learned.

    Args:
        x: `(rows, columns, channels)`.
        weights: By name: "input_to_state" and "out", of convolutions; "state_to_state", a kernel `(columns, units,
            gates)`; "initial_h", "initial_cell"; with a condition its kernel "condition_bias". Without
            "out" the hidden states are the output.
        num_colors: How many colors of a pixel come one after the other.
        condition: One vector for all pixels, or one for each; it adds to the gates.
    """
    gates = _gates(x, weights, num_colors, condition)
    kernel = weights["state_to_state"]
    rows, columns = x.shape[:2]
    h, cell = (np.tile(weights[name], (rows + 1, columns, 1)) for name in ("initial_h", "initial_cell"))
    for r, c in np.ndindex(rows, columns):  # row r of the image is row r + 1 of the states
        total = gates[r, c].copy()
        for tap in range(len(kernel)):
            source = c + tap - len(kernel) // 2
            if 0 <= source < columns:
                total += h[r, source] @ kernel[tap]
        h[r + 1, c], cell[r + 1, c] = lstm_unit(total, cell[r, c], num_colors)
    return _added(x, h[1:], weights, num_colors)


def diagonal_bilstm(x, weights, num_colors=1, condition=None):
    """Section 3.2, without diagonals: each pixel follows from its neighbors to the side and above.

    The LSTM from the right is one row late. Outside of the image the states are learned.

    Args:
        x: `(rows, columns, channels)`.
        weights: As in `row_lstm`; "state_to_state" (side and above, `(2 * units, gates)`), "initial_h" and
            "initial_cell" are pairs, for the LSTMs from the left and from the right.
        num_colors: How many colors of a pixel come one after the other.
        condition: One vector for all pixels, or one for each.
    """
    rows, columns = x.shape[:2]
    gates = _gates(x, weights, num_colors, condition).reshape(rows, columns, num_colors, 2, -1)
    states = []
    for number, (side, order) in enumerate([(-1, range(columns)), (1, reversed(range(columns)))]):
        order, own_gates = list(order), gates[:, :, :, number].reshape(rows, columns, -1)
        kernel, h_outside, cell_outside = (weights[n][number] for n in ("state_to_state", "initial_h", "initial_cell"))
        h, cell = np.zeros((rows, columns, len(h_outside))), np.zeros((rows, columns, len(h_outside)))
        for r in range(rows):
            for c in order:
                above = h[r - 1, c] if r > 0 else h_outside
                beside = 0 <= c + side < columns
                to_side = h[r, c + side] if beside else h_outside
                cell_before = cell[r, c + side] if beside else cell_outside
                total = own_gates[r, c] + np.concatenate([to_side, above]) @ kernel
                h[r, c], cell[r, c] = lstm_unit(total, cell_before, num_colors)
        states.append(h)
    from_left, from_right = states
    for r in range(1, rows):
        from_left[r] += from_right[r - 1]
    return _added(x, from_left, weights, num_colors)


def _gates(x, weights, num_colors, condition):
    gates = masked_convolution(x, *weights["input_to_state"], "B", num_colors)
    return gates if condition is None else gates + condition @ weights["condition_bias"]


def _added(x, h, weights, num_colors):
    """Section 3.3: the states grow to the features of the input, and are added to it."""
    return x + masked_convolution(h, *weights["out"], "B", num_colors) if "out" in weights else h


def pixel_rnn(x, stem, layer, layers, hidden, to_params, num_colors=1, condition=None):
    """Table 1: a convolution of mask A, LSTM layers, then twice a ReLU and a 1x1 convolution of mask B.

    Args:
        x: Network inputs, `(rows, columns, channels)`.
        stem: Weights of the first convolution.
        layer: `row_lstm` or `diagonal_bilstm`.
        layers: Weights of each.
        hidden: Weights of the 1x1 convolution.
        to_params: Weights of the last one.
        num_colors: How many colors of a pixel come one after the other.
        condition: What each LSTM layer is given.
    """
    h = masked_convolution(x, *stem, "A", num_colors)
    for weights in layers:
        h = layer(h, weights, num_colors, condition)
    h = masked_convolution(relu(h), *hidden, "B", num_colors)
    return masked_convolution(relu(h), *to_params, "B", num_colors)
