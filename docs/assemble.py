"""Writes the pages of the guides and of the gallery for Sphinx to read, from the notebooks that have run.

A guide that has not run as it stands is shown without output.
"""

import base64
import re
import shutil

import nbformat
import notebooks

import keras_ar

PICTURES = notebooks.ROOT / "benchmarks" / "pictures"


def write(folder):
    """Writes `guides`, `gallery` and `plugins` into the folder of the sources."""
    guides = {name: _notebook(name) for name in notebooks.ORDER}
    for name in ("gallery", "guides", "plugins"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    _write_gallery(guides, folder / "gallery")
    _write_guides(guides, folder / "guides")
    _write_plugins(folder / "plugins")


def _notebook(name):
    path = notebooks.GUIDES / f"{name}.py"
    file = notebooks.cached(path)
    notebook = nbformat.read(file, as_version=4) if file.exists() else notebooks.notebook_of(path)
    notebook.cells[0].source = notebooks.SHOW_PICTURES  # which may have changed since
    for cell in notebook.cells:
        if cell.cell_type == "markdown":  # a guide names others by their files
            cell.source = re.sub(r"\]\((\w+)\.py\)", r"](\1.ipynb)", cell.source)
    return notebook


# Guides.


def _write_guides(guides, folder):
    downloads = folder / "notebooks"
    downloads.mkdir()
    cards = []
    for name, notebook in guides.items():
        (downloads / f"{name}.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
        title, lead = notebooks.title_and_lead(notebook)
        cards.append(f":::{{grid-item-card}} {title}\n:link: {name}\n:link-type: doc\n\n{lead}\n:::\n")
        cell = nbformat.v4.new_markdown_cell(
            f"To run it yourself: {{download}}`notebook <notebooks/{name}.ipynb>` · "
            f"{{download}}`Python file <../../guides/{name}.py>`",
            id="downloads",
        )
        first, *rest = notebook.cells[1].source.split("\n", 1)
        notebook.cells[1].source = first
        below = nbformat.v4.new_markdown_cell("".join(rest).strip(), id="lead")
        notebook.cells[2:2] = [cell, below]
        (folder / f"{name}.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
    what = "Each is a script that runs in one to three minutes on two cores, a page, and a notebook."
    text = ["# Guides", "", what, "", "::::{grid} 1 2 2 2", ":gutter: 3", "", *cards, "::::", ""]
    text += ["```{toctree}", ":hidden:", "", *guides, "```", ""]
    (folder / "index.md").write_text("\n".join(text), encoding="utf-8")


# Plugins.


def _write_plugins(folder):
    """A page of each plugin but the template: its README."""
    names = sorted(path.parent.name for path in notebooks.ROOT.glob("plugins/keras-ar-*/README.md"))
    for name in names:
        include = f"```{{include}} ../../plugins/{name}/README.md\n:relative-images:\n```\n"
        (folder / f"{name}.md").write_text(include, encoding="utf-8")
    what = "Distributions that bring more components; they are found by their names once installed."
    text = ["# Plugins", "", what, "", "```{toctree}", ":maxdepth: 1", "", *names, "```", ""]
    (folder / "index.md").write_text("\n".join(text), encoding="utf-8")


# The gallery.


def _write_gallery(guides, folder):
    text = ["# Gallery", "", "Pictures that models have drawn, or that show what they do.", ""]
    text += _grid("Samples and completions", [_of_benchmark(path, folder) for path in sorted(PICTURES.glob("*.png"))])
    for name, notebook in guides.items():
        title, _ = notebooks.title_and_lead(notebook)
        files = []
        for number, picture in enumerate(_pictures(notebook)):
            file = folder / f"{name}_{number}.png"
            file.write_bytes(picture)
            files.append((file.name, "", f"/guides/{name}"))
        text += _grid(f"[{title}](/guides/{name}.ipynb)", files)
    (folder / "index.md").write_text("\n".join(text), encoding="utf-8")


def _of_benchmark(path, folder):
    """The file of a picture, its caption, and the page that it leads to."""
    shutil.copy(path, folder / path.name)
    name = path.stem
    for entry in sorted(keras_ar.registry.entries("models"), key=lambda entry: -len(entry.name)):
        if entry.name in name:
            page = entry.name if entry.distribution == "keras-ar" else f"{entry.distribution}.{entry.name}"
            before, after = name.split(entry.name, 1)
            words = " ".join(f"{before} {after}".replace("_", " ").split())
            return path.name, f"{entry.load().__name__}: {words}", f"/api/models/{page}"
    return path.name, name.replace("_", " ").capitalize(), "/results"


def _pictures(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                yield base64.b64decode(output["data"]["image/png"])


def _grid(title, pictures):
    """A heading, and a card for each picture; nothing without pictures."""
    if not pictures:
        return []
    cards = [
        f":::{{grid-item-card}} {caption}\n:img-top: {file}\n:link: {page}\n:link-type: doc\n:::\n"
        for file, caption, page in pictures
    ]
    return [f"## {title}", "", "::::{grid} 1 2 3 3", ":gutter: 3", "", *cards, "::::", ""]
