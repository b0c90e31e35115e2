# %% [markdown]
# # Heads: what a value can be
#
# A network computes numbers; a head says what they mean. With different heads the same MADE models bits, gray levels or
# real numbers. Every head both scores values and draws them.
#
# A head has no weights. It says which values are possible (`support`) and how many numbers it needs for each value
# (`num_params`). It turns these numbers into log-probabilities and, together with random numbers, into a value. It
# draws from the distribution that it scores: over many draws, each value comes as often as its probability says.

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
    print(f"{head}: {head.num_params} numbers for each value, {head.support}")

# %% [markdown]
# ## Two heads for gray levels
#
# A pixel of the digits has 17 levels. `Categorical` has a logit for each level. It can represent any distribution, but
# has to learn from data that level 8 is close to level 9.
#
# `DiscretizedLogisticMixture`, from PixelCNN++, knows that levels are ordered. A logistic distribution (like a normal
# one, with heavier tails) is cut into 17 pieces; the tails belong to the first and the last level:
#
#     P(k) = Σₘ πₘ · [σ((k + ½ − μₘ)/sₘ) − σ((k − ½ − μₘ)/sₘ)]
#
# A mixture of five needs 15 numbers instead of 17. With 256 levels it is 15 instead of 256, a large difference.

# %%
data = keras_ar.datasets.load("digits")
train, valid, test = (part[:64] if QUICK else part for part in (data.train, data.valid, data.test))


def fit(model, x, epochs, rate=3e-3, **kwargs):
    """Trains with a learning rate that falls to zero along a cosine."""
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
# Which distributions do they predict? Both models see the upper half of a test image and predict four pixels of the row
# below. `model(x)` returns the parameters of all pixels at once; the head scores all 17 levels with them.

# %%
image, row, columns = test[1], 4, (2, 3, 4, 5)
levels = np.arange(17)
figure = matplotlib.figure.Figure((11, 3), layout="constrained")
for ax, column in zip(figure.subplots(1, 4, sharey=True), columns, strict=True):
    for offset, (name, model) in zip((-0.2, 0.2), models.items(), strict=True):
        params = model(image[None])[0, row, column, 0]  # (num_params,)
        log_prob = model.head.log_prob(keras.ops.expand_dims(params, 0), levels)
        ax.bar(levels + offset, np.exp(keras.ops.convert_to_numpy(log_prob)), width=0.4, label=name)
    ax.axvline(image[row, column, 0], color="black", linestyle=":", label="true level")
    ax.set(title=f"pixel ({row}, {column})", xlabel="level")
ax.legend(fontsize=7)
figure.savefig("two_heads.png")

# %% [markdown]
# The bars of the categorical head are ragged, because each level is learned by itself. The mixture is smooth, and still
# sharp where full ink (16) is likely. With few images it helps much to know that levels are ordered, as the bits above
# show; with very many images the categorical head loses nothing by not knowing it.

# %% [markdown]
# ## Can the probabilities be trusted?
#
# A weather forecast is calibrated if it rains on 30% of the days with a forecast of 30%. For distributions the same
# idea is the *probability integral transform* (PIT): F(x), the probability of a value below the one that was observed.
# If the model is right, these numbers are uniform. A hump in the middle means that the model is less certain than it
# could be; peaks at both ends mean that it is too certain. The band holds 95% of the columns of a perfect model. The
# numbers themselves come from `keras_ar.diagnostics.pit_values`.

# %%
figure = matplotlib.figure.Figure((11, 3.6), layout="constrained")
for ax, model in zip(figure.subplots(1, 2), models.values(), strict=True):
    keras_ar.plots.calibration(model, test, title=model.name, ax=ax)
figure.savefig("calibration.png")

# %% [markdown]
# ## Temperature
#
# A temperature T changes how values are *drawn*: from p^(1/T), normalized. Below 1 the likely values become more
# likely, above 1 less; at 0 each step takes its most probable value. Scores do not depend on it: the likelihood of the
# model is that at T = 1.

# %%
model = models["Categorical"]
samples = {f"T = {t}": model.sample(25, seed=0, temperature=t) for t in (0.5, 0.8, 1.0, 1.5)}
ax = keras_ar.plots.images(samples, num_levels=17, cmap="gray_r")
ax.figure.savefig("temperature.png")

# %% [markdown]
# ## Real numbers
#
# For real numbers a head is a *density*. The data here are points on two spirals: p(x₁, x₂) = p(x₁) · p(x₂ | x₁), two
# values and two conditionals. NADE with a density head is known as RNADE. One normal distribution for each conditional
# is not enough, because at a given x₁ the spirals are at several heights. A mixture of normals is enough.


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
# `scale` is the unit of the data: the network sees x / scale, and the log-density is that of the data as they are. The
# columns of a table have units of their own, and a head takes a `loc` and a `scale` for each. Here is a table of the
# widths (in meters) and the weights (in grams) of things that grow in all directions alike:

# %%
rng = np.random.default_rng(0)
width = rng.lognormal(-3.0, 0.3, 2000)
table = np.stack([width, 5e5 * width**3 * rng.lognormal(0.0, 0.1, 2000)], axis=1).astype("float32")
units = {"loc": table.mean(axis=0), "scale": table.std(axis=0)}
for name, options in (("one unit for both", {}), ("a unit for each", units)):
    model = keras_ar.models.NADE(2, units=50, activation="relu", head=heads.NormalMixture(5, **options))
    fit(model, table, epochs=20)
    print(f"{name}: {-model.score_samples(table).mean():.2f} nats")

# %% [markdown]
# ## Densities are not probabilities
#
# A density can exceed 1, so its NLL can be negative, and its bits depend on the unit of measurement. So the NLL of a
# density and that of a distribution over integers cannot be compared directly. A density of integers has no upper
# limit: a model can put a narrower and narrower spike on every integer. Here is a spike at the right level, with
# smaller and smaller scale:

# %%
for scale in (1.0, 0.1, 0.01, 0.001):
    at_its_mean = np.zeros((1, 2), "float32")
    log_density = heads.Normal(loc=8.0, scale=scale).log_prob(at_its_mean, np.array([8.0], "float32"))
    print(f"scale {scale}: log-density {float(log_density[0]):6.2f} nats")

# %% [markdown]
# The remedy is to spread each integer over its cell: add uniform noise from 0 to 1 (*dequantization*). Then
#
#     E[log density(x + u)]  ≤  log P(x),   where P(x) is the integral of the density over the cell of x
#
# by Jensen's inequality, so the NLL of the density is an *upper bound* of the NLL of a model of integers. This bound
# can be compared with the two results above. Here is the same network with a mixture of normals, on noisy test images.


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
# The density has to learn the flat cells; a head of integers has them built in. Use the head that fits your data: bits,
# integers or reals. If none fits, you can write one in about forty lines: see *Writing a plugin*.
