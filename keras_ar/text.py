"""Text as arrays of integers, one for each character."""

from typing import Any

import numpy as np

from keras_ar import arguments

__all__ = ["Vocabulary"]


class Vocabulary:
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
        self._index = {character: i for i, character in enumerate(characters)}

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """The vocabulary of all characters in a text, in sorted order."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        return f"Vocabulary({self.characters!r})"

    def encode(self, text: str) -> np.ndarray:
        """A text as integers: an int32 array of shape `(length,)`."""
        try:
            return np.array([self._index[character] for character in text], "int32")
        except KeyError as error:
            (unknown,) = error.args
            raise ValueError(
                f"`text` must be written in the {len(self)} characters of the vocabulary, {self.characters!r}. "
                f"Received {unknown!r}, at position {text.index(unknown)}."
            ) from None

    def decode(self, integers: Any) -> str:
        """Integers, an array of any shape, as a text."""
        integers = arguments.array(integers, "integers").ravel()
        expected = f"`integers` must hold integers from 0 to {len(self) - 1}"
        if integers.size and integers.dtype.kind not in "iu":
            raise ValueError(f"{expected}. Received: integers.dtype={integers.dtype}.")
        if (wrong := integers[(integers < 0) | (integers >= len(self))]).size:
            raise ValueError(f"{expected}. Received {wrong[0]}.")
        return "".join(self.characters[i] for i in integers.tolist())

    def windows(self, text: str, length: int, step: int | None = None) -> np.ndarray:
        """A text cut into sequences of one length; what is left at the end is dropped.

        Args:
            text: String.
            length: Integer, how many characters a sequence has.
            step: Integer, how many characters after one sequence the next one begins; `None` for the
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
