"""The guides run, and the renderer makes pages of them."""

import importlib.util
import pathlib
import shlex
import subprocess
import sys

import keras
import pytest
from typer.testing import CliRunner
from variants import on_one_backend

import keras_ar
import keras_ar_cli

GUIDES = pathlib.Path(__file__).parents[1] / "guides"


def _load_renderer():
    spec = importlib.util.spec_from_file_location("guides_render", GUIDES / "render.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


render = _load_renderer()


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


# What guides call is tested on every backend elsewhere; this one has layers and steps of its own.
ON_EVERY_BACKEND = {"your_own_model"}


@pytest.mark.parametrize(
    "name", [*sorted(ON_EVERY_BACKEND), *on_one_backend(n for n in render.ORDER if n not in ON_EVERY_BACKEND)]
)
def test_a_guide_runs(name):
    path = GUIDES / f"{name}.py"
    names = {"__name__": "__main__", "__file__": str(path)}
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), names)
    for picture in pathlib.Path().glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_every_guide_is_listed_and_begins_with_a_title():
    assert {path.stem for path in GUIDES.glob("*.py")} - {"render"} == set(render.ORDER)
    for name in render.ORDER:
        title, lead = render.title_and_lead((GUIDES / f"{name}.py").read_text(encoding="utf-8"))
        assert len(title) > 5
        assert len(lead) > 30


def test_the_index_lists_every_guide(tmp_path):
    paths = [GUIDES / f"{name}.py" for name in render.ORDER]
    page = render.write_index(paths, tmp_path).read_text(encoding="utf-8")
    for name in render.ORDER:
        assert f'href="{name}.html"' in page


GUIDE = """
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


def test_a_page_shows_text_code_output_and_pictures(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(GUIDE, encoding="utf-8")
    page = render.render(path, tmp_path / "pages").read_text(encoding="utf-8")
    for part in ("<em>small</em>", "p(x) &lt; 1.", "&lt; 42 &gt;", 'src="data:image/png;base64,iVBOR', "savefig"):
        assert part in page
    assert (tmp_path / "pages" / "small" / "picture.png").exists()
    assert pathlib.Path.cwd() == tmp_path


def test_an_error_in_a_guide_names_its_line(tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text(GUIDE.replace("6 * 7", "6 / 0"), encoding="utf-8")
    with pytest.raises(ZeroDivisionError) as error:
        render.render(path, tmp_path / "pages")
    assert error.traceback[-1].lineno + 1 == GUIDE.splitlines().index("x = 6 * 7") + 1


def test_a_contact_sheet_holds_all_pictures(tmp_path):
    from PIL import Image

    pictures = {}
    for i in range(8):
        pictures["a_guide", f"picture {i}"] = tmp_path / f"{i}.png"
        Image.new("RGB", (300, 200), (30 * i, 0, 0)).save(tmp_path / f"{i}.png")
    sheet = Image.open(render.contact_sheet(pictures, tmp_path / "sheet.png", width=760)).convert("RGB")
    colors = {color for _, color in sheet.getcolors(maxcolors=10_000)}
    assert {(30 * i, 0, 0) for i in range(8)} <= colors
