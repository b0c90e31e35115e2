"""What runs on many machines: workers give what the model gives, folders hold each event once, whoever fills them."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import keras_ar
from keras_ar import heads, models, noise, scale


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The file of a model with classes."""
    path = tmp_path_factory.mktemp("models") / "made.keras"
    model = models.MADE((2, 3), hidden_units=5, head=heads.Categorical(3), num_classes=2)
    noise.randomize(model)
    model.save(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The same events and classes as an npz file, and as two Parquet files of several groups of rows."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder = tmp_path_factory.mktemp("data")
    x, classes = np.random.default_rng(0).integers(0, 3, (50, 6)), np.arange(50) % 2
    np.savez(folder / "events.npz", x=x, classes=classes)
    np.save(folder / "events.npy", x)
    (folder / "tables").mkdir()
    for name, rows in (("a", slice(0, 20)), ("b", slice(20, 50))):
        columns = {**{f"x{i}": x[rows, i] for i in range(6)}, "class": classes[rows], "word": ["no"] * len(x[rows])}
        parquet.write_table(pa.table(columns), folder / "tables" / f"{name}.parquet", row_group_size=7)
    return folder


COLUMNS = [f"x{i}" for i in range(6)]


def test_workers_give_what_the_model_gives(file, data):
    model = keras_ar.load_model(file)
    arrays = np.load(data / "events.npz")
    x, classes = arrays["x"].reshape(-1, 2, 3), arrays["classes"]
    scorer = pickle.loads(pickle.dumps(scale.Scorer(file, columns=COLUMNS, condition="class", batch_size=16)))
    expected = model.score_samples(x, classes)
    np.testing.assert_allclose(scorer.score(x, classes), expected, atol=1e-5)
    batch = {**dict(zip(COLUMNS, arrays["x"].T, strict=True)), "class": classes, "id": np.arange(50)}
    found = scorer(batch)
    assert list(found) == ["id", "log_prob"]
    np.testing.assert_allclose(found["log_prob"], expected, atol=1e-5)

    sampler = pickle.loads(pickle.dumps(scale.Sampler(file, seed=3, condition=1)))
    samples = model.sample(20, 1, seed=3)
    numbers = np.array([19, 3, 4, 5, 0])
    assert (sampler(numbers) == samples[numbers]).all()
    assert (sampler({"id": numbers})["x"] == samples[numbers]).all()
    assert sampler(np.array([], int)).shape == (0, 2, 3)


@pytest.mark.one_backend
def test_rows_are_read_by_ranges(data):
    expected = np.load(data / "events.npz")
    sources = (
        (scale.Rows(data / "events.npz", condition="classes"), True),
        (scale.Rows(data / "events.npy"), False),
        (scale.Rows(data / "tables", COLUMNS, "class"), True),
    )
    for rows, has_classes in sources:
        rows = pickle.loads(pickle.dumps(rows))
        assert len(rows) == 50
        for first, last in ((0, 50), (6, 8), (18, 23), (49, 50), (5, 5)):
            x, *classes = rows.read(first, last)
            assert (x == expected["x"][first:last]).all()
            if has_classes:
                assert (classes[0] == expected["classes"][first:last]).all()


@pytest.mark.one_backend
def test_a_folder_is_the_same_however_it_is_filled(file, data, tmp_path):
    model, arrays = keras_ar.load_model(file), np.load(data / "events.npz")
    rows = scale.Rows(data / "tables", COLUMNS, "class")

    def task(out):
        return scale.ScoreRange(scale.Scorer(file), rows, tmp_path / out, size=9)

    pieces = scale.ranges(0, len(rows), 9)
    scale.fill(task("alone"), pieces)
    for share in ("3/3", "1/3", "2/3", "1/1"):  # the last one finds all done
        scale.fill(pickle.loads(pickle.dumps(task("shared"))), scale.shard(pieces, share))
    alone, shared = (sorted((tmp_path / name).iterdir()) for name in ("alone", "shared"))
    assert [path.name for path in alone] == [path.name for path in shared]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(alone, shared, strict=True))
    found = scale.read(tmp_path / "shared")
    assert (found["event"] == np.arange(50)).all()
    expected = model.score_samples(arrays["x"].reshape(-1, 2, 3), arrays["classes"])
    np.testing.assert_allclose(found["log_prob"], expected, atol=1e-5)


@pytest.mark.one_backend
def test_samples_of_a_folder_are_those_of_the_seed(file, tmp_path, monkeypatch):
    expected = keras_ar.load_model(file).sample(25, 0, seed=7)
    for has_parquet in (True, False):
        if not has_parquet:
            monkeypatch.setattr("keras_ar.scale.shards._parquet", lambda: None)
        out = tmp_path / str(has_parquet)
        task = scale.SampleRange(scale.Sampler(file, seed=7, condition=0), out, size=10)
        scale.fill(task, scale.ranges(3, 25, 10))
        found = scale.read(out, first=3)
        assert (found["x"] == expected[3:]).all()
        assert found["x"].dtype == expected.dtype
        assert {path.suffix for path in out.iterdir()} == {".json", ".parquet" if has_parquet else ".npz"}


@pytest.mark.one_backend
def test_what_does_not_belong_into_a_folder_is_refused(file, data, tmp_path):
    sampler = scale.Sampler(file, seed=0, condition=0)
    task = scale.SampleRange(sampler, tmp_path / "out", size=10)
    scale.fill(task, scale.ranges(0, 25, 10))
    kept = sorted(path.name for path in (tmp_path / "out").iterdir())
    with pytest.raises(ValueError, match=r"events from 20 to 24, which overlap those from 20 to 29"):
        scale.fill(task, scale.ranges(0, 40, 10))
    for other, expected in (
        (scale.Sampler(file, seed=1, condition=0), "its manifest has seed=0. Received: seed=1"),
        (scale.Sampler(file, seed=0, condition=1), "condition=0. Received: condition=1"),
        (scale.Sampler(file, seed=0, condition=0, temperature=0.5), "options={}. Received: options={'temperature'"),
    ):
        with pytest.raises(ValueError, match=expected):
            scale.SampleRange(other, tmp_path / "out", size=10)
    minimal = scale.Sampler(file, seed=0, condition=0, sampler=keras_ar.samplers.MinP(0.1))
    with pytest.raises(ValueError, match="must hold what JSON can"):
        scale.SampleRange(minimal, tmp_path / "new", size=10)
    with pytest.raises(ValueError, match=r"size=10. Received: size=5"):
        scale.SampleRange(sampler, tmp_path / "out", size=5)
    changed = keras_ar.load_model(file)
    noise.randomize(changed, seed=1)
    changed.save(tmp_path / "changed.keras")
    with pytest.raises(ValueError, match=r"its manifest has model='\w{64}'"):
        scale.SampleRange(scale.Sampler(tmp_path / "changed.keras", seed=0, condition=0), tmp_path / "out", size=10)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == kept
    with pytest.raises(ValueError, match="has no manifest"):
        scale.SampleRange(sampler, data, size=10)  # a folder of other things
    (tmp_path / "out" / "events-000000000000010-000000000000020.parquet").unlink()
    with pytest.raises(ValueError, match="It holds no events from 10 on"):
        scale.read(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest.json is damaged"):
        task(10, 20)


@pytest.mark.one_backend
def test_bad_sources_and_shards_are_named(file, data, tmp_path):
    for arguments, expected in (
        ((data / "tables", [*COLUMNS, "x6"]), r"a.parquet must have the columns \['x6'\]. It has"),
        ((data / "events.npz", None, "labels"), r"must hold an array 'labels'. It holds x, classes"),
        ((data / "events.npy", ["x0"]), "`columns` must be None"),
        ((data / "events.csv",), "There is no"),
        ((file,), "must end in .npy, .npz or .parquet"),
        ((tmp_path,), "a folder without any"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=expected):
            scale.Rows(*arguments)
    with pytest.raises(ValueError, match="Column 'word' must hold numbers"):
        scale.Rows(data / "tables", ["x0", "word"]).read(0, 3)
    for text in ("0/2", "3/2", "1", "a/b", 2):
        with pytest.raises(ValueError, match="`shard` must be 'i/n'"):
            scale.shard([1, 2, 3], text)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        scale.Scorer(tmp_path / "none.keras")
    with pytest.raises(ValueError, match="workers must agree"):
        scale.Sampler(file, seed=None)
    with pytest.raises(ValueError, match=r"must have the columns \['x'\]. It has \['y'\]"):
        scale.Scorer(file)({"y": np.zeros((2, 6))})


@pytest.mark.one_backend
def test_a_killed_process_loses_nothing_and_doubles_nothing(file, tmp_path):
    task = scale.SampleRange(scale.Sampler(file, seed=0, condition=0), tmp_path / "whole", size=100)
    scale.fill(task, scale.ranges(0, 2000, 100))
    program = (
        "import sys; from keras_ar import scale; path, out = sys.argv[1:]; "
        "task = scale.SampleRange(scale.Sampler(path, seed=0, condition=0), out, size=100); "
        "scale.fill(task, scale.ranges(0, 2000, 100))"
    )
    command = [sys.executable, "-c", program, file, tmp_path / "killed"]
    with subprocess.Popen(command) as process:
        while not any((tmp_path / "killed").glob("events-*")):
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
    killed = scale.SampleRange(scale.Sampler(file, seed=0, condition=0), tmp_path / "killed", size=100)
    scale.fill(killed, scale.ranges(0, 2000, 100))
    whole, found = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.name[0] != "."}
        for name in ("whole", "killed")
    )
    assert whole == found


@pytest.mark.one_backend
def test_a_worker_without_the_plugin_says_so_and_loses_nothing(tmp_path):
    flows = pytest.importorskip("keras_ar_flows")
    flows.NICE(2, num_layers=2, hidden_units=3).save(tmp_path / "nice.keras")
    np.save(tmp_path / "x.npy", np.zeros((30, 2), "float32"))

    command = [sys.executable, "-m", "keras_ar_cli", "score", "nice.keras", "x.npy", "--out", "scores", "--size", "10"]
    environment = {**os.environ, "KERAS_AR_PLUGINS": ""}
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.returncode == 2
    assert "'NICE' of the package 'keras_ar_flows'" in found.stderr.splitlines()[-1]
    task = scale.ScoreRange(
        scale.Scorer(tmp_path / "nice.keras"), scale.Rows(tmp_path / "x.npy"), tmp_path / "scores", size=10
    )
    scale.fill(task, scale.ranges(0, 30, 10))
    assert len(scale.read(tmp_path / "scores")["log_prob"]) == 30


def test_a_layout_splits_what_can_be_divided():
    if keras.backend.backend() != "jax":
        pytest.skip("Keras has layouts on JAX")
    mesh = keras.distribution.DeviceMesh((1, 1), ["batch", "model"], devices=["cpu:0"])
    with pytest.raises(ValueError, match="`axis` must be 'batch' or 'model'"):
        scale.layout_map(models.FVSBN(3), mesh, axis="columns")


@pytest.mark.one_backend
def test_workers_of_ray_do_what_one_process_does(file, tmp_path):
    pytest.importorskip("ray")
    pieces = scale.ranges(0, 600, 100)
    sampler = scale.Sampler(file, seed=0, condition=0)
    scale.fill(scale.SampleRange(sampler, tmp_path / "alone", size=100), pieces)
    counts = []
    scale.fill_on_ray(scale.SampleRange(sampler, tmp_path / "ray", size=100), pieces, 2, counts.append)
    assert counts[-1] == 600
    assert (scale.read(tmp_path / "ray")["x"] == scale.read(tmp_path / "alone")["x"]).all()

    x = np.zeros((600, 6), int)
    x[350, 2] = 9
    np.savez(tmp_path / "x.npz", x=x, c=np.zeros(600, int))
    task = scale.ScoreRange(scale.Scorer(file), scale.Rows(tmp_path / "x.npz", condition="c"), tmp_path / "scores", 100)
    with pytest.raises(ValueError, match=r"1 of 6 ranges failed; the others are done. ValueError: `x` must hold"):
        scale.fill_on_ray(task, pieces, 2)
    assert len([*(tmp_path / "scores").glob("events-*")]) == 5
