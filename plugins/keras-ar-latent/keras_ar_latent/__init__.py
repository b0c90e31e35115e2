"""Latent variables for keras-ar: mixtures, principal components, variational autoencoders; and Bayes."""

from keras_ar_latent import em
from keras_ar_latent.active_units import ActiveUnits
from keras_ar_latent.conditional_affine import ConditionalAffine
from keras_ar_latent.conditional_tables import ConditionalTables
from keras_ar_latent.kl_warm_up import KLWarmUp
from keras_ar_latent.mixture import Mixture
from keras_ar_latent.mixture_of_gaussians import MixtureOfGaussians
from keras_ar_latent.mixture_of_ppca import MixtureOfPPCA
from keras_ar_latent.pixel_vae import PixelVAE
from keras_ar_latent.ppca import PPCA
from keras_ar_latent.sgld import SGLD
from keras_ar_latent.snapshots import Snapshots
from keras_ar_latent.vae import VAE
from keras_ar_latent.vq_vae import VQVAE

__all__ = [
    "PPCA",
    "SGLD",
    "VAE",
    "VQVAE",
    "ActiveUnits",
    "ConditionalAffine",
    "ConditionalTables",
    "KLWarmUp",
    "Mixture",
    "MixtureOfGaussians",
    "MixtureOfPPCA",
    "PixelVAE",
    "Snapshots",
    "em",
]
