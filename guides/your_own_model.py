# %% [markdown]
# # A model of your own, and how to know that it is right
#
# Autoregressive models go wrong silently. A mask that is off by one lets an output see what it predicts; training
# runs well, suspiciously well, and the likelihood that comes out is no likelihood. Published code has had every
# mistake of this lecture. Here is a model written from nothing, and the kit that would have caught them.

# %%
import os

import keras
import keras_ar
import matplotlib.figure
import numpy as np
from keras import ops

QUICK = "KERAS_AR_QUICK" in os.environ

keras.utils.set_random_seed(0)

# %% [markdown]
# ## The cheap way: a chain of causal layers
#
# Any list of causal layers is a model. The first must hide each position from itself, the others may look at it.

# %%
chain = keras_ar.AutoregressiveModel.from_layers(
    [keras_ar.layers.CausalConv1D(16, 3, strict=True), keras.layers.ReLU(), keras_ar.layers.CausalGRU(16)],
    event_shape=12,
)
print(chain.sample(3, seed=0))

# %% [markdown]
# ## The real thing: a Transformer
#
# Causal attention is the network behind language models. As a subclass of `AutoregressiveModel` it needs one method,
# `call`: events in, parameters of all conditionals out. `encode_steps` gives the event unrolled into steps, rescaled
# for a network; `from_steps` puts parameters back into the event's own layout, whatever the ordering. Everything
# else, `fit`, `evaluate`, `score_samples`, `sample`, `complete`, comes with the base class.
#
# The line that matters is the first of `call`. Attention with a causal mask lets position t see positions up to *and
# including* t. So it must be given, at position t, the value at t − 1.


# %%
@keras.saving.register_keras_serializable(package="my_models")
class Transformer(keras_ar.AutoregressiveModel):
    """One layer of causal attention."""

    def __init__(self, event_shape, *, units=16, num_heads=2, head="bernoulli", **kwargs):
        super().__init__(event_shape, head=head, **kwargs)
        self.units, self.num_heads = units, num_heads
        dtype = {"dtype": self.dtype_policy}
        self.look = keras.layers.Dense(units, name="look", **dtype)
        self.place = self.add_weight((self.num_steps, units), name="place")
        self.attend = keras.layers.MultiHeadAttention(
            num_heads, units // num_heads, use_bias=False, name="attend", **dtype
        )
        self.hidden = keras.layers.Dense(4 * units, activation="relu", name="hidden", **dtype)
        self.to_params = keras.layers.Dense(self.head.num_params, name="to_params", **dtype)

    def call(self, x):
        before = ops.pad(self.encode_steps(x)[:, :-1], [[0, 0], [1, 0], [0, 0]])  # (batch, steps, 1)
        h = self.look(before) + self.place  # (batch, steps, units)
        h = h + self.attend(h, h, use_causal_mask=True)
        return self.from_steps(self.to_params(self.hidden(h)))

    def get_config(self):
        return {**super().get_config(), "units": self.units, "num_heads": self.num_heads}


def check(component):
    """Runs the conformance kit, and says what it finds."""
    checks = keras_ar.testing.checks_for(component)
    for name, run in list(checks.items())[: 2 if QUICK else None]:
        try:
            run()
        except AssertionError as error:
            print(f"FAILED  {name}\n        {error}")
        else:
            print(f"passed  {name}")


check(Transformer(6))

# %% [markdown]
# What the kit has just done, on copies with random weights, because the weights of a fresh model are often zero,
# where everything is causal:
#
# - *causal*: the derivatives of all parameters, and what changes if one value changes, are zero on and above the
#   diagonal;
# - *normalised*: the probabilities of all 2⁶ events sum to one;
# - *methods agree*, *draws repeat*, *honest draws*: draws are the same by every method and in any batch, and come as
#   often as their probability says (a G-test over 8192 of them);
# - files, mixed precision, extreme weights, gradients, bad input: what users will do to it. As soon as the class
#   stands in a module, a file of it is also opened on the other backends that are installed.
#
# The model is small. That is on purpose: the smaller, the more can be counted out. What is right for 6 bits with
# random weights is right for 784.
#
# ## Mistake 1: no shift
#
# Leave out the shift, and every position sees itself.


# %%
class Peeking(Transformer):
    def call(self, x):
        h = self.look(self.encode_steps(x)) + self.place
        h = h + self.attend(h, h, use_causal_mask=True)
        return self.from_steps(self.to_params(self.hidden(h)))


# %% [markdown]
# How would one notice, without a kit? Give it something that nobody can predict: fair coins. Ten of them take
# 10 · log 2 = 6.93 nats, whoever the model is. An honest one gets there and no further; a loss on fresh coins that is
# below is proof of a leak.

# %%
coins, fresh = np.random.default_rng(0).integers(0, 2, (2, 1024, 10))
figure = matplotlib.figure.Figure((7, 3.6), layout="constrained")
ax = figure.subplots()
for model in (Transformer(10), Peeking(10)):
    model.compile(keras.optimizers.Adam(3e-3))
    history = model.fit(coins, epochs=2 if QUICK else 30, batch_size=128, validation_data=(fresh,), verbose=0)
    losses = history.history["val_loss"]
    ax.plot(range(1, len(losses) + 1), losses, label=type(model).__name__)
ax.axhline(10 * np.log(2), color="black", linestyle="--", label="the entropy of ten coins")
ax.set(title="Too good to be true", xlabel="epoch", ylabel="nats, on fresh coins")
ax.legend()
figure.savefig("too_good.png")

# %% [markdown]
# The kit needs no training to see it, and says which step sees which:

# %%
for name in ("check_causal", "check_normalised"):
    try:
        keras_ar.testing.checks_for(Peeking(6))[name]()
    except AssertionError as error:
        print(f"{name}: {error}\n")

# %% [markdown]
# Its "probabilities" sum to something else than one: log-likelihoods of such a model mean nothing, however good.
#
# ## Mistake 2: a leaky mask
#
# MADE allows a connection into an *output* only from units of strictly lower degree. One character, `>=` for `>`, and
# the last layer leaks. With trained weights, and among hundreds of dimensions, that is easily overlooked; in a
# picture of what one output sees it is not. (A pixel that sees itself has a colour in place of red.)


# %%
class TwoLayers(keras_ar.AutoregressiveModel):
    """A MADE of one hidden layer."""

    may_feed = np.greater  # an output sees hidden units of lower degree

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        inputs = outputs = np.arange(1, self.num_steps + 1)
        hidden = np.arange(32) % (self.num_steps - 1) + 1
        self.first = keras_ar.layers.MaskedDense(32, hidden >= inputs[:, None], activation="relu")
        self.second = keras_ar.layers.MaskedDense(self.num_steps, self.may_feed(outputs, hidden[:, None]))

    def call(self, x):
        params = self.second(self.first(self.encode_steps(x)[..., 0]))  # (batch, steps)
        return self.from_steps(params[..., None])


class Leaky(TwoLayers):
    may_feed = np.greater_equal


figure = matplotlib.figure.Figure((8, 4.2), layout="constrained")
for ax, kind in zip(figure.subplots(1, 2), (TwoLayers, Leaky), strict=True):
    keras_ar.plots.receptive_field(kind((5, 5)), (2, 2), random_weights=True, title=kind.__name__, ax=ax)
figure.savefig("leak.png")
try:
    keras_ar.testing.checks_for(Leaky(6))["check_causal"]()
except AssertionError as error:
    print(error)

# %% [markdown]
# ## Mistake 3: steps that are not the model's
#
# The Transformer draws by `parallel` so far, guessing all and repeating. To draw stepwise it needs `start`, the state
# before the first step, and `step`, which takes what was drawn last and gives the parameters of step t. Here the
# state is what attention has been given so far. `previous` means nothing at step 0, and must have no effect there.


# %%
class Steppable(Transformer):
    def start(self, batch_size):
        return ops.zeros((batch_size, self.num_steps, self.units))

    def step(self, state, t, previous):
        before = ops.where(t > 0, self.encode_previous(previous), 0.0)  # (batch, 1)
        h = ops.expand_dims(self.look(before) + ops.convert_to_tensor(self.place)[t], 1)  # (batch, 1, units)
        state = ops.slice_update(state, (0, t, 0), ops.cast(h, state.dtype))
        h = h + self.attend(h, ops.cast(state, h.dtype), attention_mask=self.visible(t)[None, None])
        return self.to_params(self.hidden(h))[:, 0], state

    def visible(self, t):
        return ops.arange(self.num_steps) <= t


class Late(Steppable):
    def visible(self, t):
        return ops.arange(self.num_steps) <= t - 1  # forgets what was drawn last


for model in (Steppable(6), Late(6)):
    try:
        for name in ("check_step_equals_call", "check_methods_agree"):
            keras_ar.testing.checks_for(model)[name]()
    except AssertionError as error:
        print(f"{type(model).__name__}: {error}")
    else:
        print(f"{type(model).__name__}: steps as it computes, and draws the same by all three methods")

# %% [markdown]
# This is the most treacherous mistake of all. `Late` trains and scores perfectly; only its draws are poor, and one
# blames the training.
#
# ## Mistake 4: a head that does not draw what it scores
#
# Levels scored by a density at their value, and drawn by rounding: it looks natural, and is in much code. But the
# values of a density at the integers need not sum to one, and rounding draws from other probabilities.


# %%
@keras.saving.register_keras_serializable(package="my_models")
class RoundedNormal(keras_ar.heads.Normal):
    num_levels = 8

    def __init__(self):
        super().__init__(loc=3.5, scale=2.0)

    def sample(self, params, uniforms):
        return ops.cast(ops.clip(ops.round(super().sample(params, uniforms)), 0, 7), "int32")

    def mode(self, params):
        return ops.cast(ops.clip(ops.round(super().mode(params)), 0, 7), "int32")

    def get_config(self):
        return {}


for name, run in keras_ar.testing.checks_for(RoundedNormal()).items():
    try:
        run()
    except AssertionError as error:
        print(f"{name}: {' '.join(str(error).split())[:200]}")

# %% [markdown]
# The right one is in the library: `DiscretizedLogisticMixture` integrates the density over each level's cell.
#
# ## Three lines for good
#
# In a test file the whole kit takes three lines, runs on each backend, and starts with an honest model of yours:
#
# ```python
# from keras_ar.testing import parametrize_with_checks
#
#
# @parametrize_with_checks([Transformer(6), Transformer((2, 2, 1), head="normal")])
# def test_conformance(check):
#     check()
# ```
#
# And does it learn? The Transformer beside what *FVSBN, NADE, MADE* had on the same binary digits:

# %%
data = keras_ar.datasets.load("digits", binary=True)
train, valid, test = (part[:64] if QUICK else part for part in (data.train, data.valid, data.test))
model = Transformer(data.event_shape, units=64, num_heads=4)
epochs = 1 if QUICK else 40
schedule = keras.optimizers.schedules.CosineDecay(5e-3, epochs * len(train) // 32 + 1)
model.compile(keras.optimizers.Adam(schedule))
model.fit(train, batch_size=32, epochs=epochs, verbose=0)
nats = -model.score_samples(test)
print(f"{model.count_params():,} weights: {nats.mean():.2f} ± {nats.std() / len(nats) ** 0.5:.2f} nats per image")

ax = keras_ar.plots.images(
    {"Test images": data.test[:36], "Drawn": model.sample(36, seed=0)}, num_levels=2, cmap="gray_r"
)
ax.figure.savefig("drawn_by_a_transformer.png")
