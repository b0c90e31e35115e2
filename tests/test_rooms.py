"""The rooms of the house: who may import whom, whose private names are used, and who asks which backend runs."""

import ast
import graphlib
import re

import keras
import numpy as np
import pytest

import keras_ar
from tools import lint

pytestmark = pytest.mark.one_backend  # it reads sources

KERAS_AR = lint.files(folders=["keras_ar"])


@pytest.mark.parametrize("rule", [lint.upward_imports, lint.unlisted_imports, lint.foreign_underscores])
def test_the_repository_keeps_the_rule(rule):
    assert lint.problems(rules={rule: lint.RULES[rule]}) == []


def imports_within(kind):
    """Which components of a kind each of them imports."""
    files = [path for path in lint.files(folders=[f"keras_ar/{kind}"]) if path.stem != "__init__"]
    found = {path.stem: {name for _, name in lint.imports(path)} for path in files}
    prefix = f"keras_ar.{kind}."
    return {
        file: {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}
        for file, names in found.items()
    }


def test_heads_import_only_bases_of_heads():
    names = {entry.name for entry in keras_ar.registry.entries("heads")}
    for file, others in imports_within("heads").items():
        assert not others & names, f"{file} imports {others & names}"


@pytest.mark.parametrize("kind", keras_ar.registry.KINDS)
def test_a_component_is_made_of_simpler_ones(kind):
    """A block imports its parts, by their files, and a model made of models does; no part imports the whole."""
    order = graphlib.TopologicalSorter(imports_within(kind)).static_order()  # raises where there is a circle
    assert list(order)


def test_only_the_backend_knows_which_backend_runs():
    frameworks = {"jax", "tensorflow", "torch"}
    for path in KERAS_AR:
        if lint.room_of(path) == "backend":
            continue
        assert not frameworks & {name.split(".")[0] for _, name in lint.imports(path)}, path
        if path.name != "elsewhere.py":  # it has to name the backends that it compares with
            assert not re.search(r"\b(backend|config)\.backend\(", path.read_text()), path


def test_component_files_are_named_as_in_the_registry():
    for entry in keras_ar.registry.entries():
        if entry.distribution == "keras-ar":
            assert entry.target.split(":")[0] == f"keras_ar.{entry.kind}.{entry.name}"


def test_no_private_name_of_ours_is_one_of_keras():
    """Else `self._x = ...` in a layer or model of ours would overwrite what Keras keeps there."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    theirs = set(dir(model)) | set(dir(model.layers[0]))
    for path in KERAS_AR:
        if lint.room_of(path) == "backend":
            continue
        for node in ast.walk(lint.parse(path)):
            is_ours = isinstance(node, ast.FunctionDef) or (
                isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            )
            name = getattr(node, "attr", getattr(node, "name", "")) if is_ours else ""
            if name.startswith("_") and not name.endswith("__"):
                assert name not in theirs, f"{path}:{node.lineno}: {name} is a private name of Keras"
