"""Every trained model against its card: the bytes, the scores of its test part, its samples.

Data that keras_ar does not bring along are looked for in the folder KERAS_AR_ZOO_DATA: binarized_mnist.npz,
tinyshakespeare.txt and sense_and_sensibility.wav.
"""

import json
import os
import pathlib
import subprocess
import sys
import tomllib
import zipfile

import numpy as np
import pytest
from typer.testing import CliRunner

import keras_ar
from keras_ar_cli import app

ENTRIES = [entry for entry in keras_ar.registry.entries("zoo") if entry.distribution == "keras-ar-zoo"]
NAMES = [entry.name for entry in ENTRIES]
ON_EVERY_BACKEND = ("made-digits", "glow-digits", "char-rnn-shakespeare")
MOST_BYTES = 15_000_000

names = pytest.mark.parametrize(
    "name", [n if n in ON_EVERY_BACKEND else pytest.param(n, marks=pytest.mark.one_backend) for n in NAMES]
)


def data_of(name):
    """What `--data` is to be given, a list; skips the test where the data are not at hand."""
    recipe = tomllib.loads((keras_ar.registry.find("zoo", name).folder / "recipe.toml").read_text(encoding="utf-8"))
    wanted = recipe["data"]["name"]
    if wanted == "digits":
        return []
    folder = os.environ.get("KERAS_AR_ZOO_DATA")
    if folder is None:
        pytest.skip(f"{wanted} is looked for in KERAS_AR_ZOO_DATA")
    found = next(path for path in pathlib.Path(folder).iterdir() if path.name.startswith(wanted))
    return ["--data", str(found)]


@names
def test_it_scores_its_test_part_as_its_card_says(name):
    result = CliRunner().invoke(app, ["evaluate", name, "--json", *data_of(name)])
    assert result.exit_code == 0, result.output
    found, said = json.loads(result.stdout), keras_ar.zoo.metrics(name)["test"]
    assert found["nats"] == pytest.approx(said["nats"], rel=1e-4)
    assert found["events"] == said["events"]
    assert f"{said['nats']:.4f} ± {said['standard_error']:.4f}" in keras_ar.zoo.card(name)


@names
def test_it_draws_what_it_scores_like_its_data(name):
    model, expected = keras_ar.load(name), keras_ar.zoo.metrics(name)["test"]["nats"]
    condition = {} if model.num_classes is None else {"condition": np.arange(8) % model.num_classes}
    length = {}
    if isinstance(model, keras_ar.SequenceModel):
        length, expected = {"length": 64}, expected * 64 / model.event_shape[0]
    x = model.sample(8, seed=0, **condition, **length)
    assert -model.score_samples(x, **condition).mean() == pytest.approx(expected, rel=0.5)


@pytest.mark.one_backend
@pytest.mark.parametrize("name", NAMES)
def test_its_card_says_where_it_comes_from(name):
    card, metrics = keras_ar.zoo.card(name), keras_ar.zoo.metrics(name)
    for what in (
        f"keras_ar.load({name!r})",
        f"| data set | {metrics['data']['name']}: {metrics['data']['description']} |",
        "| split | ",
        f"| seconds of training | {metrics['seconds']:.1f} |",
        f"| SHA-256 of model.keras | {metrics['sha256']} |",
        f"keras-ar train recipe.toml --backend {metrics['backend']}",
        (keras_ar.registry.find("zoo", name).folder / "recipe.toml").read_text(encoding="utf-8"),
    ):
        assert what in card
    model = keras_ar.load(name)
    assert not model.compiled
    assert model.count_params() == metrics["parameters"]


@pytest.mark.one_backend
def test_the_zoo_has_what_it_promises():
    kinds = {keras_ar.zoo.metrics(name)["model"] for name in NAMES}
    assert {"MADE", "NADE", "PixelCNN", "PixelCNNPlusPlus", "CharRNN", "WaveNet", "DeepNADE", "Dequantized"} <= kinds
    assert keras_ar.zoo.metrics("pixel-cnn-plus-plus-mnist")["test"]["nats"] <= 80.1


@pytest.mark.one_backend
def test_the_wheel_is_small_and_all_that_is_needed(tmp_path):
    folder = pathlib.Path(__file__).parents[1]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    options = ["--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *options, "-w", tmp_path, folder], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < MOST_BYTES
    listed = {name.split("/")[1] for name in zipfile.ZipFile(wheel).namelist() if name.endswith("model.keras")}
    assert listed == {entry.folder.name for entry in ENTRIES}
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = "import keras_ar; print(keras_ar.zoo.load('fvsbn-digits').sample(2, seed=0).shape)"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}"}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "(2, 8, 8, 1)"


def run(*arguments):
    """What a command prints as JSON; the message of its error, if it fails."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    return json.loads(result.stdout or result.stderr)


@pytest.mark.one_backend
def test_the_command_line_opens_it_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("sample", "made-digits", "-n", 4, "--seed", 0)["file"] == "samples.png"
    assert run("complete", "nade-digits", "-n", 2, "--out", "lower.npy", "--seed", 0)["num"] == 2
    assert np.load("lower.npy").shape == (2, 8, 8, 1)
    assert run("info", "made-digits")["trained_on"] == "digits"
    found = run("list")["trained"]
    assert [run["name"] for run in found] == NAMES
    assert found[NAMES.index("made-digits")]["test"]["nats"] == keras_ar.zoo.metrics("made-digits")["test"]["nats"]


@pytest.mark.one_backend
def test_many_processes_can_share_its_work(tmp_path):
    result = run("sample", "fvsbn-digits", "--last", 8, "--seed", 0, "--out", tmp_path / "samples")
    assert result["num"] == 8


@pytest.mark.one_backend
def test_a_name_that_is_not_there_is_an_error():
    assert "Did you mean 'made-digits'" in run("info", "made-digit")["error"]
    assert "a .keras file, the folder of a run, or a trained model" in run("info", "made-digit")["error"]
    with pytest.raises(keras_ar.registry.UnknownNameError, match="Did you mean 'made-digits'"):
        keras_ar.load("made-digit")
    for name in ("digits.keras", f"runs{os.path.sep}made-digits", None, 3):
        with pytest.raises(ValueError, match="load_model` opens files"):
            keras_ar.load(name)
