"""Workers beside one, and workers that are killed: what `keras_ar.scale` promises, measured.

KERAS_BACKEND=jax python benchmarks/scale.py throughput --work sample
KERAS_BACKEND=jax python benchmarks/scale.py throughput --work score --ray
KERAS_BACKEND=jax python benchmarks/scale.py kills --ray

`throughput` has one worker and then two do the same ranges, each with one thread, and prints the events of a second
while all of them are at work: neither loading and compiling nor the end count. `kills` has two workers sample, kills
one of them at random twenty times with SIGKILL, and compares every byte with what one process writes that is left
alone. Workers are processes with a `--shard` each, or with `--ray` those of Ray (`pip install "keras-ar[ray]"`).
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np

import keras_ar

FILE, DATA = "made.keras", "events.npy"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("throughput", "kills"))
    parser.add_argument("--work", choices=("sample", "score"), default="sample")
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--ranges", type=int, default=40)
    parser.add_argument("--size", type=int, help="events in a range")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of who is killed, and when")
    options = parser.parse_args()
    options.size = options.size or {"sample": 1000, "score": 20_000}[options.work]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare(options)
        found = {"throughput": throughput, "kills": kills}[options.what](options)
        print(json.dumps({"backend": keras.backend.backend(), **vars(options), **found}))


def prepare(options):
    """A MADE of 784 bits, and events of its size."""
    model = keras_ar.models.MADE((28, 28, 1), hidden_units=(500, 500))
    keras_ar.noise.randomize(model)
    model.save(FILE)
    shape = (options.ranges * options.size, 28, 28, 1)
    np.save(DATA, np.random.default_rng(0).integers(0, 2, shape, dtype="uint8"))


def command(options, out, share=None, workers=None):
    """The command line of one process."""
    work = [FILE, DATA] if options.work == "score" else [FILE, "--seed", 0, "--last", options.ranges * options.size]
    how = ["--shard", share] if share else ["--ray", workers]
    line = [options.work, *work, "--out", out, "--size", options.size, *how, "--json"]
    return [sys.executable, "-m", "keras_ar_cli", *map(str, line)]


def start(line, cores=None):
    """Starts a process, on some cores or on any: XLA takes as many threads as there are cores, whatever it is told."""
    pin = None if cores is None else lambda: os.sched_setaffinity(0, cores)
    return subprocess.Popen(line, env=ENVIRONMENT, stdout=subprocess.DEVNULL, preexec_fn=pin)


def commands(options, out, count):
    """The command lines of workers: a process for each, or one that has them as workers of Ray."""
    if options.ray:
        return [command(options, out, workers=count)]
    return [command(options, out, share=f"{i + 1}/{count}") for i in range(count)]


def run(options, out, count):
    """Lets workers do all ranges, each on a core of its own; those of Ray share as many cores as they are."""
    lines = commands(options, out, count)
    cores = [range(count)] if options.ray else [[i] for i in range(count)]
    for process in [start(*pair) for pair in zip(lines, cores, strict=True)]:
        if process.wait() != 0:
            raise RuntimeError(f"a worker ended with {process.returncode}")


def contents(out):
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in pathlib.Path(out).iterdir() if path.name[0] != "."}


def throughput(options):
    """Events of a second by one worker and by two."""
    rates = []
    for count in (1, 2):
        run(options, f"by_{count}", count)
        times = sorted(path.stat().st_mtime for path in pathlib.Path(f"by_{count}").glob("events-*"))
        # From when each worker has loaded and compiled to when the first has nothing left to do, roughly.
        first, last = 2 * count, len(times) - 1 - count
        rates.append((last - first) * options.size / (times[last] - times[first]))
    if contents("by_1") != contents("by_2"):
        raise AssertionError("two workers have not written what one has written")
    return {"events_per_second": rates, "ratio": rates[1] / rates[0]}


def kills(options):
    """How many workers were killed, and whether the files are those of one process that was left alone."""
    run(argparse.Namespace(**{**vars(options), "ray": False}), "alone", 1)
    rng, killed = random.Random(options.seed), 0
    processes = {tuple(line): start(line) for line in commands(options, "killed", 2)}
    while any(process.poll() != 0 for process in processes.values()):
        time.sleep(rng.uniform(3, 20))
        alive = [process.pid for process in processes.values() if process.poll() is None]
        victims = workers_of_ray() if options.ray else alive
        if victims and killed < options.kills:
            os.kill(rng.choice(victims), signal.SIGKILL)
            killed += 1
        for line, process in processes.items():
            if process.poll() not in (None, 0):  # it is started again, as a scheduler would
                processes[line] = start(line)
    return {"killed": killed, "files": len(contents("killed")), "equal": contents("alone") == contents("killed")}


def workers_of_ray():
    """The processes of Ray's workers that do ranges."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if "MapWorker" in path.read_text(errors="replace"):
                found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    main()
