"""What speed.py compares draws with: the steps of MADE, NADE, PixelCNN and WaveNet written by hand for each backend.

Those of PixelCNN++ are whole passes, as is usual. They take a model's weights and noise, and must draw what it draws.
"""

import importlib

import hand_written
import numpy as np

__all__ = ["made", "nade", "pixel_cnn", "pixel_cnn_plus_plus", "wavenet"]


def made(backend, model):
    """A function of noise `(steps, batch)` that draws from MADE: each unit is computed when its inputs are known."""
    kernels = [np.asarray(w) for w in model.get_weights()[::2]]
    biases = [np.asarray(w) for w in model.get_weights()[1::2]]
    layers = [*model.hidden, model.output_layer]
    kernels = [(kernel * layer.mask).T for kernel, layer in zip(kernels, layers, strict=True)]
    # At step t a layer computes the units of degree t, of which there is at most one; the last row stands for none.
    units = []
    for degrees in model.hidden_degrees:
        unit = np.full(model.num_steps, len(degrees), "int32")
        unit[degrees] = np.arange(len(degrees), dtype="int32")
        assert len(set(degrees)) == len(degrees)
        units.append(unit)
    library = _library(backend)
    kernels = [library.constant(np.pad(kernel, ((0, 1), (0, 0)))) for kernel in kernels]
    biases = [library.constant(np.pad(bias, (0, 1))) for bias in biases]
    tables = [library.constant(unit) for unit in units]

    def draw(uniforms):
        batch = uniforms.shape[1]

        def step(t, carry):
            x, bits, *hidden = carry
            below, found = x, []
            for kernel, bias, table, known in zip(kernels, biases, tables, hidden, strict=False):
                unit = table[t]
                h = library.relu(library.dot(kernel[unit], below[: kernel.shape[1]]) + bias[unit])
                below = library.put(known, unit, h)
                found.append(below)
            logit = library.dot(kernels[-1][t], below[: kernels[-1].shape[1]]) + biases[-1][t]
            bit = library.real(library.logit(uniforms[t]) > -logit)
            return (library.put(x, t, bit), library.put(bits, t, bit), *found)

        zeros = [library.zeros(model.num_steps, batch)] * 2
        zeros += [library.zeros(len(degrees) + 1, batch) for degrees in model.hidden_degrees]
        return library.loop(model.num_steps, step, tuple(zeros))[1]

    return library.compiled(draw)


def nade(backend, model):
    """A function of noise `(steps, batch)` that draws from NADE of sigmoids."""
    library = _library(backend)
    w, c, v, b = (library.constant(np.asarray(weight)) for weight in model.get_weights())

    def draw(uniforms):
        def step(t, carry):
            activation, bits = carry
            logit = library.dot(library.sigmoid(activation), v[t]) + b[t]
            bit = library.real(library.logit(uniforms[t]) > -logit)
            return activation + bit[:, None] * w[t], library.put(bits, t, bit)

        batch = uniforms.shape[1]
        start = library.zeros(batch, model.units) + c, library.zeros(model.num_steps, batch)
        return library.loop(model.num_steps, step, start)[1]

    return library.compiled(draw)


def pixel_cnn(backend, model):
    """A function of noise `(pixels, batch)` that draws from PixelCNN: each block keeps what it computed of pixels."""
    library = _library(backend)
    weights = [library.constant(np.asarray(w)) for w in model.get_weights()]
    (stem, stem_bias), *rest = zip(weights[::2], weights[1::2], strict=True)
    *blocks, hidden, out = rest
    blocks = list(zip(blocks[::3], blocks[1::3], blocks[2::3], strict=True))
    rows, columns = model.event_shape[:2]
    # Of masked kernels the rows up to the pixel's own, and there what is on its left, as models have them.
    reach, near = stem.shape[0] - 1, blocks[0][1][0].shape[0] - 1

    def draw(uniforms):
        batch = uniforms.shape[1]

        def affine(h, layer):
            return h @ library.matrix(layer[0]) + layer[1]

        def step(t, carry):
            image, bits, *maps = carry
            r, c = t // columns, t % columns
            h = library.patch(image, r, c, reach + 1, 2 * reach + 1) @ library.matrix(stem) + stem_bias
            kept = []
            for (narrow, middle, wide), features in zip(blocks, maps, strict=True):
                seen = library.relu(affine(library.relu(h), narrow))
                features = library.put_pixel(features, r + near, c + near, seen)
                kept.append(features)
                around = library.patch(features, r, c, near + 1, 2 * near + 1)
                h = h + affine(library.relu(affine(around, middle)), wide)
            logit = affine(library.relu(affine(library.relu(h), hidden)), out)[:, 0]
            bit = library.real(library.logit(uniforms[t]) > -logit)
            image = library.put_pixel(image, r + reach, c + reach, bit[:, None])
            return (image, library.put(bits, t, bit), *kept)

        image = library.zeros(rows + reach, columns + 2 * reach, batch, 1)
        width = blocks[0][0][0].shape[-1]
        maps = [library.zeros(rows + near, columns + 2 * near, batch, width) for _ in blocks]
        return library.loop(rows * columns, step, (image, library.zeros(*uniforms.shape), *maps))[1]

    return library.compiled(draw)


def pixel_cnn_plus_plus(backend, model):
    """A function of noise `(pixels, batch)` that draws from PixelCNN++: a whole pass for each pixel."""
    side, resnets, levels = model.event_shape[0], model.num_resnets, model.num_levels
    layers = ["stem_vertical", "stem_above", "stem_left", *_layers_of_level("level_0", resnets, levels), "to_params"]
    by_path = dict(zip((w.path.partition("/")[2] for w in model.weights), model.get_weights(), strict=True))
    weights = [by_path[f"{layer}/{part}"] for layer in layers for part in ("kernel", "gain", "bias")]
    logits = hand_written.pixel_cnn_plus_plus_pass(backend, weights, side, model.filters, resnets, levels)

    def draw(uniforms):
        images = np.zeros((uniforms.shape[1], side, side), "float32")
        least = np.log1p(-uniforms) - np.log(uniforms)  # what a logit has to exceed
        for t, row in enumerate(least):
            images[:, t // side, t % side] = logits(images)[:, t] > row
        return images.reshape(len(images), -1).T

    return draw


def _layers_of_level(path, resnets, levels):
    """The layers of a level and of those within it, in the order in which a pass takes them."""
    is_last = levels == 1
    yield from (
        f"{path}/down_{stream}_{i}/{layer}"
        for i in range(resnets)
        for stream, layers in (("u", ("first", "second")), ("h", ("first", "from_shortcut", "second")))
        for layer in layers
    )
    if not is_last:
        yield from (f"{path}/downsample_{stream}" for stream in "uh")
        yield from _layers_of_level(f"{path}/level_{int(path[-1]) + 1}", resnets, levels - 1)
        yield from (f"{path}/upsample_{stream}" for stream in "uh")
    yield from (
        f"{path}/up_{stream}_{i}/{layer}"
        for i in range(resnets + (not is_last))
        for stream in "uh"
        for layer in ("first", "from_shortcut", "second")
    )


def wavenet(backend, model):
    """A function of noise `(steps, batch)` that draws from WaveNet of kernels of 2 taps, with a ring for each block."""
    library = _library(backend)
    n, levels = model.filters, model.head.num_levels
    weights = [library.constant(np.asarray(w)) for w in model.get_weights()]
    (stem, stem_bias), *rest = zip(weights[::2], weights[1::2], strict=True)
    *blocks, (hidden, hidden_bias), (out, out_bias) = rest
    blocks = list(zip(blocks[::2], blocks[1::2], strict=True))

    def draw(uniforms):
        batch = uniforms.shape[1]

        def step(t, carry):
            before, last, drawn, *rings = carry
            x, total, kept = before[:, None] * stem[0] + last[:, None] * stem[1] + stem_bias, 0.0, []
            for dilation, ring, ((kernel, bias), (mix, mix_bias)) in zip(model.dilations, rings, blocks, strict=True):
                gates = ring[t % dilation] @ kernel[0] + x @ kernel[1] + bias
                kept.append(library.put(ring, t % dilation, x))
                mixed = (library.tanh(gates[:, :n]) * library.sigmoid(gates[:, n:])) @ mix + mix_bias
                x, total = x + mixed[:, :n], total + mixed[:, n:]
            logits = library.relu(library.relu(total) @ hidden + hidden_bias) @ out + out_bias
            level = library.level(logits, uniforms[t])
            scaled = library.real(level) * (2.0 / (levels - 1)) - 1.0
            return (last, scaled, library.put(drawn, t, library.real(level)), *kept)

        rings = [library.zeros(dilation, batch, n) for dilation in model.dilations]
        start = (library.zeros(batch), library.zeros(batch), library.zeros(*uniforms.shape), *rings)
        return library.loop(uniforms.shape[0], step, start)[2]

    return library.compiled(draw)


def _library(backend):
    return {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}[backend]()


def _jax():
    jax = importlib.import_module("jax")
    jnp = jax.numpy

    class Library:
        relu, sigmoid, tanh, constant = jax.nn.relu, jax.nn.sigmoid, jnp.tanh, jnp.asarray
        dot = jnp.matmul

        def zeros(*shape):
            return jnp.zeros(shape)

        def real(x):
            return x.astype("float32")

        def logit(u):
            return jnp.log(u) - jnp.log1p(-u)

        def put(x, row, values):
            return x.at[row].set(values)

        def matrix(kernel):
            return kernel.reshape(-1, kernel.shape[-1])

        def patch(maps, row, column, height, width):
            batch, features = maps.shape[2:]
            seen = jax.lax.dynamic_slice(maps, (row, column, 0, 0), (height, width, batch, features))
            return seen.transpose(2, 0, 1, 3).reshape(batch, -1)

        def put_pixel(maps, row, column, values):
            return maps.at[row, column].set(values)

        def level(logits, u):
            return (jnp.cumsum(jax.nn.softmax(logits), axis=-1) < u[:, None]).sum(axis=-1)

        def loop(count, step, carry):
            return jax.lax.fori_loop(0, count, step, carry)

        def compiled(draw):
            draw = jax.jit(draw)
            return lambda uniforms: np.asarray(draw(uniforms))

    return Library


def _tensorflow():
    tf = importlib.import_module("tensorflow")

    class Library:
        relu, sigmoid, tanh, constant = tf.nn.relu, tf.sigmoid, tf.tanh, tf.constant

        def zeros(*shape):
            return tf.zeros(shape)

        def real(x):
            return tf.cast(x, "float32")

        def logit(u):
            return tf.math.log(u) - tf.math.log1p(-u)

        def dot(a, b):
            return tf.linalg.matvec(a, b) if len(a.shape) == 2 else tf.linalg.matvec(b, a, transpose_a=True)

        def put(x, row, values):
            return tf.tensor_scatter_nd_update(x, [[row]], [values])

        def matrix(kernel):
            return tf.reshape(kernel, (-1, kernel.shape[-1]))

        def patch(maps, row, column, height, width):
            batch, features = maps.shape[2:]
            seen = tf.slice(maps, (row, column, 0, 0), (height, width, batch, features))
            return tf.reshape(tf.transpose(seen, (2, 0, 1, 3)), (batch, -1))

        def put_pixel(maps, row, column, values):
            return tf.tensor_scatter_nd_update(maps, [[row, column]], [values])

        def level(logits, u):
            return tf.reduce_sum(Library.real(tf.cumsum(tf.nn.softmax(logits), axis=-1) < u[:, None]), axis=-1)

        def loop(count, step, carry):
            def turn(t, *carry):
                return t + 1, *step(t, carry)

            return tf.while_loop(lambda t, *_: t < count, turn, (0, *carry), maximum_iterations=count)[1:]

        def compiled(draw):
            draw = tf.function(draw, jit_compile=True, autograph=False)
            return lambda uniforms: draw(tf.constant(uniforms)).numpy()

    return Library


def _torch():
    torch = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"

    class Library:
        relu, sigmoid, tanh, logit, dot = torch.relu, torch.sigmoid, torch.tanh, torch.logit, torch.matmul

        def constant(x):
            return torch.tensor(x, device=device)

        def zeros(*shape):
            return torch.zeros(shape, device=device)

        def real(x):
            return x.to(torch.float32)

        def put(x, row, values):
            x[row] = values
            return x

        def matrix(kernel):
            return kernel.reshape(-1, kernel.shape[-1])

        def patch(maps, row, column, height, width):
            seen = maps[row : row + height, column : column + width]
            return seen.permute(2, 0, 1, 3).reshape(maps.shape[2], -1)

        def put_pixel(maps, row, column, values):
            maps[row, column] = values
            return maps

        def level(logits, u):
            return (torch.cumsum(torch.softmax(logits, -1), -1) < u[:, None]).sum(dim=-1)

        def loop(count, step, carry):
            carry = tuple(x.clone() for x in carry)
            for t in range(count):
                carry = step(t, carry)
            return carry

        def compiled(draw):
            def run(uniforms):
                with torch.no_grad():
                    return draw(torch.tensor(uniforms, device=device)).cpu().numpy()

            return run

    return Library
