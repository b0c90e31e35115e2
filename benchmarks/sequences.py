"""Trains a WaveNet on speech, a CharRNN or a Transformer on text, within a budget of processor time: bits per step.

KERAS_BACKEND=tensorflow python benchmarks/sequences.py speech train_a.wav train_b.wav test.wav --core-minutes 30
KERAS_BACKEND=jax python benchmarks/sequences.py text tinyshakespeare.txt --core-minutes 30
KERAS_BACKEND=jax python benchmarks/sequences.py text tinyshakespeare.txt --model transformer_decoder --set window=64

Of speech the last file is the test part. Samples are companded to 256 levels; beside the model's bits are those by
the frequencies of the levels, and of pairs of them (with one count added to each). Of a text the last tenth is the
test part, scored in ten pieces. A twentieth of the rest is for validation: the last of each sound, and one from the
middle of a text, because what comes just before the test part may be of the same play. The weights of the epoch with
the best validation loss are kept. The learning rate falls to zero along a cosine over the budget, which is counted in
minutes of all cores together.
"""

import argparse
import json
import math
import pathlib
import re

import keras
import numpy as np
from images import Budget
from real_data import setting

import keras_ar


def main():
    options = parse_options()
    keras.utils.set_random_seed(options.seed)
    model, train, valid, test, baselines = (speech if options.kind == "speech" else text)(options)
    if options.begin_with:
        keep_layers_of(keras_ar.load_model(options.begin_with), model)
    valid = np.concatenate([clip[: len(clip) // options.length * options.length] for clip in valid])
    averaging = {"use_ema": True, "ema_momentum": options.ema}
    rate, decay = options.learning_rate, options.weight_decay
    model.compile(keras.optimizers.AdamW(rate, weight_decay=decay, clipnorm=1.0, **averaging))
    budget = Budget(options)
    callbacks = [
        budget,
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        keras.callbacks.EarlyStopping("val_loss", patience=options.patience, restore_best_weights=True),
    ]
    history = model.fit(
        CropsOfPlays(train, options, model.vocabulary) if options.renamed else Crops(train, options),
        epochs=options.epochs,
        validation_data=(valid.reshape(-1, options.length),),
        callbacks=callbacks,
        verbose=2,
    ).history
    best = int(np.argmin(history["val_loss"]))
    bits = -model.score_samples(test, batch_size=len(test)).sum() / test.size / math.log(2)
    result = {
        "parameters": model.count_params(),
        "steps": budget.steps,
        "core_minutes": budget.used,
        "train_bits": history["bits_per_dim"][best],
        "valid_bits": history["val_bits_per_dim"][best],
        "epochs": f"{best + 1} of {len(history['loss'])}",
        "test_bits": float(bits),
        **baselines,
        "settings": vars(options),
        "backend": keras.backend.backend(),
    }
    print(json.dumps(result, default=str), flush=True)
    if options.save:
        model.save(options.save)
    draw(model, options)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("speech", "text"))
    parser.add_argument("files", nargs="+")
    parser.add_argument(
        "--set", nargs="+", type=setting, default={}, metavar="NAME=VALUE", help="arguments of the model"
    )
    parser.add_argument("--model", default="char_rnn", help="of a text: char_rnn or transformer_decoder")
    parser.add_argument("--length", type=int, default=128, help="of the sequences that are trained on")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--core-minutes", type=float, default=math.inf)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--patience", type=int, default=1000, help="epochs without progress before stopping")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--ema", type=float, default=0.998, metavar="MOMENTUM")
    parser.add_argument("--renamed", type=float, default=0.0, help="share of cuts whose speakers have other names")
    parser.add_argument("--begin-with", metavar="MODEL", help="a .keras file, whose layers are trained no more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", help="a .keras file for the trained model")
    parser.add_argument("--sound", type=int, default=32_000, metavar="SAMPLES", help="how much is drawn")
    parser.add_argument("--draw", help="beginning of the names of what is drawn")
    options = parser.parse_args()
    if options.renamed and options.kind == "speech":
        parser.error("--renamed is for the speakers of a play: expected a text.")
    options.set = dict(options.set)
    return options


def keep_layers_of(trained, model):
    """Gives `model` the layers that `trained` has too, so that only the others are left to be trained."""
    ours = {layer.name: layer for layer in model.layers}
    for layer in filter(keras.layers.Layer.count_params, trained.layers):
        ours[layer.name].set_weights(layer.get_weights())
        ours[layer.name].trainable = False


def speech(options):
    *train, test = (keras_ar.sound.mu_law(keras_ar.sound.read_wav(path, rate=16_000)[0]) for path in options.files)
    model = keras_ar.models.WaveNet(options.length, head=keras_ar.heads.Categorical(256), **options.set)
    pairs = [np.split(clip, [len(clip) * 19 // 20]) for clip in train]
    return model, *zip(*pairs, strict=True), test[None], frequencies(train, test)


def frequencies(train, test):
    """Bits per sample by the frequencies of the levels, and by those of a level after another."""
    single, pairs = np.ones(256), np.ones((256, 256))
    for clip in train:
        np.add.at(single, clip, 1)
        np.add.at(pairs, (clip[:-1], clip[1:]), 1)
    single, pairs = single / single.sum(), pairs / pairs.sum(axis=1, keepdims=True)
    first = -math.log2(single[test[0]])
    return {
        "unigram_bits": -np.log2(single[test]).mean(),
        "markov_bits": (first - np.log2(pairs[test[:-1], test[1:]]).sum()) / len(test),
    }


def text(options):
    whole = pathlib.Path(options.files[0]).read_text(encoding="utf-8")
    vocabulary = keras_ar.text.Vocabulary.of(whole)
    integers = vocabulary.encode(whole)
    before, valid, after, test = np.split(integers, [len(integers) * mille // 1000 for mille in (425, 470, 900)])
    model = keras_ar.models.get(options.model, event_shape=options.length, vocabulary=vocabulary, **options.set)
    return model, [before, after], [valid], test[: len(test) // 10 * 10].reshape(10, -1), {}


class Crops(keras.utils.PyDataset):
    """Batches of random cuts; an epoch has as many values as there are."""

    def __init__(self, clips, options):
        super().__init__()
        self.clips, self.length, self.batch_size = clips, options.length, options.batch_size
        self.rng = np.random.default_rng(options.seed)

    def __len__(self):
        return max(1, sum(map(len, self.clips)) // (self.length * self.batch_size))

    def __getitem__(self, index):
        lengths = np.array([len(clip) for clip in self.clips])
        chosen = self.rng.choice(len(lengths), self.batch_size, p=lengths / lengths.sum())
        starts = [self.rng.integers(0, lengths[i] - self.length + 1) for i in chosen]
        cuts = [self.cut(self.clips[i], start) for i, start in zip(chosen, starts, strict=True)]
        return (np.stack(cuts),)

    def cut(self, clip, start):
        return clip[start : start + self.length]


class CropsOfPlays(Crops):
    """The same of a play, whose speakers have other names in each cut: halves of two names of the play, put together.

    So whole names cannot be learned by heart. They are better read from the cut, as those of a play that is new.
    """

    SPEAKER = re.compile(r"(?<=\n\n)[A-Z][A-Z' ]+(?=:\n)")

    def __init__(self, clips, options, vocabulary):
        super().__init__(clips, options)
        self.vocabulary, self.share = vocabulary, options.renamed
        self.names = sorted({name for clip in clips for name in self.SPEAKER.findall(vocabulary.decode(clip))})

    def cut(self, clip, start):
        clip = clip[min(start, len(clip) - 2 * self.length) :][: 2 * self.length]  # other names may be shorter
        if self.rng.random() < self.share:
            text = self.vocabulary.decode(clip)
            others = {name: self.name() for name in dict.fromkeys(self.SPEAKER.findall(text))}
            clip = self.vocabulary.encode(self.SPEAKER.sub(lambda found: others[found[0]], text))
        return clip[: self.length]

    def name(self):
        first, second = self.rng.choice(self.names, 2)
        return first[: (len(first) + 1) // 2] + second[len(second) // 2 :]


def draw(model, options):
    """Writes 500 characters, or two seconds of sound and their pictures."""
    if options.kind == "text":
        print(model.write(500, prompt="\n", seed=0, temperature=0.8))
        return
    levels = model.sample(2, length=options.sound, seed=0)
    samples = keras_ar.sound.inverse_mu_law(levels)
    if options.draw:
        for i, sound in enumerate(samples):
            keras_ar.sound.write_wav(f"{options.draw}_{i}.wav", sound, 16_000)
        keras_ar.plots.waveform(samples, 16_000).figure.savefig(f"{options.draw}_waveform.png")
        keras_ar.plots.spectrogram(samples, 16_000).figure.savefig(f"{options.draw}_spectrogram.png")


if __name__ == "__main__":
    main()
