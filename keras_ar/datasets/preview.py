"""The first events of a data set, as a notebook shows them."""

import html
import io
import pathlib
import tempfile
from typing import Any

import numpy as np

from keras_ar import notebook, sound

__all__ = ["preview"]

_IMAGES, _ROWS, _CHARACTERS, _SECONDS = 12, 4, 300, 5
_HEIGHT = 48  # dots that an image has at least


def preview(data: Any) -> str:
    """HTML of the first training events: images, lines of a table, a piece of text, or sound."""
    show = {"images": _images, "sound": _sound, "text": _text, "table": _table}.get(data.kind)
    return show(data) if show and len(data.train) else ""


def _images(data):
    try:
        from PIL import Image
    except ImportError:
        return ""
    images = np.asarray(data.train[:_IMAGES], "float32")
    highest = data.num_levels - 1 if data.num_levels else max(float(images.max()), 1e-6)
    images = (images.clip(0, highest) * (255 / highest)).astype("uint8")
    strip = np.concatenate([np.pad(image, ((0, 0), (0, 1), (0, 0)), constant_values=255) for image in images], axis=1)
    strip = strip[..., 0] if strip.shape[-1] == 1 else strip
    scale = max(1, _HEIGHT // strip.shape[0])
    file = io.BytesIO()
    Image.fromarray(strip.repeat(scale, axis=0).repeat(scale, axis=1)).save(file, format="png")
    return notebook.media(file.getvalue(), "image/png")


def _table(data):
    events = data.train[:_ROWS].reshape(min(_ROWS, len(data.train)), -1)
    names = data.columns or [str(index) for index in range(events.shape[1])]
    words = data.categories or {}
    rows = [
        [words[name][int(value)] if name in words else f"{value:g}" for name, value in zip(names, event, strict=True)]
        for event in events
    ]
    return notebook.table(names, rows)


def _text(data):
    if data.vocabulary is None:
        return ""
    return f"<pre>{html.escape(data.vocabulary.decode(data.train[0])[:_CHARACTERS])}</pre>"


def _sound(data):
    if data.rate is None:
        return ""
    samples = sound.to_samples(data.train[0], data.num_levels)[: _SECONDS * data.rate]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "sound.wav")
        sound.write_wav(path, samples, data.rate)
        return notebook.media(path.read_bytes(), "audio/wav")
