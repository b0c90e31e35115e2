# %% [markdown]
# # Transformers: every step looks at all the steps before it
#
# A recurrent network carries what it has read in a state of fixed size. Attention carries all of it: each step asks a
# question (a *query*), compares it with the *keys* of the steps so far, and takes the mean of their *values*, weighted
# by how well key and query agree:
#
#     attention(q, K, V) = softmax(q · K / sqrt(d)) · V
#
# In training all steps are computed at once, and a mask hides what comes later. In drawing, keys and values of earlier
# steps are kept: a step computes its own and looks at the others. So drawing costs what scoring costs.

# %%
import math
import os
import time
from pydoc_data.topics import topics

import keras
import keras_ar
import matplotlib.figure
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ

keras.utils.set_random_seed(0)

# %% [markdown]
# ## A sequence given another one
#
# Words of three to eight letters are to be written backwards. An encoder reads the word as a whole; the decoder draws
# the answer letter by letter, and attends to the encoder's features. Words and answers have different lengths: a
# shorter word is padded by -1, which nobody sees; an answer ends with a *stop*. What follows the stop is certain, and
# costs no likelihood.

# %%
letters = "abcdefghijklmnopqrstuvwxyz"
rng = np.random.default_rng(0)
count = 200 if QUICK else 30_000
words = ["".join(rng.choice([*letters], size)) for size in rng.integers(3, 9, count)]

model = keras_ar.models.EncoderDecoder(
    event_shape=9,
    condition_shape=8,
    source_vocabulary=letters,
    vocabulary=letters + ".",
    stop=".",
    units=64,
    num_layers=2,
    num_encoder_layers=1,
    num_heads=2,
)
sources = model.pad_sources(words)
answers = [model.vocabulary.encode(word[::-1]) for word in words]
events = keras_ar.stops.padded(answers, model.stop, length=9)
print(f"{words[0]!r} as a source: {sources[0]}; its answer as an event: {events[0]}")

train = slice(len(words) // 20, None)
epochs = 1 if QUICK else 4
steps = epochs * len(words[train]) // 64
rate = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=3e-3, warmup_steps=steps // 10)
model.compile(keras.optimizers.Adam(rate, clipnorm=1.0))
history = model.fit((events[train], sources[train]), batch_size=64, epochs=epochs, verbose=0)

test = words[: train.start]
drawn = model.write(9, condition=sources[: train.start], num_samples=len(test), temperature=0)
right = sum(text == word[::-1] for text, word in zip(drawn, test, strict=True))
print(f"{right} of {len(test)} new words are right; the first: {test[0]} -> {drawn[0]}")

# %% [markdown]
# Attention can be looked at. Each row is a step of the answer, each column a letter of the word: which letters does the
# decoder look at when it draws? Position by position it goes backwards through the word.

# %%
weights = model.map_events(model.attention_to_source, events[:1], sources[:1])[0]  # (blocks, heads, steps, letters)
size = len(words[0])
figure = matplotlib.figure.Figure((10, 3.2), layout="constrained")
for i, ax in enumerate(figure.subplots(1, 4)):
    block, head = divmod(i, 2)
    ax.imshow(weights[block, head, : size + 1, :size], cmap="Blues", vmin=0, vmax=1)
    ax.set_xticks(range(size), [*words[0]])
    ax.set_yticks(range(size + 1), [*words[0][::-1], "stop"])
    ax.set(title=f"block {block}, head {head}", xlabel="word", ylabel="answer" if i == 0 else "")
figure.suptitle("What each step of the answer attends to")
figure.savefig("attention.png")

# %% [markdown]
# `search` keeps several beginnings at each step, and returns the most probable sequences that it finds: the runners-up
# tell what the model takes for possible.

# %%
found, log_prob = model.search(
    1, model.pad_sources(["keras"]), num_beams=4, length=9, all_beams=True, return_log_prob=True
)
for beam, nats in zip(found[0], log_prob[0], strict=True):
    print(f"{math.exp(nats):.4f}  {model.vocabulary.decode(keras_ar.stops.cut(beam, model.stop))}")

# %% [markdown]
# ## Text
#
# A `TransformerDecoder` has no source: it reads what it has written. Here a block looks back over 64 characters
# (`window=64`); four blocks, one above the other, see further. The window is a ring in memory, so a text may go on
# without end, and a step costs the same however long the text has become. The text is Python's own manual.

# %%
text = "\n".join(topics[name] for name in sorted(topics))
text = text[:20_000] if QUICK else text[:300_000]
vocabulary = keras_ar.text.Vocabulary.of(text)
windows = vocabulary.windows(text, length=128)
windows, held_out = windows[: -len(windows) // 10], windows[-len(windows) // 10 :]

decoder = keras_ar.models.TransformerDecoder(128, vocabulary=vocabulary, units=64, num_layers=3, window=64)
epochs = 1 if QUICK else 6
rate = keras.optimizers.schedules.CosineDecay(4e-3, epochs * math.ceil(len(windows) / 16))
decoder.compile(keras.optimizers.Adam(rate, clipnorm=1.0))
history = decoder.fit(windows, batch_size=16, epochs=epochs, validation_data=(held_out,), verbose=0)
ax = keras_ar.plots.learning_curves(history, unit="bits", title="A Transformer on Python's manual")
ax.figure.savefig("learning_curves.png")
print(decoder.write(300, prompt="The ", seed=1, temperature=0.8))

# %% [markdown]
# How a step is drawn can be changed by rules of one's own. A rule sees the parameters of the step and what it remembers
# of earlier ones; the randomness stays the model's, so that a seed still gives the same text everywhere. This one
# leaves out characters that are less than a tenth as probable as the best.

# %%
rule = keras_ar.samplers.MinP(0.1)
print(decoder.write(300, prompt="The ", seed=1, sampler=rule))

# %% [markdown]
# What does the cache save? `method="full"` makes a whole pass for each character, as it must be without a cache.

# %%
length = 20 if QUICK else 200
seconds = {}
for method in ("stepwise", "full"):
    decoder.sample(4, length=length, seed=0, method=method)  # compiles
    start = time.perf_counter()
    decoder.sample(4, length=length, seed=0, method=method)
    seconds[method] = time.perf_counter() - start
print(f"4 texts of {length} characters: the cache draws {seconds['full'] / seconds['stepwise']:.0f} times as fast")

stream = decoder.stream(chunk=100, seed=0)
print("".join(vocabulary.decode(next(stream)) for _ in range(3)))
