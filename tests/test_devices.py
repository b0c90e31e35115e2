"""What is done for GPUs, as far as it shows without one: `make gpu` runs all tests on a machine that has one."""

import pathlib
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_ar
from keras_ar import backend, heads, models, noise

MODELS = {
    "made": lambda: models.MADE(6, hidden_units=(20, 7), head=heads.Categorical(3)),
    "made-narrow": lambda: models.MADE(6, hidden_units=3),
    "deep_nade": lambda: models.DeepNADE(6, hidden_units=(5, 4), head=heads.Categorical(3)),
    "pixel_cnn": lambda: models.PixelCNN((2, 3), filters=4, num_blocks=1),
    "wavenet": lambda: models.WaveNet(6, filters=4, dilations=(1, 2), head=heads.Categorical(3)),
}


@pytest.mark.parametrize("name", [*MODELS])
def test_loops_of_known_length_draw_the_same(name, monkeypatch):
    model = MODELS[name]()
    noise.randomize(model)
    known = np.arange(6).reshape(model.event_shape) < 2

    def draw():
        model.compile()  # forgets what has been compiled
        events, log_prob = model.sample(5, seed=0, batch_size=3, return_log_prob=True, verbose=1)  # in pieces
        return events, log_prob, model.complete(events, known, seed=1)

    expected = draw()
    monkeypatch.setattr(backend, "wants_known_lengths", lambda: True)
    found = draw()
    assert (found[0] == expected[0]).all()
    assert (found[2] == expected[2]).all()
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)


def test_a_stream_of_known_length_ends_where_it_ends(monkeypatch):
    monkeypatch.setattr(backend, "wants_known_lengths", lambda: True)
    model = MODELS["wavenet"]()
    chunks = [next(stream) for stream in [model.stream(2, chunk=4, seed=0)] for _ in range(3)]
    assert (np.concatenate(chunks, axis=1) == model.sample(2, seed=0, length=12)).all()


def precisions():
    """What the backend does to float32 at this moment."""
    if keras.backend.backend() == "jax":
        import jax

        return [jax.config.jax_default_matmul_precision]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return [tf.config.experimental.tensor_float_32_execution_enabled()]
    import torch

    places = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    return [place.fp32_precision for place in places]


def test_drivers_compute_in_true_float32_and_leave_the_setting(monkeypatch):
    if keras.backend.backend() == "torch":
        import torch

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    seen = []

    def look(x):
        seen.append(precisions())
        return x

    before = precisions()
    backend.compiled(None, look)(np.ones(3, "float32"))
    with pytest.raises(ValueError, match="stop"):
        backend.compiled(None, fail)(np.ones(3, "float32"))
    expected = {"jax": ["highest"], "tensorflow": [False], "torch": ["ieee"] * 3}
    assert seen[0] == expected[keras.backend.backend()]
    assert precisions() == before


def fail(x):
    raise ValueError("stop")


def test_a_product_in_a_driver_has_all_digits():
    x = np.random.default_rng(0).normal(size=(2, 64, 64)).astype("float32")
    found = ops.convert_to_numpy(backend.compiled(None, ops.matmul)(*x))
    assert np.abs(found - x[0].astype("float64") @ x[1]).max() < 1e-4  # 1e-2 with factors of ten bits


def test_models_run_on_a_device_that_is_not_the_first():
    script = pathlib.Path(__file__).with_name("second_device.py")
    options = ["--all"] if keras.backend.backend() == "torch" else []
    found = subprocess.run([sys.executable, script, *options], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-3000:]
    assert "pixel_cnn" in found.stdout


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch shares batches between processes only")
def test_several_devices_give_what_one_gives():
    script = pathlib.Path(__file__).with_name("several_devices.py")
    found = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-3000:]
    assert "mirrored" in found.stdout or "model parallel" in found.stdout


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="Keras 3 has no way for it on TensorFlow")
def test_two_processes_train_as_one_does(tmp_path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    script = pathlib.Path(__file__).with_name("two_processes.py")
    commands = [[sys.executable, script, str(number), str(port), tmp_path] for number in range(2)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for command in commands]
    try:
        printed = [process.communicate(timeout=120)[0].decode() for process in processes]
    finally:
        for process in processes:  # one waits for ever if the other has failed
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], printed
    assert "the weights of one process" in printed[0]
    model = keras_ar.load_model(tmp_path / "model.keras")
    parts = [np.load(tmp_path / f"process{number}.npz") for number in range(2)]
    scores, samples = (np.concatenate([part[name] for part in parts]) for name in ("scores", "samples"))
    x = np.random.default_rng(0).integers(0, 3, (24, 6))  # as in the script
    np.testing.assert_allclose(scores, model.score_samples(x), atol=1e-5)
    assert (samples == model.sample(10, seed=0)).all()


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="a distribution of Keras' on JAX")
def test_what_cannot_be_shared_is_said(monkeypatch):
    model = models.FVSBN(3)
    model.compile("adam")
    monkeypatch.setattr(backend, "num_shares", lambda: 2)
    with pytest.raises(ValueError, match="number of events that 2 devices can divide"):
        model.train_on_batch(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="`validation_split` must be 0 where devices share"):
        model.fit(np.zeros((4, 3)), validation_split=0.5, verbose=0)
