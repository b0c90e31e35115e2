# %% [markdown]
# # Images: what a pixel may see
#
# MADE treats an image as a list of 64 numbers. Networks for images use more: neighbors matter, and a stroke looks the
# same everywhere in the image. This guide shows four architectures, PixelRNN, PixelCNN, Gated PixelCNN and PixelCNN++.
#
# All of them go through the image in raster order, row by row. Each pixel *may* see all pixels above it and those to
# its left. What it *does* see depends on the architecture.

# %%
import math
import os

import keras
import keras_ar
import matplotlib.figure
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ

keras.utils.set_random_seed(0)
data = keras_ar.datasets.load("digits")
train, valid, test = (part[:32] if QUICK else part for part in (data.train, data.valid, data.test))
print(data)

# %% [markdown]
# ## PixelCNN: convolutions that look back
#
# A convolution sees a square around a pixel; a *masked* convolution only the half of it that comes earlier. There are
# two types of mask. Type A, in the first layer, hides the pixel from itself, because it is to be predicted. Type B, in
# all other layers, lets a pixel see its own features, which do not depend on the pixel.

# %%
layers = keras_ar.layers
figure = matplotlib.figure.Figure((8, 4), layout="constrained")
for ax, mask_type in zip(figure.subplots(1, 2), "AB", strict=True):
    layer = layers.MaskedConv2D(8, 5, mask_type=mask_type)
    layer.build((None, 8, 8, 1 if mask_type == "A" else 8))
    keras_ar.plots.masks(layer, title=f"mask type {mask_type}", ax=ax)
figure.savefig("mask_types.png")

# %% [markdown]
# Many such layers see far. But look at what the red pixel sees of a 9×9 image: white pixels are earlier and *not seen*,
# however many layers there are. Such a kernel reaches to the right only by going up, so pixels just above and far to
# the right are out of reach. This is the **blind spot** of masked convolutions.
#
# The Gated PixelCNN has two stacks of convolutions instead. The vertical stack sees all rows above, and needs no mask.
# The horizontal stack sees the current row to the left and the output of the vertical stack. There is no blind spot.
# PixelCNN++ shifts its convolutions instead of masking them, with the same effect, and adds coarser scales, which see
# far with few layers. PixelRNN replaces convolutions by LSTMs that run over the image: by rows, where a pixel sees a
# triangle above it, or along the diagonals from both sides, where it sees all earlier pixels.

# %%
H = keras_ar.heads
fields = {
    "PixelCNN": keras_ar.models.PixelCNN((9, 9, 1), filters=8, num_blocks=1 if QUICK else 4, kernel_size=3),
    "Gated PixelCNN": keras_ar.models.GatedPixelCNN((9, 9, 1), filters=8, num_blocks=1 if QUICK else 4),
    "Row LSTM": keras_ar.models.PixelRNN((9, 9, 1), variant="row", units=4, num_layers=2, kernel_size=3),
    "Diagonal BiLSTM": keras_ar.models.PixelRNN((9, 9, 1), variant="diagonal", units=4, kernel_size=3),
}
if QUICK:
    del fields["Row LSTM"], fields["Diagonal BiLSTM"]
figure = matplotlib.figure.Figure((12.5, 3.4), layout="constrained")
for ax, (name, model) in zip(figure.subplots(1, len(fields)), fields.items(), strict=True):
    keras_ar.plots.receptive_field(model, (5, 4), random_weights=True, title=name, ax=ax)
figure.savefig("receptive_fields.png")

# %% [markdown]
# ## Train them
#
# Small models, for a few epochs, on digits of 17 gray levels. Everything around `fit` is Keras' own:
#
# - a *schedule* lets the learning rate fall to zero along a cosine;
# - *averaged weights* (EMA): `use_ema=True` keeps an average of the weights of the last steps, which is nearly always
#   better than the last weights. The callback `SwapEMAWeights` uses it for validation and, with `swap_on_epoch=True`,
#   from the end of an epoch to the beginning of the next;
# - *checkpoints*: `ModelCheckpoint` keeps the weights of the best epoch in a file. It comes after `SwapEMAWeights` in
#   the list, so it keeps the averaged weights.
#
# PixelCNN++ has the head of its paper, a mixture of logistics; the others have a logit for each level.


# %%
def fit(model, x, valid, epochs=16, rate=3e-3):
    epochs, batch_size = 1 if QUICK else epochs, 32
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * math.ceil(len(train) / batch_size))
    model.compile(keras.optimizers.Adam(schedule, use_ema=True, ema_momentum=0.98))
    callbacks = [
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        keras.callbacks.ModelCheckpoint(
            f"{model.name}.weights.h5", "val_loss", mode="min", save_best_only=True, save_weights_only=True
        ),
    ]
    history = model.fit(
        x, batch_size=batch_size, epochs=epochs, validation_data=(valid,), callbacks=callbacks, verbose=0
    )
    model.load_weights(f"{model.name}.weights.h5")
    return history


shape, levels = data.event_shape, H.Categorical(17)
models = {
    "PixelCNN": keras_ar.models.PixelCNN(
        shape, filters=32, num_blocks=1 if QUICK else 3, kernel_size=5, dropout=0.3, head=levels, name="pixel_cnn"
    ),
    "Gated PixelCNN": keras_ar.models.GatedPixelCNN(
        shape, filters=24, num_blocks=2, dropout=0.3, head=levels, name="gated_pixel_cnn"
    ),
    "Row LSTM": keras_ar.models.PixelRNN(
        shape, variant="row", units=24, kernel_size=5, dropout=0.3, head=levels, name="pixel_rnn"
    ),
    "PixelCNN++": keras_ar.models.PixelCNNPlusPlus(
        shape,
        filters=12,
        num_resnets=1,
        num_levels=2,
        dropout=0.3,
        head=H.DiscretizedLogisticMixture(17, num_components=5),
        name="pixel_cnn_plus_plus",
    ),
}
if QUICK:
    models = {"PixelCNN": models["PixelCNN"]}

histories = {}
print(f"{'':16}{'weights':>8}{'nats per image':>20}{'bits per pixel':>16}")
for name, model in models.items():
    histories[name] = fit(model, train, valid)
    nats = -model.score_samples(test)
    error = nats.std() / len(nats) ** 0.5
    bits = nats.mean() / 64 / math.log(2)
    print(f"{name:16}{model.count_params():8,}{nats.mean():12.2f} ± {error:.2f}{bits:16.3f}")

# %% [markdown]
# MADE, in *A first model*, has 2.02 bits per pixel with many times as many weights. Weights that are shared over the
# image learn a stroke from every place where it occurs. (With longer training all four get better:
# `benchmarks/RESULTS.md`.)

# %%
ax = keras_ar.plots.learning_curves(histories["PixelCNN"], unit="bits", title="PixelCNN, averaged in validation")
ax.figure.savefig("learning_curves.png")

# %% [markdown]
# The validation loss is below the training loss, because dropout is off and weights are averaged. In the first epochs
# it is high, because the average still contains the first steps.
#
# 25 samples from each, with one seed:

# %%
grids = {"Test images": data.test[:25]} | {name: model.sample(25, seed=0) for name, model in models.items()}
ax = keras_ar.plots.images(grids, num_levels=17, cmap="gray_r")
ax.figure.savefig("samples.png")

# %% [markdown]
# ## Which digit?
#
# Every model takes a *condition*: a vector (`condition_shape`), or a class (`num_classes`). It then learns p(x |
# class), and a batch is the pair of events and classes. Each column below has one seed: the same random numbers, for
# ten different digits.

# %%
by_class = keras_ar.models.GatedPixelCNN(
    shape, filters=24, num_blocks=0 if QUICK else 2, dropout=0.3, head=levels, num_classes=10, name="by_class"
)
labels = data.train_labels[: len(train)], data.valid_labels[: len(valid)], data.test_labels[: len(test)]
fit(by_class, (train, labels[0]), (valid, labels[1]))
columns = [by_class.sample(10, condition=np.arange(10), seed=seed) for seed in range(8)]
rows = np.stack(columns, axis=1).reshape(-1, *shape)  # a row for each digit
ax = keras_ar.plots.images(rows, columns=8, num_levels=17, cmap="gray_r", title="A row for each digit")
ax.figure.savefig("by_class.png")

# %% [markdown]
# By Bayes' rule a model of images given classes is also a *classifier*: choose the digit for which the image is most
# probable.

# %%
log_probs = np.stack([by_class.score_samples(test, np.full(len(test), digit)) for digit in range(10)], axis=1)
accuracy = (log_probs.argmax(axis=1) == labels[2]).mean()
print(f"{100 * accuracy:.1f}% of {len(test)} test digits are classified correctly")

# %% [markdown]
# ## Completing images
#
# What comes first in the ordering may be given: here the upper halves of test images. Each model draws the rest.

# %%
upper = np.broadcast_to(np.arange(8)[:, None, None] < 4, shape)
x = data.test[:12]
completed = [model.complete(x, upper, seed=0) for model in models.values()]
title = "Completed by " + ", ".join(models)
ax = keras_ar.plots.completions(x, upper, completed, num_levels=17, cmap="gray_r", title=title)
ax.figure.savefig("completed.png")

# %% [markdown]
# For color images only the shape changes: `event_shape=(32, 32, 3)`. With `Categorical(256)` the colors of a pixel come
# one after the other, R, G, B; with `DiscretizedLogisticMixture(num_channels=3)` they are drawn together.
