"""The base of causal layers: how a layer runs over whole events, and one position at a time."""

import math

import keras
from keras import ops, tree

from keras_ar import backend, cards

__all__ = ["CausalLayer"]


class CausalLayer(keras.layers.Layer):
    """A layer whose output at a position sees only what comes earlier.

    `call` computes all positions at once. Four methods compute the same one position after the other:

    - `prepare(condition=None) -> constants`: the weights laid out for stepping, and what follows
      from the condition. Computed once, carried by nobody.
    - `start(batch_size, num_steps) -> state`: what *is* carried, before the first step.
    - `step(constants, state, t, x) -> (y, state)`: the output at position `t`.
    - `prefill(constants, state, inputs) -> (outputs, state)`: the same for all positions of
      `inputs`, in one pass where the layer knows how.

    Constants and states are nests of tensors without `None`. Positions are counted in raster order
    over all axes between batch and features. At step `t` a layer is given its input at `t`. A *strict* layer,
    whose output at a position does not see that position, is given its input at `t - 1`, and
    nothing of use at `t = 0`.

    A layer that prepares or carries nothing need not write `prepare` and `start`; one without `step` can
    only be used on whole events.

    Attributes:
        strict: Boolean, whether the layer hides a position from itself (mask type A). Defaults to `False`.
        by_row: Boolean, whether the positions are the rows of an image, each seen as a whole: a step then
            takes `x` of shape `(batch, columns, features)`, and `t` counts rows. Defaults to `False`.

    Example:

    >>> class Shift(keras_ar.layers.CausalLayer):
    ...     strict = True
    ...     def call(self, inputs):
    ...         return keras.ops.pad(inputs[:, :-1], [[0, 0], [1, 0], [0, 0]])
    ...     def step(self, constants, state, t, x):
    ...         return keras.ops.where(t > 0, x, keras.ops.zeros_like(x)), state
    ...     def compute_output_shape(self, input_shape):
    ...         return input_shape
    >>> model = keras_ar.models.CausalSequential(5, layers=[Shift(), keras.layers.Dense(8, "relu")])
    >>> model.sample(2, seed=0).shape
    (2, 5)
    """

    strict = False
    by_row = False

    def _repr_html_(self):
        """What a notebook shows: the arguments that it was made with."""
        return cards.html(self)

    def prepare(self, condition=None):
        """What all steps share: a nest of tensors."""
        return ()

    def start(self, batch_size, num_steps):
        """The initial state: a nest of tensors.

        Args:
            batch_size: Integer, the number of events.
            num_steps: Integer, how many steps there will be at most; `None` for a stream without end.
        """
        return ()

    def step(self, constants, state, t, x):
        """The output at position `t`, and the next state.

        Args:
            constants: From `prepare`.
            state: From `start`, or from the step before.
            t: Integer or scalar tensor, the position.
            x: Tensor of shape `(batch, features)`, or a nest of such: the input at `t`, or at
                `t - 1` for a strict layer.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `step`: it can only be used on whole events.")

    @property
    def steppable(self):
        """Whether the layer can run one position at a time."""
        return type(self).step is not CausalLayer.step

    def prefill(self, constants, state, inputs):
        """The outputs at the first positions, and the state after them.

        Args:
            constants: From `prepare`.
            state: From `start`.
            inputs: Tensor of shape `(batch, positions, features)`, or a nest of such: the inputs at the first
                positions, in raster order.

        Returns:
            The pair of outputs `(batch, positions, ...)` and the state. The next step is
            number `positions`.
        """
        xs = tree.map_structure(lambda x: ops.swapaxes(x, 0, 1), inputs)
        if self.strict:  # step `t` is given the input at `t - 1`
            xs = tree.map_structure(lambda x: ops.concatenate([ops.zeros_like(x[:1]), x[:-1]]), xs)

        def body(state, txs):
            t, x = txs
            y, state = self.step(constants, state, t, x)
            return state, y

        num_positions = tree.flatten(xs)[0].shape[0]
        state, ys = backend.scan(body, state, (ops.arange(num_positions), xs))
        return tree.map_structure(lambda y: ops.swapaxes(y, 0, 1), ys), state

    def take(self, x, t):
        """The part of whole inputs or outputs at position `t`: `(batch, *positions, features) -> (batch, features)`.

        Args:
            x: Tensor of shape `(batch, *positions, features)`, or a nest of such.
            t: Integer, the position.
        """
        return tree.map_structure(lambda x: self._in_a_line(x)[:, t], x)

    def _in_a_line(self, x):
        positions = x.shape[1:2] if self.by_row else x.shape[1:-1]
        return ops.reshape(x, (-1, math.prod(positions), *x.shape[1 + len(positions) :]))

    def cast_weight(self, weight):
        """A weight as a tensor of the dtype that the layer computes in."""
        return ops.cast(ops.convert_to_tensor(weight), self.compute_dtype)
