"""Models of any order on real data, chosen on the validation part, tested once.

KERAS_BACKEND=jax python benchmarks/any_order.py dna.npz --preset dna --test
KERAS_BACKEND=jax python benchmarks/any_order.py plants.npz --set direct=true dropout=0.3 --orderings 1 16

The npz file holds arrays `train`, `valid` and `test` of bits, packed or not. `any_order.toml` holds the presets;
options of the command line override them.
"""

import argparse
import json
import math
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
    parser.add_argument("--shifted", type=float, default=0.0, help="share of images that are shifted in training")
    parser.add_argument("--orderings", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--test", action="store_true", help="score the test part, too: once, in the end")
    parser.add_argument("--save", help="a .keras file for the model")
    parser.set_defaults(**PRESETS.get(parser.parse_known_args()[0].preset, {}))
    options = parser.parse_args()
    train, valid, test = load(options.data)
    start = time.perf_counter()
    settings = options.set if isinstance(options.set, dict) else dict(options.set or [])
    names = ("epochs", "batch_size", "learning_rate", "falling", "weight_decay", "ema", "shifted")
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
    shifted=0.0,
):
    """A model that has been trained on events, some of whose values may be missing; with its weights averaged.

    The learning rate falls to 0 along a line or a cosine. `shifted` is for square images: the share of them that is
    shifted by a pixel, in the first four fifths of the epochs.
    """
    made = keras_ar.models.get(model, event_shape=x.shape[1], **(settings or {}))
    made.initialize_from_data(x[:100_000])
    rate = SCHEDULES[falling](learning_rate, epochs * -(-len(x) // batch_size))
    averaging = {"use_ema": True, "ema_momentum": ema}
    made.compile(keras.optimizers.AdamW(rate, weight_decay=weight_decay, clipnorm=5.0, **averaging))
    if shifted:
        data = {"x": Shifted(x, batch_size, shifted, until=epochs * 4 // 5)}
    else:
        data = {"x": x, "batch_size": batch_size}
    made.fit(**data, epochs=epochs, verbose=0)
    made.optimizer.finalize_variable_values(made.trainable_variables)
    return made


class Shifted(keras.utils.PyDataset):
    """Batches of square images, a share of them shifted by a pixel to one of eight sides, until an epoch.

    What leaves on one side comes in on the other: at the margins of MNIST there is nothing.
    """

    def __init__(self, x, batch_size, share, until, seed=0):
        super().__init__()
        side = math.isqrt(x.shape[1])
        self.images, self.batch_size, self.share, self.until = x.reshape(-1, side, side), batch_size, share, until
        self.rng, self.epoch = np.random.default_rng(seed), 0
        self.order = self.rng.permutation(len(x))

    def __len__(self):
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index):
        chosen = self.images[self.order[index * self.batch_size : (index + 1) * self.batch_size]]
        if self.epoch < self.until:
            sides = np.where(self.rng.random(len(chosen)) < self.share, self.rng.integers(1, 9, len(chosen)), 0)
            for side in range(1, 9):
                to = ((side + 1) % 3 - 1, (side // 3 + 1) % 3 - 1)
                chosen[sides == side] = np.roll(chosen[sides == side], to, axis=(1, 2))
        return (chosen.reshape(len(chosen), -1),)

    def on_epoch_end(self):
        self.epoch += 1
        self.order = self.rng.permutation(self.order)


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
