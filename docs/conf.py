"""The site: `make site` builds it in build/site.

Why Sphinx, and not MkDocs, is told in `docs/about/libraries.md`. Docstrings, guides and pages are Markdown, which MyST
reads.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import links  # noqa: E402

import keras_ar  # noqa: E402

project = "keras_ar"
author = "the authors of keras_ar"
project_copyright = "the authors of keras_ar, Apache 2.0"
version = release = keras_ar.__version__

extensions = ["myst_nb", "sphinx_design", "sphinx_copybutton"]
exclude_patterns = ["guides/notebooks/*"]
suppress_warnings = ["misc.highlighting_failure"]  # outputs in code blocks
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # docs/notebooks.py runs the guides
nb_merge_streams = True
copybutton_prompt_text = ">>> |\\.\\.\\. |\\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "keras_ar"
html_logo = html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "keras_ar"},
    "github_url": "https://github.com/keras-ar/keras-ar",
    "header_links_before_dropdown": 6,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}
html_sidebars = {"index": [], "results": [], "gallery/index": []}


def setup(app):
    app.connect("builder-inited", _write_pages)
    app.connect("source-read", links.of_page)
    app.connect("include-read", links.of_included)


def _write_pages(app):
    """Writes what is made of the guides, of docstrings and of pictures, for Sphinx to read."""
    import assemble
    import reference

    assemble.write(pathlib.Path(app.srcdir))
    reference.write(pathlib.Path(app.srcdir) / "api")
