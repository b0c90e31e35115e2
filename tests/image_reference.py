"""The image models once more, straight from the papers' equations: float64 NumPy, one event at a time, in plain loops.

Nothing here knows keras_ar. Weights come in as arrays, a convolution's as the pair
of kernel `(rows, columns, inputs, outputs)` and bias; an image, or the features of
its pixels, is an array `(rows, columns, features)`. Where colours come one after
the other, the features of a pixel are as many equal parts, in their order.

There is no padding, no cropping and no array of masks: a convolution goes through
every pair of a source and a target, asks whether the one may see the other, and
takes the tap of the kernel that lies at their offset.
"""

import math

import numpy as np
from reference import relu, sigmoid

# What a convolution sees.


def masked_convolution(x, kernel, bias, mask_type="B", colours=1, dilation=1):
    """Van den Oord et al., 2016a, section 3.4: what comes earlier is seen; with mask B what stands here, too.

    Args:
        x: `(rows, columns, channels)`.
        kernel: The whole of it, around its centre. What a mask hides is never looked at, and may be NaN.
        bias: `(filters,)`.
        mask_type: "A" or "B".
        colours: How many come one after the other.
        dilation: Spacing of the taps.
    """
    height, width = kernel.shape[:2]
    tap_at = {((a - height // 2) * dilation, (b - width // 2) * dilation): (a, b) for a, b in np.ndindex(height, width)}

    def sees(target, source):
        # Python compares row, then column, then colour: the order in which values are drawn.
        return source < target or (mask_type == "B" and source == target)

    return _convolution(x, kernel, bias, tap_at, sees, colours)


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


def _convolution(x, kernel, bias, tap_at, sees, colours=1, stride=1):
    """Sums what each target sees; sources and targets are `(row, column, colour)`."""
    rows, columns = (math.ceil(n / stride) for n in x.shape[:2])
    x = x.reshape(*x.shape[:2], colours, -1)
    kernel = kernel.reshape(*kernel.shape[:2], colours, x.shape[3], colours, -1)
    y = np.zeros((rows, columns, len(bias))) + bias
    of_colours = y.reshape(rows, columns, colours, -1)
    for i, j, colour in np.ndindex(of_colours.shape[:3]):
        target = (stride * i, stride * j, colour)
        for source in np.ndindex(x.shape[:3]):
            tap = tap_at.get((source[0] - target[0], source[1] - target[1]))
            if tap is not None and sees(target, source):
                of_colours[i, j, colour] += x[source] @ kernel[tap][source[2], :, colour]
    return y


def transposed_convolution(x, kernel, bias, direction, size, stride=2):
    """Input `(i, j)` adds to the outputs `(s i + a, s j + b)`; "down" is centred in its columns.

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


def weight_normalised(direction, gain, outputs_axis=-1):
    """Salimans & Kingma, 2016, eq. 2: `w = g v / |v|`, for each output by itself."""
    v = np.moveaxis(np.asarray(direction, "float64"), outputs_axis, 0)
    w = np.stack([gain[k] * v[k] / math.sqrt(sum(entry**2 for entry in v[k].ravel())) for k in range(len(v))])
    return np.moveaxis(w, 0, outputs_axis)


# PixelCNN.


def residual_block(x, narrow, look, widen, colours=1):
    """Van den Oord et al., 2016a, figure 5, left: a ReLU before each of three convolutions of mask B, and the input."""
    h = x
    for weights in (narrow, look, widen):
        h = masked_convolution(relu(h), *weights, "B", colours)
    return x + h


def pixel_cnn(x, look, blocks, mix, to_params, colours=1, bias=0.0):
    """Van den Oord et al., 2016a, table 1: mask A, residual blocks, then twice a ReLU and a 1x1 convolution of mask B.

    Args:
        x: Network inputs, `(rows, columns, channels)`.
        look: Weights of the first convolution.
        blocks: Those of `residual_block`, of each.
        mix: Weights of the 1x1 convolution.
        to_params: Weights of the last one.
        colours: How many come one after the other.
        bias: What a condition adds behind the first convolution.
    """
    h = masked_convolution(x, *look, "A", colours) + bias
    for weights in blocks:
        h = residual_block(h, *weights, colours)
    h = masked_convolution(relu(h), *mix, "B", colours)
    return masked_convolution(relu(h), *to_params, "B", colours)


# Gated PixelCNN.


def gate(x, squash, colours=1):
    """Van den Oord et al., 2016b, eq. 2: `squash(f) * sigmoid(g)`; of each colour's features f come first, then g."""
    gated = []
    for of_colour in np.split(x, colours, axis=-1):
        f, g = np.split(of_colour, 2, axis=-1)
        gated.append(squash(f) * sigmoid(g))
    return np.concatenate(gated, axis=-1)


def gated_block(v, h, weights, mask_type, colours=1, condition=None):
    """Van den Oord et al., 2016b, figure 2, with conditions as in eqs. 4 and 5.

    The vertical features of a pixel tell what lies in the rows above it. So the first
    block, which takes the image, looks only above; later ones take features that have
    seen no more, those of the own row as well. The figure leaves open where a condition
    enters the link, and has no way from each block to the head: these are choices.

    Args:
        v: Vertical features, or the image.
        h: Horizontal features, or the image.
        weights: By name: "vertical", "horizontal", "link", "skip" and "out"; with a condition also the pair
            "conditions", for the two stacks, of kernels `(features, outputs)`.
        mask_type: "A" for the first block, "B" for others.
        colours: How many come one after the other.
        condition: One vector for all pixels, or one for each.

    Returns:
        Vertical features, horizontal ones, and those for the head.
    """
    v = shifted_convolution(v, *weights["vertical"], "down", strict=mask_type == "A")
    own_row = masked_convolution(h, *weights["horizontal"], mask_type, colours)
    if condition is not None:
        to_vertical, to_horizontal = weights["conditions"]
        v, own_row = v + condition @ to_vertical, own_row + condition @ to_horizontal
    across = v @ weights["link"]  # before the gate, as the figure has it
    gated = gate(own_row + across, np.tanh, colours)
    out = masked_convolution(gated, *weights["out"], "B", colours)
    if mask_type == "B":  # the first has nothing to add to but the image, which a pixel must not see
        out = h + out
    return gate(v, np.tanh), out, masked_convolution(gated, *weights["skip"], "B", colours)


def gated_pixel_cnn(x, blocks, mix, to_params, colours=1, condition=None):
    """A block of mask A, others of mask B; the last features and all skips go through two 1x1 convolutions.

    Args:
        x: Network inputs, `(rows, columns, channels)`.
        blocks: Weights of `gated_block`, of each.
        mix: Weights of the 1x1 convolution.
        to_params: Weights of the last one.
        colours: How many come one after the other.
        condition: One vector for all pixels, or one for each.
    """
    v, h, skips = x, x, []
    for i, weights in enumerate(blocks):
        v, h, skip = gated_block(v, h, weights, "A" if i == 0 else "B", colours, condition)
        skips.append(skip)
    h = masked_convolution(relu(h + sum(skips)), *mix, "B", colours)
    return masked_convolution(relu(h), *to_params, "B", colours)


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
            `(inputs, features)` and a bias; "condition", a kernel `(features, outputs)`.
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
        h = h + condition @ weights["condition"]
    return x + gate(h, lambda f: f)


def pixel_cnn_plus_plus(x, weights, condition=None):
    """Salimans et al., 2017, figure 2: all features are kept on the way down, and taken back on the way up.

    Args:
        x: Network inputs, `(rows, columns, channels)`.
        weights: By name: "vertical", "above" and "left" of the first convolutions; "down" and "up", the lists of
            steps `(kind, for_u, for_h)` in the order in which they are taken; "to_params", kernel and bias.
        condition: Vector that each residual block takes.
    """
    x = np.concatenate([x, np.ones((*x.shape[:2], 1))], axis=-1)  # which tells zeros of the image from what is outside
    u = shifted_convolution(x, *weights["vertical"], "down", strict=True)
    h = shifted_convolution(x, *weights["above"], "down", strict=True)
    h = h + shifted_convolution(x, *weights["left"], "down_right", strict=True)
    kept = [(u, h)]
    for kind, for_u, for_h in weights["down"]:
        if kind == "narrow":
            u = shifted_convolution(u, *for_u, "down", stride=2)
            h = shifted_convolution(h, *for_h, "down_right", stride=2)
        else:
            u = gated_resnet(u, for_u, "down", None, condition)
            h = gated_resnet(h, for_h, "down_right", u, condition)
        kept.append((u, h))
    u, h = kept.pop()
    for kind, for_u, for_h in weights["up"]:
        if kind == "widen":
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


def lstm_unit(gates, cell, colours=1):
    """Van den Oord et al., 2016a, eq. 3, for one pixel: state and cell; of each colour's gates o, f, i, then g."""
    states, cells = [], []
    for of_colour, before in zip(np.split(gates, colours), np.split(cell, colours), strict=True):
        o, f, i, g = np.split(of_colour, 4)
        cells.append(sigmoid(f) * before + sigmoid(i) * np.tanh(g))
        states.append(sigmoid(o) * np.tanh(cells[-1]))
    return np.concatenate(states), np.concatenate(cells)


def row_lstm(x, weights, colours=1, condition=None):
    """Section 3.1: the states of the row above are convolved along the row; above the first row stand learned ones.

    Args:
        x: `(rows, columns, channels)`.
        weights: By name: "input_to_state" and "out", of convolutions; "state_to_state", a kernel `(columns, units,
            gates)`; "initial_h", "initial_cell"; with a condition its kernel "condition". Without "out" the
            states are what comes out.
        colours: How many come one after the other.
        condition: One vector for all pixels, or one for each; it adds to the gates.
    """
    gates = _gates(x, weights, colours, condition)
    kernel = weights["state_to_state"]
    rows, columns = x.shape[:2]
    h, cell = (np.tile(weights[name], (rows + 1, columns, 1)) for name in ("initial_h", "initial_cell"))
    for r, c in np.ndindex(rows, columns):  # row r of the image is row r + 1 of the states
        told = gates[r, c].copy()
        for tap in range(len(kernel)):
            source = c + tap - len(kernel) // 2
            if 0 <= source < columns:
                told += h[r, source] @ kernel[tap]
        h[r + 1, c], cell[r + 1, c] = lstm_unit(told, cell[r, c], colours)
    return _added(x, h[1:], weights, colours)


def diagonal_bilstm(x, weights, colours=1, condition=None):
    """Section 3.2, without diagonals: each pixel follows from its neighbours to the side and above.

    The LSTM from the right is one row late. Outside of the image stand learned states.

    Args:
        x: `(rows, columns, channels)`.
        weights: As in `row_lstm`; "state_to_state" (side and above, `(2 * units, gates)`), "initial_h" and
            "initial_cell" are pairs, for the LSTMs from the left and from the right.
        colours: How many come one after the other.
        condition: One vector for all pixels, or one for each.
    """
    rows, columns = x.shape[:2]
    gates = _gates(x, weights, colours, condition).reshape(rows, columns, colours, 2, -1)
    states = []
    for number, (side, order) in enumerate([(-1, range(columns)), (1, reversed(range(columns)))]):
        order, own = list(order), gates[:, :, :, number].reshape(rows, columns, -1)
        kernel, h_outside, cell_outside = (weights[n][number] for n in ("state_to_state", "initial_h", "initial_cell"))
        h, cell = np.zeros((rows, columns, len(h_outside))), np.zeros((rows, columns, len(h_outside)))
        for r in range(rows):
            for c in order:
                above = h[r - 1, c] if r > 0 else h_outside
                beside = 0 <= c + side < columns
                to_side = h[r, c + side] if beside else h_outside
                cell_before = cell[r, c + side] if beside else cell_outside
                told = own[r, c] + np.concatenate([to_side, above]) @ kernel
                h[r, c], cell[r, c] = lstm_unit(told, cell_before, colours)
        states.append(h)
    from_left, from_right = states
    for r in range(1, rows):
        from_left[r] += from_right[r - 1]
    return _added(x, from_left, weights, colours)


def _gates(x, weights, colours, condition):
    gates = masked_convolution(x, *weights["input_to_state"], "B", colours)
    return gates if condition is None else gates + condition @ weights["condition"]


def _added(x, h, weights, colours):
    """Section 3.3: the states grow to the features of the input, and are added to it."""
    return x + masked_convolution(h, *weights["out"], "B", colours) if "out" in weights else h


def pixel_rnn(x, look, layer, layers, mix, to_params, colours=1, condition=None):
    """Table 1: a convolution of mask A, LSTM layers, then twice a ReLU and a 1x1 convolution of mask B.

    Args:
        x: Network inputs, `(rows, columns, channels)`.
        look: Weights of the first convolution.
        layer: `row_lstm` or `diagonal_bilstm`.
        layers: Weights of each.
        mix: Weights of the 1x1 convolution.
        to_params: Weights of the last one.
        colours: How many come one after the other.
        condition: What each LSTM layer is given.
    """
    h = masked_convolution(x, *look, "A", colours)
    for weights in layers:
        h = layer(h, weights, colours, condition)
    h = masked_convolution(relu(h), *mix, "B", colours)
    return masked_convolution(relu(h), *to_params, "B", colours)
