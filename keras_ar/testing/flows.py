"""The claims that every flow must meet beyond those of a density model."""

import numpy as np
from keras import ops

from keras_ar import backend
from keras_ar.flow import FlowModel
from keras_ar.testing import tools

__all__ = ["FLOW_CHECKS"]

_MOST_DIMS = 64  # of a Jacobian


def check_flow_inverts(model):
    """Events come back from the noise that they become, with the same log-determinant."""
    model = tools.prepare(model)
    events, *condition = _batch(model, 8)
    z, log_det = tools.computed(model.to_noise, events, *condition, owner=model)
    back, same = tools.computed(model.from_noise, z, *condition, owner=model)
    error = np.abs(back - events).max()
    assert error < 1e-3 * (1 + np.abs(events).max()), f"`from_noise` of {model.name} is off by {error:.3g}."
    error = np.abs(same - log_det).max()
    assert error < 1e-3 * (1 + np.abs(log_det).max()), (
        f"`to_noise` and `from_noise` of {model.name} must return the same log-determinant. They differ by {error:.3g}."
    )


def check_flow_changes_variables(model):
    """The log-likelihood is that of the noise under the base, plus the log-determinant of the Jacobian."""
    model, count = tools.prepare(model), 3
    events, *condition = _batch(model, count)
    z, _ = tools.computed(model.to_noise, events, *condition, owner=model)
    # Of a map without a gradient it is that of the other way.
    function, start, sign = (model.to_noise, events, 1) if model.differentiable else (model.from_noise, z, -1)
    conditions = [ops.convert_to_tensor(c) for c in condition]
    jacobian = backend.jacobian(lambda x: function(x, *conditions)[0], start)
    jacobian = jacobian.reshape(count, model.num_dims, count, model.num_dims)[np.arange(count), :, np.arange(count)]
    log_det = sign * np.linalg.slogdet(jacobian.astype("float64"))[1]
    expected = tools.computed(model.base_log_prob, z, *condition, owner=model) + log_det
    found = tools.score(model, events, model.random_batch(count)[1:])
    error = np.abs(found - expected).max()
    assert error < 2e-3 * (1 + np.abs(expected).max()), (
        f"The log-likelihood of {model.name} must be that of its noise plus log |det dz/dx|, here {expected[0]:.5g}. "
        f"Received: {found[0]:.5g} (off by up to {error:.3g})."
    )


def _batch(model, count):
    """Random events, and conditions as `to_noise` takes them."""
    events, *condition = model.random_batch(count)
    return [events, *(ops.convert_to_numpy(c) for c in model.encode_condition(*condition or [None]))]


FLOW_CHECKS = {
    check_flow_inverts: lambda model: isinstance(model, FlowModel),
    check_flow_changes_variables: lambda model: isinstance(model, FlowModel) and model.num_dims <= _MOST_DIMS,
}
