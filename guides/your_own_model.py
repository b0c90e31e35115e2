# %% [markdown]
# # A model of your own, and how to check it
#
# Autoregressive models fail silently. If a mask is off by one, an output sees the value that it predicts: training goes
# well, too well, and the reported likelihood is not a likelihood. Every mistake in this guide has occurred in published
# code. The guide writes a Transformer, a causal layer, a head and a model that is not autoregressive, and checks each
# of them with the conformance kit.

# %%
import os

import keras
import keras_ar
import matplotlib.figure
import numpy as np
from keras import ops

QUICK = "KERAS_AR_QUICK" in os.environ

keras.utils.set_random_seed(0)


def check(component, names=None):
    """Runs the conformance kit, or the checks named, prints what it finds, and returns whether all passed."""
    checks, all_passed = keras_ar.testing.checks_for(component), True
    for name in names or checks:
        try:
            checks[name]()
        except AssertionError as error:
            print(f"FAILED  {name}: {' '.join(str(error).split())[:400]}")
            all_passed = False
        else:
            print(f"passed  {name}")
    return all_passed


# %% [markdown]
# ## The short way: a chain of causal layers
#
# Any chain of causal layers is a model. Exactly one of them is *strict*: it hides each position from itself. Layers of
# Keras that treat every position alike can be part of the chain: `Dense`, activations, `LayerNormalization`. They are
# wrapped by `keras_ar.layers.PositionWise`.

# %%
chain = keras_ar.models.CausalSequential(
    event_shape=12,
    layers=[
        keras_ar.layers.CausalConv1D(16, 3, strict=True),
        keras.layers.LayerNormalization(),
        keras.layers.ReLU(),
        keras_ar.layers.CausalGRU(16),
    ],
)
print(chain.sample(3, seed=0))

# %% [markdown]
# ## A class: a Transformer
#
# A subclass of `AutoregressiveModel` needs one method, `call`: from events to the parameters of all conditionals.
# `encode_steps` gives the event as a sequence of steps, scaled for a network; `from_steps` puts parameters back into
# the layout of the event, whatever the ordering. `fit`, `evaluate`, `score_samples`, `sample` and `complete` come from
# the base class.
#
# The line that matters is in `embed`. Attention with a causal mask lets position t see positions up to *and including*
# t. So its input at position t must be the value at t − 1.


# %%
@keras.saving.register_keras_serializable(package="my_models")
class Transformer(keras_ar.AutoregressiveModel):
    """One layer of causal attention."""

    def __init__(self, event_shape, *, units=16, num_heads=2, head="bernoulli", **kwargs):
        super().__init__(event_shape, head=head, **kwargs)
        self.units, self.num_heads = units, num_heads
        dtype = {"dtype": self.dtype_policy}
        self.stem = keras.layers.Dense(units, name="stem", **dtype)
        self.positions = self.add_weight((self.num_steps, units), name="positions")
        self.attention = keras.layers.MultiHeadAttention(
            num_heads, units // num_heads, use_bias=False, name="attention", **dtype
        )
        self.hidden = keras.layers.Dense(4 * units, activation="relu", name="hidden", **dtype)
        self.to_params = keras.layers.Dense(self.head.num_params, name="to_params", **dtype)

    def call(self, x):
        h = self.embed(self.encode_steps(x))  # (batch, steps, units)
        return self.from_steps(self.params_from(h))

    def embed(self, values):
        """The value before each position, and the position itself."""
        before = ops.pad(values[:, :-1], [[0, 0], [1, 0], [0, 0]])  # (batch, steps, features)
        return self.stem(before) + self.cast(self.positions)[: values.shape[1]]

    def params_from(self, h):
        h = h + self.attention(h, h, use_causal_mask=True)
        return self.to_params(self.hidden(h))  # (batch, steps, num_params)

    def cast(self, weight):
        """A weight in the dtype that layers compute in. Keras casts weights in `call`, but not in the other methods."""
        return ops.cast(weight, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "num_heads": self.num_heads}


assert check(Transformer(6), ["check_causal", "check_normalized"] if QUICK else None)

# %% [markdown]
# The kit works on copies with random weights, because a new model often has zero weights, and then everything is
# causal. It checks:
#
# - *causal*: the derivatives of the parameters, and their change if one value changes, are zero on and above the
#   diagonal;
# - *normalized*: the probabilities of all 2⁶ events sum to one;
# - *samples*: they are the same by every method and in every batch, and each event occurs as often as its probability
#   says (a G-test);
# - files, mixed precision, extreme weights, gradients, wrong input. If the class is in an importable module, its files
#   are also opened on the other backends that are installed.
#
# The model is small on purpose: with 6 bits all events can be enumerated, and what is right for 6 bits with random
# weights is right for 784.
#
# ## Mistake 1: no shift
#
# Without the shift, every position sees itself.


# %%
class Peeking(Transformer):
    def embed(self, values):
        return self.stem(values) + self.cast(self.positions)


# %% [markdown]
# How could this be noticed without a kit? Train on data that nobody can predict: fair coins. Ten of them have an
# entropy of 10 · log 2 = 6.93 nats. No model can have a lower NLL on new coins; a lower loss means that the model sees
# the values.

# %%
coins, new_coins = np.random.default_rng(0).integers(0, 2, (2, 1024, 10))
figure = matplotlib.figure.Figure((7, 3.6), layout="constrained")
ax = figure.subplots()
for model in (Transformer(10), Peeking(10)):
    model.compile(keras.optimizers.Adam(3e-3))
    history = model.fit(coins, epochs=2 if QUICK else 30, batch_size=128, validation_data=(new_coins,), verbose=0)
    losses = history.history["val_loss"]
    ax.plot(range(1, len(losses) + 1), losses, label=type(model).__name__)
ax.axhline(10 * np.log(2), color="black", linestyle="--", label="entropy of ten coins")
ax.set(title="Too good to be true", xlabel="epoch", ylabel="loss on new coins, nats")
ax.legend()
figure.savefig("too_good.png")

# %% [markdown]
# The kit finds it without training, and says which step sees which:

# %%
assert not check(Peeking(6), ["check_causal", "check_normalized"])

# %% [markdown]
# The "probabilities" do not sum to one, so the log-likelihoods of such a model mean nothing.
#
# ## Mistake 2: a wrong mask
#
# In MADE an *output* may be connected only to units of strictly lower degree. With `>=` in place of `>` the last layer
# leaks. Among hundreds of dimensions this is hard to see in the loss, but easy to see in a picture of what one output
# sees. (A pixel that sees itself has a color in place of red.)


# %%
class TwoLayers(keras_ar.AutoregressiveModel):
    """A MADE with one hidden layer."""

    may_see = np.greater  # an output sees hidden units of lower degree

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        inputs = outputs = np.arange(1, self.num_steps + 1)
        hidden = np.arange(32) % (self.num_steps - 1) + 1
        self.first = keras_ar.layers.MaskedDense(32, hidden >= inputs[:, None])
        self.second = keras_ar.layers.MaskedDense(self.num_steps, self.may_see(outputs, hidden[:, None]))

    def call(self, x):
        h = ops.relu(self.first(self.encode_steps(x)[..., 0]))
        return self.from_steps(self.second(h)[..., None])  # (batch, steps, 1)


class Leaky(TwoLayers):
    may_see = np.greater_equal


figure = matplotlib.figure.Figure((8, 4.2), layout="constrained")
for ax, kind in zip(figure.subplots(1, 2), (TwoLayers, Leaky), strict=True):
    keras_ar.plots.receptive_field(kind((5, 5)), (2, 2), random_weights=True, title=kind.__name__, ax=ax)
figure.savefig("leak.png")
assert not check(Leaky(6), ["check_causal"])

# %% [markdown]
# The numbers of this picture, for all positions at once, are in `keras_ar.diagnostics.sensitivity`.
#
# ## One step at a time
#
# So far the Transformer samples by `parallel`: it guesses all values and repeats. To sample step by step it needs three
# methods, and a fourth makes it take in a prompt by one pass:
#
# - `prepare(condition)` returns the *constants*: weights laid out for stepping, and what follows from the condition.
#   They are computed once.
# - `start(batch_size, num_steps)` returns the initial *state*: what changes from step to step.
# - `step(constants, state, t, previous)` returns the parameters of step t and the next state. `previous` is the value
#   of step t − 1. At t = 0 it means nothing, and must have no effect.
# - `prefill(constants, state, values)` returns the parameters of the first steps and the state after them. Without it
#   the base class runs the steps one by one.
#
# Constants and states are nests of tensors. The state here is the input of the attention so far. Note the dtype: a
# state must have the same dtype before and after a step, also under `mixed_bfloat16`.


# %%
@keras.saving.register_keras_serializable(package="my_models")
class SteppedTransformer(Transformer):
    def prepare(self, condition=None):
        return {"positions": self.cast(self.positions)}

    def start(self, batch_size, num_steps):
        return ops.zeros((batch_size, num_steps, self.units), self.compute_dtype)

    def step(self, constants, state, t, previous):
        before = ops.where(t > 0, self.encode_previous(previous, t), 0.0)  # (batch, features)
        h = ops.expand_dims(self.stem(before) + constants["positions"][t], 1)  # (batch, 1, units)
        state = ops.slice_update(state, (0, t, 0), h)
        h = h + self.attention(h, state, attention_mask=self.visible(state, t)[None, None])
        return self.to_params(self.hidden(h))[:, 0], state

    def prefill(self, constants, state, values):
        h = self.embed(self.encode_first_steps(values))
        return self.params_from(h), ops.slice_update(state, (0, 0, 0), h)

    def visible(self, state, t):
        return ops.arange(state.shape[1]) <= t


assert check(SteppedTransformer(6))

# %% [markdown]
# ## Mistake 3: steps that differ from `call`
#
# This model forgets the value that was drawn last. It trains and scores correctly; only its samples are poor, and one
# looks for the reason in the training.


# %%
class Late(SteppedTransformer):
    def visible(self, state, t):
        return ops.arange(state.shape[1]) <= t - 1


assert not check(Late(6), ["check_step_equals_call", "check_methods_agree"])

# %% [markdown]
# ## A layer of your own
#
# A causal layer has the same four methods, with inputs and outputs in place of values and parameters. Its base is
# `keras_ar.layers.CausalLayer`; with a kernel and a bias `keras_ar.layers.KernelLayer`, which takes initializers,
# regularizers and constraints as `keras.layers.Dense` does. A layer with `strict = True` is given its input at t − 1 at
# step t. This one sees the earlier inputs, each a factor weaker than the next:


# %%
@keras.saving.register_keras_serializable(package="my_models")
class FadingMemory(keras_ar.layers.KernelLayer):
    """Dense layer on the sum of all strictly earlier inputs, which fade by a factor at each step."""

    strict = True

    def __init__(self, units, *, factor=0.8, **kwargs):
        super().__init__(**kwargs)
        self.units, self.factor = units, factor

    def build(self, input_shape):
        _, self.num_positions, self.num_features = input_shape
        self.kernel = self.add_kernel((self.num_features, self.units))
        self.bias = self.add_bias((self.units,))

    def call(self, inputs):
        steps = np.arange(self.num_positions)
        age = steps[:, None] - steps - 1  # of the input at each position (column), as seen from each position (row)
        weights = np.where(age >= 0, self.factor ** np.maximum(age, 0), 0.0)
        memory = ops.matmul(ops.cast(weights, self.compute_dtype), inputs)  # (batch, positions, features)
        return ops.matmul(memory, self.kernel) + self.bias

    def prepare(self, condition=None):
        return {"kernel": self.cast_weight(self.kernel), "bias": self.cast_weight(self.bias)}

    def start(self, batch_size, num_steps):
        return ops.zeros((batch_size, self.num_features), self.compute_dtype)

    def step(self, constants, state, t, x):
        x = ops.cast(x, self.compute_dtype)
        state = self.factor * state + ops.where(t > 0, x, ops.zeros_like(x))
        return ops.matmul(state, constants["kernel"]) + constants["bias"], state

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "factor": self.factor}


assert check(FadingMemory(4))
model = keras_ar.models.CausalSequential(12, layers=[FadingMemory(16, kernel_regularizer="l2"), keras.layers.ReLU()])
print(model.sample(2, seed=0))

# %% [markdown]
# ## A head of your own
#
# A head has no weights. It must set `num_params` and `support`, and write three methods:
#
# - `encode(x)`: what the network sees of values, of order one;
# - `log_prob(params, x)`;
# - `sample(params, uniforms)`: a pure function.
#
# It may write `mean`, `mode`, `cdf`, `temper` (temperature), `truncate` (`top_k`, `top_p`), and `to_noise` and
# `from_noise` (an increasing map to standard normal noise and back, which makes it usable in a flow).
# `head.capabilities` lists which of them it has. A model that is asked for one that its head lacks says so.
#
# The support is `keras_ar.Support.levels(n)`, `.counts()` or `.reals(low, high)`. It checks data, and says what a
# sample may be.

# %%
print(keras_ar.Support.levels(8), "|", keras_ar.Support.counts(), "|", keras_ar.Support.reals(low=0.0))
print(sorted(keras_ar.heads.Categorical(8).capabilities))
try:
    keras_ar.models.FVSBN(4, head="normal").sample(top_k=3)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Mistake 4: a head that does not draw what it scores
#
# Levels that are scored by a density at their value, and drawn by rounding: this is found in much code. But the values
# of a density at the integers need not sum to one, and rounding draws with other probabilities.


# %%
@keras.saving.register_keras_serializable(package="my_models")
class RoundedNormal(keras_ar.heads.Normal):
    def __init__(self):
        super().__init__(loc=3.5, scale=2.0)
        self.support = keras_ar.Support.levels(8)

    def sample(self, params, uniforms):
        return self.rounded(super().sample(params, uniforms))

    def mode(self, params):
        return self.rounded(super().mode(params))

    def rounded(self, x):
        return ops.cast(ops.clip(ops.round(x), 0, 7), "int32")

    def get_config(self):
        return {}


assert not check(RoundedNormal())

# %% [markdown]
# The correct head is in the library: `DiscretizedLogisticMixture` integrates the density over the cell of each level.
#
# ## A model that is not autoregressive
#
# A model of any other kind is a subclass of `keras_ar.DensityModel`. It sets `support` and writes
#
# - `call(x)`: whatever describes the distribution of x;
# - `log_prob_from(outputs, x)`: nats per event, from what `call` returned;
# - `noise_shape` and `draw(noise)`: events and their log-probabilities from uniform numbers. Both are pure functions of
#   tensors, and never see how events are cut into batches.
#
# `fit` lowers `objective(outputs, x, training)`, by default the NLL. A model whose scores are lower bounds of the
# log-likelihood sets `exact = False`. The example is a mixture: K kinds of images, each with independent pixels.


# %%
@keras.saving.register_keras_serializable(package="my_models")
class MixtureOfBernoullis(keras_ar.DensityModel):
    support = keras_ar.Support.levels(2)

    def __init__(self, event_shape, *, num_components=20, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.num_components = num_components
        options = {"autocast": False}  # these weights make log-probabilities: float32 under any policy
        self.component_logits = self.add_weight((num_components,), "zeros", name="component_logits", **options)
        self.pixel_logits = self.add_weight((num_components, self.num_dims), name="pixel_logits", **options)

    def call(self, x):
        """Log-probability of each component together with the event: `(batch, components)`."""
        sign = 2.0 * ops.cast(ops.reshape(x, (-1, 1, self.num_dims)), "float32") - 1.0
        given_component = ops.sum(ops.log_sigmoid(sign * self.pixel_logits), axis=-1)
        return ops.log_softmax(self.component_logits) + given_component

    def log_prob_from(self, outputs, x):
        return ops.logsumexp(outputs, axis=-1)

    @property
    def noise_shape(self):
        return (1 + self.num_dims,)  # one uniform chooses the component, the others the pixels

    def draw(self, noise):
        component_logits = ops.zeros_like(noise[:, :1]) + self.component_logits  # (batch, components)
        component = keras_ar.numerics.inverse_cdf(component_logits, noise[:, 0])
        probabilities = ops.sigmoid(ops.take(self.pixel_logits, component, axis=0))
        x = ops.reshape(ops.cast(noise[:, 1:] < probabilities, "int32"), (-1, *self.event_shape))
        return x, self.log_prob(x)

    def get_config(self):
        return {**super().get_config(), "num_components": self.num_components}


assert check(MixtureOfBernoullis((2, 3), num_components=4))

# %% [markdown]
# ## A test file
#
# In a test file the whole kit takes three lines, and runs on each backend:
#
# ```python
# from keras_ar.testing import parametrize_with_checks
#
#
# @parametrize_with_checks([SteppedTransformer(6), FadingMemory(4), MixtureOfBernoullis((2, 3))])
# def test_conformance(check):
#     check()
# ```
#
# ## Does it learn?
#
# The two models on the binary digits of *FVSBN, NADE, MADE*:

# %%
data = keras_ar.datasets.load("digits", binary=True)
train, test = (part[:64] if QUICK else part for part in (data.train, data.test))
models = {
    "Transformer": (SteppedTransformer(data.event_shape, units=64, num_heads=4), 5e-3, 40),
    "Mixture": (MixtureOfBernoullis(data.event_shape, num_components=50), 5e-2, 40),
}
grids = {"Test images": test[:36]}
for name, (model, rate, epochs) in models.items():
    epochs = 1 if QUICK else epochs
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * len(train) // 32 + 1)
    model.compile(keras.optimizers.Adam(schedule))
    model.fit(train, batch_size=32, epochs=epochs, verbose=0)
    nats = -model.score_samples(test)
    error = nats.std() / len(nats) ** 0.5
    print(f"{name}: {model.count_params():,} weights, test NLL {nats.mean():.2f} ± {error:.2f} nats")
    grids[name] = model.sample(36, seed=0)

ax = keras_ar.plots.images(grids, num_levels=2, cmap="gray_r")
ax.figure.savefig("two_models.png")
