# %% [markdown]
# # Latent variables: what is not seen
#
# Events may be simpler than they look, if one knows something that is not in the data: which cluster a point is in, or
# where on a curve it lies. A model with a *latent variable* draws it first, then the event given it, and the likelihood
# sums over all that it may have been:
#
# p(x) = ∫ p(x | z) p(z) dz
#
# We walk from sums that are easy to integrals that nobody can do, where a lower bound has to be enough: from a mixture
# of Gaussians to PPCA, to a variational autoencoder, to one with a flow. At the end the unknowns are the weights
# themselves. All models are in a plugin, `pip install keras-ar-latent`.

# %%
import os

import keras
import keras_ar
import keras_ar_latent as latent
import matplotlib.figure
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ
COLORS = np.array(
    ["#14568c", "#d1603d", "#4f8f3a", "#8a5aa8", "#c9a227", "#2f9fa8", "#7a4b2b", "#d26fa5", "#777777", "#111"]
)
keras.utils.set_random_seed(0)


def axes(columns, width=11.0, height=3.4):
    """A figure of a row of panels."""
    figure = matplotlib.figure.Figure((width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


# %% [markdown]
# ## A mixture of Gaussians
#
# The latent variable is one of a few clusters, so that the integral is a sum, and the likelihood is exact. Given the
# components it would be easy to say who drew each point, and given who drew it, what the components are. EM does the
# two by turns, and no turn lowers the likelihood.

# %%
rng = np.random.default_rng(0)
angles, lengths = rng.uniform(0, 2 * np.pi, 600), rng.choice([1.0, 3.0], 600)
rings = np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None] + 0.2 * rng.normal(size=(600, 2))

mixture = latent.MixtureOfGaussians(2, num_components=9)
nats = mixture.fit_em(rings, seed=1)
print(f"{len(nats)} steps of EM: {nats[0]:.3f}, {nats[1]:.3f}, … {nats[-1]:.3f} nats")

# %% [markdown]
# The *responsibilities* are what the model thinks of the latent variable: how probable it is that a point came from
# each component. Points between two components have the colors of both.

# %%
figure, (left, middle, right) = axes(3)
shares = mixture.responsibilities(rings)
rgb = np.array([[int(color[1:][i : i + 2], 16) / 255 for i in (0, 2, 4)] for color in COLORS[:9]])
left.scatter(*rings.T, s=9, color=shares @ rgb)
left.set(title="responsibilities", aspect="equal", xlim=(-4, 4), ylim=(-4, 4))
keras_ar.plots.density(mixture, (-4, -4), (4, 4), title="density", ax=middle)
right.plot(np.arange(1, len(nats) + 1), nats, color=COLORS[0])
right.set(title="EM", xlabel="steps", ylabel="mean log-likelihood, nats")
figure.savefig("responsibilities.png")

# %% [markdown]
# ## Principal components
#
# Now let the latent variable be a few real numbers, with a standard normal distribution, and the event a linear map of
# it and noise. A linear map of normal variables is normal, so the integral has a closed form: this is probabilistic
# principal component analysis. `fit_em` needs no turns here, it takes the eigenvectors of the covariance.
#
# The data are images of handwritten digits, 64 pixels of 17 gray levels.

# %%
digits = keras_ar.datasets.load("digits")
size = 64 if QUICK else None
train, valid, test = (part[:size] for part in (digits.train, digits.valid, digits.test))
labels = digits.test_labels[:size]

ppca = latent.PPCA(digits.event_shape, latent_dims=2)
ppca.fit_em(train)
print(f"PPCA of 2 dimensions: {-ppca.score_samples(test).mean():.2f} nats of a density")

# %% [markdown]
# ## A variational autoencoder
#
# Two straight lines through 64 dimensions are not much. Let a network make the event of `z`, and the integral is out of
# reach. But whoever guesses `z` well needs no integral: for any guess `q(z | x)`
#
# log p(x) ≥ E[log p(x | z) + log p(z) − log q(z | x)],
#
# and the better the guess, the closer the bound. A second network, the *encoder*, learns to guess. In the log,
# `reconstruction` is what is left to say about an event once `z` is known, and `kl` what it takes to say `z`; their sum
# is the loss, in nats. `active_units` counts the latent variables that are in use.
#
# The decoder here is a `Factorized` model with a categorical head, given `z`: the pixels are independent once `z` is
# known, each has a probability for each of its levels, and so the bound is one of a probability, not of a density.

# %%
levels = keras_ar.heads.Categorical(digits.num_levels)


def autoencoder(latent_dims, **kwargs):
    """A VAE of digits, trained."""
    model = latent.VAE(
        digits.event_shape,
        latent_shape=latent_dims,
        encoder=(256, 128),
        decoder=(128, 256),
        head=levels,
        **kwargs,
    )
    epochs = 1 if QUICK else 45
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-len(train) // 50))
    model.compile(keras.optimizers.Adam(rate))
    callbacks = [latent.KLWarmUp(15), keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True)]
    model.fit(train, batch_size=50, epochs=epochs, validation_data=(valid,), callbacks=callbacks, verbose=0)
    found = model.evaluate(test, verbose=0, return_dict=True)
    print({name: round(value, 2) for name, value in sorted(found.items())})
    return model


plane = autoencoder(2, name="plane")

# %% [markdown]
# Two latent variables can be looked at. Nobody told either model what a digit is, and colors are the true classes.

# %%
figure, panels = axes(2, width=10.5, height=4.6)
for ax, model in zip(panels, (ppca, plane), strict=True):
    z = model.latents(test)
    for digit in range(10):
        ax.scatter(*z[labels == digit].T, s=14, color=COLORS[digit], label=str(digit))
    ax.set(title={"plane": "VAE"}.get(model.name, "PPCA"), xlabel="first latent variable", ylabel="second")
panels[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
figure.savefig("latent_plane.png")

# %% [markdown]
# To draw is to walk over that plane. Each image is what the decoder expects at a point of a grid, from the quantiles of
# the prior.

# %%
steps = np.array([-1.64, -1.04, -0.67, -0.39, -0.13, 0.13, 0.39, 0.67, 1.04, 1.64])
grid = np.stack(np.meshgrid(steps, steps[::-1]), axis=-1).reshape(-1, 2)
walk = plane.decode(grid)
keras_ar.plots.images(walk, num_levels=17, columns=10, title="the decoder over the plane").figure.savefig("walk.png")

# %% [markdown]
# ## A posterior that bends
#
# More latent variables say more, and here the guesses begin to matter. The true posterior of the `z` of an event is no
# normal distribution with independent entries. An *inverse autoregressive flow* bends the guess: a MADE moves and
# stretches each variable by those before it, all in one pass.

# %%
deep = autoencoder(16, name="diagonal")


def inverse_autoregressive():
    """A bijector for the posterior: it is given the 128 features of the encoder as a condition."""
    made = keras_ar.models.MADE(16, hidden_units=128, head="normal", condition_shape=128)
    return keras_ar.bijectors.Inverse(keras_ar.bijectors.Autoregressive(made))


bent = autoencoder(16, posterior=[inverse_autoregressive()], name="flow")

# %% [markdown]
# A bound can be made better without training, by more guesses for each event: the logarithm of their mean weight is a
# lower bound, too, and rises to the likelihood. How far it rises tells how good single guesses are.

# %%
counts = [1, 2, 5] if QUICK else [1, 3, 10, 30, 100, 300]
figure, (ax,) = axes(1, width=6.4, height=3.6)
for model, color in zip((plane, deep, bent), COLORS, strict=False):
    bounds = [model.score_samples(test, num_draws=count, seed=0).mean() for count in counts]
    name = {"plane": "2 variables", "diagonal": "16, diagonal posterior", "flow": "16, with a flow"}[model.name]
    ax.plot(counts, bounds, "o-", color=color, label=name, markersize=4)
ax.set(xscale="log", xlabel="guesses for each event", ylabel="bound of log p(x), nats")
ax.legend(frameon=False)
figure.savefig("bounds.png")

# %% [markdown]
# What is kept of an event in two and in sixteen numbers? Above, the events; below, what PPCA and the autoencoders make
# of them: the means of pixels, so that doubt is gray.

# %%
chosen = test[:12]
rows = [chosen, np.clip(np.rint(ppca.reconstruct(chosen)), 0, 16), plane.reconstruct(chosen), bent.reconstruct(chosen)]
picture = keras_ar.plots.images(np.concatenate(rows), num_levels=17, columns=12, title="digits, PPCA 2, VAE 2, VAE 16")
picture.figure.savefig("reconstructions.png")

# %% [markdown]
# Straight lines between the latent variables of two events pass through events that never were.

# %%
first = [int(np.flatnonzero(labels == digit)[0]) if (labels == digit).any() else 0 for digit in (0, 1, 7, 4)]
last = [int(np.flatnonzero(labels == digit)[0]) if (labels == digit).any() else 0 for digit in (6, 8, 2, 9)]
lines = bent.interpolate(test[first], test[last], num_steps=12).reshape(-1, *digits.event_shape)
keras_ar.plots.images(lines, num_levels=17, columns=12, title="lines between digits").figure.savefig(
    "interpolations.png"
)

# %% [markdown]
# The prior and the decoder may be any density models: `prior=latent.MixtureOfGaussians(...)` has room for clusters, a
# decoder that draws pixel by pixel makes a `PixelVAE`, and a `VQVAE` has integers as latent variables, and an
# autoregressive model of these. `beta=` and `free_bits=` change what `fit` lowers; a score is always the bound.
#
# ## The weights are latent, too
#
# Nobody has seen the true weights, either. With a prior on them, training finds their most probable values (MAP), and
# the *Bayesian predictive* averages over all: p(x | data) = E[p(x | weights)]. There is one model where every step of
# this has a closed form, tables of p(x_i | x_1, …, x_{i−1}) with a Dirichlet prior on each row. Here are ten events of
# three bits, and what they say of all eight.

# %%
truth = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.07, 0.05, 0.03])
events = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)])
seen = events[rng.choice(8, p=truth, size=10)]


def tables(**kwargs):
    model = latent.ConditionalTables(3)
    model.fit_tables(seen, **kwargs)
    return model


draws = keras_ar.models.Ensemble([tables(estimate="draw", seed=seed) for seed in range(5 if QUICK else 50)])
candidates = {
    "most likely": tables(),
    "most probable": tables(concentration=1.5),
    "predictive": tables(estimate="mean"),
    "ensemble of draws": draws,
}
figure, (ax,) = axes(1, width=8.4, height=3.4)
for i, (name, model) in enumerate(candidates.items()):
    ax.bar(np.arange(8) + 0.2 * (i - 1.5), np.exp(model.score_samples(events)), 0.2, label=name, color=COLORS[i])
ax.hlines(truth, np.arange(8) - 0.42, np.arange(8) + 0.42, "black", label="truth")
ax.set_xticks(np.arange(8), ["".join(map(str, event)) for event in events])
ax.set(ylabel="probability")
ax.legend(frameon=False)
figure.savefig("tables.png")
for name, model in candidates.items():
    divergence = float((truth * (np.log(truth) - model.score_samples(events))).sum())
    print(f"{name}: {divergence:.2f} nats from the truth")

# %% [markdown]
# An event that was never seen is impossible to the most likely tables, which is as far from the truth as can be. The
# predictive keeps some probability for it, and fifty draws from the posterior, as an `Ensemble`, are nearly the same.
#
# Most models have no closed form, but weights can be drawn: gradient descent with the right amount of noise wanders
# through their posterior (`SGLD`), and `Snapshots` of it are the members of an ensemble. A `keras_ar.GaussianPrior`
# makes the loss the one that this needs, exactly, in nats per event. A hundred black and white images are too few for a
# logistic regression of each pixel on those before it. The ensemble is better than its members, and than the most
# likely weights; how the most probable ones compare with it depends on the prior.

# %%
few = np.tile((digits.train[:100] > 7).astype(int), (20, 1, 1, 1))  # an epoch is twenty steps
binary = (test > 7).astype(int)


def regressions(optimizer, prior=None, callbacks=()):
    """Logistic regressions after a few thousand steps, each along the gradient of all hundred images."""
    regularizer = keras_ar.GaussianPrior(prior, num_events=100) if prior else None
    model = keras_ar.models.FVSBN(digits.event_shape, kernel_regularizer=regularizer)
    model.compile(optimizer)
    epochs = 1 if QUICK else 80
    model.fit(few, batch_size=100, epochs=epochs, shuffle=False, callbacks=list(callbacks), verbose=0)
    return model


snapshots = latent.Snapshots(first=1 if QUICK else 30, every=3)
found = {
    "most likely": regressions(keras.optimizers.Adam(0.01)),
    "most probable": regressions(keras.optimizers.Adam(0.01), prior=0.3),
    "one draw": regressions(latent.SGLD(0.1, num_events=100, seed=0), prior=0.3, callbacks=[snapshots]),
}
found["predictive"] = snapshots.ensemble()
for name, model in found.items():
    print(f"{name}: {-model.score_samples(binary).mean():.2f} nats")
