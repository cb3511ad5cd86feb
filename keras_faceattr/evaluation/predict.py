"""Predictions over any number of photos, a bounded number in memory at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_faceattr.data.crop_cache import each
from keras_faceattr.data.datasets.label_tables import TABLE_SUFFIXES, read_table, require_columns
from keras_faceattr.data.photo_folders import find_photos
from keras_faceattr.errors import DataError
from keras_faceattr.evaluation.face import NO_LIMITS, Box, Face, Limits, Row, answer_of, cell_types, columns_of
from keras_faceattr.evaluation.intervals import Intervals
from keras_faceattr.evaluation.predictions import EVALUATION_BATCH, Outputs, Predictor
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import NO_FACE, Cropper, Cut
from keras_faceattr.faces.stored import StoredPhoto
from keras_faceattr.tasks import Task


@dataclass(frozen=True)
class Inputs:
    """Photos that a user wants predicted.

    Attributes:
        photos: every file that may be a photo, in order.
        left_out: why something that may hold a photo cannot even be opened.
        other_files: files of a folder that do not end as photos do, by suffix.
    """

    photos: list[Path]
    left_out: list[str] = field(default_factory=list)
    other_files: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Predicted:
    """Predictions of a batch of photos.

    Attributes:
        faces: faces of the photos that could be read; one for each photo where the crop looks for no faces.
        left_out: reasons for photos that could not be read or show no face.
    """

    faces: list[Face]
    left_out: list[str]

    @property
    def rows(self) -> list[Row]:
        """The faces as rows of a table."""
        return [face.row() for face in self.faces]

    @property
    def abstained(self) -> int:
        """Cells that are empty because the answer was less certain than demanded."""
        return sum(len(face.abstained) for face in self.faces)

    @property
    def no_answer(self) -> list[str]:
        """Photos and tasks for which a net gave no number; their cells are empty."""
        return [
            f"{face.image}: the net gives no number for {name}" for face in self.faces for name in face.without_answer
        ]


def list_inputs(source: Path) -> Inputs:
    """The photos that a user names.

    Args:
        source: a photo, a folder (with all below it), or a table with a column `image` of paths below the table's
            folder, read as `fit` reads its labels.

    Raises:
        DataError: nothing is there.
    """
    # Not the methods of paths, which raise for names that are too long and for folders without permission.
    if not os.path.exists(source):  # noqa: PTH110
        raise DataError(f"no such photo, folder or CSV: {source}")
    if source.is_dir():
        found = find_photos(source)
        skipped = [f"{source / path}: {reason}" for path, reason in found.skipped]
        return Inputs([source / name for name in found.photos], skipped, found.others)
    if source.suffix.lower() not in TABLE_SUFFIXES:
        return Inputs([source])
    table = read_table(source)
    require_columns(table, ["image"], source)
    names = table["image"].str.replace("\\", "/", regex=False)
    absent = [f"{source}, line {row}: no photo is named" for row in table["row"][names.isna()]]
    if len(absent) == len(table):
        raise DataError(f"{source}: the column 'image' is empty")
    return Inputs([source.parent / name for name in names.dropna()], absent)


def predict_photos(
    nets: Sequence[tuple[Predictor, CropSpec]],
    tasks: dict[str, Task],
    photos: list[Path],
    face: str = "all",
    ready: bool = False,
    batch_size: int = EVALUATION_BATCH,
    first_batch: int = 0,
    croppers: dict[CropSpec, Cropper] | None = None,
    intervals: Mapping[str, Intervals] | None = None,
    limits: Limits = NO_LIMITS,
) -> Iterator[Predicted]:
    """Predict batch by batch; of several nets the mean.

    Args:
        nets: each with its crop; crops differ in size alone.
        tasks: that all of the nets know.
        face: which of a photo's faces, where the crop looks for faces: `all`, the `largest`, or the most `central`.
        ready: whether the photos are crops already.
        first_batch: where to begin; the batches before it are passed over.
        croppers: by crop, for a caller who has built them; `face` is then theirs.
        intervals: of scalar tasks that have them.
        limits: how certain answers must be.

    Raises:
        ResourceError: memory or open files ran out.
    """
    croppers = croppers or {spec: Cropper(spec, face) for _, spec in nets}
    first_spec = nets[0][1]

    def cuts_of(path: Path) -> list[dict[CropSpec, Cut]]:
        photo = StoredPhoto.read(path)
        if ready:
            return [{spec: cropper.ready(photo) for spec, cropper in croppers.items()}]
        faces = croppers[first_spec].find(photo)
        by_crop = [cropper.cut(photo, faces) for cropper in croppers.values()]
        return [dict(zip(croppers, cuts, strict=True)) for cuts in zip(*by_crop, strict=True)]

    def outputs_of(part: list[dict[CropSpec, Cut]]) -> Outputs:
        images = {spec: np.stack([cuts[spec].pixels for cuts in part]).astype("float32") for spec in croppers}
        return _mean([predictor(images[spec]) for predictor, spec in nets])

    for start in range(first_batch * batch_size, len(photos), batch_size):
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
        faces: list[Face] = []
        for first in range(0, len(found), batch_size):
            part = found[first : first + batch_size]
            outputs = outputs_of([cut for _, _, cut in part])
            places = [(str(path), number, cut[first_spec]) for path, number, cut in part]
            faces += faces_of(places, tasks, outputs, first_spec.needs_face, intervals or {}, limits)
        yield Predicted(faces, failures)


def column_types(tasks: dict[str, Task]) -> dict[str, type]:
    """Type of each column that a row may have, whatever the first rows hold."""
    types: dict[str, type] = {"image": str, "face": int, **dict.fromkeys((*Box._fields, "face_score"), float)}
    for task in tasks.values():
        types |= cell_types(task)
    return types


def faces_of(
    places: Sequence[tuple[str, int, Cut]],
    tasks: dict[str, Task],
    outputs: Outputs,
    looked_for: bool,
    intervals: Mapping[str, Intervals],
    limits: Limits,
) -> list[Face]:
    """The records of crops.

    Args:
        places: photo, number of the face in it, and crop of each.
        outputs: outputs of the net, a row per crop.
        looked_for: whether the crop looks for faces.
        intervals: of scalar tasks that have them.
        limits: how certain answers must be.
    """
    columns = {name: columns_of(task, outputs, name in intervals) for name, task in tasks.items()}
    return [
        Face(
            image,
            number,
            None if cut.box is None else Box(*map(float, cut.box)),
            cut.points,
            cut.score,
            {name: answer_of(task, outputs, index, intervals.get(name)) for name, task in tasks.items()},
            columns,
            looked_for,
            limits,
        )
        for index, (image, number, cut) in enumerate(places)
    ]


def _mean(outputs: list[Outputs]) -> Outputs:
    """Average the outputs of all nets; only one of them may have a distribution."""
    return {name: np.mean([each[name] for each in outputs], axis=0) for name in set.intersection(*map(set, outputs))}
