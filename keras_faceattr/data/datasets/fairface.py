"""FairFace: faces of seven races with gender and a band of age, and six attributes labelled by this project."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pandas as pd

from keras_faceattr.data.datasets.label_tables import read_table, require_columns
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.vocabulary import APPEARANCES, RACES
from keras_faceattr.errors import ConfigError, DataError
from keras_faceattr.tasks import BinaryTask, CategoricalTask, Task, age_task

CITATION = (
    "Kärkkäinen, Joo: FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age for Bias Measurement and "
    "Mitigation, WACV 2021"
)
LICENCE = "CC BY 4.0"
GENDERS = ("male", "female")
BANDS = ((0, 2), (3, 9), (10, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, 100))
"""Age bands in completed years; the last one ends with the task's range."""

OLDEST = ("70+", "more than 70")
MONTHS = {"mar": 3, "sep": 9, "oct": 10}
"""A spreadsheet reads 3-9 and 10-19 as days of a year, and writes them as 3-Sep, 9-Mar, 03-Sep, Oct-19 and 19-Oct."""

SPLITS = {"train": "train", "val": "test"}
"""The validation photos are the test: those of the release's own test part have no public labels."""

MARGINS = {0.25: "fairface-img-margin025-trainval", 1.25: "fairface-img-margin125-trainval"}
"""Folders into which the release's two archives are unpacked, by the margin round the face."""

ATTRIBUTE_FILE = "fairface_attributes.csv"


def read(root: Path, *, margin: float = 0.25, attributes: bool = True) -> Manifest:
    """Read the official release.

    Ages are bands of completed years. The validation photos are the test photos; val is held out of train.

    Args:
        root: holds `fairface_label_train.csv` and `fairface_label_val.csv`, or one of them, and the photos in `train/`
            and `val/`, in the folder itself or in the one that the archive of this margin is unpacked into.
        margin: round the face, of the archive that is read: 0.25 or 1.25.
        attributes: whether to join `smiling`, `mouth_open`, `eyeglasses`, `sunglasses`, `headwear` and `facial_hair`,
            which this project has labelled on 10,238 of the photos.

    Raises:
        ConfigError: another margin.
        DataError: labels or photos are missing, or a file is malformed.
    """
    if margin not in MARGINS:
        raise ConfigError(f"fairface: margin {margin:g} is none of {', '.join(map(str, MARGINS))}")
    tables = {split: root / f"fairface_label_{split}.csv" for split in SPLITS}
    found = [_read_split(path, split) for split, path in tables.items() if path.is_file()]
    if not found:
        raise DataError(f"fairface: no {tables['train'].name} in {root}; give the folder with the release's labels")
    rows = pd.concat(found, ignore_index=True)
    years = [_band(label) for label in rows["age"].fillna("")]
    notes = _notes(rows["age"])
    rows["age_low"] = [band[0] if band else label for band, label in zip(years, rows["age"], strict=True)]
    rows["age_high"] = [band[1] if band else pd.NA for band in years]
    rows["age"] = pd.NA
    rows["gender"] = rows["gender"].str.lower()
    tasks: list[Task] = [
        age_task(bands=BANDS),
        CategoricalTask("gender", GENDERS),
        CategoricalTask("race", RACES),
    ]
    if attributes:
        rows = rows.merge(_attributes(), on="file", how="left", validate="many_to_one")
        tasks += [BinaryTask(name) for name in APPEARANCES]
    rows["image"] = _folder(root, margin) + rows["file"]
    source = Source("fairface", root, CITATION, LICENCE)
    return build_manifest(source, rows.drop(columns="file"), tasks, notes=notes)


def _read_split(path: Path, split: str) -> pd.DataFrame:
    table = read_table(path)
    require_columns(table, ["file", "age", "gender", "race"], path)
    return table[["file", "age", "gender", "race", "row"]].assign(split=SPLITS[split])


def _band(label: str) -> tuple[int, int] | None:
    """Lowest and highest age of a band, also where a spreadsheet has made a date of it; None for what is no band."""
    if label in OLDEST:
        return BANDS[-1]
    ends = [MONTHS.get(part.lower(), int(part) if part.isdecimal() else -1) for part in label.split("-")]
    band = (min(ends), max(ends))
    return band if len(ends) == 2 and band in BANDS else None


def _notes(labels: pd.Series) -> list[str]:
    dates = labels[labels.str.contains("[A-Za-z]", na=False) & ~labels.isin(OLDEST)]
    if not len(dates):
        return []
    shown = ", ".join(f"{label} ({count})" for label, count in dates.value_counts().items())
    return [f"fairface: a spreadsheet has made dates of {len(dates)} bands of age, which are read as such: {shown}"]


def _attributes() -> pd.DataFrame:
    """0, 1 or missing, by file."""
    path = resources.files("keras_faceattr.data.labels") / ATTRIBUTE_FILE
    with path.open(encoding="utf-8") as stream:
        return pd.read_csv(stream, dtype={"file": "string"})


def _folder(root: Path, margin: float) -> str:
    """Below `root`, before a photo's path."""
    if (root / MARGINS[margin]).is_dir():
        return f"{MARGINS[margin]}/"
    if any((root / split).is_dir() for split in SPLITS):
        return ""
    raise DataError(f"fairface: no photos in {root}; unpack {MARGINS[margin]}.zip there")
