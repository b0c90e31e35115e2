"""Puts finished runs into the zoo, and writes the table and the picture of its README.

python tools/zoo.py runs/made-digits runs/nade-digits

The folder of a run is that of `keras-ar train`; the model gets its name. Left out are pictures that show events of the
data, and what only concerns the machine that it ran on. Without a run, table and picture are made again.
"""

import json
import math
import pathlib
import re
import shutil
import sys

import matplotlib.pyplot as plt
import tomlkit

import keras_ar

ROOT = pathlib.Path(__file__).resolve().parents[1]
ZOO = ROOT / "plugins" / "keras-ar-zoo"
PICTURE = ROOT / "benchmarks" / "pictures" / "zoo.png"
KEPT = ("model.keras", "recipe.toml", "metrics.json", "README.md", "history.csv", "samples.txt", "samples.wav")
_COLUMNS = 5  # of the picture


def main(runs):
    for run in map(pathlib.Path, runs):
        add(run)
    project = tomlkit.parse((ZOO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folders = {name: ZOO.joinpath(*at.split(".")) for name, at in project["entry-points"]["keras_ar.zoo"].items()}
    page = ZOO / "README.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(re.sub(r"\| name \|.*?\n\n+", f"{table(folders)}\n\n", text, flags=re.DOTALL), encoding="utf-8")
    picture(folders)
    print("pip install -e plugins/keras-ar-zoo, then keras-ar list")


def add(run):
    """Copies what the zoo keeps of a run, and lists it among the entry points."""
    name, package = run.name, run.name.replace("-", "_")
    folder = ZOO / "keras_ar_zoo" / package
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in KEPT:
        if (run / file).exists():
            shutil.copy(run / file, folder)
    card = (folder / "README.md").read_text(encoding="utf-8")
    card = card.replace("keras_ar.load_model('model.keras')", f"keras_ar.load({name!r})")
    (folder / "README.md").write_text(card, encoding="utf-8")

    path = ZOO / "pyproject.toml"
    project = tomlkit.parse(path.read_text(encoding="utf-8"))
    groups = project["project"]["entry-points"]
    points = {**groups.get("keras_ar.zoo", {}), name: f"keras_ar_zoo.{package}"}
    groups["keras_ar.zoo"] = dict(sorted(points.items()))
    path.write_text(tomlkit.dumps(project), encoding="utf-8")


def table(folders):
    """What each model reached, in Markdown."""
    rows = ["| name | model | weights | data | test part, nats | bits per dimension | seconds of training |"]
    rows += ["|---|---|---|---|---|---|---|"]
    for name, folder in folders.items():
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        test = metrics["test"]
        at_most = "" if metrics["exact"] else "≤ "
        bits = next(value for key, value in test.items() if key.startswith("bits_per_dim"))
        cells = [
            f"`{name}`",
            f"`{metrics['model']}`",
            f"{metrics['parameters']:,}",
            f"{metrics['data']['name']}, {metrics['data']['num_levels']} levels",
            f"{at_most}{test['nats']:.2f} ± {test['standard_error']:.2f}",
            f"{at_most}{bits:.3f}",
            f"{metrics['seconds']:.0f}, {metrics['backend']}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def picture(folders):
    """Samples of each model of images."""
    models = {name: keras_ar.load_model(folder / "model.keras", compile=False) for name, folder in folders.items()}
    models = {name: model for name, model in models.items() if len(model.event_shape) == 3}
    rows = math.ceil(len(models) / _COLUMNS)
    figure, axes = plt.subplots(
        rows, _COLUMNS, figsize=(2.4 * _COLUMNS, 2.6 * rows), layout="constrained", squeeze=False
    )
    for ax in axes.flat:
        ax.axis("off")
    for ax, (name, model) in zip(axes.flat, models.items(), strict=False):
        options = {} if model.num_classes is None else {"condition": [i % model.num_classes for i in range(16)]}
        samples = model.sample(16, seed=0, **options)
        keras_ar.plots.images(samples, columns=4, num_levels=model.support.num_levels, ax=ax, title=name)
    figure.savefig(PICTURE, dpi=80)


if __name__ == "__main__":
    main(sys.argv[1:])
