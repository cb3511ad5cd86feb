"""Predictions of a model on batches, plain or averaged with the mirrored photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_faceattr.data.crops import LabelledCrops
from keras_faceattr.data.pipeline import evaluation_batches, iterate

EVALUATION_BATCH = 64

Outputs = dict[str, np.ndarray]
Predictor = Callable[[np.ndarray], Outputs]


def keras_predictor(model: keras.Model, tta: str = "none") -> Predictor:
    """Function from (batch, side, side, 3) pixels, 0–255, to the model's outputs by name.

    Args:
        tta: `flip` averages with the outputs of the mirrored photo (DLDL-v2, section 4.1).
    """

    def predict(images: np.ndarray) -> Outputs:
        outputs = _outputs(model, images)
        if tta == "flip":
            mirrored = _outputs(model, images[:, :, ::-1])
            outputs = {name: (value + mirrored[name]) / 2 for name, value in outputs.items()}
        return outputs

    return predict


def predict_split(predictor: Predictor, data: LabelledCrops, batch_size: int = EVALUATION_BATCH) -> Outputs:
    """Outputs for all photos of a split, in order."""
    collected: dict[str, list[np.ndarray]] = {}
    for _, images, _ in iterate(evaluation_batches(data, batch_size)):
        for name, value in predictor(np.asarray(images)).items():
            collected.setdefault(name, []).append(value)
    return {name: np.concatenate(values) for name, values in collected.items()}


def _outputs(model: keras.Model, images: Any) -> Outputs:
    return {name: np.asarray(value) for name, value in model.predict_on_batch(images).items()}
