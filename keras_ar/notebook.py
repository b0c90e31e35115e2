"""What notebooks show of models, heads and data: small tables in HTML, in the colors of the notebook."""

import base64
import html
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["facts", "media", "table"]


def facts(title: str, rows: Mapping[str, Any]) -> str:
    """A title, and a table of names and values.

    Example:

    >>> keras_ar.notebook.facts("A head", {"support": "x < 1"})[-44:]
    '"text-align:left">x &lt; 1</td></tr></table>'
    """
    left = 'style="text-align:left"'
    lines = [
        f"<tr><th {left}>{html.escape(name)}</th><td {left}>{html.escape(str(value))}</td></tr>"
        for name, value in rows.items()
    ]
    return f"<b>{html.escape(title)}</b><table>{''.join(lines)}</table>"


def table(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A table with a header.

    Example:

    >>> keras_ar.notebook.table(["a", "b"], [[1, 2]])
    '<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>'
    """
    lines = ["".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)]
    lines += ["".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def media(data: bytes, kind: str) -> str:
    """A picture or a sound, within the page.

    Args:
        data: Bytes, the contents of a file.
        kind: String, what it is, such as `"image/png"` or `"audio/wav"`.

    Example:

    >>> keras_ar.notebook.media(b"RIFF", "audio/wav")
    '<audio controls src="data:audio/wav;base64,UklGRg=="></audio>'
    """
    source = f'src="data:{kind};base64,{base64.b64encode(data).decode()}"'
    if kind.startswith("audio"):
        return f"<audio controls {source}></audio>"
    return f'<img {source} style="image-rendering:pixelated">'
