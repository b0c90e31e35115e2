"""WaveNet: dilated causal convolutions over time. https://arxiv.org/abs/1609.03499"""

import math

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers import CausalConv1D, WaveNetBlock
from keras_ar.sequence import SequenceModel
from keras_ar.windows import TimeWindow

__all__ = ["WaveNet"]


@keras.saving.register_keras_serializable(package="keras_ar")
class WaveNet(SequenceModel):
    """Gated blocks of dilated causal convolutions, each adding to the next and to the head.

    Sampling keeps the inputs that the convolutions still see, all in one array: a step
    costs the same however long the sequence is.

    Args:
        event_shape: Integer or tuple, `(length,)`, or `(length, ...)` with what the head draws together.
        filters: Integer, number of channels between the blocks. Defaults to `64`.
        skip_filters: Integer, number of channels from each block to the head; `None` for as many
            as `filters`. Defaults to `None`.
        kernel_size: Integer, number of taps of each convolution. Defaults to `2`.
        dilations: Tuple of integers, the spacing of the taps of each block. Defaults to
            1, 2, 4, …, 512, three times.
        upsampling: Tuple of integers, for a condition with rows: how many times longer each transposed
            convolution makes it, with the product `length / rows`. If it is empty, each row is
            repeated. Defaults to `()`.
        dropout: Float in [0, 1). Dropout rate in each block, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, `(features,)`, a vector for the whole sequence, or `(rows, features)`,
            a row for every `length / rows` steps; or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.WaveNet(event_shape=(64,), filters=8, dilations=(1, 2, 4, 8))
    >>> model.receptive_field
    17
    >>> model.sample(3, length=100, seed=0).shape
    (3, 100)

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1609.03499).
    """

    takes_rows = True

    def __init__(
        self,
        event_shape,
        *,
        filters=64,
        skip_filters=None,
        kernel_size=2,
        dilations=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512) * 3,
        upsampling=(),
        dropout=0.0,
        head="bernoulli",
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        # Check and store.
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.skip_filters = arguments.integer(filters if skip_filters is None else skip_filters, "skip_filters")
        self.kernel_size = arguments.integer(kernel_size, "kernel_size", least=2)
        self.dilations = arguments.integers(dilations, "dilations")
        self.upsampling = arguments.integers(upsampling, "upsampling", least=2) if upsampling else ()
        self.dropout = arguments.rate(dropout, "dropout")
        if self.upsampling and math.prod(self.upsampling) != (self.steps_per_row or 0):
            raise ValueError(
                f"`upsampling` must have the product {self.steps_per_row or 1}, the steps for each row of the "
                f"condition. Received: upsampling={self.upsampling}, event_shape={self.event_shape}, "
                f"condition_shape={self.condition_shape}."
            )

        # Layers.
        dtype = {"dtype": self.dtype_policy}
        self.stem = CausalConv1D(filters, kernel_size, strict=True, name="stem", **dtype)
        sizes = {"kernel_size": kernel_size, "skip_filters": self.skip_filters, "dropout": dropout}
        self.blocks = [
            WaveNetBlock(filters, dilation_rate=dilation, name=f"block_{i}", **sizes, **dtype)
            for i, dilation in enumerate(self.dilations)
        ]
        self.hidden = keras.layers.Dense(self.skip_filters, activation="relu", name="hidden", **dtype)
        self.to_params = keras.layers.Dense(self.head.num_params, name="to_params", **dtype)
        self.upsample = [
            keras.layers.Conv1DTranspose(
                self.condition_shape[1], 2 * times, times, padding="same", name=f"upsample_{i}", **dtype
            )
            for i, times in enumerate(self.upsampling)
        ]
        self.window = TimeWindow(self.kernel_size, self.dilations)  # of all blocks

    @property
    def receptive_field(self):
        """How many earlier steps each step sees."""
        return self.stem.reach + sum(block.convolution.reach for block in self.blocks)

    def summary(self, *args, print_fn=None, **kwargs):
        """Keras' summary, and the receptive field."""
        super().summary(*args, print_fn=print_fn, **kwargs)
        (print_fn or print)(f" Receptive field: {self.receptive_field:,} steps")

    def call(self, x, condition=None, training=None):
        if self.steps_per_row:
            self.check_num_steps(x.shape[1], [condition])
            condition = self._upsampled(condition)
            if not self.upsampling:
                condition = ops.repeat(condition, self.steps_per_row, axis=1)
            condition = condition[:, : x.shape[1]]  # (batch, length, features)
        h, total = self.stem(self.encode_steps(x)), 0.0  # (batch, length, filters)
        for block in self.blocks:
            h, skip = block(h, condition, training=training)
            total = total + skip
        return self._read_out(total)

    def _upsampled(self, condition):
        for layer in self.upsample:
            condition = ops.leaky_relu(layer(condition))
        return condition

    def _read_out(self, total):
        return self.to_params(self.hidden(ops.relu(total)))

    # One step at a time: what all blocks see of the past is one gather, what they leave to the future one scatter,
    # and their skip features are one product.

    def prepare(self, condition=None):
        blocks = [block.prepare() for block in self.blocks]
        skips = [block.pop("skip") for block in blocks]
        constants = {
            "stem": self.stem.prepare(),
            "blocks": blocks,
            "skip": {"kernel": ops.concatenate([s["kernel"] for s in skips]), "bias": sum(s["bias"] for s in skips)},
        }
        if condition is None:
            return constants
        kernels = [block.cast_weight(block.condition_bias.kernel) for block in self.blocks]
        condition, kernel = ops.cast(self._upsampled(condition), self.compute_dtype), ops.concatenate(kernels, axis=1)
        if self.steps_per_row:
            # Each step makes its biases itself: those of all blocks for all rows are larger, and no faster to read.
            return {**constants, "rows": condition, "condition_kernel": kernel}
        return {**constants, "condition_bias": ops.matmul(condition, kernel)}

    def start(self, batch_size, num_steps):
        return {
            "stem": self.stem.start(batch_size, num_steps),
            "past": self.window.start(batch_size, self.filters, self.compute_dtype),
        }

    def step(self, constants, state, t, previous):
        x, stem = self.stem.step(constants["stem"], state["stem"], t, self.encode_previous(previous, t))
        past = ops.unstack(self.window.read(state["past"], t), len(self.blocks))  # (batch, past taps * filters) each

        def convolve(i, weights, x):
            return self.blocks[i].convolution.contract(weights, ops.concatenate([past[i], x], axis=-1))

        params, inputs = self._run_blocks(constants, x, t, convolve)
        return params, {"stem": stem, "past": self.window.write(state["past"], ops.stack(inputs), t)}

    def prefill(self, constants, state, values):
        x, stem = self.stem.prefill(constants["stem"], state["stem"], self.encode_first_steps(values))

        def convolve(i, weights, x):
            return self.blocks[i].convolution.convolve(weights, x)

        params, inputs = self._run_blocks(constants, x, ops.arange(x.shape[1]), convolve)
        return params, {"stem": stem, "past": self.window.filled(inputs)}

    def _run_blocks(self, constants, x, steps, convolve):
        """The parameters, and the inputs of each block, at one step or at an array of them."""
        inputs, outputs = [], []
        for i, bias in enumerate(self._biases(constants, steps)):
            block, weights = self.blocks[i], constants["blocks"][i]
            inputs.append(x)
            gated, x = block.open_gates(weights, convolve(i, weights["convolution"], x), x, bias)
            outputs.append(gated)
        total = ops.matmul(ops.concatenate(outputs, axis=-1), constants["skip"]["kernel"]) + constants["skip"]["bias"]
        return self._read_out(total), inputs

    def _biases(self, constants, steps):
        """What the condition adds to the gates of each block; `None` if there is no condition."""
        if "rows" in constants:
            rows = steps if self.upsampling else steps // self.steps_per_row
            bias = ops.matmul(ops.take(constants["rows"], rows, axis=1), constants["condition_kernel"])
        elif "condition_bias" in constants:
            bias = constants["condition_bias"]
        else:
            return [None] * len(self.blocks)
        return ops.split(bias, len(self.blocks), axis=-1)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "skip_filters": self.skip_filters,
            "kernel_size": self.kernel_size,
            "dilations": self.dilations,
            "upsampling": self.upsampling,
            "dropout": self.dropout,
        }
