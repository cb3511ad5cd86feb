"""FER2013: 48×48 grey faces in seven expressions, as folders of photos or as the challenge's csv of pixels."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd

from keras_faceattr.cache import hold_for_good
from keras_faceattr.data.datasets.fer2013_pixels import ROW_FILE, extract
from keras_faceattr.data.datasets.split_folders import split_folders
from keras_faceattr.data.manifest import QUARANTINE_COLUMNS, Manifest, Source, build_manifest
from keras_faceattr.data.photo_folders import find_photos
from keras_faceattr.data.vocabulary import EXPRESSIONS
from keras_faceattr.errors import DataError
from keras_faceattr.storage import cache_folder
from keras_faceattr.tasks import CategoricalTask

CITATION = "Goodfellow et al.: Challenges in Representation Learning: A Report on Three Machine Learning Contests, 2013"
LICENCE = "research only"
TABLES = ("fer2013.csv", "icml_face_data.csv")


def read(root: Path) -> Manifest:
    """Read folders `train/<class>/` with `validation/<class>/` or `test/<class>/`, or `fer2013.csv`.

    Folders: train is train; the only other part is test, whatever its name, and where there are both, validation is
    val. Csv: Training, PublicTest and PrivateTest are train, val and test; its photos are written once as PNG below
    the cache folder, which is then the source's root, and rows without 48 × 48 numbers from 0 to 255 are quarantined.

    Args:
        root: the csv, or a folder with the csv or with the folders.

    Raises:
        DataError: neither is there, or the csv is malformed.
    """
    if root.is_file():
        return _read_csv(root)
    if not root.is_dir():
        raise DataError(f"fer2013: no such file or folder: {root}")
    parts = split_folders(root)
    if parts:
        return _read_folders(root, parts)
    table = next((root / name for name in TABLES if (root / name).is_file()), None)
    if table is None:
        raise DataError(f"fer2013: neither train/ nor {TABLES[0]} in {root}; give the release's folder")
    return _read_csv(table)


def _read_folders(root: Path, parts: dict[str, str]) -> Manifest:
    frames, skipped = [], []
    for split, folder in parts.items():
        found = find_photos(root / folder)
        skipped += [(f"{folder}/{path}", reason) for path, reason in found.skipped]
        images = pd.Series(found.photos, dtype="string")
        label = images.str.extract(r"([^/]+)/[^/]+$", expand=False).str.lower()
        frames.append(pd.DataFrame({"image": f"{folder}/" + images, "expression": label, "split": split}))
    rows = pd.concat(frames, ignore_index=True)
    return build_manifest(Source("fer2013", root, CITATION, LICENCE), rows, [_task()], skipped)


def _read_csv(path: Path) -> Manifest:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    folder = cache_folder() / f"fer2013-{digest[:12]}"
    if not ((folder / ROW_FILE).is_file() and hold_for_good(folder)):
        extract(path, folder)
        hold_for_good(folder)
    rows = pd.read_csv(folder / ROW_FILE, keep_default_na=False, dtype={"reason": "string"})
    bad = rows[rows["reason"] != ""]
    if len(bad) == len(rows):
        first = f"line {bad['row'].iloc[0]}, {bad['reason'].iloc[0]}"
        raise DataError(f"{path}: none of {len(rows)} rows can be used; the first: {first}")
    good = rows[rows["reason"] == ""].drop(columns="reason")
    manifest = build_manifest(Source("fer2013", folder, CITATION, LICENCE), good, [_task()])
    aside = bad.assign(source="fer2013")[QUARANTINE_COLUMNS]
    before = [manifest.quarantine] if len(manifest.quarantine) else []
    return replace(manifest, quarantine=pd.concat([*before, aside], ignore_index=True))


def _task() -> CategoricalTask:
    return CategoricalTask("expression", EXPRESSIONS)
