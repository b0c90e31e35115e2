"""How a causal layer runs one position at a time, whoever wrote it.

A causal layer of keras_ar or of a plugin has, besides `call`:

- `strict`: `True` if its output at a position sees strictly earlier positions
  only (mask type A), `False` (or absent) if it sees its own position as well;
- `start(batch_size) -> state`, a nest of tensors (no `None`);
- `step(state, x, t) -> (y, state)`: the output at position `t`. A layer that is
  not strict is given its input at `t`; a strict one that at `t - 1`, and nothing
  of use at `t = 0`;
- `by_row`: `True` if its positions are the rows of an image, each seen as a whole: a
  step then takes `x` of shape `(batch, columns, features)`, and `t` counts rows.

Keras' own layers that treat every position alike step by calling themselves.
"""

import keras

_POSITION_WISE = (
    keras.layers.Activation,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.LayerNormalization,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
    keras.layers.Rescaling,
)


def is_strict(layer):
    """Whether the layer hides a position from itself."""
    return getattr(layer, "strict", False)


def is_by_row(layer):
    """Whether the layer sees each row of an image as a whole."""
    return getattr(layer, "by_row", False)


def is_steppable(layer):
    """Whether the layer can run one position at a time."""
    return hasattr(layer, "step") or is_position_wise(layer)


def start(layer, batch_size):
    """State of the layer before the first position."""
    return layer.start(batch_size) if hasattr(layer, "step") else ()


def step(layer, state, x, t):
    """Output of the layer at position `t`, and its next state."""
    return layer.step(state, x, t) if hasattr(layer, "step") else (layer(x), state)


def is_position_wise(layer):
    """Whether the layer of Keras treats every position alike, and alone."""
    if isinstance(layer, keras.layers.LayerNormalization):
        return layer.axis in (-1, [-1])
    return isinstance(layer, _POSITION_WISE)
