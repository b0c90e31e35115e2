"""Recipes: what to train, on which data, and how; TOML files, checked before anything is loaded."""

import difflib
import importlib.resources
import math
import pathlib
import tomllib
from typing import Literal

import pydantic

__all__ = ["RecipeError", "changed", "find", "names", "of_model", "whole", "write"]


# The keys of a recipe. The words are those of an error: what a value must be.


def _key(default, words, **limits):
    return pydantic.Field(default, description=words, **limits)


class _Table(pydantic.BaseModel):
    """A table of a recipe. Nothing is converted, but an integer is a number, too."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid")


class _Data(_Table):
    name: str | None = _key(None, "a string")  # of a data set of keras_ar.datasets, or a path
    binary: bool = _key(False, "true or false")  # cut integers at one half of their levels
    length: int | None = _key(None, "an integer of at least 1", ge=1)  # of the pieces that sound or text is cut into
    # Whether the class of an event is its condition; in a csv or Parquet file, which column is the class.
    labels: bool | str | int = _key(False, "true, false, or the name or index of a column of a table")


class _Model(_Table):
    """And the arguments of the model."""

    model_config = pydantic.ConfigDict(extra="allow")

    name: str | None = _key(None, "a string")
    head: str | dict | None = _key(None, "a string or a table")


class _Train(_Table):
    epochs: int = _key(20, "an integer of at least 1", ge=1)
    batch_size: int = _key(64, "an integer of at least 1", ge=1)
    learning_rate: float = _key(1e-3, "a number above 0", gt=0)
    # Of the learning rate: falls to 0 along a cosine, or stays.
    schedule: Literal["cosine", "constant"] = _key("cosine", "'cosine' or 'constant'")
    # In a longer epoch, how often to keep what `--resume` goes on from.
    backup_minutes: float = _key(10.0, "a number above 0", gt=0)
    # Epochs without progress on the validation part before it stops.
    patience: int | None = _key(None, "an integer of at least 1", ge=1)
    # Momentum of an average of the weights, which is kept in their place.
    average: float | None = _key(None, "a number from 0 on, and below 1", ge=0, lt=1)
    clip_norm: float | None = _key(None, "a number above 0", gt=0)
    weight_decay: float | None = _key(None, "a number of at least 0", ge=0)


class _Result(_Table):
    test_nats: float | None = _key(None, "a number")
    published_nats: float | None = _key(None, "a number")
    note: str = _key("", "a string")


class _Recipe(_Table):
    title: str = _key("", "a string")
    reference: str = _key("", "a string")
    seed: int = _key(0, "an integer from 0 to 4294967295", ge=0, lt=2**32)
    data: _Data = _Data()
    model: _Model = _Model()
    train: _Train = _Train()
    result: _Result = _Result()


_TABLES = {"data": _Data, "model": _Model, "train": _Train, "result": _Result}


class RecipeError(ValueError):
    """A recipe is wrong; the message names the recipe, the key, what was expected and what came."""


def names():
    """The recipes that come with the package, sorted."""
    return sorted(path.name.removesuffix(".toml") for path in _shipped().iterdir() if path.name.endswith(".toml"))


def find(name):
    """The recipe of that name or at that path, whole: every key of the schema has a value.

    Of those that come with the package some are for data of one's own: `data.name` is then `None`.

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
    return whole(tables, name, needs_data=name not in names())


def of_model(model, data):
    """The recipe for a model that is named on the command line, which `changed` makes whole."""
    return {"data": {"name": data}, "model": {"name": model}, "train": {"patience": 10}, "result": {}}


def changed(recipe, settings):
    """The recipe with `table.key=value` applied, each value in TOML, or a string where it is none."""
    recipe = {key: dict(value) if isinstance(value, dict) else value for key, value in recipe.items()}
    for setting in settings:
        path, _, value = (part.strip() for part in setting.partition("="))
        table, dot, key = path.rpartition(".")
        if not (key and value) or table not in ("", *_TABLES) or bool(table) != bool(dot) or path in _TABLES:
            known = ", ".join(f"{table}.…" for table in _TABLES)
            raise RecipeError(f"--set must be given TABLE.KEY=VALUE, such as {known}. Received: {setting!r}")
        (recipe[table] if table else recipe)[key] = _value(value, setting)
    return whole(recipe, "--set")


def whole(given, name, needs_data=True):
    """Checks all keys and types, and fills in the defaults."""
    try:
        recipe = _Recipe.model_validate(given)
    except pydantic.ValidationError as error:
        raise RecipeError(f"{name}: {_in_words(error.errors()[0], given)}") from error
    for key, value in given.items():
        _check_is_plain(value, f"{name}: {key}")
    recipe = {key: dict(value) if key in _TABLES else value for key, value in recipe}
    for table in ("data", "model") if needs_data else ("model",):
        if not recipe[table]["name"]:
            raise RecipeError(f"{name}: {table}.name is missing" + (": use --data" if table == "data" else ""))
    return recipe


def write(recipe):
    """The recipe as TOML, without empty settings."""
    import tomlkit  # takes a while, and only a run needs it

    tables = {
        key: {inner: value for inner, value in values.items() if value not in (None, "")} if key in _TABLES else values
        for key, values in recipe.items()
    }
    return tomlkit.dumps({key: value for key, value in tables.items() if value not in ("", {})})


def _in_words(error, given):
    """What pydantic has found, as a sentence."""
    table, *key = error["loc"][:2]  # what follows is which type of several
    if table not in _TABLES:
        schema, where, key = _Recipe, "", table
    elif not key:
        return f"[{table}] must be a table. Received: {given[table]!r}"
    else:
        schema, where, key, given = _TABLES[table], f"{table}.", key[0], given[table]
    if error["type"] != "extra_forbidden":
        is_too_large = isinstance(given[key], int) and not _is_number(given[key])
        expected = "a finite number" if is_too_large else schema.model_fields[key].description
        return f"{where}{key} must be {expected}. Received: {given[key]!r}"
    near = difflib.get_close_matches(key, schema.model_fields, 1)
    known = ", ".join(f"{where}{key}" if key not in _TABLES else f"[{key}]" for key in schema.model_fields)
    return f"unknown key {where}{key}." + (f" Did you mean {where}{near[0]}?" if near else "") + f" Known: {known}"


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


def _shipped():
    return importlib.resources.files("keras_ar_cli") / "recipes"
