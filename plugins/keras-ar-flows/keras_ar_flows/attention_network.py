"""AttentionNetwork: what couplings of sets compute with. https://arxiv.org/abs/1706.03762"""

import keras

from keras_ar import arguments
from keras_ar.layers import EncoderBlock
from keras_ar_flows.chain import make_weights

__all__ = ["AttentionNetwork"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class AttentionNetwork(keras.layers.Layer):
    """Blocks of attention among the entries of a set, which do not know their place: a network for couplings.

    If the entries change places, so do the outputs, and nothing else happens.

    Args:
        units: Integer, number of features.
        num_blocks: Integer, number of blocks. Defaults to `2`.
        num_heads: Integer, number of heads, which divides `units`. Defaults to `4`.
        dropout: Float in [0, 1). Dropout rate of the blocks, active in training. Defaults to `0.0`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, entries, features)`.

    Returns:
        Tensor of shape `(batch, entries, units)`.

    Example:

    >>> network = keras_ar_flows.AttentionNetwork(8, num_blocks=1)
    >>> coupling = keras_ar_flows.Coupling("channels", network=network)
    >>> z, log_det = coupling(np.zeros((1, 5, 2), "float32"))
    >>> tuple(z.shape)
    (1, 5, 2)
    """

    def __init__(self, units, num_blocks=2, num_heads=4, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")
        self.num_blocks = arguments.integer(num_blocks, "num_blocks")
        self.num_heads = arguments.integer(num_heads, "num_heads")
        arguments.multiple(self.units, "units", self.num_heads, "num_heads")
        self.dropout = arguments.rate(dropout, "dropout")
        dtype = {"dtype": self.dtype_policy}
        self.first = keras.layers.Dense(units, name="first", **dtype)
        self.blocks = [
            EncoderBlock(num_heads, positions=None, dropout=dropout, name=f"block_{i}", **dtype)
            for i in range(num_blocks)
        ]
        self.norm = keras.layers.LayerNormalization(name="norm", **dtype)

    def build(self, x_shape):
        if len(x_shape) != 3:
            raise ValueError(f"`x` must be sets (batch, entries, features). Received: shape {tuple(x_shape)}.")
        make_weights(self.first, x_shape)
        features = (*x_shape[:-1], self.units)
        for layer in (*self.blocks, self.norm):
            make_weights(layer, features)

    def call(self, x, training=None):
        h = self.first(x)
        for block in self.blocks:
            h = block(h, training=training)
        return self.norm(h)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_blocks": self.num_blocks,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }
