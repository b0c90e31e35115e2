"""WaveNet: dilated causal convolutions over time. https://arxiv.org/abs/1609.03499"""

import math

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers import CausalConv1D, WaveNetBlock
from keras_ar.sequence import SequenceModel
from keras_ar.windows import TimeWindow


@keras.saving.register_keras_serializable(package="keras_ar")
class WaveNet(SequenceModel):
    """Gated blocks of dilated causal convolutions, each adding to the next and to the head.

    A draw keeps the inputs that the convolutions still see, all in one array: a step
    costs the same however long the sequence is.

    Args:
        event_shape: `(length,)`, or `(length, ...)` with what the head draws together.
        filters: Number of channels between the blocks.
        skip_filters: Number of channels from each block to the head; `filters` by default.
        kernel_size: Number of taps of each convolution.
        dilations: Spacing of the taps, one for each block.
        upsampling: Of a condition with rows: how many times longer each transposed
            convolution makes it. Together they turn a row into the steps that it
            stands for. By default each row stands for its steps as it is.
        dropout: Rate of dropout in each block, in training.
        head: Name, instance, class or config of a head.
        condition_shape: `(features,)`: a vector or a class for the whole sequence;
            `(rows, features)`: a row for every `length / rows` steps; or `None`.
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
        **kwargs,
    ):
        super().__init__(event_shape, head=head, condition_shape=condition_shape, **kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.skip_filters = arguments.integer(filters if skip_filters is None else skip_filters, "skip_filters")
        self.kernel_size = arguments.integer(kernel_size, "kernel_size", least=2)
        self.dilations = arguments.integers(dilations, "dilations")
        self.upsampling = arguments.integers(upsampling, "upsampling", least=2) if upsampling else ()
        self.dropout = arguments.number(dropout, "dropout")
        if self.upsampling and math.prod(self.upsampling) != (self.steps_per_row or 0):
            raise ValueError(
                f"`upsampling` must have the product {self.steps_per_row or 1}, the steps that a row of the condition "
                f"stands for. Received: upsampling={self.upsampling}, event_shape={self.event_shape}, "
                f"condition_shape={self.condition_shape}."
            )

        dtype = {"dtype": self.dtype_policy}
        self.look = CausalConv1D(filters, kernel_size, strict=True, name="look", **dtype)
        sizes = {"kernel_size": kernel_size, "skip_filters": self.skip_filters, "dropout": dropout}
        self.blocks = [
            WaveNetBlock(filters, dilation_rate=dilation, name=f"block_{i}", **sizes, **dtype)
            for i, dilation in enumerate(self.dilations)
        ]
        self.window = TimeWindow(self.kernel_size, self.dilations)
        self.enlarge = [
            keras.layers.Conv1DTranspose(
                self.condition_shape[1], 2 * times, times, padding="same", name=f"enlarge_{i}", **dtype
            )
            for i, times in enumerate(self.upsampling)
        ]
        self.mix = keras.layers.Dense(self.skip_filters, activation="relu", name="mix", **dtype)
        self.to_params = keras.layers.Dense(self.head.num_params, name="to_params", **dtype)

    @property
    def receptive_field(self):
        """How many earlier steps each step sees."""
        return self.look.reach + sum(block.convolution.reach for block in self.blocks)

    def summary(self, *args, print_fn=None, **kwargs):
        """Keras' summary, and the receptive field."""
        super().summary(*args, print_fn=print_fn, **kwargs)
        (print_fn or print)(f" Receptive field: {self.receptive_field:,} steps")

    def call(self, x, condition=None, training=None):
        *_, total = self._pass(x, condition, training)
        return self._read_out(total)

    def _pass(self, x, condition, training=None):
        """The encoded inputs, those of each block, and the sum of what goes to the head."""
        if condition is not None:
            self.check_lasts(condition, x.shape[1])
            condition = self._for_each_step(condition)[:, : x.shape[1]] if self.steps_per_row else condition
        encoded = self.encode_steps(x)
        h, inputs, total = self.look(encoded), [], 0.0
        for block in self.blocks:
            inputs.append(h)
            h, skip = block(h, condition, training=training)
            total = total + skip
        return encoded, inputs, total

    def _for_each_step(self, condition):
        """A condition with rows, `(batch, rows, features)`, as long as the sequence that it stands for."""
        if not self.upsampling:
            return ops.repeat(condition, self.steps_per_row, axis=1)
        for enlarge in self.enlarge:
            condition = ops.leaky_relu(enlarge(condition))
        return condition

    def _read_out(self, total):
        return self.to_params(self.mix(ops.relu(total)))

    # One step at a time: what all blocks see of the past is one gather, what they leave to the future one scatter.

    def start(self, batch_size, condition=None):
        past = self.window.start(batch_size, self.filters, self.compute_dtype)
        return {**self._constants(condition), "look": self.look.start(batch_size), "past": past}

    def _constants(self, condition):
        """What does not change from step to step."""
        blocks = [block.matrices() for block in self.blocks]
        skips = [block.pop("skip") for block in blocks]
        state = {
            "blocks": blocks,
            # What goes to the head from all blocks is one product.
            "skip": [ops.concatenate([s["kernel"] for s in skips]), sum(s["bias"] for s in skips)],
        }
        for dense in (self.mix, self.to_params):
            weights = [ops.convert_to_tensor(weight) for weight in (dense.kernel, dense.bias)]
            state[dense.name] = [ops.cast(weight, self.compute_dtype) for weight in weights]
        if condition is not None:
            if self.steps_per_row:
                condition = self._for_each_step(condition)
            kernel = ops.concatenate([ops.convert_to_tensor(b.from_condition.kernel) for b in self.blocks], axis=1)
            state["told_by"] = ops.cast(kernel, self.compute_dtype)  # of all blocks, side by side
            state["condition"] = ops.cast(condition, self.compute_dtype)
        return state

    def step(self, state, t, previous):
        x, look = self.look.step(state["look"], self.encode_previous(previous), t)  # (batch, filters)
        past = ops.unstack(self.window.read(state["past"], t), len(self.blocks))
        inputs, outputs = [], []
        for block, weights, seen, told in zip(self.blocks, state["blocks"], past, self._told(state, t), strict=True):
            inputs.append(x)
            gated, x = block.look(weights, seen, x, told)
            outputs.append(gated)
        past = self.window.write(state["past"], ops.stack(inputs), t)
        total = _affine(ops.concatenate(outputs, axis=-1), *state["skip"])
        mixed = ops.relu(_affine(ops.relu(total), *state["mix"]))
        return _affine(mixed, *state["to_params"]), {**state, "look": look, "past": past}

    def _told(self, state, t):
        """What the condition adds to the gates of each block at step `t`."""
        if "condition" not in state:
            return [None for _ in self.blocks]
        condition = ops.take(state["condition"], t, axis=1) if self.steps_per_row else state["condition"]
        return ops.split(ops.matmul(condition, state["told_by"]), len(self.blocks), axis=-1)

    def prime(self, prompt, condition=None):
        encoded, inputs, _ = self._pass(prompt, condition)
        return {**self._constants(condition), "look": self.look.prime(encoded), "past": self.window.filled(inputs)}

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


def _affine(x, kernel, bias):
    return ops.matmul(x, kernel) + bias
