"""PixelSNAIL: convolutions for what is near, attention for what is far. https://arxiv.org/abs/1712.09763"""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.image import ImageModel
from keras_ar.layers import CausalImageAttention, GatedResnet, MaskedConv2D, PositionWise

__all__ = ["PixelSNAIL"]


@keras.saving.register_keras_serializable(package="keras_ar")
class PixelSNAIL(ImageModel):
    """Residual blocks of causal convolutions, and between them attention to all pixels so far.

    At each place attention finds what came at places that looked alike, however far away. Sampling steps pixel by
    pixel, and keeps the keys and values of all pixels.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colors)`.
        filters: Integer, number of features. Defaults to `64`.
        num_blocks: Integer, number of blocks; each is some residual blocks, then attention. Defaults to `2`.
        num_resnets: Integer, number of residual blocks in each block. Defaults to `2`.
        num_heads: Integer, number of heads of attention. Defaults to `4`.
        attention_units: Integer, number of features of attention, a multiple of `num_heads`. Defaults to `None`:
            `filters`.
        dropout: Float in [0, 1). Dropout rate in each residual block, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head that draws the colors of a pixel together. Defaults to
            `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.PixelSNAIL(event_shape=(4, 5, 1), filters=8, num_blocks=1, num_heads=2)
    >>> model.sample(2, seed=0).shape
    (2, 4, 5, 1)

    Reference:
        [Chen et al., 2017](https://arxiv.org/abs/1712.09763).
    """

    takes_maps = False

    def __init__(
        self,
        event_shape,
        *,
        filters=64,
        num_blocks=2,
        num_resnets=2,
        num_heads=4,
        attention_units=None,
        dropout=0.0,
        head="bernoulli",
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        # Check and store.
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        if self.num_colors > 1:
            raise ValueError(
                f"`head` must draw the {self.num_colors} colors of a pixel together, as "
                f"DiscretizedLogisticMixture(num_channels={self.num_colors}) does. Received: head={self.head}."
            )
        self.filters = arguments.integer(filters, "filters")
        self.num_blocks = arguments.integer(num_blocks, "num_blocks")
        self.num_resnets = arguments.integer(num_resnets, "num_resnets")
        self.num_heads = arguments.integer(num_heads, "num_heads")
        self.attention_units = attention_units
        self.dropout = arguments.rate(dropout, "dropout")

        # Layers.
        dtype = {"dtype": self.dtype_policy}
        self.stem = MaskedConv2D(filters, 5, mask_type="A", name="stem", **dtype)
        self.resnets = [
            [
                GatedResnet(filters, 2, "down_right", dropout=dropout, name=f"resnet_{i}_{j}", **dtype)
                for j in range(num_resnets)
            ]
            for i in range(num_blocks)
        ]
        self.attentions = [
            CausalImageAttention(attention_units or filters, num_heads, name=f"attention_{i}", **dtype)
            for i in range(num_blocks)
        ]
        self.merges = [
            GatedResnet(filters, 1, "down_right", dropout=dropout, name=f"merge_{i}", **dtype)
            for i in range(num_blocks)
        ]
        self.to_params = PositionWise(keras.layers.Dense(self.head.num_params, name="to_params", **dtype))

    def call(self, x, condition=None, training=None):
        given = {"condition": self.flat_condition(condition), "training": training}
        x = ops.cast(self.encode_image(x), self.compute_dtype)  # (batch, rows, columns, channels)
        h = self.stem(x)
        for resnets, attention, merge in zip(self.resnets, self.attentions, self.merges, strict=True):
            for resnet in resnets:
                h = resnet(h, **given)
            h = merge(h, attention(h, x, training=training), **given)
        return ops.reshape(self.to_params(ops.elu(h)), (-1, *self.position_shape, self.head.num_params))

    # One pixel at a time.

    def _map_parts(self, function):
        """A nest of what a function makes of each layer."""
        return {
            "stem": function(self.stem),
            "resnets": [[function(resnet) for resnet in resnets] for resnets in self.resnets],
            "attentions": [function(attention) for attention in self.attentions],
            "merges": [function(merge) for merge in self.merges],
        }

    def prepare(self, condition=None):
        condition = self.flat_condition(condition)
        return self._map_parts(lambda part: part.prepare(condition))

    def start(self, batch_size, num_steps):
        return self._map_parts(lambda part: part.start(batch_size, num_steps))

    def step(self, constants, state, t, previous):
        x = ops.cast(self.encode_previous(previous, t), self.compute_dtype)  # (batch, channels)
        h, stem = self.stem.step(constants["stem"], state["stem"], t, x)
        following = {"stem": stem, "resnets": [], "attentions": [], "merges": []}
        for i, resnets in enumerate(self.resnets):
            states = []
            for j, resnet in enumerate(resnets):
                h, of_resnet = resnet.step(constants["resnets"][i][j], state["resnets"][i][j], t, h)
                states.append(of_resnet)
            y, attention = self.attentions[i].step(constants["attentions"][i], state["attentions"][i], t, h, x)
            h, merge = self.merges[i].step(constants["merges"][i], state["merges"][i], t, h, y)
            following["resnets"].append(states)
            following["attentions"].append(attention)
            following["merges"].append(merge)
        return self.to_params.step((), (), t, ops.elu(h))[0], following

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "num_resnets": self.num_resnets,
            "num_heads": self.num_heads,
            "attention_units": self.attention_units,
            "dropout": self.dropout,
        }
