"""A folder per class, the layout that most tools read: `male/ female/`, or with `train/`, `val/`, `test/` above."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from keras_faceattr.data.datasets.split_folders import split_folders
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.photo_folders import find_photos
from keras_faceattr.errors import DataError
from keras_faceattr.tasks import CategoricalTask, check_name

CITATION = ""
LICENCE = "not stated"


def read(root: Path, *, task: str = "label") -> Manifest:
    """Read `<class>/<photo>` or `<split>/<class>/<photo>`; a class is named after its folder, and 2 comes before 10.

    With `train/`, that is train; the only other part is test, whatever its name, and where there are both, validation
    is val. Folders below a class's folder belong to it. A photo that lies in no class's folder is quarantined.

    Args:
        root: the folder.
        task: name of the task whose classes the folders are.

    Raises:
        ConfigError: no task can have this name.
        DataError: there are fewer than two classes' folders, or no photos.
    """
    check_name(task)
    if not root.is_dir():
        raise DataError(f"class_folders: no such folder: {root}")
    parts = {folder: split for split, folder in split_folders(root).items()}
    bases = [root / folder for folder in parts] or [root]
    # Also a class without photos: that it has none is said.
    classes = {p.name for base in bases for p in base.iterdir() if p.is_dir() and not p.name.startswith(".")}
    found = find_photos(root)
    rows: list[tuple[str, str | None, str]] = []
    outside = list(found.skipped)
    for photo in found.photos:
        first, _, below = photo.partition("/")
        name = (below if parts else photo).rpartition("/")[0].partition("/")[0]
        if parts and first not in parts:
            outside.append((photo, f"lies in none of the folders {', '.join(parts)}"))
        elif not name:
            outside.append((photo, "lies in no class's folder"))
        else:
            rows.append((photo, parts.get(first), name))
    if len(classes) < 2 or not rows:
        held = ", ".join(sorted(classes)) or "none"
        raise DataError(
            f"class_folders: {root} needs a folder with photos for each of two classes or more; found: {held}"
        )
    frame = pd.DataFrame(rows, columns=pd.Index(["image", "split", task]))
    source = Source("class_folders", root, CITATION, LICENCE)
    return build_manifest(source, frame, [CategoricalTask(task, tuple(sorted(classes, key=_natural)))], outside)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort numbers in names by their value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
