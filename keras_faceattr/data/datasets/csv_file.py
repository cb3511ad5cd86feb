"""The user's own photos, described by a csv file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from keras_faceattr.data.aligned_folder import CROP_FILE, MANIFEST_FILE, aligned_set_of
from keras_faceattr.data.datasets.label_tables import read_table, require_columns
from keras_faceattr.data.manifest import GROUP_COLUMNS, Manifest, Source, build_manifest
from keras_faceattr.errors import DataError
from keras_faceattr.tasks import MultilabelTask, ScalarTask, Task

CITATION = ""
LICENCE = "not stated"


def read(root: Path, *, tasks: Sequence[Task], image_column: str = "image") -> Manifest:
    """Reads a UTF-8 csv whose first line names the columns; a row's place is its line in the file.

    Columns: the photo's path below the csv's folder; one for each task (a number, 0 or 1, or the class's name;
    `<attribute>` or `<task>.<attribute>` for multilabel tasks; empty = not labelled); optionally `<task>_std`,
    `split` (train, val, test), `fold` (from 1), `identity`, `gender` and `race`. Other columns are not read.

    A folder that `align` wrote says itself what its columns and its crops are.

    Args:
        root: the csv file, or a folder that holds exactly one.
        tasks: what the label columns mean; they come before what a folder of crops says of the same name.
        image_column: the column with the photo's path.

    Raises:
        DataError: there is no csv or more than one, it is unreadable, or it lacks a column.
    """
    path = root if root.is_file() else only_csv(root)
    aligned = aligned_set_of(path)
    if aligned:
        given = {task.name for task in tasks}
        tasks = [*tasks, *(task for task in aligned.tasks if task.name not in given)]
    table = read_table(path)
    require_columns(table, [image_column], path)
    columns = {"image": table[image_column].str.replace("\\", "/", regex=False), "row": table["row"]}
    for task in tasks:
        columns |= _label_columns(table, task, path)
    for name in ("split", "identity", *GROUP_COLUMNS):
        if name in table and name not in columns:
            columns[name] = table[name]
    if "fold" in table:
        columns["fold"] = _folds(table, path)
    source = aligned.source(path.parent) if aligned else Source("csv_file", path.parent, CITATION, LICENCE)
    return build_manifest(source, pd.DataFrame(columns), tasks)


def only_csv(root: Path) -> Path:
    """The table of a folder.

    Raises:
        DataError: there is none, or more than one.
    """
    if (root / CROP_FILE).is_file():
        return root / MANIFEST_FILE
    if not root.is_dir():
        raise DataError(f"csv_file: no such file or folder: {root}")
    found = sorted(p for p in root.iterdir() if p.suffix.lower() == ".csv")
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise DataError(f"csv_file: expected one csv in {root}, found {names}; give the file's own path")
    return found[0]


def _label_columns(table: pd.DataFrame, task: Task, path: Path) -> dict[str, pd.Series]:
    """The task's columns under the manifest's names."""
    named = {column: column for column in task.columns}
    if isinstance(task, MultilabelTask):
        for column, attribute in zip(task.columns, task.attributes, strict=True):
            named[column] = column if column in table else attribute
    if isinstance(task, ScalarTask) and f"{task.name}_std" in table:
        named[f"{task.name}_std"] = f"{task.name}_std"
    require_columns(table, named.values(), path)
    return {column: table[name] for column, name in named.items()}


def _folds(table: pd.DataFrame, path: Path) -> pd.Series:
    folds = pd.to_numeric(table["fold"], errors="coerce")
    bad = table["fold"].notna() & ~((folds >= 1) & (folds % 1 == 0)).fillna(False)
    if bad.any():
        first = table[bad].iloc[0]
        raise DataError(f"{path}, line {first['row']}: fold {first['fold']!r} is no whole number from 1")
    return folds.astype("Int64")
