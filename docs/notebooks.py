"""Makes notebooks of the guides: `python docs/notebooks.py`, or `python docs/notebooks.py heads` for one of them.

A guide is a Python file in percent cells, which also runs by itself. Its notebook has, below each cell, what the cell
prints and the pictures and sounds that it writes. Each guide runs in a kernel and a folder of its own. Notebooks that
have run are kept in `build/notebooks`, under a hash of their source: a guide runs again only when its text has changed.
"""

import hashlib
import itertools
import os
import pathlib
import re
import sys
import tempfile
import time

import jupytext
import nbformat
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).resolve().parents[1]
GUIDES = ROOT / "guides"
CACHE = ROOT / "build" / "notebooks"
ORDER = (
    "first_model",
    "fvsbn_nade_made",
    "heads",
    "images",
    "sound_and_text",
    "transformers",
    "drawing",
    "missing_values",
    "flows",
    "bounds",
    "latent_variables",
    "your_own_model",
    "writing_a_plugin",
    "backends_and_devices",
    "scaling",
    "command_line",
)

# The first cell of a notebook: guides write their pictures to files, as scripts do.
SHOW_PICTURES = """\
# Install what this notebook needs, and show the pictures and sounds that a cell writes to files below that cell.
# %pip install "keras-ar[guides,jax]"
def show_pictures_below_cells():
    import os
    import pathlib

    from IPython import display, get_ipython

    os.environ["MPLBACKEND"] = "agg"  # else a picture that pyplot knows is shown twice
    kinds, shown = {".png": display.Image, ".wav": display.Audio}, {}

    def show(_):
        files = {path: path.stat().st_mtime_ns for path in pathlib.Path().rglob("*") if path.suffix in kinds}
        for path in sorted(files, key=lambda path: (files[path], path)):
            if shown.get(path) != files[path]:
                shown[path] = files[path]
                display.display(kinds[path.suffix](str(path)))

    get_ipython().events.register("post_run_cell", show)


show_pictures_below_cells()"""


def notebook_of(path):
    """The notebook of a guide, not run."""
    notebook = jupytext.read(path, fmt="py:percent")
    cell = nbformat.v4.new_code_cell(SHOW_PICTURES, metadata={"tags": ["remove-cell"]})
    notebook.cells.insert(0, cell)
    for number, cell in enumerate(notebook.cells):  # not at random, so that the same source gives the same notebook
        cell.id = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel})
    return notebook


def title_and_lead(notebook):
    """The title of a guide, and its first paragraph on one line."""
    cell = notebook.cells[1]
    found = re.match(r"# (.+)\n\n((?:.+\n?)+)", cell.source)
    if cell.cell_type != "markdown" or not found:
        raise ValueError("A guide must begin with a markdown cell: a title, `# ...`, and a paragraph.")
    return found[1], re.sub(":$", ".", " ".join(found[2].split()))


def cached(path, cache=CACHE):
    """The file of a guide's notebook, which exists if the guide has run as it stands."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return cache / f"{path.stem}-{digest[:16]}.ipynb"


def run(path, cache=CACHE):
    """Runs a guide, unless it has run as it stands, and returns the file of its notebook."""
    file = cached(path, cache)
    if file.exists():
        return file
    notebook = notebook_of(path)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=None,
            coalesce_streams=True,
            extra_arguments=["--Application.log_level=ERROR"],  # no word on how it is connected
            resources={"metadata": {"path": folder}},
        ).execute()
    _tidy(notebook, path.name, folder)
    cache.mkdir(parents=True, exist_ok=True)
    for older in cache.glob(f"{path.stem}-*.ipynb"):
        older.unlink()
    nbformat.write(notebook, file)
    return file


def _tidy(notebook, name, folder):
    """Keeps what the guide prints and shows, and says nothing of when and where it ran."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if output.output_type == "error":  # not of the guide, which would have ended, but of what shows pictures
                raise RuntimeError(f"{name}: {output.ename}: {output.evalue}")
            if "text" in output:
                output.text = output.text.replace(folder + os.sep, "")
        if "outputs" in cell:
            # A script shows no value of a line, and warnings are for who runs it.
            is_shown = [o.output_type != "execute_result" and o.get("name") != "stderr" for o in cell.outputs]
            cell.outputs = list(itertools.compress(cell.outputs, is_shown))


def main(names):
    """Runs these guides, or all."""
    commands = os.path.dirname(sys.executable)  # such as keras-ar, as if the environment were activated
    os.environ["PATH"] = os.pathsep.join([commands, os.environ["PATH"]])
    for name in names or ORDER:
        start = time.perf_counter()
        file = run(GUIDES / f"{name}.py")
        print(f"{file.relative_to(ROOT)}, {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
