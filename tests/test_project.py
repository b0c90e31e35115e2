"""The files of the project agree with each other: versions, commands, workflows, citation."""

import pathlib
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import keras_ar

pytestmark = pytest.mark.one_backend

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
BACKENDS = ["jax", "tensorflow", "torch"]


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def load(path):
    return yaml.safe_load(read(path))


def test_the_version_is_the_same_everywhere():
    assert PROJECT["version"] == keras_ar.__version__ == load("CITATION.cff")["version"]


def test_every_address_is_of_this_project():
    addresses = [*PROJECT["urls"].values(), load("CITATION.cff")["repository-code"]]
    assert all(
        address.startswith(("https://github.com/keras-ar/", "https://keras-ar.github.io/")) for address in addresses
    )


def test_the_readme_opens_with_two_commands():
    commands = re.findall(r"^    (make \w+)", read("README.md"), flags=re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]
    assert read("README.md").index("make demo") < 600
    assert re.findall(r"^    (make \w+)", read("CONTRIBUTING.md"), flags=re.MULTILINE) == commands[:2]


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md", "docs/tour.md", "plugins/keras-ar-flows/README.md"])
def test_files_that_a_page_links_to_are_there(path):
    for target in re.findall(r"\]\(([^():#\s]+)[#)]", read(path)):
        assert (ROOT / path).parent.joinpath(target).exists(), target


def test_commands_that_pages_name_are_in_the_makefile():
    targets = set(re.findall(r"^([\w-]+):", read("Makefile"), flags=re.MULTILINE))
    for path in ("README.md", "CONTRIBUTING.md", ".github/workflows/tests.yml", ".github/workflows/site.yml"):
        for name in re.findall(r"(?:run: |`|^    )make ([a-z]+)\b(?!-)", read(path), flags=re.MULTILINE):
            assert name in targets, f"{path}: make {name}"


def test_the_matrix_is_backends_by_versions_of_keras():
    matrix = load(".github/workflows/tests.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix == {"backend": BACKENDS, "keras": ["lowest", "pinned", "newest"]}
    assert set(BACKENDS) <= set(PROJECT["optional-dependencies"])


def test_the_lowest_keras_is_that_of_the_policy():
    (keras,) = (Requirement(text) for text in PROJECT["dependencies"] if text.startswith("keras"))
    (lowest,) = (part.version for part in keras.specifier)
    assert f"| Keras | {lowest}," in read("docs/about/versions.md")
    assert Version(lowest) <= Version(PINNED["keras"])


def test_style_is_checked_by_the_same_ruff():
    ruff = next(repo for repo in load(".pre-commit-config.yaml")["repos"] if "ruff" in repo["repo"])
    assert ruff["rev"] == f"v{PINNED['ruff']}"


def test_what_development_needs_is_pinned():
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in PINNED}
    groups = PROJECT["optional-dependencies"]
    for group in ("docs", "test", "dev", "cli", "data", "plots"):
        for requirement in map(Requirement, groups[group]):
            assert requirement.name == "keras-ar" or requirement.name.lower().replace("_", "-") in pinned, requirement


@pytest.mark.parametrize("path", [".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/feature.yml"])
def test_forms_are_whole(path):
    form = load(path)
    assert {"name", "description", "body"} <= set(form)
    assert all({"type", "attributes"} <= set(part) and part["attributes"]["label"] for part in form["body"])
