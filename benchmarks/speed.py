"""Timings of pairs in one process, as ratios: KERAS_BACKEND=jax python benchmarks/speed.py [data.npz]

Machines differ and are noisy; ratios of two things run in turn differ less. Each figure is the best of several rounds.
The data are a packed file of binary images (`train`, 784 bits), or blurred noise. Models that sample in parallel are
trained on them first, because the number of passes depends on what a model has learned.
"""

import argparse
import importlib
import json
import subprocess
import sys
import time

import hand_drawn
import hand_written
import keras
import numpy as np
from keras import ops

import keras_ar
from keras_ar import backend, decoding, noise

NAME = keras.backend.backend()
DIMS = 784
SECTIONS = (
    "draw",
    "train",
    "nade",
    "nade_scores",
    "images",
    "image_training",
    "pixel_rnn",
    "wavenet",
    "flows",
    "latent",
    "import",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="npz of binary images, packed by np.packbits")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    options = parser.parse_args()
    x = images(options.data)
    for section in options.only:
        for figure in globals()[f"time_{section}"](x):
            print(json.dumps({"backend": NAME, **figure}), flush=True)


def images(path):
    if path:
        with np.load(path) as data:
            return np.unpackbits(data["train"], axis=1)[:, :DIMS]
    field = np.random.default_rng(0).normal(size=(5000, 28, 28))
    for axis in (1, 2):
        field = sum(np.roll(field, shift, axis) for shift in range(-3, 4))
    return (field > field.std()).astype("uint8").reshape(-1, DIMS)


def best(*functions, rounds=5):
    """The best time of each function, called in turn."""
    for function in functions:
        function()  # compiles
    times = []
    for _ in range(rounds):
        times.append([])
        for function in functions:
            start = time.perf_counter()
            function()
            times[-1].append(time.perf_counter() - start)
    return np.min(times, axis=0)


def time_draw(x):
    """64 samples by the three methods."""
    made = keras_ar.models.MADE(DIMS, hidden_units=(500, 500))
    made.compile("adam")
    made.fit(x[:20_000], batch_size=100, epochs=3, verbose=0)
    stepwise, parallel = best(*(lambda m=m: made.sample(64, seed=0, method=m) for m in ("stepwise", "parallel")))
    (full,) = best(lambda: made.sample(64, seed=0, method="full"), rounds=2)
    passes = int(drawn_in_parallel(made, 64)[-1])
    yield {"what": "MADE 784-500-500-784, 64 samples: stepwise", "seconds": stepwise, "full / this": full / stepwise}
    yield {
        "what": f"MADE 784-500-500-784, 64 samples: parallel, {passes} passes",
        "seconds": parallel,
        "full / this": full / parallel,
    }
    nade = keras_ar.models.NADE(DIMS, units=500)
    (stepwise,) = best(lambda: nade.sample(64, seed=0, method="stepwise"))
    full = seconds_of_full(nade)
    yield {"what": "NADE 784/500, 64 samples: stepwise", "seconds": stepwise, "full / this": full / stepwise}
    made = keras_ar.models.MADE(DIMS, hidden_units=(500, 500))
    yield beside_hand_drawn(made, hand_drawn.made, 64, DIMS)
    yield beside_hand_drawn(nade, hand_drawn.nade, 64, DIMS)
    pixel_cnn = keras_ar.models.PixelCNN((28, 28, 1), filters=64, num_blocks=5)
    yield beside_hand_drawn(pixel_cnn, hand_drawn.pixel_cnn, 16, DIMS)
    plus_plus = keras_ar.models.PixelCNNPlusPlus((28, 28, 1), head="bernoulli", filters=32, num_resnets=2, num_levels=2)
    for _ in range(8):  # on torch traces are made as steps pay for them
        plus_plus.sample(4, seed=0, batch_size=4)
    yield beside_hand_drawn(plus_plus, hand_drawn.pixel_cnn_plus_plus, 4, DIMS, rounds=1)


def beside_hand_drawn(model, by_hand, events, num_steps, rounds=4):
    """Steps beside those by hand, which must draw the same."""
    draw = by_hand(NAME, model)
    uniforms = np.ascontiguousarray(noise_by_steps(model, events)[:num_steps, :, 0])
    assert (model.sample(events, seed=0, batch_size=events).reshape(events, -1) == draw(uniforms).T).all()
    ours, theirs = best(lambda: model.sample(events, seed=0, batch_size=events), lambda: draw(uniforms), rounds=rounds)
    what = f"{type(model).__name__}, {events} samples of {num_steps} steps, untrained"
    return {"what": what, "seconds": ours, "by hand": theirs, "this / by hand": ours / theirs}


def seconds_of_full(model, steps=40, events=64):
    """Seconds of a batch by full passes, from its first steps: each costs the same."""
    drawing, rows = decoding.Drawing(model, "full"), [noise_by_steps(model, events)[:steps]]
    constants, carry = drawing.prepare([]), drawing.start(events, model.num_steps)
    (seconds,) = best(lambda: ops.convert_to_numpy(drawing.advance(constants, carry, 0, steps, rows, {})[0]), rounds=2)
    return seconds * model.num_steps / steps


def drawn_in_parallel(model, events):
    """The values of a batch, their log-probabilities, ..., and the number of passes."""
    return decoding.Drawing(model, "parallel").parallel(noise_by_steps(model, events), {}, [])


def noise_by_steps(model, events):
    """The uniforms of seed 0: `(steps, events, num_uniforms)`."""
    return np.swapaxes(noise.uniforms(0, 0, events, model.noise_shape), 0, 1)


def time_train(x):
    """MADE's `fit` beside the same network written by hand."""
    x = x[:5000]
    model = keras_ar.models.MADE(DIMS, hidden_units=(500, 500))
    model.compile("adam")
    step, wait = hand_written.made_step(NAME, DIMS, (500, 500))

    def by_hand():
        order = np.random.default_rng(0).permutation(len(x))
        for first in range(0, len(x), 100):
            loss = step(x[order[first : first + 100]])
        wait(loss)

    layers = [keras.Input((DIMS,)), *(keras.layers.Dense(n, activation="relu") for n in (500, 500))]
    plain = keras.Sequential([*layers, keras.layers.Dense(DIMS)])
    plain.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    ours, theirs, keras_alone = best(
        lambda: model.fit(x, batch_size=100, epochs=1, verbose=0),
        by_hand,
        lambda: plain.fit(x, x, batch_size=100, epochs=1, verbose=0),
    )
    steps = len(x) // 100
    yield {
        "what": "MADE 784-500-500-784, a training step of 100",
        "seconds": ours / steps,
        "by hand": theirs / steps,
        "this / by hand": ours / theirs,
        "this / plain Keras without masks": ours / keras_alone,
    }


def time_nade(x):
    """NADE's gradient beside that by hand, the one-cumulative-sum form, and the activations alone."""
    x = x[:100]
    model = keras_ar.models.NADE(DIMS, units=500)
    kernel, bias, output_kernel, output_bias = (np.asarray(w) for w in model.get_weights())
    weights = [keras.Variable(w) for w in (kernel, bias, output_kernel, output_bias)]
    events = x.astype("float32")

    def cumulative_sum(x):
        w, c, v, b = (ops.convert_to_tensor(variable) for variable in weights)
        terms = ops.expand_dims(x, -1) * w
        hidden = ops.sigmoid(ops.cumsum(terms, axis=1) - terms + c)  # (batch, positions, units)
        logits = ops.sum(hidden * v, axis=-1) + b[:, 0]
        return -ops.sum(ops.log_sigmoid((2 * x - 1) * logits))

    def blocks(x):
        return -ops.sum(model.log_prob(x))

    flat = keras.Variable(np.random.default_rng(0).normal(size=(100, DIMS * 500)).astype("float32"))
    gradient = {
        "this": backend.gradient_function(blocks, model.trainable_variables),
        "cumsum": backend.gradient_function(cumulative_sum, weights),
        "floor": backend.gradient_function(lambda x: ops.sum(ops.sigmoid(ops.convert_to_tensor(flat))), [flat]),
    }
    by_hand = hand_written.nade_gradient(NAME, *(ops.convert_to_numpy(w) for w in weights))
    ours = [ops.convert_to_numpy(each) for each in gradient["this"](events)]
    for found, expected in zip(ours, by_hand(events), strict=True):
        assert np.abs(found.reshape(expected.shape) - expected).max() < 1e-4 * np.abs(expected).max()
    this, cumsum, floor, theirs = best(*(lambda g=g: g(events) for g in (*gradient.values(), by_hand)), rounds=4)
    yield {
        "what": "NADE 784/500, gradient of a batch of 100",
        "seconds": this,
        "by hand": theirs,
        "this / by hand": this / theirs,
        "one cumulative sum / this": cumsum / this,
        "this / 39.2 million sigmoids, forward and backward": this / floor,
    }


def time_nade_scores(x):
    """NADE's likelihoods beside those by hand, in batches as large."""
    x = x[:1000].astype("int32")
    model = keras_ar.models.NADE(DIMS, units=500)
    by_hand = hand_written.nade_scores(NAME, *(np.asarray(w) for w in model.get_weights()))
    assert np.abs(model.score_samples(x) - by_hand(x)).max() < 1e-2

    def in_batches(size):
        return np.concatenate([by_hand(x[first : first + size]) for first in range(0, len(x), size)])

    for size in (256, 1000):
        ours, theirs = best(lambda n=size: model.score_samples(x, batch_size=n), lambda n=size: in_batches(n))
        yield {
            "what": f"NADE 784/500, likelihood of 1,000, {size} at a time",
            "seconds": ours,
            "by hand": theirs,
            "this / by hand": ours / theirs,
        }


def time_images(x):
    """16 samples of 28x28 from the image models, after a short training."""
    x = x.reshape(-1, 28, 28, 1)[:1600]
    for name, filters in (("PixelCNN", 64), ("GatedPixelCNN", 64), ("PixelCNNPlusPlus", 32)):
        model = getattr(keras_ar.models, name)((28, 28, 1), head="bernoulli", filters=filters)
        model.compile("adam")
        model.fit(x, batch_size=32, epochs=1, verbose=0)
        (stepwise,) = best(lambda m=model: m.sample(16, seed=0, batch_size=16), rounds=3)
        (parallel,) = best(lambda m=model: ops.convert_to_numpy(drawn_in_parallel(m, 16)[0]), rounds=2)
        passes = int(drawn_in_parallel(model, 16)[-1])
        full = seconds_of_full(model, steps=8, events=16)
        what = f"{name} 28x28, {filters} filters, {model.count_params()} weights, 16 samples"
        yield {"what": f"{what}: stepwise", "seconds": stepwise, "full / this": full / stepwise}
        yield {"what": f"{what}: parallel, {passes} passes", "seconds": parallel, "full / this": full / parallel}


def time_image_training(x):
    """Training steps of PixelCNN, beside the same network with full kernels, masked, and by hand; of PixelCNN++."""
    x = x.reshape(-1, 28, 28, 1)[:320]
    ours = keras_ar.models.PixelCNN((28, 28, 1), filters=64, num_blocks=5)
    full = keras_ar.models.CausalSequential((28, 28, 1), layers=hand_written.pixel_cnn_layers(64, 5))
    for model in (ours, full):
        model.compile("adam")
    step, wait = hand_written.pixel_cnn_step(NAME, 64, 5)

    def by_hand(count):
        wait([step(x[i : i + 16, ..., 0]) for i in range(0, count, 16)][-1])

    fits = (lambda m=m: m.fit(x, batch_size=16, epochs=1, verbose=0) for m in (ours, full))
    times = best(*fits, lambda: by_hand(320))
    yield {
        "what": "PixelCNN 28x28, a training step of 16",
        "seconds": times[0] / 20,
        "masked full kernels": times[1] / 20,
        "this / masked full kernels": times[0] / times[1],
        "by hand": times[2] / 20,
        "this / by hand": times[0] / times[2],
    }
    shape = {"filters": 32, "num_resnets": 2, "num_levels": 2}
    plain, dropping = (
        keras_ar.models.PixelCNNPlusPlus((28, 28, 1), dropout=dropout, head="bernoulli", **shape)
        for dropout in (0.0, 0.5)
    )
    for model in (plain, dropping):
        model.compile("adam")
    step, wait = hand_written.pixel_cnn_plus_plus_step(NAME, 28, *shape.values())
    fits = (lambda m=m: m.fit(x[:64], batch_size=16, verbose=0) for m in (plain, dropping))
    times = best(*fits, lambda: by_hand(64), rounds=3)
    yield {
        "what": "PixelCNNPlusPlus 28x28, 32 filters, 2 resnets, 2 levels, a training step of 16",
        "seconds": times[0] / 4,
        "with dropout": times[1] / 4,
        "by hand": times[2] / 4,
        "this / by hand": times[0] / times[2],
    }


def time_pixel_rnn(x):
    """PixelRNN beside Keras' LSTM over as many steps, how a step grows with the image, and samples."""
    x = x.reshape(-1, 28, 28, 1)[:160]
    for variant, steps, parallel in (("row", 28, 16 * 28), ("diagonal", 55, 2 * 16 * 28)):
        model = keras_ar.models.PixelRNN((28, 28, 1), variant=variant, units=32)
        model.compile("adam")
        sequence = keras.Input((steps, 64))
        outputs = keras.layers.Dense(1)(keras.layers.LSTM(32, return_sequences=True)(sequence))
        plain = keras.Model(sequence, outputs)
        plain.compile("adam", "mse")
        noisy = np.random.default_rng(0).normal(size=(10 * parallel, steps, 64)).astype("float32")
        start = time.perf_counter()
        model.fit(x, batch_size=16, verbose=0)
        compiling = time.perf_counter() - start
        times = best(
            lambda m=model: m.fit(x, batch_size=16, verbose=0),
            lambda m=plain, z=noisy, b=parallel: m.fit(z, z[..., :1], batch_size=b, verbose=0),
        )
        yield {
            "what": f"PixelRNN {variant} 28x28, 32 units, a training step of 16",
            "seconds": times[0] / 10,
            f"this / keras.layers.LSTM over {parallel} sequences of {steps}": times[0] / times[1],
            "seconds of the first epoch of 10 steps, compiling and all": compiling,
        }
    for variant in ("row", "diagonal"):
        yield {"what": f"PixelRNN {variant}, 8 units, a gradient for one image", **seconds_by_size(variant)}
    for variant in ("row", "diagonal"):
        model = keras_ar.models.PixelRNN((28, 28, 1), variant=variant, units=32)
        (stepwise,) = best(lambda m=model: m.sample(16, seed=0, batch_size=16), rounds=3)
        full = seconds_of_full(model, steps=8, events=16)
        yield {
            "what": f"PixelRNN {variant} 28x28, 32 units, 16 samples: stepwise",
            "seconds": stepwise,
            "full / this": full / stepwise,
        }


def seconds_by_size(variant):
    """Seconds of a gradient by the length of an image's side."""
    found = {}
    for size in (8, 16, 32, 64):
        model = keras_ar.models.PixelRNN((size, size), variant=variant, units=8)
        image = np.zeros((1, size, size), "float32")
        gradient = backend.gradient_function(lambda x, m=model: -ops.mean(m.log_prob(x)), model.trainable_variables)
        found[f"{size}x{size}"] = float(best(lambda g=gradient, x=image: ops.convert_to_numpy(g(x)[-1]))[0])
    return found


def time_wavenet(x):
    """WaveNet of 30 blocks: samples, what a step costs early and late, and a training step beside the one by hand."""
    model = keras_ar.models.WaveNet(8192, filters=64, head=keras_ar.heads.Categorical(256))
    product = np.random.default_rng(0).normal(size=(2, 1024, 1024)).astype("float32")
    multiply = backend.compiled(model, ops.matmul)
    (seconds,) = best(lambda: ops.convert_to_numpy(multiply(*product)), rounds=10)
    yield {"what": "product of two matrices of 1024x1024, GFLOP/s", "this": 2 * 1024**3 / seconds / 1e9}

    def steps(first, count, sequences=1):
        state = {**model.stream(sequences, chunk=count, seed=0).state, "position": first}
        return lambda: next(model.stream(sequences, chunk=count, state=state))

    early, late = best(steps(100, 1000), steps(100_000, 1000))
    what = "WaveNet, 30 blocks of 64 channels"
    yield {"what": f"{what}: seconds of a step", "at step 100": early / 1000, "at step 100,000": late / 1000}
    events = np.zeros((1, model.receptive_field + 1), "uint8")
    score = backend.compiled(model, model.log_prob)
    (whole,) = best(lambda: ops.convert_to_numpy(score(events)))
    yield {"what": f"{what}: a pass over the receptive field", "seconds": whole, "this / a step": whole / early * 1000}
    for sequences in (1, 16):
        (seconds,) = best(steps(0, 2000, sequences), rounds=3)
        yield {
            "what": f"{what}: 2,000 steps of {sequences}",
            "seconds": seconds,
            "times real time at 16 kHz": seconds * 8,
        }
        short = keras_ar.models.WaveNet(2000, filters=64, head=keras_ar.heads.Categorical(256))
        yield beside_hand_drawn(short, hand_drawn.wavenet, sequences, 2000)

    clips = np.random.default_rng(0).integers(0, 256, (8, 8192)).astype("uint8")
    model.compile("adam")
    by_hand = {
        form: hand_written.wavenet_step(NAME, form, 64, model.dilations, 256) for form in ("convolution", "products")
    }
    times = best(
        lambda: model.fit(clips, batch_size=2, shuffle=False, verbose=0),
        *(
            lambda step=step, wait=wait: wait([step(clips[i : i + 2]) for i in range(0, 8, 2)][-1])
            for step, wait in by_hand.values()
        ),
        rounds=3,
    )
    yield {
        "what": f"{what}: a training step of 2 clips of 8,192",
        "seconds": times[0] / 4,
        **{f"this / by hand, as {form}": times[0] / time for form, time in zip(by_hand, times[1:], strict=True)},
    }


def beside_steps_by_hand(what, flow, step, wait, events, batch):
    """A training step of `fit`, beside the same by hand: epochs of both, in turn."""

    def by_hand():
        order = np.random.default_rng(0).permutation(len(events))
        for first in range(0, len(events), batch):
            loss = step(events[order[first : first + batch]])
        wait(loss)

    ours, theirs = best(lambda: flow.fit(events, batch_size=batch, epochs=1, verbose=0), by_hand, rounds=3)
    return {
        "what": what,
        "seconds": ours * batch / len(events),
        "by hand": theirs * batch / len(events),
        "this / by hand": ours / theirs,
    }


def time_flows(x):
    """Training steps of flows beside those by hand; draws of a MAF beside its scores and, on torch, beside zuko's."""
    import keras_ar_flows

    dims, units, layers, batch = 64, 512, 5, 200
    events = np.random.default_rng(0).normal(size=(50 * batch, dims)).astype("float32")
    flows = {
        "MAF": keras_ar_flows.MAF(dims, num_layers=layers, hidden_units=units),
        "RealNVP": keras_ar_flows.RealNVP(dims, num_layers=layers, hidden_units=(units, units)),
    }
    for name, flow in flows.items():
        step, wait = getattr(hand_written, {"MAF": "maf_step", "RealNVP": "real_nvp_step"}[name])(
            NAME, dims, units, layers
        )
        for at_once in (
            (1, 10) if NAME == "tensorflow" else (1,)
        ):  # what a call of TensorFlow costs is a share of a step
            flow.compile("adam", steps_per_execution=at_once)
            what = f"{name} of {layers} layers of {units}, {dims} values: a training step of {batch}, {at_once} at once"
            yield beside_steps_by_hand(what, flow, step, wait, events, batch)

    if NAME != "tensorflow":  # these two are not written by hand for it
        yield from time_image_flows()

    maf = keras_ar_flows.MAF(DIMS, num_layers=5, hidden_units=(512,))
    drawn = maf.sample(64, seed=0)
    drawing, scoring = best(lambda: maf.sample(64, seed=0), lambda: maf.score_samples(drawn), rounds=3)
    figure = {"what": "MAF of 5 layers, 784 values: 64 draws", "seconds": drawing, "64 scores": scoring}
    if NAME == "torch":
        torch, zuko = importlib.import_module("torch"), importlib.import_module("zuko")
        flow = zuko.flows.MAF(DIMS, transforms=5, hidden_features=(512,))
        with torch.no_grad():
            start = time.perf_counter()
            flow().sample((64,))
            figure["zuko"] = time.perf_counter() - start
        figure["zuko / this"] = figure["zuko"] / drawing
    yield figure


def time_latent(x):
    """A VAE's training step beside a Keras model that is written out; EM of a mixture beside scikit-learn's."""
    from sklearn.mixture import GaussianMixture

    import keras_ar_latent

    batch = 128
    events = x[: 60 * batch].astype("float32")
    vae = keras_ar_latent.VAE(DIMS, latent_shape=32, encoder=400, decoder=400)
    plain = hand_written.PlainVAE(DIMS, 400, 32)
    for model in (vae, plain):
        model.compile("adam")
    options = {"batch_size": batch, "epochs": 1, "verbose": 0}
    ours, theirs = best(lambda: vae.fit(events, **options), lambda: plain.fit(events, events, **options), rounds=6)
    yield {
        "what": "VAE 784-400-32: a training step of 128",
        "seconds": ours * batch / len(events),
        "plain Keras": theirs * batch / len(events),
        "this / plain Keras": ours / theirs,
    }

    rng = np.random.default_rng(0)
    points = rng.normal(size=(10_000, 20)) + 3.0 * rng.normal(size=(10, 20))[rng.integers(10, size=10_000)]
    mixture = keras_ar_latent.MixtureOfGaussians(20, num_components=10)
    of_sklearn = GaussianMixture(10, max_iter=100, tol=0.0, init_params="random_from_data", random_state=0)
    times = best(lambda: mixture.fit_em(points, tolerance=0.0), lambda: of_sklearn.fit(points), rounds=2)
    ours, theirs = times / [len(mixture.fit_em(points, tolerance=0.0)), of_sklearn.n_iter_]
    yield {
        "what": "MixtureOfGaussians, 10 components, 10,000 x 20 values: an iteration of EM",
        "seconds": ours,
        "scikit-learn": theirs,
        "this / scikit-learn": ours / theirs,
    }


def time_image_flows():
    """Training steps of flows of images beside those by hand; and bounds of a hundred draws beside those of one."""
    import keras_ar_flows

    shape, batch = (8, 8, 1), 128
    events = np.random.default_rng(0).normal(size=(20 * batch, *shape)).astype("float32")
    size = {"num_layers": 4, "filters": 32, "num_heads": 4, "num_components": 8}
    flows = {
        "Glow": (
            keras_ar_flows.Glow(shape, num_levels=3, num_steps=4, filters=64),
            hand_written.glow_step(NAME, shape, 64, 3, 4),
        ),
        "Flow++": (
            keras_ar_flows.FlowPlusPlus(shape, num_blocks=1, **{**size, "num_layers": (4, 0, 0)}),
            hand_written.flow_plus_plus_step(NAME, shape, **size),
        ),
    }
    for name, (flow, (step, wait)) in flows.items():
        flow.compile("adam")
        yield beside_steps_by_hand(f"{name}, images 8x8: a training step of {batch}", flow, step, wait, events, batch)

    model = keras_ar_flows.Dequantized(flows["Glow"][0], num_levels=17)
    x = np.random.default_rng(0).integers(0, 17, (256, *shape))
    one, many, drawing = best(
        lambda: model.score_samples(x),
        lambda: model.score_samples(x, num_draws=100),
        lambda: model.sample(256, seed=0, batch_size=256),
        rounds=3,
    )
    yield {
        "what": "Dequantized Glow, images 8x8: 256 bounds by 100 draws",
        "seconds": many,
        "by 1 draw": one,
        "100 draws / 100 times one": many / (100 * one),
        "256 draws / 256 bounds by 1 draw": drawing / one,
    }


def time_import(x):
    """What `import keras_ar` costs on top of `import keras`."""
    code = """
import time
start = time.perf_counter(); import keras
middle = time.perf_counter(); import keras_ar
print(middle - start, time.perf_counter() - middle)
"""
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(5)]
    keras_alone, ours = np.min([np.array(run.split(), "float64") for run in runs], axis=0)
    yield {"what": "import keras_ar, after import keras", "seconds": ours, "import keras": keras_alone}


if __name__ == "__main__":
    main()
