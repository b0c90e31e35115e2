"""The conformance kit: does a model, a head or a layer, ours or yours, keep what keras_ar promises?"""

from keras_ar.testing.parametrize import checks_for, parametrize_with_checks

__all__ = ["checks_for", "parametrize_with_checks"]
