"""The command line: what it prints, what it writes, and that nothing is lost when it is stopped."""

import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import keras_ar
from keras_ar_cli import app, run
from keras_ar_cli import recipe as recipes

BACKEND = keras.backend.backend()
SMALL = ["--set", "train.epochs=2", "--set", "train.batch_size=512"]


def call(*arguments):
    """The exit code, stdout and stderr of a command."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def told(*arguments):
    """What a command says with `--json`."""
    code, out, err = call(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def refused(*arguments):
    """The one line with which a command ends that cannot do what it is asked for."""
    code, _, err = call(*arguments)
    assert code == 2, (code, err)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run that is through."""
    folder = tmp_path_factory.mktemp("runs") / "fvsbn"
    told("train", "fvsbn-digits", "--out", folder, *SMALL)
    return folder


# What it does.


def test_a_run_writes_one_folder(finished):
    names = {path.name for path in finished.iterdir()}
    assert {"recipe.toml", "model.keras", "history.csv", "metrics.json"} <= names
    assert {"draws.png", "learning_curves.png"} <= names
    assert not {name for name in names if name.startswith(".") or name == "backup"}
    assert recipes.find(str(finished / "recipe.toml"))["train"]["epochs"] == 2


def test_its_metrics_are_the_likelihoods_of_the_model_that_it_saved(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    data = keras_ar.datasets.load("digits", binary=True)
    nats = -keras_ar.load_model(finished / "model.keras").score_samples(data.test)
    assert metrics["test"]["nats"] == pytest.approx(nats.mean(), rel=1e-5)
    assert metrics["test"]["standard_error"] == pytest.approx(nats.std() / np.sqrt(250), rel=1e-4)
    assert metrics["test"]["bits_per_dim"] == pytest.approx(nats.mean() / 64 / np.log(2), rel=1e-5)
    assert metrics["train"]["events"] == 1297
    assert metrics["epochs"] == 2


def test_train_prints_a_table(tmp_path):
    code, out, _ = call("train", "fvsbn-digits", "--out", tmp_path / "run", *SMALL)
    assert code == 0
    assert "epoch 2/2: train " in out
    for word in ("nats per event", "bits per dimension", "valid", "±", "model.keras"):
        assert word in out


def test_any_model_trains_on_any_data_that_fit(tmp_path):
    lines = "\n".join("0.5,1.5,-2.0" if i % 2 else "0.25,-1.0,3.5" for i in range(60))
    (tmp_path / "table.csv").write_text(lines)
    arguments = ["--data", tmp_path / "table.csv", "--set", "model.hidden_units=[8]", *SMALL]
    metrics = told("train", "made", "--out", tmp_path / "run", *arguments)
    assert metrics["model"] == "MADE"
    assert metrics["test"]["events"] == 6
    assert (tmp_path / "run" / "draws.csv").read_text().count("\n") == 64


def test_text_is_trained_on_continued_and_scored(tmp_path):
    (tmp_path / "be.txt").write_text("to be or not to be, that is the question. " * 40)
    small = ["--set", "data.length=20", "--set", "model.units=8", "--set", "model.num_layers=1", *SMALL]
    folder = tmp_path / "run"
    told("train", "char_rnn", "--data", tmp_path / "be.txt", "--out", folder, *small)
    assert len((folder / "draws.txt").read_text()) > 1500
    drawn = told("sample", folder, "-n", 1, "--length", 30, "--prompt", "to be", "--seed", 0, "--out", folder / "a.txt")
    text = pathlib.Path(drawn["file"]).read_text()
    assert text.startswith("to be")
    assert len(text.rstrip("\n")) <= 30
    (tmp_path / "other.txt").write_text("not the question to be " * 40)  # fewer characters, in another order
    assert told("evaluate", folder, "--data", tmp_path / "other.txt")["events"] > 0
    (tmp_path / "foreign.txt").write_text("é" + "to be " * 100)
    assert "é" in refused("evaluate", folder, "--data", tmp_path / "foreign.txt")


def test_a_model_without_a_vocabulary_takes_text_as_integers(tmp_path):
    (tmp_path / "ab.txt").write_text("abba" * 200)
    told("train", "made", "--data", tmp_path / "ab.txt", "--out", tmp_path / "run", "--set", "data.length=8", *SMALL)
    assert "draws.csv" in {path.name for path in (tmp_path / "run").iterdir()}
    assert told("evaluate", tmp_path / "run")["events"] == 10


@pytest.mark.parametrize("head", ["categorical", "discretized_logistic_mixture"])
def test_a_head_that_is_asked_for_is_taken(head):
    recipe = recipes.changed(recipes.find("fvsbn-digits"), [f"model.head={head}"])
    model = run.make_model(recipe, run.load_data(recipe))
    assert (type(model.head), model.head.num_levels) == (keras_ar.registry.find("heads", head).load(), 2)


def test_sound_is_trained_on_and_drawn(tmp_path):
    tone = 0.5 * np.sin(np.arange(4000) / 5)
    keras_ar.sound.write_wav(tmp_path / "tone.wav", tone, 400)
    small = ["--set", "data.length=100", "--set", "model.filters=2", "--set", "model.dilations=[1,2]", *SMALL]
    folder = tmp_path / "run"
    told("train", "wavenet", "--data", tmp_path / "tone.wav", "--out", folder, *small)
    samples, rate = keras_ar.sound.read_wav(folder / "draws.wav")
    assert rate == 400
    assert len(samples) == 2 * (2 * 400 + 100)


def test_labels_make_a_model_that_is_told_its_class(tmp_path):
    folder = tmp_path / "run"
    told("train", "fvsbn-digits", "--out", folder, *SMALL, "--set", "data.labels=true")
    assert told("info", folder)["condition_shape"] == [10]
    assert told("sample", folder, "-n", 2, "--condition", 7, "--out", tmp_path / "sevens.npy")["num"] == 2
    assert told("evaluate", folder)["events"] == 250
    assert "classes from 0 to 9" in refused("sample", folder, "--condition", 10)


def test_evaluate_repeats_what_the_run_found(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert told("evaluate", finished)["nats"] == pytest.approx(metrics["test"]["nats"])
    valid = told("evaluate", finished / "model.keras", "--data", "digits", "--part", "valid")
    assert valid["nats"] == pytest.approx(metrics["valid"]["nats"])


def test_sample_and_complete_write_what_the_library_draws(finished, tmp_path):
    model = keras_ar.load_model(finished / "model.keras")
    told("sample", finished, "-n", 3, "--seed", 5, "--out", tmp_path / "draws.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "draws.npy"), model.sample(3, seed=5))
    told("complete", finished, "-n", 3, "--seed", 5, "--out", tmp_path / "completed.npy")
    truth = keras_ar.datasets.load("digits", binary=True).test[:3]
    completed = np.load(tmp_path / "completed.npy")
    np.testing.assert_array_equal(completed[:, :4], truth[:, :4])
    known = np.broadcast_to(np.arange(8)[:, None, None] < 4, (8, 8, 1))
    np.testing.assert_array_equal(completed, model.complete(truth, known, seed=5))
    for command in ("sample", "complete"):
        told(command, finished, "-n", 3, "--out", tmp_path / f"{command}.png")
        assert (tmp_path / f"{command}.png").read_bytes().startswith(b"\x89PNG")


def test_list_shows_the_components_of_plugins_and_all_recipes():
    _, out, _ = call("list")
    for name in ("made", "mean_net", "keras-ar-template", *recipes.names()):
        assert name in out
    found = told("list")
    assert {entry["name"] for entry in found["components"]} == {entry.name for entry in keras_ar.registry.entries()}


def test_info_tells_what_a_file_holds(finished):
    found = told("info", finished)
    assert found["model"] == "keras_ar.FVSBN"
    assert found["parameters"] == 64 * 65 // 2 or found["parameters"] > 0
    assert found["trained_on"] == "digits"
    assert "nats" in call("info", finished)[1]


def test_list_and_help_import_no_keras():
    for command in ("list", "--help"):
        program = (
            "import sys; from keras_ar_cli import app\n"
            f"try: app([{command!r}])\nexcept SystemExit: pass\n"
            "assert not {'keras', 'jax', 'torch', 'tensorflow'} & set(sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


# Recipes.


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_that_comes_along_makes_its_model(name):
    found = recipes.find(name)
    assert found["title"]
    assert found["reference"].startswith("https://")
    assert found["result"]["test_nats"] is not None
    assert recipes.whole(recipes.tomllib.loads(recipes.write(found)), name) == found
    component = keras_ar.registry.find("models", found["model"]["name"]).load()
    assert set(found["model"]) - {"name", "head"} <= set(run._arguments(component))


# Interrupted, and gone on with.


def weights(folder):
    return [keras.ops.convert_to_numpy(v) for v in keras_ar.load_model(folder / "model.keras").trainable_variables]


RECIPE = recipes.changed(
    recipes.find("made-digits"),
    ["model.hidden_units=[4]", "train.epochs=3", "train.batch_size=512", "train.average=0.5", "data.binary=true"],
)


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    run.train(run.begin(RECIPE, folder, resume=False), folder)
    return weights(folder)


class Killed(BaseException):
    """What stops a process without asking it."""


# In a run of three epochs files change their place, or are removed, some twenty times.
@pytest.mark.parametrize("moment", range(0, 20) if BACKEND == "torch" else range(1, 20, 5))
def test_a_run_stopped_between_any_two_files_ends_with_the_same_weights(moment, left_alone, tmp_path, monkeypatch):
    changes = 0

    def counted(function):
        def change(*args, **kwargs):
            nonlocal changes
            changes += 1
            if changes == moment + 1:
                raise Killed
            return function(*args, **kwargs)

        return change

    begun = run.begin(RECIPE, tmp_path / "run", resume=False)
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "replace", counted(pathlib.Path.replace))
        patch.setattr(pathlib.Path, "rename", counted(pathlib.Path.rename))
        patch.setattr(run.shutil, "rmtree", counted(run.shutil.rmtree))
        with pytest.raises(Killed):
            run.train(begun, tmp_path / "run")
    run.train(run.begin(None, tmp_path / "run", resume=True), tmp_path / "run")
    for found, expected in zip(weights(tmp_path / "run"), left_alone, strict=True):
        np.testing.assert_array_equal(found, expected)
    lines = (tmp_path / "run" / "history.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["0", "1", "2"]


@pytest.mark.skipif(BACKEND != "jax", reason="each start of a process costs seconds")
def test_a_killed_process_ends_with_the_same_weights_when_resumed(tmp_path):
    settings = ["train.epochs=12", "train.patience=12", "model.hidden_units=[20]", "train.average=0.9"]
    recipe = recipes.changed(recipes.find("made-digits"), settings)
    run.train(run.begin(recipe, tmp_path / "alone", resume=False), tmp_path / "alone")
    folder, history = tmp_path / "killed", tmp_path / "killed" / "history.csv"
    run.begin(recipe, folder, resume=False)
    resume = [sys.executable, "-c", "from keras_ar_cli import main; main()", "train", "--resume", "--out", folder]

    for epochs in (2, 7):
        process = subprocess.Popen(resume, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (history.exists() and history.read_text().count("\n") > epochs):
            time.sleep(0.002)
        time.sleep(random.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert subprocess.run(resume, capture_output=True).returncode == 0
    for found, expected in zip(weights(folder), weights(tmp_path / "alone"), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not list(folder.glob(".unfinished*"))


def test_an_interrupted_run_says_how_to_go_on(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "train", interrupted)
    code, _, err = call("train", "fvsbn-digits", "--out", tmp_path / "run")
    assert code == 130
    assert "--resume" in err


def test_a_finished_run_is_not_trained_again(finished):
    before = (finished / "model.keras").stat().st_mtime_ns
    metrics = told("train", "--resume", "--out", finished)
    assert metrics["epochs"] == 2
    assert (finished / "model.keras").stat().st_mtime_ns == before


def test_a_disk_that_is_nearly_full_is_not_filled(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    run.begin(RECIPE, folder, resume=False)
    with monkeypatch.context() as patch:
        usage = type(run.shutil.disk_usage("."))
        patch.setattr(run.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 10**6, 10**6))
        assert "no space left on the disk, 1 MB are needed" in refused("train", "--resume", "--out", folder)
    assert told("train", "--resume", "--out", folder)["epochs"] == 3


def test_a_full_disk_ends_in_one_line_and_loses_nothing(tmp_path):
    folder = tmp_path / "run"
    recipe = recipes.changed(RECIPE, ["model.hidden_units=[300]"])  # its weights do not fit, its history does
    run.begin(recipe, folder, resume=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        refused("train", "--resume", "--out", folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert told("train", "--resume", "--out", folder)["epochs"] == 3


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fvsbn-digit"], "Did you mean 'fvsbn-digits'?"),
        (["fvsbn-digits", "--set", "train.epoch=3"], "unknown key train.epoch. Did you mean train.epochs?"),
        (["fvsbn-digits", "--set", "train.epochs=many"], "train.epochs must be an integer. Received: 'many'"),
        (["fvsbn-digits", "--set", "train.epochs=0"], "at least 1"),
        (["fvsbn-digits", "--set", "trian.epochs=3"], "TABLE.KEY=VALUE"),
        (["fvsbn-digits", "--set", "data.binary=1"], "data.binary must be true or false"),
        (["fvsbn-digits", "--set", "train.schedule=linear"], "'cosine' or 'constant'"),
        (["fvsbn-digits", "--set", "model.units=3"], "unknown key model.units: FVSBN takes"),
        (["fvsbn-digits", "--seed", "-1"], "seed must be at least 0"),
        (["nade-digits", "--set", "model.units=many"], "`units`"),
        (["made-digits", "--set", "model.head=bernoulli"], "`train`"),
        (["fvsbn-digits", "--data", "no/such/file.npz"], "There is no file"),
        (["fvsbn-digits", "--data", "digit"], "'digits'"),
        (["made"], "use --data"),
        (["made", "--data", "digits", "--set", "model.head=normals"], "Unknown head"),
        (["char_rnn", "--data", "digits"], "writes text"),
        (["wavenet", "--data", "digits"], "event_shape"),
        (["fvsbn-digits", "--backend", "mxnet"], "jax, tensorflow or torch"),
        (["nowhere.toml"], "no recipe file"),
        ([], "name a recipe"),
    ],
    ids=str,
)
def test_bad_input_of_train(arguments, words, tmp_path):
    assert words in refused("train", *arguments, *([] if not arguments else ["--out", tmp_path / "run"]))
    assert not (tmp_path / "run" / "history.csv").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[data]\nname = 'digits'\n[model]\nname = 'made'\n[trian]\nepochs = 3",
            "unknown key trian. Did you mean train?",
        ),
        ("[data]\nname = 3\n[model]\nname = 'made'", "data.name must be a string. Received: 3"),
        ("[model]\nname = 'made'", "data.name must be said"),
        ("model = 'made'\n[data]\nname = 'digits'", "[model] must be a table"),
        ("[data\n", "not a TOML file"),
    ],
)
def test_bad_recipes(text, words, tmp_path):
    (tmp_path / "mine.toml").write_text(text)
    assert words in refused("train", tmp_path / "mine.toml", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_that_do_not_fit_the_model(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.full((30, 4), 1.5, "float32"))
    settings = ["--set", "model.head={name='categorical',num_levels=3}"]
    assert "integer" in refused("train", "made", "--data", tmp_path / "data.npz", "--out", tmp_path / "run", *settings)


def test_a_run_is_not_written_over(finished, tmp_path):
    assert "--resume" in refused("train", "fvsbn-digits", "--out", finished)
    assert "another recipe" in refused("train", "nade-digits", "--out", finished, "--resume")
    assert "no run to resume" in refused("train", "--resume", "--out", tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied" in refused("train", "fvsbn-digits", "--out", tmp_path / "run", *SMALL)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "run").write_text("")
    refused("train", "fvsbn-digits", "--out", tmp_path / "run", *SMALL)


def test_bad_files(finished, tmp_path):
    half = (finished / "model.keras").read_bytes()
    (tmp_path / "half.keras").write_bytes(half[: len(half) // 2])
    for command in ("info", "sample", "evaluate", "complete"):
        assert "truncated" in refused(command, tmp_path / "half.keras")
        assert "no finished run" in refused(command, tmp_path)
        assert "There is no file" in refused(command, tmp_path / "none.keras")
    assert "use --data" in refused("evaluate", finished / "model.keras")
    assert ".npy" in refused("sample", finished, "--out", tmp_path / "draws.gif")
    assert "no folder" in refused("sample", finished, "--out", tmp_path / "none" / "draws.png")
    assert "sequences" in refused("sample", finished, "--length", 5)
    assert "`temperature`" in refused("sample", finished, "--temperature", -1)


def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    class Spoil(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.set_weights([weight + 1 for weight in self.model.get_weights()])

    begun = run.begin(RECIPE, tmp_path / "run", resume=False)
    metrics = run.train(begun, tmp_path / "run", callbacks=[Spoil()])
    rows = run.History(tmp_path / "run" / "history.csv", None).rows
    assert (metrics["best_epoch"], metrics["epochs"]) == (2, 3)
    assert metrics["valid"]["nats"] == pytest.approx(rows[1]["val_loss"], rel=1e-4)


def test_lost_likelihoods_are_reported(tmp_path):
    settings = ["--set", "train.learning_rate=1e30", "--set", "train.schedule=constant", *SMALL]
    assert "lower train.learning_rate" in refused("train", "made-digits", "--out", tmp_path / "run", *settings)


# New plugins.


def test_a_new_plugin_is_the_template_under_its_own_name(tmp_path):
    folder = pathlib.Path(told("new-plugin", "keras-ar-wavelets", "--folder", tmp_path)["folder"])
    texts = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert "keras_ar_wavelets/mean_net.py" in texts
    assert not any("keras_ar_template" in text or "keras-ar-template" in text for text in texts.values())
    assert "is there already" in refused("new-plugin", "keras-ar-wavelets", "--folder", tmp_path)
    assert "small letters" in refused("new-plugin", "Keras AR", "--folder", tmp_path)
