"""The cost law: drawing n values costs the arithmetic of about one whole pass, counted from shapes."""

import collections
import math

import keras
import pytest

from keras_ar import backend, bijectors, heads, layers, models

LEVELS = heads.Categorical(4)

pytestmark = pytest.mark.one_backend  # what it counts are calls of `keras.ops`


@pytest.fixture
def counted(monkeypatch):
    """Counts the multiply-adds of products, sums and convolutions, and the numbers that gathers and writes move.

    Loops run as Python loops, so that each turn counts.
    """
    counts, ops = collections.Counter(), dict(vars(keras.ops))

    def counting(name, kind, cost):
        def call(*args, **kwargs):
            result = ops[name](*args, **kwargs)
            counts[kind] += cost(result, *args, **kwargs)
            return result

        monkeypatch.setattr(keras.ops, name, call)

    def einsum_cost(result, subscripts, *tensors):
        letters = dict(
            zip(subscripts.partition("->")[0].replace(",", ""), [n for t in tensors for n in t.shape], strict=True)
        )
        return size_of(letters.values())

    counting("matmul", "multiply-adds", lambda y, a, b: size_of(y.shape) * a.shape[-1])
    counting("einsum", "multiply-adds", einsum_cost)
    counting("sum", "multiply-adds", lambda y, x, *args, **kwargs: size_of(x.shape))
    counting(
        "conv", "multiply-adds", lambda y, x, kernel, *args, **kwargs: size_of(y.shape) * size_of(kernel.shape[:-1])
    )
    counting(
        "conv_transpose",
        "multiply-adds",
        lambda y, x, kernel, *args, **kwargs: size_of(x.shape) * size_of(kernel.shape[:-1]),
    )
    fused = backend.fused_attention

    def fused_attention(queries, keys, values):
        counts["multiply-adds"] += 2 * size_of(queries.shape) * queries.shape[2]
        return fused(queries, keys, values)

    monkeypatch.setattr(backend, "fused_attention", fused_attention)
    counting("take", "moved", lambda y, *args, **kwargs: size_of(y.shape))
    counting("slice_update", "moved", lambda y, x, start, update: size_of(update.shape))
    counting("scatter_update", "moved", lambda y, x, indices, update: size_of(update.shape))

    # Layers of Keras use functions of their own.
    def counting_layer(layer_class, kernels):
        call = layer_class.call

        def counting_call(layer, x, *args, **kwargs):
            counts["multiply-adds"] += size_of(x.shape[:-1]) * sum(size_of(getattr(layer, k).shape) for k in kernels)
            return call(layer, x, *args, **kwargs)

        monkeypatch.setattr(layer_class, "call", counting_call)

    counting_layer(keras.layers.Dense, ["kernel"])
    counting_layer(keras.layers.LSTMCell, ["kernel", "recurrent_kernel"])
    counting_layer(keras.layers.GRUCell, ["kernel", "recurrent_kernel"])

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
    monkeypatch.setattr(keras.ops, "fori_loop", python_loop)
    return counts


def size_of(shape):
    return math.prod(size or 1 for size in shape)  # while a layer is built, a batch has no size


def cost_of(function, shape, counted):
    """Counts of a function of one tensor, found by tracing it: nothing is computed."""

    class Traced(keras.Operation):
        def call(self, x):
            counted.clear()
            return function(x)

    Traced()(keras.KerasTensor(shape))
    return dict(counted)


def cost_of_draw(model, counted):
    def draw(steps):
        constants, state = model.prepare(), model.start(1, model.num_steps)
        counted.clear()
        for t in range(model.num_steps):
            params, state = model.step(constants, state, t, steps[:, t - 1])
        return params

    return cost_of(draw, (1, model.num_steps, *model.head.event_shape), counted)


def cost_of_pass(model, counted):
    if isinstance(model, models.CharRNN):  # whose loop over time is Keras' own: each kernel once a step
        kernels = [v for v in model.trainable_variables if "kernel" in v.name]
        return model.num_steps * sum(size_of(kernel.shape) for kernel in kernels)
    if isinstance(model, models.NADE):  # whose pass is blocked: a product with a triangle of ones is not of the model
        return sum(size_of(v.shape) for v in model.trainable_variables if "kernel" in v.name)
    return cost_of(model, (1, *model.event_shape), counted)["multiply-adds"]


DENSE = {
    "fvsbn": lambda n: models.FVSBN(n),
    "nade": lambda n: models.NADE(n, units=20),
    "nade-levels": lambda n: models.NADE(n, units=20, head=LEVELS),
    "made": lambda n: models.MADE(n, hidden_units=(20, 30)),
    "made-random": lambda n: models.MADE(n, hidden_units=(50, 20), degrees="random", direct=True),
    "made-levels": lambda n: models.MADE(n, hidden_units=(20, 30), head=LEVELS),
    "char_rnn": lambda n: models.CharRNN(n, vocabulary="abc", units=8, embedding_dim=4),
    "char_rnn-gru": lambda n: models.CharRNN(n, vocabulary="abc", units=8, embedding_dim=4, cell="gru"),
    "char_rnn-pointer": lambda n: models.CharRNN(n, vocabulary="abc", units=16, embedding_dim=4, copy_window=8),
    "transformer_decoder": lambda n: models.TransformerDecoder(n, units=8, num_layers=2, num_heads=2, head=LEVELS),
    "transformer_decoder-window": lambda n: models.TransformerDecoder(n, units=8, num_layers=2, num_heads=2, window=8),
    "wavenet": lambda n: models.WaveNet(n, filters=8, dilations=(1, 2, 4, 8)),
    "window_mlp": lambda n: models.WindowMLP(n, window=5, hidden_units=(16, 8), head=LEVELS),
    "causal_sequential": lambda n: models.CausalSequential(
        n,
        layers=[
            layers.CausalConv1D(8, 3, strict=True),
            keras.layers.ReLU(),
            layers.CausalConv1D(8, 3, dilation_rate=2),
        ],
    ),
}


@pytest.mark.parametrize("name", DENSE)
def test_a_draw_costs_about_one_pass(name, counted):
    costs = {}
    for n in (24, 48):
        model = DENSE[name](n)
        draw, one_pass = cost_of_draw(model, counted), cost_of_pass(model, counted)
        costs[n] = draw["multiply-adds"] / one_pass
        assert 0.7 < costs[n] < 1.3, f"a draw of {n} values costs {costs[n]:.2f} passes"
        assert draw.get("moved", 0) < one_pass, f"a draw of {n} values moves {draw['moved']} numbers about"
    assert costs[48] < 1.05 * costs[24], "the cost in passes must not grow with n"


IMAGES = {
    "pixel_cnn": lambda: models.PixelCNN((3, 5), filters=8, num_blocks=2),
    "pixel_cnn-rgb": lambda: models.PixelCNN((3, 3, 3), filters=12, num_blocks=2, head=LEVELS),
    "gated": lambda: models.GatedPixelCNN((3, 5), filters=8, num_blocks=2, kernel_size=5),
    "gated-rgb": lambda: models.GatedPixelCNN((3, 3, 3), filters=6, num_blocks=2, head=LEVELS),
    "snail": lambda: models.PixelSNAIL((3, 5), filters=8, num_blocks=2, num_heads=2),
    "image_transformer": lambda: models.ImageTransformer((3, 4, 3), units=8, num_layers=2, num_heads=2, head=LEVELS),
    "plus_plus": lambda: models.PixelCNNPlusPlus((3, 5), filters=4, num_resnets=1, head="bernoulli"),
    "plus_plus-rgb": lambda: models.PixelCNNPlusPlus((3, 3, 3), filters=4, num_resnets=1, num_levels=2),
    "row": lambda: models.PixelRNN((3, 5), variant="row", units=4, num_layers=2),
    "row-rgb": lambda: models.PixelRNN((3, 3, 3), variant="row", units=6, num_layers=1, head=LEVELS),
    "diagonal": lambda: models.PixelRNN((5, 4), units=4, num_layers=1),
    "diagonal-rgb": lambda: models.PixelRNN((3, 3, 3), units=6, num_layers=1, head=LEVELS),
    "multi_scale": lambda: models.MultiScalePixelRNN((3, 4), variant="row", units=4, num_layers=1, features=4),
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_draw_of_an_image_costs_about_one_pass(name, counted):
    model = IMAGES[name]()
    draw, one_pass = cost_of_draw(model, counted), cost_of_pass(model, counted)
    ratio = draw["multiply-adds"] / one_pass
    assert 0.5 < ratio < 1.3, f"a draw costs {ratio:.2f} passes"
    assert draw.get("moved", 0) < 2 * one_pass, (
        f"a draw moves {draw['moved']} numbers about, in {one_pass} multiply-adds"
    )


ANY_ORDER = {
    "deep_nade": (lambda n: models.DeepNADE(n, hidden_units=20), 0),
    "deep_nade-direct": (lambda n: models.DeepNADE(n, hidden_units=20, direct=True, head=LEVELS), 0),
    "deep_nade-deep": (lambda n: models.DeepNADE(n, hidden_units=(20, 30, 10)), 20 * 30 + 30 * 10),
}


@pytest.mark.parametrize("name", ANY_ORDER)
def test_a_draw_in_any_order_costs_a_pass_and_the_deeper_layers_once_for_each_value(name, counted):
    build, of_deeper_layers = ANY_ORDER[name]
    for n in (24, 48):
        model = build(n)
        one_pass = cost_of(lambda x, m=model: m.conditionals(x, x > 0), (1, n), counted)["multiply-adds"]

        def draw(x, m=model):
            constants, state = m.prepare(), m.start(1)
            counted.clear()
            for t in range(m.num_steps):
                position = keras.ops.convert_to_tensor(t)
                params = m.read(constants, state, position)
                state = m.absorb(constants, state, position, x[:, t])
            return params

        found = cost_of(draw, (1, n), counted)["multiply-adds"]
        expected = one_pass + (n - 1) * of_deeper_layers
        assert 0.7 * expected < found < 1.1 * expected, f"a draw of {n} values costs {found / expected:.2f} of its law"


MANY_ORDERS = {
    "agnostic_made": lambda n: models.OrderAgnosticMADE(n, hidden_units=4 * n),
    "agnostic_made-deep": lambda n: models.OrderAgnosticMADE(n, hidden_units=(n, 2 * n), direct=True, head=LEVELS),
    "local": lambda n: models.LocallyMaskedPixelCNN((4, n // 4), filters=8, num_blocks=2),
}


@pytest.mark.parametrize("name", MANY_ORDERS)
def test_a_draw_in_an_order_of_its_own_costs_about_a_pass(name, counted):
    for n in (24, 48):
        model = MANY_ORDERS[name](n)
        orders = model.orders([0, 1])
        first = {key: array[0] for key, array in orders.items()}
        one_pass = cost_of(lambda x, m=model, o=first: m.params_in_order(x, o), (1, *model.event_shape), counted)[
            "multiply-adds"
        ]

        def draw(x, m=model, orders=orders):
            state, constants, x = m.start(2), m.prepare(), keras.ops.concatenate([x, x])
            counted.clear()
            before, previous = keras.ops.zeros((2,), "int32"), x[:, 0]
            for t in range(m.num_steps):
                position = keras.ops.convert_to_tensor(orders["ordering"][:, t])
                params, state = m.step(constants, state, orders, t, before, previous, position)
                before, previous = position, x[:, t]
            return params

        found = cost_of(draw, (1, n), counted)["multiply-adds"] / 2
        assert 0.7 * one_pass < found < 1.5 * one_pass, f"a draw of {n} values costs {found / one_pass:.2f} passes"


def test_a_draw_given_a_source_encodes_it_once(counted):
    for n in (24, 48):
        sizes = {"units": 8, "num_layers": 2, "num_heads": 2}
        model = models.EncoderDecoder(n, condition_shape=20, source_levels=5, head=LEVELS, **sizes)
        source = keras.ops.zeros((1, 20), "int32")
        one_pass = cost_of(lambda x, m=model, s=source: m(x, s), (1, n), counted)["multiply-adds"]

        def draw(x, m=model, s=source):
            counted.clear()
            constants, state = m.prepare(s), m.start(1, m.num_steps)
            for t in range(m.num_steps):
                params, state = m.step(constants, state, t, x[:, t - 1])
            return params

        found = cost_of(draw, (1, n), counted)["multiply-adds"]
        assert 0.9 * one_pass < found < 1.2 * one_pass, f"a draw of {n} values costs {found / one_pass:.2f} passes"


@pytest.mark.parametrize("passes", [1, 3])
def test_a_draw_in_passes_costs_that_many_passes(passes, counted):
    model = models.ConvNADE((3, 4), filters=4, num_blocks=1)
    one_pass = cost_of(lambda x: model.conditionals(x, x > 0), (1, 3, 4), counted)["multiply-adds"]
    uniforms = keras.ops.full((1, *model.noise_shape), 0.5)

    def draw(x):
        counted.clear()
        known = keras.ops.zeros((1, 12), "bool")
        for _ in range(passes):
            x, _ = model.draw_pass({}, x, known, keras.ops.logical_not(known), uniforms)
        return x

    found = cost_of(draw, (1, 3, 4), counted)["multiply-adds"]
    assert passes * one_pass <= found < 1.1 * passes * one_pass


def test_noise_is_undone_at_the_cost_of_a_pass(counted):
    bijector = bijectors.Autoregressive(models.MADE(24, hidden_units=(40, 40), head="normal"))
    one_pass = cost_of(lambda x: bijector(x)[0], (1, 24), counted)["multiply-adds"]
    undone = cost_of(lambda z: bijector.from_noise(z)[0], (1, 24), counted)["multiply-adds"]
    assert 0.5 * one_pass < undone < 1.5 * one_pass, f"undoing noise costs {undone / one_pass:.2f} passes"


def test_every_model_is_counted():
    from keras_ar import registry

    counted = {type(build()) for build in IMAGES.values()} | {type(build(12)) for build in DENSE.values()}
    counted |= {type(build(12)) for build, _ in ANY_ORDER.values()} | {models.ConvNADE}
    counted.add(models.EncoderDecoder)
    counted.add(models.Factorized)  # whose steps compute nothing: all is done in `prepare`
    counted.add(models.Ensemble)  # which has no steps but those of its members (test_ensemble.py)
    counted |= {type(build(12)) for build in MANY_ORDERS.values()}
    ours = {entry.load() for entry in registry.entries("models") if entry.distribution == "keras-ar"}
    assert ours <= counted, f"no cost is counted for {ours - counted}"
