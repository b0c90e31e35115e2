"""Coupling: some entries stay, and tell how the others are mapped. https://arxiv.org/abs/1605.08803"""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend, heads
from keras_ar.bijectors import Bijector
from keras_ar_flows.chain import make_weights
from keras_ar_flows.parts import check_head
from keras_ar_flows.squeeze import squeezed

__all__ = ["Coupling"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class Coupling(Bijector):
    """Keeps some entries of an event as they are, and maps the others by a head whose parameters a network computes.

    The network sees the entries that are kept, and the condition; it is any network, since it is never undone. The
    head is any that has `to_noise` and `from_noise`: `Shift` makes the additive coupling of NICE, `Affine` that of
    RealNVP, `RationalQuadraticSpline` that of neural spline flows, `NormalMixture` one by the CDF of a mixture. Both
    ways cost one pass. At first all parameters of the head are zero: the identity, for all of these but mixtures.

    Args:
        split: String, which entries are kept. Of an event as one vector: the first `"half"`, or every other one,
            `"alternate"`. Of an image, or anything with channels on its last axis: the first half of the `"channels"`;
            or the white squares of a `"checkerboard"` of pixels. Defaults to `"half"`.
        flip: Boolean, whether the entries are kept that else are mapped. Defaults to `False`.
        head: Name, instance, class or config of a head of single values. Defaults to `Affine()`.
        network: Tuple of integers: the units of hidden layers, dense ones for vectors and 3x3 convolutions for images.
            Or a Keras layer, which takes what is kept, with the condition as more entries of its last axis, and
            returns features; a dense layer makes parameters of them. Defaults to `(256, 256)`.
        activation: Activation of the hidden layers that `network` counts. Defaults to `"relu"`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, *event_shape)`.
        condition: Tensor of shape `(batch, *condition_shape)`, or `None`. Every pixel of an image is given all of it,
            unless it is an image, too, whose height and width are those of `x` or multiples of them: then the part of
            it at that pixel. Defaults to `None`.

    Returns:
        Tensor of the shape of `x`, and `log_det` of shape `(batch,)`.

    Example:

    >>> coupling = keras_ar_flows.Coupling("alternate", network=(16,))
    >>> x = np.array([[1.0, 2.0, 3.0]], "float32")
    >>> z, log_det = coupling(x)  # the identity, at first
    >>> keras.ops.convert_to_numpy(z).tolist()
    [[1.0, 2.0, 3.0]]

    Reference:
        [Dinh et al., 2015](https://arxiv.org/abs/1410.8516), [2017](https://arxiv.org/abs/1605.08803).
    """

    def __init__(
        self,
        split="half",
        flip=False,
        head="keras-ar-flows:affine",
        network=(256, 256),
        activation="relu",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.split = arguments.one_of(split, "split", ("half", "alternate", "channels", "checkerboard"))
        self.flip = arguments.boolean(flip, "flip")
        self.head = heads.get(head)
        check_head(self.head, "to_noise", "from_noise")
        self.network = keras.saving.deserialize_keras_object(network) if isinstance(network, dict) else network
        if isinstance(self.network, keras.layers.Layer):
            self.network_config = keras.saving.serialize_keras_object(self.network)  # as it was before it was built
        else:
            self.network = self.network_config = arguments.integers(network, "network")
        self.activation = keras.activations.get(activation)

    def build(self, x_shape, condition_shape=None):
        self.event_shape = tuple(x_shape[1:])
        if self.split == "checkerboard":
            self._parts = _Checkerboard(self.event_shape, self.flip)
        else:
            self._parts = _Columns(self.event_shape, self.split, self.flip)
        self.features = self.network
        if not isinstance(self.network, keras.layers.Layer):
            self.features = self._hidden_layers(is_image=len(self._parts.kept_shape) == 3)
        num_outputs = self._parts.mapped_shape[-1] * self.head.num_params
        self.output_layer = keras.layers.Dense(
            num_outputs, kernel_initializer="zeros", dtype=self.dtype_policy, name="output"
        )
        make_weights(self._params, (1, *self._parts.kept_shape), condition_shape)

    def _hidden_layers(self, is_image):
        layers = [
            keras.layers.Conv2D(units, 3, padding="same", activation=self.activation, dtype=self.dtype_policy)
            if is_image
            else keras.layers.Dense(units, activation=self.activation, dtype=self.dtype_policy)
            for units in self.network
        ]
        return keras.Sequential(layers, name="hidden")

    def to_noise(self, x, condition=None):
        kept, mapped = self._parts.split(ops.cast(x, "float32"))
        z, log_slopes = self.head.to_noise(self._params(kept, condition), mapped)
        return self._parts.join(kept, z), self._parts.total(log_slopes)

    def from_noise(self, z, condition=None):
        kept, mapped = self._parts.split(ops.cast(z, "float32"))
        x, log_slopes = self.head.from_noise(self._params(kept, condition), mapped)
        return self._parts.join(kept, x), self._parts.total(log_slopes)

    def _params(self, kept, condition=None):
        inputs = [kept]
        if condition is not None:
            inputs.append(self._spread(ops.cast(condition, "float32"), kept))
        params = self.output_layer(self.features(ops.concatenate(inputs, axis=-1)))
        return ops.cast(ops.reshape(params, (-1, *self._parts.mapped_shape, self.head.num_params)), "float32")

    def _spread(self, condition, kept):
        """The condition with the axes of what is kept: at every pixel, unless it has the pixels itself.

        Where each of these is a square of pixels of the condition, as after `Squeeze`, it is given that square.
        """
        if len(kept.shape) > 2 and condition.shape[1:-1] == kept.shape[1:-1]:
            return condition
        if len(kept.shape) == len(condition.shape) == 4:
            factor, rest = divmod(condition.shape[1], kept.shape[1])
            if rest == 0 and condition.shape[1:-1] == tuple(factor * size for size in kept.shape[1:-1]):
                return squeezed(condition, factor)
        flat = ops.reshape(condition, (ops.shape(condition)[0], *[1] * (len(kept.shape) - 2), -1))
        return ops.broadcast_to(flat, (*ops.shape(kept)[:-1], flat.shape[-1]))

    def get_config(self):
        return {
            **super().get_config(),
            "split": self.split,
            "flip": self.flip,
            "head": keras.saving.serialize_keras_object(self.head),
            "network": self.network_config,
            "activation": keras.activations.serialize(self.activation),
        }


class _Columns:
    """Two sets of entries of the last axis: that of the channels, or of the event as one vector."""

    def __init__(self, event_shape, split, flip):
        self.event_shape = event_shape
        leading = event_shape[:-1] if split == "channels" else ()
        size = math.prod(event_shape) // math.prod(leading)
        if size < 2:
            what = "channels" if split == "channels" else "entries"
            raise ValueError(
                f"`x` must have at least two {what}, to be split. Received: events of shape {event_shape}."
            )
        indices = np.arange(size)
        is_mapped = indices % 2 == 1 if split == "alternate" else indices >= (size + 1) // 2
        if flip:
            is_mapped = ~is_mapped
        kept, mapped = indices[~is_mapped], indices[is_mapped]
        self.order = np.concatenate([kept, mapped])
        self.shape = (*leading, size)
        self.kept_shape, self.mapped_shape = (*leading, len(kept)), (*leading, len(mapped))

    def split(self, x):
        x = backend.permuted(ops.reshape(x, (-1, *self.shape)), self.order, axis=-1)
        return x[..., : self.kept_shape[-1]], x[..., self.kept_shape[-1] :]

    def join(self, kept, mapped):
        together = backend.permuted(ops.concatenate([kept, mapped], axis=-1), np.argsort(self.order), axis=-1)
        return ops.reshape(together, (-1, *self.event_shape))

    def total(self, log_slopes):
        return ops.sum(ops.reshape(log_slopes, (-1, math.prod(self.mapped_shape))), axis=-1)


class _Checkerboard:
    """The pixels of an image by the color of their square: all have their place, zero where the others are."""

    def __init__(self, event_shape, flip):
        if len(event_shape) != 3 or event_shape[0] * event_shape[1] < 2:
            raise ValueError(
                f"`x` must be images (batch, height, width, channels) of two pixels or more, to be split like a "
                f"checkerboard. Received: events of shape {event_shape}."
            )
        rows, columns = np.indices(event_shape[:2])
        self.is_kept = ((rows + columns + flip) % 2 == 0)[..., None]
        self.kept_shape = self.mapped_shape = event_shape

    def split(self, x):
        return ops.where(self.is_kept, x, 0.0), x

    def join(self, kept, mapped):
        return ops.where(self.is_kept, kept, mapped)

    def total(self, log_slopes):
        return ops.sum(ops.where(self.is_kept, 0.0, log_slopes), axis=(1, 2, 3))
