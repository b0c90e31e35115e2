# %% [markdown]
# # Backends and GPUs
#
# The same code runs on TensorFlow, JAX and PyTorch, on a CPU, on a GPU or on several devices. This guide shows what is
# the same everywhere, and what is not.

# %%
import importlib.util
import os
import subprocess
import sys
import time

import keras
import keras_ar
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ
backend = keras.backend.backend()

if backend == "tensorflow":
    import tensorflow as tf
elif backend == "torch":
    import torch

keras.utils.set_random_seed(0)
data = keras_ar.datasets.load("digits", binary=True)
print("this runs on", backend)

# %% [markdown]
# ## Which backend?
#
# The environment variable `KERAS_BACKEND` chooses it, before Keras is imported: `KERAS_BACKEND=jax python train.py`; or
# `"backend"` in `~/.keras/keras.json`. A process has one backend, and models do not depend on which.
#
# - **JAX** and **TensorFlow** compile the sampling of a batch into one program.
# - **PyTorch** runs operation by operation: there is no compile time, and a debugger works as usual. Sampling is a
#   Python loop. From a few hundred steps on, a step is traced: it then runs without Keras, three to eleven times as
#   fast; on a GPU it is recorded as a CUDA graph. `method="parallel"` may be faster still.
#
# The same everywhere: the events of a seed, masks, orderings, likelihoods (up to the last digits of a float), and
# files. Not the same: initial weights and dropout use the backend's own random numbers, so training runs differ.
#
# `compile(jit_compile=...)` and `compile(run_eagerly=True)` hold for `sample` and `score_samples` as they do for `fit`.


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
# The program below runs in a process of its own on each installed backend. It opens the file, scores the test images
# and samples. The last number is a checksum of 200 samples.

# %%
program = """
import zlib, keras, keras_ar
model = keras.saving.load_model("made.keras")
nats = -model.score_samples(keras_ar.datasets.load("digits", binary=True).test).mean()
samples = model.sample(200, seed=0).astype("uint8")
print(f"{keras.backend.backend():10}  {nats:.5f} nats   {zlib.crc32(samples.tobytes()):08x}")
"""
installed = [name for name in ("jax", "tensorflow", "torch") if importlib.util.find_spec(name)]
for name in [backend] if QUICK else installed:
    environment = {**os.environ, "KERAS_BACKEND": name}
    command = [sys.executable, "-c", program]
    print(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout, end="")

# %% [markdown]
# ## A GPU
#
# A backend that finds a GPU uses it (`pip install "jax[cuda]"`, `tensorflow[and-cuda]`, or PyTorch's own build). These
# are the devices here:

# %%
if backend == "jax":
    import jax

    print(jax.devices())
elif backend == "tensorflow":
    print(tf.config.list_logical_devices())
else:
    print(torch.cuda.device_count(), "GPUs for PyTorch")

# %% [markdown]
# Use large batches on any device: `batch_size=` in `fit`, and also in `sample`, `score_samples` and `complete`.
# Stepwise sampling is a long chain of small operations, and a batch shares the cost of each. (The times below are those
# of this machine; measure on your own.)

# %%
for count in (1, 16, 256):
    model.sample(count, seed=0, batch_size=count)  # compiles
    start = time.perf_counter()
    model.sample(count, seed=0, batch_size=count)
    print(f"{count:4} samples at a time: {1e6 * (time.perf_counter() - start) / count:8.0f} microseconds each")

# %% [markdown]
# Without a `batch_size`, scores are computed 256 and samples drawn 64 events at a time on a CPU, 1,024 elsewhere. Fewer
# events than that are padded to 4, 8, 16 and so on (elsewhere to 256 or 512): few sizes are compiled for.
#
# A step of training of a small model costs what Keras does around it. `compile(steps_per_execution=10)` takes ten steps
# at once, which helps where that is most of it: on TensorFlow, and on JAX on a GPU. Keras refuses it on PyTorch.

# %%
if backend != "torch":
    for count in (1, 10):
        tiny = keras_ar.models.MADE(16, hidden_units=8)
        tiny.compile("adam", steps_per_execution=count)
        x = np.zeros((2000, 16))
        tiny.fit(x, batch_size=20, verbose=0)  # compiles
        start = time.perf_counter()
        tiny.fit(x, batch_size=20, epochs=3, verbose=0)
        print(f"{count:2} steps at once: {1e6 * (time.perf_counter() - start) / 300:6.0f} microseconds a step")

# %% [markdown]
# Samples and scores are computed in true float32 on every device. Where GPUs may round the factors of a product to ten
# bits ("TF32", the default of JAX and TensorFlow, and of PyTorch's convolutions), a step and a whole pass differ in the
# third digit, and a sample is not what its score says. Training rounds as the backend has it.
#
# On one H100 (`benchmarks/RESULTS.md`) `method="parallel"` was two to four times as fast as steps on JAX; on PyTorch
# the steps were faster for image models. Where there are many batches to draw, `method="auto"` tries both on yours.
#
# ## Mixed precision
#
# With the dtype policy `"mixed_bfloat16"` networks compute in 16 bits, and weights are kept in 32. On GPUs with
# hardware for it this is faster and takes half the memory; on a CPU it is usually slower. Log-probabilities are
# computed in 32 bits under any policy, because a sum of thousands of terms needs more than the 8 bits of bfloat16's
# mantissa.

# %%
half = small_model(dtype="mixed_bfloat16")
half.set_weights(model.get_weights())
x = data.test
for name, one in (("float32", model), ("mixed_bfloat16", half)):
    print(f"{name:15} computes in {one.compute_dtype:9} {-one.score_samples(x).mean():.3f} nats, {x.shape[0]} images")

# %% [markdown]
# (The policy `"bfloat16"` keeps the weights in 16 bits as well. The small steps of an optimizer are then rounded away.)
#
# ## Several devices
#
# The guide on [scaling](scaling.py) has them: what JAX, TensorFlow and PyTorch do with several devices and processes.
#
# ## Threads
#
# On a CPU more threads are not always faster. Several processes with as many threads as there are cores slow each other
# down; with PyTorch we have measured a factor of twenty. Set `OMP_NUM_THREADS=1` for each process.
