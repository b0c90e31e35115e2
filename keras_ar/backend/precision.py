"""True float32 outside of training: products and convolutions that a GPU is not to round to ten bits."""

import contextlib

import keras

__all__ = ["true_float32"]

_NAME = keras.backend.backend()

if _NAME == "jax":
    import jax
elif _NAME == "tensorflow":
    import tensorflow as tf
elif _NAME == "torch":
    import torch


def true_float32():
    """A context in which float32 means float32.

    GPUs multiply float32 matrices by units that round the factors to ten bits ("TF32"), and backends take these by
    default, for some operations or for all. Then a step and a whole pass differ in the third digit,
    and so do samples and scores.

    Example:

    >>> with keras_ar.backend.true_float32():
    ...     product = keras.ops.matmul(np.ones((2, 2), "float32"), np.ones((2, 2), "float32"))
    """
    if _NAME == "jax":
        return jax.default_matmul_precision("highest")
    if _NAME == "tensorflow":
        return _true_in_tensorflow()
    if _NAME == "torch" and torch.cuda.is_available():
        return _true_in_torch()
    return contextlib.nullcontext()


@contextlib.contextmanager
def _true_in_tensorflow():
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


@contextlib.contextmanager
def _true_in_torch():
    places = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before = [place.fp32_precision for place in places]
    for place in places:
        place.fp32_precision = "ieee"
    try:
        yield
    finally:
        for place, precision in zip(places, before, strict=True):
            place.fp32_precision = precision
