# %% [markdown]
# # Three backends, GPUs, several devices
#
# The same code runs on TensorFlow, JAX and PyTorch, on a CPU, a GPU or several. What stays the same from one to the
# other, what does not, and what has to be said to use more than one device.

# %%
import contextlib
import importlib.util
import os
import subprocess
import sys
import time

# Two devices out of one CPU, to have several on any machine. Backends read this when they start, not later; where
# there are GPUs, those are used.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import keras
import keras_ar

QUICK = "KERAS_AR_QUICK" in os.environ
backend = keras.backend.backend()

if backend == "tensorflow":
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # a process that has computed already keeps the devices that it has
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
elif backend == "torch":
    import torch

keras.utils.set_random_seed(0)
data = keras_ar.datasets.load("digits", binary=True)
print("this runs on", backend)

# %% [markdown]
# ## Which backend?
#
# The environment variable `KERAS_BACKEND` says it, before Keras is imported: `KERAS_BACKEND=jax python train.py`, or
# `"backend"` in `~/.keras/keras.json`. One process has one backend. Nothing in your code, or in ours, asks which.
#
# - **JAX** and **TensorFlow** compile a whole draw into one program. On JAX everything is compiled, always.
# - **PyTorch** runs operation by operation: nothing waits for a compiler, and the debugger stops where you are. A
#   draw is a Python loop there; `method="parallel"` may be the faster one.
#
# What stays the same: the events of a seed, the masks, the orderings, the likelihoods (to the last digits of a
# float), and files. What does not: initial weights and dropout are the backend's own random numbers, so training runs
# differ.


# %%
def small_model(**kwargs):
    return keras_ar.models.MADE(data.event_shape, hidden_units=(200,), direct=True, **kwargs)


def trained(model, epochs=10):
    model.compile(keras.optimizers.Adam(3e-3))
    x = data.train[:128] if QUICK else data.train[:1280]
    model.fit(x, batch_size=64, epochs=1 if QUICK else epochs, verbose=0)
    return model


model = trained(small_model())
model.save("made.keras")

# %% [markdown]
# ## Saved on one, opened on the others
#
# The few lines below run in a process of their own, on each backend that is installed. They open the file, score
# the test images, and draw. The last number is a fingerprint of 200 draws.

# %%
program = """
import zlib, keras, keras_ar
model = keras.saving.load_model("made.keras")
nats = -model.score_samples(keras_ar.datasets.load("digits", binary=True).test).mean()
draws = model.sample(200, seed=0).astype("uint8")
print(f"{keras.backend.backend():10}  {nats:.5f} nats   {zlib.crc32(draws.tobytes()):08x}")
"""
installed = [name for name in ("jax", "tensorflow", "torch") if importlib.util.find_spec(name)]
for name in [backend] if QUICK else installed:
    environment = {**os.environ, "KERAS_BACKEND": name}
    command = [sys.executable, "-c", program]
    print(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout, end="")

# %% [markdown]
# ## A GPU
#
# Nothing has to be said: a backend that finds a GPU uses it (`pip install "jax[cuda]"`, `tensorflow[and-cuda]`, or
# PyTorch's own build). These are the devices here:

# %%
if backend == "jax":
    import jax

    print(jax.devices())
elif backend == "tensorflow":
    print(tf.config.list_logical_devices())
else:
    print(torch.cuda.device_count(), "GPUs for PyTorch")

# %% [markdown]
# Whatever the device, give it much to do at a time: large batches in `fit`, and `batch_size=` in `sample`,
# `score_samples` and `complete`, which have batches of their own. A stepwise draw is a chain of many small
# operations, and a batch shares the cost of each. (These guides and their tests run on CPUs; measure on your own GPU
# before you believe a number.)

# %%
for count in (1, 16, 256):
    model.sample(count, seed=0, batch_size=count)  # compiles
    start = time.perf_counter()
    model.sample(count, seed=0, batch_size=count)
    print(f"{count:4} draws at a time: {1e6 * (time.perf_counter() - start) / count:8.0f} microseconds each")

# %% [markdown]
# ## Half the digits
#
# With the dtype policy `"mixed_bfloat16"` networks compute in 16 bits, and weights are kept in 32. On GPUs that have
# the hardware for it, it is faster and takes half the memory; on a CPU, mostly not. Log-probabilities are computed in
# 32 bits under any policy: a sum of thousands of terms would not survive in 8 bits of mantissa.

# %%
half = small_model(dtype="mixed_bfloat16")
half.set_weights(model.get_weights())
x = data.test
for name, one in (("float32", model), ("mixed_bfloat16", half)):
    print(f"{name:15} computes in {one.compute_dtype:9} {-one.score_samples(x).mean():.3f} nats, {x.shape[0]} images")

# %% [markdown]
# (A policy of plain `"bfloat16"` keeps the weights in 16 bits as well. Small steps of an optimizer are then rounded
# away, and Adam does not move at all.)
#
# ## Several devices: JAX
#
# Keras' distribution API is made for JAX. `DataParallel` gives each device a copy of the weights and a share of every
# batch, and adds up the gradients. It is set once, before the model is made; then `fit`, `evaluate`, `score_samples`
# and `sample` are what they always were. Batches must be multiples of the number of devices, the last one as well:
# above we train on 1280 images, twenty batches of 64.


# %%
def loss_after_training():
    keras.utils.set_random_seed(1)
    return trained(small_model()).evaluate(data.test[:248], batch_size=124, verbose=0)


if backend == "jax":
    alone = small_model()
    alone.set_weights(model.get_weights())
    losses = [loss_after_training()]
    devices = keras.distribution.list_devices()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    try:
        losses.append(loss_after_training())
        shared = small_model()
        shared.set_weights(alone.get_weights())
        same = (shared.sample(64, seed=0) == alone.sample(64, seed=0)).all()
    finally:
        keras.distribution.set_distribution(None)
    print(f"{len(devices)} devices:", *devices)
    print("loss on one device and on all:", *(f"{loss[0] if isinstance(loss, list) else loss:.4f}" for loss in losses))
    print("the same draws:", bool(same))

# %% [markdown]
# A model that is too large for one device is cut instead: `keras.distribution.ModelParallel`, with a `LayoutMap` from
# names of weights to axes of devices.
#
# ## Several devices: TensorFlow
#
# There `tf.distribute` does it, in TensorFlow's own words: make and compile the model inside the strategy's scope.
# The loss of a model is averaged over replicas as it should be, because it is reduced by a Keras `Loss`; a plain mean
# would count once for each replica.

# %%
if backend == "tensorflow":
    losses = [loss_after_training()]
    strategy = tf.distribute.MirroredStrategy(
        tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    )
    with strategy.scope():
        losses.append(loss_after_training())
    print(f"{strategy.num_replicas_in_sync} replicas")
    print("loss on one device and on all:", *(f"{loss[0] if isinstance(loss, list) else loss:.4f}" for loss in losses))

# %% [markdown]
# ## Several devices: PyTorch
#
# As of Keras 3.15 the distribution API does nothing on PyTorch, and `fit` knows of no process group: in several
# processes each would train a model of its own, without a word. So on PyTorch use one GPU per process, for different
# settings or seeds, or train on JAX and open the file on PyTorch.

# %%
if backend == "torch":
    print("one device:", "cuda" if torch.cuda.is_available() else "cpu")

# %% [markdown]
# ## Threads
#
# On a CPU more is not always faster. Several processes, each with as many threads as there are cores, get in each
# other's way; PyTorch has been seen to run twenty times slower. `OMP_NUM_THREADS=1` for each process settles it.
