# %% [markdown]
# # Bounds: pixels, sets and graphs by flows
#
# A flow is a density of real numbers, but pixels are integers, and the types of atoms have no order at all. Both can be
# seen as real numbers of which something is hidden: what was rounded off, or where in space a category lies. What is
# hidden must be guessed, and so the score is no likelihood but a lower bound of it. Much published code prints such
# bounds as if they were likelihoods. Here they are a kind of their own: the metric is called `bits_per_dim_at_most`,
# the command line prints `≤` and the number of guesses, and tests prove that the bounds are bounds.

# %%
import os

import keras
import keras_ar
import keras_ar_flows as flows
import matplotlib.figure
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ
keras.utils.set_random_seed(0)


def fit(model, x, epochs, rate=2e-3, batch_size=64):
    """Trains a model, after it has set the weights of `ActNorm` from the data."""
    epochs = 1 if QUICK else epochs
    model.initialize_from_data(x[:200])
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * -(-len(x) // batch_size))
    model.compile(keras.optimizers.Adam(schedule, global_clipnorm=5.0))
    model.fit(x, batch_size=batch_size, epochs=epochs, verbose=0)
    return model


# %% [markdown]
# ## One pixel
#
# Let one pixel have four levels, and let a density of real numbers be that of the level plus a fraction between 0 and
# 1. The probability of a level is the integral of the density over its cell. Nobody can integrate over a thousand
# pixels, so `Dequantized` guesses the fraction u, by a distribution q(u | x), and scores p(x + u) / q(u | x). In the
# mean that is the integral, and the mean of its logarithm lies below. The more guesses, the closer.

# %%
P = np.array([0.55, 0.05, 0.3, 0.1])
pixel = np.random.default_rng(0).choice(4, p=P, size=(400 if QUICK else 4000, 1))
spline = keras_ar.heads.RationalQuadraticSpline(8)
one = fit(flows.Dequantized(keras_ar.models.MADE(1, head=spline), num_levels=4), pixel, epochs=10, rate=1e-2)


def density_of(model, points):
    """The density of levels with fractions."""
    fraction = points - np.floor(points)
    z, log_det = model.to_reals(np.floor(points), np.log(fraction), np.log1p(-fraction))
    return np.exp(model.density.score_samples(z) + keras.ops.convert_to_numpy(log_det))


figure = matplotlib.figure.Figure((7.2, 3.2), layout="constrained")
ax = figure.subplots()
ax.bar(np.arange(4) + 0.5, P, width=1.0, color="#dddddd", edgecolor="white", label="probability of each level")
points = np.linspace(0.004, 3.996, 500)[:, None]
ax.plot(points, density_of(one, points), label="density, of level and fraction")
for draws, marker, label in ((1, "v", "bound by 1 draw"), (100, "o", "bound by 100 draws")):
    bounds = one.score_samples(np.tile(np.arange(4), 200)[:, None], num_draws=draws).reshape(200, 4).mean(axis=0)
    ax.plot(np.arange(4) + 0.5, np.exp(bounds), marker, color="black", fillstyle="none", label=label)
ax.set(xlabel="level + fraction", xticks=range(5), ylim=(0, None))
ax.legend(fontsize=8)
figure.savefig("pixel.png")

# %% [markdown]
# The simplest guess is uniform. A flow is smooth, so that it cannot fill a cell and leave the next one empty. It can be
# high in the middle of a cell, and a second flow can learn to guess just there. Here are two pixels, and both ways.

# %%
levels = np.random.default_rng(0).choice(4, p=P, size=(400 if QUICK else 4000, 2))


def pixels(posterior=None):
    """A model of two pixels of four levels."""
    splines = flows.NeuralSplineFlow(2, num_layers=2, hidden_units=(32, 32))
    return flows.Dequantized(splines, num_levels=4, posterior=posterior)


models = {
    "uniform": pixels(),
    "variational": pixels(flows.RealNVP(2, num_layers=4, hidden_units=32, condition_shape=2)),
}
entropy = -P @ np.log2(P)
print(f"entropy: {entropy:.3f} bits per pixel")
for name, model in models.items():
    fit(model, levels, epochs=10, rate=5e-3, batch_size=200)
    bits = {n: -model.score_samples(levels[:1000], num_draws=n).mean() / (2 * np.log(2)) for n in (1, 10, 100)}
    print(f"{name}: " + ", ".join(f"≤ {value:.3f} by {n} draws" for n, value in bits.items()))

# %% [markdown]
# The densities of both models, over the sixteen cells of two pixels. The one that was trained with uniform fractions
# has to fill each cell evenly; the other one has hills, where its own guesses lie.

# %%
figure = matplotlib.figure.Figure((8.4, 4.1), layout="constrained")
for ax, (name, model) in zip(figure.subplots(1, 2), models.items(), strict=True):
    edge = np.linspace(0.01, 3.99, 160)
    points = np.stack(np.meshgrid(edge, edge), axis=-1).reshape(-1, 2)
    brightness = np.sqrt(density_of(model, points)).reshape(160, 160)
    ax.imshow(brightness, origin="lower", extent=(0, 4, 0, 4), cmap="viridis")
    ax.set(title=f"trained with {name} fractions", xlabel="first pixel", ylabel="second pixel")
    ax.set(xticks=range(5), yticks=range(5))
    ax.grid(color="white", linewidth=0.5, alpha=0.6)
figure.savefig("cells.png")

# %% [markdown]
# ## Images
#
# `Glow` treats images at several scales. At each, pixels become channels, channels are mixed, half of them tell how the
# other half is stretched; then half of what came out is done, and the rest goes on as a smaller image. `FlowPlusPlus`
# has couplings by mixtures of logistics, with attention. Around any of them goes `Dequantized`.

# %%
digits = keras_ar.datasets.load("digits")
train, test = (x[:32] if QUICK else x for x in (digits.train, digits.test))
glow = flows.Glow(digits.event_shape, num_levels=3, num_steps=3, filters=48)
model = fit(flows.Dequantized(glow, num_levels=digits.num_levels), train, epochs=30)
print(model.evaluate(test, verbose=0, return_dict=True))
for draws in (1, 10, 100):
    bits = -model.score_samples(test[:100], num_draws=draws).mean() / (64 * np.log(2))
    print(f"≤ {bits:.3f} bits per pixel by {draws} draws")

# %% [markdown]
# What the scales hold: an image is mapped to noise, some of which is drawn afresh, and mapped back. Half of the noise
# belongs to the finest scale and changes strokes a bit. With that of the second scale the digit begins to change; only
# a quarter of all numbers, the coarsest, are left as they were.

# %%
half = np.full(test[:10].shape, np.log(0.5), "float32")
z, _ = glow.to_noise(model.to_reals(test[:10].astype("float32"), half, half)[0])
z = keras.ops.convert_to_numpy(z)
fresh = np.random.default_rng(1).normal(size=z.shape).astype("float32")
rows = [test[:10]]
for count in (32, 48, 64):  # entries of the noise: those of the finest scale come first
    changed = np.concatenate([fresh[:, :count], z[:, count:]], axis=1)
    reals = keras.ops.convert_to_numpy(glow.from_noise(changed)[0])
    rows.append(np.floor(17 / (1 + np.exp(-reals))).clip(0, 16).astype(int))
figure = matplotlib.figure.Figure((9, 3.9), layout="constrained")
keras_ar.plots.images(np.concatenate(rows), num_levels=17, columns=10, ax=figure.subplots())
figure.axes[0].set_title("test images; then with new noise at the finest scale, at two, at all three")
figure.savefig("scales.png")

# %% [markdown]
# ## Temperature
#
# The density of images in many dimensions is spread thin. At a temperature below 1 the noise is narrower: samples are
# smoother and more alike, and they no longer follow the model.

# %%
figure = matplotlib.figure.Figure((10, 3.6), layout="constrained")
for ax, temperature in zip(figure.subplots(1, 3), (0.25, 0.6, 1.0), strict=True):
    drawn = model.sample(36, seed=0, temperature=temperature)
    keras_ar.plots.images(drawn, num_levels=17, columns=6, ax=ax)
    ax.set_title(f"temperature {temperature}")
figure.savefig("temperatures.png")

# %% [markdown]
# ## Categories
#
# Categories have no order, so rounding makes no sense for them. `CategoricalFlow` gives each category its own cloud of
# places in space, and learns where. A flow is the density of places. Which category a place belongs to follows from the
# clouds by Bayes' rule. With networks that do not know the place of an entry, it models sets; and `GraphCNF` small
# graphs: first all nodes, then the edges between them.
#
# Here are molecules that the plugin makes: an atom of type t has t arms, a bond of type t takes t arms of both, and all
# atoms are connected. A model may draw any graph, so how many of its samples keep the rules says what it has learned.

# %%
num_nodes = 5
graphs = flows.graphs.molecules(200 if QUICK else 8000, num_nodes, seed=0)
cnf = flows.GraphCNF(num_nodes, num_types=5, latent_dims=3, num_layers=4, units=32, num_blocks=2, num_components=4)
fit(cnf, graphs if QUICK else graphs[:-200], epochs=8, rate=5e-3, batch_size=128)
drawn = cnf.sample(500, seed=0)
independent = np.stack([np.random.default_rng(i).permutation(x) for i, x in enumerate(graphs[:500].T)], axis=1)
for name, x in (("columns shuffled", independent), ("GraphCNF", drawn)):
    print(f"{name}: {flows.graphs.is_valid(x, num_nodes).mean():.0%} of the graphs are molecules")
bits = -cnf.score_samples(graphs[-200:], num_draws=20).mean() / np.log(2)
print(f"at most {bits:.2f} bits per molecule by 20 draws")

# %%
COLORS = {1: "#c9c9c9", 2: "#d9534f", 3: "#4a7fb5", 4: "#444444"}
figure = matplotlib.figure.Figure((10, 4.2), layout="constrained")
angle = 2 * np.pi * np.arange(num_nodes) / num_nodes
place = np.stack([np.sin(angle), np.cos(angle)], axis=1)
for ax, x, bonds in zip(figure.subplots(2, 5).flat, drawn, flows.graphs.adjacency(drawn, num_nodes), strict=False):
    for first, second in flows.graphs.pairs(num_nodes):
        across = (place[second] - place[first])[::-1] * [1, -1]
        for i in range(bonds[first, second]):
            shift = 0.05 * across * (i - (bonds[first, second] - 1) / 2)
            ax.plot(*np.transpose([place[first] + shift, place[second] + shift]), color="#888888", zorder=1)
    for node in np.flatnonzero(x[:num_nodes]):
        ax.scatter(*place[node], 240, COLORS[int(x[node])], edgecolors="black", zorder=2)
        ax.annotate(str(x[node]), place[node], color="white" if x[node] > 1 else "black", ha="center", va="center")
    ax.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal")
    ax.set_title("a molecule" if flows.graphs.is_valid(x[None], num_nodes)[0] else "no molecule", fontsize=9)
    ax.axis("off")
figure.savefig("molecules.png")

# %% [markdown]
# ## A bound of your own
#
# Whatever has hidden randomness is a `keras_ar.BoundedModel`: one method gives log p(x, u) - log q(u | x) for a guess u
# that is made of uniforms, another draws. The rest is there: `fit`, scores that repeat, importance-weighted bounds, and
# the kit, `keras_ar.testing.checks_for(model)`, which adds up the bounds of all events of a small model.
