"""Models for any order on real data, chosen on the validation part, tested once.

KERAS_BACKEND=jax python benchmarks/any_order.py DATA.npz --set direct=true dropout=0.3 --orderings 1 16
"""

import argparse
import json
import time

import keras
import numpy as np

import keras_ar


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="npz with train, valid and test, of bits, packed or not")
    parser.add_argument("--model", default="deep_nade", help="its name in the registry")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="arguments of the model")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--ema", type=float, default=0.99, help="momentum of the averaged weights")
    parser.add_argument("--orderings", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--test", action="store_true", help="score the test part, too: once, in the end")
    parser.add_argument("--save", help="a .keras file for the model")
    options = parser.parse_args()
    train, valid, test = load(options.data)
    settings = dict(setting.split("=", 1) for setting in options.set)
    settings = {name: json.loads(value) for name, value in settings.items()}
    model = keras_ar.models.get(options.model, event_shape=train.shape[1], **settings)
    steps = options.epochs * -(-len(train) // options.batch_size)
    rate = keras.optimizers.schedules.PolynomialDecay(options.learning_rate, steps, 0.0)
    model.compile(
        keras.optimizers.AdamW(
            rate, weight_decay=options.weight_decay, use_ema=True, ema_momentum=options.ema, clipnorm=5.0
        )
    )
    start = time.perf_counter()
    model.fit(train, batch_size=options.batch_size, epochs=options.epochs, verbose=0)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    if options.save:
        model.save(options.save)
    print(f"{model.count_params():,} weights, trained in {time.perf_counter() - start:.0f} s", flush=True)
    for name, part in (("valid", valid), *([("test", test)] if options.test else [])):
        for count in options.orderings:
            nats = -model.score_samples(part, num_orderings=count)
            print(f"{name}: {nats.mean():.2f} ± {nats.std() / len(nats) ** 0.5:.2f}, {count} orders", flush=True)


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
