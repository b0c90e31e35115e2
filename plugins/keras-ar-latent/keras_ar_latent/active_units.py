"""ActiveUnits: how many latent variables say something of events."""

import keras
from keras import ops

__all__ = ["ActiveUnits"]


@keras.saving.register_keras_serializable(package="keras_ar_latent")
class ActiveUnits(keras.metrics.Metric):
    """How many latent variables differ from event to event: whose posterior mean has a variance above a threshold.

    Args:
        num_units: Integer, the number of latent variables.
        threshold: Float, the least variance of an active one. Defaults to `0.01`.
        name: String. Defaults to `"active_units"`.

    Example:

    >>> metric = keras_ar_latent.ActiveUnits(2)
    >>> metric.update_state(np.array([[1.0, 0.01], [-1.0, 0.0]]))
    >>> float(metric.result())
    1.0

    Reference:
        [Burda et al., 2016](https://arxiv.org/abs/1509.00519), section 5.2.
    """

    def __init__(self, num_units, *, threshold=0.01, name="active_units"):
        super().__init__(name=name)
        self.num_units, self.threshold = num_units, threshold
        self._count = self.add_variable((), "zeros", name="count")
        self._sum = self.add_variable((num_units,), "zeros", name="sum")
        self._squares = self.add_variable((num_units,), "zeros", name="squares")

    def update_state(self, means, sample_weight=None):
        """Takes the posterior means of a batch of events, `(batch, num_units)`."""
        means = ops.cast(means, "float32")
        self._count.assign_add(ops.cast(ops.shape(means)[0], "float32"))
        self._sum.assign_add(ops.sum(means, axis=0))
        self._squares.assign_add(ops.sum(ops.square(means), axis=0))

    def result(self):
        count = ops.maximum(self._count, 1.0)
        variances = self._squares / count - ops.square(self._sum / count)
        return ops.sum(ops.cast(variances > self.threshold, "float32"))

    def get_config(self):
        return {**super().get_config(), "num_units": self.num_units, "threshold": self.threshold}
