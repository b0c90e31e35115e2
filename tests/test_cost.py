"""The cost law: drawing n values costs the arithmetic of about one whole pass, counted from shapes."""

import math

import keras
import pytest

from keras_ar import backend, heads, models


@pytest.fixture
def multiply_adds(monkeypatch):
    """Counts the multiply-adds of products and convolutions; loops run as Python loops, so that each turn counts."""
    counted = []
    matmul, conv, conv_transpose = keras.ops.matmul, keras.ops.conv, keras.ops.conv_transpose

    def counting(a, b):
        product = matmul(a, b)
        counted.append(math.prod(size or 1 for size in product.shape) * a.shape[-1])  # building has no batch
        return product

    def counting_conv(x, kernel, *args, **kwargs):
        y = conv(x, kernel, *args, **kwargs)
        counted.append(math.prod(size or 1 for size in y.shape) * math.prod(kernel.shape[:-1]))
        return y

    def counting_conv_transpose(x, kernel, *args, **kwargs):
        counted.append(math.prod(size or 1 for size in x.shape) * math.prod(kernel.shape[:-1]))
        return conv_transpose(x, kernel, *args, **kwargs)

    def python_loop(first, last, body, carry):
        for i in range(int(first), int(last)):
            carry = body(i, carry)
        return carry

    def python_scan(body, carry, xs, recompute=False):
        ys = []
        for i in range(keras.tree.flatten(xs)[0].shape[0]):
            carry, y = body(carry, keras.tree.map_structure(lambda x: x[i], xs))  # noqa: B023
            ys.append(y)
        return carry, keras.tree.map_structure(lambda *ys: keras.ops.stack(ys), *ys)

    monkeypatch.setattr(backend, "scan", python_scan)
    monkeypatch.setattr(keras.ops, "matmul", counting)
    monkeypatch.setattr(keras.ops, "conv", counting_conv)
    monkeypatch.setattr(keras.ops, "conv_transpose", counting_conv_transpose)
    monkeypatch.setattr(keras.ops, "fori_loop", python_loop)
    return counted


def cost_of(function, shape, counted):
    """Multiply-adds of a function of one tensor, found by tracing it: nothing is computed."""

    class Traced(keras.Operation):
        def call(self, x):
            counted.clear()
            return function(x)

    Traced()(keras.KerasTensor(shape))
    return sum(counted)


def cost_of_draw(model, counted):
    def draw(steps):
        state = model.start(1)
        counted.clear()
        for t in range(model.num_steps):
            params, state = model.step(state, t, steps[:, t - 1])
        return params

    return cost_of(draw, (1, model.num_steps, *model.head.event_shape), counted)


def dense_pass(model):
    """Multiply-adds of one pass for one event: an entry of a kernel each, whether masked or not."""
    n, p = model.num_steps, model.head.num_params
    if isinstance(model, models.FVSBN):
        return n * n * p
    return sum(math.prod(v.shape) for v in model.trainable_variables if "kernel" in v.name)


@pytest.mark.parametrize(
    "build",
    [
        lambda n: models.FVSBN(n),
        lambda n: models.NADE(n, units=20),
        lambda n: models.MADE(n, hidden_units=(20, 30)),
        lambda n: models.MADE(n, hidden_units=(50, 20), degrees="random", direct=True),
        lambda n: models.MADE(n, hidden_units=(20, 30), head=heads.Categorical(4)),
    ],
    ids=["fvsbn", "nade", "made", "made-random", "made-levels"],
)
def test_a_draw_costs_about_one_pass(build, multiply_adds):
    costs = {}
    for n in (24, 48):
        model = build(n)
        costs[n] = cost_of_draw(model, multiply_adds) / dense_pass(model)
        assert 0.5 < costs[n] < 1.5, f"a draw of {n} values costs {costs[n]:.2f} passes"
    assert costs[48] < 1.1 * costs[24], "the cost in passes must not grow with n"


@pytest.mark.parametrize(
    "build",
    [
        lambda: models.PixelCNN((3, 5), filters=8, num_blocks=2),
        lambda: models.PixelCNN((3, 3, 3), filters=12, num_blocks=2, head=heads.Categorical(4)),
        lambda: models.GatedPixelCNN((3, 5), filters=8, num_blocks=2, kernel_size=5),
        lambda: models.GatedPixelCNN((3, 3, 3), filters=6, num_blocks=2, head=heads.Categorical(4)),
        lambda: models.PixelCNNPlusPlus((3, 5), filters=4, num_resnets=1, head="bernoulli"),
        lambda: models.PixelCNNPlusPlus((3, 3, 3), filters=4, num_resnets=1, num_levels=2),
        lambda: models.PixelRNN((3, 5), variant="row", units=4, num_layers=2),
        lambda: models.PixelRNN((3, 3, 3), variant="row", units=6, num_layers=1, head=heads.Categorical(4)),
        lambda: models.PixelRNN((5, 4), units=4, num_layers=1),
        lambda: models.PixelRNN((3, 3, 3), units=6, num_layers=1, head=heads.Categorical(4)),
        lambda: models.MultiScalePixelRNN((3, 4), variant="row", units=4, num_layers=1, features=4),
    ],
    ids=[
        *("pixel_cnn", "pixel_cnn-rgb", "gated", "gated-rgb", "plus_plus", "plus_plus-rgb"),
        *("row", "row-rgb", "diagonal", "diagonal-rgb", "multi_scale"),
    ],
)
def test_a_draw_of_an_image_costs_about_one_pass(build, multiply_adds):
    model = build()
    one_pass = cost_of(model, (1, *model.event_shape), multiply_adds)
    ratio = cost_of_draw(model, multiply_adds) / one_pass
    assert 0.5 < ratio < 1.5, f"a draw costs {ratio:.2f} passes"
