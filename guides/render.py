"""Renders guides to HTML with their output: `python guides/render.py`, or `... render.py heads.py` for one of them.

A guide is a Python file in percent cells. A page shows its text, its code and, below each cell, what the cell prints
and the pictures and sounds that it writes to the current folder. The file also runs by itself. Each guide runs in a
process and a folder of its own; at the end come the index and a contact sheet of all pictures.
"""

import base64
import contextlib
import html
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import markdown
import pygments
from PIL import Image, ImageDraw, ImageFont
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

HERE = pathlib.Path(__file__).parent
ORDER = (
    "first_model",
    "fvsbn_nade_made",
    "heads",
    "images",
    "sound_and_text",
    "transformers",
    "drawing",
    "missing_values",
    "flows",
    "bounds",
    "latent_variables",
    "your_own_model",
    "writing_a_plugin",
    "backends_and_devices",
    "scaling",
    "command_line",
)
SHOWN = {
    ".png": '<img src="data:image/png;base64,{data}" alt="{name}">',
    ".wav": '<audio controls src="data:audio/wav;base64,{data}"></audio> {name}',
}


def cells(source):
    """The cells of a guide: triples of `"markdown"` or `"code"`, the text, and the line that it begins on."""
    found = []
    for number, line in enumerate(source.splitlines(), start=1):
        if line.startswith("# %%"):
            found.append(("markdown" if line.endswith("[markdown]") else "code", [], number + 1))
        elif found:
            found[-1][1].append(line)
    for kind, lines, number in found:
        if kind == "markdown":
            lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
        yield kind, "\n".join(lines).rstrip(), number


def title_and_lead(source):
    """The title of a guide, and its first paragraph on one line."""
    kind, text, _ = next(cells(source))
    found = re.match(r"# (.+)\n\n((?:.+\n?)+)", text)
    if kind != "markdown" or not found:
        raise ValueError("A guide must begin with a markdown cell: a title, `# ...`, and a paragraph.")
    return found[1], " ".join(found[2].split())


def run(code, path, number, names):
    """Runs a cell in the current folder: what it printed, and the pictures and sounds that it wrote."""
    before, printed = files(pathlib.Path()), io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile("\n" * (number - 1) + code, path, "exec"), names)
    written = {file: when for file, when in files(pathlib.Path()).items() if before.get(file) != when}
    return printed.getvalue(), sorted(written, key=lambda file: (written[file], file))


def files(folder):
    """The pictures and sounds in a folder, and when each was written."""
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.suffix in SHOWN}


def render(path, folder):
    """Runs a guide in `folder / name`, and writes `folder / name.html`."""
    path, folder = pathlib.Path(path).resolve(), pathlib.Path(folder).resolve()
    source, body, names = path.read_text(encoding="utf-8"), [], {"__name__": "__main__", "__file__": str(path)}
    title, _ = title_and_lead(source)
    shutil.rmtree(folder / path.stem, ignore_errors=True)
    (folder / path.stem).mkdir(parents=True)
    start = time.perf_counter()
    with contextlib.chdir(folder / path.stem):
        for kind, text, number in cells(source):
            if kind == "markdown":
                body.append(markdown.markdown(text, extensions=["fenced_code", "tables"]))
                continue
            printed, written = run(text, path, number, names)
            body.append(pygments.highlight(text, PythonLexer(), HtmlFormatter()))
            if printed.strip():
                body.append(f'<pre class="printed">{html.escape(printed.strip())}</pre>')
            for file in written:
                data = base64.b64encode(file.read_bytes()).decode()
                body.append(f"<figure>{SHOWN[file.suffix].format(data=data, name=file.name)}</figure>")
    seconds = time.perf_counter() - start
    body.append(f'<p class="foot">{path.name}, run in {seconds:.0f} s. <a href="index.html">All guides</a></p>')
    return write_page(folder / f"{path.stem}.html", title, "\n".join(body))


def write_index(paths, folder):
    """A page with the title and the first paragraph of each guide."""
    entries = [(path.stem, *title_and_lead(path.read_text(encoding="utf-8"))) for path in paths]
    items = [
        f'<li><a href="{name}.html">{html.escape(title)}</a><br>{markdown.markdown(lead)[3:-4]}</li>'
        for name, title, lead in entries
    ]
    return write_page(folder / "index.html", "keras_ar: guides", f"<h1>keras_ar: guides</h1><ol>{''.join(items)}</ol>")


def write_page(path, title, body):
    style = STYLE + HtmlFormatter(style="friendly").get_style_defs(".highlight")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PAGE.format(title=html.escape(title), style=style, body=body), encoding="utf-8")
    return path


def contact_sheet(pictures, path, width=1400, height=136, gap=14):
    """All pictures, small, in rows of one height; `pictures` maps the lines of each caption to its file."""
    font, rows, left = ImageFont.load_default(10), [[]], gap
    for caption, picture in pictures.items():
        image = Image.open(picture).convert("RGB")
        image.thumbnail((3 * height, height), Image.Resampling.LANCZOS)
        step = max(image.width, *(int(font.getlength(line)) for line in caption)) + gap
        if left + step > width:
            rows.append([])
            left = gap
        rows[-1].append((left, image, caption))
        left += step
    step = height + 26 + gap
    sheet = Image.new("RGB", (width, len(rows) * step + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for i, row in enumerate(rows):
        for left, image, caption in row:
            top = gap + i * step + height - image.height
            sheet.paste(image, (left, top))
            for line, text in enumerate(caption):
                draw.text((left, top + image.height + 2 + 12 * line), text, fill="black", font=font)
    sheet.quantize(224, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def main(names, folder=pathlib.Path("build/guides")):
    commands = os.path.dirname(sys.executable)  # such as keras-ar, as if the environment were activated
    os.environ["PATH"] = os.pathsep.join([commands, os.environ["PATH"]])
    if names:
        for name in names:
            print(render(HERE / pathlib.Path(name).name, folder))
        return
    paths = [HERE / f"{name}.py" for name in ORDER]
    for path in paths:
        subprocess.run([sys.executable, __file__, path.name], check=True)
    print(write_index(paths, folder))
    pictures = {
        (path.stem, str(file.relative_to(folder / path.stem).with_suffix(""))): file
        for path in paths
        for file in sorted(files(folder / path.stem))
        if file.suffix == ".png"
    }
    print(contact_sheet(pictures, HERE / "contact_sheet.png"))


PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head><body>
{body}
</body></html>
"""
STYLE = """
body { max-width: 46rem; margin: 3rem auto; padding: 0 1rem; font: 17px/1.55 Georgia, serif; color: #222; }
h1, h2 { font-family: system-ui, sans-serif; line-height: 1.2; } h1 { font-size: 1.9rem; } h2 { margin-top: 2.2rem; }
a { color: #14568c; } li { margin-bottom: .7rem; } table { border-collapse: collapse; }
td, th { border-bottom: 1px solid #ddd; padding: .2rem .8rem .2rem 0; text-align: left; }
pre, code { font: 13.5px/1.45 ui-monospace, Menlo, Consolas, monospace; }
p code, li code, td code { background: #f3f3f0; padding: 0 .2em; border-radius: 3px; }
.highlight pre, body > pre { background: #f6f6f3; padding: .8rem 1rem; border-radius: 5px; overflow-x: auto; }
pre.printed { background: none; border-left: 3px solid #ddd; border-radius: 0; max-height: 24rem; overflow: auto; }
figure { margin: 1rem 0; } img { max-width: 100%; } .foot { color: #777; font-size: .85rem; margin-top: 3rem; }
"""

if __name__ == "__main__":
    main(sys.argv[1:])
