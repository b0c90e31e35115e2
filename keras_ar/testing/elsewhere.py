"""Scores a saved model on another backend, in a process of its own that is started once and kept.

Run as a module it is that process: it reads requests, a line of JSON each, from
standard input and answers each with one line.
"""

import atexit
import functools
import importlib
import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np

from keras_ar.backend import prefers_eager

_BACKENDS = ("jax", "tensorflow", "torch")


def other_backends():
    """The installed backends besides the one that runs here."""
    here = keras.backend.backend()
    return [name for name in _BACKENDS if name != here and importlib.util.find_spec(name)]


def scores(backend, modules, model_path, data_path):
    """`score_samples` of the model in a file over the arrays of an npz file, as another backend computes it.

    The modules are those that register classes of the model; unlike a plugin's, they may stand anywhere on `sys.path`.
    """
    process = _worker(backend)
    process.stdin.write(json.dumps([modules, model_path, data_path]) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError(f"The process for the backend {backend!r} ended with code {process.wait()}.")
    answer = json.loads(answer)
    if isinstance(answer, str):
        raise RuntimeError(f"On the backend {backend!r}: {answer}")
    return np.array(answer)


@functools.cache
def _worker(backend):
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(process.kill)
    return process


def _serve():
    for line in sys.stdin:
        modules, model_path, data_path = json.loads(line)
        try:
            for module in modules:
                importlib.import_module(module)
            model = keras.saving.load_model(model_path)
            model.compile(run_eagerly=prefers_eager())
            with np.load(data_path) as data:
                answer = model.score_samples(*data.values()).tolist()
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
