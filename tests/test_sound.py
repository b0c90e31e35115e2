"""Companding by its formula, and sound in and out of files."""

import math

import numpy as np
import pytest

from keras_ar import sound


@pytest.mark.parametrize("num_levels", [256, 2, 17])
def test_mu_law_is_its_formula(num_levels):
    x = np.concatenate([np.linspace(-1, 1, 2001), [1e-9, -1e-9, 0.0]])
    mu = num_levels - 1
    expected = []
    for sample in x:
        companded = math.copysign(math.log(1 + mu * abs(sample)) / math.log(1 + mu), sample)
        expected.append(math.floor((companded + 1) / 2 * mu + 0.5))
    np.testing.assert_array_equal(sound.mu_law(x, num_levels), expected)


def test_every_level_comes_back_and_no_sample_is_far_from_its_level():
    levels = np.arange(256)
    np.testing.assert_array_equal(sound.mu_law(sound.inverse_mu_law(levels)), levels)
    samples = np.arange(-(2**15), 2**15) / 2**15  # all that 16 bits can say
    back = sound.inverse_mu_law(sound.mu_law(samples))
    # Half a level, which is 1/255 of the companded range: |dx| <= (1 + mu |x|) log(1 + mu) / (mu * 255), and a bit.
    bound = (1 + 255 * np.abs(samples)) * math.log(256) / 255 / 255
    assert (np.abs(back - samples) <= 1.02 * bound).all()
    assert back.min() == -1.0


@pytest.mark.parametrize("x", [[1.1], [-2.0], [np.nan], [np.inf]])
def test_samples_off_the_range_are_refused(x):
    with pytest.raises(ValueError, match="`x` must hold real numbers from -1 to 1: divide by the largest first"):
        sound.mu_law(x)


@pytest.mark.parametrize("levels", [[256], [-1], [0.5]])
def test_levels_off_the_range_are_refused(levels):
    with pytest.raises(ValueError, match="`levels` must hold integers from 0 to 255"):
        sound.inverse_mu_law(levels)


def test_a_sound_file_keeps_its_samples(tmp_path):
    pytest.importorskip("soundfile")
    x = np.sin(np.arange(1600) / 7).astype("float32") * 0.9
    sound.write_wav(tmp_path / "tone.wav", x, 16_000)
    back, rate = sound.read_wav(tmp_path / "tone.wav", rate=16_000)
    assert rate == 16_000
    np.testing.assert_allclose(back, x, atol=2**-15)
    with pytest.raises(ValueError, match=r"`path` must have 8000 samples a second: resample it first.*of 16000"):
        sound.read_wav(tmp_path / "tone.wav", rate=8000)
    with pytest.raises(ValueError, match=r"`samples` must have shape \(samples,\)"):
        sound.write_wav(tmp_path / "two.wav", np.zeros((10, 2)), 16_000)
    with pytest.raises(ValueError, match="`samples` must hold real numbers from -1 to 1"):
        sound.write_wav(tmp_path / "loud.wav", np.full(10, 1.5), 16_000)


def test_a_file_of_two_channels_is_refused(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "two.wav", np.zeros((10, 2)), 16_000)
    with pytest.raises(ValueError, match=r"`path` must be a file of one channel: mix its channels first.*2 channels"):
        sound.read_wav(tmp_path / "two.wav")
