"""How the devices of a `keras.distribution` share a batch on JAX: each takes a part of the events.

In a single process Keras lays data and weights out over all devices. Several processes train together in the same way;
but what a driver is given differs from process to process, so each computes on its own devices, with its own copy of
the weights.
"""

import contextlib

import jax
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from keras import tree

from keras_ar.backend.keeping import Wrapped

__all__ = ["PaddedData", "alone", "num_shares", "share", "weights"]

_AXIS = "events"


def num_shares():
    """Among how many devices of this process the events of a batch are divided."""
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else max(1, distribution.num_model_replicas // jax.process_count())


def share(x, axis):
    """A nest of arrays, divided among the devices along an axis where its length allows it."""
    count = num_shares()
    if count == 1:
        return x

    def divided(array):
        array = np.asarray(array) if not isinstance(array, jax.Array) else array
        if array.shape[axis] % count:
            return array
        mesh, name = _mesh()
        spec = [None] * array.ndim
        spec[axis] = name
        return jax.device_put(array, NamedSharding(mesh, PartitionSpec(*spec)))

    return tree.map_structure(divided, x)


def weights(variables):
    """The values of variables, as a driver reads them."""
    values = [variable.value for variable in variables]
    return [_own_copy(value) for value in values] if jax.process_count() > 1 else values


@contextlib.contextmanager
def alone():
    """A context in which one of several processes need not wait for the others: new variables are its own."""
    distribution = keras.distribution.distribution()
    if distribution is None or jax.process_count() == 1:
        yield
        return
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def _mesh():
    """The devices that a driver computes on, and the name of the axis that events are divided along."""
    distribution = keras.distribution.distribution()
    mesh = distribution.device_mesh.backend_mesh
    if jax.process_count() == 1 or distribution.num_model_replicas < mesh.size:
        return mesh, distribution.batch_dim_name
    return Mesh(np.array(mesh.local_devices), (_AXIS,)), _AXIS


def _own_copy(value):
    """The copy of a weight on this process's devices; the weight itself if it is split among processes."""
    if value.is_fully_addressable or not value.is_fully_replicated:
        return value
    sharding = NamedSharding(_mesh()[0], PartitionSpec())
    copies = [shard.data for shard in value.addressable_shards]
    return jax.make_array_from_single_device_arrays(value.shape, sharding, copies)


class PaddedData(Wrapped):
    """Data whose batches are as long as the devices can divide, and say which of their events are padding.

    Keras divides batches among devices, and fails where one cannot be divided, as the last one often is. A batch comes
    as `(x, y, sample_weight, is_padding)`. Padding has the weight 0, and the other events one that makes the mean over
    the batch what it is without padding.
    """

    def get_jax_iterator(self, super_batch=None, **options):
        if super_batch:  # Keras 3.16 stacks the batches of several steps
            raise ValueError(
                f"`steps_per_execution` must be 1 under a distribution whose devices cannot divide every batch. "
                f"Received: steps_per_execution={super_batch}."
            )
        for batch in self.adapter.get_jax_iterator(**options):
            yield _padded(*keras.utils.unpack_x_y_sample_weight(batch))


def _padded(x, y, sample_weight):
    length = tree.flatten(x)[0].shape[0]
    num_padded = -length % num_shares()
    weight = np.ones(length, "float32") if sample_weight is None else np.asarray(sample_weight, "float32")
    weight = weight * np.float32((length + num_padded) / length)
    weight = np.concatenate([weight, np.zeros((num_padded, *weight.shape[1:]), "float32")])
    x, y = tree.map_structure(lambda array: _repeat_last(array, num_padded), (x, y))
    return x, y, weight, np.arange(length + num_padded) >= length


def _repeat_last(array, count):
    if array is None:
        return None
    array = np.asarray(array)
    return np.concatenate([array, np.repeat(array[-1:], count, axis=0)])
