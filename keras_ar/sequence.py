"""SequenceModel: events are sequences of any length, which go on from where they were left."""

import math

import numpy as np
from keras import ops, tree

from keras_ar import arguments, backend, beams, decoding, heads, noise, stops
from keras_ar.autoregressive import AutoregressiveModel

__all__ = ["SequenceModel", "Stream"]

_PIECE = 1000  # steps of a compiled loop: however long a sequence is, nothing is compiled anew


class SequenceModel(AutoregressiveModel):
    """A model of sequences, whose weights do not depend on how long they are.

    `event_shape` begins with the default length of a sample; sequences that are scored, trained
    on or completed may have any length. A subclass writes `call`, `prepare`, `start`, `step` and `prefill`.

    A condition is a vector or a class. Where the subclass says `takes_rows = True`, it may have a
    row of features for every few steps (local conditioning): `condition_shape=(rows, features)`, where the
    length is a multiple of the rows. Then a sequence may be as long as its condition lasts.

    Args:
        event_shape: Integer or tuple, `(length,)`, or `(length, ...)` with what the head draws together;
            `heads.Independent` draws several values at each time.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.WaveNet(event_shape=(32,), filters=4, dilations=(1, 2))
    >>> model.sample(2, length=50, seed=0).shape
    (2, 50)
    >>> model.score_samples(np.zeros((2, 40))).shape
    (2,)
    """

    takes_rows = False
    has_source = False  # whether the condition is a sequence of its own length, which the subclass checks
    vocabulary = None  # of the texts that the sequences are
    stop = None  # the level that ends a sequence

    def __init__(self, event_shape, *, head="bernoulli", condition_shape=None, num_classes=None, **kwargs):
        head, shape = heads.get(head), arguments.integers(event_shape, "event_shape")
        if len(shape) == 2 and shape[1] == 1 and not head.event_shape:
            head = heads.Independent(head, 1)
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        if len(self.position_shape) != 1:
            several = f", or heads.Independent({self.head}, {shape[-1]})" if len(shape) == 2 else ""
            raise ValueError(
                f"`event_shape` must be that of a sequence, (length,) and what the head draws together. "
                f"Received: event_shape={event_shape!r}. Take a head of several values{several}."
            )
        if self.head.position_shape is not None:
            raise ValueError(f"`head` must be the same at each step: sequences have any length. Received: {self.head}.")
        self.steps_per_row = None  # of the condition, if it has rows
        if self.has_source:
            return
        if self.condition_shape and len(self.condition_shape) > 1 + self.takes_rows:
            rows = ", or (rows, features) with a row for every few steps" if self.takes_rows else ""
            raise ValueError(
                f"`condition_shape` must be (features,){rows}. Received: condition_shape={condition_shape!r}."
            )
        if self.condition_shape and len(self.condition_shape) == 2:
            rows, _ = self.condition_shape
            arguments.multiple(self.num_steps, "event_shape[0]", rows, "condition_shape[0]")
            self.steps_per_row = self.num_steps // rows

    # Any length will do.

    @property
    def data_shape(self):
        return (None, *self.event_shape[1:])

    @property
    def condition_data_shape(self):
        return (None, self.condition_shape[1]) if self.steps_per_row else super().condition_data_shape

    def to_steps(self, x):
        return ops.reshape(x, (-1, _length(x), *self.head.event_shape))

    def params_to_steps(self, params):
        return params

    def from_steps(self, x):
        return x

    def name_of_step(self, step):
        return f"x[{step}]"

    # Samples.

    def sample(
        self,
        num_samples=1,
        condition=None,
        *,
        length=None,
        prompt=None,
        method="auto",
        temperature=1.0,
        top_k=None,
        top_p=None,
        sampler=None,
        seed=None,
        first_event=0,
        batch_size=None,
        return_log_prob=False,
        verbose=0,
    ):
        """Samples sequences, as `AutoregressiveModel.sample` does, of any length and after any prompt.

        Args:
            num_samples: Integer, how many sequences to sample. Defaults to `1`.
            condition: As in `AutoregressiveModel.sample`.
            length: Integer, how many steps a sequence has, including those of the prompt.
                Defaults to `event_shape[0]`.
            prompt: How the sequences begin: an array of shape `(steps, ...)` for all, or
                `(num_samples, steps, ...)`. One pass computes the state after it. Defaults to `None`.
            method: As in `AutoregressiveModel.sample`.
            temperature: As in `AutoregressiveModel.sample`.
            top_k: As in `AutoregressiveModel.sample`.
            top_p: As in `AutoregressiveModel.sample`.
            sampler: As in `AutoregressiveModel.sample`.
            seed: As in `AutoregressiveModel.sample`.
            first_event: As in `AutoregressiveModel.sample`.
            batch_size: As in `AutoregressiveModel.sample`.
            return_log_prob: Boolean, whether to return the log-probabilities of what comes after the
                prompt, as well. Defaults to `False`.
            verbose: As in `AutoregressiveModel.sample`.

        Returns:
            Array of shape `(num_samples, length, ...)`; with `return_log_prob=True` the
            pair of it and the log-probabilities.

        Example:

        >>> model = keras_ar.models.WaveNet(event_shape=(32,), filters=4, dilations=(1, 2))
        >>> model.sample(2, length=40, prompt=[0, 1, 1], seed=0)[:, :3].tolist()
        [[0, 1, 1], [0, 1, 1]]
        """
        length = self.num_steps if length is None else arguments.integer(length, "length")
        known = None
        if prompt is not None:
            prompt = self._check_prompt(prompt, num_samples, longest=length)
            is_known = np.broadcast_to(np.arange(length) < prompt.shape[1], (len(prompt), length))
            known = [_extended(prompt, length), is_known]
        return self.sample_steps(
            num_samples,
            condition,
            num_steps=length,
            known=known,
            method=method,
            sampling=self.check_sampling(temperature, top_k, top_p),
            sampler=sampler,
            seed=seed,
            first_event=first_event,
            batch_size=batch_size,
            return_log_prob=return_log_prob,
            verbose=verbose,
        )

    def _check_prompt(self, prompt, num_samples, longest=math.inf):
        """The prompt of each of the sequences."""
        num_samples = arguments.integer(num_samples, "num_samples")
        prompt = arguments.array(self.encode_prompt(prompt), "prompt")
        if prompt.ndim == len(self.event_shape):
            prompt = np.broadcast_to(prompt, (num_samples, *prompt.shape))
        shape = tuple(prompt.shape)
        if len(shape) != 1 + len(self.event_shape) or shape[0] != num_samples or shape[2:] != self.event_shape[1:]:
            one = ", ".join(["steps", *map(str, self.event_shape[1:])])
            raise ValueError(
                f"`prompt` must have shape ({one}), or ({num_samples}, {one}). Received: prompt.shape={shape}."
            )
        if not 1 <= shape[1] <= longest:
            raise ValueError(
                f"`prompt` must have 1 to {longest} steps, the `length` that is asked for. Received {shape[1]}."
            )
        self.head.check(prompt, "prompt")
        return prompt.astype(self.support.dtype)

    def encode_prompt(self, prompt):
        """A prompt, given as an array or, where there is a vocabulary, as a text, as an array of values."""
        if isinstance(prompt, str):
            return self._needed_vocabulary("prompt", prompt).encode(prompt)
        return prompt

    def _needed_vocabulary(self, name, value):
        if self.vocabulary is None:
            raise ValueError(f"`{name}` must not be text: {self.name} has no vocabulary. Received: {name}={value!r}.")
        return self.vocabulary

    def write(
        self,
        length,
        prompt=None,
        *,
        num_samples=None,
        condition=None,
        method="auto",
        temperature=1.0,
        top_k=None,
        top_p=None,
        sampler=None,
        seed=None,
        first_event=0,
        batch_size=None,
        verbose=0,
    ):
        """Samples texts: `sample`, in the words of the vocabulary. A text ends where it comes to a stop.

        Args:
            length: Integer, how many tokens a text has, with those of the prompt.
            prompt: String that every text begins with. Defaults to `None`.
            num_samples: Integer, how many texts to sample into a list; `None` for one text as
                it is. Defaults to `None`.
            condition: As in `sample`.
            method: As in `sample`.
            temperature: As in `sample`.
            top_k: As in `sample`.
            top_p: As in `sample`.
            sampler: As in `sample`.
            seed: As in `sample`.
            first_event: As in `sample`.
            batch_size: As in `sample`.
            verbose: As in `sample`.

        Returns:
            A string if `num_samples` is `None`, else a list of `num_samples` strings.

        Example:

        >>> model = keras_ar.models.CharRNN(40, vocabulary="abc ", units=8, num_layers=1, embedding_dim=4)
        >>> [text[:4] for text in model.write(12, prompt="abba", num_samples=2, seed=0)]
        ['abba', 'abba']
        """
        if self.vocabulary is None:
            raise ValueError(f"`write` needs a vocabulary. {self.name} has none: take `sample`.")
        samples = self.sample(
            1 if num_samples is None else num_samples,
            condition,
            length=length,
            prompt=prompt,
            method=method,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            sampler=sampler,
            seed=seed,
            first_event=first_event,
            batch_size=batch_size,
            verbose=verbose,
        )
        texts = [self.vocabulary.decode(stops.cut(sample, self.stop)) for sample in samples]
        return texts[0] if num_samples is None else texts

    def search(
        self,
        num_samples=1,
        condition=None,
        *,
        num_beams=4,
        length=None,
        prompt=None,
        length_penalty=0.0,
        all_beams=False,
        return_log_prob=False,
        batch_size=None,
        verbose=0,
    ):
        """Looks for the most probable sequences, by beam search: at each step the best few beginnings are kept.

        With one beam it is greedy, as `sample(temperature=0)`; with as many beams as there are beginnings it is exact.

        Args:
            num_samples: Integer, how many sequences to look for: one for each condition, or prompt. Defaults to `1`.
            condition: As in `sample`.
            num_beams: Integer, how many beginnings are kept. Defaults to `4`.
            length: As in `sample`.
            prompt: As in `sample`.
            length_penalty: Float. In the end, beams are ordered by their log-probability divided by this power of
                their length, up to the stop: above 0 it favors longer ones. Defaults to `0.0`.
            all_beams: Boolean, whether to return all beams, the best first. Defaults to `False`: the best.
            return_log_prob: Boolean, whether to return the log-probabilities, given the prompt, as well. Defaults to
                `False`.
            batch_size: As in `sample`.
            verbose: As in `sample`.

        Returns:
            int32 array of shape `(num_samples, length)`, with `all_beams` `(num_samples, num_beams, length)`; or the
            pair of it and the float32 array of log-probabilities.

        Example:

        >>> model = keras_ar.models.TransformerDecoder(6, units=8, num_layers=1, num_heads=2)
        >>> found, log_probs = model.search(num_beams=64, return_log_prob=True)
        >>> bool(log_probs[0] >= model.score_samples(keras_ar.testing.all_events(model)).max() - 1e-4)
        True
        """
        if not self.steppable or self.head.event_shape or self.support.num_levels is None:
            raise ValueError(
                f"`search` is for models that step through single values with levels. Received: {self.name}."
            )
        num_samples, condition, *_, batch_size = self.check_sample_arguments(num_samples, condition, 0, 0, batch_size)
        arguments.boolean(all_beams, "all_beams")
        arguments.boolean(return_log_prob, "return_log_prob")
        length = self.num_steps if length is None else arguments.integer(length, "length")
        self.check_num_steps(length, condition)
        if prompt is not None:
            prompt = self._check_prompt(prompt, num_samples, longest=length - 1)
        found, log_prob = beams.search(
            self,
            condition,
            num_samples,
            arguments.integer(num_beams, "num_beams"),
            length,
            prompt,
            batch_size,
            verbose,
        )
        penalty = arguments.number(length_penalty, "length_penalty")
        sizes = np.minimum(1 + stops.lengths(found, self.stop), length)
        order = np.argsort(-(log_prob / sizes**penalty), axis=1, kind="stable")[:, : None if all_beams else 1]
        found = np.take_along_axis(found, order[..., None], axis=1).astype(self.support.dtype)
        log_prob = np.take_along_axis(log_prob, order, axis=1)
        if not all_beams:
            found, log_prob = found[:, 0], log_prob[:, 0]
        return (found, log_prob) if return_log_prob else found

    def stream(
        self,
        num_samples=1,
        condition=None,
        *,
        chunk=1000,
        prompt=None,
        temperature=1.0,
        top_k=None,
        top_p=None,
        sampler=None,
        seed=None,
        return_log_prob=False,
        state=None,
    ):
        """Samples sequences without end, a chunk of steps at a time: an iterator, in bounded memory.

        The chunks are what `sample` returns for the same seed, all in one batch. A condition
        with rows ends the stream where it ends. The stream's `state` is a nest of NumPy
        arrays; another stream that is given it goes on from there.

        Args:
            num_samples: Integer, how many sequences to sample, side by side. Defaults to `1`.
            condition: As in `sample`.
            chunk: Integer, how many steps come at a time. Defaults to `1000`.
            prompt: How the sequences begin, as in `sample`; it is not among the chunks. Defaults to `None`.
            temperature: As in `sample`.
            top_k: As in `sample`.
            top_p: As in `sample`.
            sampler: As in `sample`.
            seed: As in `sample`.
            return_log_prob: Boolean, whether to give, with each chunk, the log-probabilities
                with which the steps up to its end were drawn. Defaults to `False`.
            state: State of an earlier stream with the same `num_samples` and condition. Defaults to `None`.

        Returns:
            A `Stream`: an iterator over arrays of shape `(num_samples, chunk, ...)`.

        Example:

        >>> model = keras_ar.models.WaveNet(event_shape=(32,), filters=4, dilations=(1, 2))
        >>> stream = model.stream(chunk=10, seed=0)
        >>> [next(stream).shape for _ in range(3)]
        [(1, 10), (1, 10), (1, 10)]
        """
        num_samples = arguments.integer(num_samples, "num_samples")
        arguments.boolean(return_log_prob, "return_log_prob")
        condition = self.check_condition(condition, num_samples, broadcast=True)
        if state is not None and (prompt is not None or seed is not None):
            raise ValueError(
                f"`state` must come without `prompt` and `seed`: it knows how the sequences began. "
                f"Received: seed={seed!r}, {'no' if prompt is None else 'a'} prompt."
            )
        return Stream(
            self,
            num_samples,
            condition,
            chunk=arguments.integer(chunk, "chunk"),
            sampling=self.check_sampling(temperature, top_k, top_p),
            sampler=self.check_sampler(sampler),
            return_log_prob=return_log_prob,
            seed=noise.check_seed(seed),
            prompt=None if prompt is None else self._check_prompt(prompt, num_samples),
            state=state,
        )

    def check_num_steps(self, num_steps, condition):
        """Raises a `ValueError` if the condition has rows, but too few for `num_steps` steps.

        Args:
            num_steps: Integer, or `None` if it is not known.
            condition: List of one array, or of none.
        """
        if self.steps_per_row and num_steps is not None and condition[0].shape[1] * self.steps_per_row < num_steps:
            raise ValueError(
                f"`condition` must have a row for every {self.steps_per_row} steps, "
                f"{math.ceil(num_steps / self.steps_per_row)} for {num_steps} steps. "
                f"Received {condition[0].shape[1]} rows."
            )

    def piece_length(self, num_steps, progress):
        return min(num_steps, _PIECE)

    def get_config(self):
        config = super().get_config()
        del config["ordering"]  # time goes one way
        return config


class Stream:
    """An iterator over chunks of endless sequences; `SequenceModel.stream` makes it.

    Attributes:
        state: What another stream needs to go on from here: a nest of NumPy arrays and integers.

    Example:

    >>> model = keras_ar.models.WaveNet(event_shape=(32,), filters=4, dilations=(1, 2))
    >>> stream = model.stream(chunk=10, seed=0)
    >>> chunk = next(stream)
    >>> stream.state["position"]
    10
    >>> next(model.stream(chunk=5, state=stream.state)).shape  # the steps from 10 on
    (1, 5)
    """

    def __init__(
        self, model, num_samples, condition, *, chunk, sampling, sampler, return_log_prob, seed, prompt, state
    ):
        self._model, self._num_samples = model, num_samples
        self._chunk, self._sampling, self._return_log_prob = chunk, sampling, return_log_prob
        self._last = condition[0].shape[1] * model.steps_per_row if model.steps_per_row else math.inf
        self._drawing = decoding.Drawing(model, "stepwise", sampler)
        self._constants = self._drawing.prepare(condition)
        self._carry = self._drawing.start(num_samples, None)
        self._seed, self._position = seed, 0
        if prompt is not None:
            model.check_num_steps(prompt.shape[1], condition)
            self._carry = self._drawing.prefill(self._constants, self._carry, np.swapaxes(prompt, 0, 1))
            self._position = prompt.shape[1]
        if state is not None:
            self._restore(state)

    def _restore(self, state):
        names = {"seed", "position", "carry"}
        try:
            if not isinstance(state, dict) or set(state) != names:
                raise ValueError(f"It must be a dictionary of {', '.join(sorted(names))}.")
            tree.assert_same_structure(self._carry, state["carry"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"`state` must be the `state` of a stream of the same model. {error}") from error
        self._seed = noise.check_seed(state["seed"])
        self._position = arguments.integer(state["position"], "position", least=0)
        self._carry = tree.map_structure(_restored, self._carry, state["carry"])

    def __iter__(self):
        return self

    def __next__(self):
        first = self._position
        count = min(self._chunk, self._last - first)
        if count <= 0:
            raise StopIteration
        num_uniforms = self._model.head.num_uniforms
        shape = (count if backend.wants_known_lengths() else self._chunk, num_uniforms)
        uniforms = noise.uniforms(self._seed, 0, self._num_samples, shape, skip=first * num_uniforms).swapaxes(0, 1)
        values, self._carry = self._drawing.advance(
            self._constants, self._carry, first, first + count, [uniforms], self._sampling
        )
        self._position = first + count
        chunk = np.swapaxes(ops.convert_to_numpy(values)[:count], 0, 1)
        return (chunk, ops.convert_to_numpy(self._carry["log_prob"])) if self._return_log_prob else chunk

    @property
    def state(self):
        """What another stream needs to go on from here: a nest of NumPy arrays and integers."""
        carry = tree.map_structure(ops.convert_to_numpy, self._carry)
        return {"seed": self._seed, "position": self._position, "carry": carry}


def _restored(start, kept):
    """An array of a stream's state, checked against the initial one."""
    kept = arguments.array(kept, "state")
    if tuple(kept.shape) != tuple(start.shape):
        raise ValueError(
            "`state` must be that of a stream of the same model with the same `num_samples` and condition. "
            f"Received an array of shape {tuple(kept.shape)} in place of {tuple(start.shape)}."
        )
    return kept


def _extended(prompt, length):
    """A prompt as a whole sequence; what comes after it means nothing."""
    missing = np.zeros((len(prompt), length - prompt.shape[1], *prompt.shape[2:]), prompt.dtype)
    return np.concatenate([prompt, missing], axis=1)


def _length(x):
    return ops.shape(x)[1] if x.shape[1] is None else x.shape[1]
