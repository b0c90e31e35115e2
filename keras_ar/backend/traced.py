"""Loops on torch: a step that runs often is traced, and then runs without the overhead of Python and Keras.

What is traced is a step as a graph of torch's own operations, with everything that it reads as inputs: its number,
its row, what the loop carries, the constants and the weights. From the graph we remove what changes nothing and what
is there twice. A product and a sum become one operation, and matrices are transposed as late as may be: mostly never.
What is the same in all steps is computed once, before the loop, and what follows from the rows for all steps at
once; what follows from the number of a step, once for all loops. What the loop carries is written to in place, and
results over operands that nobody reads any more.

A step may ask for the value of a number, where a row begins, or where a block of units is due. Such a number follows
from that of the step, and from the constants of the loop: what it follows from is a small graph, too. Steps that get
the same answers take the same *course*, and share a trace.

On a GPU each course is recorded as a CUDA graph, which costs one launch a step in place of a hundred.

Why not `torch.compile`? A step is some hundred operations on a few numbers each: it costs what it takes to launch
them, not what they compute. `torch.compile` removes that cost, but needs a C++ compiler on the user's machine, and time
for each new batch size: for a WaveNet of 12 blocks a hundred times as long as a trace, which itself takes as long as a
few hundred steps.

What to do when torch moves: what torch does not promise is `make_fx`, its proxies and their `tracing_mode`, the names
of operations in `torch.ops.aten`, and their `_schema`. A name of `aten` that is gone is an `AttributeError` on import.
An operation that is decomposed into others than those that we look for only costs speed, which `benchmarks/speed.py`
shows. Each pass (`_drop_idle`, `_transpose_late`, `_merge_equal`, `_fuse_products_and_sums`, `_keep_numbers`,
`_view_what_is_taken`, `_write_in_place`, `_reuse_memory`, `_called_directly`) can be left out by itself, and the others
still give the same values. If a step cannot be traced, it runs as it is, and the log says why
(`logging.getLogger("keras_ar")`, level `WARNING`); `tests/test_traced.py` knows that all models are traced.
"""

import collections
import concurrent.futures
import functools
import logging
import operator
import time
import types

import keras
import torch
from keras import tree
from torch import fx
from torch.fx.experimental.proxy_tensor import get_proxy_mode, get_proxy_slot, make_fx
from torch.overrides import TorchFunctionMode

from keras_ar.backend import replayed

__all__ = ["FROM_STEPS", "KEPT_STEPS", "Loop", "is_tracing"]

FROM_STEPS = 300  # of one kind, counting earlier runs: from then on, tracing takes less time than it saves
_MAX_KINDS = 8  # whose traces are kept
_MAX_COURSES = 100  # of a kind
KEPT_STEPS = 10_000  # whose numbers are kept: a stream has no end

_log = logging.getLogger("keras_ar")
_aten = torch.ops.aten
_IDLE = {_aten.clone.default, _aten.lift_fresh_copy.default, _aten.view.default, _aten.expand.default}
_IDLE |= {_aten._unsafe_view.default, _aten.alias.default, _aten.detach.default}


def is_tracing():
    """Whether a step is being traced: its tensors stand for others, and none with values of its own goes with them.

    Example:

    >>> keras_ar.backend.traced.is_tracing()
    False
    """
    mode = get_proxy_mode()
    return mode is not None and mode.tracing_mode == "fake"


class _Kind:
    """Steps whose tensors have the same shapes: how many have run, and what runs them faster."""

    def __init__(self):
        self.num_steps = 0
        self.trace = None  # a `_TracedLoop`, once there are enough


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
        The last carry, and the `y` of all steps, stacked.

    Example:

    >>> import torch
    >>> loop = keras_ar.backend.traced.Loop(owner=None)
    >>> total, sums = loop(lambda t, total, x: (total + x, total + x), 0, 3, torch.zeros(()), torch.ones(3), ())
    >>> sums.tolist()
    [1.0, 2.0, 3.0]
    """

    def __init__(self, owner):
        self.owner = owner
        self.kinds = {}  # by shapes, the latest last

    def __call__(self, body, first, last, carry, rows, constants):
        if not torch.is_grad_enabled() and get_proxy_mode() is None:  # within a step that is traced, it is a part of it
            trace = self._trace_for(body, last - first, carry, rows, constants)
            if trace:
                return trace(first, last, carry, rows, constants)
        ys = []
        for t in range(first, last):
            carry, y = body(t, carry, tree.map_structure(lambda x: x[t - first], rows), *constants)  # noqa: B023
            ys.append(y)
        return carry, torch.stack(ys)

    def _trace_for(self, body, num_steps, carry, rows, constants):
        example = (tree.map_structure(lambda x: x[0], rows), carry, tree.map_structure(torch.as_tensor, constants))
        shapes = str(tree.map_structure(lambda x: (*x.shape, x.dtype, x.device), example))
        kind = self.kinds[shapes] = self.kinds.pop(shapes, None) or _Kind()
        if len(self.kinds) > _MAX_KINDS:
            del self.kinds[next(iter(self.kinds))]  # the one that has not run for longest
        kind.num_steps += num_steps
        if kind.num_steps >= FROM_STEPS and not kind.trace:
            kind.trace = _TracedLoop(self.owner, body, example)
        is_of_no_use = kind.trace and kind.trace.has_failed and not kind.trace.num_courses
        return None if is_of_no_use else kind.trace


class _TracedLoop:
    """A loop over traced steps, one for each course that a step takes."""

    def __init__(self, owner, body, example):
        self._owner, self._body, self._example = owner, body, example
        self._variables = [] if owner is None else owner.variables
        self._courses = _Fork(None)
        self.replay = replayed.Replay() if replayed.is_possible(tree.flatten(example)[0].device) else None
        self._seconds = 0.0  # that the last trace took
        self.num_courses = 0
        self.has_failed = False

    def __call__(self, first, last, carry, rows, constants):
        with torch.inference_mode():
            constants = [torch.as_tensor(constant) for constant in tree.flatten(constants)]
            shared = [x.contiguous() for x in (*constants, *(variable.value for variable in self._variables))]
            given = [x.clone(memory_format=torch.contiguous_format) for x in tree.flatten(carry)]  # the caller's stay
            rows = [x[: last - first].contiguous() for x in tree.flatten(rows)]
            if not self.num_courses:
                self.step(min(last - 1, (first + last) // 2 | 1), constants)  # the usual course, we hope
            run = self._run if self.replay is None else functools.partial(self.replay.run, self)
            ys, given = run(range(first, last), given, rows, constants, shared)
        # Copies, because tensors that were made in inference mode are of no use outside of it.
        return tree.pack_sequence_as(carry, [x.clone() for x in given]), torch.stack(ys)

    def _run(self, steps, carry, rows, constants, shared):
        ys, needed, rows_of, found = [], {}, {}, {}
        for i, t in enumerate(steps):
            step = found.get(t) or self.step(t, constants)
            if step is None:
                y, *carry = self.as_it_is(t, [x[i] for x in rows], carry, constants)
            else:
                if step not in needed:
                    of_its_course = [later for later in steps[i:] if self.course(later, constants) is step]
                    found.update(dict.fromkeys(of_its_course, step))
                    step.count(of_its_course)
                    needed[step] = step.before(*shared)
                    rows_of[step] = [*zip(*(x.unbind() for x in step.rows(rows)), strict=True)] or [()] * len(steps)
                y, *carry = step.run(*step.numbers(t), *rows_of[step][i], *carry, *needed[step])
            ys.append(y)
        return ys, carry

    def as_it_is(self, t, row, carry, constants):
        """The result of a step that is not traced, and the next carry."""
        begin = time.perf_counter()
        nests = zip(self._example, (row, carry, constants), strict=True)
        row, carry, args = (tree.pack_sequence_as(nest, [*flat]) for nest, flat in nests)
        carry, y = self._body(t, carry, row, *args)
        self.course(t, constants).seconds += time.perf_counter() - begin
        return y, *(x.clone(memory_format=torch.contiguous_format) for x in tree.flatten(carry))

    def course(self, t, constants):
        """The `_TracedStep` for the course of step `t`, or an `_Untraced`."""
        return self._courses.find(t, constants)

    def step(self, t, constants):
        """The traced step for the course of step `t`; `None` where it is to run as it is."""
        found = self.course(t, constants)
        if isinstance(found, _TracedStep):
            return found
        # A trace is bought once its price has been paid in steps that ran as they are.
        if self.has_failed or self.num_courses == _MAX_COURSES or found.seconds < self._seconds:
            return None
        begin, asking = time.perf_counter(), _Asking(t, constants)
        try:
            step = _TracedStep(*self._graph(asking))
        except Exception as error:  # what is wrong in the step itself shows when it runs as it is
            name = getattr(self._owner, "name", self._owner)
            _log.warning("A step of %s is not traced, and runs as it is: %s", name, error)
            self.has_failed = True
            return None
        self._seconds = time.perf_counter() - begin
        self.num_courses += 1
        self._courses.add(asking.questions, step)
        return step

    def _graph(self, asking):
        """A step as a graph, and how many of its inputs are the step's number, row, carry, constants and weights."""
        row, carry, constants = self._example
        t = torch.zeros((), dtype=torch.int32, device=tree.flatten(carry)[0].device)
        example = (t, row, carry, constants, [variable.value.detach() for variable in self._variables])
        sizes = [len(tree.flatten(part)) for part in example]
        asking.first_constant, asking.num_constants = sum(sizes[:3]), sizes[3]

        def step(*flat):
            t, row, carry, constants, values = tree.pack_sequence_as(example, flat)
            with asking, keras.StatelessScope(state_mapping=list(zip(self._variables, values, strict=True))):
                carry, y = self._body(t, carry, row, *constants)
            return [y, *(x.contiguous() for x in tree.flatten(carry))]  # which the next step's operations rely on

        # In a graph without mutations it is safe to move and to drop operations.
        pure = torch.func.functionalize(step)
        # All different tensors, because `make_fx` knows them by identity.
        flat = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in tree.flatten(example)]
        return make_fx(pure, tracing_mode="fake", decomposition_table=_SIMPLER)(*flat), sizes


# Questions that a step asks.


class _Untraced:
    """A course that is not traced yet, and the seconds that its steps have taken so far."""

    def __init__(self):
        self.seconds = 0.0


class _Fork:
    """Where courses part: a question, and for each answer the traced step or the next fork."""

    def __init__(self, question):
        self._question, self._ways = question, collections.defaultdict(_Untraced)

    def find(self, t, constants):
        """The `_TracedStep`, or `_Untraced`, of the course of step `t`."""
        way = self._ways[self._question and self._question.answer(t, constants)]
        return way.find(t, constants) if isinstance(way, _Fork) else way

    def add(self, questions, step):
        """Adds a step, whose course is given by questions and their answers."""
        fork, answer = self, None
        for question, following in questions:
            if not isinstance(fork._ways[answer], _Fork):
                fork._ways[answer] = _Fork(question)
            fork, answer = fork._ways[answer], following
        fork._ways[answer] = step


class _Question:
    """A number that follows from that of a step, and from constants: a small graph, computed on the CPU."""

    def __init__(self, node, asking):
        ancestors, new = {node}, [node]
        while new:
            new = [before for found in new for before in found.all_input_nodes if before not in ancestors]
            ancestors.update(new)
        number, *others = (n for n in node.graph.nodes if n.op == "placeholder")
        self._has_number = number in ancestors
        places = [i + 1 - asking.first_constant for i, n in enumerate(others) if n in ancestors]
        if not all(0 <= place < asking.num_constants for place in places):
            raise ValueError("what it computes depends on the value of a tensor")
        self._constants = places

        graph, copies, root = fx.Graph(), {}, torch.nn.Module()
        for n in node.graph.nodes:
            if n in ancestors:
                copies[n] = graph.node_copy(n, copies.__getitem__)
                if "device" in n.kwargs:
                    copies[n].kwargs = {**n.kwargs, "device": torch.device("cpu")}
                if n.op == "get_attr":
                    root.register_buffer(n.target, getattr(get_proxy_mode().tracer.root, n.target).cpu())
        graph.output(copies[node])
        self._compute = fx.GraphModule(root, graph).forward
        self._answer_from_number = functools.lru_cache(KEPT_STEPS)(self._answer)

    def answer(self, t, constants):
        """The number, for step `t`."""
        if self._constants:
            return self._answer(t, *(constants[place].cpu() for place in self._constants))
        return self._answer_from_number(t)

    def _answer(self, t, *constants):
        number = [torch.tensor(t, dtype=torch.int32)] if self._has_number else []
        return self._compute(*number, *constants).item()


class _Asking(TorchFunctionMode):
    """Answers what a step asks while it is traced, and notes the questions."""

    def __init__(self, t, constants):
        super().__init__()
        self._t, self._constants_of_loop = t, constants
        self.first_constant = self.num_constants = 0  # among the inputs of the graph
        self.questions = []  # with their answers

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in _VALUES:
            return _VALUES[func](self._ask(args[0]))
        if func is torch.Tensor.__getitem__:
            args = _take_entries(*args)
        return func(*args, **(kwargs or {}))

    def _ask(self, x):
        inner = torch._from_functional_tensor(x) if torch._is_functional_tensor(x) else x
        question = _Question(get_proxy_slot(inner, get_proxy_mode().tracer).proxy.node, self)
        # In a thread of its own, because here all that runs is traced.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(question.answer, self._t, self._constants_of_loop).result()
        self.questions.append((question, answer))
        return answer


# What needs the value of a tensor, and what it makes of it.
_VALUES = {
    torch.Tensor.__bool__: bool,
    torch.Tensor.__index__: int,
    torch.Tensor.__int__: int,
    torch.Tensor.item: lambda value: value,
}


def _take_entries(x, index):
    """`(x, index)` without numbers that are tensors, whose values `x[index]` would need: their entries are taken."""
    items = list(index) if isinstance(index, tuple) else [index]
    axis = 0
    for place, item in enumerate(items):
        if isinstance(item, torch.Tensor) and item.ndim == 0 and item.dtype in (torch.int32, torch.int64):
            item = torch.where(item < 0, item + x.shape[axis], item)
            x = torch.index_select(x, axis, torch.reshape(item, (1,)))
            items[place] = 0
        axis += item is not None
    return x, tuple(items) if isinstance(index, tuple) else items[0]


# What a graph becomes.


class _TracedStep:
    """A step of one course, in parts: what all steps share, what follows from its number alone, and the rest.

    Attributes:
        before: A function from constants and weights to what of them, and what that follows from them, `run` needs.
        rows: A function from the rows of all steps to what `run` needs of them. On a CPU, what follows from rows alone
            is computed for all steps at once; on a GPU, where graphs read the rows themselves, in each step.
        run: A function of numbers, row, carry and what is needed; returns `y` and the next carry.
        places: Which of the numbers say where something is put: a place for each entry of a flattened tensor. On a
            CPU, where the places follow one another, the first alone; on a GPU the number of the block, where they
            are a block of a flattened tensor, will do.
    """

    def __init__(self, module, sizes):
        graph = module.graph
        inputs = iter([node for node in graph.nodes if node.op == "placeholder"])
        t, row, carry, constants, weights = ([next(inputs) for _ in range(size)] for size in sizes)
        _drop_idle(graph)
        _transpose_late(graph, {*constants, *weights} | _following(graph, [*constants, *weights]))
        _merge_equal(graph)
        _fuse_products_and_sums(graph)
        _keep_numbers(module)
        fixed = _following(graph, [])
        counted = _following(graph, t) - fixed
        counted |= _take_by_place(graph, counted)
        _view_what_is_taken(graph)
        places = _put_by_place(graph, counted)
        _merge_equal(graph)
        places &= {*graph.nodes}
        counted |= places
        _write_in_place(graph, carry)
        shared = _following(graph, [*constants, *weights]) - fixed
        _carry_copies(graph, carry, {*constants, *weights, *t, *fixed, *shared, *counted})
        y, *following = graph.output_node().args[0]
        body = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
        parts = {"fixed": [node for node in body if node in fixed], "shared": [node for node in body if node in shared]}
        parts["counted"] = [node for node in body if node in counted]
        device = carry[0].meta["val"].device
        of_row = set() if replayed.is_possible(device) else _following(graph, row) - fixed
        parts["of_row"] = [node for node in body if node in of_row]
        rest = [node for node in body if node not in fixed | shared | counted | of_row]
        _reuse_memory(rest)

        def used(nodes, by):
            return [node for node in nodes if not {*node.users}.isdisjoint(by)]

        outside = {*rest, graph.output_node()}
        of_fixed = used(parts["fixed"], {*parts["shared"], *parts["counted"], *of_row, *outside})
        with torch.inference_mode():
            values = dict(zip(of_fixed, _part(module, [], parts["fixed"], of_fixed)(), strict=True))
        needed = used([*constants, *weights, *of_fixed, *parts["shared"]], outside)
        numbers = used([*t, *parts["counted"]], outside)
        before = _part(module, [*constants, *weights, *of_fixed], parts["shared"], needed)
        count = _part(module, [*t, *of_fixed], parts["counted"], numbers, _AS_TENSORS)
        fixed_values = [values[node] for node in of_fixed]
        self.before = lambda *shared: before(*shared, *fixed_values)

        self._kept = {}  # loops go through the same steps again and again

        def numbers_of_all(steps):
            steps = torch.tensor(steps, dtype=torch.int32, device=device)
            columns = torch.vmap(count, (0, *(None for _ in of_fixed)))(steps, *fixed_values)
            return [_BY_STEP.get(node.target, torch.unbind)(x) for node, x in zip(numbers, columns, strict=True)]

        self._numbers_of_all, self._has_numbers = numbers_of_all, bool(numbers)
        rows = used([*row, *parts["of_row"]], outside)
        of_rows = _part(module, [*row, *of_fixed], parts["of_row"], rows)
        in_dims = (*(0 for _ in row), *(None for _ in of_fixed))
        self.rows = lambda found: torch.vmap(of_rows, in_dims)(*found, *fixed_values) if rows else []
        if not of_row:
            self.rows = lambda found: found
            rows = row
        self.run = _part(module, [*numbers, *rows, *carry, *needed], rest, [y, *following])
        self.places = [i for i, node in enumerate(numbers) if node in places]

    def count(self, steps):
        """Computes the numbers that follow from those of some steps, of this course, for all of them at once."""
        new = [t for t in steps if t not in self._kept][:KEPT_STEPS]
        if not new:
            return
        if len(self._kept) + len(new) > KEPT_STEPS:
            self._kept.clear()
        found = zip(*self._numbers_of_all(new), strict=True) if self._has_numbers else [()] * len(new)
        self._kept.update(zip(new, found, strict=True))

    @property
    def num_kept(self):
        """Of how many steps the numbers are kept."""
        return len(self._kept)

    def numbers(self, t):
        """The numbers that follow from that of a step."""
        if t not in self._kept:
            self.count([t])
        return self._kept[t]


def _part(module, inputs, nodes, outputs, instead=types.MappingProxyType({})):
    """A function from some nodes of a graph to others; `instead` has functions that take the place of some."""
    graph, copies = fx.Graph(), {}
    for node in inputs:
        copies[node] = graph.placeholder(node.name)
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
        copies[node].target = instead.get(node.target, _called_directly(node))
    graph.output([copies[node] for node in outputs])
    return fx.GraphModule(module, graph).forward


def _called_directly(node):
    """The function of torch that does the same as an operation, if there is one: Python calls it in half the time."""
    operation = node.target
    if operation is _aten.elu.default and len(node.args) <= 2 and not node.kwargs:
        return torch.nn.functional.elu
    if operation is _aten._to_copy.default and [*node.kwargs] == ["dtype"]:
        is_new = node.args[0].meta["val"].dtype != node.kwargs["dtype"]
        return torch.Tensor.to if is_new else operation  # of the same dtype, `to` would copy nothing
    if isinstance(operation, torch._ops.OpOverload):
        name = operation._schema.name.removeprefix("aten::")
        for function in (getattr(torch, name, None), getattr(torch.Tensor, name, None)):
            if isinstance(function, types.BuiltinFunctionType | types.MethodDescriptorType):
                return function
    return operation


def _following(graph, sources):
    """The nodes that follow from sources alone, and from constants of the graph."""
    found = {*sources}
    for node in graph.nodes:
        if node.op not in ("placeholder", "output") and found.issuperset(node.all_input_nodes):
            found.add(node)
    return found.difference(sources)


def _drop_idle(graph):
    """Drops copies, which no graph without mutations needs, views of the same shape, and results without use."""
    for node in graph.nodes:
        if node.target is operator.getitem and node.args[0].target is _aten.log_sigmoid_forward.default:
            if node.args[1] != 0:
                continue
            node.target, node.args = torch.nn.functional.logsigmoid, node.args[0].args
        if node.target in _FILLED:  # with one number, whatever it is shaped like
            value = node.meta["val"]
            node.target, node.args = _aten.full.default, ([*value.shape], _FILLED[node.target])
            node.kwargs = {"dtype": value.dtype, "device": value.device}
        if node.target in _IDLE:
            before, after = node.args[0].meta["val"], node.meta["val"]
            if before.shape == after.shape and before.stride() == after.stride():
                node.replace_all_uses_with(node.args[0])
    graph.eliminate_dead_code()


def _merge_equal(graph):
    """Computes once what several layers compute, such as the column of a pixel."""
    seen = {}
    for node in graph.nodes:
        if node.op == "call_function":
            key = (node.target, repr(node.args), repr(node.kwargs))
            node.replace_all_uses_with(seen.setdefault(key, node)) if key in seen else seen.setdefault(key, node)
    graph.eliminate_dead_code()


def _transpose_late(graph, shared):
    """Computes on matrices before they are transposed, where that is as good.

    The step of an image model keeps what it has seen with the batch last, and most layers take it first: so what one
    layer transposes, the next one transposes back.

    Args:
        graph: The graph.
        shared: Nodes that are computed once for all steps: to transpose these costs nothing.
    """

    def insert(target, args, kwargs):
        new = graph.call_function(target, args, kwargs)
        values, options = fx.node.map_arg((args, kwargs), lambda node: node.meta["val"])
        new.meta["val"] = target(*values, **options)
        if shared.issuperset(new.all_input_nodes):
            shared.add(new)
        return new

    def transposed(x):
        """The transpose of an operand: there already, or of something shared."""
        if _is_transpose(x):
            return x.args[0]
        if not isinstance(x, fx.Node) or x.meta["val"].ndim == 0:
            return x
        if x.meta["val"].ndim == 1:
            return insert(_aten.unsqueeze.default, (x, 1), {})
        return insert(_aten.permute.default, (x, [1, 0]), {})

    for node in graph.nodes:
        if node.op != "call_function" or node in shared or not any(map(_is_transpose, node.all_input_nodes)):
            continue
        operands = node.args[0] if node.target is _aten.cat.default else node.args
        nodes = [x for x in operands if isinstance(x, fx.Node)]
        if any(x.meta["val"].ndim > 2 or not (x in shared or _is_transpose(x)) for x in nodes):
            continue
        with graph.inserting_before(node):
            if _is_transpose(node):
                node.replace_all_uses_with(node.args[0].args[0])
                continue
            if node.target in _ELEMENTWISE:
                args = tuple(map(transposed, operands))
            elif node.target is _aten.cat.default and len(node.args) == 2:
                args = ([*map(transposed, operands)], 1 - node.args[1] % 2)
            elif node.target in (_aten.mm.default, _aten.addmm.default):
                *other, x, kernel = map(transposed, operands)
                args = (*other, kernel, x)
            else:
                continue
            inner = insert(node.target, args, node.kwargs)
        node.target, node.args, node.kwargs = _aten.permute.default, (inner, [1, 0]), {}
    graph.eliminate_dead_code()


def _is_transpose(x):
    return getattr(x, "target", None) is _aten.permute.default and [*x.args[1]] == [1, 0]


def _fuse_products_and_sums(graph):
    """Computes a product and a sum as one operation."""
    for node in graph.nodes:
        if node.target is _aten.add.Tensor and not node.kwargs:
            for product, other in (node.args, node.args[::-1]):
                if _is_fusible(product, other, node.meta["val"]):
                    if other.meta["val"].shape == node.meta["val"].shape[1:] and len(node.meta["val"]) == 1:
                        other = _as_row(graph, other, node)
                    node.target, node.args = _aten.addmm.default, (other, *product.args)
                    break
    graph.eliminate_dead_code()


def _keep_numbers(module):
    """Makes tensors of numbers once: torch would make them anew in each step, for as long as the operation takes."""
    graph, kept = module.graph, {}
    for node in graph.nodes:
        if node.target not in _OF_TWO or node.kwargs or not isinstance(node.args[0], fx.Node):
            continue
        x, number = node.args
        value = x.meta["val"]
        if isinstance(number, int | float) and value.dtype == node.meta["val"].dtype == torch.float32:
            key = (repr(float(number)), value.device)  # 0.0 is not -0.0
            if key not in kept:
                name = f"number_{len(kept)}"
                module.register_buffer(name, torch.tensor(float(number), dtype=value.dtype, device=value.device))
                with graph.inserting_before(node):
                    kept[key] = graph.get_attr(name)
                kept[key].meta["val"] = torch.empty((), device="meta")
            node.args = (x, kept[key])


def _as_row(graph, vector, user):
    """A vector as a matrix of one row, which a sum with such a matrix does not have to broadcast."""
    with graph.inserting_before(user):
        row = graph.call_function(_aten.unsqueeze.default, (vector, 0))
    row.meta["val"] = vector.meta["val"][None]
    return row


def _is_fusible(product, other, total):
    # In half precision the fused operation rounds once, the two operations twice.
    return (
        getattr(product, "target", None) is _aten.mm.default
        and len(product.users) == 1
        and isinstance(other, fx.Node)
        and other.meta["val"].dtype == total.dtype == torch.float32
        and product.meta["val"].shape == total.shape
    )


def _take_by_place(graph, counted):
    """Replaces operations that take entries whose places are counted. Returns the new nodes that are counted."""
    new = set()
    for node in graph.nodes:
        if node.target is _aten.index_select.default and node.args[2] in counted:
            x, axis, places = node.args
            with graph.inserting_before(node):
                place = graph.call_function(_place, (places,))
            node.target, node.args = _take, (x, axis, place)
            new.add(place)
    return new


def _view_what_is_taken(graph):
    """Takes an entry in the shape in which it is wanted."""
    for node in graph.nodes:
        if node.target is not _take:
            continue
        x, axis, place = node.args
        user = next(iter(node.users))
        if len(node.users) == 1 and user.target is _aten.select.int and user.args[1:] == (axis, 0):
            user.target, user.args = _take_one, (x, axis, place)
        if axis or not x.meta["val"].is_contiguous():
            continue
        last = user if user.target is _take_one else node
        while len(last.users) == 1 and (user := next(iter(last.users))).target in _RESHAPES:
            if user.meta["val"].numel() != node.meta["val"].numel():
                break
            last = user
        value = last.meta["val"]
        if last is not node and value.is_contiguous():
            last.target, last.kwargs = _take_as, {}
            last.args = (x, place, (*value.shape,), value.stride(), x.meta["val"].stride(0))
    graph.eliminate_dead_code()


def _put_by_place(graph, counted):
    """Replaces operations that put entries whose places are counted. Returns the new nodes that are counted."""
    new = set()
    for node in graph.nodes:
        if node.target is not _aten.index_put.default or len(node.args) > 3:
            continue
        x, places, values = node.args
        value = x.meta["val"]
        if len(places) == value.ndim and counted.issuperset(places) and value.is_contiguous():
            while _keeps_the_order(values):
                values = values.args[0]
            with graph.inserting_before(node):
                place = graph.call_function(_flat_place, (list(places), value.stride()))
            strides = torch.empty(values.meta["val"].shape, device="meta").stride()
            node.target, node.args = _put, (x, place, values, strides)
            new.add(place)
    graph.eliminate_dead_code()
    return new


def _keeps_the_order(node):
    """Whether a node has the numbers of its operand in the order in which they lie there, if that is contiguous."""
    if node.target in (_aten.clone.default, *_RESHAPES):
        return node.args[0].meta["val"].numel() == node.meta["val"].numel()
    return _is_transpose(node) and 1 in node.meta["val"].shape


def _write_in_place(graph, carry):
    """Updates a carried tensor in place, if the step writes some of its entries, or adds to it, after its last read."""
    outputs = graph.output_node().args[0]
    for before, after in zip(carry, outputs[1:], strict=True):
        if after.target in _IN_PLACE and after.args[0] is before and _is_like(before, after):
            reads = [user for user in _readers(before) if user is not after]
            is_read_first = all(read < user for read in reads for user in after.users)
            is_alone = outputs.count(after) == 1 and not any(node in _views(after)[1:] for node in outputs)
            if is_read_first and is_alone:
                max([after, *reads]).append(after)
                after.target = _IN_PLACE[after.target]


def _reuse_memory(nodes):
    """Writes results over operands that nobody reads any more."""
    fresh = {node for node in nodes if node.target in _FRESH}
    for node in nodes:
        if node.target not in _OVER or node.kwargs:
            continue
        operands = node.args[::-1] if node.target in _COMMUTING else node.args[:1]
        for x in operands:
            if x in fresh and len(x.users) == 1 and _is_like(x, node) and node.args.count(x) == 1:
                others = [other for other in node.args if other is not x]
                node.target, node.args = _OVER[node.target], (x, *others)
                break


def _is_like(node, other):
    """Whether two tensors have one shape and one dtype."""
    a, b = node.meta["val"], other.meta["val"]
    return a.shape == b.shape and a.dtype == b.dtype


def _carry_copies(graph, carry, kept):
    """Copies what a step hands on where it shares memory with what is kept, or is handed on twice."""
    output = graph.output_node()
    y, *following = output.args[0]
    seen, handed_on = set(), []
    for before, after in zip(carry, following, strict=True):
        base = after
        while _is_view(base):
            base = base.args[0]
        if base in kept or base in seen or (base in carry and base is not before):
            with graph.inserting_before(output):
                after = graph.call_function(torch.clone, (after,))
        seen.add(base)
        handed_on.append(after)
    output.args = ([y, *handed_on],)


def _views(node):
    """A node, and all that share its memory."""
    found = [node]
    for view in found:
        found += [user for user in view.users if _is_view(user)]
    return found


def _readers(node):
    """What reads a node's memory."""
    return [user for view in _views(node) for user in view.users]


def _is_view(node):
    if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload):
        return any(result.alias_info is not None for result in node.target._schema.returns)
    # An entry, or an entry of a list of views.
    return node.target in (_take, _take_one, _take_as) or (node.target is operator.getitem and _is_view(node.args[0]))


# On a CPU it is faster to take and to put entries by integers than by tensors; on a GPU integers could not change.


# The numbers of many steps are computed at once, where a place is a tensor; each step is given its own.


def _place(places):
    return _places_by_step(_place_as_tensor(places)[None])[0]


def _place_as_tensor(places):
    return places.long()


def _places_by_step(column):
    if column[0].numel() == 1 and not replayed.is_possible(column.device):
        return column.ravel().tolist()
    return column.unbind()


def _flat_place(places, strides):
    return _flat_places_by_step(_flat_place_as_tensor(places, strides)[None])[0]


def _flat_place_as_tensor(places, strides):
    return sum(place.long() * stride for place, stride in zip(places, strides, strict=True)).ravel()


def _flat_places_by_step(column):
    if replayed.is_possible(column.device):
        return column.unbind()
    first = column[:, :1]
    follow_one_another = (column == first + torch.arange(column.shape[1])).all(dim=1)
    numbers = zip(follow_one_another.tolist(), first[:, 0].tolist(), column.unbind(), strict=True)
    return [place if is_a_run else places for is_a_run, place, places in numbers]


def _take(x, axis, place):
    return x.narrow(axis, place, 1) if isinstance(place, int) else x.index_select(axis, place)


def _take_one(x, axis, place):
    return x.select(axis, place) if isinstance(place, int) else x.index_select(axis, place).select(axis, 0)


def _take_as(x, place, shape, strides, step):
    """Entry `place` of a contiguous tensor, whose entries lie `step` apart, in a shape of its own."""
    if isinstance(place, int):
        return x.as_strided(shape, strides, x.storage_offset() + place * step)
    return x.index_select(0, place).view(shape)


def _put(x, place, values, strides):
    return _put_in_place(x.clone(), place, values, strides)


def _put_in_place(x, place, values, strides):
    count = values.numel()
    if isinstance(place, int):
        x.as_strided(values.shape, strides, x.storage_offset() + place).copy_(values)
    elif len(place) == count:
        x.view(-1).index_copy_(0, place, values.reshape(-1))
    else:
        x.view(-1, count).index_copy_(0, place, values.reshape(1, -1))
    return x


_AS_TENSORS = {_place: _place_as_tensor, _flat_place: _flat_place_as_tensor}
_BY_STEP = {_place: _places_by_step, _flat_place: _flat_places_by_step}
_IN_PLACE = {
    _aten.index_put.default: _aten.index_put_.default,
    _aten.add.Tensor: _aten.add_.Tensor,
    _aten.addmm.default: _aten.addmm_.default,
    _put: _put_in_place,
}


def _split(x, size, dim=0):
    return _aten.split_with_sizes(x, [size] * (x.shape[dim] // size), dim)


_OF_TWO = {_aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor, _aten.div.Tensor}
_FILLED = {_aten.zeros_like.default: 0, _aten.ones_like.default: 1}
# Operations that can write over their first operand; of those that commute, over either.
_OVER = {
    _aten.add.Tensor: _aten.add_.Tensor,
    _aten.mul.Tensor: _aten.mul_.Tensor,
    _aten.neg.default: _aten.neg_.default,
    _aten.relu.default: _aten.relu_.default,
    _aten.sigmoid.default: _aten.sigmoid_.default,
    _aten.tanh.default: _aten.tanh_.default,
}
_COMMUTING = {_aten.add.Tensor, _aten.mul.Tensor}
_FRESH = {*_OVER, *_OVER.values(), _aten.mm.default, _aten.addmm.default, _aten.cat.default, _aten.elu.default}
_RESHAPES = {_aten.view.default, _aten._unsafe_view.default, _aten.squeeze.dim, _aten.unsqueeze.default}
_RESHAPES |= {_aten.select.int}  # of an axis of one entry, where all entries remain
_ELEMENTWISE = {
    *(_aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor, _aten.neg.default, _aten.relu.default),
    *(_aten.elu.default, _aten.sigmoid.default, _aten.tanh.default),
}


# `torch.split` is written in Python, and slower.
_SIMPLER = {_aten.split.Tensor: _split}
