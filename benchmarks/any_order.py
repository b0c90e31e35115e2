"""Models of any order on real data, chosen on the validation part, tested once.

KERAS_BACKEND=jax python benchmarks/any_order.py dna.npz --preset dna --test
KERAS_BACKEND=jax python benchmarks/any_order.py plants.npz --set direct=true dropout=0.3 --orderings 1 16

The npz file holds arrays `train`, `valid` and `test` of bits, packed or not. `any_order.toml` holds the presets;
options of the command line override them.
"""

import argparse
import json
import pathlib
import time
import tomllib

import keras
import numpy as np

import keras_ar

__all__ = ["PRESETS", "load", "trained"]

PRESETS = tomllib.loads(pathlib.Path(__file__).with_suffix(".toml").read_text())
SCHEDULES = {
    "line": lambda rate, steps: keras.optimizers.schedules.PolynomialDecay(rate, steps, 0.0),
    "cosine": keras.optimizers.schedules.CosineDecay,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="an npz file")
    parser.add_argument("--preset", choices=PRESETS, metavar="NAME", help=f"one of {', '.join(PRESETS)}")
    parser.add_argument("--model", default="deep_nade", help="its name in the registry")
    parser.add_argument("--set", nargs="*", type=setting, metavar="NAME=VALUE", help="arguments of the model")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of AdamW, at first")
    parser.add_argument("--falling", choices=SCHEDULES, default="line", help="how the learning rate falls to 0")
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--ema", type=float, default=0.99, help="momentum of the averaged weights")
    parser.add_argument("--orderings", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--test", action="store_true", help="score the test part, too: once, in the end")
    parser.add_argument("--save", help="a .keras file for the model")
    parser.set_defaults(**PRESETS.get(parser.parse_known_args()[0].preset, {}))
    options = parser.parse_args()
    train, valid, test = load(options.data)
    start = time.perf_counter()
    settings = options.set if isinstance(options.set, dict) else dict(options.set or [])
    names = ("epochs", "batch_size", "learning_rate", "falling", "weight_decay", "ema")
    model = trained(train, options.model, settings, **{name: getattr(options, name) for name in names})
    if options.save:
        model.save(options.save)
    print(f"{model.count_params():,} weights, trained in {time.perf_counter() - start:.0f} s", flush=True)
    for name, part in (("valid", valid), *([("test", test)] if options.test else [])):
        for count in options.orderings:
            nats = -model.score_samples(part, num_orderings=count)
            print(f"{name}: {nats.mean():.2f} ± {nats.std() / len(nats) ** 0.5:.2f}, {count} orders", flush=True)


def setting(text):
    """A name and a value, from `name=value`."""
    name, _, value = text.partition("=")
    return name, json.loads(value)


def trained(
    x,
    model="deep_nade",
    settings=None,
    *,
    epochs=200,
    batch_size=100,
    learning_rate=1e-3,
    falling="line",
    weight_decay=0.0,
    ema=0.99,
):
    """A model that has been trained on events, some of whose values may be missing; with its weights averaged.

    The learning rate falls to 0 along a line or a cosine.
    """
    made = keras_ar.models.get(model, event_shape=x.shape[1], **(settings or {}))
    made.initialize_from_data(x[:100_000])
    rate = SCHEDULES[falling](learning_rate, epochs * -(-len(x) // batch_size))
    averaging = {"use_ema": True, "ema_momentum": ema}
    made.compile(keras.optimizers.AdamW(rate, weight_decay=weight_decay, clipnorm=5.0, **averaging))
    made.fit(x, batch_size=batch_size, epochs=epochs, verbose=0)
    made.optimizer.finalize_variable_values(made.trainable_variables)
    return made


def load(path):
    """The three parts, as arrays of bits."""
    with np.load(path) as data:
        parts = [data[name] for name in ("train", "valid", "test")]
        if parts[0].max() > 1:
            width = int(data["num_dims"]) if "num_dims" in data else 784
            parts = [np.unpackbits(part, axis=1)[:, :width] for part in parts]
    return parts


if __name__ == "__main__":
    main()
