"""What a notebook shows as the value of a cell."""

import numpy as np
import pytest
from IPython.core.formatters import HTMLFormatter

import keras_ar

pytestmark = pytest.mark.one_backend

shown = HTMLFormatter()


def test_a_model_is_shown_with_its_arguments():
    html = shown(keras_ar.models.MADE((2, 2), hidden_units=8, head="normal", num_classes=3, name="mine"))
    for part in ("<b>MADE</b>", "mine", "keras_ar.models.made.MADE", "(2, 2)", "hidden_units", "[8]", "real numbers"):
        assert part in html


def test_a_flow_is_shown_with_its_bijectors():
    permute = keras_ar.bijectors.Permute([1, 0])
    assert "Permute(" in shown(keras_ar.FlowModel(2, bijectors=[permute]))


def test_a_model_without_a_config_is_shown():
    class Mine(keras_ar.models.FVSBN):
        def __init__(self, size):
            super().__init__(event_shape=size.stop)

        def get_config(self):
            raise NotImplementedError

    assert "parameters" in shown(Mine(slice(3)))


def test_a_head_is_shown_with_its_support():
    html = shown(keras_ar.heads.Categorical(5))
    assert "Categorical(num_levels=5)" in html
    assert "integers from 0 to 4" in html


def test_layers_and_bijectors_are_shown_with_their_arguments():
    assert '<th style="text-align:left">filters</th>' in shown(keras_ar.layers.CausalConv1D(3, 2))
    assert "[1, 0]" in shown(keras_ar.bijectors.Permute([1, 0]))


@pytest.mark.parametrize(
    ("suffix", "parts"),
    [
        ("csv", ("<th>color</th>", "<td>red</td>", "train")),
        ("txt", ("<pre>&lt;to be&gt;", "text of shape")),
        ("wav", ("<audio controls", "data:audio/wav;base64,UklGR")),
    ],
)
def test_data_are_shown_with_their_first_events(suffix, parts, tmp_path):
    path = tmp_path / f"data.{suffix}"
    if suffix == "wav":
        keras_ar.sound.write_wav(path, np.sin(np.arange(4000) / 10), 8000)
    else:
        path.write_text("color,size\n" + "red,0\nred,1\n" * 30 if suffix == "csv" else "<to be> " * 200)
    data = keras_ar.datasets.load(path, **({} if suffix == "csv" else {"length": 40}))
    html = shown(data)
    for part in (data.name, *parts):
        assert part in html


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_images_are_shown_as_a_strip(channels, dtype, tmp_path):
    x = np.random.default_rng(0).integers(0, 4, (40, 6, 5, channels)).astype(dtype)
    np.savez(tmp_path / "images.npz", x=x)
    assert '<img src="data:image/png;base64,iVBOR' in shown(keras_ar.datasets.load(tmp_path / "images.npz"))


def test_what_is_shown_is_no_markup():
    assert "&lt;b&gt;" in keras_ar.notebook.facts("<b>", {"<b>": "<b>"})
