# %% [markdown]
# # FVSBN, NADE, MADE: what to share
#
# Three models of binary vectors, from 1996, 2011 and 2015. They compute the same conditionals, p(xᵢ | x₁, …, xᵢ₋₁), and
# differ in how many weights the networks of the conditionals share.
#
# A table of all probabilities of n bits has 2ⁿ − 1 entries. The chain rule alone saves nothing: the factor
# p(xₙ | x₁, …, xₙ₋₁) is still a table with 2ⁿ⁻¹ rows. So each table is replaced by a function with few weights. Which
# function, and which weights may the functions share?

# %%
import math
import os
import time

import keras
import keras_ar
import matplotlib.figure
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ

keras.utils.set_random_seed(0)
data = keras_ar.datasets.load("digits", binary=True)
n = math.prod(data.event_shape)
train, valid, test = (part[:64] if QUICK else part for part in (data.train, data.valid, data.test))
print(data)

# %% [markdown]
# ## A baseline
#
# Independent pixels, each with its own probability of being black.

# %%
p = (train.sum(axis=0) + 1) / (len(train) + 2)  # one more black and one more white: no zeros
independent = -(test * np.log(p) + (1 - test) * np.log(1 - p)).sum(axis=(1, 2, 3))
nats = {"coin flips": np.full(len(test), n * math.log(2)), "independent pixels": independent}
print({name: f"{values.mean():.2f} nats per image" for name, values in nats.items()})

# %% [markdown]
# ## FVSBN: share nothing
#
# The fully visible sigmoid belief network makes each factor a logistic regression on all pixels before it:
#
#     p(xᵢ = 1 | x₁, …, xᵢ₋₁) = σ(bᵢ + Σⱼ﹤ᵢ Wᵢⱼ xⱼ)
#
# The weights form a triangle; with the biases there are n(n + 1)/2 of them. No two factors share a weight.
#
# First a check of the exact likelihood. Ten bits make 1024 events. For any weights, their probabilities sum to one.

# %%
small = keras_ar.models.FVSBN(10)
small.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in small.get_weights()])
every_event = (np.arange(1024)[:, None] >> np.arange(10)) & 1
print(f"{small.count_params()} weights; probabilities sum to {np.exp(small.score_samples(every_event)).sum():.6f}")

# %% [markdown]
# ## NADE: share a hidden layer
#
# A logistic regression cannot say "black if exactly one of these two is". A hidden layer can, but n networks with h
# hidden units have about n²h/2 weights. In NADE all n networks use the same matrix; network i uses its first i − 1
# rows:
#
#     hᵢ = act(c + Σⱼ﹤ᵢ xⱼ Wⱼ)        p(xᵢ = 1 | x₁, …, xᵢ₋₁) = σ(bᵢ + vᵢ · hᵢ)
#
# This has two consequences. There are only about 2nh weights. And the sum for one pixel is the sum for the pixel before
# plus one row, so all n hidden layers cost O(nh) and not O(n²h): sampling carries the running sum from pixel to pixel.
#
# ## MADE: share everything
#
# One network with n inputs, n outputs and any depth. A mask removes each connection that would let an output see its
# own pixel or a later one. Each hidden unit has a *degree* d from 1 to n − 1: it may see the first d pixels. A unit of
# degree a may be connected to a hidden unit of degree b if b ≥ a, and to the output of pixel i if i > a. So along every
# path from an input to an output the degrees never decrease, and no output sees a later pixel. A small example:

# %%
tiny = keras_ar.models.MADE(6, hidden_units=(12, 12))
ax = keras_ar.plots.masks(tiny, title="The masks of a MADE of 6 pixels, two layers of 12 units")
ax.figure.savefig("masks.png")
first, second = tiny.hidden[0].mask, tiny.hidden[1].mask
paths = first @ second @ tiny.output_layer.mask
print("paths from each pixel (row) to each output (column):\n", paths.astype(int))

# %% [markdown]
# The product of the masks counts paths; there is none on the diagonal or below it. The library checks the same by
# derivatives, for any model. Here is what the output of one pixel sees, in each of the three models. The picture of a
# new network would be empty, because its last layer starts at zero: `random_weights` shows what the architecture
# allows.

# %%
models = {
    "FVSBN": keras_ar.models.FVSBN(data.event_shape),
    "NADE": keras_ar.models.NADE(data.event_shape, units=200, activation="relu"),
    "MADE": keras_ar.models.MADE(data.event_shape, hidden_units=(500, 500), direct=True, dropout=0.5),
}
figure = matplotlib.figure.Figure((11, 3.6), layout="constrained")
for ax, (name, model) in zip(figure.subplots(1, 3), models.items(), strict=True):
    keras_ar.plots.receptive_field(model, position=(4, 3), random_weights=True, title=name, ax=ax)
figure.savefig("what_one_pixel_sees.png")

# %% [markdown]
# ## Train them
#
# The same `compile` and `fit` for all. Early stopping keeps the weights that are best on the validation images.

# %%
settings = {"FVSBN": (1e-2, 200), "NADE": (3e-3, 60), "MADE": (3e-3, 60)}  # learning rate, epochs at most
for name, model in models.items():
    rate, epochs = settings[name]
    model.compile(keras.optimizers.Adam(rate))
    start = time.perf_counter()
    history = model.fit(
        train,
        batch_size=64,
        epochs=1 if QUICK else epochs,
        validation_data=(valid,),
        callbacks=[keras.callbacks.EarlyStopping("val_loss", mode="min", patience=8, restore_best_weights=True)],
        verbose=0,
    )
    seconds = time.perf_counter() - start
    nats[name] = -model.score_samples(test)
    print(f"{name}: {model.count_params():7,} weights, {len(history.epoch)} epochs in {seconds:.0f} s")

print(f"\n{'test NLL, nats':22}")
for name, values in nats.items():
    print(f"{name:22}{values.mean():6.2f} ± {values.std() / len(values) ** 0.5:.2f}")

# %% [markdown]
# The step from independent pixels to a triangle of weights is the largest; hidden layers add the rest. ± is the
# standard error over test images. All models are scored on the same images, so to compare two models take the
# *differences* image by image: their standard error is smaller.

# %%
difference = nats["NADE"] - nats["MADE"]
print(f"NLL of NADE minus NLL of MADE: {difference.mean():.2f} ± {difference.std() / len(difference) ** 0.5:.2f} nats")

# %% [markdown]
# Samples from the three, with the same seed and so from the same random numbers:

# %%
grids = {"Test images": test[:36]} | {name: model.sample(36, seed=0) for name, model in models.items()}
ax = keras_ar.plots.images(grids, num_levels=2, cmap="gray_r")
ax.figure.savefig("samples.png")

# %% [markdown]
# ## What have they learned?
#
# The first weights of NADE can be shown as images: what each hidden unit responds to. The nats of each pixel show where
# the model is uncertain: the edge of the image is always white, the strokes in the middle are hard to predict.

# %%
ax = keras_ar.plots.features(models["NADE"], count=50, columns=10)
ax.figure.savefig("features.png")
ax = keras_ar.plots.position_nats(models["NADE"], test)
ax.figure.savefig("nats_of_pixels.png")

# %% [markdown]
# ## The order is a choice
#
# The chain rule holds in any order. A model trained from the last pixel to the first, or in random order, is another
# model with its own likelihood, often about as good. The mixture of several orderings is better than each of them. Take
# care what is averaged. The average of *probabilities of whole images*,
#
#     p(x) = 1/K · Σₖ pₖ(x),        log p(x) = logsumexpₖ log pₖ(x) − log K
#
# is a distribution. The average of the orderings' *logits* is not: it gives better numbers, but its probabilities do
# not sum to one.

# %%
log_probs = []
for seed in range(1 if QUICK else 4):
    member = keras_ar.models.MADE(
        data.event_shape,
        hidden_units=(500, 500),
        direct=True,
        dropout=0.5,
        ordering="random",
        seed=seed,
    )
    member.compile(keras.optimizers.Adam(3e-3))
    stop = keras.callbacks.EarlyStopping("val_loss", mode="min", patience=8, restore_best_weights=True)
    member.fit(train, batch_size=64, epochs=1 if QUICK else 60, validation_data=(valid,), callbacks=[stop], verbose=0)
    log_probs.append(member.score_samples(test))

each = -np.mean(log_probs, axis=1)
together = -(np.logaddexp.reduce(log_probs, axis=0) - math.log(len(log_probs)))
print("each ordering:", *(f"{value:.2f}" for value in each), "nats")
print(f"their mixture: {together.mean():.2f} nats")

# %% [markdown]
# So far every value was a bit. The next guide is about heads: levels, real numbers, and whether they are calibrated.
