"""What Keras' trainer needs on JAX only: weights that outlive a step that fails, and batches that are checked in time.

A step takes the weights out of the model there, donates their memory to a compiled function and returns new ones. If it
fails or is interrupted, the model would be left without any.
"""

import contextlib
import itertools
import signal
import threading

import jax
import numpy as np
from keras.src.trainers import data_adapters
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

__all__ = ["CheckedData", "Keeping", "Wrapped"]


class Keeping:
    """A step of Keras' trainer on JAX that does not cost the model its weights.

    A step that fails before it computes, as one does on data of a wrong shape, leaves the model as it was. An
    interruption from the keyboard waits until the step's results are stored, and is delivered by `deliver`; the second
    one is not held back. A device that fails in the middle of a step, as one does that runs out of memory, takes the
    weights with it.

    Args:
        model: A Keras model.
        function: `logs, state = function(state, iterator)`.
        kinds: What the state holds the values of, in this order: "trainable", "non_trainable", "optimizer", "metrics".
        watch: As in `watched_step`. Defaults to `None`.
    """

    def __init__(self, model, function, kinds, watch=None):
        self.model, self.function, self.kinds, self.watch = model, function, kinds, watch
        self._interrupts = []  # that have not been delivered

    def __call__(self, state, iterator):
        try:
            self.deliver()
            # Of the step before, whose state the trainer has by now.
            if self.watch and self.watch.is_due:
                self._put_back(state)  # what an error says is read from the model
                self.watch.check(self.model)
            batch = next(iterator)  # may take long, so that it may be interrupted at once
            with self._held_back():
                logs, state = self.function(_apart(state), itertools.chain([batch], iterator))
            if self.watch:
                self.watch.note(logs)
            return logs, state
        except BaseException:  # the end of the data, too: there may have been none
            self._put_back(state)
            raise

    def deliver(self):
        """Raises `KeyboardInterrupt`, or whatever the handler does, if an interruption was held back."""
        if self._interrupts:
            handler, arguments = self._interrupts.pop()
            self._interrupts.clear()
            handler(*arguments)

    @contextlib.contextmanager
    def _held_back(self):
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(handler):
            yield
            return

        def hold_back(*arguments):
            if self._interrupts:
                self._interrupts.clear()
                handler(*arguments)
            self._interrupts.append((handler, arguments))

        signal.signal(signal.SIGINT, hold_back)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, handler)

    def _put_back(self, state):
        model = self.model
        for kind, values in zip(self.kinds, state, strict=True):
            variables = model.optimizer.variables if kind == "optimizer" else getattr(model, f"{kind}_variables")
            for variable, value in zip(variables, values, strict=True):
                if not value.is_deleted():
                    variable.assign(value)


def _apart(state):
    """A state no two of whose values share their memory, which can be donated once.

    Keras ends `fit` with averages of the optimizer in the place of the weights: the same arrays.
    """
    leaves, tree = jax.tree_util.tree_flatten(state)
    seen = set()
    for i, value in enumerate(leaves):
        if id(value) in seen:
            leaves[i] = jax.numpy.array(value, copy=True)
        seen.add(id(value))
    return jax.tree_util.tree_unflatten(tree, leaves)


class Wrapped(DataAdapter):
    """Data whose batches a subclass changes on their way to Keras' trainer, by its own `get_jax_iterator`.

    Keras takes an adapter of data in place of data, as they are here, but has no public name for its class.

    Args:
        x: Data of any kind that Keras trains on.
        **options: Arguments of `keras.Model.fit` that concern the data.
    """

    def __init__(self, x, **options):
        self.adapter = data_adapters.get_data_adapter(x, **options)

    @property
    def num_batches(self):
        return self.adapter.num_batches

    def on_epoch_begin(self):
        self.adapter.on_epoch_begin()

    def on_epoch_end(self):
        self.adapter.on_epoch_end()


class CheckedData(Wrapped):
    """A dataset whose batches are checked before Keras moves them to a device."""

    def get_jax_iterator(self, **options):
        return map(_check_numbers, self.adapter.get_jax_iterator(**options))


def _check_numbers(batch):
    """JAX takes numbers alone, and makes 32 bits of 64, without a word where these do not suffice."""
    for array in jax.tree_util.tree_leaves(batch):
        if not isinstance(array, np.ndarray):
            continue
        if array.dtype.kind in "OSUMm":
            raise ValueError(f"`x` must hold numbers in each batch. Received an array of dtype {array.dtype}.")
        if array.dtype.kind in "iu" and array.dtype.itemsize > 4 and array.size:
            for value in (array.min(), array.max()):
                if not -(2**31) <= value < 2**31:
                    raise ValueError(
                        f"The batches of `x` must hold integers of 32 bits on JAX. Received {value} in an array of "
                        f"dtype {array.dtype} and shape {array.shape}."
                    )
    return batch
