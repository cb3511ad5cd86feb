"""The tables of an alignment: a row per crop, and a row per photo without one."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import pandas as pd

from keras_faceattr.alignment.journal import Entry
from keras_faceattr.data.aligned_folder import MANIFEST_FILE, POINT_COLUMNS
from keras_faceattr.data.manifest import QUARANTINE_COLUMNS, Manifest
from keras_faceattr.storage import replacing

QUARANTINE_FILE = "quarantine.csv"
BOX_AND_POINTS = ("left", "top", "right", "bottom", "face_score", *POINT_COLUMNS)
PLACE_COLUMNS = ("image", "source", "source_image", "source_sha256", "face", *BOX_AND_POINTS)
"""Columns that say where a crop comes from; labels of the same name are dropped."""


def crop_labels(manifest: Manifest, carried: pd.DataFrame | None, all_faces: bool) -> pd.DataFrame:
    """Label columns of the table of crops, row by row as the manifest.

    Args:
        carried: further columns.
        all_faces: whether a photo may have several crops.
    """
    rows = manifest.rows
    labels = rows[[column for column in rows if column not in (*PLACE_COLUMNS, "row")]]
    if all_faces:
        # Faces of one photo belong into one split.
        known = labels["identity"] if "identity" in labels else pd.Series(pd.NA, labels.index, dtype="string")
        labels = labels.assign(identity=known.fillna(rows["image"]))
    if "identity" in labels and len(manifest.sources) > 1:
        # Person 1 of one data set is not person 1 of another.
        labels = labels.assign(identity=rows["source"].astype("string") + "/" + labels["identity"])
    if carried is not None:
        labels = labels.join(carried[[c for c in carried if c not in (*PLACE_COLUMNS, *labels)]])
    return labels


def write_tables(
    folder: Path,
    manifest: Manifest,
    labels: pd.DataFrame,
    entries: Iterable[Entry],
    crop_name: Callable[[int, int], str],
) -> None:
    """Writes `manifest.csv` and `quarantine.csv`.

    Args:
        labels: of `crop_labels`.
        entries: of the journal, one per row of the manifest.
        crop_name: path of a crop below `folder`, by the photo's and the face's number, from 0.
    """
    rows = manifest.rows
    with (
        replacing(folder / MANIFEST_FILE) as table_path,
        replacing(folder / QUARANTINE_FILE) as aside_path,
        table_path.open("w", encoding="utf-8", newline="") as table,
        aside_path.open("w", encoding="utf-8", newline="") as aside,
    ):
        _write_row(table, [*PLACE_COLUMNS, *labels])
        _write_row(aside, QUARANTINE_COLUMNS)
        for bad in manifest.quarantine[QUARANTINE_COLUMNS].itertuples(index=False, name=None):
            _write_row(aside, [_plain(value) for value in bad])
        cells = [part.itertuples(index=False, name=None) for part in (rows[["source", "image", "row"]], labels)]
        for photo, ((source, image, row), values, entry) in enumerate(zip(*cells, entries, strict=True)):
            if entry["reason"] is not None:
                _write_row(aside, [source, image, row, entry["reason"]])
            for number, face in enumerate(entry["faces"]):
                place = [crop_name(photo, number), source, image, entry["sha256"], number + 1, *_box_and_points(face)]
                _write_row(table, [*place, *(_plain(value) for value in values)])


def _write_row(stream: IO[str], cells: Sequence[Any]) -> None:
    """One record; a cell with either kind of line break is quoted, which Python does before 3.13 by the line's end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    stream.write(line.getvalue().removesuffix("\r\n") + "\n")


def _box_and_points(face: dict[str, Any]) -> list[Any]:
    if face["box"] is None:
        return [""] * len(BOX_AND_POINTS)
    return [*face["box"], f"{face['score']:.6f}", *(value for point in face["points"] for value in point)]


def _plain(value: Any) -> Any:
    return "" if value is None or value is pd.NA or value != value else value
