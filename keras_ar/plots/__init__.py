"""Pictures of data, of samples, of what a model has learned and of how well; each is a matplotlib `Axes`.

Every function takes `ax=`, an Axes to draw in; without one it makes a figure of its own, of a fitting size, which
`ax.figure.savefig("picture.png")` writes. matplotlib is an extra, `keras-ar[plots]`, and is loaded with the first
picture. A notebook shows the Axes as a picture. Where `matplotlib.pyplot` is loaded, it knows a new figure, and shows
and closes it as any other.

The numbers are in `keras_ar.diagnostics`; here they are drawn.
"""

from keras_ar.plots.grids import images, neighbors
from keras_ar.plots.likelihoods import calibration, learning_curves, position_nats
from keras_ar.plots.missing import completions, imputations
from keras_ar.plots.planes import density, unfolding
from keras_ar.plots.sensitivities import receptive_field
from keras_ar.plots.sounds import spectrogram, waveform
from keras_ar.plots.weights import features, masks

__all__ = [
    "calibration",
    "completions",
    "density",
    "features",
    "images",
    "imputations",
    "learning_curves",
    "masks",
    "neighbors",
    "position_nats",
    "receptive_field",
    "spectrogram",
    "unfolding",
    "waveform",
]
