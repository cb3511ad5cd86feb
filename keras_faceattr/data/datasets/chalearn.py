"""ChaLearn LAP apparent age (2015, 2016, APPA-REAL): mean and σ of what people guess."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from keras_faceattr.data.datasets.label_tables import read_table, rename_columns
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.photo_folders import list_photos
from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.tasks import age_task

CITATION = "Escalera et al.: ChaLearn Looking at People and Faces of the World: Face Analysis Workshop, CVPRW 2016"
LICENCE = "non-commercial research only"
FOLDERS = {"train": ("train",), "val": ("valid", "validation", "val"), "test": ("test",)}
LABELS = {
    "train": ("train_gt.csv", "gt_avg_train.csv", "train.csv"),
    "val": ("valid_gt.csv", "gt_avg_valid.csv", "validation_gt.csv"),
    "test": ("test_gt.csv", "gt_avg_test.csv"),
}
REFERENCE = "reference.csv"
VALID = ("auto", "train", "val", "test")
"""Uses of the photos in `valid/`."""
COLUMNS = {
    "image": "image", "file_name": "image", "filename": "image",
    "mean": "age", "apparent_age_avg": "age",
    "std": "age_std", "stdv": "age_std", "apparent_age_std": "age_std",
}  # fmt: skip


def read(root: Path, *, valid: str = "auto") -> Manifest:
    """Read the label file of each split, with or without header, separated by `;` or `,`.

    `row` is the line in the split's own label file. The papers on the set of 2015 test on its validation photos, as the
    labels of its test photos came later; those on the set of 2016 train on its train and validation photos.

    Args:
        root: holds `train_gt.csv, valid_gt.csv, test_gt.csv` (2016; columns image, mean, σ) or `gt_avg_train.csv, …`
            (APPA-REAL), and folders `train/, valid/, test/` with the photos at any depth. A label file may lie in
            the split's folder, where it may be `Reference.csv` (2015); in `root`, that is the training part.
        valid: what the validation photos are for: `val`; `train`; `test`, which leaves the test photos out; `auto`:
            test where the test photos have no labels, else val.

    Raises:
        ConfigError: another `valid`.
        DataError: there is no label file, or one lacks a column.
    """
    if valid not in VALID:
        raise ConfigError(f"chalearn: unknown option valid {valid!r}; {nearest(valid, VALID)}")
    if not root.is_dir():
        raise DataError(f"chalearn: no such folder: {root}")
    places = {split: _named(root, FOLDERS[split], folder=True) for split in LABELS}
    found = {split: _find_labels(root, folder, split) for split, folder in places.items()}
    if valid == "auto":
        valid = "val" if found["test"] else "test"
    if valid == "test":
        found["test"] = None
    parts = [
        _read_split(root, places[split], labels).assign(split=valid if split == "val" else split)
        for split, labels in found.items()
        if labels
    ]
    if not parts:
        names = ", ".join(files[0] for files in LABELS.values())
        raise DataError(f"chalearn: no label file in {root} (looked for {names}); unpack the ground truth there")
    rows = pd.concat(parts, ignore_index=True)
    return build_manifest(Source("chalearn", root, CITATION, LICENCE), rows, [age_task()])


def _named(root: Path, names: tuple[str, ...], folder: bool = False) -> Path | None:
    """The first entry of `root` with one of these names, whatever the case of its letters."""
    found = {p.name.lower(): p for p in sorted(root.iterdir()) if p.is_dir() == folder}
    return next((found[name] for name in names if name in found), None)


def _find_labels(root: Path, folder: Path | None, split: str) -> Path | None:
    in_root = _named(root, LABELS[split] + ((REFERENCE,) if split == "train" else ()))
    return in_root or (_named(folder, (*LABELS[split], REFERENCE)) if folder else None)


def _read_split(root: Path, folder: Path | None, labels: Path) -> pd.DataFrame:
    """`image, age, age_std, row` of one label file."""
    table = read_table(labels, header_with=tuple(COLUMNS), names=("image", "mean", "std"))
    table = rename_columns(table, COLUMNS, labels)
    if folder is None:
        raise DataError(f"chalearn: {labels.name} is there, but no folder with its photos in {root}; unpack them")
    photos = list_photos(folder)
    # The least deep photo of a name comes last, and so stands.
    by_name = {photo.rsplit("/", 1)[-1]: photo for photo in sorted(photos, key=lambda p: (-p.count("/"), p))}
    name = table["image"].str.replace("\\", "/", regex=False)
    found = name.where(name.isin(photos), name.str.rpartition("/")[2].map(by_name))
    table["image"] = f"{folder.name}/" + found.fillna(name)
    return table[["image", "age", "age_std", "row"]]
