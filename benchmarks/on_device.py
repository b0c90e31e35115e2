"""The speed of each backend on the accelerator of this machine, as a table: python benchmarks/on_device.py

Runs `speed.py` once for each backend, one after the other, and appends a table of its figures to `RESULTS.md`.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
SECTIONS = ["draw", "train", "nade", "images", "image_training", "wavenet"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="+", default=["jax", "torch"])
    parser.add_argument("--only", nargs="+", default=SECTIONS)
    parser.add_argument("--seconds", type=float, help="for each backend; what is not done by then is left out")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    figures = {name: run(name, options.only, options.seconds) for name in options.backends}
    with options.out.open("a") as file:
        file.write(table(figures))


def run(name, sections, seconds):
    """The figures that `speed.py` prints: one dictionary for each thing that it times."""
    command = [sys.executable, str(HERE / "speed.py"), "--only", *sections]
    environment = {**os.environ, "KERAS_BACKEND": name, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        printed, _ = process.communicate()
        print(f"{name}: stopped after {seconds:g} s", file=sys.stderr)
    lines = [line for line in printed.splitlines() if line.startswith("{")]
    print(*lines, sep="\n", flush=True)
    return [json.loads(line) for line in lines]


def table(figures):
    """The figures as Markdown: a row for each figure, a column for each backend."""
    rows = {}
    for name, found in figures.items():
        for figure in found:
            for key, value in figure.items():
                if key not in ("backend", "what"):
                    rows.setdefault((figure["what"], key), {})[name] = value
    lines = [f"\n### {device()}\n", f"| | {' | '.join(figures)} |", f"|---|{'---|' * len(figures)}"]
    for (what, key), values in rows.items():
        cells = [f"{values[name]:.3g}" if name in values else "" for name in figures]
        lines.append(f"| {what}: {key} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def device():
    """The name of the accelerator, from its driver."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "no accelerator"


if __name__ == "__main__":
    main()
