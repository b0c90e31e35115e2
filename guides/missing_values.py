# %% [markdown]
# # Missing values: train with holes, score with holes, fill them several times
#
# Real tables have holes, and images are asked to be filled in anywhere. An autoregressive model of one order can
# complete what comes last in its order, and nothing else. This guide uses a model that knows all orders at once: a
# network that is given *any* set of values, and which ones these are, and predicts each of the others.
#
# It is trained as one would think: hide some values of each event, and predict them from the rest. How many are hidden
# matters. Here every number of them is as likely as every other, and the loss is weighted such that its mean is the
# likelihood in a random order. So every question "what is this value, given those?" gets its share of the training.

# %%
import os

import keras
import keras_ar
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ

keras.utils.set_random_seed(0)
data = keras_ar.datasets.load("digits", binary=True)
epochs, batch_size = 1 if QUICK else 300, 64


def trained(x):
    """A DeepNADE, trained on events that may have holes."""
    model = keras_ar.models.DeepNADE(data.event_shape, hidden_units=(500,), direct=True, dropout=0.5, seed=0)
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, epochs * len(x) // batch_size)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=0.01))
    model.fit(x, batch_size=batch_size, epochs=epochs, verbose=0)
    return model


model = trained(data.train)

# %% [markdown]
# ## One model, many orders
#
# Each order of the 64 pixels makes a distribution over all images, whose probabilities sum to one. No two of them are
# quite the same: a mixture of several is another distribution, and mostly the best one. `num_orderings` scores by it.

# %%
for count in (1, 4, 16):
    nats = -model.score_samples(data.test, num_orderings=count)
    print(f"{count:2} orders: {nats.mean():.2f} ± {nats.std() / len(nats) ** 0.5:.2f} nats per image")

# %% [markdown]
# ## Any hole
#
# A missing value is NaN. `complete` fills each hole, whatever its shape, as often as one likes: each time it draws
# from the distribution of what is missing, given what is there. Draws that differ show what the model cannot know.
# Their mean would be no image at all; use the draws.

# %%
known = np.ones((8, *data.event_shape), bool)
known[0:2, 2:6, 2:6] = False  # the middle
known[2:4, :, 4:] = False  # the right half
known[4:6] = np.random.default_rng(0).random((2, *data.event_shape)) < 0.3  # a third of the pixels, anywhere
known[6:8, ::2] = False  # every other row
truth = data.test[[0, 1, 2, 3, 4, 5, 6, 7]]
completed = model.complete(truth, known, num_draws=5, seed=1)

title = "The truth, what was known, and five completions"
keras_ar.plots.completions(truth, known, completed, num_levels=2, title=title).figure.savefig("holes.png")

# %% [markdown]
# Many completions show at one glance where the model is sure. `imputations` draws their mean and their standard
# deviation: dark pixels are the same in nearly all of them, bright ones may be either. (Of a table it shows for each
# missing value between which values the draws are, or how often each level was drawn.)

# %%
many = model.complete(truth, known, num_draws=50, seed=1)
title = "The mean of 50 completions, and their standard deviation"
keras_ar.plots.imputations(truth, known, many, num_levels=2, title=title).figure.savefig("spread.png")

# %% [markdown]
# How sure it is of each pixel by itself, given all that is known, takes a single pass: `conditionals_of`.

# %%
logits = model.conditionals_of(truth, known)
uncertain = np.abs(logits[..., 0]) < 1
print(f"{np.isnan(logits).sum()} pixels are known; of the others {uncertain.sum()} might well be either")

# %% [markdown]
# ## Training with holes
#
# Now half of the training pixels are missing. What is there is all that the model is scored by: a hole is neither zero
# nor the mean. This assumes that pixels are *missing at random*: whether one is missing must say nothing about its
# value that the others do not say. A sensor that fails in the dark breaks this assumption, and no model of the values
# alone can know it.

# %%
rng = np.random.default_rng(0)
with_holes = np.where(rng.random(data.train.shape) < 0.5, np.nan, data.train).astype("float32")
learned_from_holes = trained(with_holes)
for name, each in (("all pixels", model), ("half of them", learned_from_holes)):
    print(f"trained on {name}: {-each.score_samples(data.test, num_orderings=4).mean():.2f} nats per image")

# %% [markdown]
# ## Scores of what is there
#
# An event with holes has a likelihood, too: that of what is there, with the rest summed out. And there is the
# likelihood of one part *given* another. In one order, the two parts of an event add up to the whole.

# %%
order = np.arange(64)
upper = np.repeat(np.arange(8) < 4, 8).reshape(data.event_shape)
marginal = model.score_samples(data.test, known=upper, ordering=order)
conditional = model.score_samples(data.test, given=upper, ordering=order)
whole = model.score_samples(data.test, ordering=order)
print(f"upper half {marginal.mean():.2f}, lower half given it {conditional.mean():.2f}, all {whole.mean():.2f}")

# %% [markdown]
# ## Several completed data sets
#
# What follows from incomplete data is uncertain for two reasons: there are few events, and parts of them are unknown.
# Fill the holes several times, compute what you want from each completed set, and combine: the spread between the sets
# is what the holes cost. Here: how many pixels are white, in the mean over the test images, 30% of whose pixels are
# missing.

# %%
known = rng.random(data.test.shape) < 0.7
sets = model.complete(data.test, known, num_draws=5, seed=2)
counts = sets.reshape(5, len(data.test), -1).sum(axis=2)
means, within = counts.mean(axis=1), counts.var(axis=1, ddof=1).mean() / len(data.test)
between = means.var(ddof=1)
error = (within + (1 + 1 / 5) * between) ** 0.5  # Rubin's rule
truth = data.test.reshape(len(data.test), -1).sum(axis=1).mean()
print(f"{means.mean():.2f} ± {error:.2f} white pixels; the holes cost {(1.2 * between) ** 0.5:.2f}; truth {truth:.2f}")
