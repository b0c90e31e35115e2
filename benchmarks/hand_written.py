"""What speed.py compares with: training steps written by hand for each backend, and full kernels with masks."""

import functools
import importlib
import itertools

import keras
import numpy as np
from keras import ops

from keras_ar import masks
from keras_ar.layers import CausalLayer

LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7


def made_step(backend, num_inputs, hidden_units):
    """A function that takes one Adam step on a batch of binary vectors, and one that waits for it."""
    degrees = [masks.input_degrees(num_inputs)]
    degrees += [masks.even_degrees(units, 1, num_inputs - 1) for units in hidden_units]
    degrees += [masks.output_degrees(num_inputs)]
    connections = [masks.connect(a, b) for a, b in itertools.pairwise(degrees)]
    rng = np.random.default_rng(0)
    weights = []
    for mask in connections:
        limit = np.sqrt(6 / sum(mask.shape))
        weights += [rng.uniform(-limit, limit, mask.shape).astype("float32"), np.zeros(mask.shape[1], "float32")]

    def nats(library, weights, x):
        h = x = library.real(x)
        for i, mask in enumerate(connections):
            h = library.matmul(h, weights[2 * i] * library.constant(mask)) + weights[2 * i + 1]
            h = library.relu(h) if i < len(connections) - 1 else h
        return library.nats_of_bits(h, x)

    return training_step(backend, weights, nats)


def maf_step(backend, num_inputs, units, num_layers):
    """The same for a MAF of real vectors: MADEs of one hidden layer, in the natural order and its reverse in turns."""
    rng = np.random.default_rng(0)
    weights, connections = [], []
    for layer in range(num_layers):
        order = np.arange(num_inputs)[:: (-1) ** layer] + 1
        hidden = np.sort(masks.even_degrees(units, 1, num_inputs - 1))
        connections += [masks.connect(order, hidden), *[masks.connect(hidden, order - 1)] * 2]
        for mask in connections[-3:]:
            limit = np.sqrt(6 / sum(mask.shape))
            weights += [rng.uniform(-limit, limit, mask.shape), np.zeros(mask.shape[1])]

    def nats(library, weights, x):
        z, total = library.real(x), 0.0
        layers = iter(zip(weights[::2], weights[1::2], connections, strict=True))

        def affine(h):
            kernel, bias, mask = next(layers)
            return library.matmul(h, kernel * library.constant(mask)) + bias

        for _ in range(num_layers):
            h = library.relu(affine(z))
            mean, log_scale = affine(h), 3.0 * library.tanh(affine(h) / 3.0)
            z, total = (z - mean) * library.exp(-log_scale), total + log_scale
        return library.mean_of_sums(0.5 * z * z + total)

    return training_step(backend, [w.astype("float32") for w in weights], nats)


def real_nvp_step(backend, num_inputs, units, num_layers):
    """The same for a RealNVP of real vectors: couplings of every other entry, by networks of two hidden layers."""
    rng, half = np.random.default_rng(0), num_inputs // 2
    weights = []
    for _ in range(num_layers):
        for shape in ((half, units), (units, units), (units, half), (units, half)):
            limit = np.sqrt(6 / sum(shape))
            weights += [rng.uniform(-limit, limit, shape), np.zeros(shape[1])]
        weights += [np.zeros(num_inputs), np.zeros(num_inputs)]

    def nats(library, weights, x):
        weights, x, total = iter(weights), library.real(x), 0.0
        halves = [x[:, ::2], x[:, 1::2]]

        def affine(h):
            return library.matmul(h, next(weights)) + next(weights)

        for layer in range(num_layers):
            kept, moved = halves[layer % 2], halves[1 - layer % 2]
            h = library.relu(affine(library.relu(affine(kept))))
            mean, log_scale = affine(h), 3.0 * library.tanh(affine(h) / 3.0)
            moved, total = (moved - mean) * library.exp(-log_scale), total + log_scale
            loc, size = next(weights), next(weights)
            kept = (kept - loc[:half]) * library.exp(-size[:half])
            moved, total = (moved - loc[half:]) * library.exp(-size[half:]), total + size[:half] + size[half:]
            halves = [kept, moved] if layer % 2 == 0 else [moved, kept]
        return library.mean_of_sums(0.5 * (halves[0] ** 2 + halves[1] ** 2) + total)

    return training_step(backend, [w.astype("float32") for w in weights], nats)


def glow_step(backend, shape, filters, num_levels, num_steps):
    """The same for Glow of real images `(batch, rows, columns, channels)`: networks of two 3x3 convolutions."""
    rng, (_, _, channels), weights, sizes = np.random.default_rng(0), shape, [], []
    for _ in range(num_levels):
        channels = 4 * channels
        for _ in range(num_steps):
            weights += [np.zeros(channels), np.zeros(channels)]
            weights += [np.zeros((channels, channels)), np.zeros((channels, channels)), np.zeros(channels)]
            for kernel in ((3, 3, channels // 2, filters), (3, 3, filters, filters)):
                limit = np.sqrt(6 / (9 * sum(kernel[2:])))
                weights += [rng.uniform(-limit, limit, kernel), np.zeros(filters)]
            weights += [np.zeros((filters, channels)), np.zeros(channels)]
        sizes.append(channels)
        channels //= 2

    def nats(library, weights, x):
        weights, x, total = iter(weights), library.real(x), 0.0
        for level, width in enumerate(sizes):
            x = library.join([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)])
            pixels, half = x.shape[1] * x.shape[2], width // 2
            for _ in range(num_steps):
                x, log_scale = x - next(weights), next(weights)
                below, above, log_diagonal = next(weights), next(weights), next(weights)
                lower = library.constant(np.tri(width, k=-1, dtype="float32"))
                identity = library.constant(np.eye(width, dtype="float32"))
                mixing = library.matmul(
                    below * lower + identity, above * library.transpose(lower) + identity * library.exp(log_diagonal)
                )
                x = library.matmul(x * library.exp(-log_scale), mixing)
                h = library.relu(library.convolve_image(x[..., :half], next(weights)) + next(weights))
                h = library.relu(library.convolve_image(h, next(weights)) + next(weights))
                h = library.matmul(h, next(weights)) + next(weights)
                bounded = 3.0 * library.tanh(h[..., half:] / 3.0)
                x = library.join([x[..., :half], (x[..., half:] - h[..., :half]) * library.exp(-bounded)])
                total = total + library.sum_of_each(bounded) + pixels * (log_scale - log_diagonal).sum()
            if level + 1 < len(sizes):
                total, x = total + 0.5 * library.sum_of_each(x[..., half:] ** 2), x[..., :half]
        return (total + 0.5 * library.sum_of_each(x**2)).mean()

    return training_step(backend, [w.astype("float32") for w in weights], nats)


def flow_plus_plus_step(backend, shape, filters, num_layers, num_heads, num_components):
    """The same for couplings of Flow++ on a checkerboard of real images of one channel, with a block each."""
    rng, (rows, columns, _), weights = np.random.default_rng(0), shape, []
    num_params = 3 * num_components + 2

    def random(*kernel):
        limit = np.sqrt(6 / (np.prod(kernel[:-2]) * sum(kernel[-2:])))
        weights.extend([rng.uniform(-limit, limit, kernel), np.zeros(kernel[-1])])

    for _ in range(num_layers):
        weights.extend([np.zeros(1), np.zeros(1)])
        random(3, 3, 1, filters)
        random(3, 3, 2 * filters, filters)
        random(2 * filters, 2 * filters)
        weights.extend([np.ones(filters), np.zeros(filters)])
        weights.append(0.01 * rng.normal(size=(rows * columns, filters)))
        for _ in range(4):
            random(filters, filters)
        random(filters, 2 * filters)
        weights.extend([np.ones(filters), np.zeros(filters)])
        weights.extend([np.zeros((filters, num_params)), np.zeros(num_params)])
    anchors = np.linspace(-1.0, 1.0, num_components).astype("float32")
    color = (np.indices((rows, columns)).sum(axis=0) % 2).astype("float32")[..., None]

    def nats(library, weights, x):
        weights, x, total = iter(weights), library.real(x), 0.0

        def affine(h):
            return library.matmul(h, next(weights)) + next(weights)

        def convolve(h):
            return library.convolve_image(h, next(weights)) + next(weights)

        def gated(h):
            return h[..., :filters] * library.sigmoid(h[..., filters:])

        def both(h):
            return library.elu(library.join([h, -h]))

        def normalized(h):
            h = h - h.mean(-1)[..., None]
            return h / ((h**2).mean(-1)[..., None] + 1e-3) ** 0.5 * next(weights) + next(weights)

        def by_head(h):
            return library.swap(h.reshape(-1, rows * columns, num_heads, filters // num_heads))

        for layer in range(num_layers):
            loc, log_scale = next(weights), next(weights)
            x, total = (x - loc) * library.exp(-log_scale), total + rows * columns * log_scale.sum()
            is_kept = library.constant(color if layer % 2 else 1.0 - color)
            h = convolve(x * is_kept)
            h = normalized(h + gated(affine(both(convolve(both(h))))))
            places = h.reshape(-1, rows * columns, filters) + next(weights)
            queries, keys, values = (by_head(affine(places)) for _ in range(3))
            found = library.attend(queries, keys, values)
            found = affine(library.swap(found).reshape(-1, rows * columns, filters))
            h = normalized(h + gated(affine(found)).reshape(-1, rows, columns, filters))
            params = affine(h)
            k = num_components
            scales = 3.0 * library.tanh(params[..., 2 * k : 3 * k] / 3.0)
            standard = (x - params[..., k : 2 * k] - library.constant(anchors)) * library.exp(-scales)
            weight = library.log_softmax(params[..., :k])
            below, above = library.log_sigmoid(standard), library.log_sigmoid(-standard)
            of_below, of_above = library.logsumexp(weight + below), library.logsumexp(weight + above)
            log_slope = library.logsumexp(weight + below + above - scales) - of_below - of_above
            stretch = 3.0 * library.tanh(params[..., -1] / 3.0)
            z = params[..., -2] + library.exp(stretch) * (of_below - of_above)
            x = x * is_kept + z[..., None] * (1.0 - is_kept)
            total = total - library.sum_of_each((log_slope + stretch)[..., None] * (1.0 - is_kept))
        return (total + 0.5 * library.sum_of_each(x**2)).mean()

    return training_step(backend, [w.astype("float32") for w in weights], nats)


def wavenet_step(backend, form, filters, dilations, num_levels):
    """The same for WaveNet of kernels of 2 taps, whose convolutions have the form "convolution" or "products"."""
    rng = np.random.default_rng(0)

    def kernel(*shape):
        limit = np.sqrt(6 / (np.prod(shape[:-1]) + np.prod(shape) / shape[-2]))
        return [rng.uniform(-limit, limit, shape).astype("float32"), np.zeros(shape[-1], "float32")]

    weights = kernel(2, 1, filters)
    for _ in dilations:
        weights += kernel(2, filters, 2 * filters) + kernel(filters, 2 * filters)
    weights += kernel(filters, filters) + kernel(filters, num_levels)

    def nats(library, weights, x):
        weights = iter(weights)
        convolve = getattr(library, form)

        def affine(h):
            return library.matmul(h, next(weights)) + next(weights)

        levels = library.integer(x)
        h = library.real(x)[..., None] * (2.0 / (num_levels - 1)) - 1.0
        h = convolve(library.later(h, 1), next(weights), 1) + next(weights)
        total = 0.0
        for dilation in dilations:
            gates = convolve(h, next(weights), dilation) + next(weights)
            out = affine(library.tanh(gates[..., :filters]) * library.sigmoid(gates[..., filters:]))
            h, total = h + out[..., :filters], total + out[..., filters:]
        return library.nats_of_levels(affine(library.relu(affine(library.relu(total)))), levels)

    return training_step(backend, weights, nats)


def pixel_cnn_step(backend, filters, num_blocks):
    """The same for PixelCNN of binary images `(batch, rows, columns)`, as usually written: full kernels, masked."""
    rng = np.random.default_rng(0)
    weights, kernel_masks = [], []

    def convolution(size, inputs, outputs, first=False):
        limit = np.sqrt(6 / (size * size * (inputs + outputs)))
        weights.extend([rng.uniform(-limit, limit, (size, size, inputs, outputs)), np.zeros(outputs)])
        mask = np.ones((size * size, 1, 1), "float32")
        mask[size * size // 2 + (not first) :] = 0
        kernel_masks.append(mask.reshape(size, size, 1, 1))

    convolution(7, 1, filters, first=True)
    for _ in range(num_blocks):
        convolution(1, filters, filters // 2)
        convolution(3, filters // 2, filters // 2)
        convolution(1, filters // 2, filters)
    convolution(1, filters, filters)
    convolution(1, filters, 1)

    def nats(library, weights, x):
        layers = iter(zip(weights[::2], weights[1::2], kernel_masks, strict=True))

        def convolve(h):
            kernel, bias, mask = next(layers)
            return library.convolve_image(h, kernel * library.constant(mask)) + bias

        x = library.real(x)
        h = convolve(x[..., None])
        for _ in range(num_blocks):
            h = h + convolve(library.relu(convolve(library.relu(convolve(library.relu(h))))))
        logits = convolve(library.relu(convolve(library.relu(h))))
        return library.nats_of_bits(library.flat(logits), library.flat(x))

    return training_step(backend, [w.astype("float32") for w in weights], nats)


def pixel_cnn_plus_plus_step(backend, side, filters, num_resnets, num_levels):
    """The same for PixelCNN++ of binary images, without dropout: shifted convolutions of normalized kernels."""
    rng = np.random.default_rng(0)
    weights = []

    def layer(*shape, axis=-1):
        """A direction, a gain and a bias; the outputs are on this axis of the direction."""
        weights.extend([0.05 * rng.normal(size=shape), np.ones(shape[axis]), np.zeros(shape[axis])])

    def resnet(size, shortcut):
        layer(*size, 2 * filters, filters)
        if shortcut:
            layer(2 * shortcut, filters)
        layer(*size, 2 * filters, 2 * filters)

    def level(i):
        for _ in range(num_resnets):
            resnet((2, 3), 0)
            resnet((2, 2), filters)
        if i < num_levels - 1:
            layer(2, 3, filters, filters)
            layer(2, 2, filters, filters)
            level(i + 1)
            layer(2, 3, filters, filters, axis=2)
            layer(2, 2, filters, filters, axis=2)
        for _ in range(num_resnets + (i < num_levels - 1)):
            resnet((2, 3), filters)
            resnet((2, 2), 2 * filters)

    layer(2, 3, 2, filters)
    layer(1, 3, 2, filters)
    layer(2, 1, 2, filters)
    level(0)
    layer(filters, 1)
    logits = pixel_cnn_plus_plus_logits(side, filters, num_resnets, num_levels)

    def nats(library, weights, x):
        x = library.real(x)
        return library.nats_of_bits(logits(library, weights, x), library.flat(x))

    return training_step(backend, [w.astype("float32") for w in weights], nats)


def pixel_cnn_plus_plus_logits(side, filters, num_resnets, num_levels):
    """The logits of all pixels `(batch, pixels)`, as a function of a library, weights and images of real numbers."""

    def logits(library, weights, x):
        layers = iter(zip(weights[::3], weights[1::3], weights[2::3], strict=True))

        def normalized(axis=-1):
            kernel, gain, bias = next(layers)
            others = [i for i in range(len(kernel.shape)) if i != axis % len(kernel.shape)]
            shape = [-1 if i == axis % len(kernel.shape) else 1 for i in range(len(kernel.shape))]
            return kernel * library.fold(gain, shape) / library.norm(kernel, others), bias

        def doubled(h):
            return library.join([library.elu(h), library.elu(-h)])

        def convolve(h, strides=1, shift=(0, 0)):
            """Sees rows above and this one, and columns on both sides (three of them) or to the left."""
            kernel, bias = normalized()
            rows, columns = kernel.shape[:2]
            left, right = (1, 1) if columns == 3 else (columns - 1 + shift[1], -shift[1])
            return library.convolve_padded(h, kernel, (rows - 1 + shift[0], -shift[0]), (left, right), strides) + bias

        def enlarge(h, size):
            kernel, bias = normalized(axis=2)
            first = kernel.shape[1] // 2 if kernel.shape[1] == 3 else 0
            return library.transposed(h, kernel)[:, :size, first : first + size] + bias

        def resnet(h, shortcut=None):
            y = convolve(doubled(h))
            if shortcut is not None:
                kernel, bias = normalized()
                y = y + library.matmul(doubled(shortcut), kernel) + bias
            y = convolve(doubled(y))
            return h + y[..., :filters] * library.sigmoid(y[..., filters:])

        def level(i, u, h):
            kept = [(u, h)]
            for _ in range(num_resnets):
                u = resnet(u)
                h = resnet(h, u)
                kept.append((u, h))
            if i < num_levels - 1:
                size = -(-side // 2**i)
                u, h = convolve(u, 2), convolve(h, 2)
                u, h = level(i + 1, u, h)
                u, h = enlarge(u, size), enlarge(h, size)
            else:
                u, h = kept.pop()
            while kept:
                before_u, before_h = kept.pop()
                u = resnet(u, before_u)
                h = resnet(h, library.join([u, before_h]))
            return u, h

        image = library.stack([x, 0.0 * x + 1.0])
        u = convolve(image, shift=(1, 0))
        h = convolve(image, shift=(1, 0)) + convolve(image, shift=(0, 1))
        _, h = level(0, u, h)
        kernel, bias = normalized()
        return library.flat(library.matmul(library.elu(h), kernel) + bias)

    return logits


def pixel_cnn_plus_plus_pass(backend, weights, side, filters, num_resnets, num_levels):
    """A function of images `(batch, rows, columns)` that returns the logits of all pixels."""
    library = {"jax": _jax_library, "tensorflow": _tensorflow_library, "torch": _torch_library}[backend]()
    logits = pixel_cnn_plus_plus_logits(side, filters, num_resnets, num_levels)
    return library.compiled(lambda weights, x: logits(library, weights, x), weights)


def training_step(backend, weights, nats):
    """One Adam step on a batch, `step(x) -> loss`, and a function that waits for the loss."""
    return {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}[backend](weights, nats)


def _jax_library():
    jax = importlib.import_module("jax")
    jnp = jax.numpy

    class Library:
        def flat(x):
            return x.reshape(x.shape[0], -1)

        matmul, relu, tanh, sigmoid, constant = jnp.matmul, jax.nn.relu, jnp.tanh, jax.nn.sigmoid, jnp.asarray
        exp, transpose, elu, log_sigmoid = jnp.exp, jnp.transpose, jax.nn.elu, jax.nn.log_sigmoid
        log_softmax = jax.nn.log_softmax

        def join(parts):
            return jnp.concatenate(parts, axis=-1)

        def sum_of_each(x):
            return x.reshape(x.shape[0], -1).sum(axis=1)

        def logsumexp(x):
            return jax.nn.logsumexp(x, axis=-1)

        def swap(x):
            return jnp.swapaxes(x, 1, 2)

        def attend(queries, keys, values):
            scores = queries @ jnp.swapaxes(keys, 2, 3) / queries.shape[-1] ** 0.5
            return jax.nn.softmax(scores, axis=-1) @ values

        real, integer = (staticmethod(lambda x, t=t: x.astype(t)) for t in ("float32", "int32"))

        def mean_of_sums(nats):
            return nats.sum(axis=1).mean()

        def nats_of_bits(h, x):
            return -jax.nn.log_sigmoid((2 * x - 1) * h).sum(axis=1).mean()

        def nats_of_levels(h, x):
            chosen = jnp.take_along_axis(h, x[..., None], axis=-1)[..., 0]
            return (jax.nn.logsumexp(h, axis=-1) - chosen).sum(axis=1).mean()

        def later(h, count):
            return jnp.pad(h[:, : h.shape[1] - count], ((0, 0), (count, 0), (0, 0)))

        def products(h, kernel, dilation):
            return jnp.concatenate([Library.later(h, dilation), h], -1) @ kernel.reshape(-1, kernel.shape[-1])

        def convolution(h, kernel, dilation):
            return jax.lax.conv_general_dilated(
                h, kernel, (1,), [(dilation, 0)], rhs_dilation=(dilation,), dimension_numbers=("NWC", "WIO", "NWC")
            )

        def convolve_image(h, kernel):
            return jax.lax.conv_general_dilated(h, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

        fold = jnp.reshape

        def stack(parts):
            return jnp.stack(parts, axis=-1)

        def norm(kernel, axes):
            return jnp.sqrt((kernel**2).sum(axis=tuple(axes), keepdims=True))

        def convolve_padded(h, kernel, rows, columns, strides):
            form = ("NHWC", "HWIO", "NHWC")
            return jax.lax.conv_general_dilated(h, kernel, (strides, strides), (rows, columns), dimension_numbers=form)

        def transposed(h, kernel):
            form = ("NHWC", "HWIO", "NHWC")
            return jax.lax.conv_transpose(h, kernel, (2, 2), "VALID", dimension_numbers=form, transpose_kernel=True)

        def compiled(function, weights):
            function, weights = jax.jit(function), [*map(jnp.asarray, weights)]
            return lambda x: np.asarray(function(weights, x))

    return Library


def _jax(weights, nats):
    jax = importlib.import_module("jax")
    jnp = jax.numpy
    library = _jax_library()

    @jax.jit
    def update(state, x):
        weights, m, v, t = state
        loss, gradients = jax.value_and_grad(lambda weights: nats(library, weights, x))(weights)
        t = t + 1
        rate = LEARNING_RATE * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        m = [BETA_1 * a + (1 - BETA_1) * g for a, g in zip(m, gradients, strict=True)]
        v = [BETA_2 * a + (1 - BETA_2) * g * g for a, g in zip(v, gradients, strict=True)]
        weights = [w - rate * a / (jnp.sqrt(b) + EPSILON) for w, a, b in zip(weights, m, v, strict=True)]
        return (weights, m, v, t), loss

    weights = [jnp.asarray(w) for w in weights]
    zeros = [jnp.zeros_like(w) for w in weights]
    state = (weights, zeros, zeros, jnp.zeros(()))

    def step(x):
        nonlocal state
        state, loss = update(state, x)
        return loss

    return step, jax.block_until_ready


def _tensorflow_library():
    tf = importlib.import_module("tensorflow")

    class Library:
        def flat(x):
            return tf.reshape(x, (tf.shape(x)[0], -1))

        matmul, relu, tanh, sigmoid, constant = tf.matmul, tf.nn.relu, tf.tanh, tf.sigmoid, tf.constant
        exp = tf.exp
        real, integer = (staticmethod(lambda x, t=t: tf.cast(x, t)) for t in ("float32", "int32"))

        def mean_of_sums(nats):
            return tf.reduce_mean(tf.reduce_sum(nats, axis=1))

        def nats_of_bits(h, x):
            return tf.reduce_mean(tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(x, h), axis=1))

        def nats_of_levels(h, x):
            nats = tf.nn.sparse_softmax_cross_entropy_with_logits(x, h)
            return tf.reduce_mean(tf.reduce_sum(nats, axis=1))

        def later(h, count):
            return tf.pad(h[:, : h.shape[1] - count], ((0, 0), (count, 0), (0, 0)))

        def products(h, kernel, dilation):
            return tf.concat([Library.later(h, dilation), h], -1) @ tf.reshape(kernel, (-1, kernel.shape[-1]))

        def convolution(h, kernel, dilation):
            padded = tf.pad(h, ((0, 0), (dilation, 0), (0, 0)))
            return tf.nn.conv1d(padded, kernel, 1, "VALID", dilations=dilation)

        def convolve_image(h, kernel):
            return tf.nn.conv2d(h, kernel, 1, "SAME")

        elu, fold = tf.nn.elu, tf.reshape
        join, stack = functools.partial(tf.concat, axis=-1), functools.partial(tf.stack, axis=-1)

        def norm(kernel, axes):
            return tf.sqrt(tf.reduce_sum(kernel**2, axis=axes, keepdims=True))

        def convolve_padded(h, kernel, rows, columns, strides):
            if rows[1] < 0 or columns[1] < 0:  # shifted out of the image
                h = h[:, : h.shape[1] + min(rows[1], 0), : h.shape[2] + min(columns[1], 0)]
            h = tf.pad(h, ((0, 0), (rows[0], max(rows[1], 0)), (columns[0], max(columns[1], 0)), (0, 0)))
            return tf.nn.conv2d(h, kernel, strides, "VALID")

        def transposed(h, kernel):
            shape = (tf.shape(h)[0], 2 * h.shape[1], 2 * h.shape[2] + kernel.shape[1] - 2, kernel.shape[2])
            return tf.nn.conv2d_transpose(h, kernel, shape, 2, "VALID")

        def compiled(function, weights):
            function, weights = tf.function(function), [*map(tf.constant, weights)]
            return lambda x: function(weights, tf.constant(x)).numpy()

    return Library


def _tensorflow(weights, nats):
    tf = importlib.import_module("tensorflow")
    library = _tensorflow_library()
    weights = [tf.Variable(w) for w in weights]
    m, v = ([tf.Variable(tf.zeros_like(w)) for w in weights] for _ in range(2))
    t = tf.Variable(0.0)

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = nats(library, weights, x)
        gradients = tape.gradient(loss, weights)
        t.assign_add(1.0)
        rate = LEARNING_RATE * tf.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        for w, a, b, g in zip(weights, m, v, gradients, strict=True):
            a.assign_add((1 - BETA_1) * (g - a))
            b.assign_add((1 - BETA_2) * (g * g - b))
            w.assign_sub(rate * a / (tf.sqrt(b) + EPSILON))
        return loss

    return step, lambda loss: loss.numpy()


def _torch_library():
    torch = importlib.import_module("torch")
    functional = torch.nn.functional
    device = "cuda" if torch.cuda.is_available() else "cpu"

    class Library:
        def flat(x):
            return x.reshape(x.shape[0], -1)

        matmul, relu, tanh, sigmoid, exp = torch.matmul, torch.relu, torch.tanh, torch.sigmoid, torch.exp
        transpose, elu, log_sigmoid = torch.t, functional.elu, functional.logsigmoid
        log_softmax, logsumexp = (
            functools.partial(torch.log_softmax, dim=-1),
            functools.partial(torch.logsumexp, dim=-1),
        )
        join, swap = functools.partial(torch.cat, dim=-1), functools.partial(torch.transpose, dim0=1, dim1=2)
        attend = functional.scaled_dot_product_attention

        def sum_of_each(x):
            return x.reshape(x.shape[0], -1).sum(dim=1)

        constant = functools.partial(torch.tensor, device=device)
        real, integer = (
            staticmethod(lambda x, t=t: torch.as_tensor(x, device=device).to(t)) for t in (torch.float32, torch.int64)
        )

        def mean_of_sums(nats):
            return nats.sum(dim=1).mean()

        def nats_of_bits(h, x):
            return functional.binary_cross_entropy_with_logits(h, x, reduction="none").sum(dim=1).mean()

        def nats_of_levels(h, x):
            return functional.cross_entropy(h.transpose(1, 2), x, reduction="none").sum(dim=1).mean()

        def later(h, count):
            return functional.pad(h[:, : h.shape[1] - count], (0, 0, count, 0))

        def products(h, kernel, dilation):
            return torch.cat([Library.later(h, dilation), h], -1) @ kernel.reshape(-1, kernel.shape[-1])

        def convolution(h, kernel, dilation):
            padded = functional.pad(h.transpose(1, 2), (dilation, 0))
            return functional.conv1d(padded, kernel.permute(2, 1, 0), dilation=dilation).transpose(1, 2)

        def convolve_image(h, kernel):
            h, kernel = h.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)
            return functional.conv2d(h, kernel, padding="same").permute(0, 2, 3, 1)

        fold, stack = torch.reshape, functools.partial(torch.stack, dim=-1)

        def norm(kernel, axes):
            return torch.linalg.vector_norm(kernel, dim=axes, keepdim=True)

        def convolve_padded(h, kernel, rows, columns, strides):
            h = functional.pad(h.permute(0, 3, 1, 2), (*columns, *rows))
            return functional.conv2d(h, kernel.permute(3, 2, 0, 1), stride=strides).permute(0, 2, 3, 1)

        def transposed(h, kernel):
            h, kernel = h.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)
            return functional.conv_transpose2d(h, kernel, stride=2).permute(0, 2, 3, 1)

        def compiled(function, weights):
            weights = [torch.tensor(w, device=device) for w in weights]

            @torch.no_grad()
            def run(x):
                return function(weights, torch.tensor(x, device=device)).cpu().numpy()

            return run

    return Library


def _torch(weights, nats):
    torch = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    library = _torch_library()
    weights = [torch.tensor(w, requires_grad=True, device=device) for w in weights]
    optimizer = torch.optim.Adam(weights, LEARNING_RATE, (BETA_1, BETA_2), EPSILON)

    def step(x):
        loss = nats(library, weights, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, lambda loss: loss.item()


def nade_scores(backend, kernel, bias, output_kernel, output_bias):
    """NADE's log-likelihoods: a function of binary vectors that goes through the positions one after the other."""
    weights = (kernel, bias, output_kernel, output_bias[:, 0])
    return {"jax": _nade_jax, "tensorflow": _nade_tensorflow, "torch": _nade_torch}[backend](*weights)


def _nade_jax(w, c, v, b):
    jax = importlib.import_module("jax")

    @jax.jit
    def score(x):
        x = x.astype("float32")

        def position(activation, row):
            bits, w, v = row
            return activation + bits[:, None] * w, jax.nn.sigmoid(activation) @ v

        activation = jax.numpy.zeros((len(x), 1)) + c
        logits = jax.lax.scan(position, activation, (x.T, w, v))[1].T + b
        return jax.nn.log_sigmoid((2 * x - 1) * logits).sum(axis=1)

    return lambda x: np.asarray(score(x))


def _nade_tensorflow(w, c, v, b):
    tf = importlib.import_module("tensorflow")
    w, c, v, b = map(tf.constant, (w, c, v, b))

    @tf.function(jit_compile=True)
    def score(x):
        x = tf.cast(x, "float32")

        def position(i, activation, logits):
            logits = logits.write(i, tf.linalg.matvec(tf.sigmoid(activation), v[i]))
            return i + 1, activation + x[:, i, None] * w[i], logits

        start = (0, tf.zeros((len(x), 1)) + c, tf.TensorArray("float32", len(w), element_shape=x.shape[:1]))
        *_, logits = tf.while_loop(lambda i, *_: i < len(w), position, start, maximum_iterations=len(w))
        logits = tf.transpose(logits.stack()) + b
        return tf.reduce_sum(tf.math.log_sigmoid((2 * x - 1) * logits), axis=1)

    return lambda x: score(tf.constant(x)).numpy()


def _nade_torch(w, c, v, b):
    torch = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    w, c, v, b = (torch.tensor(weight, device=device) for weight in (w, c, v, b))

    @torch.no_grad()
    def score(x):
        x = torch.as_tensor(x, device=device).to(torch.float32)
        activation, logits = c.expand(len(x), -1), []
        for i in range(len(w)):
            logits.append(torch.sigmoid(activation) @ v[i])
            activation = activation + x[:, i, None] * w[i]
        logits = torch.stack(logits, dim=1) + b
        return torch.nn.functional.logsigmoid((2 * x - 1) * logits).sum(dim=1).cpu().numpy()

    return score


def nade_gradient(backend, kernel, bias, output_kernel, output_bias):
    """The gradient of NADE's nats, summed over binary vectors, by these weights: one position after the other and back.

    What the hidden units sum up is not kept: on the way back each position takes away what it had added.
    """
    weights = (kernel, bias, output_kernel, output_bias[:, 0])
    return {"jax": _nade_back_jax, "tensorflow": _nade_back_tensorflow, "torch": _nade_back_torch}[backend](*weights)


def _nade_back_jax(*weights):
    jax = importlib.import_module("jax")

    @jax.jit
    def gradient(x, w, c, v, b):
        def forward(activation, row):
            bits, w, v, b = row
            return activation + bits[:, None] * w, jax.nn.sigmoid(activation) @ v + b

        def backward(carry, row):
            activation, slope = carry
            bits, logits, w, v = row
            of_kernel, activation = bits @ slope, activation - bits[:, None] * w
            hidden, error = jax.nn.sigmoid(activation), jax.nn.sigmoid(logits) - bits
            slope = slope + error[:, None] * v * hidden * (1.0 - hidden)
            return (activation, slope), (of_kernel, error @ hidden, error.sum())

        activation, logits = jax.lax.scan(forward, jax.numpy.zeros((len(x), 1)) + c, (x.T, w, v, b))
        start = (activation, jax.numpy.zeros_like(activation))
        (_, slope), found = jax.lax.scan(backward, start, (x.T, logits, w, v), reverse=True)
        return found[0], slope.sum(axis=0), *found[1:]

    weights = [*map(jax.numpy.asarray, weights)]
    return lambda x: [*map(np.asarray, gradient(x, *weights))]


def _nade_back_tensorflow(*weights):
    tf = importlib.import_module("tensorflow")
    weights = [*map(tf.constant, weights)]

    @tf.function(jit_compile=True)
    def gradient(x, w, c, v, b):
        size, units = w.shape

        def forward(i, activation, logits):
            logits = logits.write(i, tf.linalg.matvec(tf.sigmoid(activation), v[i]) + b[i])
            return i + 1, activation + x[:, i, None] * w[i], logits

        def backward(i, activation, slope, *found):
            bits = x[:, i]
            of_kernel, activation = tf.linalg.matvec(slope, bits, transpose_a=True), activation - bits[:, None] * w[i]
            hidden, error = tf.sigmoid(activation), tf.sigmoid(logits.read(i)) - bits
            slope = slope + error[:, None] * v[i] * hidden * (1.0 - hidden)
            rows = (of_kernel, tf.linalg.matvec(hidden, error, transpose_a=True), tf.reduce_sum(error))
            return i - 1, activation, slope, *(each.write(i, row) for each, row in zip(found, rows, strict=True))

        def array(*shape):
            return tf.TensorArray("float32", size, element_shape=shape)

        start = (0, tf.zeros((len(x), 1)) + c, array(len(x)))
        _, activation, logits = tf.while_loop(lambda i, *_: i < size, forward, start, maximum_iterations=size)
        start = (size - 1, activation, tf.zeros_like(activation), array(units), array(units), array())
        _, _, slope, *found = tf.while_loop(lambda i, *_: i >= 0, backward, start, maximum_iterations=size)
        return [found[0].stack(), tf.reduce_sum(slope, axis=0), found[1].stack(), found[2].stack()]

    return lambda x: [each.numpy() for each in gradient(tf.constant(x), *weights)]


def _nade_back_torch(*weights):
    torch = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    w, c, v, b = (torch.tensor(weight, device=device) for weight in weights)

    @torch.no_grad()
    def gradient(x):
        x = torch.as_tensor(x, device=device).T.contiguous()
        activation, logits = c.expand(x.shape[1], -1), []
        for i, bits in enumerate(x):
            logits.append(torch.sigmoid(activation) @ v[i] + b[i])
            activation = torch.addcmul(activation, bits[:, None], w[i])
        errors = torch.sigmoid(torch.stack(logits)) - x
        of_w, of_v, slope = torch.empty_like(w), torch.empty_like(v), torch.zeros_like(activation)
        for i in reversed(range(len(x))):
            of_w[i] = x[i] @ slope
            activation = torch.addcmul(activation, x[i][:, None], w[i], value=-1)
            hidden = torch.sigmoid(activation)
            of_v[i] = errors[i] @ hidden
            slope = torch.addcmul(slope, errors[i][:, None] * v[i], hidden - hidden * hidden)
        return [each.cpu().numpy() for each in (of_w, slope.sum(dim=0), of_v, errors.sum(dim=1))]

    return gradient


class PlainVAE(keras.Model):
    """A VAE as Keras users write one: two hidden layers, a normal posterior, bits, two metrics beside the loss."""

    def __init__(self, num_inputs, units, latent_dims):
        super().__init__()
        self.num_inputs = num_inputs
        self.encoder = keras.layers.Dense(units, activation="relu")
        self.mean, self.log_variance = keras.layers.Dense(latent_dims), keras.layers.Dense(latent_dims)
        self.decoder = keras.layers.Dense(units, activation="relu")
        self.probabilities = keras.layers.Dense(num_inputs, activation="sigmoid")
        self.noise = keras.random.SeedGenerator(0)
        self.parts = [keras.metrics.Mean(name=name) for name in ("reconstruction", "kl")]

    def call(self, x):
        features = self.encoder(x)
        mean, log_variance = self.mean(features), self.log_variance(features)
        z = mean + ops.exp(0.5 * log_variance) * keras.random.normal(ops.shape(mean), seed=self.noise)
        return self.probabilities(self.decoder(z)), mean, log_variance

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        probabilities, mean, log_variance = y_pred
        kl = 0.5 * ops.sum(ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance, axis=1)
        losses = [self.num_inputs * ops.mean(keras.losses.binary_crossentropy(x, probabilities)), ops.mean(kl)]
        for metric, loss in zip(self.parts, losses, strict=True):
            metric.update_state(loss)
        return sum(losses)


class FullKernelConv2D(CausalLayer):
    """A masked convolution as it is usually written: the whole kernel, most of it multiplied by zero."""

    def __init__(self, filters, kernel_size, mask_type, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.strict = filters, kernel_size, mask_type == "A"
        self.activation = keras.activations.get(activation)

    def build(self, shape):
        k, middle = self.kernel_size, self.kernel_size // 2
        self.kernel = self.add_weight((k, k, shape[-1], self.filters), "glorot_uniform", name="kernel")
        self.bias = self.add_weight((self.filters,), "zeros", name="bias")
        self.mask = np.ones((k, k, 1, 1), "float32")
        self.mask[middle, middle + (not self.strict) :] = 0
        self.mask[middle + 1 :] = 0

    def call(self, x):
        kernel = ops.multiply(self.kernel, self.mask)
        return self.activation(ops.conv(x, kernel, padding="same", data_format="channels_last") + self.bias)

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.filters)


class FullKernelBlock(CausalLayer):
    """The residual block of PixelCNN, made of such convolutions."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        sizes = ((filters // 2, 1, "relu"), (filters // 2, 3, "relu"), (filters, 1, None))
        self.convolutions = [FullKernelConv2D(n, size, "B", activation) for n, size, activation in sizes]

    def build(self, shape):
        for layer in self.convolutions:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, x):
        h = ops.relu(x)
        for layer in self.convolutions:
            h = layer(h)
        return x + h

    def compute_output_shape(self, shape):
        return shape


def pixel_cnn_layers(filters, num_blocks):
    """The layers of `PixelCNN`, with full kernels."""
    return [
        FullKernelConv2D(filters, 7, "A"),
        *(FullKernelBlock(filters) for _ in range(num_blocks)),
        keras.layers.ReLU(),
        FullKernelConv2D(filters, 1, "B", "relu"),
    ]
