"""Checks what ruff does not: who imports whom, private names, examples and `Args:` in docstrings.

`make lint` runs it; it prints every problem as `path:line: what is wrong`. It reads the sources only.

Each rule is a function of a file and of the root of the repository that yields pairs of a line number and a message.
"""

import ast
import functools
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]

# From the ground up: a room imports from lower floors only. `keras_ar` is the public face, `keras_ar/__init__.py`.
FLOORS = [
    {
        "arguments",
        "attending",
        "backend",
        "batches",
        "cards",
        "mapped",
        "masks",
        "missing",
        "noise",
        "notebook",
        "numerics",
        "orderings",
        "parts",
        "passes",
        "positions",
        "priors",
        "registry",
        "samplers",
        "saving",
        "sound",
        "splines",
        "stops",
        "support",
        "text",
        "training",
        "windows",
        "zoo",
    },
    {"layers", "heads"},
    {"decoding"},
    {"density"},
    {"conditionals"},
    {"beams", "particles"},
    {"autoregressive", "any_order", "many_orders", "bounded"},
    {"image", "sequence", "bijectors"},
    {"flow"},
    {"models"},
    {"diagnostics"},
    {"testing", "datasets", "plots", "scale"},
    {"callbacks"},
    {"keras_ar"},
    {"keras_ar_cli", "__main__"},
    {"plugins"},
    {"tools"},
    {"docs"},
    {"tests", "guides", "benchmarks"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FOLDERS = ("keras_ar", "keras_ar_cli", "plugins", "tools", "tests", "guides", "benchmarks", "docs")


# Private names of others that may be used. The names of torch's operators may begin with an underscore, and torch tells
# in no other way what an operator writes to. Notebooks ask for `_repr_png_`.
ALLOWED = {
    *(
        ("keras_ar/backend/traced.py", name)
        for name in ("_ops", "_schema", "_unsafe_view", "_to_copy", "_is_functional_tensor", "_from_functional_tensor")
    ),
    ("tests/test_plots.py", "_repr_png_"),
}


# What is in a file.


def files(root=ROOT, folders=FOLDERS):
    """All Python files of these folders."""
    found = [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
    return [path for path in found if "build" not in path.relative_to(root).parts]


@functools.cache
def parse(path):
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Pairs of a line and a dotted name that the file imports; `from a import b` counts as `a.b`."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def public_names(path):
    """What `__all__` of a file lists, or `None` if it has none."""
    for node in parse(path).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return [ast.literal_eval(entry) for entry in node.value.elts]
    return None


@functools.cache
def module_file(name, root=ROOT):
    """The file of a module of the repository, by its dotted name; `None` if there is no such module."""
    for folder in (root, *root.glob("plugins/*")):
        path = folder.joinpath(*name.split("."))
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return file
    return None


def definition(path, name, root=ROOT):
    """The file and the node of the class or function that a name of a file means; `None` if it is neither."""
    for node in parse(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return path, node
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    is_module = module_file(f"{node.module}.{alias.name}", root)
                    file = None if is_module else module_file(node.module, root)
                    return file and definition(file, alias.name, root)
    return None


# Rooms.


def room_of(path, root=ROOT):
    """The room that a file is in: a module or a package of keras_ar, or a folder beside it."""
    first, *rest = path.relative_to(root).parts
    if first != "keras_ar":
        return first
    return "keras_ar" if rest == ["__init__.py"] else rest[0].removesuffix(".py")


def room_of_import(name, root=ROOT):
    """The room of a module by its dotted name; `None` for a module from elsewhere."""
    first, *rest = name.split(".")
    if first == "keras_ar":
        return rest[0] if rest and module_file(f"keras_ar.{rest[0]}", root) else "keras_ar"
    if first in FOLDERS:
        return first
    return "plugins" if any(root.glob(f"plugins/*/{first}/__init__.py")) else None


def upward_imports(path, root=ROOT):
    """A room imports from lower floors only, and from itself. On the ground floor the rooms may import each other."""
    room = room_of(path, root)
    if room not in FLOOR:
        yield 1, f"the room {room!r} is on no floor: add it to FLOORS in tools/lint.py"
        return
    for line, name in imports(path):
        other = room_of_import(name, root)
        if other in (None, room):
            continue
        if other not in FLOOR:
            yield line, f"imports {name}, whose room {other!r} is on no floor: add it to FLOORS in tools/lint.py"
        elif not (FLOOR[other] < FLOOR[room] or FLOOR[other] == FLOOR[room] == 0):
            yield line, f"imports {name}, but {room!r} must not import from {other!r}: only from lower floors"


def unlisted_imports(path, root=ROOT):
    """A plugin uses only what `__all__` of some module of keras_ar lists."""
    if room_of(path, root) != "plugins":
        return
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "keras_ar":
            used = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            used = [ast.unparse(node)]
        else:
            continue
        for name in used:
            module, _, attribute = name.rpartition(".")
            file = module_file(module, root) if re.fullmatch(r"keras_ar(\.\w+)*", module) else None
            if file and attribute not in (public_names(file) or ()):
                yield node.lineno, f"uses {name}, which `__all__` of {module} does not list"


# Private names.


def foreign_underscores(path, root=ROOT):
    """A name that begins with an underscore is used only in the file that defines it, ours and Keras' alike."""
    own = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            own.add(node.attr)
    for node in ast.walk(parse(path)):
        for name in _used_names(node):
            is_private = re.match(r"_(?!_)|__.*(?<!__)$", name)
            if is_private and name not in own and (path.relative_to(root).as_posix(), name) not in ALLOWED:
                yield node.lineno, f"uses the private name {name!r} of another module: make it public or do without"


def _used_names(node):
    """Names of attributes and modules that a node asks others for."""
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, ast.Import):
        return [part for alias in node.names for part in alias.name.split(".")]
    if isinstance(node, ast.ImportFrom):
        return [*(node.module or "").split("."), *(alias.name for alias in node.names)]
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("getattr", "hasattr", "setattr"):
        return [argument.value for argument in node.args[1:2] if isinstance(getattr(argument, "value", None), str)]
    return []


def _is_self(node):
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


# Docstrings.


def missing_examples(path, root=ROOT):
    """Every class and function that users reach has an example in its docstring.

    They reach what packages list in `__all__`, and the modules that `keras_ar/__init__.py` lists.
    """
    face = root / "keras_ar" / "__init__.py"
    is_listed = path.parent == face.parent and face.is_file() and path.stem in (public_names(face) or ())
    if path.name != "__init__.py" and not is_listed:
        return
    for name in public_names(path) or ():
        file, node = definition(path, name, root) or (None, None)
        if node is None:  # a constant or a module
            continue
        if file != path and name in (public_names(file) or ()):  # found there
            continue
        text = ast.get_docstring(node) or ""
        if ">>>" not in text and "```python" not in text:
            line = node.lineno if file == path else 1
            yield line, f"{name} is in `__all__`, but its docstring has no example (`>>>` or ```python)"


def wrong_arguments(path, root=ROOT):
    """`Args:` of a public class or function lists the arguments of its signature, and no others."""
    for node in parse(path).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _compare(node, _constructor_arguments(path, node, root), node.name)
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield from _compare(method, _arguments(method, in_class=True), f"{node.name}.{method.name}")
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield from _compare(node, _arguments(node), node.name)


def _compare(node, signature, name):
    described = described_arguments(ast.get_docstring(node) or "")
    if described is None or signature is None:
        return
    # `**kwargs` may be described as a whole, or by the arguments that they are handed on as.
    handed_on = {argument for argument in signature if argument.startswith("**")} - set(described)
    for argument in described:
        if argument not in signature and not handed_on:
            yield node.lineno, f"`Args:` of {name} describes {argument!r}, which the signature does not have"
    for argument in signature:
        if argument not in described and not argument.startswith(("**", "_")):
            yield node.lineno, f"`Args:` of {name} lacks {argument!r}"


def described_arguments(docstring):
    """Names that the section `Args:` of a docstring describes, with their stars; `None` without such a section."""
    _, found, section = f"\n{docstring}".partition("\nArgs:\n")
    if not found:
        return None
    section = re.split(r"\n(?=\S)", section)[0]  # up to the next line that is not indented
    indent = re.match(r" *", section)[0]
    heads = re.findall(rf"^{indent}(\*{{0,2}}\w+(?:, *\*{{0,2}}\w+)*):", section, flags=re.MULTILINE)
    return [name.strip() for head in heads for name in head.split(",")]


def _arguments(function, in_class=False):
    """Names of a function's arguments, with their stars, without `self` and `cls`."""
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if in_class and not any(ast.unparse(decorator) == "staticmethod" for decorator in function.decorator_list):
        names = names[1:]
    names += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    names += [argument.arg for argument in arguments.kwonlyargs]
    return names + ([f"**{arguments.kwarg.arg}"] if arguments.kwarg else [])


def _constructor_arguments(path, node, root):
    """Names of a class' arguments, perhaps those of its base; `None` if they are not to be found in the repository."""
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return [field.target.id for field in node.body if isinstance(field, ast.AnnAssign)]
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            return _arguments(method, in_class=True)
    for base in node.bases:
        found = definition(path, base.id, root) if isinstance(base, ast.Name) else None
        arguments = _constructor_arguments(*found, root) if found else None
        if arguments is not None:
            return arguments
    return None


RULES = {
    upward_imports: FOLDERS,
    unlisted_imports: ("plugins",),
    foreign_underscores: FOLDERS,
    missing_examples: ("keras_ar", "plugins"),
    wrong_arguments: ("keras_ar", "keras_ar_cli", "plugins"),
}


def problems(root=ROOT, rules=RULES):
    """Every problem of the repository, as a line of text."""
    return [
        f"{path.relative_to(root)}:{line}: {message}"
        for rule, folders in rules.items()
        for path in files(root, folders)
        for line, message in rule(path, root)
    ]


def main():
    """Prints the problems; the exit status is 1 if there are any."""
    found = problems()
    print(*found, f"{len(found)} problems" if found else "All is as it should be.", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
