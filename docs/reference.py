"""Writes the pages of the reference, from docstrings, for Sphinx to read.

Components are found as users find them: through the registry, by their entry points, those of the plugins in this
repository included; all else by what `__all__` of keras_ar and of its modules lists. Nothing is listed by hand.

Docstrings are Markdown under the section names of Google's style, as Keras has them: griffe tells the sections apart.
"""

import contextlib
import dataclasses
import doctest
import importlib
import inspect
import io
import pathlib
import re
import shutil
import sys

import figures
import griffe
import keras
import links
import numpy as np

import keras_ar

LEFT_OUT = ("keras-ar-template",)  # to be copied, not used
KINDS = {
    "models": "What `fit`, `score_samples` and `sample` are called on.",
    "heads": "What one value can be: a distribution, given its parameters.",
    "layers": "Causal layers, of which models are made.",
    "bijectors": "Maps from data to noise and back, of which flows are made.",
}
MODULES = {"plots": "Pictures of data, of samples and of models.", "callbacks": "What to do in the course of training."}


@dataclasses.dataclass(frozen=True)
class Page:
    """The page of a class, a function or a module: its file, its title, the line that lists show, and its text."""

    file: str
    title: str
    summary: str
    text: str


def write(folder):
    """Writes all pages into the folder, and nothing else is left there."""
    folder = pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    groups = {"base": ("Kinds of models", "What all models have in common.", _base_classes())}
    for kind, what in KINDS.items():
        pages = [_page_of_component(entry) for entry in keras_ar.registry.entries(kind) if _is_shown(entry)]
        groups[kind] = (kind.capitalize(), what, pages)
    for name, what in MODULES.items():
        pages = [_page_of_name(name, public, folder) for public in getattr(keras_ar, name).__all__]
        groups[name] = (name.capitalize(), what, pages)
    modules = [name for name in keras_ar.__all__ if inspect.ismodule(getattr(keras_ar, name)) and name not in groups]
    what = "Data sets, noise, orderings, text, sound, the conformance kit, and what authors of components need."
    groups["modules"] = ("Modules", what, [_page_of_module(name) for name in modules])
    for name, (title, what, pages) in groups.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for page in pages:
            (folder / name / f"{page.file}.md").write_text(page.text, encoding="utf-8")
        (folder / name / "index.md").write_text(_list(title, what, pages), encoding="utf-8")
    (folder / "index.md").write_text(_index(groups), encoding="utf-8")


# Pages.


def _index(groups):
    text = ["# Reference", "Every public name, from its docstring; each example is run by the tests.", ""]
    for name, (title, what, pages) in groups.items():
        listed = " · ".join(f"[{page.title}]({name}/{page.file}.md)" for page in pages)
        text += [f"## [{title}]({name}/index.md)", what, "", listed, ""]
    return "\n".join([*text, _contents(f"{name}/index" for name in groups)])


def _list(title, what, pages):
    rows = [f"| [{page.title}]({page.file}.md) | {page.summary} |" for page in pages]
    table = ["| name | what it is |", "|---|---|", *rows, ""]
    return "\n".join([f"# {title}", "", what, "", *table, _contents(page.file for page in pages)])


def _contents(names):
    return "\n".join(["```{toctree}", ":hidden:", "", *names, "```", ""])


def _page_of_component(entry):
    """The page of a class of the registry: how to name it, its docstring, and what it has reached."""
    lead, file = f'`"{entry.name}"` in the registry. ', entry.name
    if entry.distribution != "keras-ar":
        lead, file = f"{lead}From the plugin `{entry.distribution}`. ", f"{entry.distribution}.{entry.name}"
    return _page(file, entry.load(), lead, _reached(entry) if entry.kind == "models" else "")


def _page_of_name(module, name, folder):
    """The page of a function or a class that a module lists, with the picture of its example, if it makes one."""
    found = getattr(getattr(keras_ar, module), name)
    return _page(name, found, more=_picture(found, folder / module / f"{name}.png"))


def _base_classes():
    found = [getattr(keras_ar, name) for name in keras_ar.__all__]
    return [_page(thing.__name__, thing) for thing in found if not inspect.ismodule(thing)]


def _page(file, found, lead="", more=""):
    """The page of a class or a function: where it is, what it is, and more."""
    source, line = inspect.getsourcefile(found), inspect.getsourcelines(found)[1]
    where = f"{lead}[Source]({links.REPOSITORY}/blob/main/{_path(source)}#L{line})"
    bases = [base for base in inspect.getmro(found)[1:] if _is_public(base)] if inspect.isclass(found) else []
    if bases:
        where += f" · Base: {{py:class}}`~{_public_name(bases[0])}`, with the methods of that page"
    text = "\n\n".join([f"# {found.__name__}", where, _described(found, _public_name(found)), more])
    return Page(file, found.__name__, _summary(found), text)


def _page_of_module(name):
    module = getattr(keras_ar, name)
    text = [f"# keras_ar.{name}", inspect.getdoc(module) or "", f":::{{py:module}} keras_ar.{name}\n:::"]
    for public in module.__all__:
        found = getattr(module, public)
        if inspect.isclass(found) or inspect.isfunction(found):
            text += [f"## {public}", _described(found, f"keras_ar.{name}.{public}")]
    return Page(name, f"keras_ar.{name}", _summary(module), "\n\n".join(text))


def _reached(entry):
    """The rows of the results, and the recipes, that are of a model."""
    results = figures.results_of(entry.load().__name__, entry.name)
    parts = [
        f"{': '.join(headings)} ([how it was measured](/results.md#{_anchor(headings[0])}))\n\n{table}"
        for headings, table in results
    ]
    if recipes := figures.recipes_of(entry.name):
        parts.append(f"Recipes of the command line:\n\n{recipes}")
    return "\n\n".join(["## What it has reached", *parts]) if parts else ""


# Docstrings.


def _described(found, name):
    """The signature, the docstring and the methods of a class or a function, as an object of Sphinx's Python domain."""
    kind = "class" if inspect.isclass(found) else "function"
    text = [f"::::::{{py:{kind}}} {name}{_signature(found)}\n", _body(inspect.getdoc(found))]
    for method, function in _methods(found) if kind == "class" else ():
        option = {staticmethod: ":staticmethod:\n", classmethod: ":classmethod:\n"}.get(type(vars(found)[method]), "")
        text.append(
            f":::::{{py:method}} {method}{_signature(function)}\n{option}\n{_body(inspect.getdoc(function))}\n:::::"
        )
    return "\n\n".join([*text, "::::::"])


def _methods(found):
    """The public methods that a class itself describes."""
    for name, value in vars(found).items():
        function = getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            yield name, function


def _body(docstring):
    """A docstring as MyST: a heading for each section, arguments as a list, examples as code."""
    text = []
    for section in griffe.Docstring(docstring or "").parse(
        "google", warnings=False, returns_multiple_items=False, returns_named_value=False
    ):
        kind = section.kind.value
        if kind == "text":
            text.append(re.sub(r"^(Example|Examples):\n", r":::{rubric} \1\n:::\n", section.value, flags=re.MULTILINE))
        elif kind == "admonition":
            text += _rubric(section.title), section.value.description
        elif kind == "parameters":
            text += _rubric("Arguments"), _items((item.name, item.description) for item in section.value)
        elif kind == "attributes":
            text += _rubric("Attributes"), _items((item.name, item.description) for item in section.value)
        elif kind == "raises":
            text += _rubric("Raises"), _items((item.annotation, item.description) for item in section.value)
        else:
            text += _rubric(kind.capitalize()), "\n\n".join(item.description for item in section.value)
    return _fenced("\n\n".join(text))


def _rubric(title):
    return f":::{{rubric}} {title}\n:::"


def _items(pairs):
    """Names and what they are, as a list of definitions."""
    return "\n\n".join(f"`{name}`\n: " + description.replace("\n", "\n  ") for name, description in pairs)


def _fenced(text):
    """Puts examples into fences, without what is written for doctest alone."""
    text = re.sub(r" *# doctest: .*", "", text)
    blocks = re.split(r"(```.*?```)", text, flags=re.DOTALL)
    return "".join(
        block
        if block.startswith("```")
        else re.sub(r"(?m)^>>> (?:.+\n?)+", lambda example: f"```pycon\n{example[0].rstrip()}\n```\n", block)
        for block in blocks
    )


# Pictures.


def _picture(found, path):
    """Runs the example of a plot, and writes the picture that it makes; how a page shows it, or nothing."""
    names = {"keras_ar": keras_ar, "keras": keras, "np": np}
    for example in doctest.DocTestParser().get_examples(inspect.getdoc(found) or ""):
        if doctest.SKIP not in example.options:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(example.source, names)
    ax = names.get("ax")
    if ax is None:
        return ""
    path.parent.mkdir(parents=True, exist_ok=True)
    ax.figure.savefig(path)
    keras_ar.plots.canvas.close(ax)
    return f"The picture that the example makes:\n\n![{path.stem}]({path.name})"


# Names.


def _public_name(found):
    """The name by which users reach it: the shortest package that lists it."""
    parts = found.__module__.split(".")
    for length in range(1, len(parts) + 1):
        package = importlib.import_module(".".join(parts[:length]))
        if getattr(package, found.__name__, None) is found:
            return f"{package.__name__}.{found.__name__}"
    return found.__name__


def _is_shown(entry):
    """Whether the component is for use, is of this repository, and can be loaded."""
    if entry.distribution in LEFT_OUT:
        return False
    try:
        file = inspect.getsourcefile(entry.load())
    except keras_ar.registry.PluginError as error:
        print(f"left out: {error}", file=sys.stderr)
        return False
    return figures.ROOT in pathlib.Path(file).resolve().parents


def _is_public(found):
    return found.__module__.partition(".")[0] == "keras_ar" and not found.__name__.startswith("_")


def _summary(found):
    return (inspect.getdoc(found) or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def _signature(found):
    function = found.__init__ if inspect.isclass(found) else found
    if function is object.__init__:
        return "()"
    text = str(inspect.signature(function).replace(return_annotation=inspect.Signature.empty))
    text = re.sub(r"\(self(, )?", "(", text, count=1)
    return re.sub(r"<(?:function|class) '?([\w.]+)'?.*?>", r"\1", text)


def _path(file):
    return pathlib.Path(file).resolve().relative_to(figures.ROOT).as_posix()


def _anchor(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    write(sys.argv[1])
