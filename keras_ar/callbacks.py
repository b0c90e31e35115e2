"""Draws in the course of training, to look at, to listen to and to read. All else that callbacks do is in Keras.

Each draws with one seed at the end of every so many epochs, so that what changes is the model. Draws have no
influence on training. Behind `keras.callbacks.SwapEMAWeights(swap_on_epoch=True)` in the list of callbacks they are of
the averaged weights.
"""

import os
import pathlib
import socket
import time
import uuid

import keras
import numpy as np

from keras_ar import arguments, noise, plots, sound
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.plots import canvas
from keras_ar.sequence import SequenceModel

__all__ = ["SampleAudio", "SampleImages", "SampleText"]


class _SampleCallback(keras.callbacks.Callback):
    """What they have in common. A subclass says what it can draw, in `check`, and writes it, in `write`."""

    def __init__(self, folder, *, every=1, num_samples=1, condition=None, seed=0, temperature=1.0, tensorboard=None):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.every = arguments.integer(every, "every")
        self.num_samples = arguments.integer(num_samples, "num_samples")
        self.condition = condition
        self.seed = noise.check_seed(seed)
        self.temperature = arguments.number(temperature, "temperature", above=0)
        self.tensorboard = tensorboard
        self.log = None

    def on_train_begin(self, logs=None):
        self.check(self.model)
        self.model._check_condition(self.condition, self.num_samples, broadcast=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.tensorboard is not None:
            self.log = _EventFile(self.tensorboard)

    def on_epoch_end(self, epoch, logs=None):
        epoch += 1  # as the progress bar counts
        if epoch % self.every == 0:
            self.write(self.folder / f"epoch_{epoch:03d}", epoch)

    def on_train_end(self, logs=None):
        if self.log:
            self.log.close()

    def check(self, model):
        """Raises a `ValueError` if these are not draws that the model can give."""
        raise NotImplementedError

    def write(self, path, epoch):
        """Draws, and writes to a path that has no suffix yet, and to the log."""
        raise NotImplementedError

    def draw(self, method, **kwargs):
        """Calls the model's `sample`, or `write`."""
        return method(condition=self.condition, seed=self.seed, temperature=self.temperature, **kwargs)

    def refuse(self, expected):
        model = self.model
        shape = f", with event_shape={model.event_shape}" if hasattr(model, "event_shape") else ""
        raise ValueError(
            f"`{type(self).__name__}` is for {expected}. Received: {model.name}, a {type(model).__name__}{shape}."
        )


class SampleImages(_SampleCallback):
    """Writes a grid of images at the end of every so many epochs: `epoch_005.png`. Needs matplotlib.

    Args:
        folder: Where to; it is made if there is none.
        every: Number of epochs from one grid to the next.
        num_samples: How many images to draw.
        condition: As in `model.sample`: one for all, or one for each.
        seed: Integer, the seed of all draws.
        temperature: As in `model.sample`.
        cmap: matplotlib's name of the colour map of grey images.
        tensorboard: Folder of a TensorBoard log to write the grids to as well; needs the package tensorboard.

    Example:

    ```python
    model.fit(x, epochs=20, callbacks=[keras_ar.callbacks.SampleImages("draws", every=5, tensorboard="logs")])
    ```
    """

    def __init__(self, folder, *, num_samples=16, cmap="gray", **kwargs):
        super().__init__(folder, num_samples=num_samples, **kwargs)
        self.cmap = cmap

    def check(self, model):
        shape = getattr(model, "event_shape", ())
        is_image = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
        if not isinstance(model, AutoregressiveModel) or isinstance(model, SequenceModel) or not is_image:
            self.refuse("models of images, (rows, columns), (rows, columns, 1) or (rows, columns, 3)")
        canvas.load_matplotlib()

    def write(self, path, epoch):
        draws = self.draw(self.model.sample, num_samples=self.num_samples)
        levels = self.model.head.num_levels
        ax = plots.images(draws, num_levels=levels, cmap=self.cmap, title=f"epoch {epoch}")
        path = path.with_suffix(".png")
        ax.figure.savefig(path)
        if self.log:
            width, height = (round(inches * ax.figure.dpi) for inches in ax.figure.get_size_inches())
            self.log.write_image(self.folder.name, epoch, path.read_bytes(), height, width)


class SampleAudio(_SampleCallback):
    """Writes sound at the end of every so many epochs: `epoch_005.wav`, or `epoch_005_0.wav, ...` if several are drawn.

    Args:
        folder: Where to; it is made if there is none.
        rate: Samples in a second.
        length: How many samples a sequence has; `model.event_shape[0]` by default.
        every: Number of epochs from one to the next.
        num_samples: How many sequences to draw.
        condition: As in `model.sample`: one for all, or one for each.
        seed: Integer, the seed of all draws.
        temperature: As in `model.sample`.
        decode: Function from an array of draws to samples from -1 to 1. By default integers are
            levels of `keras_ar.sound.mu_law`, and real values are samples, cut off at -1 and 1.
        tensorboard: Folder of a TensorBoard log to write the sound to as well; needs the package tensorboard.

    Example:

    ```python
    model.fit(x, epochs=20, callbacks=[keras_ar.callbacks.SampleAudio("draws", rate=16_000, length=32_000)])
    ```
    """

    def __init__(self, folder, *, rate, length=None, decode=None, **kwargs):
        super().__init__(folder, **kwargs)
        self.rate = arguments.integer(rate, "rate")
        self.length = None if length is None else arguments.integer(length, "length")
        self.decode = decode or self._decode

    def check(self, model):
        if not isinstance(model, SequenceModel) or model.head.event_shape or hasattr(model, "vocabulary"):
            self.refuse("models of sound: of sequences of single values, such as WaveNet")

    def write(self, path, epoch):
        draws = self.draw(self.model.sample, num_samples=self.num_samples, length=self.length)
        for i, samples in enumerate(self.decode(draws)):
            suffix = f"_{i}" if len(draws) > 1 else ""
            file = path.with_name(f"{path.name}{suffix}.wav")
            sound.write_wav(file, samples, self.rate)
            if self.log:
                self.log.write_audio(f"{self.folder.name}{suffix}", epoch, file.read_bytes(), len(samples), self.rate)

    def _decode(self, draws):
        levels = self.model.head.num_levels
        return np.clip(draws, -1.0, 1.0) if levels is None else sound.inverse_mu_law(draws, levels)


class SampleText(_SampleCallback):
    """Writes text at the end of every so many epochs: `epoch_005.txt`.

    Args:
        folder: Where to; it is made if there is none.
        length: How many characters a text has, those of the prompt among them.
        prompt: What each text begins with.
        every: Number of epochs from one to the next.
        num_samples: How many texts to draw; a line of dashes is between them.
        condition: As in `model.sample`: one for all, or one for each.
        seed: Integer, the seed of all draws.
        temperature: As in `model.sample`.
        tensorboard: Folder of a TensorBoard log to write the texts to as well; needs the package tensorboard.

    Example:

    ```python
    model.fit(x, epochs=20, callbacks=[keras_ar.callbacks.SampleText("draws", prompt="to be", temperature=0.8)])
    ```
    """

    def __init__(self, folder, *, length=500, prompt=None, **kwargs):
        super().__init__(folder, **kwargs)
        self.length = arguments.integer(length, "length")
        self.prompt = prompt

    def check(self, model):
        if not hasattr(model, "vocabulary") or not hasattr(model, "write"):
            self.refuse("models of text, which have a vocabulary, such as CharRNN")
        if self.prompt is not None and not 1 <= len(model.vocabulary.encode(self.prompt)) <= self.length:
            raise ValueError(
                f"`prompt` must have 1 to {self.length} characters, the `length` of a text. "
                f"Received {len(self.prompt)}."
            )

    def write(self, path, epoch):
        options = {"length": self.length, "prompt": self.prompt, "num_samples": self.num_samples}
        text = f"\n{'-' * 40}\n".join(self.draw(self.model.write, **options))
        path.with_suffix(".txt").write_text(text, encoding="utf-8")
        if self.log:
            self.log.write_text(self.folder.name, epoch, text)


class _EventFile:
    """A TensorBoard log, by its own protos and record writer: these do without TensorFlow."""

    def __init__(self, folder):
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.plugins.text import summary_v2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise ImportError('Logs need the package tensorboard: pip install "keras-ar[tensorboard]".') from error
        self._event, self._summary, self._text = event_pb2.Event, summary_pb2.Summary, summary_v2.text_pb
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard looks for the beginning of this name; the end is nobody else's.
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        self._records = RecordWriter((folder / name).open("wb"))
        self._write(file_version="brain.Event:2")

    def write_image(self, tag, step, png, height, width):
        image = self._summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
        self._write(step=step, summary=self._summary(value=[self._summary.Value(tag=tag, image=image)]))

    def write_audio(self, tag, step, wav, length, rate):
        audio = self._summary.Audio(
            sample_rate=rate, num_channels=1, length_frames=length, encoded_audio_string=wav, content_type="audio/wav"
        )
        self._write(step=step, summary=self._summary(value=[self._summary.Value(tag=tag, audio=audio)]))

    def write_text(self, tag, step, text):
        # TensorBoard takes it for Markdown, in which indented lines stay as they are.
        text = "\n".join(f"    {line}" for line in text.split("\n"))
        self._write(step=step, summary=self._text(tag, text))

    def _write(self, **event):
        self._records.write(self._event(wall_time=time.time(), **event).SerializeToString())
        self._records.flush()  # for who looks on

    def close(self):
        self._records.close()
