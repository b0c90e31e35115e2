"""PixelRNN: LSTMs that run over the rows or the diagonals of an image. https://arxiv.org/abs/1601.06759"""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.image import ImageModel
from keras_ar.layers import DiagonalBiLSTM, MaskedConv2D, RowLSTM

__all__ = ["PixelRNN"]

_VARIANTS = {"row": RowLSTM, "diagonal": DiagonalBiLSTM}


@keras.saving.register_keras_serializable(package="keras_ar")
class PixelRNN(ImageModel):
    """Layers of LSTMs over an image, each pixel seeing those above it and to its left.

    A first convolution hides each pixel from itself; LSTM layers with residual
    connections and two 1×1 convolutions follow. Row LSTMs run down the image, and
    see a triangle above each pixel. Diagonal BiLSTMs run over its diagonals, and see
    all earlier pixels; only the last pixel of the row above is seen no farther than
    the first kernel reaches. With a head of single values the colors of a pixel come one
    after the other, R, G, B; a head that draws a pixel's colors together takes a pixel in one step.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colors)`.
        variant: `"row"` or `"diagonal"`. Defaults to `"diagonal"`.
        units: Integer, number of units of each LSTM; a multiple of the number of colors, where
            these come one after the other. A pixel has `2 * units` features. Defaults to `32`.
        num_layers: Integer, number of LSTM layers. Defaults to `1`.
        kernel_size: Odd integer, kernel size of the first convolution. Defaults to `7`.
        dropout: Float in [0, 1). Dropout rate in each LSTM layer, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. A condition of
            shape `(rows, columns, features)` is a map: each pixel has its own. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
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
        units=32,
        num_layers=1,
        kernel_size=7,
        dropout=0.0,
        head="bernoulli",
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        # Check and store.
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        self.variant = arguments.one_of(variant, "variant", tuple(_VARIANTS))
        self.units = arguments.integer(units, "units")
        self.num_layers = arguments.integer(num_layers, "num_layers")
        self.kernel_size = kernel_size
        self.dropout = arguments.rate(dropout, "dropout")
        arguments.multiple(units, "units", self.num_colors, "num_colors")

        # Layers.
        options = {"num_colors": self.num_colors, "dtype": self.dtype_policy}
        self.stem = MaskedConv2D(2 * units, kernel_size, mask_type="A", name="stem", **options)
        self.lstms = [
            _VARIANTS[variant](units, dropout=dropout, name=f"lstm_{i}", **options) for i in range(num_layers)
        ]
        self.hidden = MaskedConv2D(2 * units, 1, activation="relu", name="hidden", **options)
        self.to_params = MaskedConv2D(self.num_colors * self.head.num_params, 1, name="to_params", **options)

    def call(self, x, condition=None, training=None):
        condition = self.layer_condition(condition)
        h = self.stem(self.encode_image(x))  # (batch, rows, columns, 2 * units)
        for lstm in self.lstms:
            h = lstm(h, condition, training=training)
        params = self.to_params(self.hidden(ops.relu(h)))
        return ops.reshape(params, (-1, *self.position_shape, self.head.num_params))

    # One pixel, or one color of it, at a time.

    @property
    def _parts(self):
        return [self.stem, *self.lstms, self.hidden, self.to_params]

    def prepare(self, condition=None):
        constants = [part.prepare() for part in self._parts]
        return constants if condition is None else self.with_biases(constants, self.biases_from(condition))

    def biases_from(self, condition):
        """What the condition adds to the gates of each LSTM layer: a list of tensors."""
        condition = self.layer_condition(condition)
        return [lstm.bias_from(condition) for lstm in self.lstms]

    def with_biases(self, constants, biases):
        """The constants of `prepare()` with those of a condition, for a condition that is only known later.

        Args:
            constants: From `prepare`, without a condition.
            biases: From `biases_from`.
        """
        stem, *lstms, hidden, to_params = constants
        lstms = [{**lstm, "condition_bias": bias} for lstm, bias in zip(lstms, biases, strict=True)]
        return [stem, *lstms, hidden, to_params]

    def start(self, batch_size, num_steps):
        return [part.start(batch_size, num_steps) for part in self._parts]

    def step(self, constants, state, t, previous):
        h, states = self.encode_previous(previous, t), []  # (batch, features)
        for part, part_constants, part_state in zip(self._parts, constants, state, strict=True):
            h = ops.relu(h) if part is self.hidden else h
            h, part_state = part.step(part_constants, part_state, t, h)
            states.append(part_state)
        return h, states

    def get_config(self):
        return {
            **super().get_config(),
            "variant": self.variant,
            "units": self.units,
            "num_layers": self.num_layers,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
        }
