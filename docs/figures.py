"""What `benchmarks/RESULTS.md` and the recipes say of a model: the rows of tables that name it."""

import functools
import pathlib
import re
import tomllib

from markdown_it import MarkdownIt

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
RECIPES = ROOT / "keras_ar_cli" / "recipes"


@functools.cache
def tables():
    """The tables of the results: pairs of the headings above a table and its lines, in Markdown."""
    text = RESULTS.read_text(encoding="utf-8")
    lines, headings, found = text.splitlines(), [], []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open":
            headings = [*headings[: int(token.tag[1]) - 1], following.content]
        elif token.type == "table_open":
            first, last = token.map
            found.append((tuple(headings), lines[first:last]))
    return found


def rows_of(names, rows):
    """The rows of a table that name the model in one of their first two cells, and those that go on with such a row."""
    found, goes_on = [], False
    for row in rows:
        first, second, *_ = (cell.strip() for cell in row.strip().strip("|").split("|"))
        if first or re.match(r"[A-Z]\w+", second):
            is_preset = first.rpartition("-")[2] in names
            goes_on = is_preset or any(re.match(rf"{name}\b", cell) for name in names for cell in (first, second))
        found += [row] if goes_on else []
    return found


def results_of(class_name, name):
    """Tables of likelihoods that the model has reached, each with the heading that it stands under, in Markdown."""
    found = []
    for (_, *headings), (header, line, *rows) in tables():
        is_of_speed = "JAX" in header or headings[0] in ("Speed", "Mixed precision", "On a GPU")
        rows = [] if is_of_speed else rows_of((class_name, name), rows)
        if rows:
            found.append((headings, "\n".join([header, line, *rows])))
    return found


def recipes_of(name):
    """The recipes of the command line that train the model, and what they have reached, as a table in Markdown."""
    rows = []
    for path in sorted(RECIPES.glob("*.toml")):
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
        if recipe["model"]["name"] == name:
            nats = recipe.get("result", {}).get("test_nats")
            rows.append(
                f"| `keras-ar train {path.stem}` | {recipe['title']} | {'' if nats is None else f'{nats:.2f}'} |"
            )
    return "\n".join(["| recipe | what | test nats |", "|---|---|---:|", *rows]) if rows else ""
