"""Traced steps on a GPU: each is recorded once as a CUDA graph, and then costs one launch.

A graph reads and writes the same memory at each replay. So what a loop carries, its rows, its results and the number of
the step lie in tensors that stay; the number is counted on the device.
"""

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
        self._memory, self._graphs, self._needed = None, {}, {}

    @property
    def num_graphs(self):
        """How many graphs are recorded."""
        return len(self._graphs)

    def run(self, steps, traced_step, as_it_is, carry, rows, shared):
        """The results of all steps, and the last carry.

        Args:
            steps: Range of the numbers of the steps.
            traced_step: Function `t -> step`, which returns `None` for steps that are not traced.
            as_it_is: Function `(t, row, carry) -> (y, *carry)` for these.
            carry: List of tensors, what the first step is given.
            rows: List of tensors; each step is given an entry.
            shared: List of tensors, what all steps are given.
        """
        if self._memory is None or len(steps) > self._memory.num_steps:
            self._memory, self._graphs, self._needed = _Memory(carry, rows, len(steps)), {}, {}
        memory, is_known = self._memory, set()
        memory.load(steps.start, carry, rows)
        for i, t in enumerate(steps):
            step = traced_step(t)
            if step is None:
                memory.take(*as_it_is(t, [x[i] for x in rows], memory.carry))
                continue
            if step not in is_known:
                is_known.add(step)
                self._prepare(step, step.before(*shared))
            self._graphs[step].replay()
        return memory.results[: len(steps)].unbind(), memory.carry

    def _prepare(self, step, needed):
        """Records a step if it is new, and puts what it needs where its graph reads it."""
        if step in self._graphs:
            _copy(needed, self._needed[step])
        else:
            self._needed[step] = [x.clone() for x in needed]
            self._graphs[step] = self._memory.record(step, self._needed[step])


class _Memory:
    """The tensors that graphs read and write."""

    def __init__(self, carry, rows, num_steps):
        self.num_steps = num_steps
        self.carry = [torch.empty_like(x) for x in carry]
        self.rows = [x.new_zeros((num_steps, *x.shape[1:])) for x in rows]
        self.results = None
        device = carry[0].device
        self.place = torch.zeros(1, dtype=torch.int64, device=device)  # of the step among the rows
        self.number = torch.zeros((), dtype=torch.int32, device=device)
        self._pool = torch.cuda.graph_pool_handle()

    def load(self, first, carry, rows):
        """Takes what a loop is given."""
        _copy(carry, self.carry)
        for x, held in zip(rows, self.rows, strict=True):
            held[: len(x)].copy_(x)
        self.place.zero_()
        self.number.fill_(first)

    def take(self, y, *carry):
        """Takes the result of a step, and counts it."""
        self._hold_results(y)
        self.results.index_copy_(0, self.place, y.unsqueeze(0))
        _copy(carry, self.carry)
        self.place.add_(1)
        self.number.add_(1)

    def record(self, step, needed):
        """A step as a graph."""

        def run(carry):
            row = [x.index_select(0, self.place)[0] for x in self.rows]
            return step.run(*step.numbers_of(self.number), *row, *carry, *needed)

        # Once on the side, on copies: what is loaded or allocated at the first run is not recorded.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            y, *_ = run([x.clone() for x in self.carry])
            self._hold_results(y)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            self.take(*run(self.carry))
        return graph

    def _hold_results(self, y):
        if self.results is None:
            self.results = y.new_zeros((self.num_steps, *y.shape))


def _copy(values, held):
    memory = {x.untyped_storage().data_ptr() for x in held}
    moved = [x is not tensor for x, tensor in zip(values, held, strict=True)]  # else it was written in place
    values = [
        x.clone() if has_moved and x.untyped_storage().data_ptr() in memory else x
        for x, has_moved in zip(values, moved, strict=True)
    ]
    for x, tensor, has_moved in zip(values, held, moved, strict=True):
        if has_moved:
            tensor.copy_(x)
