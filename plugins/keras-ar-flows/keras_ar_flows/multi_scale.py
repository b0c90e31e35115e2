"""MultiScale: half of what one level has made is noise, the other half goes on. https://arxiv.org/abs/1605.08803"""

import itertools
import math

import keras
from keras import ops

from keras_ar_flows.chain import Chain, make_weights

__all__ = ["MultiScale"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class MultiScale(Chain):
    """Levels of bijectors; after each but the last, half of the channels are done and the other half go on.

    So an image passes through few layers in full and through many as a small one. The noise is one flat vector: the
    halves in the order of the levels, and at its end what the last level makes.

    Args:
        levels: List, each entry a bijector or a list of bijectors to be chained. A level begins with `Squeeze`, mostly.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, ..., channels)`.
        condition: Tensor of shape `(batch, *condition_shape)`, given to each level; or `None`. Defaults to `None`.

    Returns:
        Tensor of shape `(batch, entries of an event)`, and `log_det` of shape `(batch,)`.

    Example:

    >>> levels = [[keras_ar_flows.Squeeze(), keras_ar_flows.InvertibleConv1x1()] for _ in range(2)]
    >>> z, log_det = keras_ar_flows.MultiScale(levels)(np.zeros((5, 8, 8, 1), "float32"))
    >>> tuple(z.shape)
    (5, 64)

    Reference:
        [Dinh et al., 2017](https://arxiv.org/abs/1605.08803), section 3.6.
    """

    def __init__(self, levels, **kwargs):
        dtype = kwargs.get("dtype")
        chained = [Chain(level, dtype=dtype) if isinstance(level, list | tuple) else level for level in levels]
        super().__init__(chained, **kwargs)

    def build(self, x_shape, condition_shape=None):
        self.level_shapes = []  # of what each level makes
        for i, level in enumerate(self.bijectors):
            make_weights(level, x_shape, condition_shape)
            made, _ = level.compute_output_shape(x_shape)
            self.level_shapes.append(tuple(made[1:]))
            if i + 1 < len(self.bijectors) and made[-1] < 2:
                raise ValueError(
                    f"`levels` must make at least two channels, for half of them to go on. "
                    f"Received: level {i}, which makes shape {tuple(made)} of shape {tuple(x_shape)}."
                )
            x_shape = (*made[:-1], made[-1] // 2)

    def compute_output_shape(self, x_shape, condition_shape=None):
        """Shapes of the noise, a vector for each event, and of `log_det`.

        Args:
            x_shape: Tuple, the shape of a batch of events.
            condition_shape: Not looked at.
        """
        return (x_shape[0], math.prod(x_shape[1:])), (x_shape[0],)

    def to_noise(self, x, condition=None):
        done, total = [], 0.0
        for i, (level, shape) in enumerate(zip(self.bijectors, self.level_shapes, strict=True)):
            x, log_det = level(x) if condition is None else level(x, condition)
            total = total + log_det
            if i + 1 < len(self.bijectors):
                x, finished = ops.split(x, [shape[-1] // 2], axis=-1)
                done.append(_flat(finished))
        return ops.concatenate([*done, _flat(x)], axis=-1), total

    def from_noise(self, z, condition=None):
        shapes = [(*shape[:-1], shape[-1] - shape[-1] // 2) for shape in self.level_shapes[:-1]]  # of what is done
        ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
        *done, x = ops.split(z, ends, axis=-1) if ends else [z]
        x, total = self.bijectors[-1].from_noise(ops.reshape(x, (-1, *self.level_shapes[-1])), condition)
        for level, shape, finished in reversed(list(zip(self.bijectors, shapes, done, strict=False))):
            x = ops.concatenate([x, ops.reshape(finished, (-1, *shape))], axis=-1)
            x, log_det = level.from_noise(x, condition)
            total = total + log_det
        return x, total

    def initialize_from_data(self, x, condition=None):
        """Lets each level set its weights from what becomes of the events.

        Args:
            x: A few hundred events.
            condition: Their conditions. Defaults to `None`.
        """
        for level in self.bijectors:
            level.initialize_from_data(x, condition)
            x, _ = level(x) if condition is None else level(x, condition)
            x = x[..., : x.shape[-1] // 2]

    def get_config(self):
        config = super().get_config()
        levels = config.pop("bijectors")
        return {**config, "levels": levels}


def _flat(x):
    return ops.reshape(x, (ops.shape(x)[0], -1))
