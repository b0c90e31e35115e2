# %% [markdown]
# # Drawing: three ways, one answer
#
# A draw asks n questions one after the other, and each answer is needed for the next question. It looks as if it
# could only ever be slow. Here is how the same draw is made in three ways, and why they agree to the last integer.
#
# The idea that makes all of it possible: put the randomness *outside*. A model that calls a random generator while it
# draws can never be asked to do the same thing differently. So all the random numbers that a draw will consume are
# made beforehand, from one integer seed: a uniform number u for each value. Everything else is arithmetic.

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
# How does one uniform number pick a level with the right probabilities? Stack the probabilities up to a staircase
# from 0 to 1, the cumulative distribution, and see at which step u comes in. A step that is p high is hit with
# probability p. That is inverse-CDF sampling, and all heads draw like this.

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
ax.set(title=f"u = {u} draws level {level}", xlabel="level", ylabel="P(level or less)", ylim=(0, 1.02))
figure.savefig("inverse_cdf.png")

# %% [markdown]
# ## The slow way, by hand
#
# With the noise in hand, drawing is a loop anybody can write. In each turn the whole network computes all 64
# conditionals, of which one is used: pixel t is drawn from the t-th, and all those behind it are thrown away.


# %%
def numpy(tensor):
    return ops.convert_to_numpy(tensor)


count = 4
noise = keras_ar.noise.uniforms(
    seed=0, first_event=0, num_events=count, num_steps=64, num_uniforms=model.head.num_uniforms
)
print("noise: (steps, events, uniforms of a step) =", noise.shape)


def redraw(x):
    """Every pixel from its conditional given `x`, with its own noise."""
    params = model.to_steps(model(model.from_steps(x)), values_in=False)  # (events, steps, num_params)
    return numpy(model.head.sample(params, np.swapaxes(noise, 0, 1)))


x = np.zeros((count, 64), "int32")
for t in range(64):
    x[:, t] = redraw(x)[:, t]

same = (numpy(model.from_steps(x)) == model.sample(count, seed=0)).all()
print("the same as model.sample:", bool(same))

# %% [markdown]
# This is `method="full"`: 64 passes for 64 pixels. It is so simple that it is right, and serves as the reference.
#
# ## Stepwise: do only what is new
#
# Of each pass nearly everything is computed again that was known before. `method="stepwise"` keeps what is known and
# computes, for pixel t, only what pixel t − 1 has added. What that is depends on the architecture: a running sum for
# NADE, the hidden units of one degree for MADE, the taps of each kernel for a convolution. All in all, a draw costs
# the arithmetic of about *one* pass.
#
# ## Parallel: guess all, repeat until nothing changes
#
# The third way is the most surprising. Guess *all* pixels, say zeros. Redraw all of them from the conditionals given
# the guess, with the same noise. Take the result for the next guess. That is the function `redraw` above, applied
# again and again:
#
# - after pass 1, the first pixel is right, because nothing comes before it;
# - after pass 2, the second is, because it depends on the first only, and the first was right in the guess;
# - after pass t, at least the first t pixels are right. And right pixels stay right.
#
# So after 64 passes at the latest nothing changes any more, and what is there is *exactly* the draw of the slow way.
# But mostly it is over much sooner: a pixel that is wrong far away seldom changes what u picks here.

# %%
history = [np.zeros((count, 64), "int32")]
while len(history) < 2 or (history[-1] != history[-2]).any():
    history.append(redraw(history[-1]))

print(f"{len(history) - 1} passes, of which the last changed nothing; the same draw:", bool((history[-1] == x).all()))
wrong = [int((guess != x).sum()) for guess in history]
print("wrong pixels after each pass:", wrong)

shown = [passes for passes in (0, 1, 2, 3, 4, 6, 8, len(history) - 1) if passes < len(history)]
grids = {f"pass {passes}": numpy(model.from_steps(history[passes])) for passes in shown}
ax = keras_ar.plots.images(grids, columns=1, num_levels=17, cmap="gray_r", title="Four draws settle")
ax.figure.savefig("settling.png")

# %% [markdown]
# Solving x = f(x) by repetition is an old trick, and usually one has to hope that it ends. Here f looks only back, so
# it must end, and ends at the only solution that there is.
#
# ## The three beside each other

# %%
draws = {}
for method in ("full", "parallel", "stepwise"):
    model.sample(64, seed=0, method=method)  # compiles
    start = time.perf_counter()
    draws[method] = model.sample(64, seed=0, method=method)
    print(f"{method:9}{1000 * (time.perf_counter() - start):8.1f} ms for 64 draws")

for method in ("parallel", "stepwise"):
    print(f"{method} = full: {bool((draws[method] == draws['full']).all())}")

# %% [markdown]
# `method="auto"`, the default, is stepwise for all models of this library. `parallel` serves models that have no
# steps, such as one that you wrote an hour ago, and is often the faster one where a loop is slow, as in PyTorch.
#
# On images of 28×28 the distance grows: there `full` takes 784 passes, `parallel` a few dozen, and `stepwise` about
# one.
#
# ## What a seed means
#
# Each event of a seed has a stream of noise of its own. So event 7 is event 7, drawn alone or among a thousand,
# in whatever batches, by whatever method and on whatever backend.

# %%
eight = model.sample(8, seed=0)
print("batches of 3:", bool((model.sample(8, seed=0, batch_size=3) == eight).all()))
print("among 100:   ", bool((model.sample(100, seed=0)[:8] == eight).all()))

# %% [markdown]
# The backends' arithmetic differs in the last digit of a float, so a uniform number that falls right on the edge of a
# stair may pick another level. That is rare: among some hundred thousand values of 256 levels, expect the first.
#
# Noise that is held fixed is also a fine way to *see* what a knob does. Each column below has one noise; only the
# temperature changes.

# %%
temperatures = (0.3, 0.6, 0.8, 1.0, 1.2, 1.6)
rows = np.concatenate([model.sample(10, seed=4, temperature=t) for t in temperatures])
title = "Temperature " + ", ".join(map(str, temperatures)) + ", from the top down"
ax = keras_ar.plots.images(rows, columns=10, num_levels=17, cmap="gray_r", title=title)
ax.figure.savefig("same_noise.png")

# %% [markdown]
# ## Completing
#
# To complete an image is to draw, with the first pixels given instead of drawn. What is given must come first in the
# model's ordering: p(rest | beginning) is a product of the model's own factors, and exact. (Given the *end*, what
# comes before has to be found by Bayes' rule, which is another story.) Several seeds give several opinions, and each
# comes with its probability.

# %%
known = np.broadcast_to(np.arange(8)[:, None, None] < 3, data.event_shape)
one = np.repeat(data.test[6:7], 200, axis=0)
opinions, log_probs = model.complete(one, known, seed=0, return_log_prob=True)
order = np.argsort(-log_probs)
best_and_worst = {
    "the image": data.test[6:7],
    "likely completions": opinions[order[:16]],
    "unlikely ones": opinions[order[-16:]],
}
ax = keras_ar.plots.images(best_and_worst, num_levels=17, cmap="gray_r")
ax.figure.savefig("opinions.png")
print(f"log p(rest | beginning) from {log_probs.max():.1f} to {log_probs.min():.1f} nats")

# %% [markdown]
# ## Only the likely levels
#
# Heads of levels can also cut off what is unlikely: `top_k=3` draws from the three most probable levels of each
# pixel, `top_p=0.9` from the fewest that have 90% together. And whatever was drawn, and however, `score_samples` says
# what the *model* thinks of it.

# %%
for options in ({}, {"temperature": 0.8}, {"top_k": 3}, {"top_p": 0.9}):
    nats = -model.score_samples(model.sample(256, seed=0, **options)).mean()
    print(f"{options!s:22}{nats:6.1f} nats")
print(f"{'test images':22}{-model.score_samples(data.test).mean():6.1f} nats")

# %% [markdown]
# The first and the last line ought to be close to each other, if the model is good: its own draws are as surprising
# to it as real images are. Draws at low temperature are less surprising than any real image. They look clean and are
# all alike; that is what one pays.
