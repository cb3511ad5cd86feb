"""SCUT-FBP5500 v2: 5,500 frontal faces with mean attractiveness from 1 to 5, gender and race."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from keras_faceattr.data.datasets.label_tables import find_tables, read_lines, read_table, rename_columns
from keras_faceattr.data.datasets.ratings import rated
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.errors import DataError
from keras_faceattr.tasks import CategoricalTask, Task, attractiveness_task

CITATION = (
    "Liang, Lin, Jin, Xie, Li: SCUT-FBP5500: A Diverse Benchmark Dataset for Multi-Paradigm Facial Beauty "
    "Prediction, ICPR 2018"
)
LICENCE = "non-commercial research only"
RACES = {"A": "Asian", "C": "Caucasian"}
GENDERS = {"F": "female", "M": "male"}
LABELS = "train_test_files"
SPLIT = "split_of_60%training and 40%testing"
FOLDS = "5_folders_cross_validations_files"


def read(root: Path, *, ratings: bool = True) -> Manifest:
    """Read the official release.

    `split` is the official 60/40 one; `fold` (1 to 5) is the official fold whose test part holds the photo. Race
    and gender come from the file's name; σ is that of the 60 raters where their table is there.

    Args:
        root: holds `Images/` and `train_test_files/`, and may hold `All_Ratings.xlsx`, or the same saved as csv, which
            is read much faster and goes first: a rating a row (Filename, Rating).
        ratings: whether σ is taken from that table. Without, no photo has a σ of its own.

    Raises:
        DataError: a label file is missing or malformed.
    """
    rows = _read_labels(root / LABELS / "All_labels.txt").rename(columns={"line": "row"})
    split = pd.concat(
        [_read_labels(root / LABELS / SPLIT / f"{part}.txt").assign(split=part) for part in ("train", "test")]
    )
    rows["split"] = rows["name"].map(split.drop_duplicates("name").set_index("name")["split"])
    folds = {n: root / LABELS / FOLDS / f"cross_validation_{n}" / f"test_{n}.txt" for n in range(1, 6)}
    if all(path.is_file() for path in folds.values()):
        tests = pd.concat([_read_labels(path).assign(fold=n) for n, path in folds.items()])
        rows["fold"] = rows["name"].map(tests.drop_duplicates("name").set_index("name")["fold"])
    tables = find_tables(root, "All_Ratings.*") if ratings else []
    if tables:
        spread = _read_ratings(tables[0]).set_index("name")["std"]
        rows["attractiveness_std"] = rows["name"].map(spread)
    rows["race"] = rows["name"].str[0].map(RACES)
    rows["gender"] = rows["name"].str[1].map(GENDERS)
    rows["image"] = "Images/" + rows["name"]
    tasks: list[Task] = [
        attractiveness_task(),
        CategoricalTask("gender", tuple(GENDERS.values())),
        CategoricalTask("race", tuple(RACES.values())),
    ]
    source = Source("scut_fbp5500", root, CITATION, LICENCE)
    return build_manifest(source, rows.drop(columns="name"), tasks)


def _read_ratings(path: Path) -> pd.DataFrame:
    """Columns `name`, `mean`, `std` and `row` of the table of all ratings."""
    table = read_table(path, header_with=("Filename",), sheet="ALL")
    table = rename_columns(table, {"Filename": "name", "Rating": "Rating"}, path)
    return rated(table[["name", "Rating", "row"]], "name", path)


def _read_labels(path: Path) -> pd.DataFrame:
    """Lines `name score` of a label file as columns `name, attractiveness, line`."""
    if not path.is_file():
        raise DataError(f"scut_fbp5500: no {path}; is this the folder of the official release?")
    return read_lines(path, ("name", "attractiveness")).rename(columns={"row": "line"})
