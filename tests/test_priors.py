"""A prior on weights is worth what it says, in nats per event, and `fit` finds the most probable weights."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_ar import DensityModel, GaussianPrior, Support, models

X = np.random.default_rng(0).integers(0, 2, (40, 5))


def log_normal(x, scale):
    return float((-0.5 * (x / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)).sum())


def test_the_loss_is_that_of_weights_and_events_together():
    model = models.FVSBN(5, kernel_regularizer=GaussianPrior(0.7, num_events=len(X)))
    kernel = model.regressions.kernel
    kernel.assign(np.random.default_rng(1).normal(size=kernel.shape))
    log_joint = model.score_samples(X).astype("float64").sum() + log_normal(ops.convert_to_numpy(kernel), 0.7)
    model.compile("sgd")
    for batch_size in (len(X), 8):  # in smaller batches the mean over an epoch
        found = model.evaluate(X, batch_size=batch_size, verbose=0, return_dict=True)
        assert found["loss"] == pytest.approx(-log_joint / len(X), rel=1e-5)
        nats = -model.score_samples(X).mean()
        assert found["bits_per_dim"] == pytest.approx(nats / 5 / np.log(2), rel=1e-5)
    assert float(model.train_on_batch(X, return_dict=True)["loss"]) == pytest.approx(-log_joint / len(X), rel=1e-5)


@keras.saving.register_keras_serializable(package="tests")
class Mean(DensityModel):
    """Normal variables of variance one, whose mean has a prior."""

    support = Support.reals()

    def __init__(self, event_shape, num_events, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.mean = self.add_weight((1,), "zeros", regularizer=GaussianPrior(0.5, num_events))

    def call(self, x):
        return -0.5 * ops.square(x - self.mean) - 0.5 * np.log(2 * np.pi)

    def log_prob_from(self, outputs, x):
        return outputs[:, 0]


def test_fit_finds_the_most_probable_mean():
    x = np.random.default_rng(0).normal(2.0, 1.0, (10, 1))
    model = Mean(1, num_events=10)
    model.compile(keras.optimizers.SGD(0.3))
    model.fit(x, batch_size=10, epochs=50, verbose=0)
    assert float(model.mean[0]) == pytest.approx(x.sum() / (10 + 1 / 0.5**2), abs=1e-4)


def test_a_model_with_a_prior_opens_from_its_file(tmp_path):
    model = models.FVSBN(5, kernel_regularizer=GaussianPrior(0.7, num_events=40))
    model.save(tmp_path / "model.keras")
    regularizer = keras.saving.load_model(tmp_path / "model.keras").regressions.kernel_regularizer
    assert regularizer.get_config() == {"scale": 0.7, "num_events": 40}
    for arguments, name in (((0.0, 10), "scale"), ((1.0, 0), "num_events")):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            GaussianPrior(*arguments)
