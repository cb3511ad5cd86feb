"""A net that cuts parts of the face learns from the experiment where the five points lie in every crop."""

from __future__ import annotations

import numpy as np
import pytest

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import load_experiment
from keras_faceattr.errors import ConfigError, ModelError
from keras_faceattr.models import architecture
from keras_faceattr.models.tree_cnn import PARTS
from keras_faceattr.tasks import Task
from keras_faceattr.training.checks import check_experiment
from keras_faceattr.training.fit import network_of

TASKS: dict[str, Task] = {name: task for name, (task, _) in architecture("tree_cnn_mobile").tasks.items()}


def experiment(*overrides: str) -> Experiment:
    return load_experiment("tree_cnn", list(overrides))


@pytest.mark.parametrize(("size", "margin"), [(32, 0.0), (64, 0.0), (64, 0.1), (96, 0.25)])
def test_the_parts_lie_where_the_crop_puts_the_points(size: int, margin: float) -> None:
    config = experiment(f"data.crop.size={size}", f"data.crop.margin={margin}")
    model = network_of(config, TASKS).trainable
    # A face of 112 pixels has its eyes at x 38.38 and 73.62, y 51.6, nose and mouth at y 71.74 and 92.29; a margin on
    # both sides makes it smaller by 1 + 2 · margin. Parts are 0.8 to 1.4 distances of the eyes wide.
    scale = size / (112 * (1 + 2 * margin))
    centres = {"left_eye": (38.38, 51.6), "right_eye": (73.62, 51.6), "nose": (56, 71.74), "mouth": (56, 92.29)}
    extents = {"left_eye": (1.0, 0.8), "right_eye": (1.0, 0.8), "nose": (0.8, 0.9), "mouth": (1.4, 0.8)}
    for name in PARTS:
        (top, below), (left, beyond) = model.get_layer(name).cropping
        middle = (np.array(centres[name]) + 112 * margin) * scale
        half = np.array(extents[name]) * (73.62 - 38.38) * scale / 2
        expected = np.clip([middle - half, middle + half], 0, size)
        np.testing.assert_allclose([[left, top], [size - beyond, size - below]], expected, atol=0.51)


def test_a_margin_moves_the_parts_towards_the_middle() -> None:
    tops = [
        network_of(experiment("data.crop.size=96", f"data.crop.margin={margin}"), TASKS)
        .trainable.get_layer("mouth")
        .cropping[0][1]
        for margin in (0.0, 0.25)
    ]
    assert tops[0] < tops[1]


@pytest.mark.parametrize("method", ["centre_square", "whole_photo", "face_box"])
def test_a_crop_that_does_not_say_where_the_points_lie_is_refused(method: str) -> None:
    config = experiment(f"data.crop.method={method}", "data.crop.fallback=null")
    for refused in (lambda: network_of(config, TASKS), lambda: check_experiment(config)):
        with pytest.raises(ConfigError) as error:
            refused()
        message = str(error.value)
        assert "\n" not in message
        assert message.startswith("tree_cnn_mobile cuts parts of the face")
        assert f"data.crop.method '{method}'" in message
        assert "set data.crop.method=five_points" in message
        assert message.endswith("keras-faceattr align")


def test_a_net_that_reads_the_whole_face_takes_any_crop() -> None:
    config = experiment("model.name=tiny_att_net", "data.crop.method=centre_square", "data.crop.size=32")
    assert network_of(config, TASKS).trainable.input_shape == (None, 32, 32, 3)


def test_too_wide_a_margin_for_a_small_crop_names_both_keys() -> None:
    config = experiment("data.crop.size=32", "data.crop.margin=0.3")
    with pytest.raises(ModelError, match="raise data.crop.size or lower data.crop.margin"):
        network_of(config, TASKS)
