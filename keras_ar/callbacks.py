"""Samples in the course of training, to look at, to listen to and to read, and exact scores. Else use Keras' callbacks.

Samples are of the same seed every time, so that what changes is the model. Sampling has no influence on training.
After `keras.callbacks.SwapEMAWeights(swap_on_epoch=True)` in the list of callbacks, all is of averaged weights.
"""

import os
import pathlib
import socket
import time
import uuid

import keras

from keras_ar import arguments, backend, noise, plots, sound
from keras_ar.density import DensityModel
from keras_ar.plots import canvas
from keras_ar.sequence import SequenceModel

__all__ = ["ExactValidation", "SampleAudio", "SampleImages", "SampleText"]


class ExactValidation(keras.callbacks.Callback):
    """Scores events exactly in the course of training: `val_nats` in the logs, the mean over the events.

    For models whose `loss` is an estimate, as that of an `AnyOrderModel` or of a `ManyOrdersModel` is. Place it ahead
    of callbacks that watch `val_nats`, such as `keras.callbacks.EarlyStopping(monitor="val_nats", mode="min")`. In
    epochs without a score, `val_nats` is that of the last one.

    Args:
        x: Array of events.
        condition: Array of conditions, or `None`. Defaults to `None`.
        every: Integer: after how many epochs each. Defaults to `1`.
        **options: Arguments of the model's `score_samples`, such as `num_orderings`.

    Example:

    >>> model = keras_ar.models.DeepNADE(3, hidden_units=4)
    >>> model.compile("adam")
    >>> x = np.array([[0, 1, 1], [1, 1, 0]])
    >>> watch = keras_ar.callbacks.ExactValidation(x, num_orderings=2)
    >>> history = model.fit(x, epochs=2, callbacks=[watch], verbose=0).history
    >>> history["val_nats"][-1] == float(-model.score_samples(x, num_orderings=2).astype("float64").mean())
    True
    """

    def __init__(self, x, condition=None, *, every=1, **options):
        super().__init__()
        self.x, self.condition, self.options = x, condition, options
        self.every = arguments.integer(every, "every")
        self._nats = None

    def on_train_begin(self, logs=None):
        if not isinstance(self.model, DensityModel):
            raise ValueError(f"`ExactValidation` is for density models. Received: a {type(self.model).__name__}.")
        self.model.check_event_shape(arguments.array(self.x, "x"))
        self._nats = None

    def on_epoch_end(self, epoch, logs=None):
        if self._nats is None or (epoch + 1) % self.every == 0:
            backend.return_weights(self.model)
            scores = self.model.score_samples(self.x, self.condition, **self.options)
            self._nats = float(-scores.astype("float64").mean())
        if logs is not None:
            logs["val_nats"] = self._nats


class _SampleCallback(keras.callbacks.Callback):
    """What they have in common. A subclass says in `check` which models it is for, and samples in `write`."""

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
        self.model.check_condition(self.condition, self.num_samples, broadcast=True)
        self.model.check_temperature(self.temperature)
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
        """Raises a `ValueError` if this is not a model of such events."""
        raise NotImplementedError

    def write(self, path, epoch):
        """Samples, and writes to a path that has no suffix yet, and to the log."""
        raise NotImplementedError

    def sample(self, method, **kwargs):
        """Calls the model's `sample`, or `write`."""
        if self.temperature != 1.0:
            kwargs["temperature"] = self.temperature
        return method(num_samples=self.num_samples, condition=self.condition, seed=self.seed, **kwargs)

    def refuse(self, expected):
        """Raises a `ValueError` that says which models the callback is for."""
        model = self.model
        shape = f", with event_shape={model.event_shape}" if hasattr(model, "event_shape") else ""
        raise ValueError(
            f"`{type(self).__name__}` is for {expected}. Received: {model.name}, a {type(model).__name__}{shape}."
        )


class SampleImages(_SampleCallback):
    """Writes a grid of sampled images every few epochs, such as `epoch_005.png`. Needs matplotlib.

    For any `DensityModel` whose events are images by their shape.

    Args:
        folder: Path of the folder to write to; it is made if there is none.
        every: Integer, how many epochs there are from one grid to the next. Defaults to `1`.
        num_samples: Integer, how many images to sample. Defaults to `16`.
        condition: As in `model.sample`: one for all, or one for each. Defaults to `None`.
        seed: Integer, the seed of all samples. Defaults to `0`.
        temperature: Float, as in `AutoregressiveModel.sample`. Defaults to `1.0`.
        cmap: String, matplotlib's name of the color map of gray images. Defaults to `"gray"`.
        tensorboard: Path of a folder for a TensorBoard log, to write the grids to as well, or `None`; needs the
            package tensorboard. Defaults to `None`.

    Example:

    ```python
    model.fit(x, epochs=20, callbacks=[keras_ar.callbacks.SampleImages("samples", every=5, tensorboard="logs")])
    ```
    """

    def __init__(self, folder, *, num_samples=16, cmap="gray", **kwargs):
        super().__init__(folder, num_samples=num_samples, **kwargs)
        self.cmap = cmap

    def check(self, model):
        shape = getattr(model, "event_shape", ())
        is_image = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
        if not isinstance(model, DensityModel) or isinstance(model, SequenceModel) or not is_image:
            self.refuse("models of images, (rows, columns), (rows, columns, 1) or (rows, columns, 3)")
        canvas.load_matplotlib()

    def write(self, path, epoch):
        samples = self.sample(self.model.sample)
        ax = plots.images(samples, num_levels=self.model.support.num_levels, cmap=self.cmap, title=f"epoch {epoch}")
        path = path.with_suffix(".png")
        ax.figure.savefig(path)
        if self.log:
            width, height = (round(inches * ax.figure.dpi) for inches in ax.figure.get_size_inches())
            self.log.write_image(self.folder.name, epoch, path.read_bytes(), height, width)
        canvas.close(ax)


class SampleAudio(_SampleCallback):
    """Writes sound every few epochs: `epoch_005.wav`, or `epoch_005_0.wav`, … if there are several samples.

    Args:
        folder: Path of the folder to write to; it is made if there is none.
        rate: Integer, how many values are in a second of sound.
        length: Integer, how many values a sequence has; `None` for `model.event_shape[0]`. Defaults to `None`.
        every: Integer, how many epochs there are from one file to the next. Defaults to `1`.
        num_samples: Integer, how many sequences to sample. Defaults to `1`.
        condition: As in `model.sample`: one for all, or one for each. Defaults to `None`.
        seed: Integer, the seed of all samples. Defaults to `0`.
        temperature: Float, as in `model.sample`. Defaults to `1.0`.
        decode: Function from an array of sampled values to sound from -1 to 1; `None` for
            `keras_ar.sound.to_samples`. Defaults to `None`.
        tensorboard: Path of a folder for a TensorBoard log, to write the sound to as well, or `None`; needs the
            package tensorboard. Defaults to `None`.

    Example:

    ```python
    model.fit(x, epochs=20, callbacks=[keras_ar.callbacks.SampleAudio("samples", rate=16_000, length=32_000)])
    ```
    """

    def __init__(self, folder, *, rate, length=None, decode=None, **kwargs):
        super().__init__(folder, **kwargs)
        self.rate = arguments.integer(rate, "rate")
        self.length = None if length is None else arguments.integer(length, "length")
        self.decode = decode or (lambda values: sound.to_samples(values, self.model.support.num_levels))

    def check(self, model):
        if not isinstance(model, SequenceModel) or model.step_size > 1 or model.vocabulary is not None:
            self.refuse("models of sound: of sequences of single values, such as WaveNet")

    def write(self, path, epoch):
        values = self.sample(self.model.sample, length=self.length)
        for i, samples in enumerate(self.decode(values)):
            suffix = f"_{i}" if len(values) > 1 else ""
            file = path.with_name(f"{path.name}{suffix}.wav")
            sound.write_wav(file, samples, self.rate)
            if self.log:
                self.log.write_audio(f"{self.folder.name}{suffix}", epoch, file.read_bytes(), len(samples), self.rate)


class SampleText(_SampleCallback):
    """Writes text every few epochs, such as `epoch_005.txt`.

    Args:
        folder: Path of the folder to write to; it is made if there is none.
        length: Integer, how many characters a text has, those of the prompt included. Defaults to `500`.
        prompt: String, what each text begins with, or `None`. Defaults to `None`.
        every: Integer, how many epochs there are from one file to the next. Defaults to `1`.
        num_samples: Integer, how many texts to sample; a line of dashes is between them. Defaults to `1`.
        condition: As in `model.sample`: one for all, or one for each. Defaults to `None`.
        seed: Integer, the seed of all samples. Defaults to `0`.
        temperature: Float, as in `model.sample`. Defaults to `1.0`.
        tensorboard: Path of a folder for a TensorBoard log, to write the texts to as well, or `None`; needs the
            package tensorboard. Defaults to `None`.

    Example:

    ```python
    model.fit(x, epochs=20, callbacks=[keras_ar.callbacks.SampleText("samples", prompt="to be", temperature=0.8)])
    ```
    """

    def __init__(self, folder, *, length=500, prompt=None, **kwargs):
        super().__init__(folder, **kwargs)
        self.length = arguments.integer(length, "length")
        self.prompt = prompt

    def check(self, model):
        if getattr(model, "vocabulary", None) is None:
            self.refuse("models of text, which have a vocabulary, such as CharRNN")
        if self.prompt is not None and not 1 <= len(model.vocabulary.encode(self.prompt)) <= self.length:
            raise ValueError(
                f"`prompt` must have 1 to {self.length} characters, the `length` of a text. "
                f"Received {len(self.prompt)}."
            )

    def write(self, path, epoch):
        texts = self.sample(self.model.write, length=self.length, prompt=self.prompt)
        text = f"\n{'-' * 40}\n".join(texts)
        path.with_suffix(".txt").write_text(text, encoding="utf-8")
        if self.log:
            self.log.write_text(self.folder.name, epoch, text)


class _EventFile:
    """A TensorBoard log, by TensorBoard's own protos and record writer, which need no TensorFlow."""

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
        # TensorBoard looks for the beginning of this name; its end is unique.
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
        # TensorBoard reads it as Markdown, in which indented lines stay as they are.
        text = "\n".join(f"    {line}" for line in text.split("\n"))
        self._write(step=step, summary=self._text(tag, text))

    def _write(self, **event):
        self._records.write(self._event(wall_time=time.time(), **event).SerializeToString())
        self._records.flush()  # TensorBoard may be watching

    def close(self):
        self._records.close()
