# %% [markdown]
# # Writing a plugin
#
# A plugin is a Python distribution that lists heads, layers, bijectors or models in its `pyproject.toml`. Once it is
# installed, `keras-ar list` shows them, their names work wherever ours do, and files that contain them open by
# themselves.
#
# Components of keras_ar and of plugins are found in the same way: by *entry points* of the groups `keras_ar.heads`,
# `keras_ar.layers`, `keras_ar.bijectors` and `keras_ar.models`. An entry point is a name and the place of a class. No
# code of a plugin runs until somebody asks for one of its names.

# %%
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import tomllib

import keras
import keras_ar
import matplotlib.figure
import numpy as np
from keras import ops

QUICK = "KERAS_AR_QUICK" in os.environ

keras.utils.set_random_seed(0)
for entry in keras_ar.registry.entries("heads"):
    print(f"{entry.name:32}{entry.target:72}{entry.distribution}")

# %% [markdown]
# ## Start from the template
#
# `keras-ar new-plugin` writes a distribution with one head, one layer, one bijector and one model, which installs and
# passes its tests. Change it step by step.

# %%
folder = pathlib.Path(tempfile.mkdtemp())
command = ["keras-ar", "new-plugin", "keras-ar-parabola", "--folder", str(folder)]
subprocess.run(command, check=True)

plugin = folder / "keras-ar-parabola"
for path in sorted(plugin.rglob("*.*")):
    print(f"{len(path.read_text().splitlines()):4} lines  {path.relative_to(plugin)}")

# %% [markdown]
# Its `pyproject.toml` lists what it provides:

# %%
print(plugin.joinpath("pyproject.toml").read_text())

# %% [markdown]
# ## A head
#
# The head of the template is a Laplace distribution. This guide adds another one, for levels k = 0, 1, …, L − 1, with
# two parameters instead of the L of a categorical head. The levels are scaled to z from −1 to 1, and the logits are a
# parabola:
#
#     P(k) = exp(a·z + b·z²) / Σ exp(a·z + b·z²),  the sum over all levels
#
# With b < 0 this is a normal distribution restricted to the levels. With b > 0 it has a peak at each end: a pixel is
# ink or paper. The sum over L levels makes it exact. The logits are linear in the parameters, so a temperature divides
# them.
#
# A head sets `num_params` and `support`, and writes `encode`, `log_prob` and `sample`. `LevelHead` sets `support` and
# writes `encode` and `get_config` for heads of levels (`RealHead` for real values). Here the head computes logits and
# leaves the rest to `Categorical`. The optional methods are `mean`, `mode`, `cdf`, `temper`, `truncate`, `to_noise` and
# `from_noise`; this head writes the first four.
#
# Every method is a pure function of tensors in `keras.ops`, so it runs on the three backends. The class is registered
# with Keras under the name of the plugin's module, because files refer to it by that name.

# %%
source = """\"\"\"Levels whose logits are a parabola.\"\"\"

import keras
import numpy as np
from keras import ops

from keras_ar.heads import Categorical, LevelHead


@keras.saving.register_keras_serializable(package="keras_ar_parabola")
class Parabola(LevelHead):
    \"\"\"Levels `0, ..., num_levels - 1`, by the slope and the curvature of their logits.\"\"\"

    num_params = 2

    def __init__(self, num_levels=256):
        super().__init__(num_levels)
        self._levels = Categorical(num_levels)
        self._z = np.linspace(-1, 1, num_levels, dtype="float32")

    def logits(self, params):
        # `ops.multiply`, not `*`: a NumPy array times a tensor does not work on every backend.
        return ops.multiply(params[..., :1], self._z) + ops.multiply(params[..., 1:], self._z**2)

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
"""
module = plugin / "keras_ar_parabola" / "parabola.py"
module.write_text(source)
pyproject = plugin / "pyproject.toml"
line = 'laplace = "keras_ar_parabola.laplace:Laplace"'
pyproject.write_text(pyproject.read_text().replace(line, f'{line}\nparabola = "keras_ar_parabola.parabola:Parabola"'))

# %% [markdown]
# ## Install it
#
# In your own environment this is `pip install -e keras-ar-parabola`. This guide leaves your environment unchanged:
# `install` writes the metadata that pip would write, in a folder on Python's path.


# %%
def install():
    project = tomllib.loads(pyproject.read_text())["project"]
    for old in plugin.glob("*.dist-info"):
        shutil.rmtree(old)
    metadata = plugin / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    metadata.joinpath("METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in targets.items())])
        for group, targets in project["entry-points"].items()
    ]
    metadata.joinpath("entry_points.txt").write_text("\n\n".join(groups))
    keras_ar.registry.refresh()
    return [entry for entry in keras_ar.registry.entries() if entry.distribution == project["name"]]


sys.path.insert(0, str(plugin))
for entry in install():
    print(f"{entry.kind:10}{entry.name:12}{entry.target}")
print("imported:", "keras_ar_parabola" in sys.modules)

# %% [markdown]
# The components are found, and the plugin is not imported: reading metadata runs no code. If two plugins have a name,
# the bare name is an error that says how to name each: `"keras-ar-parabola:parabola"`. A plugin cannot take a name that
# keras_ar itself has.
#
# ## Is it right?
#
# The kit checks the head alone and inside a model. In the plugin, `tests/test_conformance.py` does this in three lines,
# and `pytest keras-ar-parabola` runs it.

# %%
head = keras_ar.heads.get("parabola", num_levels=8)
print(head, "has", ", ".join(sorted(head.capabilities)))
model = keras_ar.models.get("made", event_shape=4, hidden_units=8, head=keras_ar.heads.get("parabola", num_levels=4))
for component in (head,) if QUICK else (head, model):
    checks = keras_ar.testing.checks_for(component)
    for check in checks.values():
        check()
    print(
        f"{getattr(component, 'name', component)}: passed",
        ", ".join(name.removeprefix("check_") for name in checks),
        "\n",
    )

# %% [markdown]
# ## Is it any good?
#
# The same MADE on the digits, with 2 parameters for each pixel in place of 17.

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
# Its predictions for four pixels, given the upper half of an image: most have their peaks at the ends.

# %%
image, model = test[1], models["parabola"]
figure = matplotlib.figure.Figure((11, 3), layout="constrained")
for ax, column in zip(figure.subplots(1, 4, sharey=True), (2, 3, 4, 5), strict=True):
    params = model(image[None])[0, 4, column, 0]
    probabilities = ops.softmax(model.head.logits(params))
    ax.bar(np.arange(17), ops.convert_to_numpy(probabilities))
    ax.axvline(image[4, column, 0], color="black", linestyle=":")
    ax.set(title=f"pixel (4, {column})", xlabel="level")
figure.savefig("parabolas.png")

# %% [markdown]
# ## Files
#
# A file names the head, not the place of its code. To open it, the plugin must be installed: plain Keras then finds the
# class, and imports this plugin alone. Without the plugin, the error says which package to install.

# %%
model.save("parabola.keras")
again = keras.saving.load_model("parabola.keras")
print(again.head, "the same samples:", bool((again.sample(36, seed=0) == grids["parabola"]).all()))

# %% [markdown]
# ## A layer
#
# The layer of the template is a `CausalLayer`: `call` on whole events, and `prepare`, `start` and `step` for one
# position after the other. `strict = True` says that a position does not see itself.

# %%
print(plugin.joinpath("keras_ar_parabola", "causal_mean.py").read_text())

# %% [markdown]
# A layer with kernels and biases extends `KernelLayer` instead, and takes initializers, regularizers and constraints as
# `keras.layers.Dense` does. The kit checks that `step` computes what `call` computes; *A model of your own* shows what
# it finds otherwise, and how to write a model. The model of the template is a network on this layer:

# %%
print(plugin.joinpath("keras_ar_parabola", "mean_net.py").read_text())

# %% [markdown]
# ## A bijector
#
# A bijector is an invertible map between events x and noise z: `to_noise` and `from_noise`. Both return the same number
# for the same pair, log |det dz/dx|. So a density of z gives a density of x:
#
#     log p(x) = log p(z) + log |det dz/dx|

# %%
print(plugin.joinpath("keras_ar_parabola", "standardize.py").read_text())
bijector = keras_ar.bijectors.get("keras-ar-parabola:standardize")
z, log_det = bijector(np.ones((2, 3), "float32"))
x, same_log_det = bijector.from_noise(z)
print(ops.convert_to_numpy(x).tolist(), ops.convert_to_numpy(log_det - same_log_det).tolist())

# %% [markdown]
# ## What keras_ar offers to authors
#
# `keras.ops` has most of what a component needs. `keras_ar.backend` has the rest, on the three backends:
#
# - `scan(body, carry, xs)`: a loop with gradients, compiled where the backend compiles;
# - `when(condition, function, state)`: a branch inside a step, such as once a row;
# - `lookup(table, t)`: entry `t` of a table of integers, inside a step;
# - `compiled(owner, function)`: a function of tensors for use outside of training. `model.compiled_function` and
#   `model.map_events` do this for a model, and cut events into batches.
#
# `keras_ar.numerics` has the formulas of log-probabilities that lose no digits: `inverse_cdf` (a level from a uniform),
# `normal_quantile`, `logistic_quantile`, `bounded_exp` (a scale that neither vanishes nor overflows) and others.
# `keras_ar.arguments` checks arguments, with errors that name the argument and its value. `keras_ar.noise` makes random
# numbers from a seed, the same on every backend.

# %%
backend, numerics = keras_ar.backend, keras_ar.numerics


def step(memory, x):
    """An exponential moving average."""
    memory = 0.9 * memory + 0.1 * x
    return memory, memory


last, averages = backend.scan(step, ops.zeros(()), ops.ones(5))
print("scan:", [round(float(average), 4) for average in averages])
print("when:", float(backend.when(ops.convert_to_tensor(3) % 4 == 0, lambda x: x + 1.0, ops.zeros(()))))
print("lookup:", int(backend.lookup(np.array([5, 7, 9]), ops.convert_to_tensor(2))))
square = backend.compiled(None, lambda x: x * x)
print("compiled:", ops.convert_to_numpy(square(np.arange(3, dtype="float32"))).tolist())
print("normal_quantile:", round(float(numerics.normal_quantile(np.float32(0.975))), 4))
try:
    keras_ar.arguments.integer(0, "units")
except ValueError as error:
    print("integer:", error)

# %% [markdown]
# ## Migration
#
# Your plugin will change, and files of its older versions should open. Version 0.2 of this one renames the class
# `Parabola` to `QuadraticLogits`, and its argument `num_levels` to `levels`:
#
# - *renamed class*: keep an empty subclass under the old name, and list it as an entry point. Files refer to it.
# - *renamed argument*: translate it in `from_config`. Files hold what `get_config` returned.
# - *weights*: Keras finds them by the names of attributes and their order. Do not rename the attributes that hold
#   layers, and do not change the order in which weights are made. If that cannot be avoided, give the class a new name,
#   and keep the old one as it was.

# %%
source = source.replace("class Parabola(LevelHead)", "class QuadraticLogits(LevelHead)")
source = source.replace(
    "    def __init__(self, num_levels=256):\n        super().__init__(num_levels)",
    "    def __init__(self, levels=256):\n        super().__init__(levels)",
)
source = source.replace("(num_levels)", "(levels)").replace("1, num_levels,", "1, levels,")
source += """
    def get_config(self):
        return {"levels": self.num_levels}

    @classmethod
    def from_config(cls, config):
        if "num_levels" in config:  # files of version 0.1
            config = {"levels": config["num_levels"]}
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_ar_parabola")
class Parabola(QuadraticLogits):
    \"\"\"The name of `QuadraticLogits` in files of version 0.1.\"\"\"
"""
module.write_text(source)
line = 'parabola = "keras_ar_parabola.parabola:Parabola"'
new_line = 'quadratic_logits = "keras_ar_parabola.parabola:QuadraticLogits"'
toml = pyproject.read_text().replace(line, f"{line}\n{new_line}").replace('version = "0.1.0"', 'version = "0.2.0"')
pyproject.write_text(toml)
print(*(entry.name for entry in install()))

# %% [markdown]
# A new process opens the file of version 0.1. (This process has imported version 0.1 and keeps it.)

# %%
program = """
import keras_ar
print(keras_ar.load_model("parabola.keras").head)
print(keras_ar.heads.get("quadratic_logits", levels=4))
"""
environment = {**os.environ, "PYTHONPATH": str(plugin)}
print(subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True).stdout)
