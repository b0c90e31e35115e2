"""CharRNN: recurrent layers over the characters of a text. https://karpathy.github.io/2015/05/21/rnn-effectiveness/"""

import keras
from keras import ops

from keras_ar import arguments, heads, text
from keras_ar.layers import CausalGRU, CausalLSTM, Pointer
from keras_ar.sequence import SequenceModel

__all__ = ["CharRNN"]

_CELLS = {"lstm": CausalLSTM, "gru": CausalGRU}


@keras.saving.register_keras_serializable(package="keras_ar")
class CharRNN(SequenceModel):
    """Recurrent layers that read a text character by character, and predict the next one.

    Events are arrays of integers; `vocabulary` turns text into integers and back. It is
    saved with the model. The head is `Categorical`, with a level for each character.

    Args:
        event_shape: Integer or tuple, `(length,)`.
        vocabulary: A vocabulary of `keras_ar.text`, or a string of characters.
        units: Integer, number of units of each layer. Defaults to `256`.
        num_layers: Integer, number of recurrent layers. Defaults to `2`.
        embedding_dim: Integer, number of features of a character. Defaults to `64`.
        cell: `"lstm"` or `"gru"`. Defaults to `"lstm"`.
        dropout: Float in [0, 1). Dropout rate after each layer, active in training. Defaults to `0.0`.
        copy_window: Integer, how many steps back a `Pointer` looks for what it may copy, such as a name; `None` for no
            pointer. Defaults to `None`.
        condition_shape: Integer or tuple, `(features,)`, the shape of the condition of one event, or `None`.
            Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.CharRNN(40, vocabulary="abc ", units=8, num_layers=1, embedding_dim=4)
    >>> text = model.write(12, prompt="abba", seed=0)
    >>> len(text), text[:4]
    (12, 'abba')

    Reference:
        [Karpathy, 2015](https://karpathy.github.io/2015/05/21/rnn-effectiveness/); the pointer:
        [Merity et al., 2016](https://arxiv.org/abs/1609.07843).
    """

    def __init__(
        self,
        event_shape,
        *,
        vocabulary,
        units=256,
        num_layers=2,
        embedding_dim=64,
        cell="lstm",
        dropout=0.0,
        copy_window=None,
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        # Check and store.
        vocabulary = text.get(vocabulary)
        head = heads.Categorical(len(vocabulary))
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        self.vocabulary = vocabulary
        self.units = arguments.integer(units, "units")
        self.num_layers = arguments.integer(num_layers, "num_layers")
        self.embedding_dim = arguments.integer(embedding_dim, "embedding_dim")
        self.cell = arguments.one_of(cell, "cell", tuple(_CELLS))
        self.dropout = arguments.rate(dropout, "dropout")
        self.copy_window = None if copy_window is None else arguments.integer(copy_window, "copy_window")

        # Layers. The last entry of the embedding comes before the first character. Keras' default size of an
        # embedding (±0.05) is too small for recurrent layers: the first epoch would only scale it up.
        dtype = {"dtype": self.dtype_policy}
        unit_normal = keras.initializers.RandomNormal(stddev=1.0)
        self.embedding = keras.layers.Embedding(
            len(vocabulary) + 1, self.embedding_dim, unit_normal, name="embedding", **dtype
        )
        self.recurrent = [_CELLS[cell](units, name=f"{cell}_{i}", **dtype) for i in range(num_layers)]
        self.dropout_layer = keras.layers.Dropout(dropout, **dtype)
        self.to_params = keras.layers.Dense(self.head.num_params, name="to_params", **dtype)
        self.pointer = None
        if copy_window is not None:
            self.pointer = Pointer(self.head.num_params, copy_window, name="pointer", **dtype)
        if self.condition_shape:
            self.condition_bias = keras.layers.Dense(embedding_dim, use_bias=False, name="condition_bias", **dtype)

    def call(self, x, condition=None, training=None):
        h = self._embed(x)  # (batch, length, features)
        if condition is not None:
            h = h + ops.expand_dims(self.condition_bias(condition), 1)
        outputs = []
        for layer in self.recurrent:
            outputs.append(layer(h))
            h = self.dropout_layer(outputs[-1], training=training)
        params = self.to_params(h)
        return params if self.pointer is None else self.pointer(params, ops.concatenate(outputs, axis=-1), x)

    def _embed(self, x):
        """Features of the character before each."""
        before = ops.pad(ops.cast(x[:, :-1], "int32"), [[0, 0], [1, 0]], constant_values=len(self.vocabulary))
        return self.embedding(before)

    # One character at a time.

    def prepare(self, condition=None):
        constants = {"recurrent": [layer.prepare() for layer in self.recurrent]}
        return constants if condition is None else {**constants, "bias": self.condition_bias(condition)}

    def start(self, batch_size, num_steps):
        state = {"recurrent": [layer.start(batch_size, num_steps) for layer in self.recurrent]}
        return state if self.pointer is None else {**state, "pointer": self.pointer.start(batch_size, num_steps)}

    def step(self, constants, state, t, previous):
        h = self.embedding(ops.where(t > 0, ops.cast(previous, "int32"), len(self.vocabulary)))  # (batch, features)
        h, outputs, states = h + constants["bias"] if "bias" in constants else h, [], []
        for layer, *carried in zip(self.recurrent, constants["recurrent"], state["recurrent"], strict=True):
            h, layer_state = layer.step(*carried, t, h)
            outputs.append(h)
            states.append(layer_state)
        params, state = self.to_params(h), {**state, "recurrent": states}
        if self.pointer is not None:
            features = ops.concatenate(outputs, axis=-1)
            params, state["pointer"] = self.pointer.step(state["pointer"], t, params, features, previous)
        return params, state

    def prefill(self, constants, state, values):
        h = self._embed(values)  # (batch, steps, features)
        h, outputs, states = h + ops.expand_dims(constants["bias"], 1) if "bias" in constants else h, [], []
        for layer, *carried in zip(self.recurrent, constants["recurrent"], state["recurrent"], strict=True):
            h, layer_state = layer.prefill(*carried, h)
            outputs.append(h)
            states.append(layer_state)
        params, state = self.to_params(h), {**state, "recurrent": states}
        if self.pointer is not None:
            features = ops.concatenate(outputs, axis=-1)
            params, state["pointer"] = self.pointer.prefill(state["pointer"], params, features, values)
        return params, state

    def get_config(self):
        config = super().get_config()
        del config["head"]  # it follows from the vocabulary
        return {
            **config,
            "vocabulary": text.serialize(self.vocabulary),
            "units": self.units,
            "num_layers": self.num_layers,
            "embedding_dim": self.embedding_dim,
            "cell": self.cell,
            "dropout": self.dropout,
            "copy_window": self.copy_window,
        }
