# %% [markdown]
# # The command line
#
# Train, score and sample a model from a shell, without writing Python: `keras-ar`.
#
# Each line below works in your own shell. Here the function `sh` runs it and prints its output. With `--json` every
# command prints one JSON object, for scripts.

# %%
import os
import pathlib
import shlex
import shutil
import subprocess
import time

QUICK = "KERAS_AR_QUICK" in os.environ

shutil.rmtree("runs/guide", ignore_errors=True)  # what an earlier run of this page has written


def sh(line):
    """Runs a line as a shell would, and prints what it prints."""
    print(f"$ {line}")
    print(subprocess.run(shlex.split(line), capture_output=True, text=True, check=True).stdout)


# %% [markdown]
# ## What there is
#
# Models, heads and layers, also those of installed plugins, and *recipes*: a model, a data set and settings that work
# well together. This does not load a backend, so it takes no time.

# %%
sh("keras-ar list")

# %% [markdown]
# ## Train
#
# Give the name of a recipe; `--set` changes any of its settings. `--backend`, or `KERAS_BACKEND`, chooses the backend.
# During training a line shows the epoch.

# %%
epochs = 2 if QUICK else 30
sh(f"keras-ar train made-digits --set train.epochs={epochs} --seed 1 --out runs/guide/made")

# %% [markdown]
# A run writes one folder: the recipe as it was run, the history of the epochs, the results, the model and pictures.

# %%
for path in sorted(pathlib.Path("runs/guide/made").iterdir()):
    print(f"{path.stat().st_size:9,} bytes  {path.name}")
print(pathlib.Path("runs/guide/made/recipe.toml").read_text())

# %% [markdown]
# The recipe is a file that you can edit and give to `keras-ar train` again. Data of your own have recipes, too:
# `keras-ar train text --data my_novel.txt`, and `sound`, `table`, `pictures`. A recipe is not required:
# `keras-ar train nade --data my_table.csv` takes any model and any data that fit.
#
# ## Evaluate
#
# `info` says what a file holds; `evaluate` scores a part of the data.

# %%
sh("keras-ar info runs/guide/made")
sh("keras-ar evaluate runs/guide/made --part valid")
sh("keras-ar evaluate runs/guide/made --json")

# %% [markdown]
# ## Sample
#
# The suffix of `--out` says what is written: a picture, an array, a table, text or sound. A seed gives the same samples
# as `model.sample` in Python, on every backend.

# %%
sh("keras-ar sample runs/guide/made -n 36 --seed 0 --out samples.png")
sh("keras-ar sample runs/guide/made -n 36 --seed 0 --temperature 0.7 --out temperature_0_7.png")

# %% [markdown]
# Complete test images, given their first half:

# %%
sh("keras-ar complete runs/guide/made -n 10 --known 0.5 --seed 0 --out completed.png")

# %% [markdown]
# ## Missing values
#
# A model for *any order* completes what is missing, wherever that is. This one learns four measures of flowers. Then
# `--input` gives it a table in the same columns, of which some cells are empty. Each line is completed `--draws` times:
# cells that are known stay as they are, and the draws of the others show how well they are known.

# %%
from sklearn.datasets import load_iris

header = "sepal length,sepal width,petal length,petal width\n"
lines = [",".join(map(str, flower)) for flower in load_iris().data.tolist()]
pathlib.Path("iris.csv").write_text(header + "\n".join(lines))
epochs = 2 if QUICK else 30
settings = f"--set train.epochs={epochs} --set train.batch_size=10 --set train.learning_rate=0.003"
sh(f"keras-ar train deep_nade --data iris.csv {settings} --set model.hidden_units=[100] --out runs/guide/iris")

pathlib.Path("holes.csv").write_text(header + "5.1,,1.4,\n,3.0,,2.3\n")
sh("keras-ar complete runs/guide/iris --input holes.csv --draws 4 --seed 0 --out whole.csv")
print(pathlib.Path("whole.csv").read_text())

# %% [markdown]
# For images, `--mask hole.png` says which pixels are known: the white ones.
#
# ## Interrupted?
#
# A run saves its state after each epoch, so at most one epoch is lost when the process ends early. This run is killed
# as soon as its history has three epochs:

# %%
folder = pathlib.Path("runs/guide/nade")
line = f"keras-ar train nade-digits --set train.epochs={1 if QUICK else 8} --out {folder}"


def epochs_done():
    history = folder / "history.csv"
    return len(history.read_text().splitlines()) - 1 if history.exists() else 0


if QUICK:
    sh(line)
else:
    process = subprocess.Popen(shlex.split(line), stdout=subprocess.DEVNULL)
    while epochs_done() < 3 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
print(f"{epochs_done()} epochs done; in the folder:", *sorted(path.name for path in folder.iterdir()))

# %% [markdown]
# `--resume` continues the run and ends with the same weights as a run without interruption, because the random numbers
# of an epoch depend only on the seed and the number of the epoch. An epoch that takes hours is resumed in the middle:
# every ten minutes, or `train.backup_minutes`, the run keeps all that it is, the states of random numbers included.

# %%
sh(f"keras-ar train --resume --out {folder}")

# %% [markdown]
# ## Classes
#
# `data.labels=true` trains a model that is given the class of each event; `--condition` then chooses a class.

# %%
epochs = 1 if QUICK else 40
settings = f"--set data.labels=true --set train.epochs={epochs} --set model.hidden_units=[300]"
sh(f"keras-ar train made-digits {settings} --out runs/guide/by_class")
for digit in (3, 8):
    sh(f"keras-ar sample runs/guide/by_class -n 16 --condition {digit} --seed 0 --out digit_{digit}.png")

# %% [markdown]
# ## From here to Python, and back
#
# `model.keras` is a Keras file: `keras_ar.load_model("runs/guide/made/model.keras")` opens it. Every command above also
# takes a `.keras` file that you saved from Python. An error is one line, with exit code 2:

# %%
wrong = subprocess.run(["keras-ar", "train", "made-digit"], capture_output=True, text=True)
print(wrong.stderr, "exit code", wrong.returncode)

# %% [markdown]
# `keras-ar new-plugin` writes a distribution for components of your own: see *Writing a plugin*.
