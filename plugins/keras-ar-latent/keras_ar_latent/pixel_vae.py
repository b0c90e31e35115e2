"""PixelVAE. https://arxiv.org/abs/1611.05013"""

import keras

from keras_ar import arguments, models
from keras_ar_latent.vae import VAE

__all__ = ["PixelVAE"]


@keras.saving.register_keras_serializable(package="keras_ar_latent")
class PixelVAE(VAE):
    """A variational autoencoder of images whose decoder draws pixel by pixel, and sees little but its neighbors.

    What is near is left to a `GatedPixelCNN` with few blocks; what is far must come by the latent variables, which a
    network of transposed convolutions unfolds to a map over the image. Strided convolutions find the features.

    A decoder that sees far can do without latent variables, and then `kl` falls to zero. Against that help fewer
    blocks, `KLWarmUp`, and `free_bits`.

    Args:
        event_shape: `(rows, columns)` or `(rows, columns, channels)`.
        latent_dims: Integer, the number of latent variables. Defaults to `32`.
        filters: Integer, number of features of each stack of the decoder, and of the outermost convolutions. Defaults
            to `32`.
        num_blocks: Integer, number of blocks of the decoder after the first one. Defaults to `1`.
        kernel_size: Odd integer, kernel size of each block. Defaults to `3`.
        posterior: As in `VAE`; there are `8 * latent_dims` features. Defaults to `()`.
        prior: As in `VAE`. Defaults to `"normal"`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        **kwargs: `beta` and `free_bits`, as in `VAE`, `objective` and `num_draws`, as in `BoundedModel`, `name` and
            `dtype`.

    Example:

    >>> model = keras_ar_latent.PixelVAE((8, 8, 1), latent_dims=4, filters=8)
    >>> model.compile("adam")
    >>> x = np.random.default_rng(0).integers(0, 2, (32, 8, 8, 1))
    >>> history = model.fit(x, epochs=2, callbacks=[keras_ar_latent.KLWarmUp(2)], verbose=0)
    >>> model.sample(3, seed=0).shape
    (3, 8, 8, 1)

    Reference:
        [Gulrajani et al., 2017](https://arxiv.org/abs/1611.05013); [Chen et al.,
        2017](https://arxiv.org/abs/1611.02731), for what decoders should not see.
    """

    def __init__(
        self,
        event_shape,
        *,
        latent_dims=32,
        filters=32,
        num_blocks=1,
        kernel_size=3,
        posterior=(),
        prior="normal",
        head="bernoulli",
        **kwargs,
    ):
        # Check and store.
        event_shape = arguments.integers(event_shape, "event_shape")
        if len(event_shape) not in (2, 3):
            raise ValueError(
                f"`event_shape` must be (rows, columns) or (rows, columns, channels). Received: {event_shape}."
            )
        self.latent_dims = arguments.integer(latent_dims, "latent_dims")
        self.filters = arguments.integer(filters, "filters")
        self.num_blocks, self.kernel_size = num_blocks, kernel_size

        # Networks and the decoder, for the base class.
        dtype = {"dtype": kwargs.get("dtype")}
        rows, columns = event_shape[:2]
        decoder = models.GatedPixelCNN(
            event_shape,
            filters=filters,
            num_blocks=num_blocks,
            kernel_size=kernel_size,
            head=head,
            condition_shape=(rows, columns, filters),
            name="decoder",
            **dtype,
        )
        super().__init__(
            event_shape,
            latent_shape=latent_dims,
            encoder=_shrinking(event_shape, filters, 8 * latent_dims, dtype),
            posterior=posterior,
            decoder=decoder,
            decoder_network=_growing(rows, columns, filters, dtype),
            prior=prior,
            **kwargs,
        )

    def get_config(self):
        config = super().get_config()
        for name in ("latent_shape", "encoder", "decoder", "decoder_network", "activation"):
            del config[name]
        return {
            **config,
            "latent_dims": self.latent_dims,
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "kernel_size": self.kernel_size,
            "head": keras.saving.serialize_keras_object(self.decoder.head),
        }


def _shrinking(event_shape, filters, units, dtype):
    """Convolutions from an image to a quarter of its rows and columns, and from there to features."""
    options = {"padding": "same", "activation": "relu", **dtype}
    return keras.Sequential(
        [
            keras.layers.Reshape((*event_shape[:2], -1), **dtype),
            keras.layers.Conv2D(filters, 3, **options),
            keras.layers.Conv2D(filters, 3, strides=2, **options),
            keras.layers.Conv2D(2 * filters, 3, strides=2, **options),
            keras.layers.Flatten(**dtype),
            keras.layers.Dense(units, activation="relu", **dtype),
        ],
        name="encoder",
    )


def _growing(rows, columns, filters, dtype):
    """Transposed convolutions from latent variables to a map over an image."""
    options = {"padding": "same", "activation": "relu", **dtype}
    small = -(-rows // 4), -(-columns // 4)  # rounded up
    surplus = [(0, 4 * size - whole) for size, whole in zip(small, (rows, columns), strict=True)]
    return keras.Sequential(
        [
            keras.layers.Dense(small[0] * small[1] * 2 * filters, activation="relu", **dtype),
            keras.layers.Reshape((*small, 2 * filters), **dtype),
            keras.layers.Conv2DTranspose(filters, 3, strides=2, **options),
            keras.layers.Conv2DTranspose(filters, 3, strides=2, **options),
            keras.layers.Cropping2D(surplus, **dtype),
        ],
        name="decoder_network",
    )
