"""Writes functions of tensors to files that run without Keras: TensorFlow's SavedModels, and ONNX."""

import contextlib
import importlib.util
import logging
import warnings

import keras

from keras_ar.backend.precision import true_float32

__all__ = ["check_can_export", "export"]

_NAME = keras.backend.backend()

# What each format takes: one of these backends, and these packages.
_FORMATS = {
    "tf_saved_model": (("tensorflow", "jax"), ("tensorflow",)),
    "onnx": (("torch",), ("onnx", "onnxscript")),
}

if _NAME == "torch":
    import torch


def check_can_export(format):
    """Raises an error unless this backend can write a format, and the packages for it are installed.

    Args:
        format: String, `"tf_saved_model"` or `"onnx"`.

    Example:

    >>> keras_ar.backend.exporting.check_can_export("tflite")
    Traceback (most recent call last):
    ...
    ValueError: `format` must be 'tf_saved_model' or 'onnx'. Received: format='tflite'.
    """
    if not (isinstance(format, str) and format in _FORMATS):
        raise ValueError(f"`format` must be {' or '.join(map(repr, _FORMATS))}. Received: format={format!r}.")
    backends, packages = _FORMATS[format]
    if _NAME not in backends:
        raise ValueError(
            f"`format={format!r}` is written on {' or '.join(backends)}. Save the model, and load and export it with "
            f"KERAS_BACKEND={backends[0]}: a saved model opens on any backend. Received: format={format!r} on {_NAME}."
        )
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        advice = "pip install 'keras-ar[export]'" if format == "onnx" else f"pip install {' '.join(missing)}"
        raise ImportError(f"`format={format!r}` needs {' and '.join(missing)}, which cannot be imported: {advice}.")


def export(function, owner, specs, filepath, format):
    """Writes a function of tensors with its weights, for batches of any size.

    Args:
        function: A pure function of tensors, whose first axis is the batch.
        owner: The model whose weights it reads.
        specs: List of `keras.InputSpec`s with names, the arguments of the function.
        filepath: String, where to write.
        format: As in `check_can_export`.
    """
    write = _export_onnx if format == "onnx" else _export_saved_model
    write(function, owner, specs, filepath)


def _export_saved_model(function, owner, specs, filepath):
    archive, options = keras.export.ExportArchive(), {}
    if _NAME == "jax":
        archive.track(owner)  # TensorFlow finds the weights itself; told of a model, it would export `call` as well
        options = {"jax2tf_kwargs": {"with_gradient": False}}
    with true_float32():
        archive.add_endpoint("serve", function, input_signature=specs, **options)
        archive.write_out(filepath, verbose=False)


def _export_onnx(function, owner, specs, filepath):
    import onnx

    # Keras' own way through TorchScript lacks operators, and takes what Python decides once for what holds always.
    arguments = tuple(keras.ops.ones((2, *spec.shape[1:]), spec.dtype) for spec in specs)
    size = {0: torch.export.Dim("batch")}
    try:
        with torch.no_grad(), _readable_precision(), _Exportable(), _quiet():
            shapes = {"args": tuple(size for _ in specs)}
            program = torch.export.export(_Module(function, owner), arguments, dynamic_shapes=shapes)
            names = {"input_names": [spec.name for spec in specs], "output_names": [function.__name__]}
            found = torch.onnx.export(program, (), dynamo=True, verbose=False, **names)
        onnx.checker.check_model(found.model_proto, full_check=True)
    except Exception as error:  # of torch, which has many
        raise ValueError(
            f"{owner.name} cannot be exported to ONNX: torch cannot turn its `{function.__name__}` into one graph for "
            f"batches of any size. It raises {type(error).__name__}, see above."
        ) from error
    found.save(filepath)


if _NAME == "torch":

    class _Module(torch.nn.Module):
        def __init__(self, function, owner):
            super().__init__()
            self.function, self.owner = function, owner

        def forward(self, *args):
            return self.function(*args)

    class _Exportable(torch.overrides.TorchFunctionMode):
        """Replaces two operations that Keras uses by others of the same result, which torch exports as they are."""

        def __torch_function__(self, function, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            if function is torch.take_along_dim and kwargs["dim"] is not None:
                (x, indices), axis = args, kwargs["dim"]
                others = [i for i in range(x.ndim) if i != axis % x.ndim]
                if all(x.shape[i] == indices.shape[i] for i in others):
                    return torch.gather(x, axis, indices)  # the other fixes the size of the batch
            if function is torch.Tensor.squeeze and len(args) == 2 and args[0].shape[args[1]] != 1:
                return args[0]  # as in torch; in ONNX it would be an error
            return function(*args, **kwargs)

    @contextlib.contextmanager
    def _readable_precision():
        """Lets torch read the precision of cuDNN as it traces: by an old name, which fails where newer ones set it."""
        places = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
        before = [place.fp32_precision for place in places]
        try:
            _ = torch.backends.cudnn.allow_tf32
        except RuntimeError:
            for place in places:
                place.fp32_precision = "tf32"
        try:
            yield
        finally:
            for place, precision in zip(places, before, strict=True):
                place.fp32_precision = precision

    @contextlib.contextmanager
    def _quiet():
        """Without torch's warnings of what it could have exported, too, and of its own old names."""
        logger = logging.getLogger("torch.onnx")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                yield
        finally:
            logger.setLevel(level)
