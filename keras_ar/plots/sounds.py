"""Pictures of sound."""

import numpy as np

from keras_ar import arguments
from keras_ar.plots import canvas

__all__ = ["spectrogram", "waveform"]


def waveform(samples, rate, *, title="Waveform", ax=None):
    """Samples over time; several sequences are tracks below each other, all on one scale.

    Args:
        samples: Array of shape `(samples,)` or `(sequences, samples)`, from -1 to 1.
        rate: Number of samples in a second.
        title: String. Defaults to `"Waveform"`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> ax = keras_ar.plots.waveform(np.sin(np.arange(800) / 5), rate=8000)
    """
    sequences = _check_sound(samples, rate)
    count, length = sequences.shape
    ax = canvas.new_or_given(ax, 9, 1.2 + 1.6 * count)
    seconds = np.arange(length) / rate
    largest = max(np.abs(sequences).max(), 1e-6)
    zeros = -2.4 * largest * np.arange(count)
    for zero, sequence in zip(zeros, sequences, strict=True):
        ax.axhline(zero, color="0.7", linewidth=0.5, zorder=0)
        ax.plot(seconds, zero + sequence, color="tab:blue", linewidth=0.6)
    ax.set(xlim=(0, length / rate), ylim=(zeros[-1] - 1.2 * largest, 1.2 * largest))
    ax.set(title=title, xlabel="time in seconds", ylabel="sample value")
    ax.set_yticks(*canvas.panel_ticks(-largest, largest, zeros, 4))
    return ax


def spectrogram(samples, rate, *, window=0.025, title="Spectrogram", ax=None):
    """How loud each frequency is over time, in decibels below the loudest; several sequences below each other.

    Args:
        samples: Array of shape `(samples,)` or `(sequences, samples)`.
        rate: Number of samples in a second.
        window: Float, the length in seconds of the windows that are transformed; they overlap by three
            quarters. Defaults to `0.025`.
        title: String. Defaults to `"Spectrogram"`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> ax = keras_ar.plots.spectrogram(np.sin(np.arange(800) / 5), rate=8000)
    """
    sequences = _check_sound(samples, rate)
    length = max(4, round(arguments.number(window, "window", above=0) * rate))
    if length > sequences.shape[1]:
        raise ValueError(
            f"`samples` must be at least as long as a `window`, {length} samples. "
            f"Received: samples.shape={np.shape(samples)}."
        )
    frames = np.lib.stride_tricks.sliding_window_view(sequences, length, axis=1)[:, :: length // 4]
    power = np.abs(np.fft.rfft(frames * np.hanning(length), axis=-1)) ** 2  # (sequences, windows, frequencies)
    decibels = 10 * np.log10(np.maximum(power / (power.max() or 1.0), 1e-8))

    count = len(sequences)
    is_new = ax is None
    ax = canvas.new_or_given(ax, 9, 1.2 + 1.9 * count)
    seconds, highest = (length + (frames.shape[1] - 1) * (length // 4)) / rate, rate / 2000
    starts = -1.08 * highest * np.arange(count)
    for start, picture in zip(starts, decibels, strict=True):
        extent = (0, seconds, start, start + highest)
        drawn = ax.imshow(picture.T, origin="lower", extent=extent, vmin=-80, vmax=0, cmap="magma")
    ax.set(xlim=(0, seconds), ylim=(starts[-1], highest), aspect="auto", frame_on=False)
    ax.set(title=title, xlabel="time in seconds", ylabel="frequency in kHz")
    ax.set_yticks(*canvas.panel_ticks(0, 0.95 * highest if count > 1 else highest, starts, 4))
    canvas.color_bar(ax, drawn, "decibels below the loudest", is_new)
    return ax


def _check_sound(samples, rate):
    arguments.number(rate, "rate", above=0)
    samples = np.asarray(samples, "float64")
    if samples.ndim not in (1, 2) or samples.size == 0 or not np.isfinite(samples).all():
        raise ValueError(
            f"`samples` must be a finite array of shape (samples,) or (sequences, samples). "
            f"Received: samples.shape={samples.shape}."
        )
    return np.atleast_2d(samples)
