"""What a run starts from: whether that has seen its test photos, and what those who start from it must know."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from keras_faceattr.data.manifest import Manifest
from keras_faceattr.errors import DataError
from keras_faceattr.run import Run
from keras_faceattr.storage import write_text

DIGITS = 16
"""Of a photo's SHA-1 in `trained_on.txt`: 64 bits, so that two of a million photos are never mistaken."""


def starts_of(init_from: str | dict[str, str] | None) -> list[Path]:
    """The runs and models that `model.init_from` names."""
    return [Path(start) for start in (init_from.values() if isinstance(init_from, dict) else [init_from]) if start]


def trained_on(start: Path) -> set[str] | None:
    """Hashes of the photos that a run, or a file anywhere in its folder, has learned from; None where nobody knows."""
    for folder in (start, *start.absolute().parents):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return set(Run(folder).trained_on_path.read_text(encoding="utf-8").split())
    return None


def check_starts(starts: Iterable[Path], manifest: Manifest) -> list[str]:
    """Refuses a start that has learned from photos on which the new run is to be measured.

    Copies of a photo are known by their bytes alone: one that was resized or cut is not found.

    Args:
        manifest: of the new run, split.

    Returns:
        What is to be told: starts of which nobody knows what they were trained on, or which know val photos.

    Raises:
        DataError: test photos were in training.
    """
    told = []
    for start in starts:
        seen = trained_on(start)
        if seen is None:
            told.append(f"{start} does not say which photos it was trained on: test photos may be among them")
            continue
        test, val = _known(seen, manifest, "test"), _known(seen, manifest, "val")
        if test:
            raise DataError(f"{start} {test}: split both by the same data.split, or start from another")
        if val:
            told.append(f"{start} {val}")
    return told


def check_unseen(path: Path, manifest: Manifest, split: str) -> None:
    """Refuses to measure a run on photos that it has learned from, such as after its data has changed.

    Args:
        path: a run, or a file in its folder; of a file that lies elsewhere nobody knows what it has learned from.
        split: to be measured; `train` may be, whoever wants that.

    Raises:
        DataError: photos of the split were in training.
    """
    known = _known(trained_on(path) or set(), manifest, split) if split != "train" else ""
    if known:
        raise DataError(f"{path} {known}: its data has changed since; measure on photos that it does not know")


def _known(seen: set[str], manifest: Manifest, split: str) -> str:
    """How many photos of a split were in training, for people; empty where none was."""
    part = manifest.select(manifest.rows["split"] == split)
    known = np.array([photo in seen for photo in _hashes(part)], bool)
    if not known.any():
        return ""
    first = part.rows.iloc[int(known.argmax())]
    name = f"{first['source']}/{first['image']}"
    return f"was trained on {int(known.sum())} of {len(part)} {split} photos (the first: {name})"


def write_trained_on(run: Run, starts: Iterable[Path], manifest: Manifest) -> None:
    """Records what the run learns from: its train photos and whatever its starts know."""
    train = _hashes(manifest)[(manifest.rows["split"] == "train").to_numpy(bool)]
    seen = set(train).union(*(trained_on(start) or () for start in starts))
    write_text(run.trained_on_path, "".join(f"{photo}\n" for photo in sorted(seen)))


def _hashes(manifest: Manifest) -> np.ndarray:
    """(n,) beginnings of the hashes of the photos' bytes."""
    return manifest.rows["sha1"].str[:DIGITS].to_numpy(object)
