"""Prints what pytest shall run for what has changed: `make quick`.

A test file counts if it has changed itself, or if it names a component that has changed. What everything rests on (the
base, the backend, the kit) touches all tests. Slow tests count only if they have changed themselves.
"""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).parents[1]
SLOW = {
    "test_cli",
    "test_conformance",
    "test_cost",
    "test_docs",
    "test_fuzz",
    "test_fuzz_recipes",
    "test_guides",
    "test_image_models",
    "test_image_oracles",
    "test_plots",
    "test_registry",
    "test_site",
    "test_traced",
    "test_variants",
}
COMPONENTS = {"bijectors", "datasets", "heads", "layers", "models", "plots"}


def changed_files():
    """Paths that differ from the last commit; what the last commit changed if none does."""
    found = [*_lines("git diff --name-only HEAD"), *_lines("git ls-files --others --exclude-standard")]
    return found or _lines("git diff --name-only HEAD~1")


def _lines(command):
    return subprocess.run(command.split(), cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def touched_tests(changed):
    """Names of the test files that count."""
    tests = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").glob("test_*.py"))}
    themselves, found = set(), set()
    for path in map(pathlib.Path, changed):
        if path.parts[0] == "tests":
            themselves |= {path.stem} & set(tests)
        elif path.suffix == ".py" and path.parts[0] == "keras_ar":
            if len(path.parts) == 2 or path.parts[1] not in COMPONENTS:
                found |= set(tests)
            name = rf"\b({path.stem}|{path.stem.replace('_', '')})\b"
            found |= {test for test, text in tests.items() if re.search(name, text, re.IGNORECASE)}
    return sorted(themselves | (found - SLOW) | {"test_rooms"})


if __name__ == "__main__":
    print(*(f"tests/{name}.py" for name in touched_tests(changed_files())))
