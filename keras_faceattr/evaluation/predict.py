"""Predictions over any number of photos, a bounded number in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_faceattr.data.crop_cache import each
from keras_faceattr.data.photo_folders import list_photos
from keras_faceattr.errors import DataError
from keras_faceattr.evaluation.predictions import EVALUATION_BATCH, Outputs, Predictor, value_names
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import NO_FACE, Cropper, Cut
from keras_faceattr.faces.photos import read_photo
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
    nets: Sequence[tuple[Predictor, CropSpec]],
    tasks: dict[str, Task],
    photos: list[Path],
    face: str = "all",
    ready: bool = False,
    batch_size: int = EVALUATION_BATCH,
) -> Iterator[tuple[list[Row], list[str]]]:
    """Predicts batch by batch; of several nets the mean.

    Args:
        nets: each with its crop; crops differ in size alone.
        tasks: that all of the nets know.
        face: which of a photo's faces, where the crop looks for faces: `all`, the `largest`, or the most `central`.
        ready: whether the photos are crops already.

    Yields:
        Rows of the photos that could be read, `{image, <task>…}`; where the crop looks for faces a row for each, with
        its number and its box in pixels; and reasons for the photos that could not be read or show no face.
    """
    croppers = {spec: Cropper(spec, face) for _, spec in nets}
    first_spec = nets[0][1]

    def cuts_of(path: Path) -> list[dict[CropSpec, Cut]]:
        photo = read_photo(path)
        if ready:
            return [{spec: cropper.ready(photo) for spec, cropper in croppers.items()}]
        faces = croppers[first_spec].find(photo)
        by_crop = [cropper.cut(photo, faces) for cropper in croppers.values()]
        return [dict(zip(croppers, cuts, strict=True)) for cuts in zip(*by_crop, strict=True)]

    def outputs_of(part: list[dict[CropSpec, Cut]]) -> Outputs:
        images = {spec: np.stack([cuts[spec].pixels for cuts in part]).astype("float32") for spec in croppers}
        return _mean([predictor(_padded(images[spec], batch_size)) for predictor, spec in nets])

    for start in range(0, len(photos), batch_size):
        batch = photos[start : start + batch_size]
        found: list[tuple[Path, int, dict[CropSpec, Cut]]] = []
        failures: list[str] = []
        for path, cuts in zip(batch, each(batch, cuts_of), strict=True):
            if isinstance(cuts, str):
                failures.append(cuts)
            elif not cuts:
                failures.append(f"{path}: {NO_FACE}")
            else:
                found += [(path, number, cut) for number, cut in enumerate(cuts, start=1)]
        rows: list[Row] = []
        for first in range(0, len(found), batch_size):
            part = found[first : first + batch_size]
            outputs = outputs_of([cut for _, _, cut in part])
            for i, (path, number, cut) in enumerate(part):
                place = _place(number, cut[first_spec]) if first_spec.needs_face else {}
                rows.append({"image": str(path), **place, **_values(tasks, outputs, i)})
        yield rows, failures


def _mean(outputs: list[Outputs]) -> Outputs:
    """Of what all of the nets say; a distribution may be one net's alone."""
    return {name: np.mean([each[name] for each in outputs], axis=0) for name in set.intersection(*map(set, outputs))}


def _place(number: int, cut: Cut) -> Row:
    """Where a face lies; a photo that was cut without one says so by empty cells."""
    edges = ("left", "top", "right", "bottom")
    box: list[float | None] = [None] * 4 if cut.box is None else [round(float(edge), 1) for edge in cut.box]
    return {"face": number, **dict(zip(edges, box, strict=True)), "face_score": cut.score}


def _padded(images: np.ndarray, batch_size: int) -> np.ndarray:
    """One batch shape, so that the model is compiled once; a single photo stays single."""
    if len(images) in (1, batch_size):
        return images
    return np.concatenate([images, np.zeros((batch_size - len(images), *images.shape[1:]), images.dtype)])


def _values(tasks: dict[str, Task], outputs: Outputs, index: int) -> Row:
    row: Row = {}
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
            row.update({column: float(value) for column, value in zip(value_names(task), values, strict=True)})
    return row
