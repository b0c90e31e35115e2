"""Training steps on torch: a step that runs often is traced, and then runs without Keras and autograd.

What is traced is the loss of a batch and its gradient, as one graph of torch's own operations that reads the weights
where they are. Small models gain the most: half of their step is the overhead of Python.

A graph holds what Python decided while it was traced. So it is used only where that stays: a step that changes any
variable, as random numbers, moving averages and metrics do, stays as it is; one that asks for a value of a tensor
cannot be traced. A new graph is compared with the step itself on three batches, and used only if it has given the same
loss and gradients, to the last bit, and in less time: so it changes nothing but the time.
"""

import logging
import time

import torch
from keras import tree
from torch.fx.experimental.proxy_tensor import make_fx

__all__ = ["FROM_STEPS", "LEAST_GAIN", "Gradients"]

FROM_STEPS = 30  # of one kind: from then on, tracing takes less time than it saves
_MAX_KINDS = 8  # whose graphs are kept
_NUM_COMPARED = 3  # batches
LEAST_GAIN = 0.95  # of the time of the step itself

_log = logging.getLogger("keras_ar")


class Gradients:
    """`gradients(model, function, batch)` is what the function returns, and the gradients of its first result.

    It is `None` as long as, or wherever, the step is to run as it is.

    Call arguments:
        model: A Keras model, whose trainable variables the gradients are of.
        function: Of the batch, a pure function that returns a nest of tensors, of which the first is the loss.
        batch: A nest of tensors and `None`.

    Example:

    >>> model = keras_ar.models.FVSBN(2)
    >>> loss = lambda x: [-keras.ops.mean(model.log_prob(x))]
    >>> gradients = keras_ar.backend.training_traced.Gradients()
    >>> print(gradients(model, loss, keras.ops.zeros((3, 2), "int32")))
    None
    """

    def __init__(self):
        self.kinds = {}  # by shapes, the latest last
        self._variables = []  # of the last step: to find them in all layers of a model takes a while

    @property
    def num_graphs(self):
        """How many graphs are in use."""
        return sum(kind.is_trusted for kind in self.kinds.values())

    def apply(self, model, gradients):
        """Lets the optimizer of the model take a step."""
        with torch.no_grad():
            model.optimizer.apply(gradients, self._variables)

    def __call__(self, model, function, batch):
        given = tree.flatten(batch)
        key = str([x if x is None else (tuple(x.shape), x.dtype, x.device) for x in given])
        self._variables = model.trainable_variables
        weights = [variable.value for variable in self._variables]
        kind = self.kinds.pop(key, None)
        if kind is None or not kind.is_of(weights):
            kind = _Kind(weights)
        self.kinds[key] = kind
        if len(self.kinds) > _MAX_KINDS:
            del self.kinds[next(iter(self.kinds))]
        return kind(model, function, batch, [x for x in given if x is not None])


class _Kind:
    """Steps whose batches have the same shapes, of the same weights."""

    def __init__(self, weights):
        self.weights = weights
        self.num_steps = self.num_compared = 0
        self.graph = self.structure = None
        self.seconds, self.seconds_traced = [], []
        self.stays_as_it_is = not weights

    @property
    def is_trusted(self):
        return self.graph is not None and self.num_compared == _NUM_COMPARED

    def is_of(self, weights):
        return len(weights) == len(self.weights) and all(a is b for a, b in zip(weights, self.weights, strict=True))

    def __call__(self, model, function, batch, inputs):
        self.num_steps += 1
        if self.stays_as_it_is or self.num_steps <= FROM_STEPS:
            return None
        if not self.is_trusted:
            return self._compare(model, function, batch, inputs)
        with torch.no_grad():
            return self._packed(self.graph(*inputs))

    def _compare(self, model, function, batch, inputs):
        """The step as it is, after which the graph is made, or compared with it."""
        flat = self._flat(function, batch)
        variables = [*model.non_trainable_variables, *model.metrics_variables]
        before = [variable.value.clone() for variable in variables]
        random = _random_state()
        expected, seconds = _timed(flat, inputs)
        random_afterwards = _random_state()
        if any(not torch.equal(variable.value, value) for variable, value in zip(variables, before, strict=True)):
            self._leave(model, "It changes variables.", level=logging.INFO)
            return self._packed(expected)
        try:
            if self.graph is None:
                _set_random_state(random)
                self.graph = make_fx(flat)(*inputs)
            _set_random_state(random)
            with torch.no_grad():
                found, seconds_traced = _timed(self.graph, inputs)
        except Exception as error:  # of whatever kind: somebody's model may do anything in its `call`
            self._leave(model, f"{type(error).__name__}: {error}")
            return self._packed(expected)
        finally:
            _set_random_state(random_afterwards)
        self.seconds.append(seconds)
        self.seconds_traced.append(seconds_traced)
        self.num_compared += 1
        if not all(map(_are_the_same, expected, found)):
            self._leave(model, "The trace gives other values.")
        elif self.is_trusted and min(self.seconds_traced) > LEAST_GAIN * min(self.seconds):
            self._leave(model, "The trace takes as long.", level=logging.INFO)
        return self._packed(expected)

    def _flat(self, function, batch):
        """The function and its gradients, of the tensors of a batch: lists of tensors and `None`."""

        def flat(*inputs):
            of_batch = iter(inputs)
            # Not `map_structure`: in it, torch has no leaves that are `None`.
            given = tree.pack_sequence_as(batch, [x if x is None else next(of_batch) for x in tree.flatten(batch)])
            with torch.enable_grad():
                results = function(given)
                loss, *others = tree.flatten(results)
                gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
            # In the order in memory that `backward` gives them: sums over them are the same to the last bit.
            gradients = [x if x is None else x.contiguous() for x in gradients]
            self.structure = tree.map_structure(lambda x: 0, results)
            return [loss.detach(), *(x.detach() for x in others), *gradients]

        return flat

    def _packed(self, flat):
        num_results = len(tree.flatten(self.structure))
        return tree.pack_sequence_as(self.structure, flat[:num_results]), flat[num_results:]

    def _leave(self, model, cause, level=logging.WARNING):
        self.graph, self.stays_as_it_is = None, True
        _log.log(level, "Steps of training of %s are not traced. %s", model.name, cause)


def _timed(function, inputs):
    """The results, and the seconds that they took, until the device has them."""
    start = time.perf_counter()
    found = function(*inputs)
    float(found[0])
    return found, time.perf_counter() - start


def _random_state():
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def _set_random_state(state):
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])


def _are_the_same(expected, found):
    """Whether two tensors are the same to the last bit, or both `None`."""
    if expected is None or found is None:
        return expected is found
    return bool(torch.equal(expected.isnan(), found.isnan()) and torch.equal(expected.nan_to_num(), found.nan_to_num()))
