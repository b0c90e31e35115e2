"""What speed is measured by: MADE's training step by hand for each backend, and convolutions as usually masked."""

import importlib
import itertools

import keras
import numpy as np
from keras import ops

from keras_ar import masks

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
    return {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}[backend](weights, connections)


def _jax(weights, connections):
    jax = importlib.import_module("jax")
    jnp = jax.numpy

    def nats(weights, x):
        h = x
        for i, mask in enumerate(connections):
            h = h @ (weights[2 * i] * mask) + weights[2 * i + 1]
            h = jax.nn.relu(h) if i < len(connections) - 1 else h
        return -jax.nn.log_sigmoid((2 * x - 1) * h).sum(axis=1).mean()

    @jax.jit
    def update(state, x):
        weights, m, v, t = state
        x = x.astype(jnp.float32)
        loss, gradients = jax.value_and_grad(nats)(weights, x)
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


def _tensorflow(weights, connections):
    tf = importlib.import_module("tensorflow")
    weights = [tf.Variable(w) for w in weights]
    m, v = ([tf.Variable(tf.zeros_like(w)) for w in weights] for _ in range(2))
    t = tf.Variable(0.0)

    @tf.function
    def step(x):
        x = tf.cast(x, tf.float32)
        with tf.GradientTape() as tape:
            h = x
            for i, mask in enumerate(connections):
                h = h @ (weights[2 * i] * mask) + weights[2 * i + 1]
                h = tf.nn.relu(h) if i < len(connections) - 1 else h
            loss = tf.reduce_mean(tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(x, h), axis=1))
        gradients = tape.gradient(loss, weights)
        t.assign_add(1.0)
        rate = LEARNING_RATE * tf.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        for w, a, b, g in zip(weights, m, v, gradients, strict=True):
            a.assign_add((1 - BETA_1) * (g - a))
            b.assign_add((1 - BETA_2) * (g * g - b))
            w.assign_sub(rate * a / (tf.sqrt(b) + EPSILON))
        return loss

    return step, lambda loss: loss.numpy()


def _torch(weights, connections):
    torch = importlib.import_module("torch")
    weights = [torch.tensor(w, requires_grad=True) for w in weights]
    connections = [torch.tensor(mask) for mask in connections]
    optimizer = torch.optim.Adam(weights, LEARNING_RATE, (BETA_1, BETA_2), EPSILON)

    def step(x):
        x = torch.as_tensor(x).float()
        h = x
        for i, mask in enumerate(connections):
            h = h @ (weights[2 * i] * mask) + weights[2 * i + 1]
            h = torch.relu(h) if i < len(connections) - 1 else h
        loss = torch.nn.functional.binary_cross_entropy_with_logits(h, x, reduction="none").sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, lambda loss: loss.item()


class FullKernelConv2D(keras.layers.Layer):
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


class FullKernelBlock(keras.layers.Layer):
    """The residual block of PixelCNN, of such convolutions."""

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
