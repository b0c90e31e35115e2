"""What autoencoders have in common: their networks, their decoder, and how hidden variables become events."""

import math

import keras
from keras import ops

from keras_ar import DensityModel, arguments, backend, batches, models, noise

__all__ = ["Decoder", "check_density", "config_of", "decoder_of", "deserialized", "hidden_layers"]


class Decoder:
    """What a model gets by a `prior` of hidden variables, and a `decoder`, a density of events given a code of them.

    **A model has** `prior`; `decoder`; `code(hidden)`, a piece of a graph that makes the condition of the decoder;
    `hidden(x)`, which finds the hidden variables of events; and `check_hidden(hidden)`, which returns an array of
    hidden variables, or raises an error.
    """

    def hidden(self, x):
        """The hidden variables of events, an array."""
        raise NotImplementedError(f"A model with a decoder must have `hidden`. {type(self).__name__} has none.")

    def code(self, hidden):
        """What the decoder is given of hidden variables."""
        raise NotImplementedError(f"A model with a decoder must have `code`. {type(self).__name__} has none.")

    def check_hidden(self, hidden):
        """Hidden variables as an array; a `ValueError` if they are none."""
        raise NotImplementedError(f"A model with a decoder must have `check_hidden`. {type(self).__name__} has none.")

    @property
    def has_means(self):
        """Whether the decoder knows the means of all values at once."""
        return isinstance(self.decoder, models.Factorized) and "mean" in self.decoder.head.capabilities

    def decode(self, hidden, *, means=None, seed=0, batch_size=None, verbose=0):
        """Events of hidden variables.

        Args:
            hidden: Array with the hidden variables of each event: those that `latents`, or `codes`, gives.
            means: Boolean, whether to return the means of the values in place of draws, which is for `Factorized`
                decoders with a head that has means; `None` to do so where it can be done. Defaults to `None`.
            seed: Integer, the seed of draws. Defaults to `0`.
            batch_size: As in `sample`. Defaults to `None`.
            verbose: As in `sample`. Defaults to `0`.

        Returns:
            Array of shape `(events, *event_shape)`.
        """
        hidden = self.check_hidden(hidden)
        means = self.has_means if means is None else arguments.boolean(means, "means")
        if means and not self.has_means:
            raise ValueError(
                f"`means` must be False for a decoder that is no `Factorized` with a head that has means. Received: "
                f"means=True, for {self.decoder.name}."
            )
        seed, batch_size = noise.check_seed(seed), batches.fitting(batch_size, len(hidden), on_cpu=64)
        progress = batches.Progress(len(hidden), verbose)
        decode = self.compiled_function(self.decode_to_means if means else self.decode_to_draws)

        def decode_batch(first, hidden):
            uniforms = [] if means else [noise.uniforms(seed, first, batch_size, self.decoder.noise_shape)]
            found = decode(*backend.share([hidden, *uniforms]))
            progress.add(batch_size)
            return found

        return batches.run(decode_batch, [hidden], len(hidden), batch_size, progress)

    def reconstruct(self, x, **kwargs):
        """Events as the decoder makes them of their own hidden variables.

        Args:
            x: As in `score_samples`.
            **kwargs: As in `decode`.

        Returns:
            Array of shape `(events, *event_shape)`.
        """
        return self.decode(self.hidden(x), **kwargs)

    @property
    def support(self):
        """The values that an entry of an event may have: those of the decoder."""
        return self.decoder.support

    @property
    def noise_shape(self):
        """Shape of the uniforms that `draw` makes one event of: those of the prior, then those of the decoder."""
        return (math.prod(self.prior.noise_shape) + math.prod(self.decoder.noise_shape),)

    def draw_events(self, noise, condition=None):
        """Events from uniforms: the prior draws hidden variables, the decoder what is given them."""
        size = math.prod(self.prior.noise_shape)
        hidden, _ = self.prior.draw(ops.reshape(noise[:, :size], (-1, *self.prior.noise_shape)))
        return self.decode_to_draws(hidden, ops.reshape(noise[:, size:], (-1, *self.decoder.noise_shape)))

    def decode_to_draws(self, hidden, noise):
        """Events drawn by the decoder from uniforms: a piece of a graph.

        Args:
            hidden: Tensor with the hidden variables of each event.
            noise: Tensor of shape `(batch, *decoder.noise_shape)`.
        """
        return self.decoder.draw(noise, self.code(hidden))[0]

    def decode_to_means(self, hidden):
        """The means of the values of events: a piece of a graph."""
        blank = ops.zeros((ops.shape(hidden)[0], *self.event_shape), self.support.dtype)
        return ops.reshape(self.decoder.head.mean(self.decoder(blank, self.code(hidden))), ops.shape(blank))

    def to_unit(self, x):
        """Events as an encoder takes them: levels from 0 to 1, real numbers as they are."""
        levels = self.support.num_levels
        return ops.cast(x, self.compute_dtype) / (levels - 1 if levels else 1)


def decoder_of(decoder, event_shape, code_shape, activation, head, dtype):
    """A decoder that may be the hidden units of a `Factorized` one."""
    if isinstance(decoder, DensityModel):
        return decoder
    return models.Factorized(
        event_shape,
        hidden_units=decoder,
        activation=activation,
        head=head,
        condition_shape=code_shape,
        dtype=dtype,
        name="decoder",
    )


def hidden_layers(hidden_units, activation, dtype, last=()):
    """A network of dense layers: a flat input, hidden units, and further layers."""
    dense = [
        keras.layers.Dense(units, activation=activation, dtype=dtype, name=f"hidden_{i}")
        for i, units in enumerate(hidden_units)
    ]
    return keras.Sequential([keras.layers.Flatten(dtype=dtype), *dense, *last], name="encoder")


def deserialized(part):
    """A part that may be a config."""
    return keras.saving.deserialize_keras_object(part) if isinstance(part, dict) else part


def config_of(part):
    """The config of a layer or a model; `None` for `None`. That of a network must be made before it is built."""
    if part is None:
        return None
    config = keras.saving.serialize_keras_object(part)
    config.pop("compile_config", None)
    return config


def check_density(density, name, event_shape, condition_shape):
    """Raises a `ValueError` unless this is a density model of these shapes whose scores have a gradient."""
    if not isinstance(density, DensityModel):
        raise ValueError(f"`{name}` must be a DensityModel. Received: {name}={density!r}.")
    for attribute, expected in (("event_shape", event_shape), ("condition_shape", condition_shape)):
        found = getattr(density, attribute)
        if found != expected:
            raise ValueError(f"`{name}` must have {attribute}={expected}. Received: {name}.{attribute}={found}.")
    if density.num_classes is not None:
        raise ValueError(
            f"`{name}` must take vectors, by `condition_shape`, not classes. Received: "
            f"{name}.num_classes={density.num_classes}."
        )
    if not density.differentiable:
        raise ValueError(f"`{name}` must have a gradient. Received: {density.name}, whose scores take a loop.")
