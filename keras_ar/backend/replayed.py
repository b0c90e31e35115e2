"""Traced steps on a GPU: each is recorded once as a CUDA graph, and then costs one launch.

A graph reads and writes the same memory at each replay. So what a loop carries, its rows, its results and the number of
the step lie in tensors that stay; the number is counted on the device.
"""

import functools

import torch

__all__ = ["Replay", "is_possible"]


def is_possible(device):
    """Whether a device records graphs.

    Example:

    >>> import torch
    >>> keras_ar.backend.replayed.is_possible(torch.device("cpu"))
    False
    """
    return device.type == "cuda"


class Replay:
    """Runs the steps of loops whose tensors have the same shapes.

    Example:

    >>> keras_ar.backend.replayed.Replay().num_graphs
    0
    """

    def __init__(self):
        self._memory, self._recorded = None, {}

    @property
    def num_graphs(self):
        """How many graphs are recorded."""
        return len(self._recorded)

    def run(self, loop, steps, carry, rows, constants, shared):
        """The results of all steps, and the last carry.

        Args:
            loop: A `_TracedLoop`: `step`, `course` and `as_it_is` of each step.
            steps: Range of the numbers of the steps.
            carry: List of tensors, what the first step is given.
            rows: List of tensors; each step is given an entry.
            constants: List of tensors, what `loop` decides the course by.
            shared: List of tensors, what all steps are given.
        """
        if self._memory is None or len(steps) > self._memory.num_steps:
            self._memory, self._recorded = Memory(carry, rows, len(steps)), {}
        memory, ready = self._memory, set()
        memory.load(carry, rows)
        for i, t in enumerate(steps):
            step = loop.step(t, constants)
            if step is None:
                memory.take(*loop.as_it_is(t, [x[i] for x in rows], memory.carry, constants))
                continue
            if step not in ready:
                ready.add(step)
                alike = [j for j, other in enumerate(steps) if loop.course(other, constants) is step]
                self._prepare(step, step.before(*shared), steps, alike)
            self._recorded[step].graph.replay()
        return memory.results[: len(steps)].unbind(), memory.carry

    def _prepare(self, step, needed, steps, alike):
        """Puts what a step needs where its graph reads it; records it if it is new, or reads something else."""
        recorded, memory = self._recorded.get(step), self._memory
        if recorded is None or recorded.steps != (steps, alike):
            numbers = _numbers(step, steps, alike)
            if recorded is None or not recorded.fits(numbers):
                recorded = self._recorded[step] = _Recorded(step, needed, numbers, memory.num_steps)
            recorded.load_numbers(numbers)
            recorded.steps = (steps, alike)
        _copy(needed, recorded.needed)
        if recorded.graph is None:
            recorded.graph = memory.record(functools.partial(recorded.run, memory))


def _numbers(step, steps, alike):
    """The numbers of all steps of a course, each as a tensor with a row for each step of the loop."""
    columns = [torch.stack(column) for column in zip(*(step.numbers(steps[i]) for i in alike), strict=True)]
    columns = [_by_block(column) if k in step.places else column for k, column in enumerate(columns)]
    rows = [torch.tensor(alike, device=column.device) for column in columns[:1]]
    return [x.new_zeros((len(steps), *x.shape[1:])).index_copy_(0, *rows, x) for x in columns]


def _by_block(places):
    """Places `(steps, entries)` in a flattened tensor as the number of a block `(steps, 1)`, where they are blocks."""
    count, first = places.shape[1], places[:, :1]
    is_block = torch.equal(places, first + torch.arange(count, device=places.device)) and not (first % count).any()
    return first // count if is_block else places


class _Recorded:
    """A step as a graph, and the tensors that it alone reads.

    Numbers of one type lie in one tensor, so that one operation takes all of a step.
    """

    def __init__(self, step, needed, numbers, num_steps):
        self._step = step
        self.needed = [torch.empty_like(x) for x in needed]
        self._kinds = [(x.dtype, x.shape[1:]) for x in numbers]
        self._numbers = {}
        for dtype in {dtype for dtype, _ in self._kinds}:
            width = sum(shape.numel() for _, shape in self._of_type(dtype))
            self._numbers[dtype] = torch.zeros((num_steps, width), dtype=dtype, device=numbers[0].device)
        self.graph = self.steps = None

    def _of_type(self, dtype):
        return [kind for kind in self._kinds if kind[0] == dtype]

    def fits(self, numbers):
        """Whether the graph reads numbers of these shapes."""
        return self._kinds == [(x.dtype, x.shape[1:]) for x in numbers]

    def load_numbers(self, numbers):
        """Takes the numbers of all steps of a loop."""
        for dtype, held in self._numbers.items():
            found = [x.flatten(1) if x.ndim > 1 else x[:, None] for x in numbers if x.dtype == dtype]
            held[: len(found[0])].copy_(torch.cat(found, dim=1))

    def run(self, memory, carry):
        """The result of the step whose number `memory` has, and the next carry."""
        found = {}
        for dtype, held in self._numbers.items():
            pieces = held.index_select(0, memory.place)[0].split([shape.numel() for _, shape in self._of_type(dtype)])
            found[dtype] = iter(pieces)
        numbers = [next(found[dtype]).view(shape) for dtype, shape in self._kinds]
        row = [x.index_select(0, memory.place)[0] for x in memory.rows]
        return self._step.run(*numbers, *row, *carry, *self.needed)


class Memory:
    """The tensors that all graphs of a loop read and write."""

    def __init__(self, carry, rows, num_steps):
        self.num_steps = num_steps
        self.carry = [torch.empty_like(x) for x in carry]
        self.rows = [x.new_zeros((num_steps, *x.shape[1:])) for x in rows]
        self.results = None
        self.place = torch.zeros(1, dtype=torch.int64, device=carry[0].device)  # of the step among the rows
        self._pool = torch.cuda.graph_pool_handle()

    def load(self, carry, rows):
        """Takes what a loop is given."""
        _copy(carry, self.carry)
        for x, held in zip(rows, self.rows, strict=True):
            held[: len(x)].copy_(x)
        self.place.zero_()

    def take(self, y, *carry):
        """Takes the result of a step, and counts it."""
        self.hold_results(y)
        self.results.index_copy_(0, self.place, y.unsqueeze(0))
        _copy(carry, self.carry)
        self.place.add_(1)

    def record(self, run):
        """`y, *carry = run(carry)` as a graph."""
        # Once on the side, on copies: what is loaded or allocated at the first run is not recorded.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            y, *_ = run([x.clone() for x in self.carry])
            self.hold_results(y)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            self.take(*run(self.carry))
        return graph

    def hold_results(self, y):
        if self.results is None:
            self.results = y.new_zeros((self.num_steps, *y.shape))


def _copy(values, held):
    """Writes values where others lie, whose memory some of them may share."""
    memory = {x.untyped_storage().data_ptr() for x in held}
    moved = [x is not tensor for x, tensor in zip(values, held, strict=True)]  # else it was written in place
    values = [
        x.clone() if has_moved and x.untyped_storage().data_ptr() in memory else x
        for x, has_moved in zip(values, moved, strict=True)
    ]
    for x, tensor, has_moved in zip(values, held, moved, strict=True):
        if has_moved:
            tensor.copy_(x)
