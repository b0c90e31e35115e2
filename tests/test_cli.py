"""The command line: what it prints, what it writes, and that nothing is lost when it is stopped."""

import contextlib
import csv
import hashlib
import importlib
import json
import os
import pathlib
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import h5py
import keras
import numpy as np
import pytest
from gaussian_mixture import GaussianMixture
from typer.testing import CliRunner
from variants import on_one_backend

import keras_ar
from keras_ar_cli import app, run, show
from keras_ar_cli import folder as folders
from keras_ar_cli import recipe as recipes

BACKEND = keras.backend.backend()
SMALL = ["--set", "train.epochs=2", "--set", "train.batch_size=512"]


def call(*arguments):
    """The exit code, stdout and stderr of a command."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def run_json(*arguments):
    """What a command prints with `--json`."""
    code, out, err = call(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def error_of(*arguments):
    """The one line with which a command fails."""
    code, _, err = call(*arguments)
    assert code == 2, (code, err)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "fvsbn"
    run_json("train", "fvsbn-digits", "--out", folder, *SMALL)
    return folder


# What it does.


def test_a_run_writes_one_folder(finished):
    names = {path.name for path in finished.iterdir()}
    assert {"recipe.toml", "model.keras", "README.md", "history.csv", "metrics.json"} <= names
    assert {"learning_curves.png", "neighbors.png", "samples.png"} <= names
    assert {name for name in names if name.startswith(".") or name == "backup"} == {folders.MARKER}
    assert recipes.find(str(finished / "recipe.toml"))["train"]["epochs"] == 2


def test_its_card_has_the_figures_of_the_run(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    card = (finished / "README.md").read_text(encoding="utf-8")
    assert "README.md" in metrics["files"]
    assert "| data set | digits: handwritten digits of scikit-learn, 8 by 8 pixels, binary: 1 from level 9 on |" in card
    assert "| split | 1,297 train, 250 valid, 250 test |" in card
    assert f"keras-ar train recipe.toml --backend {metrics['backend']}" in card
    assert (finished / "recipe.toml").read_text(encoding="utf-8") in card
    assert f"| test nats | {metrics['test']['nats']:.4f} ± {metrics['test']['standard_error']:.4f} |" in card
    assert f"| test bits/dim | {metrics['test']['bits_per_dim']:.4f} |" in card
    assert "keras_ar.load_model('model.keras')" in card


def test_its_metrics_are_the_likelihoods_of_the_model_that_it_saved(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    data = keras_ar.datasets.load("digits", binary=True)
    nats = -keras_ar.load_model(finished / "model.keras").score_samples(data.test)
    assert metrics["test"]["nats"] == pytest.approx(nats.mean(), rel=1e-5)
    assert metrics["test"]["standard_error"] == pytest.approx(nats.std() / np.sqrt(250), rel=1e-4)
    assert metrics["test"]["bits_per_dim"] == pytest.approx(nats.mean() / 64 / np.log(2), rel=1e-5)
    assert metrics["train"]["events"] == 1297
    assert metrics["epochs"] == 2


def test_its_model_comes_without_the_optimizer(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["sha256"] == hashlib.sha256((finished / "model.keras").read_bytes()).hexdigest()
    assert not keras_ar.load_model(finished / "model.keras").compiled
    with zipfile.ZipFile(finished / "model.keras").open("model.weights.h5") as weights:
        assert "optimizer" not in h5py.File(weights)


@pytest.mark.one_backend
def test_the_commands_of_the_readme_run(tmp_path, monkeypatch):
    """As they are, but that they train for a moment; in their order, in one folder."""
    readme = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "novel.txt").write_text("It is a truth universally acknowledged. " * 200)
    commands = re.findall(r"^    keras-ar (.*?)(?: +#.*)?$", readme, flags=re.MULTILINE)
    for command in commands:
        code, _, err = call(*shlex.split(command), *(SMALL if command.startswith("train") else []))
        assert code == 0, err
    assert {"made.png", "samples.png", "runs"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.one_backend
def test_train_prints_a_table(tmp_path):
    code, out, _ = call("train", "fvsbn-digits", "--out", tmp_path / "run", *SMALL)
    assert code == 0
    assert "epoch 2/2: train " in out
    assert "FVSBN of 2,080 weights, 0.0 MB" in out
    assert "first step: " in out
    assert "of 3 steps in an epoch" in out
    for word in ("nats per event", "bits per dimension", "valid", "±", "model.keras"):
        assert word in out


@pytest.mark.one_backend
def test_any_model_trains_on_any_data_that_fit(tmp_path):
    lines = "\n".join("0.5,1.5,-2.0" if i % 2 else "0.25,-1.0,3.5" for i in range(60))
    (tmp_path / "table.csv").write_text(lines)
    arguments = ["--data", tmp_path / "table.csv", "--set", "model.hidden_units=[8]", *SMALL]
    metrics = run_json("train", "made", "--out", tmp_path / "run", *arguments)
    assert metrics["model"] == "MADE"
    assert metrics["test"]["events"] == 6
    assert (tmp_path / "run" / "samples.csv").read_text().count("\n") == 64


WORDS = "color,size\n" + "red,0\ngreen,1\n" * 30
NUMBERS = "width,length,kind\n" + "0.5,1500,0\n0.25,-1000,1\n" * 30


@pytest.mark.one_backend
def test_samples_of_a_table_have_its_header_and_its_words(tmp_path):
    (tmp_path / "table.csv").write_text(WORDS)
    run_json("train", "made", "--data", tmp_path / "table.csv", "--out", tmp_path / "run", *SMALL)
    run_json("complete", tmp_path / "run", "--out", tmp_path / "completed.csv")
    run_json("sample", tmp_path / "run", "--out", tmp_path / "samples.csv")
    for path in (tmp_path / "completed.csv", tmp_path / "samples.csv", tmp_path / "run" / "samples.csv"):
        header, *rows = path.read_text().splitlines()
        assert header == "color,size"
        assert {row.partition(",")[0] for row in rows} <= {"red", "green"}


@pytest.mark.one_backend
@pytest.mark.parametrize("column", ["kind", "2", "-1"])
def test_the_classes_of_a_table_are_in_a_column(column, tmp_path):
    (tmp_path / "table.csv").write_text(NUMBERS)
    arguments = ["train", "made", "--data", tmp_path / "table.csv", "--out", tmp_path / "run", *SMALL]
    assert "the name or the index of a column" in error_of(*arguments, "--set", "data.labels=true")
    assert "one of width, length, kind" in error_of(*arguments, "--set", "data.labels=kinds")
    run_json(*arguments, "--set", f"data.labels={column}")
    assert run_json("info", tmp_path / "run")["num_classes"] == 2
    assert run_json("evaluate", tmp_path / "run")["events"] == 6


@pytest.mark.one_backend
def test_a_class_that_the_model_does_not_know_is_found_at_once(tmp_path):
    parts = {"train": 0, "valid": 1, "test": 2}
    arrays = {part: np.zeros((9, 4), "uint8") for part in parts}
    np.savez(tmp_path / "data.npz", **arrays, **{f"{part}_labels": np.full(9, i) for part, i in parts.items()})
    settings = ["--set", "data.labels=true", "--set", "model.num_classes=2", "--out", tmp_path / "run", *SMALL]
    error = error_of("train", "fvsbn", "--data", tmp_path / "data.npz", *settings)
    assert "integers from 0 to 1. Received class 2" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.one_backend
def test_a_head_for_real_values_takes_their_units(tmp_path):
    (tmp_path / "table.csv").write_text("width,length,same\n" + "0.5,1500,7.5\n0.25,-1000,7.5\n" * 30)
    recipe = recipes.changed(recipes.of_model("made", str(tmp_path / "table.csv")), [])
    data, model = run.prepare(recipe)
    np.testing.assert_allclose(model.head.loc, data.train.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(model.head.scale, [*data.train[:, :2].std(axis=0), 1.0], rtol=1e-4)
    assert not list(run.doubts(model, data))
    (line,) = run.doubts(run.make_model(recipes.changed(recipe, ["model.head=normal"]), data), data)
    assert line.startswith("the head has loc=0 and scale=1, but column length has mean ")


@pytest.mark.one_backend
def test_text_is_trained_on_continued_and_scored(tmp_path):
    (tmp_path / "be.txt").write_text("to be or not to be, that is the question. " * 40)
    small = ["--set", "data.length=20", "--set", "model.units=8", "--set", "model.num_layers=1", *SMALL]
    folder = tmp_path / "run"
    run_json("train", "char_rnn", "--data", tmp_path / "be.txt", "--out", folder, *small)
    assert len((folder / "samples.txt").read_text()) > 1500
    sampled = run_json(
        "sample", folder, "-n", 1, "--length", 30, "--prompt", "to be", "--seed", 0, "--out", folder / "a.txt"
    )
    text = pathlib.Path(sampled["file"]).read_text()
    assert text.startswith("to be")
    assert len(text.rstrip("\n")) <= 30
    (tmp_path / "other.txt").write_text("not the question to be " * 40)  # fewer characters, in another order
    assert run_json("evaluate", folder, "--data", tmp_path / "other.txt")["events"] > 0
    (tmp_path / "foreign.txt").write_text("é to be " * 100)
    assert "é" in error_of("evaluate", folder, "--data", tmp_path / "foreign.txt")


@pytest.mark.one_backend
def test_a_model_without_a_vocabulary_takes_text_as_integers(tmp_path):
    (tmp_path / "ab.txt").write_text("abba" * 200)
    run_json(
        "train", "made", "--data", tmp_path / "ab.txt", "--out", tmp_path / "run", "--set", "data.length=8", *SMALL
    )
    assert "samples.csv" in {path.name for path in (tmp_path / "run").iterdir()}
    assert run_json("evaluate", tmp_path / "run")["events"] == 10


@pytest.mark.parametrize("head", ["categorical", "discretized_logistic_mixture"])
def test_a_head_that_is_asked_for_is_taken(head):
    recipe = recipes.changed(recipes.find("fvsbn-digits"), [f"model.head={head}"])
    model = run.make_model(recipe, run.load_data(recipe))
    assert (type(model.head), model.support.num_levels) == (keras_ar.registry.find("heads", head).load(), 2)


@pytest.mark.one_backend
def test_sound_is_trained_on_and_sampled(tmp_path):
    tone = 0.5 * np.sin(np.arange(4000) / 5)
    keras_ar.sound.write_wav(tmp_path / "tone.wav", tone, 400)
    small = ["--set", "data.length=100", "--set", "model.filters=2", "--set", "model.dilations=[1,2]", *SMALL]
    folder = tmp_path / "run"
    run_json("train", "wavenet", "--data", tmp_path / "tone.wav", "--out", folder, *small)
    samples, rate = keras_ar.sound.read_wav(folder / "samples.wav")
    assert rate == 400
    assert len(samples) == 2 * (2 * 400 + 100)


PIXEL_CNN_PLUS_PLUS = [
    *("--set", "model.filters=4", "--set", "model.num_resnets=1", "--set", "model.num_levels=1"),
    *("--set", "data.binary=true"),
]


@pytest.mark.one_backend
@pytest.mark.parametrize(("recipe", "small"), [("fvsbn", []), ("pixel-cnn-plus-plus", PIXEL_CNN_PLUS_PLUS)])
def test_labels_make_a_model_of_events_given_their_class(recipe, small, tmp_path):
    folder = tmp_path / "run"
    run_json("train", f"{recipe}-digits", "--out", folder, *SMALL, *small, "--set", "data.labels=true")
    assert run_json("info", folder)["num_classes"] == 10
    assert run_json("sample", folder, "-n", 2, "--condition", 7, "--out", tmp_path / "sevens.npy")["num"] == 2
    assert run_json("evaluate", folder)["events"] == 250
    assert run_json("complete", folder, "-n", 2, "--out", tmp_path / "completed.png")["num"] == 2
    assert "integers from 0 to 9" in error_of("sample", folder, "--condition", 10)
    assert "--condition must be a class, from 0 to 9" in error_of("sample", folder)


def test_evaluate_repeats_what_the_run_found(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert run_json("evaluate", finished)["nats"] == pytest.approx(metrics["test"]["nats"])
    valid = run_json("evaluate", finished / "model.keras", "--data", "digits", "--part", "valid")
    assert valid["nats"] == pytest.approx(metrics["valid"]["nats"])


def test_a_folder_is_filled_by_ranges_and_scored(finished, tmp_path):
    model = keras_ar.load_model(finished / "model.keras")
    sample = ["sample", finished, "--first", 5, "--last", 50, "--seed", 3, "--size", 20, "--out", tmp_path / "samples"]
    assert run_json(*sample, "--shard", "2/2")["num"] == 30
    assert run_json(*sample)["were_done"] == 30
    found = keras_ar.scale.read(tmp_path / "samples", first=5)["x"]
    assert (found == model.sample(45, seed=3, first_event=5)).all()
    score = ["score", finished, tmp_path / "samples", "--columns", "x", "--out", tmp_path / "scores"]
    assert run_json(*score) == {"num": 45, "were_done": 0, "folder": str(tmp_path / "scores")}
    scores = keras_ar.scale.read(tmp_path / "scores")["log_prob"]
    np.testing.assert_allclose(scores, model.score_samples(found), atol=1e-4)

    assert "manifest has seed=3. Received: seed=4" in error_of(*sample, "--seed", 4)
    assert "`shard` must be 'i/n'" in error_of(*sample, "--shard", "3/2")
    assert "--seed must be given with --last" in error_of("sample", finished, "--last", 9, "--out", tmp_path / "other")
    assert "go with --last" in error_of("sample", finished, "--first", 9)
    assert "without --num" in error_of(*sample, "--num", 3)
    assert "must have the columns ['y']" in error_of(*score, "--columns", "y")
    assert "There is no" in error_of("score", finished, tmp_path / "none.npy", "--out", tmp_path / "scores")


def test_sample_and_complete_write_what_the_library_samples(finished, tmp_path):
    model = keras_ar.load_model(finished / "model.keras")
    run_json("sample", finished, "-n", 3, "--seed", 5, "--out", tmp_path / "samples.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "samples.npy"), model.sample(3, seed=5))
    run_json("complete", finished, "-n", 3, "--seed", 5, "--out", tmp_path / "completed.npy")
    truth = keras_ar.datasets.load("digits", binary=True).test[:3]
    completed = np.load(tmp_path / "completed.npy")
    np.testing.assert_array_equal(completed[:, :4], truth[:, :4])
    known = np.broadcast_to(np.arange(8)[:, None, None] < 4, (8, 8, 1))
    np.testing.assert_array_equal(completed, model.complete(truth, known, seed=5))
    for command in ("sample", "complete"):
        run_json(command, finished, "-n", 3, "--out", tmp_path / f"{command}.png")
        assert (tmp_path / f"{command}.png").read_bytes().startswith(b"\x89PNG")


# What is missing of events.


@pytest.fixture(scope="module")
def any_order(tmp_path_factory):
    """The file of a model of images, for any order."""
    model = keras_ar.models.DeepNADE((8, 8, 1), hidden_units=8)
    keras_ar.noise.randomize(model)
    path = tmp_path_factory.mktemp("any_order") / "model.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def of_table(tmp_path_factory):
    """The folder of a run of a model for any order, trained on a table with a header and words."""
    folder = tmp_path_factory.mktemp("table")
    (folder / "table.csv").write_text(WORDS)
    small = ["--set", "model.hidden_units=[8]", *SMALL]
    run_json("train", "deep_nade", "--data", folder / "table.csv", "--out", folder / "run", *small)
    return folder / "run"


def draw_mask(path, is_known, mode="L"):
    """Writes a picture that is white where something is known."""
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.where(is_known, 255, 0).astype("uint8")).convert(mode).save(path)
    return path


HOLE = np.ones((8, 8), bool)
HOLE[2:6, 3:5] = False


@pytest.mark.parametrize("mode", ["L", *on_one_backend(["1", "RGB", "RGBA", "P", "I;16"])])
def test_what_is_white_in_a_mask_is_known(mode, any_order, tmp_path):
    path, out = tmp_path / "mask.png", tmp_path / "completed.npy"
    if mode == "I;16":
        pytest.importorskip("PIL.Image").fromarray(np.where(HOLE, 40_000, 30_000).astype("uint16")).save(path)
    else:
        draw_mask(path, HOLE, mode)
    arguments = ["complete", any_order, "--data", "digits", "--mask", path, "-n", 3, "--seed", 5]
    found = run_json(*arguments, "--draws", 4, "--out", out)
    assert (found["num"], found["draws"]) == (3, 4)
    truth = keras_ar.datasets.load("digits", binary=True).test[:3]
    expected = keras_ar.load_model(any_order).complete(truth, HOLE[..., None], num_draws=4, seed=5)
    np.testing.assert_array_equal(np.load(out), expected)
    assert (expected[:, :, HOLE] == truth[:, HOLE]).all()
    run_json(*arguments, "--out", out)
    np.testing.assert_array_equal(np.load(out), expected[0])


@pytest.mark.one_backend
def test_a_picture_has_all_draws_of_an_event_below_it(any_order, tmp_path, monkeypatch):
    drawn = []
    completions = keras_ar.plots.completions
    monkeypatch.setattr(
        keras_ar.plots, "completions", lambda *args, **kw: drawn.append(args) or completions(*args, **kw)
    )
    mask = draw_mask(tmp_path / "mask.png", HOLE)
    arguments = ["complete", any_order, "--data", "digits", "--draws", 3, "--out", tmp_path / "completed.png"]
    for way in ([], ["--mask", mask], ["--known", 0.2]):
        run_json(*arguments, *way)
    rows = np.where(HOLE.ravel(), "1", "").tolist()
    (tmp_path / "x.csv").write_text(f"{','.join(rows)}\n" * 2)
    run_json("complete", any_order, "--input", tmp_path / "x.csv", "--draws", 3, "--out", tmp_path / "completed.png")
    assert [np.shape(completed) for *_, completed in drawn] == [(3, 8, 8, 8, 1)] * 3 + [(3, 2, 8, 8, 1)]
    assert (tmp_path / "completed.png").read_bytes().startswith(b"\x89PNG")


def test_empty_cells_of_a_table_are_drawn_and_all_others_stay(of_table, tmp_path):
    (tmp_path / "holes.csv").write_text("color,size\nred, 0\n,1\ngreen,NaN\n ,nan\n")
    arguments = ["complete", of_table, "--input", tmp_path / "holes.csv", "--seed", 0, "--out", tmp_path / "whole.csv"]
    found = run_json(*arguments)
    assert found["num"] == 4
    header, *lines = (tmp_path / "whole.csv").read_text().splitlines()
    lines = [line.split(",") for line in lines]
    assert header == "color,size"
    assert (lines[0], lines[1][1], lines[2][0]) == (["red", "0"], "1", "green")
    assert all(color in ("red", "green") and size in ("0", "1") for color, size in lines)
    model = keras_ar.load_model(of_table / "model.keras")
    nan = np.nan
    expected = model.complete([[1, 0], [nan, 1], [0, nan], [nan, nan]], num_draws=3, seed=0)
    assert lines == [[["green", "red"][color], str(size)] for color, size in expected[0].tolist()]

    assert run_json(*arguments, "--draws", 3)["draws"] == 3
    header, *several = (tmp_path / "whole.csv").read_text().splitlines()
    several = [line.split(",") for line in several]
    assert header == "draw,color,size"
    assert [draw for draw, *_ in several] == ["0"] * 4 + ["1"] * 4 + ["2"] * 4
    assert [line for _, *line in several[:4]] == lines
    assert [int(size) for *_, size in several] == expected[..., 1].ravel().tolist()
    assert run_json(*arguments, "-n", 2)["num"] == 2
    assert (tmp_path / "whole.csv").read_text().count("\n") == 3


@pytest.mark.one_backend
def test_known_cells_stay_as_they_are_written(tmp_path):
    model = keras_ar.models.DeepNADE(3, hidden_units=4, head="normal")
    model.save(tmp_path / "model.keras")
    for header in ("", "width,length,height\n"):
        (tmp_path / "holes.csv").write_text(f"{header}0.10,,1e-3\n,-7,+2.50\n")
        run_json(
            "complete", tmp_path / "model.keras", "--input", tmp_path / "holes.csv", "--out", tmp_path / "whole.csv"
        )
        text = (tmp_path / "whole.csv").read_text()
        assert text.startswith(header)
        (a, x, b), (y, c, d) = [line.split(",") for line in text.removeprefix(header).splitlines()]
        assert (a, b, c, d) == ("0.10", "1e-3", "-7", "+2.50")
        assert np.isfinite([float(x), float(y)]).all()


@pytest.mark.one_backend
def test_a_model_of_one_order_completes_anything_by_particles(tmp_path):
    model = keras_ar.models.MADE((8, 8, 1), hidden_units=8)
    keras_ar.noise.randomize(model)
    model.save(tmp_path / "model.keras")
    mask, out = draw_mask(tmp_path / "mask.png", HOLE), tmp_path / "completed.npy"
    complete = ["complete", tmp_path / "model.keras", "--out", out, "--seed", 5]
    of_images = [*complete, "--data", "digits", "--mask", mask, "-n", 2]
    assert "unless there are `num_particles`" in error_of(*of_images)
    found = run_json(*of_images, "--particles", 20, "--draws", 3)
    truth = keras_ar.datasets.load("digits", binary=True).test[:2]
    options = {"num_particles": 20, "num_draws": 3, "seed": 5}
    expected, size = model.complete(truth, HOLE[..., None], return_effective_size=True, **options)
    np.testing.assert_array_equal(np.load(out), expected)
    assert (found["num"], found["draws"], found["particles"]) == (2, 3, 20)
    assert found["effective_size_min"] == pytest.approx(size.min(), rel=1e-4)
    assert (
        f"effective sample size of the 20 particles of an event: at least {size.min():.1f}"
        in call(*of_images, "--particles", 20)[1]
    )

    x = np.where(HOLE[..., None], truth, np.nan).reshape(2, -1)
    x[0, :9] = np.nan  # a pattern for each event
    np.savetxt(tmp_path / "x.csv", x, delimiter=",")
    run_json(*complete, "--input", tmp_path / "x.csv", "--particles", 20)
    expected = model.complete(x.reshape(truth.shape), num_particles=20, seed=5)
    np.testing.assert_array_equal(np.load(out), expected)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "--input must be a csv file. "),
        (b"color,size\nred\xff,1\n", "--input must be a csv file. "),
        ('color,size\nred,"1\n', "cannot be read: "),
        ("", "--input must have the columns of the data that the model was trained on: color, size. "),
        ("color,size\n", "--input must have a line for each event. "),
        ("red,1\n", "holes.csv has red, 1"),
        ("size,color\n1,red\n", "The first line of"),
        ("color,size\nred,1\nred\n", "Line 3 of"),
        ("color,size\nred,1\nblue,1\n", "has 'blue' in column color: expected one of green, red, or an empty cell"),
        ("color,size\nred,big\n", "has 'big' in column size: expected integers from 0 to 1, or an empty cell"),
        ("color,size\nred,2\n", "has '2' in column size: expected integers from 0 to 1"),
        ("color,size\nred,inf\n", "has 'inf' in column size"),
        ("color,size\nred,1e99\n", "has '1e99' in column size"),
        ("color,size\n3,0\n", "has '3' in column color"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(text, words, of_table, tmp_path):
    path = tmp_path / "holes.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    error = error_of("complete", of_table, "--input", path, "--out", tmp_path / "whole.csv")
    assert words in error
    assert "holes.csv" in error
    assert not (tmp_path / "whole.csv").exists()


@pytest.mark.one_backend
def test_a_mask_that_does_not_fit_is_refused(any_order, of_table, tmp_path):
    expected = "--mask must be a picture of 8 rows and 8 columns of pixels, the size of an event. "
    complete = ["complete", any_order, "--data", "digits", "--mask"]
    assert expected in error_of(*complete, tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    assert f"{expected}{tmp_path / 'text.png'} cannot be read: " in error_of(*complete, tmp_path / "text.png")
    whole = draw_mask(tmp_path / "mask.png", HOLE).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    assert f"{tmp_path / 'half.png'} cannot be read: " in error_of(*complete, tmp_path / "half.png")
    small = draw_mask(tmp_path / "small.png", HOLE[:3, :5])
    assert f"{expected}{small} has 3 rows and 5 columns" in error_of(*complete, small)
    assert "--mask is for models of images" in error_of("complete", of_table, "--mask", tmp_path / "mask.png")


@pytest.mark.one_backend
def test_ways_to_say_what_is_known_exclude_each_other(any_order, tmp_path):
    complete = ["complete", any_order, "--data", "digits"]
    error = error_of(*complete, "--mask", "mask.png", "--known", 0.5)
    assert error == "error: --known and --mask must not come together: each says what is known\n"
    assert "--mask and --input" in error_of(*complete, "--mask", "mask.png", "--input", "x.csv")
    assert "--data must not come with --input" in error_of(*complete, "--input", "x.csv")
    assert "--particles is for models of one order. Received a DeepNADE" in error_of(*complete, "--particles", 9)
    keras_ar.models.DeepNADE(2, hidden_units=3, num_classes=2).save(tmp_path / "classes.keras")
    assert "--input is for models without classes" in error_of(
        "complete", tmp_path / "classes.keras", "--input", "x.csv"
    )


def test_list_shows_the_components_of_plugins_and_all_recipes():
    _, out, _ = call("list")
    for name in ("made", "mean_net", "keras-ar-template", *recipes.names()):
        assert name in out
    found = run_json("list")
    assert {entry["name"] for entry in found["components"]} == {entry.name for entry in keras_ar.registry.entries()}


def test_info_shows_what_a_file_holds(finished):
    found = run_json("info", finished)
    assert found["model"] == "keras_ar.FVSBN"
    assert found["parameters"] == 64 * 65 // 2
    assert found["support"] == "integers from 0 to 1"
    assert "head=Bernoulli()" in found["settings"]
    assert found["trained_on"] == "digits"
    assert "nats" in call("info", finished)[1]


@pytest.mark.one_backend
def test_list_and_help_import_no_keras():
    for command in ("list", "--help"):
        program = (
            "import sys; from keras_ar_cli import app\n"
            f"try: app([{command!r}])\nexcept SystemExit: pass\n"
            "assert not {'keras', 'jax', 'torch', 'tensorflow'} & set(sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


# Any density model, without head, steps or ordering.


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """Distributes the models of `gaussian_mixture.py` by entry points."""
    site = tmp_path_factory.mktemp("site")
    about = site / "gaussian_mixture-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: gaussian-mixture\nVersion: 1.0\n")
    classes = {"gaussian_mixture": "GaussianMixture", "bounded_mixture": "BoundedMixture", "scores_only": "ScoresOnly"}
    lines = [f"{name} = gaussian_mixture:{target}" for name, target in classes.items()]
    (about / "entry_points.txt").write_text("[keras_ar.models]\n" + "\n".join(lines))
    sys.path.append(str(site))
    keras_ar.registry.refresh()
    yield
    sys.path.remove(str(site))
    keras_ar.registry.refresh()


@pytest.mark.one_backend
def test_a_density_model_of_a_plugin_is_trained_scored_and_sampled(plugin, tmp_path):
    folder = tmp_path / "run"
    metrics = run_json("train", "gaussian_mixture", "--data", "digits", "--out", folder, *SMALL)
    assert {"README.md", "samples.png", "neighbors.png", "learning_curves.png"} == set(metrics["files"])
    assert run_json("evaluate", folder)["nats"] == pytest.approx(metrics["test"]["nats"])
    found = run_json("info", folder)
    assert (found["model"], found["support"]) == ("gaussian_mixture.GaussianMixture", "real numbers")
    run_json("sample", folder, "-n", 3, "--seed", 5, "--out", tmp_path / "samples.npy")
    model = keras_ar.load_model(folder / "model.keras")
    np.testing.assert_array_equal(np.load(tmp_path / "samples.npy"), model.sample(3, seed=5))
    assert error_of("complete", folder) == (
        "error: `complete` is for models with an ordering, or for any order. Received a GaussianMixture\n"
    )
    assert "`temperature` must be 1: a GaussianMixture samples at no other" in error_of(
        "sample", folder, "--temperature", 0.5
    )


def test_a_density_model_in_a_file_needs_no_run(tmp_path):
    model = GaussianMixture((8, 8, 1), spread=2.0, num_classes=10)
    model.save(tmp_path / "model.keras")
    found = run_json("info", tmp_path / "model.keras")
    assert (found["num_classes"], found["settings"]) == (10, "spread=2.0")
    assert run_json("evaluate", tmp_path / "model.keras", "--data", "digits")["events"] == 250
    sampled = run_json("sample", tmp_path / "model.keras", "--condition", 3, "--out", tmp_path / "samples.csv")
    assert np.loadtxt(sampled["file"], delimiter=",").shape == (64, 64)


@pytest.mark.one_backend
def test_a_density_model_takes_labels(plugin, tmp_path):
    settings = [*SMALL, "--set", "data.labels=true", "--set", "model.spread=0.5"]
    metrics = run_json("train", "gaussian_mixture", "--data", "digits", "--out", tmp_path / "run", *settings)
    assert metrics["parameters"] == 64 * (2 + 2 + 10)


@pytest.mark.one_backend
def test_a_bound_is_said_to_be_one(plugin, tmp_path):
    folder = tmp_path / "run"
    code, out, _ = call("train", "bounded_mixture", "--data", "digits", "--out", folder, *SMALL)
    assert code == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["exact"], "bits_per_dim" in metrics["test"]) == (False, False)
    assert f"≤ {metrics['test']['nats']:.2f}" in out
    assert f"≤ {metrics['test']['bits_per_dim_at_most']:.3f}" in out
    assert "valid ≤ " in out
    assert "≤ " in call("evaluate", folder)[1]
    assert "lower bounds" in run_json("info", folder)["scores"]
    assert "log_prob_mean" not in run_json("sample", folder, "-n", 2, "--out", tmp_path / "samples.npy")


@pytest.mark.one_backend
def test_a_model_that_only_scores_finishes_its_run(plugin, tmp_path):
    folder = tmp_path / "run"
    metrics = run_json("train", "scores_only", "--data", "digits", "--out", folder, *SMALL)
    assert metrics["files"] == ["README.md", "learning_curves.png"]
    assert "model.sample" not in (folder / "README.md").read_text(encoding="utf-8")
    assert "must have `noise_shape`. ScoresOnly has none" in error_of("sample", folder)


def test_what_a_density_model_does_not_take_is_refused(plugin, tmp_path):
    arguments = ["--data", "digits", "--out", tmp_path / "run", *SMALL]
    error = error_of("train", "gaussian_mixture", "--set", "model.head=normal", *arguments)
    assert "GaussianMixture has no head" in error
    assert "GaussianMixture takes condition_shape, num_classes, spread" in error_of(
        "train", "gaussian_mixture", "--set", "model.units=3", *arguments
    )


def test_another_kind_of_keras_model_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="other")
    model.save(tmp_path / "other.keras")
    assert "must hold a DensityModel. It holds other, a Sequential" in error_of("info", tmp_path / "other.keras")


@pytest.mark.one_backend
def test_bars_move_in_terminals_only(monkeypatch, capsys):
    """A notebook sets FORCE_COLOR for the programs that it runs, and would show each state of a bar."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    importlib.reload(show)
    with show.events(10) as done:
        done(5)
    assert capsys.readouterr().out == ""
    monkeypatch.undo()
    importlib.reload(show)


# Recipes.


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_that_comes_along_makes_its_model(name):
    found = recipes.find(name)
    assert found["title"]
    assert found["reference"].startswith("https://")
    assert (found["result"]["test_nats"] is None) == (found["data"]["name"] is None)
    assert recipes.whole(recipes.tomllib.loads(recipes.write(found)), name, needs_data=False) == found
    component = keras_ar.registry.find("models", found["model"]["name"]).load()
    assert set(found["model"]) - {"name", "head"} <= set(run.model_arguments(component))


TINY = {
    "text": ["model.units=8", "model.num_layers=1", "model.num_heads=2", "model.window=8", "data.length=16"],
    "sound": ["model.filters=4", "model.dilations=[1,2]", "data.length=64"],
    "table": ["model.hidden_units=[8]"],
    "pictures": ["model.filters=4"],
}


@pytest.mark.one_backend
@pytest.mark.parametrize("name", TINY)
def test_a_recipe_for_data_of_ones_own_trains(name, tmp_path):
    assert recipes.find(name)["data"]["name"] is None
    assert "data.name is missing: use --data" in error_of("train", name, "--out", tmp_path / "run")
    path = tmp_path / {"text": "data.txt", "sound": "data.wav", "table": "data.csv", "pictures": "data"}[name]
    rng = np.random.default_rng(0)
    if name == "text":
        path.write_text("to be or not to be, that is the question: " * 20)
    elif name == "sound":
        keras_ar.sound.write_wav(path, np.sin(np.arange(2000) / 7), 400)
    elif name == "table":
        path.write_text("kind,width\n" + "".join(f"{rng.integers(3)},{rng.normal():.3f}\n" for _ in range(60)))
    else:
        from PIL import Image

        path.mkdir()
        for i in range(20):
            Image.fromarray(rng.integers(0, 256, (4, 4, 3), "uint8")).save(path / f"{i}.png")
    settings = [part for setting in ("train.epochs=1", *TINY[name]) for part in ("--set", setting)]
    metrics = run_json("train", name, "--data", path, "--out", tmp_path / "run", *settings)
    assert np.isfinite(metrics["test"]["nats"])
    assert any(file.startswith("samples.") for file in metrics["files"])


# Interrupted, and resumed.


def weights(folder):
    return [keras.ops.convert_to_numpy(v) for v in keras_ar.load_model(folder / "model.keras").trainable_variables]


RECIPE = recipes.changed(
    recipes.find("made-digits"),
    ["model.hidden_units=[4]", "train.epochs=3", "train.batch_size=512", "train.average=0.5", "data.binary=true"],
)


def train(recipe, folder, callbacks=()):
    """Trains by a whole recipe, or resumes the run in the folder without one."""
    recipe = folders.recipe_for(recipe, folder, resume=recipe is None)
    return run.train(recipe, *run.prepare(recipe), folder, callbacks)


def begin(recipe, folder):
    """Begins a run, and stops before the first epoch."""
    with folders.held(folder, recipe):
        pass


class Killed(BaseException):
    """What ends a process at once."""


@contextlib.contextmanager
def counting_changes(last=None):
    """Counts how often files and folders are renamed and removed, and ends the process before the change `last`."""
    changes = []

    def counted(function):
        def change(path, *args, **kwargs):
            if path.exists():
                if len(changes) == last:
                    raise Killed
                changes.append(path.name)
            return function(path, *args, **kwargs)

        return change

    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "unlink", "rmdir"):
            patch.setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))
        yield changes


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    begin(RECIPE, folder / "run")
    with counting_changes() as changes:
        train(RECIPE, folder / "run")
    assert len(changes) == 20  # 3, 4 and 4 in the three epochs; what is written in the end, and the backups that go
    return weights(folder / "run")


@pytest.mark.parametrize("moment", [*range(7), *range(10, 20)] if BACKEND == "torch" else (6,))
def test_a_run_stopped_between_any_two_files_ends_with_the_same_weights(moment, left_alone, tmp_path):
    begin(RECIPE, tmp_path / "run")
    with counting_changes(last=moment) as changes, pytest.raises(Killed):
        train(RECIPE, tmp_path / "run")
    kept = sum(re.fullmatch(r"\.unfinished-\d\.weights\.h5", name) is not None for name in changes)
    epochs = Epochs()
    train(None, tmp_path / "run", [epochs])
    assert epochs.begun == list(range(kept, 3))  # none is trained twice
    for found, expected in zip(weights(tmp_path / "run"), left_alone, strict=True):
        np.testing.assert_array_equal(found, expected)
    lines = (tmp_path / "run" / "history.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["0", "1", "2"]


class Epochs(keras.callbacks.Callback):
    """The epochs that begin."""

    def __init__(self):
        super().__init__()
        self.begun = []

    def on_epoch_begin(self, epoch, logs=None):
        self.begun.append(epoch)


class Steps(keras.callbacks.Callback):
    """Counts steps, and ends the process after some."""

    def __init__(self, most=None):
        super().__init__()
        self.count, self.most = 0, most

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        if self.count == self.most:
            raise Killed


def test_a_run_stopped_in_an_epoch_goes_on_from_there_to_the_same_weights(tmp_path):
    np.save(tmp_path / "bits.npy", np.random.default_rng(0).integers(0, 2, (60, 6)))  # 48 to train on: five steps
    # Dropout is random by the state of variables, or by torch's own generator.
    settings = ["model.hidden_units=[8]", "model.dropout=0.5"]
    settings += ["train.average=0.5", "train.epochs=2", "train.batch_size=10"]
    recipe = recipes.changed(recipes.of_model("made", str(tmp_path / "bits.npy")), settings)
    train(recipe, tmp_path / "alone")
    recipe = recipes.changed(recipe, ["train.backup_minutes=1e-9"])  # before each step but the first
    stops = ((3, "0-2.npz"), (2, "0-3.npz"), (4, "1-1.npz")) if BACKEND == "torch" else ((7, "1-1.npz"),)
    for num_steps, expected in stops:
        with pytest.raises(Killed):
            train(recipe, tmp_path / "run", [Steps(num_steps)])
        assert [path.name for path in (tmp_path / "run" / "backup").glob("*.npz")] == [expected]
        with pytest.raises(folders.RunError, match="holds a run already: resume it"):
            folders.recipe_for(recipe, tmp_path / "run", resume=False)
        recipe = None
    steps = Steps()
    train(None, tmp_path / "run", [steps])
    assert steps.count == 4
    for found, expected in zip(weights(tmp_path / "run"), weights(tmp_path / "alone"), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert losses(tmp_path / "run" / "history.csv") == losses(tmp_path / "alone" / "history.csv")
    assert not (tmp_path / "run" / "backup").exists()


@pytest.mark.one_backend
def test_a_damaged_backup_of_an_epoch_is_named(tmp_path):
    recipe = recipes.changed(RECIPE, ["train.backup_minutes=1e-9"])
    with pytest.raises(Killed):
        train(recipe, tmp_path, [Steps(2)])
    path = tmp_path / "backup" / "0-1.npz"
    path.write_bytes(path.read_bytes()[:-100])
    assert "0-1.npz cannot be read, it may be damaged" in error_of("train", "--resume", "--out", tmp_path)


@pytest.mark.one_backend
def test_a_killed_process_ends_with_the_same_weights_when_resumed(tmp_path):
    kills = 20 if "KERAS_AR_FUZZ" in os.environ else 1
    settings = [f"train.epochs={5 * kills}", "train.patience=100", "model.hidden_units=[20]", "train.average=0.9"]
    recipe = recipes.changed(recipes.find("made-digits"), settings)
    alone = train(recipe, tmp_path / "alone")
    folder, history = tmp_path / "killed", tmp_path / "killed" / "history.csv"
    begin(recipe, folder)
    resume = [sys.executable, "-c", "from keras_ar_cli import main; main()", "train", "--resume", "--out", folder]

    for epochs in range(2, 5 * kills, 5):
        process = subprocess.Popen(resume, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (history.exists() and history.read_text().count("\n") > epochs):
            time.sleep(0.002)
        time.sleep(random.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert subprocess.run(resume, capture_output=True).returncode == 0
    for found, expected in zip(weights(folder), weights(tmp_path / "alone"), strict=True):
        np.testing.assert_array_equal(found, expected)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert [metrics[part] for part in ("train", "valid", "test")] == [alone[p] for p in ("train", "valid", "test")]
    assert losses(history) == losses(tmp_path / "alone" / "history.csv")
    assert not list(folder.glob(".unfinished*"))


def losses(history):
    """A history without the seconds."""
    with history.open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def test_an_interrupted_run_says_how_to_go_on(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "train", interrupted)
    code, _, err = call("train", "fvsbn-digits", "--out", tmp_path / "run")
    assert code == 130
    assert "--resume" in err


def test_a_finished_run_is_not_trained_again(finished):
    before = (finished / "model.keras").stat().st_mtime_ns
    metrics = run_json("train", "--resume", "--out", finished)
    assert metrics["epochs"] == 2
    assert (finished / "model.keras").stat().st_mtime_ns == before


@pytest.mark.one_backend
def test_a_disk_that_is_nearly_full_is_not_filled(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    begin(RECIPE, folder)
    with monkeypatch.context() as patch:
        usage = type(run.shutil.disk_usage("."))
        patch.setattr(run.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 10**6, 10**6))
        assert "no space left on the disk, 1 MB are needed" in error_of("train", "--resume", "--out", folder)
    assert run_json("train", "--resume", "--out", folder)["epochs"] == 3


@pytest.mark.one_backend
def test_a_full_disk_ends_in_one_line_and_loses_nothing(tmp_path):
    folder = tmp_path / "run"
    recipe = recipes.changed(RECIPE, ["model.hidden_units=[300]"])  # its weights do not fit, its history does
    begin(recipe, folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        error_of("train", "--resume", "--out", folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert run_json("train", "--resume", "--out", folder)["epochs"] == 3


# Bad input.

WRONG_HEADS = [
    ("{}", "a table with its `name`. Received: {}"),
    ("{name=3}", "a table with its `name`. Received: {'name': 3}"),
    ("{name='normal',scale='x'}", "model.head: `scale` must be"),
    ("{name='normal',size=1}", "unknown key model.head.size: Normal takes loc, scale, resolution"),
]
WRONG_SETTINGS = [
    ("=", "TABLE.KEY=VALUE"),
    ("=3", "TABLE.KEY=VALUE"),
    ("model.=3", "TABLE.KEY=VALUE"),
    (".epochs=3", "TABLE.KEY=VALUE"),
    ("model=3", "TABLE.KEY=VALUE"),
    ("seed=", "TABLE.KEY=VALUE"),
    ("data.name=''", "data.name is missing"),
    ("data.binary=0", "data.binary must be true or false. Received: 0"),
    ("train.average=1.0", "train.average must be a number from 0 on, and below 1. Received: 1.0"),
    ("train.clip_norm=-1", "train.clip_norm must be a number above 0. Received: -1"),
    ("train.weight_decay=-1", "train.weight_decay must be a number of at least 0. Received: -1"),
    ("train.learning_rate=0", "train.learning_rate must be a number above 0. Received: 0"),
    ("train.learning_rate=nan", "train.learning_rate must be a number above 0. Received: nan"),
    ("train.learning_rate=inf", "train.learning_rate must be a finite number. Received: inf"),
    (f"train.learning_rate={'9' * 400}", "train.learning_rate must be a finite number."),
    ("model.dropout=nan", "model.dropout must be a finite number. Received: nan"),
    ("model.head={name='normal',loc=-inf}", "model.head.loc must be a finite number. Received: -inf"),
    ("model.seed=2020-01-01", "model.seed must be a number, a string"),
    (f"model.seed={'[' * 3000}", "nested too deeply"),
    ("model.hidden_units=[1000000000000]", "[model]: "),
    ("model.num_classes=3", "data.labels must not be false"),
    ("seed=4294967296", "seed must be an integer from 0 to 4294967295"),
]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fvsbn-digit"], "Did you mean 'fvsbn-digits'?"),
        (["fvsbn-digits", "--set", "train.epoch=3"], "unknown key train.epoch. Did you mean train.epochs?"),
        (
            ["fvsbn-digits", "--set", "train.epochs=many"],
            "train.epochs must be an integer of at least 1. Received: 'many'",
        ),
        (["fvsbn-digits", "--set", "train.epochs=0"], "at least 1"),
        (["fvsbn-digits", "--set", "trian.epochs=3"], "TABLE.KEY=VALUE"),
        (["fvsbn-digits", "--set", "data.binary=1"], "data.binary must be true or false"),
        (["fvsbn-digits", "--set", "train.schedule=linear"], "'cosine' or 'constant'"),
        (["fvsbn-digits", "--set", "model.units=3"], "unknown key model.units: FVSBN takes"),
        (["fvsbn-digits", "--seed", "-1"], "seed must be an integer from 0 to 4294967295. Received: -1"),
        (["nade-digits", "--set", "model.units=many"], "`units`"),
        (["made-digits", "--set", "model.head=bernoulli"], "`train`"),
        (["fvsbn-digits", "--data", "no/such/file.npz"], "There is no file"),
        (["fvsbn-digits", "--data", "digit"], "'digits'"),
        (["made"], "use --data"),
        (["made", "--data", "digits", "--set", "model.head=normals"], "Unknown head"),
        (["char_rnn", "--data", "digits"], "a model of text"),
        (["wavenet", "--data", "digits"], "event_shape"),
        (["fvsbn-digits", "--backend", "mxnet"], "jax, tensorflow or torch"),
        (["nowhere.toml"], "no recipe file"),
        (["made", "--set", "data.name='~nobody/x.csv'"], "~nobody/x.csv"),
        (["made"], "data.name is missing: use --data"),
        (["causal_sequential", "--data", "digits"], "model.layers is missing"),
        *((["made-digits", "--set", f"model.head={head}"], words) for head, words in WRONG_HEADS),
        *((["made-digits", "--set", setting], words) for setting, words in WRONG_SETTINGS),
        ([], "name a recipe"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bad_input_of_train(arguments, words, tmp_path):
    assert words in error_of("train", *arguments, *([] if not arguments else ["--out", tmp_path / "run"]))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[data]\nname = 'digits'\n[model]\nname = 'made'\n[trian]\nepochs = 3",
            "unknown key trian. Did you mean train?",
        ),
        ("[data]\nname = 3\n[model]\nname = 'made'", "data.name must be a string. Received: 3"),
        ("[model]\nname = 'made'", "data.name is missing"),
        ("model = 'made'\n[data]\nname = 'digits'", "[model] must be a table"),
        ("[data\n", "not a TOML file"),
        ("x = " + "[" * 3000, "nested too deeply"),
        ("'' = 3\n[data]\nname = 'digits'\n[model]\nname = 'made'", "unknown key"),
    ],
)
def test_bad_recipes(text, words, tmp_path):
    (tmp_path / "mine.toml").write_text(text)
    assert words in error_of("train", tmp_path / "mine.toml", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_recipe_is_written_as_it_was_read(tmp_path):
    head = {"name": "normal", "a b": [1, 2.5, True, {"c": '\x7f\n"é'}]}
    recipe = recipes.whole({"data": {"name": "x"}, "model": {"name": "y", "head": head, "k'k": "v"}}, "mine")
    (tmp_path / "mine.toml").write_text(recipes.write(recipe), encoding="utf-8")
    assert recipes.find(str(tmp_path / "mine.toml")) == recipe


def test_data_that_do_not_fit_the_model(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.full((30, 4), 1.5, "float32"))
    settings = ["--set", "model.head={name='categorical',num_levels=3}"]
    assert "integer" in error_of("train", "made", "--data", tmp_path / "data.npz", "--out", tmp_path / "run", *settings)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.one_backend
@pytest.mark.parametrize("resume", [[], ["--resume"]])
@pytest.mark.parametrize("name", ["notes.txt", "model.keras", "metrics.json", "recipe.toml", "backup/1.weights.h5"])
def test_a_folder_of_the_users_is_left_alone(name, resume, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / ".unfinished-1.keras").write_text("mine")
    before = contents(tmp_path)
    error = error_of("train", "fvsbn-digits", "--out", tmp_path, *SMALL, *resume)
    assert "is not empty, and holds no run of keras-ar" in error
    assert "choose a new or an empty folder" in error
    for command in ("sample", "evaluate", "info"):
        assert "no finished run" in error_of(command, tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.one_backend
def test_files_of_the_user_in_the_folder_of_a_run_are_left_alone(tmp_path):
    begin(RECIPE, tmp_path)
    mine = ("notes.txt", ".unfinished-1.keras", "backup/mine.txt", "backup/1.weights.h5.txt", "below/.unfinished-1.h5")
    for name in mine:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    train(None, tmp_path)
    assert [(tmp_path / name).read_text() for name in mine] == ["mine"] * len(mine)
    assert {path.name for path in (tmp_path / "backup").iterdir()} == {"mine.txt", "1.weights.h5.txt"}


@pytest.mark.one_backend
def test_an_empty_folder_is_taken(tmp_path):
    assert run_json("train", "fvsbn-digits", "--out", tmp_path, *SMALL)["epochs"] == 2


@pytest.mark.one_backend
def test_a_folder_is_held_by_one_run(tmp_path):
    with folders.held(tmp_path, RECIPE):
        error = error_of("train", "--resume", "--out", tmp_path)
    assert f"in use by process {os.getpid()} on " in error
    assert run_json("train", "--resume", "--out", tmp_path)["epochs"] == 3


@pytest.mark.one_backend
def test_before_the_first_epoch_another_recipe_may_take_the_folder(tmp_path):
    begin(RECIPE, tmp_path / "run")
    assert run_json("train", "fvsbn-digits", "--out", tmp_path / "run", *SMALL)["model"] == "FVSBN"


@pytest.mark.one_backend
@pytest.mark.parametrize("text", ["junk", "[]", "{}", "[" * 5000, '{"data": {"kind": 3}}'], ids=lambda text: text[:9])
def test_damaged_metrics_are_named(text, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").write_text(text)
    for command in (["train", "--resume", "--out"], ["info"], ["sample"]):
        assert "metrics.json cannot be read, it may be damaged" in error_of(*command, tmp_path / "run")


def test_a_run_is_not_written_over(finished, tmp_path):
    assert "--resume" in error_of("train", "fvsbn-digits", "--out", finished)
    assert "another recipe" in error_of("train", "nade-digits", "--out", finished, "--resume")
    assert "no run to resume" in error_of("train", "--resume", "--out", tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied" in error_of("train", "fvsbn-digits", "--out", tmp_path / "run", *SMALL)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "run").write_text("")
    error_of("train", "fvsbn-digits", "--out", tmp_path / "run", *SMALL)


def test_bad_files(finished, tmp_path):
    half = (finished / "model.keras").read_bytes()
    (tmp_path / "half.keras").write_bytes(half[: len(half) // 2])
    for command in ("info", "sample", "evaluate", "complete"):
        assert "truncated" in error_of(command, tmp_path / "half.keras")
        assert "no finished run" in error_of(command, tmp_path)
        assert "There is no file" in error_of(command, tmp_path / "none.keras")
    assert "use --data" in error_of("evaluate", finished / "model.keras")
    assert ".npy" in error_of("sample", finished, "--out", tmp_path / "samples.gif")
    assert "no folder" in error_of("sample", finished, "--out", tmp_path / "none" / "samples.png")
    assert "sequences" in error_of("sample", finished, "--length", 5)
    assert "`temperature`" in error_of("sample", finished, "--temperature", -1)
    assert "--condition is for models with classes" in error_of("sample", finished, "--condition", 1)
    assert "must be a .keras file, the folder of a run, or a trained model" in error_of("info", tmp_path / "data.csv")


@pytest.mark.one_backend
def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    class Spoil(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.set_weights([weight + 1 for weight in self.model.get_weights()])

    metrics = train(RECIPE, tmp_path / "run", callbacks=[Spoil()])
    rows = run.History(tmp_path / "run" / "history.csv", None).rows
    assert (metrics["best_epoch"], metrics["epochs"]) == (2, 3)
    assert metrics["valid"]["nats"] == pytest.approx(rows[1]["val_loss"], rel=1e-4)


@pytest.mark.one_backend
def test_a_loss_that_is_not_finite_is_reported(tmp_path):
    settings = ["--set", "train.learning_rate=1e30", "--set", "train.schedule=constant", *SMALL]
    assert "Try a lower learning rate" in error_of("train", "made-digits", "--out", tmp_path / "run", *settings)


# New plugins.


def test_a_new_plugin_is_the_template_under_its_own_name(tmp_path):
    folder = pathlib.Path(run_json("new-plugin", "keras-ar-wavelets", "--folder", tmp_path)["folder"])
    texts = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert "keras_ar_wavelets/mean_net.py" in texts
    assert not any("keras_ar_template" in text or "keras-ar-template" in text for text in texts.values())
    assert "exists already" in error_of("new-plugin", "keras-ar-wavelets", "--folder", tmp_path)
    assert "small letters" in error_of("new-plugin", "Keras AR", "--folder", tmp_path)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("name", "why"),
    [
        *((name, "standard library") for name in ("os", "json")),
        *((name, "is installed") for name in ("keras", "keras-ar", "numpy")),
        ("keras-ar-cli", "whose module keras_ar_cli can be imported already"),
    ],
)
def test_a_plugin_does_not_take_the_name_of_something_else(name, why, tmp_path):
    assert why in error_of("new-plugin", name, "--folder", tmp_path)
    assert not list(tmp_path.iterdir())
