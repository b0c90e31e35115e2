"""Trains a model on a data set of binary vectors and reports its likelihood on the test part.

python benchmarks/real_data.py mushrooms.npz --preset mushrooms-made
python benchmarks/real_data.py plants.npz --model made --set hidden_units=[500] dropout=0.2 --epochs 50

The npz file holds uint8 arrays `train`, `valid` and `test` of shape `(events, bits)`, or packed by `np.packbits`
(then `--bits` is their width). Settings and weights are chosen by `valid` alone; `test` is scored once, at the end, and
with `--no-test` not at all. `real_data.toml` holds the presets; options of the command line override them.
"""

import argparse
import ast
import json
import math
import pathlib
import time
import tomllib

import keras
import numpy as np

import keras_ar

PRESETS = tomllib.loads(pathlib.Path(__file__).with_suffix(".toml").read_text())


def main():
    options = parse_options()
    keras.utils.set_random_seed(options.seed)
    train, valid, test = load(options.data, options.bits)
    model = keras_ar.models.get(options.model, event_shape=train.shape[1], **options.set)

    start = time.perf_counter()
    history, best_epoch = fit(model, train, valid, options)
    result = {
        "data": options.data.stem,
        "model": options.model,
        "parameters": model.count_params(),
        "epochs": len(history["loss"]),
        "best_epoch": best_epoch,
        "seconds": round(time.perf_counter() - start, 1),
        "train_nats": history["loss"][best_epoch - 1],  # of changing weights, with dropout and without averaging
        "valid_nats": history["val_loss"][best_epoch - 1],
    }
    if not options.no_test:
        nats = -model.score_samples(test)
        result["test_nats"] = float(nats.mean())
        result["standard_error"] = float(nats.std() / math.sqrt(len(nats)))
        result["bits_per_dim"] = float(nats.mean() / (test.shape[1] * math.log(2)))
    if options.json:
        print(json.dumps({**result, "settings": vars(options), "backend": keras.backend.backend()}, default=str))
    else:
        print("\n".join(f"{name:16}{round(x, 4) if isinstance(x, float) else x}" for name, x in result.items()))


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path, help="an npz file")
    parser.add_argument("--preset", choices=PRESETS, metavar="NAME", help=f"one of {', '.join(PRESETS)}")
    parser.add_argument("--model", default="made", help="a name that `keras_ar.models.get` knows")
    parser.add_argument(
        "--set", nargs="+", type=setting, default={}, metavar="NAME=VALUE", help="the model's arguments"
    )
    parser.add_argument("--bits", type=int, help="the width of events, where the file is packed")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--patience", type=int, help="epochs without progress on `valid` before stopping")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of Adam; decays to 0 along a cosine")
    parser.add_argument(
        "--weight-decay", type=float, default=0.0, help="of kernels; decoupled, times the learning rate"
    )
    parser.add_argument("--ema", type=float, default=0.0, metavar="MOMENTUM", help="average the weights, if above 0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-test", action="store_true", help="leave the test part alone: for choosing settings")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--verbose", type=int, default=0, help="as in `fit`")

    preset = PRESETS.get(parser.parse_args().preset, {})
    parser.set_defaults(**preset)
    options = parser.parse_args()
    options.set = {**preset.get("set", {}), **dict(options.set)}
    return options


def setting(text):
    """`"hidden_units=[500]"` as the pair of a name and a Python value; what is no literal is a string."""
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def load(path, bits):
    with np.load(path) as arrays:
        parts = [arrays[name] for name in ("train", "valid", "test")]
    return [np.unpackbits(part, axis=1)[:, :bits] for part in parts] if bits else parts


def fit(model, train, valid, options):
    """Trains; the model keeps the weights of the epoch that is best on `valid`."""
    steps = options.epochs * math.ceil(len(train) / options.batch_size)
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(options.learning_rate, steps),
        weight_decay=options.weight_decay or None,
        use_ema=options.ema > 0,
        ema_momentum=options.ema or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    best = keras.callbacks.EarlyStopping(patience=options.patience or options.epochs, restore_best_weights=True)
    # Averaged weights are swapped in before `best` looks at the end of an epoch.
    averages = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if options.ema > 0 else []
    model.compile(optimizer)
    history = model.fit(
        train,
        batch_size=options.batch_size,
        epochs=options.epochs,
        validation_data=(valid,),
        validation_batch_size=500,
        callbacks=[*averages, best],
        verbose=options.verbose,
    )
    return history.history, best.best_epoch + 1


if __name__ == "__main__":
    main()
