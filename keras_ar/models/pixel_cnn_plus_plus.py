"""PixelCNN++: gated residual blocks on several scales, down and up again. https://arxiv.org/abs/1701.05517"""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend, heads
from keras_ar.image import ImageModel
from keras_ar.layers import GatedResnet, ShiftedConv2D, ShiftedConv2DTranspose, WeightNormDense


@keras.saving.register_keras_serializable(package="keras_ar")
class PixelCNNPlusPlus(ImageModel):
    """Residual blocks on several scales, with short-cuts from the way down to the way up, and weight normalisation.

    One stack sees the rows above a pixel, another what stands to its left as well. A draw advances the first
    once a row, and each coarser scale only where it has something new to see. Images may have any size.

    `initialize_from_data(x)` starts the weights so that all features have mean zero
    and variance one over a batch of events; it is optional.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colours)`.
        filters: Number of features of each stack.
        num_resnets: Number of residual blocks on each scale, on the way down.
        num_levels: Number of scales; each halves rows and columns.
        dropout: Rate of dropout in each block, in training.
        head: Name, instance, class or config of a head that draws the colours of a
            pixel together; `None` for a mixture of discretized logistics.
        condition_shape: Shape of the condition of one event, or `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.PixelCNNPlusPlus(event_shape=(3, 5, 3), filters=8, num_levels=2)
    >>> model.sample(2, seed=0).shape
    (2, 3, 5, 3)

    Reference:
        [Salimans et al., 2017](https://arxiv.org/abs/1701.05517).
    """

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
        **kwargs,
    ):
        event_shape = arguments.integers(event_shape, "event_shape")
        if head is None:
            head = heads.DiscretizedLogisticMixture(num_channels=event_shape[2] if len(event_shape) == 3 else 1)
        super().__init__(event_shape, head=head, condition_shape=condition_shape, **kwargs)
        if self.colours > 1:
            raise ValueError(
                f"`head` must draw the {self.colours} colours of a pixel together, as "
                f"DiscretizedLogisticMixture(num_channels={self.colours}) does. Received: head={self.head}."
            )
        self.filters = arguments.integer(filters, "filters")
        self.num_resnets = arguments.integer(num_resnets, "num_resnets")
        self.num_levels = arguments.integer(num_levels, "num_levels")
        self.dropout = arguments.number(dropout, "dropout")

        first = {"strict": True, "dtype": self.dtype_policy}
        self.first_vertical = ShiftedConv2D(filters, (2, 3), "down", name="first_vertical", **first)
        self.first_above = ShiftedConv2D(filters, (1, 3), "down", name="first_above", **first)
        self.first_left = ShiftedConv2D(filters, (2, 1), "down_right", name="first_left", **first)
        level = None
        for i in reversed(range(num_levels)):
            size = tuple(math.ceil(n / 2**i) for n in (self.rows, self.columns))
            level = _Level(filters, num_resnets, size, dropout, below=level, dtype=self.dtype_policy, name=f"level_{i}")
        self.level = level
        self.to_params = WeightNormDense(self.head.num_params, dtype=self.dtype_policy, name="to_params")

    def call(self, x, condition=None, training=None):
        x = _with_ones(ops.cast(self.encode_image(x), self.compute_dtype))
        u, h = self.first_vertical(x), self.first_above(x) + self.first_left(x)
        _, h = self.level(u, h, self._flat(condition), training=training)
        return ops.reshape(self.to_params(ops.elu(h)), (-1, *self.position_shape, self.head.num_params))

    def initialize_from_data(self, x, condition=None):
        """Sets gains and biases such that features have mean zero and variance one over a batch of events.

        Each layer sees what those below give once they are set. What comes of it depends on the
        batch and on the directions of the kernels alone; should anything go wrong, nothing has changed.

        Args:
            x: Array of shape `(events, *event_shape)`: a few hundred events of the data.
            condition: Array of shape `(events, *condition_shape)`.
        """
        x = np.asarray(x)
        self._check_events(x)
        condition = self._check_condition(condition, len(x))
        layers = [layer for layer in self._flatten_layers() if hasattr(layer, "initializing")]
        weights = [weight for layer in layers if layer.built for weight in (layer.gain, layer.bias)]
        try:
            for layer in layers:
                layer.initializing = True
            # Assignments stay in the scope until all of them are known.
            with keras.StatelessScope() as scope:
                self(ops.convert_to_tensor(x), *condition, training=False)
        finally:
            for layer in layers:
                layer.initializing = False
        for weight in weights:
            weight.assign(scope.get_current_value(weight))

    # One pixel at a time; at the first of a row the vertical stack moves on to that row.

    def start(self, batch_size, condition=None):
        layers = {name: getattr(self, name) for name in ("first_vertical", "first_above", "first_left", "to_params")}
        return {
            **{name: layer.start(batch_size) for name, layer in layers.items()},
            "image_above": ops.zeros((batch_size, self.columns, self.step_size + 1), self.compute_dtype),
            "above": ops.zeros((batch_size, self.columns, self.filters), self.compute_dtype),
            "level": self.level.start(batch_size, self._flat(condition)),
        }

    def step(self, state, t, previous):
        column = t % self.columns
        x = _with_ones(ops.cast(self.encode_previous(previous), self.compute_dtype))  # (batch, step_size + 1)
        state = {**state, "image_above": _put(state["image_above"], x, (t - 1) % self.columns)}
        state = backend.when(column == 0, lambda state: self._begin_row(state, t // self.columns), state)
        left, first_left = self.first_left.step(state["first_left"], x, t)
        h, level = self.level.step(state["level"], state["above"][:, column] + left, t)
        params, _ = self.to_params.step(state["to_params"], ops.elu(h), t)
        return params, {**state, "first_left": first_left, "level": level}

    def _begin_row(self, state, r):
        u, first_vertical = self.first_vertical.step(state["first_vertical"], state["image_above"], r)
        above, first_above = self.first_above.step(state["first_above"], state["image_above"], r)
        _, level = self.level.begin_row(state["level"], u, r)
        return {**state, "first_vertical": first_vertical, "first_above": first_above, "above": above, "level": level}

    def _flat(self, condition):
        return None if condition is None else ops.reshape(condition, (-1, math.prod(self.condition_shape)))

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "num_resnets": self.num_resnets,
            "num_levels": self.num_levels,
            "dropout": self.dropout,
        }


class _Level(keras.layers.Layer):
    """One scale: residual blocks down, the coarser scale below, residual blocks up with short-cuts from the way down.

    Each block stands twice: for the vertical stack `u`, and for `h`, which sees `u` and the own row up to here.
    """

    def __init__(self, filters, num_resnets, size, dropout, below=None, **kwargs):
        super().__init__(**kwargs)
        self.size, self.columns, self.filters = size, size[1], filters
        dtype = {"dtype": self.dtype_policy}
        u_shape = {"kernel_size": (2, 3), "direction": "down", **dtype}
        h_shape = {"kernel_size": (2, 2), "direction": "down_right", **dtype}

        def resnets(name, count, **shape):
            return [GatedResnet(filters, dropout=dropout, name=f"{name}_{i}", **shape) for i in range(count)]

        num_up = num_resnets + (below is not None)
        self.down_u, self.down_h = (
            resnets("down_u", num_resnets, **u_shape),
            resnets("down_h", num_resnets, **h_shape),
        )
        self.up_u, self.up_h = resnets("up_u", num_up, **u_shape), resnets("up_h", num_up, **h_shape)
        self.below = below
        if below:
            self.narrow_u = ShiftedConv2D(filters, strides=2, name="narrow_u", **u_shape)
            self.narrow_h = ShiftedConv2D(filters, strides=2, name="narrow_h", **h_shape)
            self.widen_u = ShiftedConv2DTranspose(filters, size=size, name="widen_u", **u_shape)
            self.widen_h = ShiftedConv2DTranspose(filters, size=size, name="widen_h", **h_shape)

    def call(self, u, h, condition=None, training=None):
        options = {"condition": condition, "training": training}
        passed = [(u, h)]
        for for_u, for_h in zip(self.down_u, self.down_h, strict=True):
            u = for_u(u, **options)
            h = for_h(h, u, **options)
            passed.append((u, h))
        if self.below:
            u, h = self.below(self.narrow_u(u), self.narrow_h(h), **options)
            u, h = self.widen_u(u), self.widen_h(h)
        else:
            u, h = passed.pop()
        for for_u, for_h in zip(self.up_u, self.up_h, strict=True):
            passed_u, passed_h = passed.pop()
            u = for_u(u, passed_u, **options)
            h = for_h(h, ops.concatenate([u, passed_h], axis=-1), **options)
        return u, h

    def start(self, batch_size, condition=None):
        state = {
            name: [resnet.start(batch_size, condition) for resnet in getattr(self, name)]
            for name in ("down_u", "down_h", "up_u", "up_h")
        }
        row = ops.zeros((batch_size, self.columns, self.filters), self.compute_dtype)
        state["rows"] = {"down": [row for _ in self.down_u], "up": [row for _ in self.up_u]}
        if self.below:
            for name in ("narrow_u", "narrow_h", "widen_u", "widen_h"):
                state[name] = getattr(self, name).start(batch_size)
            coarse = row[:, : self.below.columns]  # the row of the coarser scale that belongs to this one
            state["below"] = {"u": coarse, "h": coarse, "level": self.below.start(batch_size, condition)}
        return state

    def begin_row(self, state, u, r):
        """The vertical stack at row `r`: its last features, and the state for the row's pixels."""
        state = {**state, "down_u": list(state["down_u"]), "up_u": list(state["up_u"])}
        rows, passed = {"down": [], "up": []}, [u]
        for i, resnet in enumerate(self.down_u):
            u, state["down_u"][i] = resnet.step(state["down_u"][i], u, r)
            rows["down"].append(u)
            passed.append(u)
        if self.below:
            narrow = self.narrow_u.record(state["narrow_u"], u, r)

            def move_on(below):
                coarse, level = self.below.begin_row(below["level"], self.narrow_u.look(narrow, r), r // 2)
                return {**below, "u": coarse, "level": level}

            state.update(narrow_u=narrow, below=backend.when(r % 2 == 0, move_on, state["below"]))
            u, _ = self.widen_u.step(state["widen_u"], state["below"]["u"], r)
        else:
            u = passed.pop()
        for i, resnet in enumerate(self.up_u):
            u, state["up_u"][i] = resnet.step(state["up_u"][i], u, r, shortcut=passed.pop())
            rows["up"].append(u)
        return u, {**state, "rows": rows}

    def step(self, state, h, t):
        """`h` at step `t`, from what the row's `begin_row` left."""
        state = {**state, "down_h": list(state["down_h"]), "up_h": list(state["up_h"])}
        row, column = t // self.columns, t % self.columns
        passed = [h]
        for i, resnet in enumerate(self.down_h):
            u = state["rows"]["down"][i][:, column]
            h, state["down_h"][i] = resnet.step(state["down_h"][i], h, t, shortcut=u)
            passed.append(h)
        if self.below:
            narrow = self.narrow_h.record(state["narrow_h"], h, t)

            def move_on(below):
                step = row // 2 * self.below.columns + column // 2
                coarse, level = self.below.step(below["level"], self.narrow_h.look(narrow, t), step)
                return {**below, "h": _put(below["h"], coarse, column // 2), "level": level}

            state.update(narrow_h=narrow, below=backend.when(row % 2 + column % 2 == 0, move_on, state["below"]))
            h, _ = self.widen_h.step(state["widen_h"], state["below"]["h"][:, column // 2], t)
        else:
            h = passed.pop()
        for i, resnet in enumerate(self.up_h):
            u = state["rows"]["up"][i][:, column]
            shortcut = ops.concatenate([u, passed.pop()], axis=-1)
            h, state["up_h"][i] = resnet.step(state["up_h"][i], h, t, shortcut=shortcut)
        return h, state


def _with_ones(x):
    """A channel of ones, which tells an image's zeros from those of the padding."""
    return ops.concatenate([x, ops.ones_like(x[..., :1])], axis=-1)


def _put(row, x, column):
    """`row`, of shape `(batch, columns, features)`, with `x` in one of its columns."""
    return ops.slice_update(row, (0, column, 0), ops.expand_dims(x, 1))
