"""A first model: MADE on scikit-learn's handwritten digits, 8 by 8 pixels of 17 grey levels each."""

# %% The data, in their own units: integers from 0 to 16. Nothing is downloaded.
import numpy as np
from sklearn.datasets import load_digits

import keras
import keras_ar

keras.utils.set_random_seed(1)
images = np.random.default_rng(0).permutation(load_digits().images.astype("uint8"))[..., None]  # (1797, 8, 8, 1)
x_train, x_valid, x_test = np.split(images, [1297, 1547])

# %% The model: every pixel has a categorical distribution, given all the pixels before it.
model = keras_ar.models.MADE(
    event_shape=(8, 8, 1),
    hidden_units=(500, 500),
    head=keras_ar.heads.Categorical(17),
    direct=True,
    dropout=0.6,
)
epochs, batch_size = 60, 64
steps = epochs * len(x_train) // batch_size
model.compile(optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, steps)))
model.summary()

# %% Training is Keras' own `fit`; the loss is the negative log-likelihood, in nats per image.
model.fit(
    x_train,
    batch_size=batch_size,
    epochs=epochs,
    validation_data=(x_valid,),
    callbacks=[keras.callbacks.EarlyStopping("val_loss", mode="min", patience=15, restore_best_weights=True)],
    verbose=2,
)

# %% How good is it? The likelihood of images that it has not seen.
nats = -model.score_samples(x_test)
error = nats.std() / np.sqrt(len(nats))
bits = model.evaluate(x_test, verbose=0, return_dict=True)["bits_per_dim"]
print(f"\ntest: {nats.mean():.2f} ± {error:.2f} nats per image, {bits:.3f} bits per pixel, {len(x_test)} images")

# %% What does it dream of? Draws beside real images.
draws = model.sample(64, seed=0)
ax = keras_ar.plots.images(
    {"Test images": x_test[:64], "Drawn by the model": draws},
    num_levels=17,
    cmap="gray_r",
    title=f"MADE on handwritten digits: {bits:.2f} bits per pixel on test images",
)
ax.figure.savefig("first_model.png")
print("64 draws: first_model.png")
