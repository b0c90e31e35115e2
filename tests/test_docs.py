"""Every example in docstrings, READMEs and the tour runs, and prints what it says; every public name has an example."""

import ast
import doctest
import importlib
import pathlib
import pkgutil
import re

import keras
import numpy as np
import pytest

import keras_ar
import keras_ar_flows
import keras_ar_latent
import keras_ar_template
from tools import lint

MODULES = [
    module.name
    for package in (keras_ar, keras_ar_flows, keras_ar_latent, keras_ar_template)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if module.name != "keras_ar.__main__"  # runs when it is imported
]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.one_backend
@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    package = importlib.import_module(name.partition(".")[0])
    names = {"keras_ar": keras_ar, "keras": keras, "np": np, package.__name__: package}
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name, extraglobs=names):
        runner.run(test)
    assert runner.failures == 0


@pytest.mark.one_backend
def test_public_names_have_an_example_and_arguments_are_described_as_they_are():
    rules = {rule: lint.RULES[rule] for rule in (lint.missing_examples, lint.wrong_arguments)}
    assert lint.problems(rules=rules) == []


PAGES = ["README.md", "docs/tour.md", *(f"plugins/keras-ar-{name}/README.md" for name in ("flows", "latent", "zoo"))]


@pytest.mark.one_backend
@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs(page, tmp_path, monkeypatch):
    """Runs its code; a line that ends in `# -> value` gives that value."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text(encoding="utf-8")
    code = "".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
    lines, names = code.splitlines(), {}
    for statement in ast.parse(code).body:
        expected = re.search(r"# -> (.+)", lines[statement.end_lineno - 1])
        if expected is None:
            exec(compile(ast.Module([statement], []), page, "exec"), names)
        else:
            found = repr(eval(compile(ast.Expression(statement.value), page, "eval"), names))
            assert doctest.OutputChecker().check_output(expected[1], found, OPTIONS), f"{expected[1]} is {found}"


@pytest.mark.parametrize("kind", ["models", "heads"])
def test_the_readme_names_every_model_and_head(kind):
    for entry in keras_ar.registry.entries(kind):
        if entry.distribution == "keras-ar":
            name = entry.target.split(":")[1] if kind == "models" else entry.name
            assert f"`{name}`" in README, name
