"""The rooms of the house: who may import whom, and who may ask which backend runs."""

import ast
import graphlib
import pathlib

import pytest

import keras_ar

ROOT = pathlib.Path(keras_ar.__file__).parent

# From the ground up: a room may import from lower floors only (and, for a package, from its own files).
FLOORS = [
    {
        "arguments",
        "registry",
        "backend",
        "numerics",
        "masks",
        "orderings",
        "noise",
        "saving",
        "sound",
        "text",
        "windows",
    },
    {"layers", "heads"},
    {"decoding"},
    {"density"},
    {"autoregressive"},
    {"image", "sequence"},
    {"models"},
    {"testing", "datasets", "plots"},
    {"callbacks"},
    {"cli", "__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path):
    """Modules that a file imports, as dotted names; `from a import b` counts as `a.b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_from_lower_floors_only(path):
    room = room_of(path)
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "keras_ar" or parts[1] == room:
            continue
        if len(parts) == 2 and parts[1] not in FLOOR:
            continue  # a name of keras_ar/__init__.py
        same_ground_floor = FLOOR[room] == 0 and FLOOR[parts[1]] == 0
        assert FLOOR[parts[1]] < FLOOR[room] or same_ground_floor, f"{room} must not import {name}"


def imports_within(kind):
    """Which components of a kind each of them imports."""
    files = {path.stem: path for path in (ROOT / kind).glob("*.py") if path.stem != "__init__"}
    return {
        name: {found.split(".")[2] for found in imports_of(path) if found.startswith(f"keras_ar.{kind}.")}
        for name, path in files.items()
    }


def test_heads_do_not_import_each_other():
    for name, others in imports_within("heads").items():
        assert others <= {"head"}, f"{name} imports {others}"


@pytest.mark.parametrize("kind", ["layers", "models"])
def test_a_component_is_made_of_simpler_ones(kind):
    """A block imports its parts, by their files, and a model made of models does; no part imports the whole."""
    parts = imports_within(kind)
    order = graphlib.TopologicalSorter(parts).static_order()  # raises where there is a circle
    assert set(order) == set(parts)


def test_only_the_backend_knows_which_backend_runs():
    frameworks = {"jax", "tensorflow", "torch"}
    for path in FILES:
        if room_of(path) == "backend":
            continue
        assert not frameworks & {name.split(".")[0] for name in imports_of(path)}, path
        if path.name != "elsewhere.py":  # it has to name the backends that it compares with
            assert "backend.backend(" not in path.read_text(), path


def test_component_files_are_named_as_in_the_registry():
    for entry in keras_ar.registry.entries():
        if entry.distribution == "keras-ar":
            assert entry.target.split(":")[0] == f"keras_ar.{entry.kind}.{entry.name}"
