"""Every component keeps what keras-ar promises."""

from keras_ar.testing import parametrize_with_checks
from keras_ar_latent import PPCA, MixtureOfGaussians, MixtureOfPPCA


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
