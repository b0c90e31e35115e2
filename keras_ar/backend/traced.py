"""Loops on torch: a step that runs often is traced, and then runs without the overhead of Python and Keras.

What is traced is a step as a graph of torch's own operations, with everything that it reads as inputs: its number,
its row, what the loop carries, the constants and the weights. From the graph we remove what changes nothing. A
product and a sum become one operation. What is the same in all steps is computed once, before the loop. What the loop
carries is written to in place. A step whose course depends on the value of a tensor cannot be traced: it runs as it is.

Why not `torch.compile` or CUDA graphs? A step is some hundred operations on a few numbers each: it costs what it takes
to launch them, not what they compute. `torch.compile` removes that cost, but needs a C++ compiler on the user's
machine, and time for each new batch size: for a WaveNet of 12 blocks a hundred times as long as a trace, which itself
takes as long as a few hundred steps. CUDA graphs exist on some devices only, and want all tensors at fixed addresses. A
traced step is a Python function that calls torch's operations one by one, on any device.

What to do when torch moves: what torch does not promise is `make_fx`, the names of operations in `torch.ops.aten`, and
their `_schema`. A name that is gone is an `AttributeError` on import. An operation that is decomposed into others than
those that we look for only costs speed, which `benchmarks/speed.py` shows. Each pass (`_drop_idle`,
`_fuse_products_and_sums`, `_write_in_place`, `_called_directly`) can be left out by itself, and the others still give
the same values. If tracing fails as a whole, steps run as they are, and the log says why
(`logging.getLogger("keras_ar")`, level `INFO`); `tests/test_traced.py` knows which models must be traced.
"""

import logging
import types

import keras
import torch
from keras import tree
from torch import fx
from torch.fx.experimental.proxy_tensor import make_fx

__all__ = ["FROM_STEPS", "Loop"]

FROM_STEPS = 300  # of one kind, counting earlier runs: from then on, tracing takes less time than it saves
_MAX_KINDS = 8  # whose traces are kept

_log = logging.getLogger("keras_ar")
_aten = torch.ops.aten
_IDLE = {_aten.clone.default, _aten.lift_fresh_copy.default, _aten.view.default, _aten.expand.default}
_IDLE |= {_aten._unsafe_view.default, _aten.alias.default, _aten.detach.default}


class _Kind:
    """Steps whose tensors have the same shapes: how many have run, and what runs them faster."""

    def __init__(self):
        self.num_steps = 0
        self.is_tried = False  # whether tracing has been
        self.trace = None  # `None` before that, and where it failed


class Loop:
    """`carry, y = body(t, carry, row, *constants)` for each step of a range.

    Args:
        owner: The layer or model whose weights the body reads, or `None`.

    Call arguments:
        body: A pure function of tensors.
        first: Integer, the first step.
        last: Integer, one more than the last step.
        carry: What the first step is given, a nest of tensors.
        rows: A nest of tensors; step `t` is given their entry `t - first`.
        constants: What all steps are given: a sequence of nests of tensors and integers.

    Returns:
        The last carry, and a list of the `y` of all steps.

    Example:

    >>> import torch
    >>> loop = keras_ar.backend.traced.Loop(owner=None)
    >>> total, sums = loop(lambda t, total, x: (total + x, total + x), 0, 3, torch.zeros(()), torch.ones(3), ())
    >>> [float(s) for s in sums]
    [1.0, 2.0, 3.0]
    """

    def __init__(self, owner):
        self.owner = owner
        self.kinds = {}  # by shapes, the latest last

    def __call__(self, body, first, last, carry, rows, constants):
        trace = None if torch.is_grad_enabled() else self._trace_for(body, last - first, carry, rows, constants)
        if trace:
            return trace(first, last, carry, rows, constants)
        ys = []
        for t in range(first, last):
            carry, y = body(t, carry, tree.map_structure(lambda x: x[t - first], rows), *constants)  # noqa: B023
            ys.append(y)
        return carry, ys

    def _trace_for(self, body, num_steps, carry, rows, constants):
        example = (carry, tree.map_structure(lambda x: x[0], rows), tree.map_structure(torch.as_tensor, constants))
        shapes = str(tree.map_structure(lambda x: (*x.shape, x.dtype, x.device), example))
        kind = self.kinds[shapes] = self.kinds.pop(shapes, None) or _Kind()
        if len(self.kinds) > _MAX_KINDS:
            del self.kinds[next(iter(self.kinds))]  # the one that has not run for longest
        kind.num_steps += num_steps
        if kind.num_steps >= FROM_STEPS and not kind.is_tried:
            kind.is_tried = True
            kind.trace = _trace(self.owner, body, *example)
        return kind.trace


def _trace(owner, body, carry, row, constants):
    """A function of `(first, last, carry, rows, constants)`; `None` where a step cannot be traced."""
    variables = [] if owner is None else owner.variables
    t = torch.zeros((), dtype=torch.int32, device=tree.flatten(carry)[0].device)
    example = (t, row, carry, constants, [variable.value.detach() for variable in variables])

    def step(*flat):
        t, row, carry, constants, values = tree.pack_sequence_as(example, flat)
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            carry, y = body(t, carry, row, *constants)
        return [y, *(x.contiguous() for x in tree.flatten(carry))]  # which the next step's operations rely on

    # In a graph without mutations it is safe to move and to drop operations.
    pure = torch.func.functionalize(step)
    try:
        # All different tensors, because `make_fx` knows them by identity.
        flat = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in tree.flatten(example)]
        module = make_fx(pure, tracing_mode="fake", decomposition_table=_SIMPLER)(*flat)
        loop = _TracedLoop(variables, module, example)
        loop(0, 1, carry, tree.map_structure(lambda x: x[None], row), constants)
    except Exception as error:  # such as for the value of a tensor; what is wrong in the step itself shows when it runs
        _log.info("A step of %s is not traced, and runs as it is: %s", getattr(owner, "name", owner), error)
        return None
    return loop


class _TracedLoop:
    """A loop over a traced step, in two functions: what all steps share, and the step."""

    def __init__(self, variables, module, example):
        self._variables = variables
        _drop_idle(module.graph)
        _fuse_products_and_sums(module.graph)
        inputs = iter([node for node in module.graph.nodes if node.op == "placeholder"])
        t, row, carry, constants, weights = ([next(inputs) for _ in tree.flatten(part)] for part in example)
        y, *following = module.graph.output_node().args[0]
        _write_in_place(carry, following)

        inputs = [*constants, *weights]
        known, same, others = set(inputs), [], []
        for node in module.graph.nodes:
            if node.op in ("placeholder", "output"):
                continue
            if known.issuperset(node.all_input_nodes):
                known.add(node)
                same.append(node)
            else:
                others.append(node)
        needed = [node for node in [*inputs, *same] if not known.issuperset(node.users)]
        self._before = _part(module, inputs, same, needed)
        self._step = _part(module, [*t, *row, *carry, *needed], others, [y, *following])

    def __call__(self, first, last, carry, rows, constants):
        changing, ys = tree.flatten(carry), []
        with torch.inference_mode():
            constants = [torch.as_tensor(constant) for constant in tree.flatten(constants)]
            same = [*constants, *(variable.value for variable in self._variables)]
            needed = self._before(*(x.contiguous() for x in same))
            changing = [x.clone(memory_format=torch.contiguous_format) for x in changing]  # the caller's own stay
            steps = torch.arange(first, last, dtype=torch.int32, device=changing[0].device)
            rows = [x[: last - first].contiguous().unbind() for x in (steps, *tree.flatten(rows))]
            for given in zip(*rows, strict=True):
                y, *changing = self._step(*given, *changing, *needed)
                ys.append(y)
        # Clones, because tensors that were made in inference mode are of no use outside of it.
        return tree.pack_sequence_as(carry, [x.clone() for x in changing]), ys


def _part(module, inputs, nodes, outputs):
    """A function from some nodes of a graph to others."""
    graph, copies = fx.Graph(), {}
    for node in inputs:
        copies[node] = graph.placeholder(node.name)
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
        copies[node].target = _called_directly(node.target)
    graph.output([copies[node] for node in outputs])
    return fx.GraphModule(module, graph).forward


def _called_directly(operation):
    """The function of torch that does the same as an operation, if there is one: Python calls it in half the time."""
    if isinstance(operation, torch._ops.OpOverload):
        name = operation._schema.name.removeprefix("aten::")
        for function in (getattr(torch, name, None), getattr(torch.Tensor, name, None)):
            if isinstance(function, types.BuiltinFunctionType | types.MethodDescriptorType):
                return function
    return operation


def _drop_idle(graph):
    """Drops copies, which no graph without mutations needs, and views of the same shape."""
    for node in graph.nodes:
        if node.target in _IDLE:
            before, after = node.args[0].meta["val"], node.meta["val"]
            if before.shape == after.shape and before.stride() == after.stride():
                node.replace_all_uses_with(node.args[0])
    graph.eliminate_dead_code()


def _fuse_products_and_sums(graph):
    """Computes a product and a sum as one operation."""
    for node in graph.nodes:
        if node.target is _aten.add.Tensor and not node.kwargs:
            for product, other in (node.args, node.args[::-1]):
                if _is_fusible(product, other, node.meta["val"]):
                    node.target, node.args = _aten.addmm.default, (other, *product.args)
                    break
    graph.eliminate_dead_code()


def _is_fusible(product, other, total):
    # In half precision the fused operation rounds once, the two operations twice.
    return (
        getattr(product, "target", None) is _aten.mm.default
        and len(product.users) == 1
        and isinstance(other, fx.Node)
        and other.meta["val"].dtype == total.dtype == torch.float32
        and product.meta["val"].shape == total.shape
    )


def _write_in_place(carry, following):
    """Updates a carried tensor in place, if the step only writes some of its entries, after its last read."""
    for before, after in zip(carry, following, strict=True):
        if after.target is _aten.index_put.default and after.args[0] is before and len(after.users) == 1:
            readers = [user for user in before.users if user is not after]
            if following.count(after) == 1 and all(user < after and not _is_view(user) for user in readers):
                after.target = _aten.index_put_.default


def _is_view(node):
    return any(result.alias_info is not None for result in node.target._schema.returns)


def _split(x, size, dim=0):
    return _aten.split_with_sizes(x, [size] * (x.shape[dim] // size), dim)


# `torch.split` is written in Python, and slower.
_SIMPLER = {_aten.split.Tensor: _split}
