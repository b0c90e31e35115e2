"""One small set of events, in every kind of data that Keras trains on."""

import keras
import numpy as np
import pytest

__all__ = [
    "CONDITION",
    "EVENTS",
    "Batches",
    "BatchesOfPairs",
    "in_data_loader",
    "in_data_loader_of_pairs",
    "in_numpy",
    "in_tf_data",
    "in_tf_data_of_pairs",
]

_RNG = np.random.default_rng(0)
EVENTS = (_RNG.random((10, 4)) < [0.9, 0.5, 0.2, 0.1]).astype("int32")
CONDITION = _RNG.normal(size=(10, 2)).astype("float32")


class Batches(keras.utils.PyDataset):
    """Arrays, in batches of five."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 2

    def __getitem__(self, index):
        batch = tuple(array[5 * index : 5 * index + 5] for array in self.arrays)
        return batch if len(batch) == 1 else (batch,)


class BatchesOfPairs(Batches):
    """The same, each batch a pair as Keras has it for inputs and targets."""

    def __getitem__(self, index):
        (pair,) = super().__getitem__(index)
        return pair


def in_numpy(*arrays):
    return arrays if len(arrays) == 2 else arrays[0]


def in_data_loader(*arrays):
    torch = pytest.importorskip("torch")

    def collate(rows):
        batch = tuple(torch.stack(column) for column in zip(*rows, strict=True))
        return batch if len(batch) == 1 else (batch,)

    data = torch.utils.data.TensorDataset(*map(torch.tensor, arrays))
    return torch.utils.data.DataLoader(data, batch_size=5, collate_fn=collate)


def in_tf_data(*arrays):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((in_numpy(*arrays),)).batch(5)


def in_data_loader_of_pairs(*arrays):
    torch = pytest.importorskip("torch")
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*map(torch.tensor, arrays)), batch_size=5)


def in_tf_data_of_pairs(*arrays):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(arrays).batch(5)
