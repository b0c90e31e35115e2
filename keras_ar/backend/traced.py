"""Loops on torch: a step that runs often is traced, and then runs without all that Python and Keras add to it.

What is traced is a step as a graph of torch's own operations, with everything that it reads as inputs: its number,
what it is given, what the loop carries, and the weights. From the graph goes what changes nothing; a product and a
sum become one operation; what is the same in all steps is computed once, before the loop; and what the loop carries
is written to in place. A step whose course depends on the value of a tensor cannot be traced: it runs as it is.
"""

import types

import keras
import torch
from keras import tree
from torch import fx
from torch.fx.experimental.proxy_tensor import make_fx

FROM_STEPS = 300  # of one kind, with those of earlier runs: from so many on, tracing takes less time than it saves
_MOST = 8  # traces that are kept, of as many sets of shapes

_aten = torch.ops.aten
_IDLE = {_aten.clone.default, _aten.lift_fresh_copy.default, _aten.view.default, _aten.expand.default}
_IDLE |= {_aten._unsafe_view.default, _aten.alias.default, _aten.detach.default}


class Loop:
    """`carry, y = body(t, carry, row, *constants)` for each step of a range.

    Args:
        owner: The layer or model whose weights the body reads.
    """

    def __init__(self, owner):
        self._owner = owner
        self._kinds = {}  # by shapes: how many steps have run, or what runs them faster, or `None` if nothing does

    def __call__(self, body, first, last, carry, rows, constants):
        traced = None if torch.is_grad_enabled() else self._traced(body, last - first, carry, rows, constants)
        if traced:
            return traced(first, last, carry, rows, constants)
        ys = []
        for t in range(first, last):
            carry, y = body(t, carry, tree.map_structure(lambda x: x[t - first], rows), *constants)  # noqa: B023
            ys.append(y)
        return carry, ys

    def _traced(self, body, num_steps, carry, rows, constants):
        example = (carry, tree.map_structure(lambda x: x[0], rows), tree.map_structure(torch.as_tensor, constants))
        kind = str(tree.map_structure(lambda x: (*x.shape, x.dtype, x.device), example))
        found = self._kinds.pop(kind, 0)
        if isinstance(found, int):
            found += num_steps
            if found >= FROM_STEPS:
                found = _trace(self._owner, body, *example)
        self._kinds[kind] = found  # as the latest; the eldest is forgotten
        if len(self._kinds) > _MOST:
            self._kinds.pop(next(iter(self._kinds)))
        return None if isinstance(found, int) else found


def _trace(owner, body, carry, row, constants):
    """A function of `(first, last, carry, rows, constants)`; `None` where a step cannot be traced."""
    variables = owner.variables
    t = torch.zeros((), dtype=torch.int32, device=tree.flatten(carry)[0].device)
    example = (t, row, carry, constants, [variable.value.detach() for variable in variables])

    def step(*flat):
        t, row, carry, constants, values = tree.pack_sequence_as(example, flat)
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            carry, y = body(t, carry, row, *constants)
        return [y, *(x.contiguous() for x in tree.flatten(carry))]  # which the next step's operations rely on

    # Without mutations, as a graph of values only, it is safe to move and to drop operations.
    pure = torch.func.functionalize(step)
    try:
        # No tensor twice, as they are told apart by identity.
        flat = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in tree.flatten(example)]
        module = make_fx(pure, tracing_mode="fake", decomposition_table=_SIMPLER)(*flat)
        loop = _TracedLoop(variables, module, example)
        loop(0, 1, carry, tree.map_structure(lambda x: x[None], row), constants)
    except Exception:  # such as for the value of a tensor; what is wrong in the step itself shows when it runs
        return None
    return loop


class _TracedLoop:
    def __init__(self, variables, module, example):
        self._variables = variables
        _drop_what_changes_nothing(module.graph)
        _fuse_products_and_sums(module.graph)
        inputs = iter([node for node in module.graph.nodes if node.op == "placeholder"])
        t, row, carry, constants, weights = ([next(inputs) for _ in tree.flatten(part)] for part in example)
        y, *following = module.graph.output_node().args[0]
        # What a step hands on as it was given does not change at all.
        self._changes = [before is not after for before, after in zip(carry, following, strict=True)]
        changing, kept = self._divide(carry)
        following, _ = self._divide(following)
        module.graph.output_node().args = ([y, *following],)
        module.graph.eliminate_dead_code()
        _write_in_place(changing, following)

        inputs = [*kept, *constants, *weights]
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
        self._step = _part(module, [*t, *row, *changing, *needed], others, [y, *following])

    def _divide(self, carry):
        """Of what is carried, what changes and what does not."""
        pairs = list(zip(carry, self._changes, strict=True))
        return [one for one, changes in pairs if changes], [one for one, changes in pairs if not changes]

    def __call__(self, first, last, carry, rows, constants):
        flat = tree.flatten(carry)
        changing, kept = self._divide(flat)
        ys = []
        with torch.inference_mode():
            constants = [torch.as_tensor(constant) for constant in tree.flatten(constants)]
            same = [*kept, *constants, *(variable.value for variable in self._variables)]
            needed = self._before(*(x.contiguous() for x in same))
            changing = [x.clone(memory_format=torch.contiguous_format) for x in changing]  # the caller's own stay
            steps = torch.arange(first, last, dtype=torch.int32, device=flat[0].device)
            rows = [x[: last - first].contiguous().unbind() for x in (steps, *tree.flatten(rows))]
            for given in zip(*rows, strict=True):
                y, *changing = self._step(*given, *changing, *needed)
                ys.append(y)
        changing = iter([x.clone() for x in changing])  # whatever is made in inference mode can do nothing else
        flat = [next(changing) if changes else x for x, changes in zip(flat, self._changes, strict=True)]
        return tree.pack_sequence_as(carry, flat), ys


def _part(module, inputs, nodes, outputs):
    """The function of some nodes of a graph that computes others."""
    graph, copies = fx.Graph(), {}
    for node in inputs:
        copies[node] = graph.placeholder(node.name)
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
        copies[node].target = _called_directly(node.target)
    graph.output([copies[node] for node in outputs])
    return fx.GraphModule(module, graph).forward


def _called_directly(operation):
    """The function of torch that stands for an operation, if there is one: Python calls it in half the time."""
    if isinstance(operation, torch._ops.OpOverload):
        name = operation._schema.name.removeprefix("aten::")
        for function in (getattr(torch, name, None), getattr(torch.Tensor, name, None)):
            if isinstance(function, types.BuiltinFunctionType | types.MethodDescriptorType):
                return function
    return operation


def _drop_what_changes_nothing(graph):
    """Copies, which no graph without mutations needs, and views of the same shape."""
    for node in graph.nodes:
        if node.target in _IDLE:
            before, after = node.args[0].meta["val"], node.meta["val"]
            if before.shape == after.shape and before.stride() == after.stride():
                node.replace_all_uses_with(node.args[0])
    graph.eliminate_dead_code()


def _fuse_products_and_sums(graph):
    for node in graph.nodes:
        if node.target is _aten.add.Tensor and not node.kwargs:
            for product, other in (node.args, node.args[::-1]):
                if _is_fusible(product, other, node.meta["val"]):
                    node.target, node.args = _aten.addmm.default, (other, *product.args)
                    break
    graph.eliminate_dead_code()


def _is_fusible(product, other, total):
    # In half precision a sum is rounded otherwise than a product and a sum.
    return (
        getattr(product, "target", None) is _aten.mm.default
        and len(product.users) == 1
        and isinstance(other, fx.Node)
        and other.meta["val"].dtype == total.dtype == torch.float32
        and product.meta["val"].shape == total.shape
    )


def _write_in_place(carry, following):
    """Where all that becomes of a carried tensor is that some entries are written to, behind all that read it."""
    for before, after in zip(carry, following, strict=True):
        if after.target is _aten.index_put.default and after.args[0] is before and len(after.users) == 1:
            readers = [user for user in before.users if user is not after]
            if following.count(after) == 1 and all(user < after and not _is_view(user) for user in readers):
                after.target = _aten.index_put_.default


def _is_view(node):
    return any(result.alias_info is not None for result in node.target._schema.returns)


def _split(x, size, dim=0):
    return _aten.split_with_sizes(x, [size] * (x.shape[dim] // size), dim)


# `torch.split` is a function of Python; this one is not.
_SIMPLER = {_aten.split.Tensor: _split}
