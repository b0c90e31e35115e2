"""VQVAE. https://arxiv.org/abs/1711.00937"""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import DensityModel, arguments, backend, heads, models, noise
from keras_ar_latent.parts import Decoder, check_density, config_of, decoder_of, deserialized, hidden_layers

__all__ = ["VQVAE"]


@keras.saving.register_keras_serializable(package="keras_ar_latent")
class VQVAE(Decoder, DensityModel):
    """An autoencoder whose code is a row, or a grid, of integers, and an autoregressive model of these integers.

    An encoder makes vectors of an event, and each is replaced by the nearest one of a codebook, whose number is the
    code `k(x)`. Another code of the same event may be possible, but its probability is never below zero; so there is a
    bound without any guess, which is what `score_samples` gives:

        log p(x) >= log p(x | k(x)) + log p(k(x))

    `fit` raises this bound, and pulls vectors and codebook together. The encoder gets the gradient of the decoder as if
    nothing had been replaced. Codes keep changing until the end of it: `fit_prior` then trains their model alone.
    Call `initialize_from_data` before `fit`, which starts the codebook from vectors of events. In the log,
    `reconstruction` is the mean of `-log p(x | k)` and `of_codes` that of `-log p(k)`, in nats per event.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        code_shape: Integer or tuple, the shape of the code of one event.
        num_codes: Integer, the number of vectors in the codebook. Defaults to `32`.
        code_dims: Integer, the length of these vectors. Defaults to `8`.
        encoder: Integer or tuple, units of the hidden layers; or a Keras layer that maps events to vectors, which has
            `prod(code_shape) * code_dims` outputs. Integers that are events reach it as numbers from 0 to 1. Defaults
            to `(256,)`.
        decoder: Integer or tuple, units of the hidden layers of a `Factorized` decoder; or a `DensityModel` of events
            whose `condition_shape` is `(*code_shape, code_dims)`. Defaults to `(256,)`.
        decoder_network: Keras layer that maps vectors of the codebook to the condition of the decoder; `None` for the
            vectors themselves. Defaults to `None`.
        prior: A `DensityModel` of codes, integers below `num_codes` of shape `code_shape`; `None` for a `MADE`.
            Defaults to `None`.
        commitment: Float, how strongly the encoder is pulled to the codebook, beside the codebook's pull of one.
            Defaults to `0.25`.
        activation: Activation of the hidden units of the encoder and of a `Factorized` decoder. Defaults to `"relu"`.
        head: Head of a `Factorized` decoder. Defaults to `"bernoulli"`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar_latent.VQVAE((4, 4), code_shape=2, num_codes=4, encoder=16, decoder=16)
    >>> x = np.random.default_rng(0).integers(0, 2, (64, 4, 4))
    >>> model.initialize_from_data(x)
    >>> model.compile("adam")
    >>> history = model.fit(x, verbose=0)
    >>> history = model.fit_prior(x, verbose=0)
    >>> model.codes(x).shape, model.reconstruct(x).shape
    ((64, 2), (64, 4, 4))
    >>> model.score_samples(x).shape  # lower bounds, in nats
    (64,)

    Reference:
        [van den Oord et al., 2017](https://arxiv.org/abs/1711.00937).
    """

    exact = False

    def __init__(
        self,
        event_shape,
        *,
        code_shape,
        num_codes=32,
        code_dims=8,
        encoder=(256,),
        decoder=(256,),
        decoder_network=None,
        prior=None,
        commitment=0.25,
        activation="relu",
        head="bernoulli",
        **kwargs,
    ):
        # Check and store.
        super().__init__(event_shape, **kwargs)
        self.code_shape = arguments.integers(code_shape, "code_shape")
        self.num_codes = arguments.integer(num_codes, "num_codes", least=2)
        self.code_dims = arguments.integer(code_dims, "code_dims")
        self.commitment = arguments.number(commitment, "commitment", above=0)
        self.activation = keras.activations.get(activation)
        encoder, decoder, decoder_network, prior = map(deserialized, (encoder, decoder, decoder_network, prior))

        # Networks, and the codebook.
        vectors_shape = (*self.code_shape, self.code_dims)
        if isinstance(encoder, keras.layers.Layer):
            self.encoder, self.encoder_config = encoder, config_of(encoder)
        else:
            self.encoder_config = arguments.integers(encoder, "encoder")
            last = keras.layers.Dense(math.prod(vectors_shape), dtype=self.dtype_policy, name="to_vectors")
            self.encoder = hidden_layers(self.encoder_config, self.activation, self.dtype_policy, [last])
        found = backend.output_shape(self.encoder, self.event_shape)
        if math.prod(found) != math.prod(vectors_shape):
            raise ValueError(
                f"`encoder` must make vectors of shape {vectors_shape}, or as many numbers. Received: an encoder that "
                f"makes {found}."
            )
        self.codebook = self.add_weight(
            (num_codes, code_dims), keras.initializers.RandomNormal(stddev=code_dims**-0.5), name="codebook"
        )
        self.decoder_network, self.decoder_network_config = decoder_network, config_of(decoder_network)
        if decoder_network is not None:
            vectors_shape = backend.output_shape(decoder_network, vectors_shape)

        # Densities.
        self.decoder = decoder_of(decoder, self.event_shape, vectors_shape, activation, head, self.dtype_policy)
        self.prior = prior
        if prior is None:
            head = heads.Categorical(num_codes)
            self.prior = models.MADE(
                self.code_shape, hidden_units=(128,), head=head, dtype=self.dtype_policy, name="prior"
            )
        check_density(self.decoder, "decoder", self.event_shape, vectors_shape)
        check_density(self.prior, "prior", self.code_shape, None)
        if self.prior.support.num_levels != num_codes:
            raise ValueError(
                f"`prior` must be a density of integers from 0 to {num_codes - 1}. Received: {self.prior.name}, of "
                f"{self.prior.support}."
            )
        self._reconstruction, self._of_codes = (
            keras.metrics.Mean(name=name) for name in ("reconstruction", "of_codes")
        )

    # Scores.

    def call(self, x, training=None):
        """`log p(x | k)`, `log p(k)` and how far vectors are from the codebook: `(batch, 3)`."""
        vectors = self.encode(x)
        codes = self.nearest(vectors)
        found = ops.take(self.codebook, codes, axis=0)
        pull = ops.square(ops.stop_gradient(vectors) - found)
        pull = pull + self.commitment * ops.square(vectors - ops.stop_gradient(found))
        if training:  # the gradient goes by as if vectors had not been replaced
            found = vectors + ops.stop_gradient(found - vectors)
        log_p_x = self.decoder.log_prob_from(self.decoder(x, self.condition(found), training=training), x)
        log_p_k = self.prior.log_prob_from(self.prior(codes, training=training), codes)
        return ops.stack([log_p_x, log_p_k, ops.sum(ops.reshape(pull, (ops.shape(pull)[0], -1)), axis=-1)], axis=-1)

    def log_prob_from(self, outputs, x):
        return outputs[:, 0] + outputs[:, 1]

    def objective(self, outputs, x, training):
        """What `fit` lowers: the bound, and how far vectors are from the codebook. In evaluation the bound alone."""
        bound = self.log_prob_from(outputs, x)
        return outputs[:, 2] - bound if training else -bound

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """As in every density model; it updates the metrics of the two parts of the bound, too."""
        self._reconstruction.update_state(-y_pred[:, 0])
        self._of_codes.update_state(-y_pred[:, 1])
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def encode(self, x):
        """The vectors of events, before they are replaced: `(batch, *code_shape, code_dims)`, a piece of a graph."""
        vectors = ops.cast(self.encoder(self.to_unit(x)), "float32")
        return ops.reshape(vectors, (-1, *self.code_shape, self.code_dims))

    def nearest(self, vectors):
        """The numbers of those vectors of the codebook that are nearest: a piece of a graph."""
        codebook = ops.convert_to_tensor(self.codebook)
        away = ops.sum(ops.square(codebook), axis=-1) - 2.0 * ops.matmul(vectors, ops.transpose(codebook))
        return ops.cast(ops.argmin(away, axis=-1), "int32")

    def condition(self, vectors):
        """What the decoder is given of vectors of the codebook."""
        return vectors if self.decoder_network is None else ops.cast(self.decoder_network(vectors), "float32")

    # Codes.

    def codes(self, x, *, batch_size=None, verbose=0):
        """The codes of events.

        Args:
            x: As in `score_samples`.
            batch_size: As in `score_samples`. Defaults to `None`.
            verbose: As in `score_samples`. Defaults to `0`.

        Returns:
            int32 array of shape `(events, *code_shape)`.
        """
        return self.map_events(self._codes, x, batch_size=batch_size, verbose=verbose)

    def _codes(self, x):
        return self.nearest(self.encode(x))

    def code(self, hidden):
        return self.condition(ops.take(self.codebook, hidden, axis=0))

    def hidden(self, x):
        return self.codes(x)

    def check_hidden(self, hidden):
        return self.prior.check_batch(hidden, name="hidden")[0].astype("int32")

    # Training.

    def initialize_from_data(self, x, condition=None):
        """Sets the codebook to vectors of events, chosen at random."""
        x = arguments.array(x, "x")
        vectors = ops.convert_to_numpy(self.encode(ops.convert_to_tensor(x))).reshape(-1, self.code_dims)
        chosen = np.resize(noise.permutation(len(vectors), seed=0), self.num_codes)
        self.codebook.assign(vectors[chosen] + 1e-3 * noise.normals(self.codebook.shape[0], seed=0)[:, None])

    def fit_prior(self, x, *, optimizer="adam", validation_data=None, **kwargs):
        """Trains the model of codes alone, while all else stays as it is.

        Args:
            x: Array of events.
            optimizer: Name, config or instance of a Keras optimizer. Defaults to `"adam"`.
            validation_data: Array of events, alone or in a tuple, or `None`. Defaults to `None`.
            **kwargs: As in `fit`: `epochs`, `batch_size`, `callbacks`, `verbose`, …

        Returns:
            The `History` of Keras. Its `loss` is in nats for each code of an event.
        """
        copy = type(self.prior).from_config(self.prior.get_config())
        copy.set_weights(self.prior.get_weights())
        copy.compile(optimizer)
        if validation_data is not None:
            events = validation_data[0] if isinstance(validation_data, tuple) else validation_data
            kwargs["validation_data"] = (self.codes(events),)
        history = copy.fit(self.codes(x), **kwargs)
        self.prior.set_weights(copy.get_weights())
        return history

    # Samples.

    def draw(self, noise, condition=None):
        """Events, and their bounds, from uniforms of shape `(batch, *noise_shape)`."""
        x = self.draw_events(noise)
        return x, self.log_prob(x)

    def get_config(self):
        config = super().get_config()
        del config["condition_shape"]
        return {
            **config,
            "code_shape": self.code_shape,
            "num_codes": self.num_codes,
            "code_dims": self.code_dims,
            "encoder": self.encoder_config,
            "decoder": config_of(self.decoder),
            "decoder_network": self.decoder_network_config,
            "prior": config_of(self.prior),
            "commitment": self.commitment,
            "activation": keras.activations.serialize(self.activation),
        }
