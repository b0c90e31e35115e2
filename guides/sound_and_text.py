# %% [markdown]
# # Sound and text: sequences without end
#
# An image has a last pixel. Sound and text go on. So a model of sequences must continue any beginning (a *prompt*), and
# must be able to go on without end in bounded memory.
#
# The chain rule is the same. In addition the weights are the same at every step: one network predicts the next value
# from the last few values. This guide shows two ways to remember the past. A WaveNet looks back through dilated
# convolutions, each with twice the spacing of the one before. A recurrent network carries a state.

# %%
import math
import os
from pydoc_data.topics import topics

import keras
import keras_ar
import matplotlib.figure
import numpy as np

QUICK = "KERAS_AR_QUICK" in os.environ

keras.utils.set_random_seed(0)

# %% [markdown]
# ## Sound
#
# The sound is computed here: a music box. A tone is a fundamental and two overtones; the higher, the faster it fades.
# The melody goes up and down a pentatonic scale at random.

# %%
rate = 4000  # samples per second: half that of a telephone


def tone(frequency, length):
    t = np.arange(length) / rate
    return sum(np.exp(-5 * k * t) * np.sin(2 * np.pi * k * frequency * t) / k for k in (1, 2, 3))


def melody(rng, notes, length=600):
    """Notes of a pentatonic scale, of 0.15 seconds each."""
    scale = [262 * 2 ** (semitones / 12) for semitones in (0, 2, 4, 7, 9, 12)]
    degree, tones = 2, []
    for _ in range(notes):
        degree = int(np.clip(degree + rng.integers(-2, 3), 0, 5))
        tones.append(tone(scale[degree], length))
    return np.concatenate(tones)


rng = np.random.default_rng(0)
song = melody(rng, notes=20 if QUICK else 300)
song = 0.9 * song / np.abs(song).max()
keras_ar.sound.write_wav("music_box.wav", song[: 20 * 600], rate)
print(f"{len(song) / rate:.0f} seconds")

# %% [markdown]
# The sound is quantized to 64 levels, so that a categorical head can represent any distribution over them. Equally
# spaced levels would be too coarse for quiet samples, which are frequent. *Mu-law*, from telephony, spaces the levels
# by the logarithm of the amplitude:
#
#     level ~ sign(x) · log(1 + μ|x|) / log(1 + μ)

# %%
levels = keras_ar.sound.mu_law(song, num_levels=64)
error = song - keras_ar.sound.inverse_mu_law(levels, 64)
print(f"signal-to-noise ratio of 64 levels: {10 * np.log10((song**2).mean() / (error**2).mean()):.0f} dB")

length = 1000
windows = levels.reshape(-1, length)
train, test = windows[: -len(windows) // 8], windows[-len(windows) // 8 :]

# %% [markdown]
# ## WaveNet
#
# A convolution with two taps sees two steps. With taps 1, 2, 4, 8, … steps apart, layer by layer, the receptive field
# *doubles* with each layer: ten layers see a thousand steps. To draw a step, a WaveNet needs only the values at its
# taps, which it keeps in a ring buffer. So a step costs the same in the first second and in the first hour.

# %%
wavenet = keras_ar.models.WaveNet(
    event_shape=length,
    filters=24,
    skip_filters=48,
    dilations=[2**i for i in range(3 if QUICK else 9)],  # 1, 2, 4, ..., 256
    head=keras_ar.heads.Categorical(64),
)
print(f"{wavenet.count_params():,} weights; each step sees the last {wavenet.receptive_field} steps,")
print(f"{1000 * wavenet.receptive_field / rate:.0f} ms; a period of the lowest note takes {1000 / 262:.1f} ms")

epochs = 1 if QUICK else 30
schedule = keras.optimizers.schedules.CosineDecay(4e-3, epochs * math.ceil(len(train) / 4))
wavenet.compile(keras.optimizers.Adam(schedule, clipnorm=1.0))
history = wavenet.fit(train, batch_size=4, epochs=epochs, validation_data=(test,), verbose=0)
ax = keras_ar.plots.learning_curves(history, unit="bits", title="WaveNet on a music box")
ax.figure.savefig("learning_curves.png")

counts = np.bincount(train.ravel(), minlength=64) + 1
independent = -np.log2(counts / counts.sum())[test].mean()
bits = wavenet.evaluate(test, verbose=0, return_dict=True)["bits_per_dim"]
print(f"bits per sample: 6 for equal odds, {independent:.2f} for independent samples, {bits:.2f} for WaveNet")

# %% [markdown]
# The model is given a quarter of a second and draws what follows. One pass takes in the prompt (`prefill`).

# %%
seconds = 1 if QUICK else 3
played = wavenet.sample(2, length=seconds * rate, prompt=test[0][:1000], seed=0, temperature=0.9)
samples = keras_ar.sound.inverse_mu_law(played, 64)
original = song[-len(test) * length :][: seconds * rate]
tracks = np.stack([np.resize(original, seconds * rate), *samples])
ax = keras_ar.plots.waveform(tracks, rate, title="The original, and two continuations of its first quarter second")
ax.figure.savefig("waveforms.png")
ax = keras_ar.plots.spectrogram(tracks, rate, title="The original, and two continuations of its first quarter second")
ax.figure.savefig("spectrograms.png")
keras_ar.sound.write_wav("continued.wav", samples[0], rate)

# %% [markdown]
# In the spectrogram a note is three horizontal lines; the upper ones fade first. The model has learned the notes of the
# scale, where they begin and roughly how long they last, from the sound alone. The hiss comes from the 64 levels.
#
# How uncertain is the model, sample by sample? Its NLL is high at the beginning of each window, at 0, 0.25 and 0.5
# seconds, where there is no past; and at the beginning of each note, because the melody is random.

# %%
nats = -wavenet.score_conditionals(test[:3]).ravel()
bits_per_sample = np.convolve(nats, np.ones(20) / 20, mode="same") / math.log(2)
figure = matplotlib.figure.Figure((10, 3), layout="constrained")
ax = figure.subplots()
ax.plot(np.arange(len(bits_per_sample)) / rate, bits_per_sample)
ax.set(title="NLL over three quarters of a second", xlabel="seconds", ylabel="bits per sample", xmargin=0)
figure.savefig("nll_of_samples.png")

# %% [markdown]
# ## Text
#
# Now characters instead of sound, and a recurrent network instead of convolutions. The text is Python's own manual,
# which comes with Python. A `Vocabulary` turns characters into integers and back, and is saved with the model.

# %%
text = "\n".join(topics[name] for name in sorted(topics))
text = text[: 4_000 if QUICK else 200_000]
vocabulary = keras_ar.text.Vocabulary.of(text)
print(f"{len(text):,} characters, {len(vocabulary)} different ones\n")
print(text[2000:2300])

# %%
cut = len(text) * 9 // 10
train, test = (vocabulary.windows(part, length=100) for part in (text[:cut], text[cut:]))

rnn = keras_ar.models.CharRNN(100, vocabulary=vocabulary, units=160, num_layers=1, embedding_dim=32, cell="gru")
epochs = 1 if QUICK else 16
schedule = keras.optimizers.schedules.CosineDecay(8e-3, epochs * math.ceil(len(train) / 32))
rnn.compile(keras.optimizers.Adam(schedule, clipnorm=1.0))
rnn.fit(train, batch_size=32, epochs=epochs, verbose=0)

# %% [markdown]
# How good is it? Claude Shannon measured English in 1951 in bits per character, for models that see more and more of
# the past. The same measure here:

# %%
size = len(vocabulary)
single = np.bincount(train.ravel(), minlength=size) + 1.0
pairs = np.ones((size, size))
np.add.at(pairs, (train[:, :-1].ravel(), train[:, 1:].ravel()), 1)
pairs /= pairs.sum(axis=1, keepdims=True)
print(f"equal odds          {math.log2(size):.2f} bits per character")
print(f"single characters   {-np.log2(single / single.sum())[test].mean():.2f}")
print(f"pairs               {-np.log2(pairs[test[:, :-1], test[:, 1:]]).mean():.2f}")
print(f"recurrent network   {rnn.evaluate(test, verbose=0, return_dict=True)['bits_per_dim']:.2f}")

# %% [markdown]
# Text from the model, at two temperatures:

# %%
for temperature in (0.5, 1.0):
    print(f"--- temperature {temperature}\n{rnn.write(400, prompt='The ', temperature=temperature, seed=1)}\n")

# %% [markdown]
# ## Without end
#
# A stream returns a chunk of steps at a time, without end, in bounded memory. Its `state` is a nest of NumPy arrays,
# which can be stored; another stream goes on from it. The chunks are what `sample` returns for the same seed.

# %%
stream = rnn.stream(chunk=60, seed=1)
print(repr(vocabulary.decode(next(stream)[0])))
state = stream.state
chunk = next(stream)
again = next(rnn.stream(chunk=60, state=state))
print(repr(vocabulary.decode(again[0])))
print("the same from the state:", bool((chunk == again).all()))

# %% [markdown]
# During training, the callbacks `keras_ar.callbacks.SampleAudio` and `SampleText` write samples every few epochs, to a
# folder and to TensorBoard.
