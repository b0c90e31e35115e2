"""TransformerDecoder beside a GPT-2 of KerasHub, of the same size: draws and training steps, in turn in one process.

KERAS_BACKEND=jax python benchmarks/transformers.py

Needs `pip install --no-deps keras-hub kagglehub kagglesdk sentencepiece regex`.
"""

import argparse
import resource
import time

import keras
import keras_hub
import numpy as np

import keras_ar

__all__ = []

LEVELS = 65


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=["draw", "window", "train"], default=["draw", "window", "train"])
    options = parser.parse_args()
    print(f"{keras.backend.backend()}, KerasHub {keras_hub.__version__}")
    if "draw" in options.only:
        for batch in options.batches:
            report(f"{options.length} tokens, {batch} sequences", *draws(options.length, batch), options.rounds)
    if "window" in options.only:
        window_steps(options.rounds)
    if "train" in options.only:
        report("training step, 16 sequences of 256", *training_steps(256, 16), options.rounds)


def ours(length, **options):
    """A decoder of 4 blocks of 128."""
    settings = {"head": keras_ar.heads.Categorical(LEVELS), "units": 128, "num_layers": 4, "num_heads": 4}
    return keras_ar.models.TransformerDecoder(length, **{**settings, "positions": "learned", **options})


def theirs(length):
    """A GPT-2 of the same size."""
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=LEVELS,
        num_layers=4,
        num_heads=4,
        hidden_dim=128,
        intermediate_dim=512,
        dropout=0.0,
        max_sequence_length=length,
    )
    return keras_hub.models.GPT2CausalLM(backbone, preprocessor=None)


def draws(length, batch):
    """Two functions that draw."""
    model, gpt = ours(length), theirs(length)
    gpt.compile(sampler=keras_hub.samplers.RandomSampler(seed=0))
    tokens, mask = np.zeros((batch, length), "int32"), np.zeros((batch, length), bool)
    mask[:, 0] = True
    return (
        lambda: model.sample(batch, seed=0, batch_size=batch),
        lambda: gpt.generate({"token_ids": tokens, "padding_mask": mask}, stop_token_ids=None),
    )


def window_steps(rounds):
    """The cost of a step of a stream, early and late."""
    model = ours(256, positions="rotary", window=128)
    stream = model.stream(chunk=1000, seed=0)
    next(stream)
    early = min(seconds(lambda: next(stream)) for _ in range(rounds))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(100 - rounds - 1):
        next(stream)
    late = min(seconds(lambda: next(stream)) for _ in range(rounds))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"a step with a window of 128: {1e3 * early:.1f} µs from step 1,000, {1e3 * late:.1f} µs from step 100,000")
    whole = np.concatenate([next(s) for s in [model.stream(chunk=1000, seed=0)] for _ in range(100)], axis=1)
    pieces = model.stream(chunk=3333, seed=0)
    same = (np.concatenate([next(pieces) for _ in range(30)], axis=1) == whole[:, :99_990]).mean()
    print(f"100,000 steps: {100 * same:.3f} % the same in other pieces; the process grew by {grown:.0f} MiB at most")


def training_steps(length, batch):
    """Two functions that train for 20 steps."""
    model, gpt = ours(length), theirs(length)
    model.compile(keras.optimizers.Adam(1e-3))
    gpt.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[],
    )
    x = np.random.default_rng(0).integers(0, LEVELS, (20 * batch, length)).astype("int32")
    inputs = {"token_ids": x, "padding_mask": np.ones(x.shape, bool)}
    fit = {"batch_size": batch, "verbose": 0, "shuffle": False}
    return lambda: model.fit(x, **fit), lambda: gpt.fit(inputs, x, **fit)


def seconds(function):
    """How long a function takes that returns NumPy arrays or waits by itself."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def report(what, first, second, rounds):
    """Prints the least time of each, run in turn, and their ratio."""
    for function in (first, second):
        function()
    times = [(seconds(first), seconds(second)) for _ in range(rounds)]
    one, other = (min(each) for each in zip(*times, strict=True))
    print(f"{what}: ours {one:.3f} s, KerasHub {other:.3f} s, {other / one:.2f} times as long", flush=True)


if __name__ == "__main__":
    main()
