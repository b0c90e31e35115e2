"""Pictures of data, of draws, of what a model has learned and of how well; each is a matplotlib `Axes`.

Every function takes `ax=`, an Axes to draw in; without one it makes a figure of its own, of a fitting size, which
`ax.figure.savefig("picture.png")` writes. matplotlib is an extra, `keras-ar[plots]`, and loaded with the first picture.
Nothing goes through pyplot: no window opens, and its backend and settings stay what they are.
"""

from keras_ar.plots.grids import completions, images, neighbours
from keras_ar.plots.likelihoods import calibration, learning_curves, pit_values, position_nats
from keras_ar.plots.sensitivities import receptive_field, sensitivity
from keras_ar.plots.sounds import spectrogram, waveform
from keras_ar.plots.weights import features, masks

__all__ = [
    "calibration",
    "completions",
    "features",
    "images",
    "learning_curves",
    "masks",
    "neighbours",
    "pit_values",
    "position_nats",
    "receptive_field",
    "sensitivity",
    "spectrogram",
    "waveform",
]
