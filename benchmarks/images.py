"""Trains a model of images within a budget of processor time, reports its likelihood, and writes pictures.

KERAS_BACKEND=tensorflow python benchmarks/images.py binarized_mnist.npz --model pixel_cnn --core-minutes 40
KERAS_BACKEND=tensorflow python benchmarks/images.py /usr/share/datasets/fashion-mnist --model gated_pixel_cnn ...
KERAS_BACKEND=jax python benchmarks/images.py digits --model pixel_cnn --epochs 60 --patience 10

The data are what `keras_ar.datasets.load` takes, a name or a path; images in a folder, such as Fashion-MNIST, are
binarized at one half, unless `--gray`. The learning rate falls to zero along a cosine over the budget, which is counted
in minutes of processor time over all cores, so that other processes do not count. `test` is scored once, at the end.
"""

import argparse
import json
import math
import pathlib
import time

import keras
import numpy as np
from real_data import setting

import keras_ar


def main():
    options = parse_options()
    keras.utils.set_random_seed(options.seed)
    data = keras_ar.datasets.load(options.data, binary=pathlib.Path(options.data).is_dir() and not options.gray)
    train, valid, test, num_levels = data.train, data.valid, data.test, data.num_levels
    model = keras_ar.models.get(
        options.model, event_shape=train.shape[1:], head=head_of(options, num_levels), **options.set
    )
    model.initialize_from_data(train[:200])

    momentum = {"use_ema": options.ema > 0, "ema_momentum": options.ema or 0.99}
    model.compile(keras.optimizers.Adam(options.learning_rate, **momentum))
    _, took = fit(model, train, valid, options, options.patience)

    nats = {part: -model.score_samples(x) for part, x in (("valid", valid), ("test", test))}
    result = {
        "data": options.data,
        "model": options.model,
        **took,
        "valid_nats": nats["valid"].mean(),
        "test_nats": nats["test"].mean(),
        "standard_error": nats["test"].std() / math.sqrt(len(test)),
        "bits_per_dim": nats["test"].mean() / (math.prod(test.shape[1:]) * math.log(2)),
    }
    print(
        json.dumps({**result, "settings": vars(options), "backend": keras.backend.backend()}, default=str), flush=True
    )
    if options.save:
        model.save(options.save)
    if options.pictures:
        write_pictures(model, test, num_levels, options.pictures)


def fit(model, train, valid, options, patience=None, callbacks=()):
    """Trains a compiled model within the budget: Keras' history, and what it took and came to, by name.

    With `patience` it ends with the weights of the epoch that is best on the validation part.
    """
    budget = Budget(options)
    callbacks = [budget, *callbacks]
    if model.optimizer.use_ema:
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if patience:
        callbacks.append(keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True))
    start = time.perf_counter()
    history = model.fit(
        train,
        batch_size=options.batch_size,
        epochs=options.epochs,
        validation_data=(valid,) if patience else None,
        callbacks=callbacks,
        verbose=2,
    ).history
    return history, {
        "parameters": model.count_params(),
        "steps": budget.steps,
        "epochs": budget.steps * options.batch_size / len(train),
        "core_minutes": budget.used,
        "seconds": time.perf_counter() - start,
        "train_nats": history["loss"][-1],
        "chosen_epoch": int(np.argmin(history["val_loss"])) + 1 if patience else len(history["loss"]),
    }


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a name or a path that `keras_ar.datasets.load` takes")
    parser.add_argument("--model", default="pixel_cnn", help="a name that `keras_ar.models.get` knows")
    parser.add_argument(
        "--set", nargs="+", type=setting, default={}, metavar="NAME=VALUE", help="the model's arguments"
    )
    parser.add_argument("--gray", action="store_true", help="keep the levels of images in a folder")
    parser.add_argument("--mixture", type=int, help="components of a discretized logistic mixture, as the head")
    parser.add_argument("--core-minutes", type=float, default=math.inf)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--patience", type=int, help="epochs without progress on `valid` before stopping")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--ema", type=float, default=0.0, metavar="MOMENTUM", help="average the weights, if above 0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", help="a .keras file for the trained model")
    parser.add_argument("--pictures", help="beginning of the names of pictures")
    options = parser.parse_args()
    options.set = dict(options.set)
    return options


def head_of(options, num_levels):
    if options.mixture:
        return keras_ar.heads.DiscretizedLogisticMixture(num_levels, options.mixture)
    return "bernoulli" if num_levels == 2 else keras_ar.heads.Categorical(num_levels)


class Budget(keras.callbacks.Callback):
    """Stops when the processor time is spent, or the epochs, and lets the learning rate fall until then."""

    def __init__(self, options):
        super().__init__()
        self.options, self.steps = options, 0

    @property
    def used(self):
        """Minutes of all cores so far."""
        return (time.process_time() - self.start) / 60

    def on_train_begin(self, logs=None):
        self.start = time.process_time()

    def on_train_batch_begin(self, batch, logs=None):
        spent = max(self.used / self.options.core_minutes, self.steps / (self.params["steps"] * self.options.epochs))
        self.model.optimizer.learning_rate = self.options.learning_rate * 0.5 * (1 + math.cos(math.pi * min(spent, 1)))
        self.model.stop_training |= spent >= 1

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1


def write_pictures(model, test, num_levels, name):
    """64 samples, and test images completed from the first half of the ordering: the upper half, if it goes by rows."""
    samples = model.sample(64, seed=0)
    keras_ar.plots.images(samples, columns=8, num_levels=num_levels).figure.savefig(f"{name}_samples.png")
    known = np.zeros(test.shape[1:], bool)
    known.flat[model.ordering[: model.num_steps // 2]] = True
    completed = model.complete(np.concatenate([test[:8]] * 6), known, seed=0).reshape(6, *test[:8].shape)
    ax = keras_ar.plots.completions(test[:8], known, completed, num_levels=num_levels)
    ax.figure.savefig(f"{name}_completed.png")


if __name__ == "__main__":
    main()
