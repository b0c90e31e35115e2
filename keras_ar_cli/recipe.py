"""Recipes: what to train, on which data, and how; TOML files, checked before anything is loaded."""

import difflib
import importlib.resources
import json
import pathlib
import tomllib

__all__ = ["RecipeError", "changed", "find", "names", "of_model", "whole", "write"]

_NUMBER = (int, float)
# The keys of a recipe, each with its type and its default.
_SCHEMA = {
    "": {"title": (str, ""), "reference": (str, ""), "seed": (int, 0)},
    "data": {
        "name": (str, None),  # of a data set of keras_ar.datasets, or a path
        "binary": (bool, False),  # cut integers at one half of their levels
        "length": (int, None),  # of the pieces that sound or text is cut into
        "labels": (bool, False),  # whether the class of an event is its condition
    },
    "model": {"name": (str, None), "head": ((str, dict), None)},  # and the arguments of the model
    "train": {
        "epochs": (int, 20),
        "batch_size": (int, 64),
        "learning_rate": (_NUMBER, 1e-3),
        "schedule": (str, "cosine"),  # of the learning rate: falls to 0 along a cosine, or is "constant"
        "patience": (int, None),  # epochs without progress on the validation part before it stops
        "average": (_NUMBER, None),  # momentum of an average of the weights, which is kept in their place
        "clip_norm": (_NUMBER, None),
        "weight_decay": (_NUMBER, None),
    },
    "result": {"test_nats": (_NUMBER, None), "published_nats": (_NUMBER, None), "note": (str, "")},
}
_AT_LEAST = {"seed": 0, "length": 1, "epochs": 1, "batch_size": 1, "learning_rate": 0, "patience": 1, "average": 0}


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{name}: not a TOML file: {error}") from error
    return whole(tables, name)


def of_model(model, data):
    """The recipe for a model that is named on the command line, with the default settings of `train`."""
    return whole({"data": {"name": data}, "model": {"name": model}, "train": {"patience": 10}}, model)


def changed(recipe, settings):
    """The recipe with `table.key=value` applied, each value in TOML, or a string where it is none."""
    recipe = {key: dict(value) if isinstance(value, dict) else value for key, value in recipe.items()}
    for setting in settings:
        path, equals, value = setting.partition("=")
        *tables, key = path.strip().split(".")
        if not equals or len(tables) > 1 or (tables and tables[0] not in _SCHEMA):
            known = ", ".join(f"{table}.…" for table in _SCHEMA if table)
            raise RecipeError(f"--set must be given TABLE.KEY=VALUE, such as {known}. Received: {setting!r}")
        table = recipe[tables[0]] if tables else recipe
        table[key] = _value(value.strip())
    return whole(recipe, "--set")


def whole(given, name):
    """Checks all keys and types, and fills in the defaults."""
    tables = {key: value for key, value in given.items() if key in _SCHEMA}
    top = {key: value for key, value in given.items() if key not in _SCHEMA}
    recipe = _filled(top, "", name, others=list(_SCHEMA)[1:])
    for table in list(_SCHEMA)[1:]:
        if not isinstance(tables.get(table, {}), dict):
            raise RecipeError(f"{name}: [{table}] must be a table. Received: {tables[table]!r}")
        recipe[table] = _filled(tables.get(table, {}), table, name)
    for table in ("data", "model"):
        if recipe[table]["name"] is None:
            raise RecipeError(f"{name}: {table}.name is missing" + (": use --data" if table == "data" else ""))
    if recipe["train"]["schedule"] not in ("cosine", "constant"):
        raise RecipeError(
            f"{name}: train.schedule must be 'cosine' or 'constant'. Received: {recipe['train']['schedule']!r}"
        )
    return recipe


def write(recipe):
    """The recipe as TOML, without empty settings."""
    lines = [f"{key} = {_toml(value)}" for key, value in recipe.items() if not isinstance(value, dict) and value != ""]
    for table, values in recipe.items():
        if isinstance(values, dict):
            settings = [f"{key} = {_toml(value)}" for key, value in values.items() if value not in (None, "")]
            lines += ["", f"[{table}]", *settings] if settings else []
    return "\n".join(lines) + "\n"


def _filled(given, table, name, others=()):
    schema = _SCHEMA[table]
    dotted = f"{table}." if table else ""
    for key, value in given.items():
        if key not in schema:
            if table == "model":
                continue  # an argument of the model, which checks it
            near = difflib.get_close_matches(key, [*schema, *others], 1)
            known = ", ".join([*(f"{dotted}{key}" for key in schema), *(f"[{other}]" for other in others)])
            raise RecipeError(
                f"{name}: unknown key {dotted}{key}."
                + (f" Did you mean {dotted if near[0] in schema else ''}{near[0]}?" if near else "")
                + f" Known: {known}"
            )
        _check_type(value, schema[key][0], f"{name}: {dotted}{key}")
        if key in _AT_LEAST and value is not None and value < _AT_LEAST[key]:
            raise RecipeError(f"{name}: {dotted}{key} must be at least {_AT_LEAST[key]}. Received: {value!r}")
    return {**{key: default for key, (_, default) in schema.items()}, **given}


def _check_type(value, types, where):
    types = types if isinstance(types, tuple) else (types,)
    fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if value is not None and not fits:
        expected = " or ".join(
            {str: "a string", int: "an integer", float: "a number", bool: "true or false"}.get(kind, "a table")
            for kind in types
            if kind is not int or float not in types
        )
        raise RecipeError(f"{where} must be {expected}. Received: {value!r}")


def _value(text):
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool | int) else repr(value)


def _shipped():
    return importlib.resources.files("keras_ar_cli") / "recipes"
