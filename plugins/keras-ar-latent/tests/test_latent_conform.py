"""Every component keeps what keras-ar promises."""

import keras

from keras_ar import FlowModel, bijectors, heads, models
from keras_ar.testing import parametrize_with_checks
from keras_ar_latent import (
    PPCA,
    VAE,
    VQVAE,
    ConditionalAffine,
    ConditionalTables,
    MixtureOfGaussians,
    MixtureOfPPCA,
    PixelVAE,
)


@parametrize_with_checks(
    [
        MixtureOfGaussians(2, num_components=3),
        MixtureOfGaussians((2, 2), num_components=2, covariance="diag", resolution=0.1, name="mixture-diag"),
        MixtureOfGaussians(2, num_components=2, covariance="spherical", name="mixture-spherical"),
        MixtureOfGaussians(1, num_components=1, name="mixture-one"),
        MixtureOfPPCA(3, num_components=2, latent_dims=1),
        PPCA(3, latent_dims=2, name="ppca-two"),
    ]
)
def test_mixtures(check):
    check()


@parametrize_with_checks([ConditionalAffine()], input_shape=(3, 2), condition_shape=(4,))
def test_bijectors(check):
    check()


def inverse_autoregressive(size, features):
    """An IAF, as a posterior has it."""
    made = models.MADE(size, hidden_units=5, activation="tanh", head="normal", condition_shape=features)
    return bijectors.Inverse(bijectors.Autoregressive(made))


def narrow(shape):
    """A prior so narrow that random posteriors are not narrower: where they are, most guesses miss what counts."""
    return FlowModel(shape, bijectors=[], base=heads.Normal(scale=0.3))


def encoder():
    """A network of the user's own, with dropout."""
    layers = keras.layers
    return keras.Sequential([layers.Flatten(), layers.Dense(4, activation="tanh"), layers.Dropout(0.3)])


def growing():
    """The network of a decoder, from latent variables to the parameters of pixels."""
    return keras.Sequential([keras.layers.Reshape((1, 1, 2)), keras.layers.Conv2DTranspose(1, 2)])


@parametrize_with_checks(
    [
        VAE(3, latent_shape=2, encoder=3, decoder=5, posterior=[inverse_autoregressive(2, 3)], prior=narrow(2)),
        VAE(3, latent_shape=2, encoder=4, posterior=[inverse_autoregressive(2, 4)], decoder=3, name="vae-flow"),
        VAE(
            (2, 2),
            latent_shape=(1, 2),
            encoder=encoder(),
            decoder=models.FVSBN((2, 2), condition_shape=(1, 2)),
            prior=narrow((1, 2)),
            num_draws=2,
            objective="iwae",
            name="vae-given",
        ),
        VAE(
            2,
            latent_shape=2,
            encoder=4,
            decoder=(),
            head=heads.Normal(),
            prior=MixtureOfGaussians(2, num_components=2, covariance="diag"),
            beta=0.5,
            free_bits=0.1,
            name="vae-linear",
        ),
        VAE(
            (2, 2, 1),
            latent_shape=2,
            encoder=keras.Sequential([keras.layers.Conv2D(3, 2, activation="tanh"), keras.layers.Flatten()]),
            decoder=models.Factorized((2, 2, 1), network=growing(), condition_shape=2),
            prior=narrow(2),
            name="vae-convolutions",
        ),
        VAE(
            (2, 2, 1),
            latent_shape=2,
            encoder=4,
            posterior=["keras-ar-flows:planar"],
            decoder_network=keras.Sequential([keras.layers.Dense(8), keras.layers.Reshape((2, 2, 2))]),
            decoder=models.GatedPixelCNN((2, 2, 1), filters=2, num_blocks=0, condition_shape=(2, 2, 2)),
            prior=narrow(2),
            name="vae-pixels",
        ),
        PixelVAE(
            (3, 3, 1),
            latent_dims=2,
            filters=2,
            num_blocks=0,
            prior=narrow(2),
            beta=0.5,
            name="pixel_vae-small",
        ),
        VQVAE(4, code_shape=2, num_codes=3, code_dims=2, encoder=5, decoder=5),
        VQVAE(
            (2, 2, 1),
            code_shape=(2, 1),
            num_codes=2,
            code_dims=3,
            encoder=keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(6)]),
            decoder_network=keras.layers.Reshape((2, 1, 3)),
            decoder=models.FVSBN((2, 2, 1), condition_shape=(2, 1, 3)),
            prior=models.FVSBN((2, 1), name="codes"),
            name="vq_vae-codes",
        ),
    ]
)
def test_autoencoders(check):
    check()


@parametrize_with_checks(
    [
        ConditionalTables(3, num_levels=3),
        ConditionalTables((2, 2), ordering="reversed", name="tables-reversed"),
    ]
)
def test_tables(check):
    check()
