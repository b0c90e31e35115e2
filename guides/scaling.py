# %% [markdown]
# # From one core to a cluster
#
# A model is trained on one device, then on several, then by several processes; scores and samples are computed by any
# number of workers; data are larger than memory. Each step runs here as far as one machine can take it. All steps rest
# on one property: event 7 of a seed is the same event wherever it is drawn, so work can be divided in any way, and lost
# work can be done again.

# %%
import importlib.util
import os
import pathlib
import subprocess
import sys
import time

os.environ["JAX_NUM_CPU_DEVICES"] = "2"  # JAX takes this processor for two devices; it reads this when it starts

import keras
import keras_ar
import matplotlib.pyplot as plt
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ
BACKEND = keras.backend.backend()
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}  # of other processes

if BACKEND == "tensorflow":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

data = keras_ar.datasets.load("digits", binary=True)
x, EPOCHS = (data.train[:210], 1) if QUICK else (data.train, 20)

# %% [markdown]
# ## One device
#
# This is the model that all steps below have to agree with. 1,297 images in batches of 64 leave 17 for the last batch.


# %%
def made():
    keras.utils.set_random_seed(0)
    model = keras_ar.models.MADE(data.event_shape, hidden_units=(200,), direct=True)
    model.compile(keras.optimizers.Adam(3e-3))
    return model


def trained():
    model = made()
    model.fit(x, batch_size=64, epochs=EPOCHS, shuffle=False, verbose=0)
    return model


model = trained()
model.save("made.keras")
print(f"{-model.score_samples(data.test).mean():.3f} nats for a test image")

# %% [markdown]
# ## Several devices
#
# **JAX.** Set a `keras.distribution` before the model is made. Each device gets a copy of the weights and its part of
# every batch, in `fit` and `evaluate` as in `sample`, `score_samples` and `complete`. A batch that the devices cannot
# divide, as the last one often is, is padded; padding has no weight, so losses, metrics and weights are those of one
# device.
#
# A model that is too large for a device is split: `keras_ar.scale.layout_map` makes the layout for
# `keras.distribution.ModelParallel`, in which each kernel is divided along its last axis.

# %%
if BACKEND == "jax":
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    shared = trained()
    keras.distribution.set_distribution(None)
    mesh = keras.distribution.DeviceMesh((1, 2), ["batch", "model"], keras.distribution.list_devices())
    layouts = keras_ar.scale.layout_map(model, mesh)
    keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch"))
    split = trained()
    keras.distribution.set_distribution(None)
    for name, other in (("shared batches", shared), ("split weights", split)):
        furthest = max(np.abs(a - b).max() for a, b in zip(other.get_weights(), model.get_weights(), strict=True))
        print(f"{name}: weights differ by at most {furthest:.1e}")

# %% [markdown]
# **TensorFlow.** Make and compile the model in the scope of a strategy, and call everything outside of it. Parts of a
# batch weigh by their length, so weights and losses are those of one device. The first batch must be a multiple of the
# number of devices, because Keras adds its parts up once, and every batch must have an event for each device.

# %%
if BACKEND == "tensorflow":
    strategy = tf.distribute.MirroredStrategy(tf.config.list_logical_devices("CPU"))
    with strategy.scope():
        shared = trained()
    furthest = max(np.abs(a - b).max() for a, b in zip(shared.get_weights(), model.get_weights(), strict=True))
    print(f"{strategy.num_replicas_in_sync} replicas: weights differ by at most {furthest:.1e}")

# %% [markdown]
# **PyTorch** takes one process for each device, which is the next step.
#
# ## Several processes
#
# Two processes train one model; each brings a half of every batch, and their gradients are averaged. On PyTorch a Keras
# model is a `torch.nn.Module`, and `DistributedDataParallel` does the work around `compute_loss`. (Keras 3.16 is going
# to have `keras.distribution` on PyTorch; with it the program for JAX will do for both.) The program is the same on one
# machine and on many: only the address changes.

# %%
programs = {}
programs["torch"] = """
import sys, keras, keras_ar, numpy as np, torch
from torch.nn.parallel import DistributedDataParallel
number, port = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"tcp://localhost:{port}", rank=number, world_size=2)
keras.utils.set_random_seed(0)
model = keras_ar.models.MADE((8, 8, 1), hidden_units=(200,), direct=True)
model.compile(keras.optimizers.Adam(3e-3))
shared, variables = DistributedDataParallel(model), model.trainable_variables
for batch in np.load(f"half_{number}.npy"):
    model.zero_grad()
    model.compute_loss(batch, None, shared(batch, training=True)).backward()  # averages the gradients
    model.optimizer.apply([variable.value.grad for variable in variables], variables)
if number == 0:
    model.save("by_two.keras")  # by one of them
torch.distributed.barrier()
"""
programs["jax"] = """
import os, sys
os.environ |= {"JAX_NUM_CPU_DEVICES": "1", "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"localhost:{sys.argv[2]}",
               "KERAS_DISTRIBUTION_NUM_PROCESSES": "2", "KERAS_DISTRIBUTION_PROCESS_ID": sys.argv[1]}
import keras, keras_ar, numpy as np
keras.distribution.initialize()
keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))  # each has its data
keras.utils.set_random_seed(0)
model = keras_ar.models.MADE((8, 8, 1), hidden_units=(200,), direct=True)
model.compile(keras.optimizers.Adam(3e-3))
half = np.load(f"half_{sys.argv[1]}.npy")
model.fit(half.reshape(-1, 8, 8, 1), batch_size=half.shape[1], shuffle=False, verbose=0)
if sys.argv[1] == "0":
    model.save("by_two.keras")
"""
if BACKEND in programs and not QUICK:
    whole = x[: len(x) // 64 * 64].reshape(-1, 64, 8, 8, 1)
    for number, half in enumerate(np.split(whole, 2, axis=1)):
        np.save(f"half_{number}.npy", half)
    command = [sys.executable, "-c", programs[BACKEND]]
    processes = [subprocess.Popen([*command, str(number), "29555"], env=ENVIRONMENT) for number in range(2)]
    print("exit codes:", *(process.wait() for process in processes))
    alone = made()
    alone.fit(whole.reshape(-1, 8, 8, 1), batch_size=64, shuffle=False, verbose=0)
    by_two = keras_ar.load_model("by_two.keras")
    furthest = max(np.abs(a - b).max() for a, b in zip(by_two.get_weights(), alone.get_weights(), strict=True))
    print(f"two processes and one: weights differ by at most {furthest:.1e}")

# %% [markdown]
# Where several processes train together, what a driver is given is each process's own: `score_samples` scores the shard
# that it gets there, and `sample(..., first_event=...)` draws another range of the seed.
#
# ## Many machines, without an engine
#
# `keras-ar sample --last` and `keras-ar score` do ranges of events into a folder, a file for each range. Processes
# on any number of machines take a `--shard` each. A file is there as a whole or not at all, and what is there is
# not done again: whoever was killed is simply started once more. The folder has a manifest; with another model, another
# seed or other ranges it refuses to be mixed.

# %%
COUNT = 200 if QUICK else 20_000
command = ["keras-ar", "sample", "made.keras", "--seed", "0", "--last", str(COUNT), "--size", str(COUNT // 20)]
command += ["--out", "samples", "--shard"]
if not QUICK:
    first, second = (subprocess.Popen([*command, share], env=ENVIRONMENT) for share in ("1/2", "2/2"))
    while not [*pathlib.Path("samples").glob("events-*")]:
        time.sleep(0.05)
    first.kill()  # a machine fails
    second.wait()
    print(len([*pathlib.Path("samples").glob("events-*")]), "of 20 ranges are done")
for share in ("1/2", "2/2"):  # whoever has nothing left to do ends at once
    print(subprocess.run([*command, share], capture_output=True, text=True, check=True).stdout, end="")

# %% [markdown]
# `keras_ar.scale.read` puts the ranges together, and complains of a gap. They are the events that one call of `sample`
# draws.

# %%
drawn = keras_ar.scale.read("samples")["x"]
print("the same events:", bool((drawn[-100:] == model.sample(100, seed=0, first_event=COUNT - 100)).all()))

# %% [markdown]
# Scores are computed in the same way, of a `.npy`, `.npz` or `.parquet` file, or of a folder of Parquet files such as
# the one that has just been written. Each is beside the number of its event.

# %%
for share in ("1/2", "2/2"):  # one after the other here
    command = ["keras-ar", "score", "made.keras", "samples", "--columns", "x", "--out", "scores"]
    command += ["--size", str(COUNT // 20), "--shard", share]
    print(subprocess.run(command, capture_output=True, text=True, check=True).stdout, end="")
scores = keras_ar.scale.read("scores")["log_prob"]

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
bins = np.linspace(-40, -5, 36)
axes.hist(scores, bins, density=True, alpha=0.6, label=f"{len(scores):,} samples")
axes.hist(model.score_samples(data.test), bins, density=True, alpha=0.6, label=f"{len(data.test)} test images")
axes.set(xlabel="log-likelihood of an image, nats", ylabel="density")
axes.legend(frameon=False)
figure.savefig("scores.png")

# %% [markdown]
# ## With an engine
#
# `keras_ar.scale.Scorer` and `Sampler` are objects that can be pickled: they hold the path of a model, and load it when
# a worker first needs it. They take arrays, or dictionaries of columns.

# %%
scorer, sampler = keras_ar.scale.Scorer("made.keras"), keras_ar.scale.Sampler("made.keras", seed=0)
batch = {"x": data.test[:3].reshape(3, 64), "id": np.array([10, 11, 12])}
print(scorer(batch))
print(sampler(np.array([COUNT - 1, 7])).shape)

# %% [markdown]
# With [Ray](https://docs.ray.io) `keras-ar score --ray 8` and `keras-ar sample --ray 8` do the ranges above in eight
# workers of a cluster (`pip install "keras-ar[ray]"`); a worker that is killed is replaced. In a pipeline of your own,
# and with other engines, a scorer is a function like any other. The order of rows is not kept, so carry an id:
#
# ```python
# import ray
# rows = ray.data.read_parquet("s3://bucket/events")            # columns: id, x
# rows.map_batches(scorer.__class__, fn_constructor_args=("/shared/made.keras",), batch_size=4096,
#                  compute=ray.data.ActorPoolStrategy(size=8)).write_parquet("s3://bucket/scores")
#
# import dask.dataframe as dd
# table = dd.read_parquet("events", columns=["id", "a", "b"])
# by_columns = keras_ar.scale.Scorer("/shared/model.keras", columns=["a", "b"])
# scores = table.map_partitions(lambda part: part[["id"]].assign(
#     log_prob=by_columns({name: part[name].to_numpy() for name in part})["log_prob"]))
#
# def score(parts):                     # Spark: table.mapInPandas(score, "id long, log_prob float")
#     for part in parts:
#         found = by_columns({name: part[name].to_numpy() for name in part})
#         yield part[["id"]].assign(log_prob=found["log_prob"])
# ```
#
# Workers must know the backend before they import Keras: set `KERAS_BACKEND` in their environment, `OMP_NUM_THREADS=1`
# where several share a machine, and `XLA_PYTHON_CLIENT_PREALLOCATE=false` where several share a GPU. Pass paths that
# all of them can reach, never a model.

# %% [markdown]
# ## Data larger than memory
#
# `keras_ar.datasets.load` maps a `.npy` file into memory instead of reading it, and takes columns of Parquet and Arrow
# files by their names. Mapped arrays go to `fit`, `evaluate` and `score_samples` like any other: they are read, checked
# and given back batch by batch. (Twenty gigabytes took 1.1 to 1.5 GB of memory; see `benchmarks/large_data.py`.)

# %%
rows = np.lib.format.open_memmap("large.npy", "w+", "uint8", (2_000 if QUICK else 200_000, 8, 8, 1))
for first in range(0, len(rows), len(drawn)):
    rows[first : first + len(drawn)] = drawn[: len(rows) - first]
rows.flush()
large = keras_ar.datasets.load("large.npy")  # the first 80 % to train on, in the order of the file
print(large, type(large.train).__name__)
pupil = made()
pupil.fit(large.train, batch_size=500, epochs=1, validation_data=(large.valid[:1000],), verbose=0)
print(f"{-pupil.score_samples(large.test[:5000]).mean():.2f} nats; by their own model {-scores.mean():.2f}")

# %% [markdown]
# For data in many files, on many machines, or with work to do on each event, [Grain](https://google-grain.readthedocs.io)
# is the way that Keras itself goes: its pipelines are shuffled by a seed, divided among processes, read by workers, and
# their place can be saved. On JAX make the distribution with `auto_shard_dataset=False`, since the pipeline divides.

# %%
if importlib.util.find_spec("grain"):
    import grain.python as grain

    pipeline = (
        grain.MapDataset.source(large.train)
        .shuffle(seed=0)[0::1]  # of several processes: [process_index::process_count]
        .map(lambda image: (image > 0).astype("int32"))
        .batch(500, drop_remainder=True)
    )
    pupil.fit(pipeline, steps_per_epoch=len(pipeline), verbose=0)
    print(f"{-pupil.score_samples(large.test[:5000]).mean():.2f} nats after another epoch")
    iterator = iter(pipeline.to_iter_dataset())
    pupil.train_on_batch(next(iterator))
    place = iterator.get_state()  # JSON, to be kept beside the weights
    after, again = next(iterator), iter(pipeline.to_iter_dataset())
    again.set_state(place)
    print("it goes on where it was:", bool((next(again) == after).all()))

# %% [markdown]
# A run of `keras-ar train` saves itself in the middle of an epoch, too, every ten minutes unless `train.backup_minutes`
# says otherwise; after a kill `keras-ar train --resume` ends with the weights of a run that was left alone.
#
# ## Sharing
#
# `keras_ar.save_model` saves to a file, a folder, or `"hf://user/name"`. The latter two get a model card, with the
# figures that you give.

# %%
figures = {"data set": "digits", "test nats": f"{-model.score_samples(data.test).mean():.2f}"}
keras_ar.save_model(model, "shared", figures)
print(*pathlib.Path("shared/README.md").read_text().splitlines()[6:18], sep="\n")
print("opened again:", keras_ar.load_model("shared").name)

# %% [markdown]
# Where Keras is not at hand, a model may go as a function: `model.export` writes the log-likelihood of feed-forward
# models as a SavedModel (TensorFlow, JAX) or as ONNX (PyTorch). Models that score step by step are refused.

# %%
path, options = ("exported.onnx", {"format": "onnx"}) if BACKEND == "torch" else ("exported", {})
if not QUICK and (BACKEND != "torch" or importlib.util.find_spec("onnxscript")):
    model.export(path, **options)
    print(path, "is written")
