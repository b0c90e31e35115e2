"""The conformance kit as pytest tests."""

import functools

import keras

from keras_ar.density import DensityModel
from keras_ar.heads import Head
from keras_ar.testing import checks


def checks_for(component, input_shape=(6, 2)):
    """The checks that apply to a component: functions without arguments, by name.

    Needs no pytest.

    Args:
        component: A model, a head or a causal layer.
        input_shape: For a layer, the shape of its input without the batch:
            positions first, features last.

    Returns:
        Dictionary from the check's name to a function that raises
        `AssertionError` where the component fails it.

    Example:

    >>> found = keras_ar.testing.checks_for(keras_ar.heads.Bernoulli())
    >>> found["check_head_normalised"]()
    """
    if isinstance(component, DensityModel):
        applicable, arguments = checks.MODEL_CHECKS, {}
    elif isinstance(component, Head):
        applicable, arguments = checks.HEAD_CHECKS, {}
    elif isinstance(component, keras.layers.Layer):
        applicable, arguments = checks.LAYER_CHECKS, {"input_shape": input_shape}
    else:
        raise ValueError(f"`component` must be a model, a head or a layer. Received: {component!r}.")
    return {
        check.__name__: functools.partial(check, component, **arguments)
        for check, applies in applicable.items()
        if applies(component)
    }


def parametrize_with_checks(components, *, input_shape=(6, 2), expected_failures=None):
    """Decorator that runs a test once for each component and each check that applies to it.

    Args:
        components: Models, heads and causal layers. Models should be small: at most
            4096 events.
        input_shape: Shape of the layers' input without the batch.
        expected_failures: Function of a component that returns a dictionary from
            names of checks to the reason why it is expected to fail them.

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
        for name, check in checks_for(component, input_shape).items():
            marks = [pytest.mark.xfail(reason=expected[name], strict=True)] if name in expected else []
            cases.append(pytest.param(check, id=f"{getattr(component, 'name', component)}-{name}", marks=marks))
    return pytest.mark.parametrize("check", cases)
