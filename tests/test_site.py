"""The site: every page opens without an error, at the width of a phone too; no link is dead; the search finds."""

import functools
import html.parser
import http.server
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import urllib.parse

import pytest

import keras_ar
from docs import figures, links

pytestmark = pytest.mark.one_backend  # pages are the same on all

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built; a warning is an error. Guides are shown with output where they have run, and not run here.

    In a process of its own, which knows of no component that other tests have made.
    """
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going", ROOT / "docs", folder]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def server(site):
    """The address of a server of the site."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window, where it is installed."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.mark.parametrize(
    ("file", "link", "expected"),
    [
        ("README.md", "guides/heads.py", "/guides/heads.ipynb"),
        ("README.md", "docs/tour.md#images", "/tour.md#images"),
        ("docs/tour.md", "../plugins/keras-ar-flows/README.md", "/plugins/keras-ar-flows.md"),
        ("docs/tour.md", "../benchmarks/RESULTS.md#images", "/results.md#images"),
        ("docs/tour.md", "../LICENSE", f"{links.REPOSITORY}/blob/main/LICENSE"),
        ("docs/tour.md", "https://arxiv.org", "https://arxiv.org"),
        ("docs/tour.md", "#images", "#images"),
    ],
)
def test_a_link_to_a_file_becomes_one_to_its_page(file, link, expected):
    assert links.rewritten(f"A [link]({link}), ![no](LICENSE)", ROOT / file) == f"A [link]({expected}), ![no](LICENSE)"


def test_a_model_has_its_rows_of_a_table_and_no_others():
    rows = ["| mnist-made | 1 |", "| MADE, wide | 2 |", "| | 3 |", "| OrderAgnosticMADE | 4 |", "| | 5 |"]
    assert figures.rows_of(("MADE", "made"), rows) == rows[:3]
    assert figures.rows_of(("NADE", "nade"), rows) == []


class Links(html.parser.HTMLParser):
    """What a page links to or shows, and the names that others may link to."""

    def __init__(self, path):
        super().__init__()
        self.targets, self.names = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.names.add(attributes.get("id"))
        self.targets += [attributes[name] for name in ("href", "src") if attributes.get(name)]


def pages(site):
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)


def test_no_link_is_dead(site):
    found = {path: Links(path) for path in pages(site)}
    dead = []
    for page, of_page in found.items():
        for target in of_page.targets:
            scheme, host, path, _, _, name = urllib.parse.urlparse(target)
            if scheme or host:
                continue
            file = (page.parent / urllib.parse.unquote(path)).resolve() if path else page
            if not file.exists() or (name and file in found and urllib.parse.unquote(name) not in found[file].names):
                dead.append(f"{page.relative_to(site)}: {target}")
    assert dead == []


def test_every_component_has_a_page_and_a_model_says_what_it_has_reached(site):
    for kind in keras_ar.registry.KINDS:
        for entry in keras_ar.registry.entries(kind):
            if entry.distribution == "keras-ar":
                page = (site / "api" / kind / f"{entry.name}.html").read_text(encoding="utf-8")
                assert "Example" in page
    made = (site / "api" / "models" / "made.html").read_text(encoding="utf-8")
    for part in ("hidden_units", "(3, 4, 4, 1)", "arxiv.org/abs/1502.03509", "90.44 ± 0.24", "made-digits"):
        assert part in made
    assert list((site / "_downloads").glob("*/first_model.ipynb"))


def test_pages_open_on_a_phone(site, server, browser, pytestconfig):
    """All of them with --everything; else of the many pages of the reference one of each group."""
    names = [path.relative_to(site).as_posix() for path in pages(site)]
    if not pytestconfig.getoption("everything"):
        groups = {pathlib.PurePath(name).parent: [] for name in names}
        for name in names:
            groups[pathlib.PurePath(name).parent].append(name)
        names = [name for group, of in groups.items() for name in (of[-1:] if group.parts[:1] == ("api",) else of)]
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page, problems = context.new_page(), []
    page.on("console", lambda message: message.type == "error" and problems.append((page.url, message.text)))
    page.on("pageerror", lambda error: problems.append((page.url, error)))
    for name in names:
        page.goto(f"{server}/{name}")
        lost = page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
        problems += [(name, f"picture {picture}") for picture in lost]
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
            problems.append((name, f"is {width} wide"))
    context.close()
    assert problems == []


def test_the_search_finds_a_model(server, browser):
    page = browser.new_page()
    page.goto(f"{server}/search.html?q=MADE")
    first = page.locator("#search-results li a").first
    first.wait_for()
    found = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.href)")
    assert any(link.partition("#")[0].endswith("/api/models/made.html") for link in found[:5]), found[:10]
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_follow_the_scheme_of_the_system(scheme, server, browser):
    page = browser.new_page(color_scheme=scheme)
    page.goto(f"{server}/index.html")
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in color.strip("rgb()").split(", ")[:3]) / 3
    assert brightness > 200 if scheme == "light" else brightness < 60
    page.close()
