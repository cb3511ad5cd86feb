"""Outputs of a model for photos: plain or averaged with the mirrored photo, and as columns of a table.

Nothing here imports Keras or TensorFlow, so that exported files are measured without them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_faceattr.data.crop_cache import LabelledCrops
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.storage import replacing
from keras_faceattr.tasks import VECTORS, CategoricalTask, Task, label_columns

if TYPE_CHECKING:
    import keras

EVALUATION_BATCH = 64

TTA = ("none", "flip")
"""Test-time augmentations."""

Outputs = dict[str, np.ndarray]
Predictor = Callable[[np.ndarray], Outputs]
"""(batch, side, side, 3) pixels, 0–255, to the model's outputs by name."""


def keras_predictor(model: keras.Model) -> Predictor:
    """Predictor of a Keras model; it sees batches of a few sizes alone, as it is traced anew for each."""

    def predict(images: np.ndarray) -> Outputs:
        count = len(images)
        outputs = model.predict_on_batch(_padded(images))
        return {name: np.asarray(value)[:count] for name, value in outputs.items()}

    return predict


def _padded(images: np.ndarray) -> np.ndarray:
    """The photos, and black ones behind them up to the next power of two."""
    missing = (1 << (len(images) - 1).bit_length()) - len(images)
    return np.concatenate([images, np.zeros((missing, *images.shape[1:]), images.dtype)]) if missing else images


def with_augmentation(predictor: Predictor, tta: str) -> Predictor:
    """Predictor with test-time augmentation.

    Args:
        tta: `none`, or `flip`: averages with the outputs of the mirrored photo (DLDL-v2, section 4.1).
    """

    def predict(images: np.ndarray) -> Outputs:
        outputs, mirrored = predictor(images), predictor(images[:, :, ::-1])
        return {name: (value + mirrored[name]) / 2 for name, value in outputs.items()}

    return predict if tta == "flip" else predictor


def predict_split(predictor: Predictor, data: LabelledCrops, batch_size: int = EVALUATION_BATCH) -> Outputs:
    """Outputs for all photos of a split, in order."""
    collected: dict[str, list[np.ndarray]] = {}
    for crops in data.crops.chunks(data.rows, batch_size):
        for name, value in predictor(crops.astype("float32")).items():
            collected.setdefault(name, []).append(value)
    return {name: np.concatenate(values) for name, values in collected.items()}


def prediction_columns(task: Task, values: np.ndarray) -> dict[str, Any]:
    """Columns of a table of predictions: the value, or class and probability, or a probability an attribute.

    What is not a number is no class, and an empty cell.
    """
    if isinstance(task, CategoricalTask):
        best = values.argmax(axis=1)
        names = np.array(task.classes, dtype=object)[best]
        names[~np.isfinite(values).all(axis=1)] = None
        return {f"{task.name}_predicted": names, f"{task.name}_probability": values.max(axis=1)}
    if task.kind == "scalar":
        return {f"{task.name}_predicted": values}
    return {f"{name}_predicted": values[:, i] for i, name in enumerate(value_names(task))}


def value_names(task: Task) -> list[str]:
    """Names of the numbers that a net gives for a task with several."""
    return [f"{task.name}.{i}" for i in range(task.dimension)] if isinstance(task, VECTORS) else list(task.columns)


def write_predictions(path: Path, manifest: Manifest, tasks: dict[str, Task], outputs: Outputs) -> None:
    """Write one row per photo: its labels and the model's predictions."""
    rows = manifest.rows
    columns = {name: rows[name] for name in ("source", "image", *manifest.groups)}
    for name, task in tasks.items():
        columns |= {column: rows[column] for column in label_columns([task], rows.columns)}
        columns |= prediction_columns(task, outputs[name])
    table = pd.DataFrame(columns)
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
