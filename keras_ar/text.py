"""Text as arrays of integers: one for each character, each byte, or each token of a vocabulary that was learned."""

from typing import Any

import numpy as np

from keras_ar import arguments

__all__ = ["BaseVocabulary", "BytePairVocabulary", "ByteVocabulary", "Vocabulary", "get", "serialize"]


class BaseVocabulary:
    """Base of vocabularies: turns text into integers and back.

    A subclass writes `__len__`, `encode` and `decode`, and `get_config`: the arguments to make it anew.

    Example:

    >>> class Bits(keras_ar.text.BaseVocabulary):
    ...     def __len__(self):
    ...         return 2
    ...     def encode(self, text):
    ...         return np.array([int(character) for character in text], "int32")
    ...     def decode(self, integers):
    ...         return "".join(str(i) for i in self.checked(integers))
    >>> Bits().windows("011000", length=3).tolist()
    [[0, 1, 1], [0, 0, 0]]
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"A vocabulary must have a length. {type(self).__name__} has none.")

    def encode(self, text: str) -> np.ndarray:
        """A text as integers: an int32 array of shape `(length,)`."""
        raise NotImplementedError(f"A vocabulary must have `encode`. {type(self).__name__} has none.")

    def decode(self, integers: Any) -> str:
        """Integers, an array of any shape, as a text."""
        raise NotImplementedError(f"A vocabulary must have `decode`. {type(self).__name__} has none.")

    def get_config(self) -> dict[str, Any]:
        """The arguments to make the vocabulary anew."""
        return {}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.get_config() == other.get_config()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(repr(self.get_config()))

    def checked(self, integers: Any) -> list[int]:
        """Integers as a list; a `ValueError` if one of them is no token."""
        integers = arguments.array(integers, "integers").ravel()
        expected = f"`integers` must hold integers from 0 to {len(self) - 1}"
        if integers.size and integers.dtype.kind not in "iu":
            raise ValueError(f"{expected}. Received: integers.dtype={integers.dtype}.")
        if (wrong := integers[(integers < 0) | (integers >= len(self))]).size:
            raise ValueError(f"{expected}. Received {wrong[0]}.")
        return integers.tolist()

    def windows(self, text: str, length: int, step: int | None = None) -> np.ndarray:
        """A text cut into sequences of one length; what is left at the end is dropped.

        Args:
            text: String.
            length: Integer, how many tokens a sequence has.
            step: Integer, how many tokens after one sequence the next one begins; `None` for the
                length. Defaults to `None`.

        Returns:
            int32 array of shape `(sequences, length)`.

        Example:

        >>> keras_ar.text.Vocabulary("ab").windows("abbaab", length=2).tolist()
        [[0, 1], [1, 0], [0, 1]]
        """
        integers = self.encode(text)
        length = arguments.integer(length, "length")
        step = length if step is None else arguments.integer(step, "step")
        if length > len(integers):
            raise ValueError(
                f"`length` must be at most {len(integers)}, the length of the text. Received: length={length}."
            )
        return np.lib.stride_tricks.sliding_window_view(integers, length)[::step].copy()


class Vocabulary(BaseVocabulary):
    """The characters of a text, each with an integer.

    Args:
        characters: String of at least two characters, all different; the first one is 0.

    Example:

    >>> vocabulary = keras_ar.text.Vocabulary.of("to be or not to be")
    >>> vocabulary.characters
    ' benort'
    >>> vocabulary.encode("note").tolist()
    [3, 4, 6, 2]
    >>> vocabulary.decode([6, 4, 0, 1, 2])
    'to be'
    """

    def __init__(self, characters: str):
        if not isinstance(characters, str) or len(characters) < 2 or len(set(characters)) < len(characters):
            raise ValueError(
                f"`characters` must be a string of at least two characters, all different. Received: {characters!r}."
            )
        self.characters = characters
        # Integers by code point; the last entry stands for all code points above.
        points = _code_points(characters)
        self._table = np.full(points.max() + 2, -1, "int32")
        self._table[points] = np.arange(len(points))

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """The vocabulary of all characters in a text, in sorted order."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters)

    def get_config(self) -> dict[str, Any]:
        return {"characters": self.characters}

    def __repr__(self) -> str:
        return f"Vocabulary({self.characters!r})"

    def encode(self, text: str) -> np.ndarray:
        """A text as integers: an int32 array of shape `(length,)`."""
        found = self._table[np.minimum(_code_points(text), len(self._table) - 1)]
        if (found < 0).any():
            position = int((found < 0).argmax())
            raise ValueError(
                f"`text` must be written in the {len(self)} characters of the vocabulary, {self.characters!r}. "
                f"Received {text[position]!r}, at position {position}."
            )
        return found

    def decode(self, integers: Any) -> str:
        """Integers, an array of any shape, as a text."""
        return "".join(self.characters[i] for i in self.checked(integers))


def _code_points(text):
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


class ByteVocabulary(BaseVocabulary):
    """The 256 bytes of UTF-8: any text at all.

    What is not UTF-8 is decoded to the sign for an unknown character: a model may draw half of one.

    Example:

    >>> keras_ar.text.ByteVocabulary().encode("né").tolist()
    [110, 195, 169]
    """

    def __len__(self) -> int:
        return 256

    def __repr__(self) -> str:
        return "ByteVocabulary()"

    def encode(self, text: str) -> np.ndarray:
        """A text as bytes: an int32 array."""
        return np.frombuffer(text.encode(), "uint8").astype("int32")

    def decode(self, integers: Any) -> str:
        """Bytes, an array of any shape, as a text."""
        return bytes(self.checked(integers)).decode(errors="replace")


class BytePairVocabulary(BaseVocabulary):
    """Pieces of words that are frequent in a text, learned by the package `tokenizers`: `pip install keras-ar[text]`.

    The pieces are made of bytes, so that any text can be encoded. `BytePairVocabulary.of` learns them.

    Args:
        tokenizer: String, the JSON of a tokenizer of that package.

    Example:

    >>> vocabulary = keras_ar.text.BytePairVocabulary.of("low lower lowest " * 50, size=262)
    >>> vocabulary.decode(vocabulary.encode("lower"))
    'lower'
    >>> len(vocabulary.encode("lower")), len(vocabulary)
    (3, 262)

    Reference:
        [Sennrich et al., 2016](https://arxiv.org/abs/1508.07909).
    """

    def __init__(self, tokenizer: str):
        self._tokenizer = _tokenizers().Tokenizer.from_str(tokenizer)
        self.tokenizer = tokenizer

    @classmethod
    def of(cls, text: str, size: int, special: tuple[str, ...] = ()) -> "BytePairVocabulary":
        """Learns a vocabulary.

        Args:
            text: String to learn from.
            size: Integer, how many tokens; at least 257 and the special ones.
            special: Tuple of strings, each of which is one token whatever surrounds it, such as `"<stop>"`: the first
                tokens. Defaults to `()`.
        """
        library = _tokenizers()
        least = 257 + len(special)
        if arguments.integer(size, "size") < least:
            raise ValueError(f"`size` must be at least {least}: all bytes, and one more. Received: size={size}.")
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=size,
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=list(special),
            show_progress=False,
        )
        tokenizer.train_from_iterator([text], trainer)
        return cls(tokenizer.to_str())

    def get_config(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer}

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def __repr__(self) -> str:
        return f"BytePairVocabulary of {len(self)} tokens"

    def encode(self, text: str) -> np.ndarray:
        """A text as tokens: an int32 array."""
        return np.array(self._tokenizer.encode(text).ids, "int32")

    def decode(self, integers: Any) -> str:
        """Tokens, an array of any shape, as a text."""
        return self._tokenizer.decode(self.checked(integers), skip_special_tokens=False)


def get(vocabulary: Any) -> BaseVocabulary:
    """A vocabulary, from itself, a string of its characters, or its config.

    Example:

    >>> keras_ar.text.get("abc")
    Vocabulary('abc')
    """
    if isinstance(vocabulary, BaseVocabulary):
        return vocabulary
    if isinstance(vocabulary, dict) and vocabulary.get("class_name") in _CLASSES:
        return _CLASSES[vocabulary["class_name"]](**vocabulary["config"])
    if isinstance(vocabulary, str):
        return Vocabulary(vocabulary)
    raise ValueError(
        f"`vocabulary` must be a vocabulary of keras_ar.text, or a string of characters. Received: {vocabulary!r}."
    )


def serialize(vocabulary: BaseVocabulary | None) -> Any:
    """What `get` makes a vocabulary of: a string of characters, or a config; `None` stays what it is.

    Example:

    >>> keras_ar.text.serialize(keras_ar.text.Vocabulary("abc"))
    'abc'
    """
    if vocabulary is None:
        return None
    if type(vocabulary) is Vocabulary:
        return vocabulary.characters
    name = type(vocabulary).__name__
    if _CLASSES.get(name) is not type(vocabulary):
        raise ValueError(f"`vocabulary` must be one of keras_ar.text to be saved. Received: {vocabulary!r}.")
    return {"class_name": name, "config": vocabulary.get_config()}


_CLASSES: dict[str, type[BaseVocabulary]] = {c.__name__: c for c in (ByteVocabulary, BytePairVocabulary)}


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError("A BytePairVocabulary needs the package tokenizers: pip install keras-ar[text].") from error
    return tokenizers
