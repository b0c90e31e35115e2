"""Models on several devices against the same on one: `python tests/several_devices.py`, in a process of its own.

JAX makes four devices of one processor, TensorFlow two. Integers must be equal, the rest up to sums in another order.
"""

import os

os.environ["JAX_NUM_CPU_DEVICES"] = "4"

import contextlib

import keras
import numpy as np

from keras_ar import heads, models, noise, scale

NAME = keras.backend.backend()
ATOL = 3e-6

if NAME == "tensorflow":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])


def made():
    return models.MADE(6, hidden_units=8, head=heads.Categorical(3), num_classes=2, name="made")


def seen(make):
    """What is seen of a model that is trained, and of its drivers; of 21 events the last batches hold 5 or 3."""
    keras.utils.set_random_seed(0)
    model = make()
    noise.randomize(model)
    model.compile(keras.optimizers.Adam(1e-2))
    x, condition = data = model.random_batch(21)
    known, weights = np.arange(6) < 2, np.linspace(0.5, 1.5, 21)
    options, draws = {"batch_size": 8, "verbose": 0}, {"batch_size": 5, "seed": 0}
    training = model.fit(data, validation_data=tuple(data), sample_weight=weights, shuffle=False, **options)
    return {
        "history": training.history,
        "weights": model.get_weights(),
        "evaluate": model.evaluate(Sixes(data), verbose=0, return_dict=True),
        "predict": model.predict(data, **options),
        "scores": model.score_samples(x, condition, batch_size=5),
        "samples": model.sample(21, condition, **draws),
        "completed": model.complete(x, known, condition, **draws),
    }


class Sixes(keras.utils.PyDataset):
    """Events and conditions in batches of six, the last of which holds three."""

    def __init__(self, data):
        super().__init__()
        self.data = data

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return tuple(array[6 * i : 6 * i + 6] for array in self.data)


def check_equal(found, expected, what):
    """Everything in a dictionary of nests must be as it is expected."""
    for name in expected:
        pairs = zip(keras.tree.flatten(found[name]), keras.tree.flatten(expected[name]), strict=True)
        for a, b in (map(np.asarray, pair) for pair in pairs):
            np.testing.assert_allclose(
                a, b, atol=0 if b.dtype.kind in "iu" else ATOL, rtol=1e-5, err_msg=f"{what}: {name}"
            )
    print(what, *expected)


@contextlib.contextmanager
def distributed(distribution):
    """A `keras.distribution` on JAX."""
    keras.distribution.set_distribution(distribution)
    try:
        yield
    finally:
        keras.distribution.set_distribution(None)


def check_on_jax():
    """Devices that share events, then devices that share weights."""
    expected, mesh = (
        seen(made),
        keras.distribution.DeviceMesh((2, 2), ["batch", "model"], keras.distribution.list_devices()),
    )
    with distributed(keras.distribution.DataParallel()):
        found = seen(made)
    check_equal(found, expected, "data parallel")
    layouts = scale.layout_map(made(), mesh)
    with distributed(keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")):
        kernel = made().trainable_variables[0].value
        assert {shard.data.shape for shard in kernel.addressable_shards} == {(kernel.shape[0], kernel.shape[1] // 2)}
        found = seen(made)
    check_equal(found, expected, "model parallel")


def check_on_tensorflow():
    """A mirrored strategy: each replica takes a half of every batch."""
    expected = seen(made)
    with tf.distribute.MirroredStrategy(tf.config.list_logical_devices("CPU")).scope():
        found = seen(made)
    check_equal(found, expected, "mirrored")


if __name__ == "__main__":
    check_on_jax() if NAME == "jax" else check_on_tensorflow()
