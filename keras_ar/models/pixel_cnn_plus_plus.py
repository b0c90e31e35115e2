"""PixelCNN++: gated residual blocks on several scales, down and up again. https://arxiv.org/abs/1701.05517"""

import math

import keras
from keras import ops

from keras_ar import arguments, backend, heads
from keras_ar.image import ImageModel
from keras_ar.layers import GatedResnet, ShiftedConv2D, ShiftedConv2DTranspose, WeightNormDense
from keras_ar.layers.weight_norm import initialization

__all__ = ["PixelCNNPlusPlus"]


@keras.saving.register_keras_serializable(package="keras_ar")
class PixelCNNPlusPlus(ImageModel):
    """Weight-normalized residual blocks on several scales, with shortcuts from the way down to the way up.

    A vertical stack sees the rows above a pixel; a horizontal stack sees the vertical one and the current row
    up to this pixel. Stepwise sampling advances the vertical stack once a row, and each coarser scale only
    where it has something new to see. Images may have any size.

    `initialize_from_data(x)` sets the initial gains and biases such that all features have mean zero
    and variance one over a batch of events; it is optional.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colors)`.
        filters: Integer, number of features of each stack. Defaults to `64`.
        num_resnets: Integer, number of residual blocks on each scale, on the way down. Defaults to `2`.
        num_levels: Integer, number of scales; each has half the rows and columns of the one before. Defaults to `3`.
        dropout: Float in [0, 1). Dropout rate in each block, active in training. Defaults to `0.5`.
        head: Name, instance, class or config of a head that draws the colors of a pixel together; `None`
            for a mixture of discretized logistic distributions. Defaults to `None`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.PixelCNNPlusPlus(event_shape=(3, 5, 3), filters=8, num_levels=2)
    >>> model.sample(2, seed=0).shape
    (2, 3, 5, 3)

    Reference:
        [Salimans et al., 2017](https://arxiv.org/abs/1701.05517).
    """

    takes_maps = False

    def __init__(
        self,
        event_shape,
        *,
        filters=64,
        num_resnets=2,
        num_levels=3,
        dropout=0.5,
        head=None,
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        # Check and store.
        event_shape = arguments.integers(event_shape, "event_shape")
        if head is None:
            head = heads.DiscretizedLogisticMixture(num_channels=event_shape[2] if len(event_shape) == 3 else 1)
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        if self.num_colors > 1:
            raise ValueError(
                f"`head` must draw the {self.num_colors} colors of a pixel together, as "
                f"DiscretizedLogisticMixture(num_channels={self.num_colors}) does. Received: head={self.head}."
            )
        self.filters = arguments.integer(filters, "filters")
        self.num_resnets = arguments.integer(num_resnets, "num_resnets")
        self.num_levels = arguments.integer(num_levels, "num_levels")
        self.dropout = arguments.rate(dropout, "dropout")

        # Layers.
        dtype = {"dtype": self.dtype_policy}
        self.stem_vertical = ShiftedConv2D(filters, (2, 3), "down", strict=True, name="stem_vertical", **dtype)
        self.stem_above = ShiftedConv2D(filters, (1, 3), "down", strict=True, name="stem_above", **dtype)
        self.stem_left = ShiftedConv2D(filters, (2, 1), "down_right", strict=True, name="stem_left", **dtype)
        level = None
        for i in reversed(range(num_levels)):  # each holds the coarser one
            size = tuple(math.ceil(n / 2**i) for n in (self.rows, self.columns))
            level = _Level(filters, num_resnets, size, dropout, below=level, name=f"level_{i}", **dtype)
        self.level = level
        self.to_params = WeightNormDense(self.head.num_params, name="to_params", **dtype)

    def call(self, x, condition=None, training=None):
        x = _with_ones(ops.cast(self.encode_image(x), self.compute_dtype))
        u, h = self.stem_vertical(x), self.stem_above(x) + self.stem_left(x)
        _, h = self.level(u, h, self.flat_condition(condition), training=training)
        return ops.reshape(self.to_params(ops.elu(h)), (-1, *self.position_shape, self.head.num_params))

    def initialize_from_data(self, x, condition=None):
        """Sets gains and biases such that features have mean zero and variance one over a batch of events.

        Each layer sees the outputs of those before it as they are once these are set. The result depends on the
        batch and on the directions of the kernels alone. After an error, nothing has changed.

        Args:
            x: Array of shape `(events, *event_shape)`: a few hundred events of the data.
            condition: Array of shape `(events, *condition_shape)`, or of classes. Defaults to `None`.
        """
        batch = self.check_batch(x, condition)
        # The scope keeps what is assigned to itself until all of it is known.
        with initialization(), keras.StatelessScope() as scope:
            self(*map(ops.convert_to_tensor, batch), training=False)
        for weight in self.weights:
            value = scope.get_current_value(weight)
            if value is not None:
                weight.assign(value)

    # One pixel at a time; before the first of a row the vertical stack moves on to that row.

    @property
    def _parts(self):
        return {
            "stem_vertical": self.stem_vertical,
            "stem_above": self.stem_above,
            "stem_left": self.stem_left,
            "level": self.level,
            "to_params": self.to_params,
        }

    def prepare(self, condition=None):
        constants = {name: part.prepare() for name, part in self._parts.items() if part is not self.level}
        return {**constants, "level": self.level.prepare(self.flat_condition(condition))}

    def start(self, batch_size, num_steps):
        return {
            **{name: part.start(batch_size, num_steps) for name, part in self._parts.items()},
            "image_row": ops.zeros((batch_size, self.columns, self.num_features + 1), self.compute_dtype),
            "above": ops.zeros((batch_size, self.columns, self.filters), self.compute_dtype),
        }

    def step(self, constants, state, t, previous):
        column = t % self.columns
        x = _with_ones(ops.cast(self.encode_previous(previous, t), self.compute_dtype))  # (batch, features + 1)
        state = {**state, "image_row": _put(state["image_row"], x, (t - 1) % self.columns)}

        def begin_row(state):
            return self._begin_row(constants, state, t // self.columns)

        state = backend.when(column == 0, begin_row, state)
        left, stem_left = self.stem_left.step(constants["stem_left"], state["stem_left"], t, x)
        h, level = self.level.step(constants["level"], state["level"], t, state["above"][:, column] + left)
        params, _ = self.to_params.step(constants["to_params"], (), t, ops.elu(h))
        return params, {**state, "stem_left": stem_left, "level": level}

    def _begin_row(self, constants, state, r):
        row_above = state["image_row"]  # complete: its last pixel has just come
        u, vertical = self.stem_vertical.step(constants["stem_vertical"], state["stem_vertical"], r, row_above)
        above, stem_above = self.stem_above.step(constants["stem_above"], state["stem_above"], r, row_above)
        _, level = self.level.begin_row(constants["level"], state["level"], r, u)
        return {**state, "stem_vertical": vertical, "stem_above": stem_above, "above": above, "level": level}

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "num_resnets": self.num_resnets,
            "num_levels": self.num_levels,
            "dropout": self.dropout,
        }


class _Level(keras.layers.Layer):
    """One scale: residual blocks down, the coarser scale below, residual blocks up with shortcuts from the way down.

    There are two of each block: one for the vertical stack `u`, one for the horizontal stack `h`.
    """

    def __init__(self, filters, num_resnets, size, dropout, below=None, **kwargs):
        super().__init__(**kwargs)
        self.size, self.columns, self.filters = size, size[1], filters
        dtype = {"dtype": self.dtype_policy}
        of_u = {"kernel_size": (2, 3), "direction": "down", **dtype}
        of_h = {"kernel_size": (2, 2), "direction": "down_right", **dtype}

        def resnets(name, count, options):
            return [GatedResnet(filters, dropout=dropout, name=f"{name}_{i}", **options) for i in range(count)]

        num_up = num_resnets + (below is not None)
        self.down_u, self.down_h = resnets("down_u", num_resnets, of_u), resnets("down_h", num_resnets, of_h)
        self.up_u, self.up_h = resnets("up_u", num_up, of_u), resnets("up_h", num_up, of_h)
        self.below = below
        if below:
            self.downsample_u = ShiftedConv2D(filters, strides=2, name="downsample_u", **of_u)
            self.downsample_h = ShiftedConv2D(filters, strides=2, name="downsample_h", **of_h)
            self.upsample_u = ShiftedConv2DTranspose(filters, size=size, name="upsample_u", **of_u)
            self.upsample_h = ShiftedConv2DTranspose(filters, size=size, name="upsample_h", **of_h)

    def build(self, u_shape, h_shape, condition_shape=None):
        features, doubled = (None, *self.size, self.filters), (None, *self.size, 2 * self.filters)
        for resnet in self.down_u:
            resnet.build(features, None, condition_shape)
        for resnet in (*self.down_h, *self.up_u):
            resnet.build(features, features, condition_shape)
        for resnet in self.up_h:
            resnet.build(features, doubled, condition_shape)
        if self.below:
            coarse = (None, *self.below.size, self.filters)
            self.downsample_u.build(features)
            self.downsample_h.build(features)
            self.below.build(coarse, coarse, condition_shape)
            self.upsample_u.build(coarse)
            self.upsample_h.build(coarse)

    def call(self, u, h, condition=None, training=None):
        options = {"condition": condition, "training": training}
        kept = [(u, h)]
        for resnet_u, resnet_h in zip(self.down_u, self.down_h, strict=True):
            u = resnet_u(u, **options)
            h = resnet_h(h, u, **options)
            kept.append((u, h))
        if self.below:
            u, h = self.below(self.downsample_u(u), self.downsample_h(h), **options)
            u, h = self.upsample_u(u), self.upsample_h(h)
        else:
            u, h = kept.pop()
        for resnet_u, resnet_h in zip(self.up_u, self.up_h, strict=True):
            kept_u, kept_h = kept.pop()
            u = resnet_u(u, kept_u, **options)
            h = resnet_h(h, ops.concatenate([u, kept_h], axis=-1), **options)
        return u, h

    # The vertical stack one row at a time, then the horizontal stack one pixel of that row at a time. The coarser
    # scale moves on with every second row, and with every second pixel of it.

    @property
    def _resnets(self):
        return {"down_u": self.down_u, "down_h": self.down_h, "up_u": self.up_u, "up_h": self.up_h}

    def prepare(self, condition=None):
        constants = {name: [resnet.prepare(condition) for resnet in part] for name, part in self._resnets.items()}
        if self.below:
            for name in ("downsample_u", "downsample_h", "upsample_u", "upsample_h"):
                constants[name] = getattr(self, name).prepare()
            constants["below"] = self.below.prepare(condition)
        return constants

    def start(self, batch_size, num_steps):
        state = {name: [resnet.start(batch_size, num_steps) for resnet in part] for name, part in self._resnets.items()}
        row = ops.zeros((batch_size, self.columns, self.filters), self.compute_dtype)
        state["rows"] = {"down": [row for _ in self.down_u], "up": [row for _ in self.up_u]}  # the current one of each
        if self.below:
            for name in ("downsample_u", "downsample_h"):
                state[name] = getattr(self, name).start(batch_size, num_steps)
            row = row[:, : self.below.columns]  # the coarse row that belongs to the current one
            state["below"] = {"u": row, "h": row, "level": self.below.start(batch_size, num_steps)}
        return state

    def begin_row(self, constants, state, r, u):
        """Moves the vertical stack on to row `r`: its last features, and the state for the pixels of the row."""
        down, down_u = _step_all(self.down_u, constants["down_u"], state["down_u"], r, u, [None for _ in self.down_u])
        kept = [u, *down]
        state = {**state, "down_u": down_u}
        if self.below:
            seen = self.downsample_u.write(state["downsample_u"], r, kept[-1])

            def move_on(below):
                coarse = self.downsample_u.read(constants["downsample_u"], seen, r)
                coarse, level = self.below.begin_row(constants["below"], below["level"], r // 2, coarse)
                return {**below, "u": coarse, "level": level}

            below = backend.when(r % 2 == 0, move_on, state["below"])
            u, _ = self.upsample_u.step(constants["upsample_u"], (), r, below["u"])
            state |= {"downsample_u": seen, "below": below}
        else:
            u = kept.pop()
        up, up_u = _step_all(self.up_u, constants["up_u"], state["up_u"], r, u, reversed(kept))
        return up[-1], {**state, "up_u": up_u, "rows": {"down": down, "up": up}}

    def step(self, constants, state, t, h):
        """The features of the horizontal stack at step `t`, in the row that has been begun."""
        row, column = t // self.columns, t % self.columns
        down_u, up_u = ([u[:, column] for u in state["rows"][way]] for way in ("down", "up"))
        down, down_h = _step_all(self.down_h, constants["down_h"], state["down_h"], t, h, down_u)
        kept = [h, *down]
        state = {**state, "down_h": down_h}
        if self.below:
            seen = self.downsample_h.write(state["downsample_h"], t, kept[-1])

            def move_on(below):
                coarse = self.downsample_h.read(constants["downsample_h"], seen, t)
                coarse_t = row // 2 * self.below.columns + column // 2
                coarse, level = self.below.step(constants["below"], below["level"], coarse_t, coarse)
                return {**below, "h": _put(below["h"], coarse, column // 2), "level": level}

            below = backend.when(row % 2 + column % 2 == 0, move_on, state["below"])
            h, _ = self.upsample_h.step(constants["upsample_h"], (), t, below["h"][:, column // 2])
            state |= {"downsample_h": seen, "below": below}
        else:
            h = kept.pop()
        shortcuts = [ops.concatenate(pair, axis=-1) for pair in zip(up_u, reversed(kept), strict=True)]
        up, up_h = _step_all(self.up_h, constants["up_h"], state["up_h"], t, h, shortcuts)
        return up[-1], {**state, "up_h": up_h}


def _step_all(resnets, constants, states, t, x, shortcuts):
    """A step of several blocks, one after the other: the outputs of all, and their next states."""
    outputs, following = [], []
    for resnet, of_resnet, state, shortcut in zip(resnets, constants, states, shortcuts, strict=True):
        x, state = resnet.step(of_resnet, state, t, x, shortcut)
        outputs.append(x)
        following.append(state)
    return outputs, following


def _with_ones(x):
    """Adds a channel of ones, which tells an image's zeros from those of the padding."""
    return ops.concatenate([x, ops.ones_like(x[..., :1])], axis=-1)


def _put(row, x, column):
    """`row`, of shape `(batch, columns, features)`, with `x` in one of its columns."""
    return ops.slice_update(row, (0, column, 0), ops.expand_dims(x, 1))
