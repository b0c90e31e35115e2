"""The conformance kit as pytest tests."""

import functools

import keras

from keras_ar.bijectors import Bijector
from keras_ar.density import DensityModel
from keras_ar.heads import Head
from keras_ar.testing import bijectors, heads, layers, models

__all__ = ["checks_for", "parametrize_with_checks"]


def checks_for(component, input_shape=(6, 2), condition_shape=None):
    """The checks that apply to a component: functions without arguments, by name.

    Needs no pytest. A component may bring checks of its own: a method `extra_checks()` that returns a dictionary
    from names to functions without arguments, which raise `AssertionError`.

    Args:
        component: A `DensityModel`, a head, a bijector or a causal layer.
        input_shape: Tuple, the shape of a layer's input without the batch, positions first and features last; a list
            of shapes for a layer of several inputs. For a bijector, the shape of its events. Defaults to `(6, 2)`.
        condition_shape: Tuple, the shape of the condition that a bijector takes, or `None`. Defaults to `None`.

    Returns:
        Dictionary from the check's name to a function that raises
        `AssertionError` where the component fails it.

    Example:

    >>> found = keras_ar.testing.checks_for(keras_ar.heads.Bernoulli())
    >>> found["check_head_normalized"]()
    >>> len(found)
    9
    """
    if isinstance(component, DensityModel):
        checks, arguments = {check: applies(component) for check, applies in models.MODEL_CHECKS.items()}, {}
    elif isinstance(component, Head):
        checks, arguments = {check: applies(component) for check, applies in heads.HEAD_CHECKS.items()}, {}
    elif isinstance(component, Bijector):
        checks = {check: applies(component) for check, applies in bijectors.BIJECTOR_CHECKS.items()}
        arguments = {"event_shape": tuple(input_shape), "condition_shape": condition_shape}
    elif isinstance(component, keras.layers.Layer):
        checks = {check: applies(component, input_shape) for check, applies in layers.LAYER_CHECKS.items()}
        arguments = {"input_shape": input_shape}
    else:
        raise ValueError(f"`component` must be a model, a head, a bijector or a layer. Received: {component!r}.")
    found = {
        check.__name__: functools.partial(check, component, **arguments) for check, applies in checks.items() if applies
    }
    return {**found, **getattr(component, "extra_checks", dict)()}


def parametrize_with_checks(components, *, input_shape=(6, 2), condition_shape=None, expected_failures=None):
    """Decorator that runs a test once for each component and each check that applies to it.

    Args:
        components: List of models, heads, bijectors and causal layers. Models should be small: at most
            4096 events.
        input_shape: As in `checks_for`. Defaults to `(6, 2)`.
        condition_shape: As in `checks_for`. Defaults to `None`.
        expected_failures: Function of a component that returns a dictionary from
            names of checks to the reason why it is expected to fail them. Defaults to `None`.

    Example:

    ```python
    @keras_ar.testing.parametrize_with_checks([MyModel(event_shape=6), MyHead()])
    def test_conformance(check):
        check()
    ```
    """
    import pytest

    cases = []
    for component in components:
        expected = expected_failures(component) if expected_failures else {}
        for name, check in checks_for(component, input_shape, condition_shape).items():
            marks = [pytest.mark.xfail(reason=expected[name], strict=True)] if name in expected else []
            cases.append(pytest.param(check, id=f"{getattr(component, 'name', component)}-{name}", marks=marks))
    return pytest.mark.parametrize("check", cases)
