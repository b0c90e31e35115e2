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
test = data.test[:32] if QUICK else data.test
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
for count in (1, 4) if QUICK else (1, 4, 16):
    nats = -model.score_samples(test, num_orderings=count)
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
truth = test[[0, 1, 2, 3, 4, 5, 6, 7]]
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
    print(f"trained on {name}: {-each.score_samples(test, num_orderings=4).mean():.2f} nats per image")

# %% [markdown]
# ## Scores of what is there
#
# An event with holes has a likelihood, too: that of what is there, with the rest summed out. And there is the
# likelihood of one part *given* another. In one order, the two parts of an event add up to the whole.

# %%
order = np.arange(64)
upper = np.repeat(np.arange(8) < 4, 8).reshape(data.event_shape)
marginal = model.score_samples(test, known=upper, ordering=order)
conditional = model.score_samples(test, given=upper, ordering=order)
whole = model.score_samples(test, ordering=order)
print(f"upper half {marginal.mean():.2f}, lower half given it {conditional.mean():.2f}, all {whole.mean():.2f}")

# %% [markdown]
# ## Several completed data sets
#
# What follows from incomplete data is uncertain for two reasons: there are few events, and parts of them are unknown.
# Fill the holes several times, compute what you want from each completed set, and combine: the spread between the sets
# is what the holes cost. Here: a regression of how many pixels are white in the lower half of a digit on how many are
# in its upper half, where 30% of the pixels are missing.


# %%
def regression(images):
    """The slope, and the square of its standard error."""
    upper, lower = images.reshape(len(images), 2, -1).sum(axis=2).T
    (slope, _), covariance = np.polyfit(upper, lower, 1, cov=True)
    return slope, covariance[0, 0]


known = rng.random(test.shape) < 0.7
sets = model.complete(test, known, num_draws=5, seed=2)
slopes, variances = np.transpose([regression(images) for images in sets])
between = slopes.var(ddof=1)
error = (variances.mean() + (1 + 1 / 5) * between) ** 0.5  # Rubin's rule
slope, variance = regression(test)
print(f"slope {slopes.mean():.2f} ± {error:.2f}, of which the holes cost {(1.2 * between) ** 0.5:.2f}")
print(f"with no pixel missing {slope:.2f} ± {variance**0.5:.2f}")

# %% [markdown]
# ## Several values a pass
#
# A network that sees the whole image again for each value, such as `ConvNADE`, or a deep one, takes its time. Values
# that are drawn in one pass are independent given the passes before. That is another model, a little worse, but an
# exact one, too: `passes=` scores what it draws. Where passes should begin follows from how hard values are to predict
# when so many others are known: few at a time in the beginning, many in the end.

# %%
losses = model.loss_by_step(data.valid[: len(test)], num_orderings=4)
for count in (4,) if QUICK else (64, 16, 4):
    schedule = keras_ar.passes.schedule(losses, count)
    nats = -model.score_samples(test, num_orderings=4, passes=schedule).mean()
    print(f"{count:2} passes: {nats:.2f} nats per image, the first passes take {np.diff(schedule)[:6].tolist()} pixels")

# %% [markdown]
# ## Models of one order
#
# A MADE or a PixelCNN completes exactly what comes last in its order. For any other pattern it takes particles: draws
# in which what is known stands where it must, weighted by how probable it is there. The effective sample size says how
# many of them count; where it is small, the model went astray before it saw what is known.

# %%
made = keras_ar.models.MADE(data.event_shape, hidden_units=(500,), direct=True, dropout=0.5, seed=0)
made.compile(keras.optimizers.Adam(3e-3))
made.fit(data.train, batch_size=batch_size, epochs=max(epochs // 10, 1), verbose=0)
right = np.ones(data.event_shape, bool)
right[:, :5] = False  # the left columns are missing: each row begins with a hole
options = {"num_draws": 5, "num_particles": 100, "seed": 0, "return_effective_size": True}
completed, sizes = made.complete(test[:20], right, **options)
print(f"of 100 particles {np.median(sizes):.0f} are effective, in the median over images")

# %% [markdown]
# `OrderAgnosticMADE` lies between: many orders share its weights, one pass each, and it takes what is known first.
# On small data sets a mixture of hundreds of them has the best likelihoods that are known.
