"""Sound as integers and real numbers, in and out of files."""

import math
import os
import pathlib
import struct
import wave
from typing import Any

import numpy as np

from keras_ar import arguments

__all__ = ["inverse_mu_law", "mu_law", "read_wav", "to_samples", "write_wav"]


def mu_law(x: Any, num_levels: int = 256) -> np.ndarray:
    """Companded levels of samples from -1 to 1: the quieter, the finer, as one hears.

    Args:
        x: Array of real numbers from -1 to 1.
        num_levels: Integer, the number of levels; mu is one less. Defaults to `256`.

    Returns:
        int32 array of the shape of `x`, of levels from 0 to `num_levels - 1`.

    Example:

    >>> keras_ar.sound.mu_law([-1.0, 0.0, 0.01, 1.0]).tolist()
    [0, 128, 157, 255]
    """
    mu = arguments.integer(num_levels, "num_levels", least=2) - 1
    x = np.asarray(x, "float64")
    if not (np.isfinite(x).all() and (np.abs(x) <= 1).all()):
        wrong = x[~(np.abs(x) <= 1)].flat[0]
        raise ValueError(f"`x` must hold real numbers from -1 to 1: divide by the largest first. Received {wrong}.")
    companded = np.sign(x) * np.log1p(mu * np.abs(x)) / math.log1p(mu)
    return np.floor((companded + 1) / 2 * mu + 0.5).astype("int32")


def inverse_mu_law(levels: Any, num_levels: int = 256) -> np.ndarray:
    """The samples that companded levels mean: float32, from -1 to 1.

    Args:
        levels: Array of integers from 0 to `num_levels - 1`.
        num_levels: Integer, the number of levels. Defaults to `256`.

    Returns:
        float32 array of the shape of `levels`.

    Example:

    >>> [round(float(x), 3) for x in keras_ar.sound.inverse_mu_law([0, 128, 157, 255])]
    [-1.0, 0.0, 0.01, 1.0]
    """
    mu = arguments.integer(num_levels, "num_levels", least=2) - 1
    levels = np.asarray(levels)
    if levels.dtype.kind not in "iu" or (levels.size and not (levels.min() >= 0 and levels.max() <= mu)):
        raise ValueError(
            f"`levels` must hold integers from 0 to {mu}. Received {levels.dtype}"
            + (f" from {levels.min()} to {levels.max()}." if levels.size else ".")
        )
    companded = 2 * levels.astype("float64") / mu - 1
    return (np.sign(companded) * np.expm1(np.abs(companded) * math.log1p(mu)) / mu).astype("float32")


def to_samples(values: Any, num_levels: int | None) -> np.ndarray:
    """The sound that a model's values mean: levels of `mu_law`, or real samples, clipped to -1 and 1.

    Args:
        values: Array of integers, or of real numbers.
        num_levels: Integer, the number of levels, or `None` for real numbers: `model.support.num_levels`.

    Returns:
        float32 array of the shape of `values`.

    Example:

    >>> keras_ar.sound.to_samples([0.5, -3.0], num_levels=None).tolist()
    [0.5, -1.0]
    """
    if num_levels is None:
        return np.clip(values, -1.0, 1.0).astype("float32")
    return inverse_mu_law(values, num_levels)


def read_wav(path: str | os.PathLike, rate: int | None = None) -> tuple[np.ndarray, int]:
    """Samples of a sound file of one channel, float32 from -1 to 1; needs the package soundfile.

    Args:
        path: Path of a wav file, or of another that soundfile reads.
        rate: Integer, how many samples a second the file must have; `None` for any number. Defaults to `None`.

    Returns:
        The pair of an array of shape `(samples,)` and the rate.

    Raises:
        OSError: There is no such file, or it is damaged or ends before its samples do.

    Example:

    ```python
    samples, rate = keras_ar.sound.read_wav("speech.wav")
    ```
    """
    soundfile, path = _soundfile(), pathlib.Path(path)
    if not path.is_file():  # a pipe may last for ever
        raise FileNotFoundError(f"`path` must lead to a sound file. There is no file {str(path)!r}.")
    try:
        _check_wav(path)
        with soundfile.SoundFile(path) as file:
            found = file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
            if len(samples) < file.frames:
                raise ValueError(f"it promises {file.frames} samples, and has {len(samples)}")
    except (RuntimeError, TypeError, ValueError) as error:  # all three may be soundfile's
        raise OSError(
            f"{path} is damaged, half-downloaded or no sound file ({error}): replace it, and try again."
        ) from error
    if samples.shape[1] != 1:
        raise ValueError(
            f"`path` must be a file of one channel: mix its channels first, by their mean. "
            f"Received {path}, of {samples.shape[1]} channels."
        )
    if rate is not None and found != rate:
        raise ValueError(f"`path` must have {rate} samples a second: resample it first. Received {path}, of {found}.")
    return samples[:, 0], found


def write_wav(path: str | os.PathLike, samples: Any, rate: int) -> None:
    """Writes samples from -1 to 1 as a wav file of 16 bits.

    Args:
        path: Path of the file.
        samples: Array of shape `(samples,)`.
        rate: Integer, how many samples are in a second.

    Example:

    ```python
    keras_ar.sound.write_wav("tone.wav", np.sin(np.arange(16_000) / 5), rate=16_000)
    ```
    """
    samples = np.asarray(samples, "float32")
    if samples.ndim != 1:
        raise ValueError(f"`samples` must have shape (samples,). Received: samples.shape={samples.shape}.")
    if not (np.abs(samples) <= 1).all():
        raise ValueError("`samples` must hold real numbers from -1 to 1: divide by the largest first.")
    integers = np.clip(np.round(samples * 2.0**15), -(2**15), 2**15 - 1).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, arguments.integer(rate, "rate"), len(integers), "NONE", None))
        file.writeframes(integers.tobytes())


def _check_wav(path):
    """Raises a `ValueError` if a wav file ends before its samples do, or its header is at odds with itself.

    soundfile takes both as they come: it leaves out the samples that are missing. Other formats are left to it.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            return
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            end = file.tell() + length
            if name == b"data" and length == 2**32 - 1:  # so writes who streams, and does not know it yet
                return
            if end > size:
                raise ValueError(f"its header promises {end:,} bytes, and it has {size:,}")
            if name == b"data":
                return
            if name == b"fmt ":
                _check_format(file.read(16))
            file.seek(end + length % 2)
    raise ValueError("it has no samples")


def _check_format(chunk):
    """The numbers of a wav header must fit each other; those of compressed samples need not."""
    if len(chunk) < 16:
        raise ValueError("its header is too short")
    kind, channels, rate, bytes_a_second, width, _ = struct.unpack("<HHIIHH", chunk)
    if kind in (0x0001, 0x0003, 0xFFFE) and (bytes_a_second != rate * width or not channels or width % channels):
        raise ValueError(
            f"its header is at odds with itself: {rate} samples a second of {width} bytes and {channels} channels, and "
            f"{bytes_a_second} bytes a second"
        )


def _soundfile():
    try:
        import soundfile
    except ImportError as error:
        raise ImportError('Sound files need the package soundfile: pip install "keras-ar[sound]".') from error
    return soundfile
