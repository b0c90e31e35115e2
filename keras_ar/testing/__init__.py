"""The conformance kit: does a model, a head, a bijector or a layer, ours or yours, keep what keras_ar promises?"""

from keras_ar.testing import any_order, bijectors, elsewhere, heads, layers, models, statistics, tools
from keras_ar.testing.parametrize import checks_for, parametrize_with_checks
from keras_ar.testing.tools import all_events, prepare

__all__ = [
    "all_events",
    "any_order",
    "bijectors",
    "checks_for",
    "elsewhere",
    "heads",
    "layers",
    "models",
    "parametrize_with_checks",
    "prepare",
    "statistics",
    "tools",
]
