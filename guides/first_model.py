# %% [markdown]
# # A first model
#
# From handwritten digits to a model that says how probable an image is, and draws new ones, in ten minutes.
#
# An image of 64 pixels with 17 gray levels each is one of 17⁶⁴ possible images. No table holds that many probabilities.
# But every distribution over them is a product of 64 conditionals, by the chain rule:
#
#     p(x) = p(x₁) · p(x₂ | x₁) · p(x₃ | x₁, x₂) · … · p(x₆₄ | x₁, …, x₆₃)
#
# Each factor is a distribution over 17 levels: what comes next, given all that came before. That is a classification
# problem, and a neural network can learn it. A model made of such factors is called *autoregressive*. Its likelihood is
# exact, and to sample from it is to draw one value after the other from its factors.

# %% [markdown]
# ## The data
#
# The digits come with scikit-learn, so nothing is downloaded. Data stay in their own units, here integers from 0 to 16.

# %%
import os
import shutil
import sys

import keras
import keras_ar
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ  # every guide has this line: the tests run the guides shortened

keras.utils.set_random_seed(1)
data = keras_ar.datasets.load("digits")
print(data)

# %% [markdown]
# ## The model
#
# MADE is a dense network with some of its connections removed: output 17 sees pixels 1 to 16 and no others. The *head*
# says what a pixel is, here one of 17 levels, and how many numbers the network must compute for it: 17 for each of the
# 64 pixels.
#
# `compile` takes no loss. The loss is always the negative log-likelihood (NLL).

# %%
model = keras_ar.models.MADE(
    event_shape=data.event_shape,  # (8, 8, 1)
    hidden_units=(500, 500),
    direct=True,
    dropout=0.6,
    head=keras_ar.heads.Categorical(data.num_levels),
)
epochs, batch_size = 1 if QUICK else 60, 64
steps = epochs * len(data.train) // batch_size
model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, steps)))
model.summary()

# %% [markdown]
# ## Training
#
# This is Keras' own `fit`, with Keras' own schedules, early stopping, checkpoints and averaged weights. One bar shows
# all epochs; without `verbose=0` each would have a bar of its own.

# %%
bar = keras.utils.Progbar(epochs, unit_name="epoch", stateful_metrics=["valid nats"])
history = model.fit(
    data.train,
    batch_size=batch_size,
    epochs=epochs,
    validation_data=(data.valid,),
    callbacks=[
        keras.callbacks.EarlyStopping("val_loss", mode="min", patience=15, restore_best_weights=True),
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: bar.update(epoch + 1, [("valid nats", logs["val_loss"])])
        ),
    ],
    verbose=0,
)
print()

# %% [markdown]
# ## How good is it?
#
# The number that matters is the likelihood of images that were not used in training: −log p(x) in *nats* per image or,
# divided by 64 · log 2, in *bits per pixel*. A model that knows nothing needs log₂ 17 = 4.09 bits for a pixel. The bits
# per pixel of a model are what a compressor that uses the model would need.

# %%
nats = -model.score_samples(data.test)
error = nats.std() / len(nats) ** 0.5
bits = model.evaluate(data.test, verbose=0, return_dict=True)["bits_per_dim"]
print(f"test NLL {nats.mean():.2f} ± {error:.2f} nats per image, {bits:.3f} bits per pixel, {len(nats)} images")

# %% [markdown]
# ## Samples
#
# 64 samples beside 64 test images. A seed means the same samples on every backend.

# %%
samples = model.sample(64, seed=0)
ax = keras_ar.plots.images(
    {"Test images": data.test[:64], "Samples": samples},
    num_levels=data.num_levels,
    cmap="gray_r",
    title=f"MADE on handwritten digits: {bits:.2f} bits per pixel on test images",
)
ax.figure.savefig("first_model.png")

# %% [markdown]
# A model that only remembers its training images gives test images a very low likelihood. So the test NLL above also
# shows that this model does not; `keras_ar.plots.neighbors` shows samples beside the nearest training images.
#
# Pixels come in order, so the model can also complete an image. Here the upper halves of test images are given.

# %%
upper = np.broadcast_to(np.arange(8)[:, None, None] < 4, data.event_shape)
completed = [model.complete(data.test[:12], known=upper, seed=seed) for seed in range(3)]
ax = keras_ar.plots.completions(
    data.test[:12], upper, completed, num_levels=17, cmap="gray_r", title="Upper halves, completed three times"
)
ax.figure.savefig("first_model_completed.png")

# %% [markdown]
# ## Save it
#
# One file holds the model. Plain Keras opens it again, on any of the three backends.

# %%
model.save("first_model.keras")
again = keras.saving.load_model("first_model.keras")
print("the same samples from the file:", bool((again.sample(64, seed=0) == samples).all()))

# %% [markdown]
# ## What next
#
# The next guide explains how one network computes 64 conditionals at once, each without seeing its own pixel. A
# PixelCNN has nine nats less on these digits: its recipe is one line of the command line.

# %%
command = "keras-ar" if shutil.which("keras-ar") else os.path.join(os.path.dirname(sys.executable), "keras-ar")
print(f"""
64 samples beside test images: {os.path.abspath("first_model.png")}
Test images, completed:        {os.path.abspath("first_model_completed.png")}

Try next: {command} train pixel-cnn-digits
(a better model, in some minutes; {command} list shows more)""")
