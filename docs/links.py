"""Turns links between files of the repository into links between pages of the site, or to the repository."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
REPOSITORY = "https://github.com/keras-ar/keras-ar"
# Patterns of files, and the page that each is on the site.
PAGES = {
    r"README\.md": "/index.md",
    r"CHANGELOG\.md": "/about/changelog.md",
    r"CONTRIBUTING\.md": "/about/contributing.md",
    r"SECURITY\.md": "/about/security.md",
    r"benchmarks/RESULTS\.md": "/results.md",
    r"docs/(.+)": "/{}",
    r"guides/(\w+)\.py": "/guides/{}.ipynb",
    r"plugins/(keras-ar-\w+)/README\.md": "/plugins/{}.md",
}
# [text](target#name), but not ![text](picture).
_LINK = re.compile(r"(?P<text>(?<!!)\[[^\[\]]+\])\((?P<target>[^():#\s]+)(?P<name>#[^()\s]*)?\)")


def of_page(app, docname, source):
    """What Sphinx calls with the text of a page, in a list."""
    path = pathlib.Path(app.env.doc2path(docname))
    if path.suffix == ".md":
        source[0] = rewritten(source[0], path)


def of_included(app, path, docname, source):
    """What Sphinx calls with the text of a file that a page includes, in a list."""
    source[0] = rewritten(source[0], pathlib.Path(app.srcdir, path).resolve())


def rewritten(text, path):
    """The Markdown of a file of the repository, as the site has it."""

    def link(found):
        file = (path.parent / found["target"]).resolve()
        if not file.exists() or ROOT not in file.parents:
            return found[0]
        file, name = file.relative_to(ROOT).as_posix(), found["name"] or ""
        for pattern, page in PAGES.items():
            if parts := re.fullmatch(pattern, file):
                return f"{found['text']}({page.format(*parts.groups())}{name})"
        return f"{found['text']}({REPOSITORY}/blob/main/{file}{name})"

    return _LINK.sub(link, text)
