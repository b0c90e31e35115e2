"""Autoregressive: a model of real values, as an invertible map."""

import functools

import keras
from keras import ops

from keras_ar import backend, decoding, registry
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.bijectors.bijector import Bijector

__all__ = ["Autoregressive"]


@keras.saving.register_keras_serializable(package="keras_ar")
class Autoregressive(Bijector):
    """Maps each value to noise by its conditional distribution, given the values before it.

    A head that can be undone is an increasing map of single values: `Normal` shifts and stretches, `NormalMixture`
    bends. So an `AutoregressiveModel` with such a head is an invertible map of events, whose Jacobian is a triangle.
    `to_noise` is one pass; `from_noise` draws step by step from the noise that it is given, at the arithmetic of about
    one pass, too, but without a gradient. Several of them, in different orders, make a masked autoregressive flow.

    Args:
        model: An `AutoregressiveModel`, whose head has `to_noise` and `from_noise`. A condition it takes as vectors, by
            `condition_shape`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, *model.event_shape)`.
        condition: Tensor of shape `(batch, *model.condition_shape)`; passed over if the model takes none. Defaults to
            `None`.

    Returns:
        Tensor of shape `(batch, *model.event_shape)`, and `log_det` of shape `(batch,)`.

    Example:

    >>> made = keras_ar.models.MADE(3, hidden_units=8, head="normal")
    >>> flow = keras_ar.bijectors.Autoregressive(made)
    >>> z, log_det = flow(np.array([[0.5, -1.0, 2.0]]))
    >>> x, log_det = flow.from_noise(z)
    >>> keras.ops.convert_to_numpy(x).round(3).tolist()
    [[0.5, -1.0, 2.0]]

    Reference:
        [Papamakarios et al., 2017](https://arxiv.org/abs/1705.07057).
    """

    loops_from_noise = True

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self.model = registry.get("models", model)
        if not isinstance(self.model, AutoregressiveModel) or self.model.head.event_shape:
            raise ValueError(
                f"`model` must be an AutoregressiveModel with a head of single values. Received: model={model!r}."
            )
        for capability in ("to_noise", "from_noise"):
            self.model.head.require(capability, "model")
        if self.model.num_classes is not None:
            raise ValueError(
                f"`model` must take its condition as vectors, by `condition_shape`. Received: a model with "
                f"num_classes={self.model.num_classes}."
            )

    def build(self, x_shape, condition_shape=None):
        if tuple(x_shape[1:]) != self.model.event_shape:
            raise ValueError(
                f"`x` must have shape (batch, {', '.join(map(str, self.model.event_shape))}), the events of "
                f"{self.model.name}. Received: shape {tuple(x_shape)}."
            )

    def to_noise(self, x, condition=None):
        params = self.model(x, *self._condition(condition))
        z, log_slopes = self.model.head.to_noise(ops.cast(params, "float32"), ops.cast(x, "float32"))
        return z, ops.sum(log_slopes, axis=tuple(range(1, len(log_slopes.shape))))

    def from_noise(self, z, condition=None):
        return decoding.undo(self.model, self._undoing, ops.cast(z, "float32"), *self._condition(condition))

    @functools.cached_property
    def _undoing(self):
        return backend.Loop(self.model)

    def _condition(self, condition):
        if self.model.condition_shape is None:
            return []
        if condition is None:
            raise ValueError(f"`condition` must be given to {self.model.name}. Received: None.")
        return [condition]

    def get_config(self):
        return {**super().get_config(), "model": keras.saving.serialize_keras_object(self.model)}
