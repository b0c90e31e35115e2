"""One backend per process: `KERAS_BACKEND=jax pytest`. For the tests of keras_ar and of its plugins."""

import contextlib
import os
import pathlib
import sys

import pytest

# Tests compile much and run little, so XLA shall not optimize what it compiles, and compile nothing twice.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parent / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_configure(config):
    """Loads what must be loaded first, except in the process that only hands tests out."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return
    with contextlib.suppress(ImportError):
        import torch  # noqa: F401  # before TensorFlow: loaded after it, the two may clash
    if os.environ.get("KERAS_BACKEND") == "tensorflow":
        import tensorflow as tf

        # With deterministic operations "auto" means a graph without XLA, which takes a third of the time to make. Tests
        # of what XLA compiles say so.
        tf.config.experimental.enable_op_determinism()
        tf.random.set_seed(0)
    # On a GPU what tests compare is float32, also outside of the drivers, which see to it themselves.
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    if "torch" in sys.modules:
        sys.modules["torch"].backends.cudnn.conv.fp32_precision = "ieee"
        sys.modules["torch"].backends.cudnn.rnn.fp32_precision = "ieee"


def pytest_addoption(parser):
    parser.addoption("--everything", action="store_true", help="run on this backend what runs on torch alone otherwise")


def runs_everything(config):
    return config.getoption("everything") or os.environ.get("KERAS_BACKEND") == "torch"


@pytest.fixture(autouse=True, scope="session")
def files_from_here_to_torch(pytestconfig):
    """Files of torch are opened on JAX and TensorFlow; those of the two on torch, whose process starts fastest."""
    with pytest.MonkeyPatch.context() as patch:
        if not runs_everything(pytestconfig):
            from keras_ar.testing import elsewhere

            found = [name for name in elsewhere.other_backends() if name == "torch"]
            patch.setattr(elsewhere, "other_backends", lambda: found)
        yield


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    """Once a test has loaded pyplot, it knows all new figures, and warns of more than twenty."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def pytest_ignore_collect(collection_path, config):
    """All that is in test_variants.py runs on torch only, so its models are not even made elsewhere."""
    return True if collection_path.name == "test_variants.py" and not runs_everything(config) else None


def pytest_collection_modifyitems(config, items):
    """Leaves out what runs on torch only, as variants.py says, and groups what shares a process.

    Under `pytest -n 2 --dist loadgroup` tests share a process where they share what has been compiled or trained.
    """
    from variants import is_variant

    for item in items:
        name, is_check, _ = item.name.partition("-check_")
        in_one = ("test_cli", "test_guides", "test_site")
        shared = name if is_check else item.path.stem if item.path.stem in in_one else None
        if shared and config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group(shared))
        if is_check and is_variant(name.partition("[")[2]):
            item.add_marker(pytest.mark.one_backend)
    if not runs_everything(config):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("one_backend")])
        items[:] = [item for item in items if not item.get_closest_marker("one_backend")]
