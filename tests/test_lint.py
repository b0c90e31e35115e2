"""Each rule of tools/lint.py finds what it is for, in small repositories made up on the spot."""

import subprocess
import sys
import textwrap

import pytest

from tools import lint

pytestmark = pytest.mark.one_backend  # it reads sources

MODEL = '''
    import keras
    from keras_ar.layers import Dense

    __all__ = ["Model"]

    class Model(keras.Model):
        """A model.

        Args:
            units: Integer, the number of units,
                in each layer: at least one.
            *names: Names.
            **kwargs: `name`.

        Example:

        >>> Model(1)
        """

        def __init__(self, units, *names, **kwargs):
            self._units = units

        def call(self, x):
            return self._units * x.__array__()
'''

GOOD = {
    "keras_ar/__init__.py": "from keras_ar.models import Model\n__all__ = ['Model', 'models', 'noise']",
    "keras_ar/arguments.py": "from keras_ar import noise",
    "keras_ar/noise.py": "import random",
    "keras_ar/layers/__init__.py": "from keras_ar.layers.dense import Dense\n__all__ = ['Dense']",
    "keras_ar/layers/dense.py": "class Dense:\n    '''A layer.\n\n    >>> Dense()\n    '''\n    _size = 1",
    "keras_ar/models/__init__.py": "from keras_ar.models.model import Model\n__all__ = ['Model']",
    "keras_ar/models/model.py": MODEL,
    "keras_ar_cli/__init__.py": "import keras_ar",
    "plugins/acme/acme_ar/__init__.py": "import keras_ar\nfrom keras_ar.layers import Dense\nkeras_ar.models.Model",
    "tests/test_model.py": "from keras_ar.models import Model\nimport acme_ar",
}


@pytest.fixture
def problems_of(tmp_path):
    """What `problems` says of the good repository with some files changed."""

    def problems_of(changes):
        for name, source in {**GOOD, **changes}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source))
        return lint.problems(tmp_path)

    yield problems_of
    lint.parse.cache_clear()
    lint.module_file.cache_clear()


def test_a_good_repository_has_no_problems(problems_of):
    assert problems_of({}) == []


def check(found, says):
    """Exactly one problem says that; or, with `None`, there is none."""
    if says is None:
        assert found == []
    else:
        assert len([problem for problem in found if says in problem]) == 1, found


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        (
            "keras_ar/noise.py",
            "from keras_ar.layers import Dense",
            "keras_ar/noise.py:1: imports keras_ar.layers.Dense",
        ),
        (
            "keras_ar/noise.py",
            "def f():\n    import keras_ar.models",
            "noise.py:2: imports keras_ar.models, but 'noise'",
        ),
        ("keras_ar/noise.py", "from keras_ar import Model", "'noise' must not import from 'keras_ar'"),
        ("keras_ar/layers/dense.py", "from keras_ar import models, noise", "'layers' must not import from 'models'"),
        ("keras_ar/layers/dense.py", "from keras_ar import noise", None),
        ("keras_ar/models/model.py", "import keras_ar_cli", "'models' must not import from 'keras_ar_cli'"),
        ("keras_ar_cli/__init__.py", "import acme_ar", "'keras_ar_cli' must not import from 'plugins'"),
        ("plugins/acme/acme_ar/model.py", "import tests.test_model", "'plugins' must not import from 'tests'"),
        ("keras_ar/attic.py", "", "keras_ar/attic.py:1: the room 'attic' is on no floor"),
    ],
)
def test_an_upward_import_is_found(name, source, says, problems_of):
    check(problems_of({name: source}), says)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "from keras_ar.layers.dense import Dense",
            "uses keras_ar.layers.dense.Dense, which `__all__` of keras_ar.layers.",
        ),
        ("from keras_ar import arguments", "uses keras_ar.arguments, which `__all__` of keras_ar does not list"),
        ("import keras_ar\nkeras_ar.layers", ":2: uses keras_ar.layers, which `__all__` of keras_ar does not list"),
        ("import keras_ar\nkeras_ar.models.Model(1)", None),
        ("from keras_ar.models import Model", None),
    ],
)
def test_what_a_plugin_must_not_use_is_found(source, says, problems_of):
    check(problems_of({"plugins/acme/acme_ar/model.py": source}), says)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("from random import _inst", "keras_ar/noise.py:1: uses the private name '_inst' of another module"),
        ("import keras._src as source", "uses the private name '_src'"),
        ("def f(x):\n    return x._size", "keras_ar/noise.py:2: uses the private name '_size'"),
        ("def f(x):\n    x._size = 3", "uses the private name '_size'"),
        ("def f(x):\n    return getattr(x, '_size', 3)", "uses the private name '_size'"),
        ("class A:\n    def f(self):\n        return self._size", "uses the private name '_size'"),
        ("class A:\n    _size = 1\ndef f(x):\n    return x._size + x.__len__()", None),
        ("class A:\n    def f(self):\n        self._size = 1\n        return self._size", None),
    ],
)
def test_a_private_name_of_another_module_is_found(source, says, problems_of):
    check(problems_of({"keras_ar/noise.py": source}), says)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("__all__ = ['A']\nclass A:\n    'An A.'", "keras_ar/noise.py:2: A is in `__all__`, but its docstring has no"),
        ("__all__ = ['f', 'SIZE']\nSIZE = 3\ndef f():\n    pass", "keras_ar/noise.py:3: f is in `__all__`"),
        ("__all__ = ['f']\ndef f():\n    '''F.\n\n    ```python\n    f()\n    ```\n    '''", None),
        ("__all__ = []\ndef f():\n    pass", None),
    ],
)
def test_a_missing_example_is_found(source, says, problems_of):
    check(problems_of({"keras_ar/noise.py": source}), says)


def test_what_users_do_not_reach_needs_no_example(problems_of):
    check(problems_of({"keras_ar/decoding.py": "__all__ = ['f']\ndef f():\n    pass"}), None)


def test_a_missing_example_is_found_where_a_package_lists_the_name(problems_of):
    found = problems_of({"keras_ar/layers/dense.py": "class Dense:\n    'A layer.'"})
    check(found, "keras_ar/layers/__init__.py:1: Dense is in `__all__`, but its docstring has no example")


ARGS_X = '"""Has `x`.\n\n    Args:\n        x: X.\n    """\n'


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (f"def f():\n    {ARGS_X}", "`Args:` of f describes 'x', which the signature does not have"),
        (f"def f(x, *, y):\n    {ARGS_X}", "`Args:` of f lacks 'y'"),
        (f"def f(x, **kwargs):\n    {ARGS_X}", None),
        (f"def f(**kwargs):\n    {ARGS_X}", None),
        (f"def _f(y):\n    {ARGS_X}", None),
        ("def f(x, y):\n    'Of `x` and `y`.'", None),
        (f"class A:\n    {ARGS_X}\n    def __init__(self, y):\n        pass", "`Args:` of A lacks 'y'"),
        (f"class A:\n    {ARGS_X}\n    def __init__(self, x):\n        pass", None),
        (f"import dataclasses\n@dataclasses.dataclass\nclass A:\n    {ARGS_X}\n    y: int", "`Args:` of A lacks 'y'"),
        (f"class B:\n    def __init__(self, y):\n        pass\nclass A(B):\n    {ARGS_X}", "`Args:` of A lacks 'y'"),
        (f"class A:\n  def f(self, y):\n    {ARGS_X}", "`Args:` of A.f lacks 'y'"),
        (f"class A:\n  def f(self, x):\n    {ARGS_X}", None),
        (f"class A:\n  @staticmethod\n  def f(y, x):\n    {ARGS_X}", "`Args:` of A.f lacks 'y'"),
    ],
)
def test_arguments_that_are_wrong_or_lacking_are_found(source, says, problems_of):
    check(problems_of({"keras_ar/noise.py": source}), says)


def test_arguments_may_be_those_of_a_base_in_another_file(problems_of):
    source = f"from keras_ar.models.model import Model\nclass A(Model):\n    {ARGS_X}"
    check(problems_of({"keras_ar/models/other.py": source}), "`Args:` of A lacks 'units'")


def test_the_section_of_arguments_ends_where_the_next_begins():
    docstring = (
        "F.\n\nArgs:\n    x: X, which\n        goes: on.\n    y, z: Two.\n    **kwargs: More.\n\nReturns:\n    w: W."
    )
    assert lint.described_arguments(docstring) == ["x", "y", "z", "**kwargs"]
    assert lint.described_arguments("F.\n\nCall arguments:\n    x: X.") is None


def test_it_runs_as_a_script():
    done = subprocess.run([sys.executable, lint.__file__], capture_output=True, text=True, check=False)
    assert not done.stderr
    assert done.returncode == bool(lint.problems())
