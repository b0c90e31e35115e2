"""VAE. https://arxiv.org/abs/1312.6114, with the posteriors of https://arxiv.org/abs/1505.05770 and 1606.04934"""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import BoundedModel, DensityModel, FlowModel, arguments, backend, bijectors, heads
from keras_ar.flow import check_posterior
from keras_ar_latent.active_units import ActiveUnits
from keras_ar_latent.conditional_affine import ConditionalAffine
from keras_ar_latent.parts import Decoder, check_density, config_of, decoder_of, deserialized, hidden_layers

__all__ = ["VAE"]


@keras.saving.register_keras_serializable(package="keras_ar_latent")
class VAE(Decoder, BoundedModel):
    """A variational autoencoder: three densities, of which two make events and one guesses how.

    The prior draws latent variables `z`, and the decoder events given `z`. The posterior guesses the `z` of an event
    from the features that an encoder finds in it. A score is a lower bound of the likelihood:

        log p(x) >= E[log p(x | z) + log p(z) - log q(z | x)]

    Each is a density model: a decoder that draws pixel by pixel makes a PixelVAE, a mixture or a flow as the prior
    makes room for clusters, and bijectors bend the posterior, which is a normal distribution with a diagonal covariance
    without them.

    In the log, `reconstruction` is the mean of `-log p(x | z)` and `kl` that of `log q(z | x) - log p(z)`, in nats per
    event, whose sum is the loss unless there are several guesses. `active_units` is the number of latent variables that
    differ from event to event. `beta` and `free_bits` change what `fit` lowers, and never a score.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        latent_shape: Integer or tuple, the shape of the latent variables of one event.
        encoder: Integer or tuple, units of the hidden layers that find features; or a Keras layer that maps events to
            vectors of features. Integers that are events reach it as numbers from 0 to 1. Defaults to `(256,)`.
        posterior: List of bijectors from the latent variables of an event towards a normal distribution with a diagonal
            covariance. They are given the features as their condition, and must be undone in one pass: planar maps,
            couplings, `Inverse(Autoregressive(made))`. Or a `FlowModel` of latent variables whose `condition_shape` is
            the features'. Defaults to `()`.
        decoder: Integer or tuple, units of the hidden layers of a `Factorized` decoder, `()` for a linear one; or a
            `DensityModel` of events whose `condition_shape` is `latent_shape`: `Factorized` with a `network` of
            transposed convolutions, or one that draws value by value. Defaults to `(256,)`.
        decoder_network: Keras layer that maps latent variables to the condition of the decoder, such as a map over an
            image; `None` for the latent variables themselves. Defaults to `None`.
        prior: `"normal"`, or a `DensityModel` of latent variables. Defaults to `"normal"`.
        activation: Activation of the hidden units of the encoder and of a `Factorized` decoder. Defaults to `"relu"`.
        head: Head of a `Factorized` decoder. Defaults to `"bernoulli"`.
        beta: Float, by which `fit` multiplies the divergence `kl`. Defaults to `1.0`.
        free_bits: Float, in nats: `fit` does not lower the mean `kl` of a batch below. Defaults to `0.0`.
        **kwargs: `objective` and `num_draws`, as in `BoundedModel`, `name` and `dtype`.

    Example:

    >>> vae = keras_ar_latent.VAE((4, 4), latent_shape=2, encoder=16, decoder=16)
    >>> vae.compile("adam")
    >>> x = np.random.default_rng(0).integers(0, 2, (64, 4, 4))
    >>> history = vae.fit(x, verbose=0)
    >>> sorted(history.history)
    ['active_units', 'bits_per_dim_at_most', 'kl', 'loss', 'reconstruction']
    >>> vae.latents(x).shape, vae.reconstruct(x).shape
    ((64, 2), (64, 4, 4))
    >>> vae.score_samples(x, num_draws=100).shape  # lower bounds, in nats
    (64,)

    Reference:
        [Kingma and Welling, 2014](https://arxiv.org/abs/1312.6114); [Rezende and Mohamed,
        2015](https://arxiv.org/abs/1505.05770) and [Kingma et al., 2016](https://arxiv.org/abs/1606.04934) for flows as
        posteriors, and the latter for free bits; [Higgins et al., 2017](https://openreview.net/forum?id=Sy2fzU9gl) for
        beta.
    """

    def __init__(
        self,
        event_shape,
        *,
        latent_shape,
        encoder=(256,),
        posterior=(),
        decoder=(256,),
        decoder_network=None,
        prior="normal",
        activation="relu",
        head="bernoulli",
        beta=1.0,
        free_bits=0.0,
        **kwargs,
    ):
        # Check and store.
        super().__init__(event_shape, **kwargs)
        self.latent_shape = arguments.integers(latent_shape, "latent_shape")
        self.activation = keras.activations.get(activation)
        self.initial_beta, self.free_bits = _not_negative(beta, "beta"), _not_negative(free_bits, "free_bits")
        if self.objective_name != "elbo" and (beta != 1 or free_bits != 0):
            raise ValueError(
                f"`objective` must be 'elbo' for a `beta` other than 1, and for `free_bits`. Received: "
                f"objective={self.objective_name!r}, beta={beta}, free_bits={free_bits}."
            )
        encoder, decoder, decoder_network, prior = map(deserialized, (encoder, decoder, decoder_network, prior))

        # Networks.
        if isinstance(encoder, keras.layers.Layer):
            self.encoder, self.encoder_config = encoder, config_of(encoder)
        else:
            self.encoder_config = arguments.integers(encoder, "encoder")
            self.encoder = hidden_layers(self.encoder_config, self.activation, self.dtype_policy)
        feature_shape = backend.output_shape(self.encoder, self.event_shape)
        self.decoder_network, self.decoder_network_config = decoder_network, config_of(decoder_network)
        code_shape = self.latent_shape
        if decoder_network is not None:
            code_shape = backend.output_shape(decoder_network, self.latent_shape)

        # Densities.
        self.posterior = self._posterior_of(posterior, feature_shape)
        self.prior = prior
        if isinstance(prior, str):
            self.prior = FlowModel(self.latent_shape, bijectors=[], base=prior, name="prior")
        self.decoder = decoder_of(decoder, self.event_shape, code_shape, activation, head, self.dtype_policy)
        check_posterior(self.posterior, self.latent_shape, feature_shape)
        base, standard = self.posterior.base_head, heads.Normal()
        self._is_of_standard_normals = type(base) is heads.Normal and base.get_config() == standard.get_config()
        check_density(self.prior, "prior", self.latent_shape, None)
        check_density(self.decoder, "decoder", self.event_shape, code_shape)
        if self.prior.support.is_discrete or math.isfinite(self.prior.support.low):
            raise ValueError(f"`prior` must be a density of all real numbers. Received: prior={prior!r}.")

        # What is seen in the log. `beta` is a weight, so that a callback may change it.
        self.beta = self.add_weight((), keras.initializers.Constant(beta), trainable=False, name="beta")
        self._kl, self._reconstruction = (keras.metrics.Mean(name=name) for name in ("kl", "reconstruction"))
        self._active_units = ActiveUnits(math.prod(self.latent_shape))

    def _posterior_of(self, posterior, feature_shape):
        posterior = deserialized(posterior)
        if isinstance(posterior, DensityModel):
            return posterior
        layers = [bijectors.get(each) for each in posterior]
        layers.append(ConditionalAffine(dtype=self.dtype_policy.name, name="conditional_affine"))
        return FlowModel(
            self.latent_shape,
            bijectors=layers,
            condition_shape=feature_shape,
            dtype=self.dtype_policy,
            name="posterior",
        )

    # Scores.

    @property
    def hidden_shape(self):
        """Shape of the uniforms that one guess at the latent variables is made of."""
        return self.posterior.noise_shape

    def call(self, x, condition=None, training=None):
        """What scores are made of.

        Returns:
            Dictionary of `"terms"`, `log p(x | z)`, `log p(z)` and `log q(z | x)` of random guesses `z`, a tensor of
            shape `(batch, num_draws, 3)`; and of `"centers"`, the latent variables in the center of the posterior.
        """
        features = self.features(x)
        terms = self.for_each_draw(self.terms, x, features, training)
        return {"terms": terms, "centers": self.center(features)}

    def log_weight(self, x, noise, training=None):
        return self.sum_of_terms(self.terms(x, noise, self.features(x), training))

    def log_weights_from(self, outputs):
        return self.sum_of_terms(outputs["terms"])

    def sum_of_terms(self, terms):
        """Log-weights of guesses, from the last axis of terms."""
        return terms[..., 0] + terms[..., 1] - terms[..., 2]

    def features(self, x):
        """What the encoder finds in events: a piece of a graph."""
        return self.encoder(self.to_unit(x))

    def terms(self, x, noise, features, training=None):
        """`log p(x | z)`, `log p(z)` and `log q(z | x)` of one guess `z` for each event: `(batch, 3)`.

        Args:
            x: As in `log_weight`.
            noise: As in `log_weight`.
            features: Tensor, the features of the events.
            training: As in `log_weight`. Defaults to `None`.
        """
        z, log_q = self.posterior.draw(noise, features)
        log_p_x = self.decoder.log_prob_from(self.decoder(x, self.code(z), training=training), x)
        log_p_z = self.prior.log_prob_from(self.prior(z, training=training), z)
        return ops.stack([log_p_x, log_p_z, log_q], axis=-1)

    def center(self, features):
        """What the posterior draws where the normal variables that it starts from are zero; without a gradient."""
        features, count = ops.stop_gradient(features), ops.shape(features)[0]
        if self._is_of_standard_normals:
            z, _ = self.posterior.from_noise(ops.zeros((count, *self.posterior.latent_shape), "float32"), features)
        else:
            z, _ = self.posterior.draw(ops.full((count, *self.hidden_shape), 0.5, "float32"), features)
        return ops.stop_gradient(z)

    def code(self, hidden):
        return hidden if self.decoder_network is None else ops.cast(self.decoder_network(hidden), "float32")

    # Training.

    def objective(self, outputs, x, training):
        """What `fit` lowers, by `beta` and `free_bits`; in evaluation the bound."""
        if not training or self.objective_name != "elbo":
            return super().objective(outputs, x, training)
        reconstruction, kl = outputs["parts"]
        is_above = ops.mean(kl) > self.free_bits
        return reconstruction + self.beta * ops.where(is_above, kl, self.free_bits)

    def _reconstruction_and_kl(self, outputs):
        """The two parts of the bound, `(batch,)` each: means over guesses."""
        log_p_x, log_p_z, log_q = ops.unstack(ops.mean(outputs["terms"], axis=1), 3, axis=-1)
        return -log_p_x, log_q - log_p_z

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """As in every density model; it updates the metrics of the latent variables, too."""
        reconstruction, kl = parts = self._reconstruction_and_kl(y_pred)
        self._reconstruction.update_state(reconstruction)
        self._kl.update_state(kl)
        self._active_units.update_state(ops.reshape(y_pred["centers"], (ops.shape(kl)[0], -1)))
        return super().compute_loss(x, y, {**y_pred, "parts": parts}, sample_weight, training)

    # Latent variables.

    def latents(self, x, *, batch_size=None, verbose=0):
        """The latent variables of events in the center of the posterior: its mean, where it is a normal distribution.

        Args:
            x: As in `score_samples`.
            batch_size: As in `score_samples`. Defaults to `None`.
            verbose: As in `score_samples`. Defaults to `0`.

        Returns:
            float32 array of shape `(events, *latent_shape)`.
        """
        return self.map_events(self._latents, x, batch_size=batch_size, verbose=verbose)

    def _latents(self, x):
        return self.center(self.features(x))

    def hidden(self, x):
        return self.latents(x)

    def check_hidden(self, hidden):
        z = arguments.array(hidden, "hidden").astype("float32")
        if z.shape[1:] != self.latent_shape or len(z) == 0:
            raise ValueError(
                f"`hidden` must have shape (events, {', '.join(map(str, self.latent_shape))}). "
                f"Received: hidden.shape={z.shape}."
            )
        return z

    def interpolate(self, first, last, *, num_steps=8, **kwargs):
        """Events on straight lines between the latent variables of others.

        Args:
            first: Array of events, from which lines start.
            last: Array of as many events, at which they end.
            num_steps: Integer, the number of events on a line, both ends among them. Defaults to `8`.
            **kwargs: As in `decode`.

        Returns:
            Array of shape `(events, num_steps, *event_shape)`.
        """
        num_steps = arguments.integer(num_steps, "num_steps", least=2)
        start, end = self.latents(first), self.latents(last)
        if len(start) != len(end):
            raise ValueError(f"`last` must hold {len(start)} events, as `first` does. Received: {len(end)}.")
        share = np.linspace(0.0, 1.0, num_steps).reshape(-1, *(1 for _ in self.latent_shape))
        z = start[:, None] + share * (end - start)[:, None]
        return self.decode(z.reshape(-1, *self.latent_shape), **kwargs).reshape(-1, num_steps, *self.event_shape)

    def get_config(self):
        config = super().get_config()
        del config["condition_shape"]
        return {
            **config,
            "latent_shape": self.latent_shape,
            "encoder": self.encoder_config,
            "posterior": config_of(self.posterior),
            "decoder": config_of(self.decoder),
            "decoder_network": self.decoder_network_config,
            "prior": config_of(self.prior),
            "activation": keras.activations.serialize(self.activation),
            "beta": self.initial_beta,
            "free_bits": self.free_bits,
        }


def _not_negative(value, name):
    value = arguments.number(value, name)
    if value < 0:
        raise ValueError(f"`{name}` must be at least 0. Received: {name}={value}.")
    return value
