"""EncoderDecoder: a sequence given another one, of its own length. https://arxiv.org/abs/1706.03762"""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, text
from keras_ar.layers import EncoderBlock, PositionEmbedding, PositionWise
from keras_ar.layers.transformer_block import NORMS
from keras_ar.models.transformer_decoder import TransformerDecoder

__all__ = ["EncoderDecoder"]

_PADDING = -1  # in place of a token; a row of features is NaN


@keras.saving.register_keras_serializable(package="keras_ar")
class EncoderDecoder(TransformerDecoder):
    """A `TransformerDecoder` whose condition is a sequence, the source, which it attends to at every step.

    A source is a sequence of tokens, or of rows of features, of any length. In an array of sources the shorter ones
    are padded, by `-1` or by rows of NaN (`pad_sources` does it), and no padding is seen. The source is encoded once
    for all steps.

    Args:
        event_shape: Integer or tuple, `(length,)`, or `(length, ...)` with what the head draws together.
        condition_shape: Integer or tuple, `(length,)` of a source of tokens, or `(length, features)` of one of rows:
            the length of a usual source. With learned positions none may be longer.
        source_levels: Integer, how many different tokens a source may have. Defaults to `None`: what the vocabulary
            says; a source of rows has none.
        source_vocabulary: A vocabulary of `keras_ar.text`, or a string of characters, for sources that are texts.
            Defaults to `None`.
        num_encoder_layers: Integer, number of blocks of the encoder. Defaults to `None`: as many as `num_layers`.
        **kwargs: Arguments of `TransformerDecoder`: `units`, `num_layers`, `num_heads`, `head`, `vocabulary`, `stop`,
            …; all but `window` hold for both halves.

    Example:

    >>> model = keras_ar.models.EncoderDecoder(
    ...     5, condition_shape=4, source_levels=10, units=8, num_layers=1, num_heads=2,
    ...     head=keras_ar.heads.Categorical(11), stop=10)
    >>> model.sample(2, model.pad_sources([[3, 1], [2, 7, 1, 8]]), seed=0).shape
    (2, 5)

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762).
    """

    has_source = True

    def __init__(
        self,
        event_shape,
        *,
        condition_shape,
        source_levels=None,
        source_vocabulary=None,
        num_encoder_layers=None,
        **kwargs,
    ):
        # Check and store.
        super().__init__(event_shape, condition_shape=condition_shape, **kwargs)
        if len(self.condition_shape) > 2:
            raise ValueError(
                f"`condition_shape` must be (length,) of tokens or (length, features). "
                f"Received: condition_shape={condition_shape!r}."
            )
        self.source_vocabulary = None if source_vocabulary is None else text.get(source_vocabulary)
        self.source_levels = self._check_source_levels(source_levels)
        count = self.num_layers if num_encoder_layers is None else num_encoder_layers
        self.num_encoder_layers = arguments.integer(count, "num_encoder_layers")

        # The encoder.
        dtype = {"dtype": self.dtype_policy}
        small = keras.initializers.RandomNormal(stddev=0.1)
        if self.source_levels is None:
            self.source_embedding = keras.layers.Dense(self.units, name="source_embedding", **dtype)
        else:
            self.source_embedding = keras.layers.Embedding(
                self.source_levels, self.units, small, name="source_embedding", **dtype
            )
        self.source_positions = None
        if self.positions != "rotary":
            length = self.condition_shape[0] if self.positions == "learned" else None
            self.source_positions = PositionEmbedding(length, small.clone(), name="source_positions", **dtype)
        self.encoder = [
            EncoderBlock(
                self.num_heads,
                mlp_ratio=self.mlp_ratio,
                positions="rotary" if self.positions == "rotary" else None,
                norm=self.norm,
                activation=self.activation,
                dropout=self.dropout,
                name=f"encoder_{i}",
                **dtype,
            )
            for i in range(self.num_encoder_layers)
        ]
        self.norm_of_source = PositionWise(NORMS[self.norm](epsilon=1e-5, name="norm_of_source", **dtype))

    def _check_source_levels(self, source_levels):
        if len(self.condition_shape) == 2:
            if source_levels is not None or self.source_vocabulary is not None:
                raise ValueError(
                    f"`source_levels` and `source_vocabulary` must be None where a source has rows of features. "
                    f"Received: condition_shape={self.condition_shape}, source_levels={source_levels!r}."
                )
            return None
        if self.source_vocabulary is not None:
            if source_levels not in (None, len(self.source_vocabulary)):
                raise ValueError(
                    f"`source_levels` must be None, or the length of the vocabulary, {len(self.source_vocabulary)}. "
                    f"Received: source_levels={source_levels!r}."
                )
            return len(self.source_vocabulary)
        if source_levels is None:
            raise ValueError(
                f"`source_levels` must say how many tokens a source may have, or `source_vocabulary`. "
                f"Received: condition_shape={self.condition_shape}, and neither of them."
            )
        return arguments.integer(source_levels, "source_levels")

    def call(self, x, condition=None, training=None):
        source, is_present = self.encode_source(condition, training)
        h = self.dropout_layer(self.embed(x), training=training)  # (batch, length, units)
        for block in self.blocks:
            h = block(h, source, is_present, training=training)
        return self.params_from(h, x)

    def encode_source(self, condition, training=None):
        """What the decoder attends to, `(batch, source length, units)`, and what of it is no padding."""
        if self.source_levels is None:
            is_present = ops.logical_not(ops.any(ops.isnan(condition), axis=-1))
            h = self.source_embedding(ops.where(is_present[..., None], condition, ops.zeros_like(condition)))
        else:
            tokens = ops.cast(condition, "int32")
            is_present = tokens >= 0
            h = self.source_embedding(ops.maximum(tokens, 0))
        if self.source_positions is not None:
            h = self.source_positions(h)
        h = self.dropout_layer(h, training=training)
        for block in self.encoder:
            h = block(h, is_present, training=training)
        return self.norm_of_source(h), is_present

    def attention_to_source(self, x, condition):
        """How much each step attends to each position of the source: for pictures of what goes with what.

        Args:
            x: Tensor of events, `(batch, length, ...)`.
            condition: Tensor of sources.

        Returns:
            float32 tensor of shape `(batch, blocks, heads, length, source length)`.

        Example:

        >>> model = keras_ar.models.EncoderDecoder(
        ...     3, condition_shape=4, source_levels=5, units=8, num_layers=2, num_heads=2)
        >>> weights = model.map_events(model.attention_to_source, *model.random_batch(7))
        >>> weights.shape
        (7, 2, 2, 3, 4)
        """
        x, condition = self.checked_pair(x, condition)
        source = self.encode_source(*self.encode_condition(condition))
        h, found = self.embed(x), []
        for block in self.blocks:
            found.append(block.weights_of_source(h, *source))
            h = block(h, *source)
        return ops.stack(found, axis=1)

    def prepare(self, condition=None):
        source = self.encode_source(condition)
        return {"blocks": [block.prepare(source) for block in self.blocks]}

    # Sources.

    def pad_sources(self, sources):
        """Sources of differing length as one array: of texts, of sequences of tokens, or of rows of features.

        Args:
            sources: List of strings, of sequences of integers, or of arrays of shape `(length, features)`.

        Returns:
            Array of shape `(sources, longest length)`, padded by `-1`, or `(sources, longest length, features)`, padded
            by NaN.

        Example:

        >>> model = keras_ar.models.EncoderDecoder(
        ...     3, condition_shape=4, source_vocabulary="abc", units=4, num_layers=1, num_heads=1)
        >>> model.pad_sources(["cab", "b"]).tolist()
        [[2, 0, 1], [1, -1, -1]]
        """
        if self.source_vocabulary is not None:
            sources = [self.source_vocabulary.encode(each) if isinstance(each, str) else each for each in sources]
        rows = [arguments.array(each, f"sources[{i}]") for i, each in enumerate(sources)]
        shape = (len(rows), max((len(row) for row in rows), default=0), *self.condition_shape[1:])
        found = np.full(shape, np.nan, "float32") if self.source_levels is None else np.full(shape, _PADDING, "int32")
        for i, row in enumerate(rows):
            if row.shape[1:] != found.shape[2:]:
                raise ValueError(
                    f"`sources` must hold sequences of shape (any length{''.join(f', {n}' for n in found.shape[2:])}). "
                    f"Received: sources[{i}].shape={row.shape}."
                )
            found[i, : len(row)] = row
        return found

    @property
    def condition_data_shape(self):
        return (None, *self.condition_shape[1:])

    def condition_text(self):
        if self.source_levels is None:
            return "rows of finite numbers, NaN as a whole for padding"
        return f"tokens from 0 to {self.source_levels - 1}, -1 for padding"

    def check_condition_values(self, array):
        if self.source_positions is not None:
            self.source_positions.check_length(array.shape[1], "condition")
        if self.source_levels is None:
            array = array.astype("float32")
        elif array.dtype.kind not in "iu" and not (array == np.floor(array)).all():
            raise ValueError(f"`condition` must hold {self.condition_text()}. Received: condition.dtype={array.dtype}.")
        is_possible = ops.convert_to_numpy(self._is_possible_source(ops.convert_to_tensor(array)))
        if not is_possible.all():
            place = [int(i) for i in np.argwhere(~is_possible)[0]]
            raise ValueError(
                f"`condition` must hold {self.condition_text()}. Received condition{place} = {array[tuple(place)]}."
            )
        is_padding = np.isnan(array[..., 0]) if self.source_levels is None else array < 0
        if is_padding.all(axis=1).any():
            raise ValueError(
                f"`condition` must hold for each event something that is no padding. "
                f"Received a source of padding alone, condition[{int(is_padding.all(axis=1).argmax())}]."
            )
        return array if self.source_levels is None else array.astype("int32")

    def _is_possible_source(self, condition):
        """Whether each entry of sources is possible: a boolean tensor."""
        if self.source_levels is not None:
            return ops.logical_and(condition >= _PADDING, condition < self.source_levels)
        condition = ops.cast(condition, "float32")
        is_padding = ops.all(ops.isnan(condition), axis=-1, keepdims=True)
        return ops.logical_or(is_padding, ops.isfinite(condition))

    def is_possible_condition(self, condition):
        is_there = condition >= 0 if self.source_levels is not None else ops.isfinite(ops.cast(condition, "float32"))
        axes = tuple(range(1, len(condition.shape)))
        return ops.logical_and(self._is_possible_source(condition), ops.any(is_there, axis=axes, keepdims=True))

    def encode_condition(self, condition):
        if condition is None:
            return []
        return [ops.cast(condition, "float32" if self.source_levels is None else "int32")]

    def random_condition(self, num_events, rng):
        shape = (num_events, *self.condition_shape)
        if self.source_levels is None:
            sources, padding = rng.normal(size=shape).astype("float32"), np.nan
        else:
            sources, padding = rng.integers(0, self.source_levels, shape).astype("int32"), _PADDING
        lengths = rng.integers(1, 1 + self.condition_shape[0], num_events)
        sources[np.arange(self.condition_shape[0]) >= lengths[:, None]] = padding
        return sources

    def get_config(self):
        config = super().get_config()
        return {
            **config,
            "source_levels": self.source_levels,
            "source_vocabulary": text.serialize(self.source_vocabulary),
            "num_encoder_layers": self.num_encoder_layers,
        }
