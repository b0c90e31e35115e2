"""TransformerDecoder: attention to everything that came before. https://arxiv.org/abs/1706.03762"""

import keras
from keras import ops

from keras_ar import arguments, heads, stops, text
from keras_ar.layers import PositionEmbedding, PositionWise, TransformerBlock
from keras_ar.layers.transformer_block import NORMS
from keras_ar.sequence import SequenceModel

__all__ = ["TransformerDecoder"]

_POSITIONS = ("rotary", "learned", "sinusoidal")


@keras.saving.register_keras_serializable(package="keras_ar")
class TransformerDecoder(SequenceModel):
    """A stack of Transformer blocks that reads a sequence and predicts what comes next: a GPT.

    Sampling keeps the keys and values of earlier steps, so that a step costs what one position costs. With a `window`
    these are rings: a step costs the same however long a sequence has become, and a stream may run without end.

    Args:
        event_shape: Integer or tuple, `(length,)`, or `(length, ...)` with what the head draws together.
        vocabulary: A vocabulary of `keras_ar.text`, or a string of characters, for a model of texts: the head is then
            `Categorical`, with a level for each token. Defaults to `None`.
        units: Integer, number of features of a position. Defaults to `128`.
        num_layers: Integer, number of blocks. Defaults to `4`.
        num_heads: Integer, number of heads of attention. Defaults to `4`.
        mlp_ratio: Number, how many times `units` the hidden units of a block are. Defaults to `4`.
        window: Integer, how many steps a block looks back, its own among them; `None` for all. Defaults to `None`.
        positions: `"rotary"`: attention knows how far back a step lies; `"sinusoidal"`: steps are marked by sines and
            cosines; `"learned"`: by learned vectors, of which there are `event_shape[0]`, so that no sequence may be
            longer. Defaults to `"rotary"`.
        norm: `"layer"` or `"rms"`: which normalization. Defaults to `"layer"`.
        activation: Activation of hidden units. Defaults to `"gelu"`.
        dropout: Float in [0, 1). Dropout rate of attention and after each part, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head. Defaults to `None`: `"bernoulli"`, or what the vocabulary
            asks for.
        stop: Level, or token of the vocabulary, that ends a sequence: all that follows it is the same level, which is
            certain and costs nothing. Defaults to `None`: sequences do not end.
        condition_shape: Integer or tuple, `(features,)`, the shape of the condition of one event, or `None`.
            Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.TransformerDecoder(40, vocabulary="abc ", units=8, num_layers=1, num_heads=2)
    >>> text = model.write(12, prompt="abba", seed=0)
    >>> len(text), text[:4]
    (12, 'abba')

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762);
        [Radford et al., 2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf).
    """

    def __init__(
        self,
        event_shape,
        *,
        vocabulary=None,
        units=128,
        num_layers=4,
        num_heads=4,
        mlp_ratio=4,
        window=None,
        positions="rotary",
        norm="layer",
        activation="gelu",
        dropout=0.0,
        head=None,
        stop=None,
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        # Check and store.
        vocabulary = None if vocabulary is None else text.get(vocabulary)
        if vocabulary is not None and head is not None:
            raise ValueError(
                f"`head` must be None beside a `vocabulary`, which says how many levels. Received: {head!r}."
            )
        if vocabulary is not None:
            head = heads.Categorical(len(vocabulary))
        super().__init__(
            event_shape, head=head or "bernoulli", condition_shape=condition_shape, num_classes=num_classes, **kwargs
        )
        self.vocabulary = vocabulary
        self.units = arguments.integer(units, "units")
        self.num_layers = arguments.integer(num_layers, "num_layers")
        self.num_heads = arguments.integer(num_heads, "num_heads")
        arguments.multiple(self.units, "units", self.num_heads, "num_heads")
        self.mlp_ratio = mlp_ratio
        self.window = window
        self.positions = arguments.one_of(positions, "positions", _POSITIONS)
        self.norm = arguments.one_of(norm, "norm", tuple(NORMS))
        self.activation = keras.activations.get(activation)
        self.dropout = arguments.rate(dropout, "dropout")
        self.stop = self._check_stop(stop)

        # A value as features, a learned vector that stands before the first, and what says which position is which.
        dtype = {"dtype": self.dtype_policy}
        small = keras.initializers.RandomNormal(stddev=0.1)
        if isinstance(self.head, heads.Categorical):
            self.embedding = keras.layers.Embedding(self.head.num_levels, units, small, name="embedding", **dtype)
        else:
            self.embedding = keras.layers.Dense(units, name="embedding", **dtype)
        self.first = self.add_weight((units,), small.clone(), name="first")
        self.position_embedding = None
        if positions != "rotary":
            length = self.event_shape[0] if positions == "learned" else None
            self.position_embedding = PositionEmbedding(length, small.clone(), name="position_embedding", **dtype)
        if self.condition_shape and not self.has_source:
            self.condition_bias = keras.layers.Dense(units, use_bias=False, name="condition_bias", **dtype)
        self.dropout_layer = keras.layers.Dropout(dropout, **dtype)

        # Blocks, and the parameters of the head.
        of_blocks = {
            "mlp_ratio": mlp_ratio,
            "norm": norm,
            "activation": activation,
            "dropout": dropout,
            "positions": "rotary" if positions == "rotary" else None,
        }
        self.blocks = [
            TransformerBlock(num_heads, window=window, name=f"block_{i}", **of_blocks, **dtype)
            for i in range(num_layers)
        ]
        self.norm_of_outputs = PositionWise(NORMS[norm](epsilon=1e-5, name="norm_of_outputs", **dtype))
        self.to_params = keras.layers.Dense(self.head.num_params, name="to_params", **dtype)

    def call(self, x, condition=None, training=None):
        h = self.embed(x)  # (batch, length, units)
        if condition is not None:
            h = h + ops.expand_dims(self.condition_bias(condition), 1)
        h = self.dropout_layer(h, training=training)
        for block in self.blocks:
            h = block(h, training=training)
        return self.params_from(h, x)

    def embed(self, x):
        """Features of what comes before each step, and of its position."""
        h = self._features(x[:, :-1])
        first = ops.broadcast_to(ops.cast(self.first, h.dtype), (ops.shape(h)[0], 1, self.units))
        h = ops.concatenate([first, h], axis=1)
        return h if self.position_embedding is None else self.position_embedding(h)

    def _features(self, values):
        if isinstance(self.embedding, keras.layers.Embedding):
            return self.embedding(ops.cast(values, "int32"))
        return self.embedding(self.head.encode_draws(values))

    def params_from(self, h, x):
        """Parameters of the head, from the outputs of the last block."""
        params = self.to_params(self.norm_of_outputs(h))
        return params if self.stop is None else stops.settle(params, stops.ended_before(x, self.stop), self.stop)

    # One step at a time.

    def prepare(self, condition=None):
        constants = {"blocks": [block.prepare() for block in self.blocks]}
        return constants if condition is None else {**constants, "bias": self.condition_bias(condition)}

    def start(self, batch_size, num_steps):
        if self.position_embedding is not None:
            self.position_embedding.start(batch_size, num_steps)
        state = {"blocks": [block.start(batch_size, num_steps) for block in self.blocks]}
        return state if self.stop is None else {**state, "has_ended": ops.zeros((batch_size,), "bool")}

    def step(self, constants, state, t, previous):
        h = self._features(previous)  # (batch, units)
        h = ops.where(t > 0, h, ops.cast(self.first, h.dtype))
        if self.position_embedding is not None:
            h, _ = self.position_embedding.step((), (), t, h)
        h, states = h + constants["bias"] if "bias" in constants else h, []
        for block, of_block, block_state in zip(self.blocks, constants["blocks"], state["blocks"], strict=True):
            h, block_state = block.step(of_block, block_state, t, h)
            states.append(block_state)
        params, state = self.to_params(self.norm_of_outputs.step((), (), t, h)[0]), {**state, "blocks": states}
        if self.stop is None:
            return params, state
        is_stop = ops.logical_and(t > 0, ops.equal(ops.cast(previous, "int32"), self.stop))
        has_ended = ops.logical_or(state["has_ended"], is_stop)
        return stops.settle(params, has_ended, self.stop), {**state, "has_ended": has_ended}

    def prefill(self, constants, state, values):
        h = self.embed(values)  # (batch, steps, units)
        h, states = h + ops.expand_dims(constants["bias"], 1) if "bias" in constants else h, []
        for block, of_block, block_state in zip(self.blocks, constants["blocks"], state["blocks"], strict=True):
            h, block_state = block.prefill(of_block, block_state, h)
            states.append(block_state)
        state = {**state, "blocks": states}
        if self.stop is not None:
            state["has_ended"] = stops.ended_before(values, self.stop)[:, -1]
        return self.params_from(h, values), state

    # Lengths and stops.

    def check_event_shape(self, x, name="x"):
        super().check_event_shape(x, name)
        if self.position_embedding is not None and x.shape[1] is not None:
            self.position_embedding.check_length(x.shape[1], name)

    def check_num_steps(self, num_steps, condition):
        super().check_num_steps(num_steps, condition)
        if self.position_embedding is not None and num_steps is not None:
            self.position_embedding.check_length(num_steps, "length")

    def _check_stop(self, stop):
        if stop is None:
            return None
        if not isinstance(self.head, heads.Categorical):
            raise ValueError(
                f"`stop` must be None unless the head is Categorical. Received: stop={stop!r}, {self.head}."
            )
        if isinstance(stop, str) and self.vocabulary is not None:
            tokens = self.vocabulary.encode(stop)
            if len(tokens) != 1:
                raise ValueError(f"`stop` must be one token of the vocabulary. Received: stop={stop!r}, {len(tokens)}.")
            return int(tokens[0])
        stop = arguments.integer(stop, "stop", least=0)
        if stop >= self.head.num_levels:
            raise ValueError(f"`stop` must be a level, at most {self.head.num_levels - 1}. Received: stop={stop}.")
        return stop

    def is_possible(self, x):
        is_possible = super().is_possible(x)
        if self.stop is None:
            return is_possible
        is_stop = ops.equal(ops.cast(x, "int32"), self.stop)
        return ops.logical_and(is_possible, ops.logical_or(is_stop, ~stops.ended_before(x, self.stop)))

    def random_batch(self, num_events, seed=0):
        events, *condition = super().random_batch(num_events, seed)
        if self.stop is not None:
            has_ended = ops.convert_to_numpy(stops.ended_before(ops.convert_to_tensor(events), self.stop))
            events = events.copy()
            events[has_ended] = self.stop
        return [events, *condition]

    def get_config(self):
        config = super().get_config()
        if self.vocabulary is not None:
            del config["head"]  # it follows from the vocabulary
        return {
            **config,
            "vocabulary": text.serialize(self.vocabulary),
            "units": self.units,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "window": self.window,
            "positions": self.positions,
            "norm": self.norm,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "stop": self.stop,
        }
