"""Predictions over any number of photos, a bounded number in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_faceattr.data.crop import CropSpec
from keras_faceattr.data.crops import decode_stream
from keras_faceattr.data.manifest import list_photos
from keras_faceattr.errors import DataError
from keras_faceattr.evaluation.predictions import EVALUATION_BATCH, Outputs, Predictor
from keras_faceattr.tasks import CategoricalTask, Task

Row = dict[str, Any]


def list_inputs(source: Path) -> list[Path]:
    """The photos that a user names.

    Args:
        source: a photo, a folder (with all below it), or a CSV with a column `image` of paths beside it.

    Raises:
        DataError: nothing is there.
    """
    if source.is_dir():
        return [source / name for name in list_photos(source)]
    if not source.is_file():
        raise DataError(f"no such photo, folder or CSV: {source}")
    if source.suffix.lower() != ".csv":
        return [source]
    try:
        table = pd.read_csv(source, dtype="string")
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise DataError(f"{source}: cannot be read as CSV: {error}") from None
    if "image" not in table:
        raise DataError(f"{source}: no column 'image'; it has {', '.join(table.columns)}")
    names = table["image"].dropna()
    if not len(names):
        raise DataError(f"{source}: the column 'image' is empty")
    return [source.parent / name for name in names]


def predict_photos(
    predictor: Predictor, tasks: dict[str, Task], photos: list[Path], spec: CropSpec, batch_size: int = EVALUATION_BATCH
) -> Iterator[tuple[list[Row], list[str]]]:
    """Predicts batch by batch.

    Yields:
        Rows `{image, <task>…}` of the photos that could be read, and reasons for those that could not.
    """
    for start in range(0, len(photos), batch_size):
        batch = photos[start : start + batch_size]
        decoded = list(decode_stream(batch, spec))
        good = [(path, crop) for path, crop in zip(batch, decoded, strict=True) if not isinstance(crop, str)]
        failures = [crop for crop in decoded if isinstance(crop, str)]
        rows: list[Row] = []
        if good:
            images = np.stack([crop for _, crop in good]).astype("float32")
            outputs = predictor(_padded(images, batch_size))
            rows = [_row(path, tasks, outputs, i) for i, (path, _) in enumerate(good)]
        yield rows, failures


def _padded(images: np.ndarray, batch_size: int) -> np.ndarray:
    """One batch shape, so that the model is compiled once; a single photo stays single."""
    if len(images) in (1, batch_size):
        return images
    return np.concatenate([images, np.zeros((batch_size - len(images), *images.shape[1:]), images.dtype)])


def _row(path: Path, tasks: dict[str, Task], outputs: Outputs, index: int) -> Row:
    row: Row = {"image": str(path)}
    for name, task in tasks.items():
        values = outputs[name][index]
        if isinstance(task, CategoricalTask):
            row[name] = task.classes[int(values.argmax())]
            row[f"{name}_probability"] = float(values.max())
        elif task.kind == "scalar":
            row[name] = float(values)
            distribution = outputs.get(f"{name}_distribution")
            if distribution is not None:
                bins = task.bins  # type: ignore[union-attr]
                row[f"{name}_std"] = float(
                    np.sqrt(max(0.0, distribution[index] @ (bins - distribution[index] @ bins) ** 2))
                )
        else:
            row.update({column: float(value) for column, value in zip(task.columns, values, strict=True)})
    return row
