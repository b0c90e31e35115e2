# %% [markdown]
# # The command line
#
# Everything that a model goes through, from training to pictures, without a line of Python: `keras-ar`.
#
# Each run below is a line for your own shell. Here `sh` passes it on and prints the answer. `--json` makes any
# command answer with one JSON object, for scripts.

# %%
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import time

QUICK = "KERAS_AR_QUICK" in os.environ

shutil.rmtree("runs/guide", ignore_errors=True)  # what this page has written before


def sh(line):
    """Runs a line as a shell would, and prints what it prints."""
    print(f"$ {line}")
    answer = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True).stdout
    print(answer)
    return answer


# %% [markdown]
# ## What there is
#
# Models, heads and layers, those of installed plugins as well, and *recipes*: a model, a data set and settings that
# went well together. This answers at once, without loading any backend.

# %%
sh("keras-ar list")

# %% [markdown]
# ## Train
#
# A recipe by its name, and any of its settings changed by `--set`. Which backend? The one of `--backend`, or of
# `KERAS_BACKEND`. While it trains, a line shows the epoch.

# %%
epochs = 2 if QUICK else 30
sh(f"keras-ar train made-digits --set train.epochs={epochs} --seed 1 --out runs/guide/made")

# %% [markdown]
# A run is one folder. In it are the recipe as run, a line for each epoch, the numbers, the model, and pictures that
# it has drawn:

# %%
for path in sorted(pathlib.Path("runs/guide/made").iterdir()):
    print(f"{path.stat().st_size:9,} bytes  {path.name}")
print(pathlib.Path("runs/guide/made/recipe.toml").read_text())

# %% [markdown]
# The recipe is a file that you can edit, keep beside a paper, and give to `keras-ar train` again. No recipe is
# needed, either: `keras-ar train nade --data my_table.csv` takes any model and any data that fit.
#
# ## Look at it
#
# `info` says what a file holds; `evaluate` scores a part of the data.

# %%
sh("keras-ar info runs/guide/made")
sh("keras-ar evaluate runs/guide/made --part valid")
told = json.loads(sh("keras-ar evaluate runs/guide/made --json"))
print(f"{told['bits_per_dim']:.3f} bits per pixel")

# %% [markdown]
# ## Draw
#
# The ending of `--out` says what is written: a picture, an array, a table, text or sound. The same seed gives the
# same draws as `model.sample` does in Python, on each backend.

# %%
sh("keras-ar sample runs/guide/made -n 36 --seed 0 --out draws.png")
sh("keras-ar sample runs/guide/made -n 36 --seed 0 --temperature 0.7 --out cautious.png")

# %% [markdown]
# Test images of which the first half is known, completed:

# %%
sh("keras-ar complete runs/guide/made -n 10 --known 0.5 --seed 0 --out completed.png")

# %% [markdown]
# ## Interrupted?
#
# A run keeps its state after each epoch, so nothing worse than an epoch is lost when the power fails. Here is a run
# that is killed, without a warning, as soon as three epochs are in its history:

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
# `--resume` goes on with what is there, to the very weights that the run would have had if nothing had happened to
# it: what is random in an epoch follows from the seed and the number of the epoch alone.

# %%
sh(f"keras-ar train --resume --out {folder}")

# %% [markdown]
# ## A class for each draw
#
# `data.labels=true` makes a model that is told the class of each event; then `--condition` asks for one.

# %%
epochs = 1 if QUICK else 40
settings = f"--set data.labels=true --set train.epochs={epochs} --set model.hidden_units=[300]"
sh(f"keras-ar train made-digits {settings} --out runs/guide/told")
for digit in (3, 8):
    sh(f"keras-ar sample runs/guide/told -n 16 --condition {digit} --seed 0 --out digit_{digit}.png")

# %% [markdown]
# ## From here to Python, and back
#
# `model.keras` is a plain Keras file: `keras_ar.load_model("runs/guide/made/model.keras")` opens it, and every
# command above takes a `.keras` file that you have saved from Python. What went wrong is said in one line, with exit
# code 2:

# %%
wrong = subprocess.run(["keras-ar", "train", "made-digit"], capture_output=True, text=True)
print(wrong.stderr, "exit code", wrong.returncode)

# %% [markdown]
# And `keras-ar new-plugin` makes a distribution of your own: that is the subject of *Writing a plugin*.
