"""Sound as integers and real numbers, in and out of files."""

import math
import wave

import numpy as np

from keras_ar import arguments


def mu_law(x, num_levels=256):
    """Companded levels of samples from -1 to 1: finer where it is quiet, as one hears.

    Args:
        x: Array of real numbers from -1 to 1.
        num_levels: Number of levels; mu is one less.

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


def inverse_mu_law(levels, num_levels=256):
    """The samples that companded levels stand for: float32, from -1 to 1.

    Args:
        levels: Array of integers from 0 to `num_levels - 1`.
        num_levels: Number of levels.

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


def read_wav(path, rate=None):
    """Samples of a sound file of one channel, float32 from -1 to 1; needs the package soundfile.

    Args:
        path: A wav file, or another that soundfile reads.
        rate: Samples in a second that the file must have; `None` for any.

    Returns:
        The pair of an array of shape `(samples,)` and the rate.
    """
    samples, found = _soundfile().read(path, dtype="float32", always_2d=True)
    if samples.shape[1] != 1:
        raise ValueError(
            f"`path` must be a file of one channel: mix its channels first, by their mean. "
            f"Received {path}, of {samples.shape[1]} channels."
        )
    if rate is not None and found != rate:
        raise ValueError(f"`path` must have {rate} samples a second: resample it first. Received {path}, of {found}.")
    return samples[:, 0], found


def write_wav(path, samples, rate):
    """Writes samples from -1 to 1 as a wav file of 16 bits."""
    samples = np.asarray(samples, "float32")
    if samples.ndim != 1:
        raise ValueError(f"`samples` must have shape (samples,). Received: samples.shape={samples.shape}.")
    if not (np.abs(samples) <= 1).all():
        raise ValueError("`samples` must hold real numbers from -1 to 1: divide by the largest first.")
    integers = np.clip(np.round(samples * 2.0**15), -(2**15), 2**15 - 1).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, arguments.integer(rate, "rate"), len(integers), "NONE", None))
        file.writeframes(integers.tobytes())


def _soundfile():
    try:
        import soundfile
    except ImportError as error:
        raise ImportError('Sound files need the package soundfile: pip install "keras-ar[sound]".') from error
    return soundfile
