"""What attention must be able to learn: to reverse, sort and copy eight digits, and to remember what has been drawn.

KERAS_BACKEND=jax python benchmarks/attention_tasks.py

Eight random digits are to be written backwards, in order, or as they are: how many of 10,000 new ones come out right as
a whole, by greedy decoding. Shuffled sets are random permutations of 16 levels: a model that remembers all it has drawn
needs log2(16!) / 16 = 2.7656 bits per value.
"""

import argparse
import math
import time

import keras
import numpy as np

import keras_ar

__all__ = []

TASKS = {"reverse": lambda x: x[:, ::-1], "sort": lambda x: np.sort(x, axis=1), "copy": lambda x: x}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=[*TASKS, "sets"], help="reverse, sort, copy, sets")
    parser.add_argument("--steps", type=int, help="of training, with 128 events each: 1500, 4000 for sets")
    options = parser.parse_args()
    for task in options.tasks:
        start = time.perf_counter()
        steps = options.steps or (4000 if task == "sets" else 1500)
        found = shuffled_sets(steps) if task == "sets" else exact_matches(TASKS[task], steps)
        print(f"{task}: {found}, {time.perf_counter() - start:.0f} s", flush=True)


def exact_matches(function, steps):
    """The share of new sequences that are right as a whole."""
    rng = np.random.default_rng(0)
    sources = rng.integers(0, 10, (128 * steps + 10_000, 8)).astype("int32")
    targets = np.ascontiguousarray(function(sources)).astype("int32")
    sizes = {"units": 64, "num_layers": 2, "num_heads": 4}
    model = keras_ar.models.EncoderDecoder(
        8, condition_shape=8, source_levels=10, head=keras_ar.heads.Categorical(10), **sizes
    )
    train(model, (targets[:-10_000], sources[:-10_000]), steps)
    drawn = model.sample(10_000, sources[-10_000:], temperature=0, batch_size=1000)
    return f"{100 * (drawn == targets[-10_000:]).all(axis=1).mean():.2f} % of 10,000 right"


def shuffled_sets(steps):
    """Bits per value of new permutations."""
    rng = np.random.default_rng(0)
    x = rng.permuted(np.tile(np.arange(16, dtype="int32"), (128 * steps + 10_000, 1)), axis=1)
    model = keras_ar.models.TransformerDecoder(
        16, head=keras_ar.heads.Categorical(16), units=64, num_layers=2, num_heads=4
    )
    train(model, x[:-10_000], steps)
    bits = -model.score_samples(x[-10_000:]).mean() / (16 * math.log(2))
    return f"{bits:.4f} bits, {math.lgamma(17) / (16 * math.log(2)):.4f} at best"


def train(model, x, steps):
    """One pass over the data, at a rate that rises and falls."""
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps - 200, warmup_target=3e-3, warmup_steps=200)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0))
    model.fit(x, batch_size=128, epochs=1, verbose=0)


if __name__ == "__main__":
    main()
