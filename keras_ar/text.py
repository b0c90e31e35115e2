"""Text as integers, one for each character."""

import numpy as np


class Vocabulary:
    """The characters of a text, each with an integer.

    Args:
        characters: String of different characters; the first one is 0.

    Example:

    >>> vocabulary = keras_ar.text.Vocabulary.of("to be or not to be")
    >>> vocabulary.characters
    ' benort'
    >>> vocabulary.encode("note").tolist()
    [3, 4, 6, 2]
    >>> vocabulary.decode([6, 4, 0, 1, 2])
    'to be'
    """

    def __init__(self, characters):
        if not isinstance(characters, str) or len(characters) < 2 or len(set(characters)) < len(characters):
            raise ValueError(
                f"`characters` must be a string of at least two characters, all different. Received: {characters!r}."
            )
        self.characters = characters
        self._index = {character: i for i, character in enumerate(characters)}

    @classmethod
    def of(cls, text):
        """The vocabulary of all characters in a text, sorted."""
        return cls("".join(sorted(set(text))))

    def __len__(self):
        return len(self.characters)

    def __eq__(self, other):
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __hash__(self):
        return hash(self.characters)

    def __repr__(self):
        return f"Vocabulary({self.characters!r})"

    def encode(self, text):
        """The integers of a text, as an int32 array of shape `(length,)`."""
        try:
            return np.array([self._index[character] for character in text], "int32")
        except KeyError as error:
            (unknown,) = error.args
            raise ValueError(
                f"`text` must be written in the {len(self)} characters of the vocabulary, {self.characters!r}. "
                f"Received {unknown!r}, at position {text.index(unknown)}."
            ) from None

    def decode(self, integers):
        """The text of integers."""
        return "".join(self.characters[i] for i in np.asarray(integers).ravel())

    def windows(self, text, length, step=None):
        """A text cut into sequences of one length, which begin `step` characters after each other.

        By default `step` is the length. Returns an int32 array of shape `(sequences, length)`;
        what is left at the end is dropped.

        >>> keras_ar.text.Vocabulary("ab").windows("abbaab", length=2).tolist()
        [[0, 1], [1, 0], [0, 1]]
        """
        integers = self.encode(text)
        if not 0 < length <= len(integers):
            raise ValueError(f"`length` must be from 1 to {len(integers)}, the length of the text. Received: {length}.")
        return np.lib.stride_tricks.sliding_window_view(integers, length)[:: step or length].copy()
