# %% [markdown]
# # Drawing samples: three methods, one result
#
# To sample an event of n values, each value must be known before the next one can be drawn. This guide shows three
# methods that draw the same event at very different costs, and why they agree to the last integer.
#
# All of them rest on one idea: the random numbers are made *outside*. A model that calls a random generator while it
# samples cannot draw the same event by another method. So all random numbers of an event are made first, from one
# integer seed: a uniform number u for each value. Everything else is arithmetic.

# %%
import os
import time

import keras
import keras_ar
import matplotlib.figure
import numpy as np
from keras import ops

QUICK = "KERAS_AR_QUICK" in os.environ

keras.utils.set_random_seed(0)
data = keras_ar.datasets.load("digits")
model = keras_ar.models.MADE(
    data.event_shape, hidden_units=(500, 500), direct=True, dropout=0.6, head=keras_ar.heads.Categorical(17)
)
epochs, batch_size = 1 if QUICK else 30, 64
schedule = keras.optimizers.schedules.CosineDecay(1e-2, epochs * len(data.train) // batch_size)
model.compile(keras.optimizers.Adam(schedule))
model.fit(data.train, batch_size=batch_size, epochs=epochs, verbose=0)
print(f"{model.evaluate(data.test, verbose=0, return_dict=True)['bits_per_dim']:.3f} bits per pixel")

# %% [markdown]
# ## From a uniform number to a value
#
# How does one uniform number choose a level with the right probabilities? The cumulative distribution is a staircase
# from 0 to 1; a level of probability p is a step of height p. Choose the level at which the staircase passes u: this
# happens with probability p. This is inverse-CDF sampling. All heads draw values from uniform numbers in this way.

# %%
params = model(data.test[1][None])[0, 4, 4, 0]  # of one pixel: 17 logits
probabilities = ops.convert_to_numpy(ops.softmax(params))
u = 0.3
level = model.head.sample(ops.expand_dims(params, 0), np.array([[u]], "float32"))
level = int(ops.convert_to_numpy(level)[0])

figure = matplotlib.figure.Figure((6, 3.4), layout="constrained")
ax = figure.subplots()
ax.step(np.arange(17), probabilities.cumsum(), where="post")
ax.plot([0, level, level], [u, u, 0], "o--", color="tab:red", markevery=[0, 2])
ax.set(title=f"u = {u} gives level {level}", xlabel="level", ylabel="P(level or less)", ylim=(0, 1.02))
figure.savefig("inverse_cdf.png")

# %% [markdown]
# ## Full: one pass for each pixel, by hand
#
# With the noise given, sampling is a short loop. In each turn the network computes all 64 conditionals, and one of them
# is used: pixel t is drawn from conditional t.


# %%
def numpy(tensor):
    return ops.convert_to_numpy(tensor)


count = 4
noise = keras_ar.noise.uniforms(seed=0, first_event=0, num_events=count, shape=model.noise_shape)
print("noise: (events, steps, uniforms of a step) =", noise.shape)


def redraw(x):
    """Every pixel from its conditional given `x`, with its own noise."""
    params = model.params_to_steps(model(model.from_steps(x)))  # (events, steps, num_params)
    return numpy(model.head.sample(params, noise))


x = np.zeros((count, 64), "int32")
for t in range(64):
    x[:, t] = redraw(x)[:, t]

same = (numpy(model.from_steps(x)) == model.sample(count, seed=0)).all()
print("the same as model.sample:", bool(same))

# %% [markdown]
# This is `method="full"`: 64 passes for 64 pixels. It is simple, and serves as the reference.
#
# ## Stepwise: compute only what is new
#
# Most of each pass above was computed before. `method="stepwise"` keeps it, and computes for pixel t only what pixel
# t − 1 adds. What that is depends on the architecture: a running sum for NADE, the hidden units of one degree for MADE,
# the taps of each kernel for a convolution. In total an event costs the arithmetic of about *one* pass.
#
# ## Parallel: guess all pixels, repeat until nothing changes
#
# The third method guesses *all* pixels, say zeros. It redraws all of them from the conditionals given the guess, with
# the same noise. The result is the next guess. This is the function `redraw` above, applied again and again:
#
# - after pass 1, the first pixel is right, because nothing comes before it;
# - after pass 2, the second pixel is right, because it depends on the first only, which was right in the guess;
# - after pass t, at least the first t pixels are right, and they stay right.
#
# So after 64 passes at most nothing changes, and the result is *exactly* that of the full method. It usually takes far
# fewer passes: a wrong pixel far away seldom changes which level u chooses here.

# %%
history = [np.zeros((count, 64), "int32")]
while len(history) < 2 or (history[-1] != history[-2]).any():
    history.append(redraw(history[-1]))

print(f"{len(history) - 1} passes, of which the last changed nothing; the same events:", bool((history[-1] == x).all()))
wrong = [int((guess != x).sum()) for guess in history]
print("wrong pixels after each pass:", wrong)

shown = [passes for passes in (0, 1, 2, 3, 4, 6, 8, len(history) - 1) if passes < len(history)]
grids = {f"pass {passes}": numpy(model.from_steps(history[passes])) for passes in shown}
ax = keras_ar.plots.images(grids, columns=1, num_levels=17, cmap="gray_r", title="Four events, pass by pass")
ax.figure.savefig("passes.png")

# %% [markdown]
# This is fixed-point iteration for x = f(x). In general it need not converge. Here it must, because pixel t of f(x)
# depends on earlier pixels only; and there is only one solution.
#
# ## The three methods compared

# %%
samples = {}
for method in ("full", "parallel", "stepwise"):
    model.sample(64, seed=0, method=method)  # compiles
    start = time.perf_counter()
    samples[method] = model.sample(64, seed=0, method=method)
    print(f"{method:9}{1000 * (time.perf_counter() - start):8.1f} ms for 64 events")

for method in ("parallel", "stepwise"):
    print(f"{method} = full: {bool((samples[method] == samples['full']).all())}")

# %% [markdown]
# `method="auto"`, the default, is stepwise for all models of this library. `parallel` also works for models without
# `step`, such as a first version of your own, and is often faster where a loop is slow, as in PyTorch.
#
# For images of 28×28 pixels the difference is larger: `full` takes 784 passes, `parallel` a few dozen, `stepwise` the
# arithmetic of about one.
#
# ## What a seed means
#
# Each event of a seed has its own stream of random numbers. So event 7 is the same event if it is drawn alone or among
# a thousand, in batches of any size, by any method, on any backend.

# %%
eight = model.sample(8, seed=0)
print("batches of 3:", bool((model.sample(8, seed=0, batch_size=3) == eight).all()))
print("among 100:   ", bool((model.sample(100, seed=0)[:8] == eight).all()))

# %% [markdown]
# Backends round differently in the last digit of a float. So where a uniform number falls right on the edge of a step,
# another level may be chosen. That is rare: expect the first among some hundred thousand values of 256 levels.
#
# Fixed noise also shows what an option does. Each column below has the same noise; only the temperature changes.

# %%
temperatures = (0.3, 0.6, 0.8, 1.0, 1.2, 1.6)
rows = np.concatenate([model.sample(10, seed=4, temperature=t) for t in temperatures])
title = "Temperature " + ", ".join(map(str, temperatures)) + ", from the top down"
ax = keras_ar.plots.images(rows, columns=10, num_levels=17, cmap="gray_r", title=title)
ax.figure.savefig("same_noise.png")

# %% [markdown]
# ## Completing
#
# To complete an image, the first pixels are given instead of drawn. They must come first in the model's ordering: then
# p(rest | beginning) is a product of the model's own factors, and exact. Several seeds give several completions, each
# with its log-probability.

# %%
known = np.broadcast_to(np.arange(8)[:, None, None] < 3, data.event_shape)
one = np.repeat(data.test[6:7], 200, axis=0)
completions, log_probs = model.complete(one, known, seed=0, return_log_prob=True)
order = np.argsort(-log_probs)
grids = {
    "the image": data.test[6:7],
    "most probable": completions[order[:16]],
    "least probable": completions[order[-16:]],
}
ax = keras_ar.plots.images(grids, num_levels=17, cmap="gray_r")
ax.figure.savefig("completions.png")
print(f"log p(rest | beginning) from {log_probs.max():.1f} to {log_probs.min():.1f} nats")

# %% [markdown]
# ## Only the likely levels
#
# A categorical head can also leave out improbable levels: `top_k=3` draws each pixel from its three most probable
# levels, `top_p=0.9` from the fewest levels that have 90% together. `score_samples` gives the likelihood of the result
# under the *model*, whatever the options were.

# %%
for options in ({}, {"temperature": 0.8}, {"top_k": 3}, {"top_p": 0.9}):
    nats = -model.score_samples(model.sample(256, seed=0, **options)).mean()
    print(f"{options!s:22}{nats:6.1f} nats")
print(f"{'test images':22}{-model.score_samples(data.test).mean():6.1f} nats")

# %% [markdown]
# For a good model the first and the last line are close: its samples are as probable as real images. Samples at low
# temperature are more probable than real images. They look clean, but they are less diverse.
