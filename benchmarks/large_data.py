"""How much memory data larger than it take: KERAS_BACKEND=jax python benchmarks/large_data.py [--gigabytes 20]

Makes an npy file of binary events, most of it a hole that takes no room on the disk. It is loaded, which reads it once
for the number of levels; a small MADE is trained on some batches in a random order, evaluated on `valid`, and scores
`train`. Prints a line of JSON: the size of the data beside the largest memory of the process in MB, as Linux counts it:
resident, and of that anonymous (no pages of files) and of files (of libraries, too). The file is removed.
"""

import argparse
import json
import os
import pathlib
import shutil
import tempfile
import threading
import time

import keras
import numpy as np

import keras_ar

NUM_DIMS = 1024
BLOCKS, ROWS = 64, 512  # how many blocks of the file are written, and how many events are in one


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--steps", type=int, default=200, help="of training")
    parser.add_argument("--batch-size", type=int, default=256, help="events in a step of training")
    parser.add_argument("--share", type=float, default=1.0, help="of the training part that is scored")
    parser.add_argument("--folder", type=pathlib.Path, help="where to make the file; default: that of temporary files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = pathlib.Path(folder, "large.npy")
        write(path, int(arguments.gigabytes * 1e9 / NUM_DIMS))
        with Memory() as memory:
            seconds = use(path, arguments.steps, arguments.batch_size, arguments.share)
        sizes = {"data_mb": path.stat().st_size // 10**6, **memory.most}
    print(json.dumps({"backend": keras.backend.backend(), **sizes, "seconds": seconds}))


def write(path, num_events):
    """A file of zeros with blocks of random bits in it."""
    needed = BLOCKS * ROWS * NUM_DIMS + 2**30
    if shutil.disk_usage(path.parent).free < needed:
        raise SystemExit(f"error: {path.parent} must have {needed / 2**30:.1f} GB free")
    x, rng = np.lib.format.open_memmap(path, "w+", "uint8", (num_events, NUM_DIMS)), np.random.default_rng(0)
    for first in np.linspace(0, num_events - ROWS, BLOCKS).astype(int):
        x[first : first + ROWS] = rng.integers(0, 2, (ROWS, NUM_DIMS))
    x.flush()


def use(path, steps, batch_size, share):
    """Loads, trains, evaluates and scores; returns the seconds of each."""
    seconds, start = {}, time.perf_counter()

    def lap(name):
        seconds[name] = round(time.perf_counter() - start - sum(seconds.values()), 1)

    data = keras_ar.datasets.load(path, split=(0.98, 0.01, 0.01))
    lap("load")
    model = keras_ar.models.MADE(data.event_shape, hidden_units=(16,))
    model.compile("adam")
    model.fit(data.train, batch_size=batch_size, steps_per_epoch=steps, verbose=0)
    lap("fit")
    model.evaluate(data.valid, batch_size=4096, verbose=0)
    lap("evaluate")
    scores = model.score_samples(data.train[: int(share * len(data.train))], batch_size=4096)
    lap("score")
    assert np.isfinite(scores).all()
    return seconds


class Memory:
    """The largest memory of this process while the block runs, by looking ten times a second."""

    def __enter__(self):
        self.most, self._is_over = {}, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *args):
        self._is_over.set()
        self._thread.join()

    def _watch(self):
        while True:
            lines = pathlib.Path("/proc", str(os.getpid()), "status").read_text().splitlines()
            found = dict(line.split(":", 1) for line in lines)
            for name, field in (("resident_mb", "VmHWM"), ("anonymous_mb", "RssAnon"), ("of_files_mb", "RssFile")):
                self.most[name] = max(self.most.get(name, 0), int(found[field].split()[0]) * 1024 // 10**6)
            if self._is_over.wait(0.1):
                return


if __name__ == "__main__":
    main()
