# %% [markdown]
# # Writing a plugin
#
# A head, a layer or a model of yours becomes everybody's by one line in a `pyproject.toml`: then `keras-ar list`
# shows it, its name works wherever ours do, and files that contain it open by themselves.
#
# The registry knows no difference between what comes with keras_ar and what does not. Both are *entry points*, of the
# groups `keras_ar.heads`, `keras_ar.layers` and `keras_ar.models`: a name, and where the class is. What is installed
# is found; no code of a plugin runs until somebody asks for it by name.

# %%
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import keras
import keras_ar
import matplotlib.figure
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ

keras.utils.set_random_seed(0)
for entry in keras_ar.registry.entries("heads"):
    print(f"{entry.name:32}{entry.target:64}{entry.distribution}")

# %% [markdown]
# ## Start from something that works
#
# `keras-ar new-plugin` writes a whole distribution: a head, a layer and a model that install and pass their tests.
# Change one thing at a time from there.

# %%
folder = pathlib.Path(tempfile.mkdtemp())
command = ["keras-ar", "new-plugin", "keras-ar-parabola", "--folder", str(folder)]
subprocess.run(command, check=True)

plugin = folder / "keras-ar-parabola"
for path in sorted(plugin.rglob("*.*")):
    print(f"{len(path.read_text().splitlines()):4} lines  {path.relative_to(plugin)}")

# %% [markdown]
# The index of what it provides:

# %%
print(plugin.joinpath("pyproject.toml").read_text())

# %% [markdown]
# ## A head
#
# The template's head is a Laplace distribution. Let us write another one, for levels k = 0, 1, …, L − 1, with two
# numbers instead of the L of a categorical head. The levels are scaled to z from −1 to 1, and their logits are a
# parabola:
#
#     P(k) = exp(a·z + b·z²) / Σ exp(a·z + b·z²),  the sum over all levels
#
# With b < 0 that is a normal distribution, restricted to the grid. With b > 0 it is a U: one end or the other, which
# is what ink on paper does. The sum over L levels makes it exact, and since the logits are linear in the parameters,
# a temperature simply divides them.
#
# What is left to do, levels with logits can do already: the head makes logits, and asks `Categorical`. Each method is
# a pure function of tensors, in `keras.ops`, and so runs on three backends. The class is registered with Keras under
# the plugin's own module: that is the name it has in files.

# %%
source = """\"\"\"Levels whose logits are a parabola.\"\"\"

import keras
import numpy as np
from keras import ops

from keras_ar.heads import Categorical, Head


@keras.saving.register_keras_serializable(package="keras_ar_parabola")
class Parabola(Head):
    \"\"\"Levels `0, ..., num_levels - 1`, by the slope and the curvature of their logits.\"\"\"

    num_params = 2

    def __init__(self, num_levels=256):
        self.num_levels = num_levels
        self._levels = Categorical(num_levels)
        self._z = np.linspace(-1, 1, num_levels, dtype="float32")

    def logits(self, params):
        # `ops.multiply`, not `*`: a NumPy array times a tensor is not for every backend.
        return ops.multiply(params[..., :1], self._z) + ops.multiply(params[..., 1:], self._z**2)

    def encode(self, x):
        return self._levels.encode(x)

    def log_prob(self, params, x):
        return self._levels.log_prob(self.logits(params), x)

    def sample(self, params, uniforms):
        return self._levels.sample(self.logits(params), uniforms)

    def mean(self, params):
        return self._levels.mean(self.logits(params))

    def mode(self, params):
        return self._levels.mode(self.logits(params))

    def cdf(self, params, x):
        return self._levels.cdf(self.logits(params), x)

    def temper(self, params, temperature):
        return params / temperature

    def get_config(self):
        return {"num_levels": self.num_levels}
"""
plugin.joinpath("keras_ar_parabola", "parabola.py").write_text(source)
toml = plugin.joinpath("pyproject.toml")
line = 'laplace = "keras_ar_parabola.laplace:Laplace"'
toml.write_text(toml.read_text().replace(line, f'{line}\nparabola = "keras_ar_parabola.parabola:Parabola"'))

# %% [markdown]
# ## Install it
#
# You would say `pip install -e keras-ar-parabola` now, in your own environment. This page shall leave yours as it is,
# so it does by hand the little that pip does: packaging metadata, beside the module, in a folder that Python looks
# into.

# %%
project = tomllib.loads(toml.read_text())["project"]
metadata = plugin / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
metadata.mkdir()
metadata.joinpath("METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
groups = [
    "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in targets.items())])
    for group, targets in project["entry-points"].items()
]
metadata.joinpath("entry_points.txt").write_text("\n\n".join(groups))
sys.path.insert(0, str(plugin))
keras_ar.registry.refresh()

for entry in keras_ar.registry.entries():
    if entry.distribution == project["name"]:
        print(f"{entry.kind:8}{entry.name:12}{entry.target}")
print("imported so far:", "keras_ar_parabola" in sys.modules)

# %% [markdown]
# Found, and not yet imported: reading metadata runs no code. A name that two plugins have is an error that says how
# to name each, `"keras-ar-parabola:parabola"`; and a plugin can never take a name that keras_ar itself has.
#
# ## Is it right?
#
# The kit knows what a head has to keep, by itself and inside of a model. In the plugin, `tests/test_conformance.py`
# runs it in three lines, and `pytest keras-ar-parabola` that.

# %%
head = keras_ar.heads.get("parabola", num_levels=8)
model = keras_ar.models.get("made", event_shape=4, hidden_units=8, head=keras_ar.heads.get("parabola", num_levels=4))
for component in (head,) if QUICK else (head, model):
    checks = keras_ar.testing.checks_for(component)
    for check in checks.values():
        check()
    print(f"{component}: passed", ", ".join(name.removeprefix("check_") for name in checks), "\n")

# %% [markdown]
# ## Is it any good?
#
# The same MADE on the digits, with 2 numbers for each pixel in place of 17.

# %%
data = keras_ar.datasets.load("digits")
train, valid, test = (part[:64] if QUICK else part for part in (data.train, data.valid, data.test))
models = {}
for name in ("categorical", "parabola"):
    model = keras_ar.models.MADE(
        data.event_shape,
        hidden_units=(500, 500),
        direct=True,
        dropout=0.6,
        head=keras_ar.heads.get(name, num_levels=17),
        name=name,
    )
    epochs = 1 if QUICK else 60
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, epochs * math.ceil(len(train) / 64))
    model.compile(keras.optimizers.Adam(schedule))
    best = keras.callbacks.EarlyStopping("val_loss", mode="min", patience=20, restore_best_weights=True)
    model.fit(train, batch_size=64, epochs=epochs, validation_data=(valid,), callbacks=[best], verbose=0)
    bits = model.evaluate(test, verbose=0, return_dict=True)["bits_per_dim"]
    print(f"{name:12}{model.count_params():9,} weights  {bits:.3f} bits per pixel")
    models[name] = model

grids = {"Test images": data.test[:36]} | {name: model.sample(36, seed=0) for name, model in models.items()}
ax = keras_ar.plots.images(grids, num_levels=17, cmap="gray_r")
ax.figure.savefig("parabola.png")

# %% [markdown]
# What it thinks of four pixels, given the upper half of an image: ramps and U's. Ink or paper, seldom grey.

# %%
image, model = test[1], models["parabola"]
figure = matplotlib.figure.Figure((11, 3), layout="constrained")
for ax, column in zip(figure.subplots(1, 4, sharey=True), (2, 3, 4, 5), strict=True):
    params = model(image[None])[0, 4, column, 0]
    probabilities = keras.ops.softmax(model.head.logits(params))
    ax.bar(np.arange(17), keras.ops.convert_to_numpy(probabilities))
    ax.axvline(image[4, column, 0], color="black", linestyle=":")
    ax.set(title=f"pixel (4, {column})", xlabel="level")
figure.savefig("parabolas.png")

# %% [markdown]
# ## Files
#
# A file that holds the model names the head, not where its code is. Whoever opens it needs the plugin installed, and
# nothing else: plain Keras finds it, and imports that plugin alone. Without it, the error says which package to
# install.

# %%
model.save("parabola.keras")
again = keras.saving.load_model("parabola.keras")
print(again.head, "the same draws:", bool((again.sample(36, seed=0) == grids["parabola"]).all()))

# %% [markdown]
# ## A layer, a model
#
# They go the same way. `causal_mean.py` of the template is a layer: `call` over whole events, `start` and `step` for
# one position after the other, and `strict = True`, which says that a position does not see itself. `mean_net.py` is
# a model on top of it. The kit holds `step` to what `call` computes: *A model of your own* shows what it finds if
# they differ.

# %%
print(plugin.joinpath("keras_ar_parabola", "causal_mean.py").read_text())
