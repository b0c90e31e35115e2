"""PixelRNN: LSTMs that run over the rows or the diagonals of an image. https://arxiv.org/abs/1601.06759"""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.image import ImageModel
from keras_ar.layers import DiagonalBiLSTM, MaskedConv2D, RowLSTM

_VARIANTS = {"row": RowLSTM, "diagonal": DiagonalBiLSTM}


@keras.saving.register_keras_serializable(package="keras_ar")
class PixelRNN(ImageModel):
    """Layers of LSTMs over an image, each pixel seeing those above it and to its left.

    A first convolution hides each pixel from itself; LSTM layers with residual
    connections and two 1×1 convolutions follow. Row LSTMs run down the image, and
    see a triangle above each pixel. Diagonal BiLSTMs run over its diagonals, and see
    all that comes before it; just the last pixel of the row above is seen only as
    far as the first kernel reaches. With a head of single values the colours of a
    pixel come one after the other; a head that draws them together takes a pixel in one step.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colours)`.
        variant: `"row"` or `"diagonal"`.
        num_layers: Number of LSTM layers.
        units: Number of units of each LSTM; a multiple of the number of colours, where
            these come one after the other. A pixel has `2 * units` features.
        kernel_size: Kernel size of the first convolution.
        dropout: Rate of dropout in each LSTM layer, in training.
        head: Name, instance, class or config of a head.
        condition_shape: Shape of the condition of one event, or `None`. A condition of
            shape `(rows, columns, features)` is a map: each pixel has its own.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.PixelRNN(event_shape=(8, 8, 1), variant="row", units=8)
    >>> model.sample(3, seed=0).shape
    (3, 8, 8, 1)

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), section 3 and table 1.
    """

    def __init__(
        self,
        event_shape,
        *,
        variant="diagonal",
        num_layers=2,
        units=32,
        kernel_size=7,
        dropout=0.0,
        head="bernoulli",
        condition_shape=None,
        **kwargs,
    ):
        super().__init__(event_shape, head=head, condition_shape=condition_shape, **kwargs)
        if variant not in _VARIANTS:
            raise ValueError(f"`variant` must be 'row' or 'diagonal'. Received: variant={variant!r}.")
        self.variant = variant
        self.num_layers = arguments.integer(num_layers, "num_layers")
        self.units = arguments.integer(units, "units")
        self.kernel_size = kernel_size
        self.dropout = arguments.number(dropout, "dropout")
        arguments.multiple(units, "units", self.colours, "colours")

        each = {"groups": self.colours, "dtype": self.dtype_policy}
        self.look = MaskedConv2D(2 * units, kernel_size, mask_type="A", name="look", **each)
        self.lstms = [_VARIANTS[variant](units, dropout=dropout, name=f"lstm_{i}", **each) for i in range(num_layers)]
        self.mix = MaskedConv2D(2 * units, 1, activation="relu", name="mix", **each)
        self.to_params = MaskedConv2D(self.colours * self.head.num_params, 1, name="to_params", **each)

    def call(self, x, condition=None, training=None):
        condition = self.shaped(condition)
        h = self.look(self.encode_image(x))
        for lstm in self.lstms:
            h = lstm(h, condition, training=training)
        params = self.to_params(self.mix(ops.relu(h)))
        return ops.reshape(params, (-1, *self.position_shape, self.head.num_params))

    def start(self, batch_size, condition=None):
        condition = self.shaped(condition)
        return {
            "look": self.look.start(batch_size),
            "lstms": [lstm.start(batch_size, condition) for lstm in self.lstms],
            "mix": self.mix.start(batch_size),
            "to_params": self.to_params.start(batch_size),
        }

    def step(self, state, t, previous):
        h, look = self.look.step(state["look"], self.encode_previous(previous), t)  # (batch, features)
        lstms = []
        for lstm, lstm_state in zip(self.lstms, state["lstms"], strict=True):
            h, lstm_state = lstm.step(lstm_state, h, t)
            lstms.append(lstm_state)
        h, mix = self.mix.step(state["mix"], ops.relu(h), t)
        params, to_params = self.to_params.step(state["to_params"], h, t)
        return params, {"look": look, "lstms": lstms, "mix": mix, "to_params": to_params}

    def get_config(self):
        return {
            **super().get_config(),
            "variant": self.variant,
            "num_layers": self.num_layers,
            "units": self.units,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
        }
