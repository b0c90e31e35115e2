"""A new plugin, from the template that comes with the package."""

import importlib.metadata
import importlib.resources
import importlib.util
import keyword
import re
import sys

__all__ = ["make"]

_TEMPLATE = ("keras-ar-template", "keras_ar_template")


def make(name, folder):
    """Writes a distribution of that name into `folder / name`, and returns where.

    Raises:
        ValueError: The name is not one for a distribution, or it is taken already.
        FileExistsError: The folder exists already.
    """
    module = name.replace("-", "_").lower()
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(module):
        raise ValueError(
            f"a plugin's name must be of small letters, digits and hyphens, such as keras-ar-wavelets. "
            f"Received: {name!r}"
        )
    if why := _why_taken(name, module):
        raise ValueError(f"a plugin's name must be new, such as keras-ar-wavelets. Received: {name!r}, {why}")
    made = folder / name
    if made.exists():
        raise FileExistsError(f"{made} exists already: choose another name or --folder")
    template = importlib.resources.files("keras_ar_cli") / "template"
    for path, text in _files(template):
        for old, new in zip(_TEMPLATE, (name, module), strict=True):
            path, text = path.replace(old, new), text.replace(old, new)
        target = made / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return made


def _why_taken(name, module):
    """Why a plugin cannot have that name: installed, it would hide something else, or be hidden; `None` if it can."""
    if module in sys.stdlib_module_names:
        return "a module of Python's standard library"
    if list(importlib.metadata.distributions(name=name)):
        return "a distribution that is installed"
    if importlib.util.find_spec(module) is not None:
        return f"whose module {module} can be imported already"
    return None


def _files(folder, inside=""):
    """Paths and texts of the template, without the files that installing and running it makes."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            if entry.name not in ("__pycache__", "build", "dist") and not entry.name.endswith((".egg-info", "_cache")):
                yield from _files(entry, f"{inside}{entry.name}/")
        elif entry.name.endswith((".py", ".toml", ".md")):
            yield f"{inside}{entry.name}", entry.read_text(encoding="utf-8")
