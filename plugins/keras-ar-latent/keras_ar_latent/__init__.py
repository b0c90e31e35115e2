"""Latent variables for keras-ar: mixtures, principal components, variational autoencoders; and Bayes."""

from keras_ar_latent import em
from keras_ar_latent.mixture import Mixture
from keras_ar_latent.mixture_of_gaussians import MixtureOfGaussians
from keras_ar_latent.mixture_of_ppca import MixtureOfPPCA
from keras_ar_latent.ppca import PPCA

__all__ = ["PPCA", "Mixture", "MixtureOfGaussians", "MixtureOfPPCA", "em"]
