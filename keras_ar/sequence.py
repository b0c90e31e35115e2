"""SequenceModel: events are sequences of any length, and go on where they were left."""

import math

import numpy as np
from keras import ops, tree

from keras_ar import arguments, decoding, noise
from keras_ar.autoregressive import AutoregressiveModel

_PIECE = 1000  # steps of a compiled loop: however long a sequence is, nothing is compiled anew


class SequenceModel(AutoregressiveModel):
    """A model of sequences, whose weights do not depend on how long they are.

    `event_shape` begins with the length of a draw that is asked for nothing else;
    what is scored, trained on or completed may have any. A subclass implements,
    besides `call`, `start` and `step`,

    - `prime(prompt, condition=None) -> state`: the state behind the steps that have
      drawn `prompt`, of shape `(batch, steps, ...)`, by one pass over all of it.

    A condition is a vector (or a class). Where the subclass says `takes_rows = True`, it may have a
    row of features for every so many steps: `condition_shape=(rows, features)`, where the length is a
    multiple of the rows. Then a sequence may be as long as its condition lasts.

    Args:
        event_shape: `(length,)`, or `(length, ...)` with what the head draws together.
        head: Name, instance, class or config of a head.
        condition_shape: Shape of the condition of one event, or `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.WaveNet(event_shape=(32,), filters=4, dilations=(1, 2))
    >>> model.sample(2, length=50, seed=0).shape
    (2, 50)
    >>> model.score_samples(np.zeros((2, 40))).shape
    (2,)
    """

    takes_rows = False

    def __init__(self, event_shape, *, head="bernoulli", condition_shape=None, **kwargs):
        super().__init__(event_shape, head=head, condition_shape=condition_shape, **kwargs)
        if len(self.position_shape) != 1:
            raise ValueError(
                f"`event_shape` must be that of a sequence, (length,) and what the head draws together. "
                f"Received: event_shape={event_shape!r}, with {self.head}."
            )
        self.steps_per_row = None  # of the condition, if it has rows
        if self.condition_shape and len(self.condition_shape) > 1 + self.takes_rows:
            rows = ", or (rows, features) with a row for every so many steps" if self.takes_rows else ""
            raise ValueError(
                f"`condition_shape` must be (features,){rows}. Received: condition_shape={condition_shape!r}."
            )
        if self.condition_shape and len(self.condition_shape) == 2:
            rows, _ = self.condition_shape
            arguments.multiple(self.num_steps, "event_shape[0]", rows, "condition_shape[0]")
            self.steps_per_row = self.num_steps // rows

    def prime(self, prompt, condition=None):
        """State behind the steps that have drawn `prompt`, which has one step at least."""
        raise NotImplementedError

    # Any length will do.

    @property
    def data_shape(self):
        return (None, *self.event_shape[1:])

    @property
    def condition_data_shape(self):
        return (None, self.condition_shape[1]) if self.steps_per_row else self.condition_shape

    def to_steps(self, x, values_in=True):
        inner = self.head.event_shape if values_in else (self.head.num_params,)
        return ops.reshape(x, (-1, _length(x), *inner))

    def from_steps(self, x):
        return x

    def encode_steps(self, x):
        return ops.reshape(self.head.encode(x), (-1, _length(x), self.step_size))

    def check_lasts(self, condition, num_steps):
        """Raises a `ValueError` unless the condition, if it has rows, has enough of them for so many steps."""
        if self.steps_per_row and num_steps is not None and condition.shape[1] * self.steps_per_row < num_steps:
            raise ValueError(
                f"`condition` must have a row for every {self.steps_per_row} steps, "
                f"{math.ceil(num_steps / self.steps_per_row)} for {num_steps} steps. "
                f"Received {condition.shape[1]} rows."
            )

    def _place(self, step):
        return f"x[{step}]"

    # Draws.

    def sample(self, num_samples=1, condition=None, *, length=None, prompt=None, **kwargs):
        """Draws sequences; more is said in `AutoregressiveModel.sample`.

        Args:
            num_samples: How many sequences to draw.
            condition: As in `AutoregressiveModel.sample`.
            length: How many steps a sequence has, those of the prompt among them;
                `event_shape[0]` by default.
            prompt: How the sequences begin: an array of shape `(steps, ...)` for all, or
                `(num_samples, steps, ...)`. A single pass takes it in.
            **kwargs: `method`, `temperature`, `top_k`, `top_p`, `seed`, `batch_size`,
                `return_log_prob` (of what comes behind the prompt) and `verbose`.

        Returns:
            Array of shape `(num_samples, length, ...)`; with `return_log_prob=True` the
            pair of it and the log-probabilities.

        Example:

        >>> model = keras_ar.models.WaveNet(event_shape=(32,), filters=4, dilations=(1, 2))
        >>> model.sample(2, length=40, prompt=[0, 1, 1], seed=0)[:, :3].tolist()
        [[0, 1, 1], [0, 1, 1]]
        """
        length = self.num_steps if length is None else arguments.integer(length, "length")
        if prompt is None:
            return super().sample(num_samples, condition, num_steps=length, **kwargs)
        prompt = self._check_prompt(prompt, arguments.integer(num_samples, "num_samples"), most=length)
        missing = np.zeros((num_samples, length - prompt.shape[1], *prompt.shape[2:]), prompt.dtype)
        x = np.concatenate([prompt, missing], axis=1)
        known = np.broadcast_to(
            np.reshape(np.arange(length) < prompt.shape[1], (-1, *(1 for _ in x.shape[2:]))), x.shape[1:]
        )
        return self.complete(x, known, condition, **kwargs)

    def _check_prompt(self, prompt, num_samples, most=math.inf):
        """The prompt of each of the sequences."""
        prompt = np.asarray(prompt)
        if prompt.ndim == len(self.event_shape):
            prompt = np.broadcast_to(prompt, (num_samples, *prompt.shape))
        shape = tuple(prompt.shape)
        if len(shape) != 1 + len(self.event_shape) or shape[0] != num_samples or shape[2:] != self.event_shape[1:]:
            one = ", ".join(["steps", *map(str, self.event_shape[1:])])
            raise ValueError(
                f"`prompt` must have shape ({one}), or ({num_samples}, {one}). Received: prompt.shape={shape}."
            )
        if not 1 <= shape[1] <= most:
            raise ValueError(
                f"`prompt` must have 1 to {most} steps, the `length` that is asked for. Received {shape[1]}."
            )
        self.head.check(prompt, "prompt")
        return prompt

    def stream(
        self,
        num_samples=1,
        condition=None,
        *,
        chunk=1000,
        prompt=None,
        seed=None,
        temperature=1.0,
        top_k=None,
        top_p=None,
        return_log_prob=False,
        state=None,
    ):
        """Draws sequences without end, some steps at a time: an iterator, in bounded memory.

        What comes is what `sample` draws for the same seed, all in one batch. A condition
        with rows ends the stream where it ends. The stream's `state` is a nest of NumPy
        arrays, without the model's weights; another one that is given it goes on from there.

        Args:
            num_samples: How many sequences to draw, side by side.
            condition: As in `sample`.
            chunk: How many steps come at a time.
            prompt: How the sequences begin, as in `sample`; it is not among what comes.
            seed: As in `sample`.
            temperature: As in `sample`.
            top_k: As in `sample`.
            top_p: As in `sample`.
            return_log_prob: Whether to give, with each chunk, the log-probabilities
                with which the steps up to its end were drawn.
            state: That of an earlier stream, which had the same `num_samples` and condition.

        Returns:
            A `Stream`: an iterator over arrays of shape `(num_samples, chunk, ...)`.

        Example:

        >>> model = keras_ar.models.WaveNet(event_shape=(32,), filters=4, dilations=(1, 2))
        >>> stream = model.stream(chunk=10, seed=0)
        >>> first, second = next(stream), next(stream)
        >>> bool((np.concatenate([first, second], axis=1) == model.sample(1, length=20, seed=0)).all())
        True
        """
        arguments.integer(num_samples, "num_samples")
        condition = self._check_condition(condition, num_samples, broadcast=True)
        if state is None:
            state = {"seed": noise.check_seed(seed), "position": 0, "carry": None}
        elif prompt is not None or seed is not None:
            raise ValueError("`state` must come without `prompt` and `seed`: it knows how the sequences began.")
        stream = Stream(
            self,
            state,
            num_samples,
            condition,
            arguments.integer(chunk, "chunk"),
            self._check_shaping(temperature, top_k, top_p),
            return_log_prob,
        )
        if prompt is not None:
            stream._begin_with(self._check_prompt(prompt, num_samples).astype(self.head.dtype))
        return stream

    def _sample_batch(self, seed, first_event, batch_size, condition, *args, num_steps=None, **options):
        if condition:
            self.check_lasts(condition[0], num_steps or self.num_steps)
        return super()._sample_batch(seed, first_event, batch_size, condition, *args, num_steps=num_steps, **options)

    def _begin(self, method, uniforms, condition, known, num_given):
        if method != "stepwise" or num_given == 0:
            return super()._begin(method, uniforms, condition, known, num_given)
        first = known[0][:num_given]
        carry = decoding.compiled(self, decoding.resume)(np.swapaxes(first, 0, 1), *condition)
        return [first], num_given, carry

    def _length_of_pieces(self, num_steps, progress):
        return min(num_steps, _PIECE)

    def get_config(self):
        config = super().get_config()
        del config["ordering"]  # time goes one way
        return config


class Stream:
    """Sequences that come a chunk at a time; `SequenceModel.stream` makes it."""

    def __init__(self, model, state, num_samples, condition, chunk, shaping, return_log_prob):
        self._model, self._num_samples, self._condition = model, num_samples, condition
        self._chunk, self._shaping, self._return_log_prob = chunk, shaping, return_log_prob
        self._seed, self._position, self._carry = state["seed"], state["position"], state["carry"]
        if self._carry is not None:
            self._carry = tree.map_structure(_restored, self._start(), self._carry)
        self._last = math.inf
        if model.steps_per_row:
            self._last = condition[0].shape[1] * model.steps_per_row

    def _start(self):
        """What the drawing carries before the first step: what the model makes of its weights is among it."""
        uniforms = np.zeros((self._chunk, self._num_samples, self._model.head.num_uniforms), "float32")
        return decoding.compiled(self._model, decoding.begin, "stepwise")(uniforms, *self._condition)

    def _begin_with(self, prompt):
        self._carry = decoding.compiled(self._model, decoding.resume)(prompt, *self._condition)
        self._position = prompt.shape[1]

    def __iter__(self):
        return self

    def __next__(self):
        model, first = self._model, self._position
        count = min(self._chunk, self._last - first)
        if count <= 0:
            raise StopIteration
        num_uniforms = model.head.num_uniforms
        uniforms = noise.uniforms(self._seed, 0, self._num_samples, self._chunk, num_uniforms, first_step=first)
        if self._carry is None:
            self._carry = self._start()
        advance = decoding.compiled(model, decoding.advance, "stepwise")
        values, self._carry = advance(self._carry, first, first + count, [uniforms], self._shaping)
        self._position = first + count
        chunk = np.swapaxes(ops.convert_to_numpy(values)[:count], 0, 1)
        return (chunk, ops.convert_to_numpy(self._carry["log_prob"])) if self._return_log_prob else chunk

    @property
    def state(self):
        """What another stream needs to go on from here: a nest of NumPy arrays and integers.

        What still is as it was before the first step is `None`: the other stream makes it anew.
        """
        carry = self._carry
        if carry is not None:
            found, start = (tree.map_structure(ops.convert_to_numpy, nest) for nest in (carry, self._start()))
            carry = tree.map_structure(lambda now, then: None if np.array_equal(now, then) else now, found, start)
        return {"seed": self._seed, "position": self._position, "carry": carry}


def _restored(start, kept):
    """An array of a stream's state, or what stands for it before the first step."""
    if kept is None:
        return start
    if tuple(kept.shape) != tuple(start.shape):
        raise ValueError(
            "`state` must be that of a stream of the same model with the same `num_samples` and condition. "
            f"Received an array of shape {tuple(kept.shape)} in place of {tuple(start.shape)}."
        )
    return kept


def _length(x):
    return ops.shape(x)[1] if x.shape[1] is None else x.shape[1]
