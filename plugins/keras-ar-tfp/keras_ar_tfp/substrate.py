"""The only place that asks which backend runs, and that imports TensorFlow Probability: when the first head is made."""

import importlib

import keras


def distributions():
    """The module of TensorFlow Probability's distributions, for the backend that runs."""
    backend = keras.backend.backend()
    modules = {"tensorflow": "tensorflow_probability", "jax": "tensorflow_probability.substrates.jax"}
    if backend not in modules:
        raise RuntimeError(
            f"TFPHead needs the backend tensorflow or jax: TensorFlow Probability has none for {backend}. "
            f"Received: keras.backend.backend()={backend!r}."
        )
    try:
        return importlib.import_module(modules[backend]).distributions
    except Exception as error:  # with a release of JAX that it does not know, it fails in any way
        advice = "install tensorflow-probability and tf-keras"
        if backend == "jax":
            advice = "install a release for this version of JAX, such as tfp-nightly, or run on tensorflow"
        raise ImportError(
            f"TFPHead needs TensorFlow Probability, which cannot be imported on the backend {backend}: {advice}. "
            f"{type(error).__name__}: {error}"
        ) from error
