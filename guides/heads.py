# %% [markdown]
# # Heads: what a value can be
#
# A network gives numbers; a head says what they mean. The same MADE models bits, grey levels or real numbers,
# depending on the head that it is given, and every head both scores and draws.
#
# A head is a small thing without weights. It says how many numbers it wants for each value (`num_params`), and turns
# them into log-probabilities and, with random numbers, into a value. What it draws is exactly what it scores: draw
# often enough, and each value comes as often as its probability says.

# %%
import math
import os

import keras
import keras_ar
import matplotlib.figure
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ

keras.utils.set_random_seed(0)
heads = keras_ar.heads
for head in (heads.Bernoulli(), heads.Categorical(17), heads.DiscretizedLogisticMixture(17, 5), heads.Normal()):
    print(f"{head}: {head.num_params} numbers for each value, {head.num_levels or 'real'} values")

# %% [markdown]
# ## Two heads for grey levels
#
# A pixel of the digits has 17 levels. `Categorical` gives each level a logit of its own. It can take any shape, and
# knows nothing: that level 8 is near level 9 is something it has to learn from data.
#
# `DiscretizedLogisticMixture`, of PixelCNN++, knows that levels are ordered. A logistic distribution, which looks
# like a normal one with heavier tails, is cut into 17 pieces; what lies beyond the ends goes to the outermost levels:
#
#     P(k) = Σₘ πₘ · [σ((k + ½ − μₘ)/sₘ) − σ((k − ½ − μₘ)/sₘ)]
#
# Five of them need 15 numbers instead of 17. With 256 levels it is 256 against 15, and there it matters.

# %%
data = keras_ar.datasets.load("digits")
train, valid, test = (part[:64] if QUICK else part for part in (data.train, data.valid, data.test))


def fit(model, x, epochs, rate=3e-3, **kwargs):
    """Trains with a falling learning rate, and keeps the weights that are best in validation."""
    epochs = 1 if QUICK else epochs
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * math.ceil(len(x) / 64))
    model.compile(keras.optimizers.Adam(schedule))
    return model.fit(x, batch_size=64, epochs=epochs, verbose=0, **kwargs)


models = {}
for head in (heads.Categorical(17), heads.DiscretizedLogisticMixture(17, num_components=5)):
    model = keras_ar.models.MADE(
        data.event_shape, hidden_units=(500, 500), direct=True, dropout=0.6, head=head, name=type(head).__name__
    )
    best = keras.callbacks.EarlyStopping("val_loss", mode="min", patience=20, restore_best_weights=True)
    fit(model, train, epochs=60, rate=1e-2, validation_data=(valid,), callbacks=[best])
    models[model.name] = model
    bits = model.evaluate(test, verbose=0, return_dict=True)["bits_per_dim"]
    print(f"{model.name}: {model.count_params():,} weights, {bits:.3f} bits per pixel")

# %% [markdown]
# What do they think of one pixel? Both models are shown the upper half of a test image, and asked about four pixels
# of the row below. `model(x)` gives the parameters of all pixels at once; the head scores all 17 levels with them.

# %%
image, row, columns = test[1], 4, (2, 3, 4, 5)
levels = np.arange(17)
figure = matplotlib.figure.Figure((11, 3), layout="constrained")
for ax, column in zip(figure.subplots(1, 4, sharey=True), columns, strict=True):
    for offset, (name, model) in zip((-0.2, 0.2), models.items(), strict=True):
        params = model(image[None])[0, row, column, 0]  # (num_params,)
        log_prob = model.head.log_prob(keras.ops.expand_dims(params, 0), levels)
        ax.bar(levels + offset, np.exp(keras.ops.convert_to_numpy(log_prob)), width=0.4, label=name)
    ax.axvline(image[row, column, 0], color="black", linestyle=":", label="what it is")
    ax.set(title=f"pixel ({row}, {column})", xlabel="level")
ax.legend(fontsize=7)
figure.savefig("two_heads.png")

# %% [markdown]
# The columns of the categorical head are ragged, because each level is learned by itself. The mixture is smooth, and
# still sharp where full ink (16) is likely. With few images, to know that levels have an order is worth a lot, as the
# bits above say; with very many, the freedom of the categorical head costs nothing any more.

# %% [markdown]
# ## Can the probabilities be trusted?
#
# A weather forecaster is calibrated if it rains on 30% of the days for which she said 30%. For distributions the same
# idea is the *probability integral transform*: F(x), the probability of a value below the one that came. If the model
# is right, these numbers are uniform. A hump in the middle means that it is less sure than it could be, horns at both
# ends that it is too sure of itself. The band is where 95% of the columns of a perfect model would be.

# %%
figure = matplotlib.figure.Figure((11, 3.6), layout="constrained")
for ax, model in zip(figure.subplots(1, 2), models.values(), strict=True):
    keras_ar.plots.calibration(model, test, title=model.name, ax=ax)
figure.savefig("calibration.png")

# %% [markdown]
# ## Temperature
#
# A head can be sharpened: draw each value from p^(1/T), normalised. Below 1 only what is likely remains, above 1 the
# odds even out. It is a knob of *drawing*. The likelihood of the model is what it is, at T = 1.

# %%
model = models["Categorical"]
draws = {f"T = {t}": model.sample(25, seed=0, temperature=t) for t in (0.5, 0.8, 1.0, 1.5)}
ax = keras_ar.plots.images(draws, num_levels=17, cmap="gray_r")
ax.figure.savefig("temperature.png")

# %% [markdown]
# ## Real numbers
#
# For real numbers a head is a *density*. Here are points on two spirals: p(x₁, x₂) = p(x₁) · p(x₂ | x₁), two values,
# two conditionals. NADE with a density head is known as RNADE. One normal distribution for each conditional is not
# enough: at a given x₁ the spirals are at several heights. A mixture of normals is.


# %%
def spirals(count, seed):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(1.0, 3 * np.pi, count)
    arm = rng.integers(0, 2, count) * 2 - 1
    points = np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1) * arm[:, None]
    return (points + rng.normal(scale=0.4, size=points.shape)).astype("float32")


x, x_test = spirals(256 if QUICK else 8192, seed=0), spirals(2000, seed=1)
scale = float(x.std())
figure = matplotlib.figure.Figure((11, 3.9), layout="constrained")
axes = figure.subplots(1, 3, sharex=True, sharey=True)
axes[0].scatter(*x_test.T, s=2)
axes[0].set(title="Data", aspect="equal")
for ax, head in zip(axes[1:], (heads.Normal(scale=scale), heads.NormalMixture(20, scale=scale)), strict=True):
    model = keras_ar.models.NADE(2, units=200, activation="relu", head=head)
    fit(model, x, epochs=60)
    nats = -model.score_samples(x_test).mean()
    ax.scatter(*model.sample(2000, seed=0).T, s=2)
    ax.set(title=f"{type(head).__name__}: {nats:.2f} nats", aspect="equal")
figure.savefig("spirals.png")

# %% [markdown]
# `scale` tells the head the units of the data; the network sees standardised numbers, and the log-density that comes
# out is that of the data as they are.
#
# ## Densities are not probabilities
#
# A density can exceed 1, so its nats can be negative, and its bits depend on the unit of measurement. The two kinds
# must not be compared carelessly. Integers scored by a density are the classical trap: a model can put an ever
# narrower spike on every integer, and its log-density grows without end. Here is a spike at the right level, with
# ever smaller scale:

# %%
for scale in (1.0, 0.1, 0.01, 0.001):
    at_its_mean = np.zeros((1, 2), "float32")
    log_density = heads.Normal(loc=8.0, scale=scale).log_prob(at_its_mean, np.array([8.0], "float32"))
    print(f"scale {scale}: {float(log_density[0]):6.2f} nats for a pixel")

# %% [markdown]
# The cure is to spread each integer over its cell: add uniform noise from 0 to 1. Then
#
#     E[log density(x + u)]  ≤  log P(x),   where P(x) is the integral of the density over the cell of x
#
# by Jensen's inequality, so that the density's nats *bound* those of a model of integers. With that, a density head
# may stand beside the two above: bits per pixel of the same network with a mixture of normals, on noisy test images.


# %%
def spread(x, seed):
    return (x + np.random.default_rng(seed).uniform(size=x.shape)).astype("float32")


density = keras_ar.models.MADE(
    data.event_shape,
    hidden_units=(500, 500),
    direct=True,
    dropout=0.6,
    head=heads.NormalMixture(10, loc=8.5, scale=6.0),
)
best = keras.callbacks.EarlyStopping("val_loss", mode="min", patience=20, restore_best_weights=True)
fit(density, spread(train, 0), epochs=60, validation_data=(spread(valid, 1),), callbacks=[best])
bound = density.evaluate(spread(test, 2), verbose=0, return_dict=True)["bits_per_dim"]
print(f"NormalMixture on noisy images: at most {bound:.3f} bits per pixel")

# %% [markdown]
# A density has to spend effort on drawing boxes where an integer head has none to draw. Use the head that your data
# are: bits, integers, or reals. If none fits, a head is some forty lines of your own: see *Writing a plugin*.
