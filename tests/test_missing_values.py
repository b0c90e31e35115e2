"""Training on events with holes, from every kind of data: nothing becomes NaN, and what is there is learned.

`test_any_order.py` has the same of a `keras.utils.PyDataset`.
"""

import keras
import numpy as np
import pytest

from keras_ar import models

_RNG = np.random.default_rng(0)
_BITS = _RNG.random((400, 2)) < [0.5, 0.2]
_COMPLETE = np.stack([np.ones(400), _BITS[:, 0], _BITS[:, 0], _BITS[:, 1]], axis=1)  # a one, a bit twice, another bit
EVENTS = np.where(_RNG.random((400, 4)) < 1 / 3, np.nan, _COMPLETE).astype("float32")
BATCH_SIZE = 40


def in_numpy(x):
    return x


def in_masked_array(x):
    missing = np.isnan(x)
    return np.ma.array(np.where(missing, 99, x).astype("int32"), mask=missing)


def in_tf_data(x):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(x).batch(BATCH_SIZE)


def in_data_loader(x):
    torch = pytest.importorskip("torch")
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(x)), batch_size=BATCH_SIZE)


def in_grain(x):
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(x).batch(BATCH_SIZE)


def in_grain_data_loader(x):
    grain = pytest.importorskip("grain")
    sampler = grain.samplers.SequentialSampler(len(x))
    return grain.DataLoader(data_source=x, sampler=sampler, operations=[grain.transforms.Batch(BATCH_SIZE)])


ARRAYS = [in_numpy, in_masked_array]
DATASETS = [in_tf_data, in_data_loader, in_grain, in_grain_data_loader]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras, of Grain: nobody tells how long it is
@pytest.mark.parametrize("source", [*ARRAYS, *DATASETS], ids=lambda source: source.__name__)
def test_what_is_there_is_learned(source):
    keras.utils.set_random_seed(0)
    model = models.DeepNADE(4, hidden_units=6, activation="tanh")
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 300)))
    batch_size = BATCH_SIZE if source in ARRAYS else None
    history = model.fit(source(EVENTS), batch_size=batch_size, epochs=30, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert history["loss"][-1] < 0.8 * history["loss"][0]

    each_alone = np.where(np.eye(4, dtype=bool), 1.0, np.nan)
    learned = np.exp(model.score_samples(each_alone))
    np.testing.assert_allclose(learned, np.nanmean(EVENTS, axis=0), atol=0.1)
    twice = np.array([[np.nan, bit, bit, np.nan] for bit in (0, 1)])
    second_given_first = np.exp(model.score_samples(twice, given=[False, True, False, False]))
    assert (second_given_first > 0.9).all()
