"""One backend per process: `KERAS_BACKEND=jax pytest`."""

import contextlib
import os

# Before anything imports TensorFlow or keras. Torch comes first: loaded after TensorFlow, the two may clash.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with contextlib.suppress(ImportError):
    import torch  # noqa: F401
