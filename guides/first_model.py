# %% [markdown]
# # A first model
#
# Ten minutes from handwritten digits to a model that says how probable an image is, and draws new ones.
#
# An image of 64 pixels with 17 grey levels each is one of 17⁶⁴ possible images, more than any table holds. But every
# distribution over them, without exception, is a product of 64 small questions, asked one after the other:
#
#     p(x) = p(x₁) · p(x₂ | x₁) · p(x₃ | x₁, x₂) · … · p(x₆₄ | x₁, …, x₆₃)
#
# Each factor is a distribution over 17 levels: what comes next, given all that came before. That is a classification
# problem, and a neural network can learn it. A model made of such factors is called autoregressive. Its likelihood is
# exact, and drawing from it is asking the questions in turn and writing down the answers.

# %% [markdown]
# ## The data
#
# They come with scikit-learn, so nothing is downloaded. Data stay in their own units, here integers from 0 to 16.

# %%
import os

import keras
import keras_ar
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ  # every guide has this line: the tests run them shortened

keras.utils.set_random_seed(1)
data = keras_ar.datasets.load("digits")
print(data)

# %% [markdown]
# ## The model
#
# MADE is a plain dense network, a few of whose connections are cut: output 17 of them sees pixels 1 to 16 and no
# others. The *head* says what a pixel is, here one of 17 levels, and the network computes what the head asks for:
# 17 numbers for each of the 64 pixels.
#
# `compile` takes no loss. The loss is the negative log-likelihood, always.

# %%
model = keras_ar.models.MADE(
    event_shape=data.event_shape,  # (8, 8, 1)
    hidden_units=(500, 500),
    head=keras_ar.heads.Categorical(data.num_levels),
    direct=True,
    dropout=0.6,
)
epochs, batch_size = 1 if QUICK else 60, 64
steps = epochs * len(data.train) // batch_size
model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, steps)))
model.summary()

# %% [markdown]
# ## Training
#
# This is Keras' own `fit`, and all that goes with it: schedules, early stopping, checkpoints, averaged weights.

# %%
history = model.fit(
    data.train,
    batch_size=batch_size,
    epochs=epochs,
    validation_data=(data.valid,),
    callbacks=[keras.callbacks.EarlyStopping("val_loss", mode="min", patience=15, restore_best_weights=True)],
    verbose=2,
)

# %% [markdown]
# ## How good is it?
#
# The one number that matters is the likelihood of images that it has not seen: −log p(x) in *nats* per image or,
# divided by 64 · log 2, in *bits per pixel*. A model that knows nothing needs log₂ 17 = 4.09 bits for a pixel. A
# model's bits per pixel are what a compressor that is built on it would need.

# %%
nats = -model.score_samples(data.test)
error = nats.std() / len(nats) ** 0.5
bits = model.evaluate(data.test, verbose=0, return_dict=True)["bits_per_dim"]
print(f"test: {nats.mean():.2f} ± {error:.2f} nats per image, {bits:.3f} bits per pixel, {len(nats)} images")

# %% [markdown]
# ## What does it dream of?
#
# 64 draws beside 64 test images. A seed means the same draws on every backend.

# %%
draws = model.sample(64, seed=0)
ax = keras_ar.plots.images(
    {"Test images": data.test[:64], "Drawn by the model": draws},
    num_levels=data.num_levels,
    cmap="gray_r",
    title=f"MADE on handwritten digits: {bits:.2f} bits per pixel on test images",
)
ax.figure.savefig("first_model.png")
print("64 draws: first_model.png")

# %% [markdown]
# A model that had only learned its training images by heart would find the test images next to impossible, so the
# likelihood above is also the proof that it has not; `keras_ar.plots.neighbours` shows draws beside the training
# images nearest to them. And because pixels come in order, the model can finish what somebody else began. Here it is
# told the upper half of test images.

# %%
upper = np.broadcast_to(np.arange(8)[:, None, None] < 4, data.event_shape)
completed = [model.complete(data.test[:12], known=upper, seed=seed) for seed in range(3)]
ax = keras_ar.plots.completions(
    data.test[:12], upper, completed, num_levels=17, cmap="gray_r", title="Upper halves, completed three times"
)
ax.figure.savefig("first_model_completed.png")

# %% [markdown]
# ## Keep it
#
# One file holds the model, and plain Keras opens it again, on any of the three backends.

# %%
model.save("first_model.keras")
again = keras.saving.load_model("first_model.keras")
print("the same draws from the file:", bool((again.sample(64, seed=0) == draws).all()))

# %% [markdown]
# The next guide asks how a network can answer 64 questions at once without peeking at the answers.
