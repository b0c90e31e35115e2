"""Two processes that train one model, each on its half of every batch.

`python tests/two_processes.py NUMBER PORT FOLDER` is one of them.

They must end with the weights of one process that has the whole batches, and each scores and samples its share.
"""

import importlib.util
import os
import pathlib
import sys

os.environ["KERAS_DISTRIBUTION_JOB_ADDRESSES"] = f"localhost:{sys.argv[2]}"
os.environ["KERAS_DISTRIBUTION_NUM_PROCESSES"] = "2"
os.environ["KERAS_DISTRIBUTION_PROCESS_ID"] = sys.argv[1]

import keras
import numpy as np

import keras_ar
from keras_ar import heads, models, noise

if keras.backend.backend() == "torch":
    import torch

NUMBER, PORT, FOLDER = int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])


def made():
    keras.utils.set_random_seed(0)
    model = models.MADE(6, hidden_units=8, head=heads.Categorical(3))
    noise.randomize(model)
    model.compile(keras.optimizers.Adam(1e-2))
    return model


x = np.random.default_rng(0).integers(0, 3, (24, 6))  # nothing is computed before the processes meet
mine = x.reshape(3, 2, 4, 6)[:, NUMBER].reshape(12, 6)  # a half of each of three batches


def train_by_keras():
    """By Keras' distribution: `fit` takes what this process has of each batch."""
    keras.distribution.initialize()
    # Each process brings its own data.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    model = made()
    model.fit(mine, batch_size=4, epochs=2, shuffle=False, verbose=0)
    return model


def train_by_torch():
    """By torch's own means, around `compute_loss`: Keras has none for torch before 3.16."""
    address = f"tcp://localhost:{PORT}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=NUMBER, world_size=2)
    model = made()
    shared = torch.nn.parallel.DistributedDataParallel(model)  # averages gradients
    variables = model.trainable_variables
    for _ in range(2):
        for first in range(0, len(mine), 4):
            batch = mine[first : first + 4]
            model.zero_grad()
            model.compute_loss(batch, None, shared(batch, training=True)).backward()
            model.optimizer.apply([variable.value.grad for variable in variables], variables)
    return model


if __name__ == "__main__":
    by_keras = importlib.util.find_spec(f"keras.src.backend.{keras.backend.backend()}.distribution_lib") is not None
    model = train_by_keras() if by_keras else train_by_torch()
    np.savez(
        FOLDER / f"process{NUMBER}.npz",
        scores=model.score_samples(x[12 * NUMBER : 12 * NUMBER + 12]),
        samples=model.sample(5, seed=0, first_event=5 * NUMBER),
    )
    if NUMBER == 0:
        model.save(FOLDER / "model.keras")  # by one of them
        if by_keras:
            keras.distribution.set_distribution(None)
        if keras.backend.backend() == "torch":
            torch.distributed.destroy_process_group()  # Keras would go on to train with the other
        alone, found = made(), keras_ar.load_model(FOLDER / "model.keras", compile=False)
        alone.fit(x, batch_size=8, epochs=2, shuffle=False, verbose=0)
        for a, b in zip(found.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
        print("the weights of one process, by", "Keras" if by_keras else "torch")
