"""All pieces of models with everything on a device that is not the first: `python tests/second_device.py [--all]`.

On torch it is `meta`, which has shapes and no values: whatever mixes devices, or asks for a value, is an error there.
JAX and TensorFlow make two devices of one processor, and the second must give what the first one gives. These
compile, which takes minutes for all models; a few suffice where each change is tested.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import contextlib
import sys

import keras
import numpy as np
from keras import ops

from keras_ar import backend, noise

NAME = keras.backend.backend()
OTHER = "meta" if NAME == "torch" else "cpu:1"

if NAME == "tensorflow":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])


@contextlib.contextmanager
def on_the_other_device():
    """Everything that is made here lies on the other device; to mix it with the first is an error on JAX and torch."""
    with keras.device(OTHER), contextlib.ExitStack() as stack:
        if NAME == "jax":
            import jax

            stack.enter_context(jax.transfer_guard_device_to_device("disallow"))
        yield


def is_there(tensor):
    """Whether a tensor lies on the other device."""
    if NAME == "torch":
        return tensor.device.type == "meta"
    if NAME == "jax":
        return {device.id for device in tensor.devices()} == {1}
    return tensor.device.endswith("CPU:1")


def models():
    """All that are tested for conformance, or a few. They are made here: TensorFlow takes no new devices afterwards."""
    if "--all" in sys.argv:
        import test_conformance

        any_order = test_conformance.ANY_ORDER_MODELS
        return [*test_conformance.MODELS, *any_order, *test_conformance.IMAGE_MODELS, *test_conformance.SEQUENCE_MODELS]
    import test_devices

    return [test_devices.MODELS[name]() for name in ("made-narrow", "pixel_cnn")]


def pieces(model, batch):
    """What the pieces of a model give, by their names."""
    x, *condition = (ops.convert_to_tensor(array) for array in batch)
    uniforms = ops.convert_to_tensor(noise.uniforms(0, 0, len(batch[0]), model.noise_shape))
    run = {
        "log_prob": lambda: model.log_prob(x, *condition),
        "draw": lambda: model.draw(uniforms, *condition),
    }
    if NAME == "torch":
        run["training"] = lambda: model(x, *condition, training=True)
    if model.steppable and model.has_prefill:

        def prefill():
            constants = model.prepare(*model.encode_condition(*condition or (None,)))
            return model.prefill(constants, model.start(x.shape[0], model.num_steps), model.to_steps(x)[:, :2])

        run["prefill"] = prefill
    return {name: backend.compiled(model, lambda x, piece=piece: piece())(x) for name, piece in run.items()}


def main():
    for model in models():
        batch = model.random_batch(3)
        with on_the_other_device():
            other = type(model).from_config(model.get_config())
            if NAME != "torch":
                other.set_weights(model.get_weights())
            found = pieces(other, batch)
            tensors = [*keras.tree.flatten(found), *(variable.value for variable in other.variables)]
            assert all(map(is_there, tensors)), f"{model.name}: a tensor is not on {OTHER}"
        if NAME != "torch":
            for a, b in zip(*map(keras.tree.flatten, (found, pieces(model, batch))), strict=True):
                np.testing.assert_allclose(*map(ops.convert_to_numpy, (a, b)), atol=1e-5, err_msg=model.name)
        print(model.name)


if __name__ == "__main__":
    main()
