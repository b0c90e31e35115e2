"""Training on events with holes, from every kind of data: nothing becomes NaN, and what is there is learned.

`test_any_order.py` has the same of a `keras.utils.PyDataset`.
"""

import keras
import numpy as np
import pytest
from kinds_of_data import in_data_loader, in_numpy, in_tf_data

from keras_ar import models

_RNG = np.random.default_rng(0)
_BITS = _RNG.random((200, 2)) < [0.7, 0.2]
COMPLETE = np.stack([np.ones(200), _BITS[:, 0], _BITS[:, 0], _BITS[:, 1]], axis=1).astype("float32")
EVENTS = np.where(_RNG.random((200, 4)) < 1 / 3, np.float32(np.nan), COMPLETE)  # a one, a bit twice, another bit


def in_masked_array(x):
    return np.ma.array(np.where(np.isnan(x), 99, x).astype("int32"), mask=np.isnan(x))


def in_grain(x):
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(x).batch(5)


def in_grain_data_loader(x):
    grain = pytest.importorskip("grain")
    sampler = grain.samplers.SequentialSampler(len(x), shard_options=grain.sharding.NoSharding())
    return grain.DataLoader(data_source=x, sampler=sampler, operations=[grain.transforms.Batch(5)])


ARRAYS = [in_numpy, in_masked_array]
DATASETS = [in_tf_data, in_data_loader, in_grain, in_grain_data_loader]


@pytest.mark.parametrize("source", [*ARRAYS, *DATASETS], ids=lambda source: source.__name__)
def test_what_is_there_is_learned(source):
    keras.utils.set_random_seed(0)
    model = models.DeepNADE(4, hidden_units=6)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 400)))
    history = model.fit(source(EVENTS), batch_size=5 if source in ARRAYS else None, epochs=10, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert history["loss"][-1] < 0.8 * history["loss"][0]

    each_alone = np.where(np.eye(4, dtype=bool), 1.0, np.nan)
    learned = np.exp(model.score_samples(each_alone))
    np.testing.assert_allclose(learned, np.nanmean(EVENTS, axis=0), atol=0.1)
    both = np.array([[np.nan, bit, bit, np.nan] for bit in (0, 1)])
    second_given_first = np.exp(model.score_samples(both, given=[False, True, False, False]))
    assert (second_given_first > 0.9).all()
    print(
        source.__name__,
        learned - np.nanmean(EVENTS, axis=0),
        history["loss"][0],
        history["loss"][-1],
        second_given_first,
    )
