"""Layers that see what comes later are refused when a chain is made."""

import keras
import numpy as np
import pytest

from keras_ar import layers, models

FOLD = 3  # features


def chain(layer, event_shape=6):
    return models.CausalSequential(
        event_shape, layers=[keras.layers.Dense(FOLD), layers.CausalConv1D(FOLD, 2, strict=True), layer]
    )


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv1D(4, 3, padding="same"),
        keras.layers.Bidirectional(keras.layers.GRU(2, return_sequences=True)),
        keras.layers.MaxPooling1D(2, strides=1, padding="same"),
        keras.layers.UnitNormalization(axis=1),
        layers.PositionWise(keras.layers.Conv1D(4, 3, padding="same"), name="wrapped"),
    ],
    ids=lambda layer: layer.name,
)
def test_a_layer_that_sees_later_positions_is_refused(layer):
    with pytest.raises(ValueError, match=rf"`layers` must not see what comes later. Received: {layer.name}, whose"):
        chain(layer)


def test_what_is_wrapped_must_treat_each_position_alone():
    with pytest.raises(ValueError, match="`PositionWise` must hold a layer that treats each position alone"):
        chain(layers.PositionWise(keras.layers.Conv1D(4, 3, padding="causal")))


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv1D(4, 3, padding="causal"),
        keras.layers.GRU(2, return_sequences=True),
        keras.layers.BatchNormalization(),
        layers.PositionWise(keras.layers.EinsumDense("abc,cd->abd", (None, 4)), name="wrapped"),
    ],
    ids=lambda layer: layer.name,
)
def test_a_causal_layer_of_keras_is_taken_and_keeps_its_weights(layer):
    layer.build((None, 6, FOLD))
    before = layer.get_weights()
    model = chain(layer)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.isfinite(model.score_samples(np.zeros((1, 6)))).all()


def test_a_position_in_an_image_is_named():
    masked = layers.MaskedConv2D(4, 3, mask_type="A")
    with pytest.raises(ValueError, match=r"whose output at position \(0, 0\) changes with inputs at later positions"):
        models.CausalSequential((4, 4, 1), layers=[masked, keras.layers.Conv2D(4, 3, padding="same")])
