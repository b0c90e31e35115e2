"""One backend per process: `KERAS_BACKEND=jax pytest`."""

import contextlib
import os
import pathlib

import pytest

# Tests compile much and run little, so XLA shall not optimize what it compiles, and compile nothing twice.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# Before anything imports TensorFlow or keras. Torch comes first: loaded after TensorFlow, the two may clash.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with contextlib.suppress(ImportError):
    import torch  # noqa: F401

if os.environ.get("KERAS_BACKEND") == "tensorflow":
    import tensorflow as tf

    # With deterministic operations "auto" means a graph without XLA, which takes a third of the time to make. Tests of
    # what XLA compiles say so.
    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(0)


def pytest_collection_modifyitems(items):
    """Under `pytest -n 2 --dist loadgroup` tests share a process where they share what has been compiled or trained."""
    for item in items:
        component, found, _ = item.name.partition("-check_")
        shared = component if found else item.path.stem if item.path.stem in ("test_cli", "test_guides") else None
        if shared and item.config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group(shared))
