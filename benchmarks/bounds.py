"""Trains models with hidden randomness within a budget of processor time, and reports their bounds.

KERAS_BACKEND=jax python benchmarks/bounds.py shuffling --model set_flow --core-minutes 30
KERAS_BACKEND=jax python benchmarks/bounds.py summation --model line --core-minutes 4
KERAS_BACKEND=jax python benchmarks/bounds.py molecules --core-minutes 30 --pictures molecules
KERAS_BACKEND=jax python benchmarks/bounds.py digits --model glow --posterior flow_plus_plus --core-minutes 4
KERAS_BACKEND=jax python benchmarks/bounds.py /usr/share/datasets/fashion-mnist --model flow_plus_plus ...

Sets and molecules are made here. `shuffling` holds the sixteen numbers in any order: the optimum is log2(16!) / 16 =
2.7656 bits per number. `summation` holds sixteen numbers from 1 to 16 whose sum is 42, all such events alike: 2.2427
bits. Of images the flow is one of the plugin's, whose fractions are guessed uniformly or by a flow.

The learning rate falls to zero along a cosine over the budget, in minutes of processor time over all cores. `test` is
scored once, at the end; each bound is printed with its number of draws.
"""

import argparse
import json
import math
from statistics import NormalDist

import keras
import numpy as np
from images import fit
from real_data import setting

import keras_ar
import keras_ar_flows

SETS = {"shuffling": math.log2(math.factorial(16)) / 16, "summation": 2.2427}
NUM_NODES = 6


def main():
    options = parse_options()
    keras.utils.set_random_seed(options.seed)
    train, valid, test, num_levels = parts(options)
    model = make_model(options, train.shape[1:], num_levels)
    model.initialize_from_data(train[:200])
    optimizer = keras.optimizers.AdamW(
        options.learning_rate,
        weight_decay=options.weight_decay,
        global_clipnorm=options.clip,
        use_ema=options.ema > 0,
        ema_momentum=options.ema or 0.99,
    )
    model.compile(optimizer)
    _, took = fit(model, train, valid, options, options.patience)
    result = {
        "data": options.data,
        "model": options.model,
        "posterior": options.posterior,
        **took,
    }
    for draws in options.draws:
        for part, x in (("valid", valid), ("test", test)):
            nats = -model.score_samples(x, num_draws=draws)
            bits = nats / (math.prod(x.shape[1:]) * math.log(2))
            result[f"{part}_nats_at_most_by_{draws}"] = f"{nats.mean():.4f} ± {nats.std() / math.sqrt(len(x)):.4f}"
            result[f"{part}_bits_at_most_by_{draws}"] = f"{bits.mean():.4f} ± {bits.std() / math.sqrt(len(x)):.4f}"
    if options.data in SETS:
        samples = model.sample(2000, seed=0)
        result["optimum"] = SETS[options.data]
        result["right"] = float(is_right(options.data, samples).mean())
    if options.data == "molecules":
        samples = model.sample(2000, seed=0)
        is_valid = keras_ar_flows.graphs.is_valid(samples, NUM_NODES)
        known = {tuple(x) for x in train.tolist()}
        result["valid_samples"] = float(is_valid.mean())
        result["new_of_the_valid"] = float(np.mean([tuple(x) not in known for x in samples[is_valid].tolist()]))
    print(
        json.dumps({**result, "settings": vars(options), "backend": keras.backend.backend()}, default=str), flush=True
    )
    if options.save:
        model.save(options.save)
    if options.pictures and len(train.shape) == 4:
        samples = model.sample(64, seed=0)
        figure = keras_ar.plots.images(samples, columns=8, num_levels=num_levels).figure
        figure.savefig(f"{options.pictures}_samples.png")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="shuffling, summation, molecules; or what `keras_ar.datasets.load` takes")
    parser.add_argument("--model", help="of images: real_nvp, glow or flow_plus_plus; of sets: set_flow or made ...")
    parser.add_argument("--posterior", default="uniform", choices=["uniform", "flow_plus_plus", "glow"])
    parser.add_argument("--posterior-filters", type=int, default=32, help="of the flow that guesses fractions")
    parser.add_argument("--set", nargs="+", type=setting, default={}, metavar="NAME=VALUE", help="the flow's arguments")
    parser.add_argument("--core-minutes", type=float, default=math.inf)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--patience", type=int, help="epochs without progress on `valid` before stopping")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--clip", type=float, default=10.0, help="the most that the norm of a gradient may be")
    parser.add_argument("--ema", type=float, default=0.0, metavar="MOMENTUM", help="average the weights, if above 0")
    parser.add_argument("--draws", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", help="a .keras file for the trained model")
    parser.add_argument("--pictures", help="beginning of the names of pictures")
    options = parser.parse_args()
    options.set = dict(options.set)
    return options


def parts(options):
    """Arrays to train, to validate and to test on, and the number of levels."""
    if options.data == "molecules":
        x = keras_ar_flows.graphs.molecules(24_000, NUM_NODES, seed=1)
        return x[:20_000], x[20_000:22_000], x[22_000:], 5
    if options.data in SETS:
        x = sets(options.data, 204_000, np.random.default_rng(1))
        return x[:200_000], x[200_000:202_000], x[202_000:], 16
    data = keras_ar.datasets.load(options.data)
    return data.train, data.valid, data.test, data.num_levels


def sets(name, count, rng):
    """Events of sixteen numbers, each less by one than what it stands for in the sum."""
    if name == "shuffling":
        return rng.permuted(np.tile(np.arange(16), (count, 1)), axis=1).astype("int32")
    # ways[n][s]: how many events of n numbers from 0 to 15 have the sum s.
    ways = np.zeros((17, 27))
    ways[0, 0] = 1
    for n in range(1, 17):
        for number in range(16):
            ways[n, number:] += ways[n - 1, : 27 - number]
    x, left = np.zeros((count, 16), "int32"), np.full(count, 26)  # 42 less one for each number
    for i in range(16):
        rest = left[:, None] - np.arange(16)
        weights = np.where(rest >= 0, ways[15 - i][np.maximum(rest, 0)], 0.0).cumsum(axis=1)
        x[:, i] = (rng.uniform(size=(count, 1)) * weights[:, -1:] >= weights).sum(axis=1)
        left -= x[:, i]
    return x


def is_right(name, x):
    if name == "shuffling":
        return (np.sort(x, axis=1) == np.arange(16)).all(axis=1)
    return x.sum(axis=1) == 26


def make_model(options, event_shape, num_levels):
    if options.data == "molecules":
        return keras_ar_flows.GraphCNF(NUM_NODES, num_levels, **options.set)
    if options.data in SETS and options.model == "line":
        return on_a_line(num_levels, **options.set)
    if options.data in SETS:
        arguments = dict(options.set)
        shape = (16, arguments.pop("latent_dims", 4))
        if options.model != "set_flow":  # an autoregressive model of the places
            width = 2.0 * num_levels ** (1.0 / shape[1])  # of the places of all categories, at first
            head = keras_ar.heads.NormalMixture(arguments.pop("components", 16), scale=width)
            arguments = {"head": head, **arguments}
        flow = keras_ar.models.get(options.model, event_shape=shape, **arguments)
        return keras_ar_flows.CategoricalFlow(flow, num_levels=num_levels)
    flow = keras_ar.models.get(options.model, event_shape=event_shape, **options.set)
    return keras_ar_flows.Dequantized(flow, num_levels=num_levels, posterior=posterior_of(options, event_shape))


def posterior_of(options, event_shape):
    """What guesses fractions: two couplings of all pixels, or of squares of four, in a tenth of the time."""
    common = {"filters": options.posterior_filters, "condition_shape": event_shape, "name": "posterior"}
    if options.posterior == "flow_plus_plus":
        return keras_ar_flows.FlowPlusPlus(
            event_shape, num_layers=(2, 0, 0), num_blocks=1, num_heads=0, as_posterior=True, **common
        )
    if options.posterior == "glow":
        return keras_ar_flows.Glow(event_shape, num_levels=1, num_steps=2, **common)
    return None


def on_a_line(num_levels, apart=2.0, components=16, units=64, num_layers=2, num_heads=4, frequencies=128):
    """Categories as places on a line, and a Transformer over them that begins as a model of independent categories.

    It sees a place as waves: of a number times a vector, normalized, only the sign would be left. Its mixture has a
    component at each category, as wide as that is. Learned in steps of about one, means need no larger unit.
    """
    uniform = keras.initializers.RandomUniform
    waves = keras.layers.Dense(
        frequencies,
        activation=keras.ops.sin,
        kernel_initializer=uniform(-0.8 / apart, 0.8 / apart),
        bias_initializer=uniform(-math.pi, math.pi),
    )
    blocks = [keras_ar.layers.TransformerBlock(num_heads) for _ in range(num_layers)]
    layers = [waves, keras.layers.Dense(units), keras_ar.layers.Shift(), *blocks, keras.layers.LayerNormalization()]
    head = keras_ar.heads.NormalMixture(components)
    flow = keras_ar.models.CausalSequential((16, 1), layers=layers, head=head)
    flow(np.zeros((1, 16, 1), "float32"))
    model = keras_ar_flows.CategoricalFlow(flow, num_levels=num_levels)
    centers = apart * keras.ops.convert_to_numpy(model.centers)[:, 0]
    model.centers.assign(centers[:, None])
    to_params, nothing = flow.to_params.layer, np.zeros(components)
    anchors = [NormalDist().inv_cdf((i + 0.5) / components) for i in range(components)]  # which means are counted from
    to_params.bias.assign(np.concatenate([nothing, centers - anchors, nothing]))
    to_params.kernel.assign(to_params.kernel * np.repeat([1.0, 0.1, 0.1], components))
    return model


if __name__ == "__main__":
    main()
