"""Starts of a run: whether they have seen its test photos, and the record for runs that start from this one."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_faceattr.config import ModelConfig
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.errors import DataError, RunError
from keras_faceattr.run import Run
from keras_faceattr.storage import write_text

DIGITS = 16
"""Of a photo's SHA-1 in `trained_on.txt`: 64 bits, so that two of a million photos are never mistaken."""

PHOTO = re.compile(rf"[0-9a-f]{{{DIGITS}}}")


def starts_of(model: ModelConfig) -> list[Path]:
    """The runs, models and files that `model.init_from`, `model.weights` and `model.name` name."""
    starts = model.init_from.values() if isinstance(model.init_from, dict) else [model.init_from]
    return [Path(start) for start in (*starts, model.options.get("weights"), model.file) if start]


def trained_on(start: Path) -> set[str] | None:
    """Hashes of the photos that a run, or a file anywhere in its folder, has learned from; None where nobody knows.

    Raises:
        RunError: the run's list is missing, damaged, or not the one whose count and hash its provenance holds.
    """
    for folder in (start, *start.absolute().parents):
        run = Run(folder)
        record = _record(run)
        if record is not None or os.path.lexists(run.trained_on_path):
            return _read_trained_on(run, record)
    return None


def _record(run: Run) -> dict[str, Any] | None:
    """Entry of the provenance about the list of photos; None where there is none, as in runs of earlier versions."""
    if not run.provenance_path.is_file():
        return None
    provenance = run.provenance()
    return (provenance["trained_on"] or {}) if "trained_on" in provenance else None


def _read_trained_on(run: Run, record: dict[str, Any] | None) -> set[str]:
    path, again = run.trained_on_path, "restore the file, or train a new run"
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise RunError(
            f"cannot tell which photos {run.folder} was trained on: {path.name}: {reason}; {again}"
        ) from None
    if not lines or not all(PHOTO.fullmatch(line) for line in lines):
        raise RunError(f"{path} is damaged: it holds no list of {DIGITS} hexadecimal digits per line; {again}")
    if record is not None and record != record_of(lines):
        raise RunError(f"{path} is not the list that provenance.json of the run describes; {again}")
    return set(lines)


def record_of(photos: Iterable[str]) -> dict[str, Any]:
    """Count and SHA-256 of a list of photos, as the provenance keeps them."""
    distinct = sorted(set(photos))
    digest = hashlib.sha256("".join(f"{photo}\n" for photo in distinct).encode())
    return {"photos": len(distinct), "sha256": digest.hexdigest()}


def unknown_photos(start: Path) -> str:
    """The line that warns of a model of which nobody knows what it has learned from."""
    return f"{start} does not say which photos it was trained on: test photos may be among them"


def check_starts(starts: Iterable[Path], manifest: Manifest, use: str = "start from") -> list[str]:
    """Refuse a start or a teacher that has learned from photos on which the new run is to be measured.

    Copies of a photo are known by their bytes alone: one that was resized or cut is not found.

    Args:
        manifest: manifest of the new run, split.
        use: what is done with them, for the message.

    Returns:
        What is to be told: starts of which nobody knows what they were trained on, or which know val photos.

    Raises:
        DataError: test photos were in training.
        RunError: the list of a start's photos is not what it was.
    """
    told = []
    for start in starts:
        seen = trained_on(start)
        if seen is None:
            told.append(unknown_photos(start))
            continue
        test, val = _known(seen, manifest, "test"), _known(seen, manifest, "val")
        if test:
            raise DataError(f"{start} {test}: split both by the same data.split, or {use} another")
        if val:
            told.append(f"{start} {val}")
    return told


def check_known(run: Run) -> list[str]:
    """Refuse to go on with a run whose list of photos is not what it was; tell where it has none.

    Raises:
        RunError: missing, damaged or another list.
    """
    return [unknown_photos(run.folder)] if trained_on(run.folder) is None else []


def check_unseen(path: Path, manifest: Manifest, split: str) -> list[str]:
    """Refuse to measure a run on photos that it has learned from, such as after its data has changed.

    Args:
        path: a run, or a file in its folder.
        split: to be measured; `train` may be, whoever wants that.

    Returns:
        What is to be told: of a file that lies elsewhere, and of a run of an earlier version, nobody knows what it has
        learned from.

    Raises:
        DataError: photos of the split were in training.
        RunError: the list of the run's photos is not what it was.
    """
    if split == "train":
        return []
    seen = trained_on(path)
    if seen is None:
        return [unknown_photos(path)]
    if known := _known(seen, manifest, split):
        raise DataError(f"{path} {known}: its data has changed since; measure on photos that it does not know")
    return []


def _known(seen: set[str], manifest: Manifest, split: str) -> str:
    """Number of photos of a split that were in training, as text; empty where none was."""
    part = manifest.select(manifest.rows["split"] == split)
    known = np.array([photo in seen for photo in _hashes(part)], bool)
    if not known.any():
        return ""
    first = part.rows.iloc[int(known.argmax())]
    name = f"{first['source']}/{first['image']}"
    return f"was trained on {int(known.sum())} of {len(part)} {split} photos (the first: {name})"


def write_trained_on(run: Run, starts: Iterable[Path], manifest: Manifest) -> dict[str, Any]:
    """Record what the run learns from: its train photos and whatever its starts and teachers know.

    Returns:
        Count and hash of the list, for the provenance.
    """
    train = _hashes(manifest)[(manifest.rows["split"] == "train").to_numpy(bool)]
    # A photo that cannot be read has no hash.
    seen = set(train).union(*(trained_on(start) or () for start in starts)) - {""}
    write_text(run.trained_on_path, "".join(f"{photo}\n" for photo in sorted(seen)))
    return record_of(seen)


def _hashes(manifest: Manifest) -> np.ndarray:
    """(n,) beginnings of the hashes of the photos' bytes."""
    return manifest.rows["sha1"].str[:DIGITS].to_numpy(object)
