"""Writes the pages of the reference, from docstrings, for Sphinx to read.

Components are found as users find them: through the registry, by their entry points, those of the plugins in this
repository included; all else by what `__all__` of keras_ar and of its modules lists. Nothing is listed by hand.

Docstrings are Markdown under the section names of Google's style, as Keras has them: griffe tells the sections apart.
"""

import contextlib
import doctest
import importlib
import inspect
import io
import pathlib
import re
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


def write(folder):
    """Writes all pages into the folder."""
    folder = pathlib.Path(folder)
    groups = {"base": ("Kinds of models", "What all models have in common.", _base_classes())}
    for kind, what in KINDS.items():
        entries = [entry for entry in keras_ar.registry.entries(kind) if _is_shown(entry)]
        pages = [(_file_name(entry), entry.load(), _page_of_component(entry)) for entry in entries]
        groups[kind] = (kind.capitalize(), what, pages)
    for name, what in MODULES.items():
        module = getattr(keras_ar, name)
        pages = [(public, getattr(module, public), None) for public in module.__all__]
        pages = [(public, found, _page(found, _picture(name, public, found, folder))) for public, found, _ in pages]
        groups[name] = (name.capitalize(), what, pages)
    modules = [name for name in keras_ar.__all__ if inspect.ismodule(getattr(keras_ar, name)) and name not in groups]
    for name, (title, what, pages) in groups.items():
        for file, _, text in pages:
            _write(folder / name / f"{file}.md", text)
        _write(folder / name / "index.md", _listing(title, what, pages))
    for name in modules:
        _write(folder / "modules" / f"{name}.md", _page_of_module(name))
    _write(folder / "modules" / "index.md", _list_of_modules(modules))
    _write(folder / "index.md", _index(groups))


# Pages.


def _index(groups):
    text = ["# Reference", "Every public name, from its docstring; each example is run by the tests.", ""]
    for name, (title, what, pages) in groups.items():
        links = " · ".join(f"[{_name(found)}]({name}/{file}.md)" for file, found, _ in pages)
        text += [f"## [{title}]({name}/index.md)", what, "", links, ""]
    text += ["## [Modules](modules/index.md)", "Data sets, noise, orderings, text, sound, and the conformance kit.", ""]
    return "\n".join([*text, _toctree([f"{name}/index" for name in (*groups, "modules")], hidden=True)])


def _listing(title, what, pages):
    rows = [f"| [{_name(found)}]({file}.md) | {_summary(found)} |" for file, found, _ in pages]
    table = ["| name | what it is |", "|---|---|", *rows, ""]
    return "\n".join([f"# {title}", "", what, "", *table, _toctree([file for file, *_ in pages], hidden=True)])


def _list_of_modules(names):
    rows = [f"| [keras_ar.{name}]({name}.md) | {_summary(getattr(keras_ar, name))} |" for name in names]
    return "\n".join(["# Modules", "", "| name | what it is |", "|---|---|", *rows, "", _toctree(names, hidden=True)])


def _page_of_component(entry):
    """The page of a class of the registry: its docstring, how to name it, and what it has reached."""
    found, parts = entry.load(), []
    if entry.distribution != "keras-ar":
        parts.append(f"From the plugin **{entry.distribution}**: `pip install {entry.distribution}`.\n")
    if entry.kind == "models":
        shown = figures.results_of(found.__name__, entry.name)
        recipes = figures.recipes_of(entry.name)
        if shown or recipes:
            parts.append("## What it has reached\n")
        for headings, table in shown:
            parts.append(f"{': '.join(headings)} ([how it was measured](/results.md#{_anchor(headings[-1])}))\n")
            parts.append(f"{table}\n")
        parts.append(recipes and f"Recipes of the command line:\n\n{recipes}\n")
    return _page(found, "\n".join(part for part in parts if part), f'`"{entry.name}"` in the registry. ')


def _page(found, more="", lead=""):
    """The page of a class or a function."""
    file, line = inspect.getsourcefile(found), inspect.getsourcelines(found)[1]
    source = f"{lead}[Source]({links.REPOSITORY}/blob/main/{_path(file)}#L{line})"
    bases = (
        [_reference(base) for base in inspect.getmro(found)[1:] if _is_public(base)] if inspect.isclass(found) else []
    )
    source += f" · Base: {bases[0]}, with the methods of that page" if bases else ""
    return "\n".join([f"# {_name(found)}\n", f"{source}\n", _described(found, _public_name(found)), more])


def _page_of_module(name):
    module = getattr(keras_ar, name)
    text = [f"# keras_ar.{name}", "", inspect.getdoc(module) or "", "", f":::{{py:module}} keras_ar.{name}", ":::", ""]
    for public in module.__all__:
        found = getattr(module, public)
        if inspect.isclass(found) or inspect.isfunction(found):
            text += [f"## {public}", "", _described(found, f"keras_ar.{name}.{public}"), ""]
    return "\n".join(text)


def _base_classes():
    found = [getattr(keras_ar, name) for name in keras_ar.__all__]
    found = [thing for thing in found if inspect.isclass(thing) or inspect.isfunction(thing)]
    return [(thing.__name__, thing, _page(thing)) for thing in found]


def _toctree(names, hidden):
    return "\n".join(["```{toctree}", ":hidden:" if hidden else "", *names, "```", ""])


def _write(path, text):
    """Writes a file, unless it stands there already: Sphinx reads again what has a new date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = re.sub(r"\n{3,}", "\n\n", text)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


# Docstrings.


def _described(found, name):
    """The signature, the docstring and the methods of a class or a function, as an object of Sphinx's Python domain."""
    role = "class" if inspect.isclass(found) else "function"
    text = [f"::::::{{py:{role}}} {name}{_signature(found)}", "", _body(inspect.getdoc(found)), ""]
    for method, function in _methods(found) if role == "class" else ():
        decorated = inspect.getattr_static(found, method)
        option = ":staticmethod:\n" if isinstance(decorated, staticmethod) else ""
        option = ":classmethod:\n" if isinstance(decorated, classmethod) else option
        text += [
            f":::::{{py:method}} {method}{_signature(function)}",
            option,
            _body(inspect.getdoc(function)),
            ":::::",
            "",
        ]
    return "\n".join([*text, "::::::", ""])


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


def _picture(module, name, found, folder):
    """Runs the example of a plot, and writes the picture that it makes; how a page shows it."""
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(found) or "")
    names = {"keras_ar": keras_ar, "keras": keras, "np": np}
    for example in examples:
        if doctest.SKIP not in example.options:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(example.source, names)
    ax = names.get("ax")
    if not hasattr(ax, "figure"):
        return ""
    path = folder / module / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    ax.figure.savefig(path)
    keras_ar.plots.canvas.close(ax)
    return f"The picture that the example makes:\n\n![{name}]({name}.png)\n"


# Names.


def _file_name(entry):
    return entry.name if entry.distribution == "keras-ar" else f"{entry.distribution}.{entry.name}"


def _name(found):
    return found.__name__


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


def _reference(found):
    return f"{{py:class}}`~{_public_name(found)}`"


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
