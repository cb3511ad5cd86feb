"""A run of two heads on two convolutions, which the engines quantize in no time."""

from __future__ import annotations

from typing import Any

import keras
import pytest
from keras import layers

from keras_faceattr.config_files import parse_experiment
from keras_faceattr.convert.source import Source
from keras_faceattr.data.prepare import prepare
from keras_faceattr.evaluation.predictions import keras_predictor, predict_split
from keras_faceattr.models.heads import HEADS, raw_outputs
from keras_faceattr.quantization.folding import fold_batch_norm
from keras_faceattr.run import Run

CONFIG = {
    "name": "tiny",
    "data": {"sources": [{"reader": "synthetic", "options": {"count": 40, "size": 40}}], "crop": {"size": 16}},
    "tasks": {"attractiveness": {}, "gender": {}},
    "training": {"batch_size": 8, "steps_per_epoch": 2},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Two heads on two convolutions."""
    experiment = parse_experiment(CONFIG, "test")
    data = prepare(experiment, ("test", "train", "val"))
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, strides=2, use_bias=False, name="conv")(x))
    x = layers.Conv2D(4, 1, name="last")(layers.ReLU(name="relu")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs: dict[str, Any] = {}
    for name, head in (("attractiveness", "distribution"), ("gender", "categorical")):
        outputs |= HEADS[head].decode(data.tasks[name], raw_outputs(x, data.tasks[name], head))
    model = keras.Model(image, outputs, name="tiny")
    run = Run(tmp_path_factory.mktemp("tiny"))
    run.write_config(experiment, data.tasks)
    model.save(run.model_path)
    said = predict_split(keras_predictor(model), data.parts["test"])
    return Source(run, experiment, data.tasks, model, fold_batch_norm(model), data, said)
