"""The guides run, as scripts and as notebooks."""

import pathlib
import shlex
import subprocess
import sys

import keras
import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from typer.testing import CliRunner
from variants import on_one_backend

import keras_ar
import keras_ar_cli
from docs import notebooks

GUIDES = pathlib.Path(__file__).parents[1] / "guides"


@pytest.fixture(autouse=True)
def shortened(tmp_path, monkeypatch):
    """A folder to write to, few epochs, and command lines that run in this process, where Keras is loaded already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_AR_QUICK", "1")
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    run_elsewhere = subprocess.run

    def run(command, **options):
        if command[0] != "keras-ar":
            return run_elsewhere(command, **options)
        result = CliRunner().invoke(keras_ar_cli.app, command[1:], catch_exceptions=False)
        assert result.exit_code == 0 or not options.get("check"), shlex.join(command) + result.stderr
        return subprocess.CompletedProcess(command, result.exit_code, result.stdout, result.stderr)

    monkeypatch.setattr(subprocess, "run", run)
    path = sys.path[:]
    yield
    sys.path[:] = path  # a guide may have installed a plugin
    keras_ar.registry.refresh()


@pytest.mark.parametrize(
    "name", on_one_backend(notebooks.ORDER)
)  # what guides call is tested on every backend elsewhere
def test_a_guide_runs(name):
    path = GUIDES / f"{name}.py"
    names = {"__name__": "__main__", "__file__": str(path)}
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), names)
    for picture in pathlib.Path().glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_every_guide_is_listed_and_begins_with_a_title():
    assert {path.stem for path in GUIDES.glob("*.py")} == set(notebooks.ORDER)
    for name in notebooks.ORDER:
        title, lead = notebooks.title_and_lead(notebooks.notebook_of(GUIDES / f"{name}.py"))
        assert len(title) > 5
        assert len(lead) > 30


GUIDE = """\
# %% [markdown]
# # A *small* guide
#
# With an equation: p(x) < 1.

# %%
x = 6 * 7
print("<", x, ">")

# %%
from matplotlib.figure import Figure

figure = Figure((1, 1))
figure.savefig("picture.png")
"""


@pytest.fixture
def guide(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(GUIDE, encoding="utf-8")
    return path


@pytest.mark.one_backend
def test_a_notebook_shows_output_and_pictures_and_runs_once(guide, tmp_path):
    file = notebooks.run(guide, tmp_path / "kept")
    notebook = nbformat.read(file, as_version=4)
    assert notebooks.title_and_lead(notebook) == ("A *small* guide", "With an equation: p(x) < 1.")
    printed, drawn = (cell.outputs for cell in notebook.cells[2:])
    assert printed[0].text == "< 42 >\n"
    assert drawn[0].data["image/png"].startswith("iVBOR")
    assert not (tmp_path / "picture.png").exists()

    written = file.stat().st_mtime_ns
    assert notebooks.run(guide, tmp_path / "kept").stat().st_mtime_ns == written
    guide.write_text(GUIDE + "# changed", encoding="utf-8")
    assert not notebooks.cached(guide, tmp_path / "kept").exists()


@pytest.mark.one_backend
def test_an_error_in_a_guide_is_told_and_nothing_is_kept(guide, tmp_path):
    guide.write_text(GUIDE.replace("6 * 7", "6 / 0"), encoding="utf-8")
    with pytest.raises(CellExecutionError, match="x = 6 / 0"):
        notebooks.run(guide, tmp_path / "kept")
    assert not list((tmp_path / "kept").glob("*"))
