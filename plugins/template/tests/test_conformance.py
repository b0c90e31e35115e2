"""The plugin keeps what keras-ar promises."""

from keras_ar.testing import parametrize_with_checks
from keras_ar_template import CausalMean, Laplace, MeanNet, Standardize


@parametrize_with_checks([Laplace(), CausalMean(3), Standardize(), MeanNet(8), MeanNet(4, head=Laplace())])
def test_conformance(check):
    check()
