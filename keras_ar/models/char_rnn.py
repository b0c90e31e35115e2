"""CharRNN: recurrent layers over the characters of a text. https://karpathy.github.io/2015/05/21/rnn-effectiveness/"""

import keras
from keras import ops

from keras_ar import arguments, heads
from keras_ar.layers import CausalGRU, CausalLSTM
from keras_ar.sequence import SequenceModel
from keras_ar.text import Vocabulary

_CELLS = {"lstm": CausalLSTM, "gru": CausalGRU}


@keras.saving.register_keras_serializable(package="keras_ar")
class CharRNN(SequenceModel):
    """Recurrent layers that read a text character by character, and say what comes next.

    Events are arrays of integers, which `vocabulary` makes of text and back. It is
    saved with the model.

    Args:
        event_shape: `(length,)`.
        vocabulary: A `keras_ar.text.Vocabulary`, or a string of its characters.
        embedding: Number of features of a character.
        units: Number of units of each layer.
        num_layers: Number of recurrent layers.
        cell: `"lstm"` or `"gru"`.
        dropout: Rate of dropout behind each layer, in training.
        condition_shape: Shape of the condition of one event, `(features,)`, or `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.CharRNN(40, vocabulary="abc ", embedding=4, units=8, num_layers=1)
    >>> text = model.write(12, prompt="abba", seed=0)
    >>> len(text), text[:4]
    (12, 'abba')
    """

    def __init__(
        self,
        event_shape,
        *,
        vocabulary,
        embedding=64,
        units=256,
        num_layers=2,
        cell="lstm",
        dropout=0.0,
        condition_shape=None,
        **kwargs,
    ):
        self.vocabulary = vocabulary if isinstance(vocabulary, Vocabulary) else Vocabulary(vocabulary)
        head = heads.Categorical(len(self.vocabulary))
        super().__init__(event_shape, head=head, condition_shape=condition_shape, **kwargs)
        if cell not in _CELLS:
            raise ValueError(f"`cell` must be 'lstm' or 'gru'. Received: cell={cell!r}.")
        self.embedding = arguments.integer(embedding, "embedding")
        self.units = arguments.integer(units, "units")
        self.num_layers = arguments.integer(num_layers, "num_layers")
        self.cell = cell
        self.rate = arguments.number(dropout, "dropout")

        dtype = {"dtype": self.dtype_policy}
        # One more than there are characters: what stands before the first. Of the size that recurrent layers
        # expect: with Keras' own, at most a twentieth, the first pass over a text only makes them larger.
        self.embed = keras.layers.Embedding(
            len(self.vocabulary) + 1, embedding, keras.initializers.RandomNormal(stddev=1.0), name="embed", **dtype
        )
        if self.condition_shape:
            self.from_condition = keras.layers.Dense(embedding, use_bias=False, name="condition", **dtype)
        self.recurrent = [_CELLS[cell](units, name=f"{cell}_{i}", **dtype) for i in range(num_layers)]
        self.dropout = keras.layers.Dropout(dropout, **dtype)
        self.to_params = keras.layers.Dense(self.head.num_params, name="to_params", **dtype)

    def call(self, x, condition=None, training=None):
        h = self._embedded(x, condition)
        for layer in self.recurrent:
            h = self.dropout(layer(h), training=training)
        return self.to_params(h)

    def _embedded(self, x, condition):
        """Features of the character before each, `(batch, length, embedding)`."""
        before = ops.pad(ops.cast(x[:, :-1], "int32"), [[0, 0], [1, 0]], constant_values=len(self.vocabulary))
        h = self.embed(before)
        return h if condition is None else h + ops.expand_dims(self.from_condition(condition), 1)

    def start(self, batch_size, condition=None):
        return self._state([layer.start(batch_size) for layer in self.recurrent], condition)

    def _state(self, states, condition):
        told = () if condition is None else (self.from_condition(condition),)
        return {"recurrent": states, "told": told}

    def step(self, state, t, previous):
        h = self.embed(ops.where(t > 0, ops.cast(previous, "int32"), len(self.vocabulary)))
        for told in state["told"]:
            h = h + told
        states = []
        for layer, layer_state in zip(self.recurrent, state["recurrent"], strict=True):
            h, layer_state = layer.step(layer_state, h, t)
            states.append(layer_state)
        return self.to_params(h), {**state, "recurrent": states}

    def prime(self, prompt, condition=None):
        h, states = self._embedded(prompt, condition), []
        for layer in self.recurrent:
            h, state = layer.run(h)
            states.append(list(state))
        return self._state(states, condition)

    def write(self, length, prompt=None, **kwargs):
        """Draws a text: `sample`, in characters.

        Args:
            length: How many characters, those of the prompt among them.
            prompt: Text that it begins with.
            **kwargs: What `sample` takes besides.

        Returns:
            A string; with `num_samples` among the arguments a list of so many.
        """
        if prompt is not None:
            prompt = self.vocabulary.encode(prompt)
        texts = [self.vocabulary.decode(row) for row in self.sample(length=length, prompt=prompt, **kwargs)]
        return texts if "num_samples" in kwargs else texts[0]

    def get_config(self):
        config = super().get_config()
        del config["head"]  # it follows from the vocabulary
        return {
            **config,
            "vocabulary": self.vocabulary.characters,
            "embedding": self.embedding,
            "units": self.units,
            "num_layers": self.num_layers,
            "cell": self.cell,
            "dropout": self.rate,
        }
