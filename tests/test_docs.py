"""Every example in a docstring runs, and every public name has one."""

import doctest
import importlib
import inspect
import pathlib
import pkgutil
import re

import keras
import numpy as np
import pytest

import keras_ar

MODULES = [
    module.name
    for module in pkgutil.walk_packages(keras_ar.__path__, "keras_ar.")
    if module.name not in ("keras_ar.__main__",)
]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    names = {"keras_ar": keras_ar, "keras": keras, "np": np}
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name, extraglobs=names):
        runner.run(test)
    assert runner.failures == 0


def public_names():
    for package in (
        keras_ar,
        keras_ar.callbacks,
        keras_ar.datasets,
        keras_ar.heads,
        keras_ar.layers,
        keras_ar.models,
        keras_ar.plots,
        keras_ar.testing,
    ):
        for name in package.__all__:
            thing = getattr(package, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield pytest.param(thing, id=f"{package.__name__}.{name}")


@pytest.mark.parametrize("thing", list(public_names()))
def test_public_names_have_an_example(thing):
    assert ">>>" in inspect.getdoc(thing) or "```python" in inspect.getdoc(thing)


def test_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, names)


def test_the_readme_names_every_model_and_head():
    text = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
    for entry in keras_ar.registry.entries():
        if entry.distribution == "keras-ar" and entry.kind != "layers":
            name = entry.target.split(":")[1] if entry.kind == "models" else entry.name
            assert f"`{name}`" in text, name
