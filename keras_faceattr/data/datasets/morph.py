"""MORPH Album 2: mug shots with age, gender, race and identity."""

from __future__ import annotations

from pathlib import Path

from keras_faceattr.data.datasets.label_tables import find_csv, read_table, rename_columns
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.errors import DataError
from keras_faceattr.tasks import CategoricalTask, Task, age_task

CITATION = "Ricanek, Tesafaye: MORPH: A Longitudinal Image Database of Normal Adult Age-Progression, FG 2006"
LICENCE = "by agreement with the University of North Carolina Wilmington"
GENDERS = {"F": "female", "M": "male"}
RACES = {"A": "Asian", "B": "Black", "H": "Hispanic", "O": "Other", "W": "White"}
COLUMNS = ("id_num", "race", "gender", "age", "photo")
PHOTOS = "Album2"
NO_LABELS = "EYECOORDS"


def read(root: Path, *, label_file: str | None = None) -> Manifest:
    """Read the release's csv; there is no official split.

    Args:
        root: holds the csv and the photos, which lie where its column `photo` says, or in `Album2/`.
        label_file: name of the csv with the columns `id_num, race, gender, age, photo` in `root`, where there are
            several.

    Raises:
        DataError: there is no csv or more than one, or it lacks a column.
    """
    path = root / label_file if label_file else _find_labels(root)
    table = read_table(path)
    table = rename_columns(table, {name: name for name in COLUMNS}, path)
    rows = table[["row", "age"]].copy()
    rows["identity"] = table["id_num"]
    for column, names in (("gender", GENDERS), ("race", RACES)):
        rows[column] = table[column].str.upper().map(names).fillna(table[column])
    photo = table["photo"].str.replace("\\", "/", regex=False)
    photo = photo.str.replace(rf"^(?:.*/)?{PHOTOS}/", "", regex=True)
    rows["image"] = f"{PHOTOS}/" + photo if (root / PHOTOS).is_dir() else photo
    tasks: list[Task] = [
        age_task(),
        CategoricalTask("gender", tuple(GENDERS.values())),
        CategoricalTask("race", tuple(RACES.values())),
    ]
    return build_manifest(Source("morph", root, CITATION, LICENCE), rows, tasks)


def _find_labels(root: Path) -> Path:
    tables = [path for path in find_csv(root) if NO_LABELS not in path.name.upper()]
    official = [path for path in tables if path.name.upper().startswith("MORPH_ALBUM2")]
    found = official or tables
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(f"morph: expected one csv in {root}, found {names}; name it with label_file")
    return found[0]
