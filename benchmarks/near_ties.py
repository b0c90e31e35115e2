"""How often do backends draw different values with the same weights and seed? python benchmarks/near_ties.py

A uniform within rounding of the edge between two values may fall on either side. This samples the same events on the
three backends, each in a process of its own, and counts the events that differ anywhere.
"""

import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

CASES = {
    "binary: 512 samples of 784 pixels": {"event_shape": 784, "head": "bernoulli"},
    "256 levels: 512 samples of 64 pixels": {"event_shape": 64, "head": "categorical"},
}
BACKENDS = ("jax", "tensorflow", "torch")


def main():
    for name, arguments in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder, "model.keras")
            samples = {backend: _in_process(backend, model, arguments) for backend in BACKENDS}
        for a, b in itertools.combinations(BACKENDS, 2):
            differ = (samples[a] != samples[b]).any(axis=1)
            # Only the first value that differs is a near tie: the values after it have another past.
            print(f"{name}: {a} and {b} differ in {differ.sum()} events, for {samples[a].size} values")


def _in_process(backend, model, arguments):
    result = model.with_name(f"{backend}.npy")
    subprocess.run(
        [sys.executable, __file__, str(model), str(result), json.dumps(arguments)],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return np.load(result)


def _sample(path, result, arguments):
    import keras

    import keras_ar

    if os.path.exists(path):
        model = keras.saving.load_model(path)
    else:
        model = keras_ar.models.MADE(**json.loads(arguments), hidden_units=(500, 500))
        keras_ar.noise.randomize(model)
        model.save(path)
    np.save(result, model.sample(512, seed=0))


if __name__ == "__main__":
    _sample(*sys.argv[1:]) if len(sys.argv) > 1 else main()
