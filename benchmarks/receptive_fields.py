"""Plots the receptive field of the middle pixel, for each kind of image model, with random weights.

KERAS_BACKEND=jax python benchmarks/receptive_fields.py benchmarks/pictures
"""

import sys

from keras_ar import models, plots

SIZE = (15, 15)
MODELS = {
    "pixel_cnn": models.PixelCNN(SIZE, filters=16, num_blocks=4, kernel_size=3, name="PixelCNN, 3x3 kernels"),
    "gated": models.GatedPixelCNN(SIZE, filters=8, num_blocks=6, name="GatedPixelCNN"),
    "row": models.PixelRNN(SIZE, variant="row", units=8, kernel_size=3, name="PixelRNN, Row LSTM"),
    "diagonal": models.PixelRNN(SIZE, units=8, kernel_size=3, name="PixelRNN, Diagonal BiLSTM"),
}

if __name__ == "__main__":
    for file, model in MODELS.items():
        ax = plots.receptive_field(model, random_weights=True)
        ax.figure.savefig(f"{sys.argv[1]}/receptive_field_{file}.png")
