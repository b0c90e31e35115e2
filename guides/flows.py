# %% [markdown]
# # Flows: from noise to data and back
#
# An autoregressive model asks for one value after the other. A flow moves all of them: it is an invertible map between
# events and noise, made of simple maps, the *bijectors*. If we know by how much a map stretches space, we know the
# density of events from that of the noise:
#
# log p(x) = log p(z) + log |det dz/dx|
#
# In keras_ar every bijector has `to_noise` and `from_noise`, and both return the same number `log_det`, which is always
# added. The flows of the papers are a plugin, `pip install keras-ar-flows`.

# %%
import os

import keras
import keras_ar
import keras_ar_flows as flows
import matplotlib.figure
import numpy as np
from keras_ar.bijectors import Autoregressive

QUICK = "KERAS_AR_QUICK" in os.environ
keras.utils.set_random_seed(0)


def moons(count, seed):
    """Two half circles, each of which reaches into the other."""
    rng = np.random.default_rng(seed)
    angle, upper = np.pi * rng.uniform(size=count), rng.integers(0, 2, count)
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    return (np.stack([x, y], axis=1) + 0.1 * rng.normal(size=(count, 2))).astype("float32")


def fit(flow, x, epochs, batch_size=256):
    """Trains a flow, after it has set the weights of `ActNorm` from the data."""
    epochs = 1 if QUICK else epochs
    flow.initialize_from_data(x[:1000])
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * -(-len(x) // batch_size))
    flow.compile(keras.optimizers.Adam(rate, global_clipnorm=5.0))
    flow.fit(x, batch_size=batch_size, epochs=epochs, verbose=0)


train, test = moons(500 if QUICK else 20_000, seed=0), moons(500 if QUICK else 5_000, seed=1)

# %% [markdown]
# ## Folds along planes
#
# The oldest bijectors are a fold along a plane and a pull to a point, `Planar` and `Radial`. One alone does little, for
# it has only five numbers to learn. Of two moons sixteen folds in a row find hardly more than an ellipse. They are at
# their best as the posterior of a latent variable, where a network predicts the folds for each event.

# %%
planar = flows.PlanarFlow(2, num_layers=16)
fit(planar, train, epochs=30)
print(f"16 planes: {-planar.score_samples(test).mean():.3f} nats")

# %% [markdown]
# ## Couplings
#
# A *coupling* keeps some of the values, and lets a network compute from them how the others are moved. The network may
# be anything, since nobody ever has to undo it: given the values that were kept, it computes the same once more. What
# it computes are the parameters of a **head**: a head of real values is an increasing map, whether it shifts (`Shift`,
# NICE), stretches (`Affine`, RealNVP) or bends (`RationalQuadraticSpline`, neural spline flows).

# %%
nice = flows.NICE(2, num_layers=8, hidden_units=(64, 64))
real_nvp = flows.RealNVP(2, num_layers=8, hidden_units=(64, 64), name="RealNVP")
splines = flows.NeuralSplineFlow(2, num_layers=4, hidden_units=(64, 64), name="splines")
for flow in (nice, real_nvp, splines):
    fit(flow, train, epochs=30)
    print(f"{flow.name}: {-flow.score_samples(test).mean():.3f} nats")

# %% [markdown]
# Here is RealNVP at work. Each bijector moves the points a bit; at the end they are noise. To draw, it starts from
# noise and goes the other way.

# %%
keras_ar.plots.unfolding(real_nvp, test[:3000]).figure.savefig("unfolding.png")

# %%
figure = matplotlib.figure.Figure((12, 3.2), layout="constrained")
for ax, flow, title in zip(
    figure.subplots(1, 4), (planar, nice, real_nvp, splines), ("planes", "NICE", "RealNVP", "splines"), strict=True
):
    nats = -flow.score_samples(test).mean()
    keras_ar.plots.density(flow, (-1.6, -1.1), (2.6, 1.6), title=f"{title}: {nats:.2f} nats", ax=ax)
figure.savefig("densities.png")

# %% [markdown]
# ## An autoregressive model is a bijector
#
# A `MADE` with a head of real values maps each value to noise by its conditional distribution: that is
# `bijectors.Autoregressive(made)`. `to_noise` is one pass of the network. `from_noise` draws step by step, and here is
# what sets keras_ar apart: a step computes only what is new in it, so that all steps together cost about one pass,
# where other libraries run the whole network once for each value.
#
# The order of the values matters, as the figure 1 of the MAF paper shows. Below, x2 is normal, and x1 is normal around
# x2² / 4. A MADE that has x2 first is exactly right. One that has x1 first cannot be: given x1, there are two places
# where x2 may be. A stack of five finds a way.

# %%
rng = np.random.default_rng(0)


def parabola(count):
    """Points around a parabola that lies on its side."""
    second = 2.0 * rng.normal(size=count)
    return np.stack([0.25 * second**2 + rng.normal(size=count), second], axis=1).astype("float32")


x, x_test = parabola(500 if QUICK else 20_000), parabola(500 if QUICK else 5_000)
networks = {"hidden_units": (64, 64), "head": "normal"}
candidates = {
    "x2 first": keras_ar.models.MADE(2, ordering="reversed", **networks),
    "x1 first": keras_ar.models.MADE(2, **networks),
    "five, x1 first": flows.MAF(2, num_layers=5, hidden_units=(64, 64), act_norm=True),
}
figure = matplotlib.figure.Figure((10, 3.4), layout="constrained")
for ax, (name, model) in zip(figure.subplots(1, 3), candidates.items(), strict=True):
    fit(model, x, epochs=20)
    nats = -model.score_samples(x_test).mean()
    keras_ar.plots.density(model, (-3.0, -6.0), (10.0, 6.0), title=f"{name}: {nats:.2f} nats", ax=ax)
figure.savefig("parabola.png")

# %% [markdown]
# `MAF` is nothing but a list of such bijectors, and anyone can write the list:

# %%
by_hand = keras_ar.FlowModel(
    2,
    bijectors=[
        Autoregressive(keras_ar.models.MADE(2, hidden_units=16, head="normal")),
        Autoregressive(keras_ar.models.MADE(2, hidden_units=16, head="normal", ordering="reversed")),
    ],
    base=keras_ar.models.MADE(2, hidden_units=16, head="normal_mixture"),
)
print(by_hand.sample(2, seed=0).shape)

# %% [markdown]
# The base may be any density of real values: here a MADE of mixtures, a *MAF MoG*. The other way round, `Inverse` of a
# bijector draws in one pass and scores in a loop: an inverse autoregressive flow, `IAF`. It is for posteriors of latent
# variables, which score only what they have drawn. `fit` refuses it, and says why.
#
# ## Images
#
# Pixels are integers, and flows are densities of real numbers. So we add noise as wide as a level, other noise to each
# of many copies, and map the range of the pixels to the whole line by `Logit`. The density of an image, averaged over
# the noise, is a bound on the probability of its levels. A flow may be the base of another one, and this is how we put
# `Logit` before a RealNVP.
#
# With `num_scales` RealNVP treats images as such: couplings on a checkerboard of pixels; then pixels become channels,
# half of which are done, and the others go on as a smaller image. The class of the digit is the condition.

# %%
digits = keras_ar.datasets.load("digits")
size = 32 if QUICK else len(digits.train)


def noisy(levels, labels, copies):
    """Events and conditions: each image several times, with other noise."""
    levels = np.repeat(levels, copies, axis=0)
    return levels + np.random.default_rng(0).uniform(size=levels.shape), np.repeat(labels, copies)


real_nvp = flows.RealNVP(digits.event_shape, num_layers=2, hidden_units=(32, 32), num_scales=3, condition_shape=10)
flow = keras_ar.FlowModel(
    digits.event_shape, bijectors=[flows.Logit(high=digits.num_levels)], base=real_nvp, num_classes=10, name="digits"
)
x, classes = noisy(digits.train[:size], digits.train_labels[:size], copies=1 if QUICK else 8)
flow.initialize_from_data(x[:1000], classes[:1000])
epochs = 1 if QUICK else 20
rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-len(x) // 128))
flow.compile(keras.optimizers.AdamW(rate, weight_decay=0.02, global_clipnorm=5.0))
flow.fit(x, classes, batch_size=128, epochs=epochs, verbose=0)
bits = flow.evaluate(noisy(digits.test[:size], digits.test_labels[:size], copies=1), verbose=0, return_dict=True)
print(f"at most {bits['bits_per_dim']:.3f} bits per pixel of 17 levels")

# %% [markdown]
# Drawing is one pass, for all pixels at once. Rows of the picture are classes.

# %%
drawn = flow.sample(100, condition=np.repeat(np.arange(10), 10), seed=0)
keras_ar.plots.images(np.floor(drawn).clip(0, 16).astype(int), num_levels=17, columns=10).figure.savefig("draws.png")

# %% [markdown]
# ## A bijector of your own
#
# Two methods, and the kit says whether they hold what they promise: that one undoes the other, and that `log_det` is
# the logarithm of the determinant of the Jacobian. An error of sign that both methods share, or a term that is missing,
# survives a test that only goes there and back.


# %%
@keras.saving.register_keras_serializable(package="guide")
class Sinh(keras_ar.bijectors.Bijector):
    """`z = sinh(x)`, with the wrong sign in both directions."""

    def to_noise(self, x, condition=None):
        return keras.ops.sinh(x), self.log_det(x)

    def from_noise(self, z, condition=None):
        x = keras.ops.arcsinh(z)
        return x, self.log_det(x)

    def log_det(self, x):
        return -keras.ops.sum(keras.ops.log(keras.ops.cosh(x)), axis=-1)


for name, check in keras_ar.testing.checks_for(Sinh(), input_shape=(2,)).items():
    try:
        check()
    except AssertionError as error:
        print(f"{name}: {error}")
