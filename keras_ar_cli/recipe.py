"""Recipes: what to train, on which data, and how; TOML files, checked before anything is loaded."""

import dataclasses
import difflib
import importlib.resources
import json
import math
import pathlib
import re
import tomllib
from collections.abc import Callable
from typing import Any

__all__ = ["RecipeError", "changed", "find", "names", "of_model", "whole", "write"]

_KINDS = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "a table",
}
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclasses.dataclass(frozen=True)
class _Key:
    """What a key of a recipe takes: types, in words where these do not say it, a default, and which values."""

    types: tuple[type, ...]
    default: Any = None
    rule: str = ""  # what a value must be beside its type, in words
    holds: Callable[[Any], bool] = lambda value: True
    types_in_words: str = ""

    @property
    def expected(self):
        words = self.types_in_words or " or ".join(_KINDS[kind] for kind in self.types)
        return f"{words} {self.rule}".strip()

    def fits(self, value):
        if value is None:
            return self.default is None
        kinds = (*self.types, int) if float in self.types else self.types
        return type(value) in kinds and self.holds(value)


def _integer(default=None, least=1, most=math.inf):
    words = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
    return _Key((int,), default, words, lambda value: least <= value <= most)


def _number_above_0(default=None):
    return _Key((float,), default, "above 0", lambda value: value > 0)


# The keys of a recipe.
_SCHEMA = {
    "": {
        "title": _Key((str,), ""),
        "reference": _Key((str,), ""),
        "seed": _integer(0, least=0, most=2**32 - 1),
    },
    "data": {
        "name": _Key((str,)),  # of a data set of keras_ar.datasets, or a path
        "binary": _Key((bool,), False),  # cut integers at one half of their levels
        "length": _integer(),  # of the pieces that sound or text is cut into
        # Whether the class of an event is its condition; in a csv or Parquet file, which column is the class.
        "labels": _Key(
            (bool, str, int), False, types_in_words="true, false, or the name or index of a column of a table"
        ),
    },
    "model": {"name": _Key((str,)), "head": _Key((str, dict))},  # and the arguments of the model
    "train": {
        "epochs": _integer(20),
        "batch_size": _integer(64),
        "learning_rate": _number_above_0(1e-3),
        # Of the learning rate: falls to 0 along a cosine, or stays.
        "schedule": _Key(
            (str,), "cosine", "", ("cosine", "constant").__contains__, types_in_words="'cosine' or 'constant'"
        ),
        # In a longer epoch, how often to keep what `--resume` goes on from.
        "backup_minutes": _number_above_0(10.0),
        "patience": _integer(),  # epochs without progress on the validation part before it stops
        # Momentum of an average of the weights, which is kept in their place.
        "average": _Key((float,), None, "from 0 on, and below 1", lambda value: 0 <= value < 1),
        "clip_norm": _number_above_0(),
        "weight_decay": _Key((float,), None, "of at least 0", lambda value: value >= 0),
    },
    "result": {"test_nats": _Key((float,)), "published_nats": _Key((float,)), "note": _Key((str,), "")},
}


class RecipeError(ValueError):
    """A recipe is wrong; the message names the recipe, the key, what was expected and what came."""


def names():
    """The recipes that come with the package, sorted."""
    return sorted(path.name.removesuffix(".toml") for path in _shipped().iterdir() if path.name.endswith(".toml"))


def find(name):
    """The recipe of that name or at that path, whole: every key of the schema has a value.

    Returns:
        A nest of dictionaries, or `None` if nothing has that name.
    """
    path = _shipped() / f"{name}.toml"
    if name not in names():
        if not name.endswith(".toml"):
            return None
        path = pathlib.Path(name)
        if not path.is_file():
            raise RecipeError(f"there is no recipe file {name!r}")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise RecipeError(f"{name}: not a recipe: its values are nested too deeply") from error
    except ValueError as error:
        raise RecipeError(f"{name}: not a TOML file: {error}") from error
    return whole(tables, name)


def of_model(model, data):
    """The recipe for a model that is named on the command line, which `changed` makes whole."""
    return {"data": {"name": data}, "model": {"name": model}, "train": {"patience": 10}, "result": {}}


def changed(recipe, settings):
    """The recipe with `table.key=value` applied, each value in TOML, or a string where it is none."""
    recipe = {key: dict(value) if isinstance(value, dict) else value for key, value in recipe.items()}
    for setting in settings:
        path, _, value = (part.strip() for part in setting.partition("="))
        table, dot, key = path.rpartition(".")
        if not (key and value) or table not in _SCHEMA or bool(table) != bool(dot) or path in _SCHEMA:
            known = ", ".join(f"{table}.…" for table in _SCHEMA if table)
            raise RecipeError(f"--set must be given TABLE.KEY=VALUE, such as {known}. Received: {setting!r}")
        (recipe[table] if table else recipe)[key] = _value(value, setting)
    return whole(recipe, "--set")


def whole(given, name):
    """Checks all keys and types, and fills in the defaults."""
    tables = [table for table in _SCHEMA if table]
    recipe = _filled({key: value for key, value in given.items() if key not in tables}, "", name, others=tables)
    for table in tables:
        values = given.get(table, {})
        if not isinstance(values, dict):
            raise RecipeError(f"{name}: [{table}] must be a table. Received: {values!r}")
        recipe[table] = _filled(values, table, name)
    for table in ("data", "model"):
        if not recipe[table]["name"]:
            raise RecipeError(f"{name}: {table}.name is missing" + (": use --data" if table == "data" else ""))
    return recipe


def write(recipe):
    """The recipe as TOML, without empty settings."""
    lines = [_assignment(key, value) for key, value in recipe.items() if not isinstance(value, dict) and value != ""]
    for table, values in recipe.items():
        if isinstance(values, dict):
            settings = [_assignment(key, value) for key, value in values.items() if value not in (None, "")]
            lines += ["", f"[{table}]", *settings] if settings else []
    return "\n".join(lines) + "\n"


def _filled(given, table, name, others=()):
    schema = _SCHEMA[table]
    dotted = f"{table}." if table else ""
    for key, value in given.items():
        where = f"{name}: {dotted}{key}"
        if key in schema:
            if not schema[key].fits(value):
                raise RecipeError(f"{where} must be {schema[key].expected}. Received: {value!r}")
        elif table != "model":  # which takes the arguments of the model, too
            near = difflib.get_close_matches(key, [*schema, *others], 1)
            known = ", ".join([*(f"{dotted}{key}" for key in schema), *(f"[{other}]" for other in others)])
            raise RecipeError(
                f"{name}: unknown key {dotted}{key}."
                + (f" Did you mean {dotted if near[0] in schema else ''}{near[0]}?" if near else "")
                + f" Known: {known}"
            )
        _check_is_plain(value, where)
    return {**{key: entry.default for key, entry in schema.items()}, **given}


def _check_is_plain(value, where):
    """Checks what may be nested: there are finite numbers, strings, booleans, and lists and tables of such."""
    if isinstance(value, dict):
        for key, entry in value.items():
            _check_is_plain(entry, f"{where}.{key}")
    elif isinstance(value, list):
        for entry in value:
            _check_is_plain(entry, where)
    elif isinstance(value, int | float):
        if not _is_number(value):
            raise RecipeError(f"{where} must be a finite number. Received: {value!r}")
    elif not (value is None or isinstance(value, str)):
        raise RecipeError(f"{where} must be a number, a string, true or false, a list or a table. Received: {value!r}")


def _is_number(value):
    """Whether a number is a finite float, or an integer of 64 bits, which is what TOML has."""
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**63


def _value(text, setting):
    """A value as TOML has it, or a string where it is none."""
    try:
        found = tomllib.loads(f"value = {text}")
    except RecursionError as error:
        raise RecipeError(f"--set {setting[:40]}…: its values are nested too deeply") from error
    except ValueError:
        return text
    return found["value"] if len(found) == 1 else text


def _assignment(key, value):
    return f"{key if _BARE_KEY.fullmatch(key) else _toml(key)} = {_toml(value)}"


def _toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(_assignment(key, entry) for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):  # as JSON, but TOML wants one more character escaped
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value) if isinstance(value, bool | int) else repr(value)


def _shipped():
    return importlib.resources.files("keras_ar_cli") / "recipes"
