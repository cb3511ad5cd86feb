"""The user's own photos, described by a csv file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from keras_faceattr.data.aligned_folder import CROP_FILE, MANIFEST_FILE, aligned_set_of
from keras_faceattr.data.datasets.label_tables import find_csv, read_table, require_columns
from keras_faceattr.data.manifest import GROUP_COLUMNS, Manifest, Source, build_manifest
from keras_faceattr.data.photo_folders import PHOTO_SUFFIXES
from keras_faceattr.errors import DataError, nearest
from keras_faceattr.tasks import LABEL_SUFFIXES, MultilabelTask, ScalarTask, Task, label_columns

CITATION = ""
LICENCE = "not stated"


def read(
    root: Path, *, tasks: Sequence[Task], image_column: str = "image", photo_root: str = "", source: str = ""
) -> Manifest:
    """Read a UTF-8 csv whose first line names the columns; a row's place is its line in the file.

    Columns: the photo's path below the csv's folder, or below `photo_root`; one for each task (a number, 0 or 1, or
    the class's name; `<attribute>` or `<task>.<attribute>` for multilabel tasks; empty = not labelled), of a number
    also `<task>_low` and `<task>_high` where it lies between the two, and then its own column may be missing;
    optionally `<task>_std`, `split` (train, val, test), `fold` (from 1), `identity`, `gender` and `race`. Other
    columns are not read.

    A folder that `align` wrote says itself what its columns and its crops are.

    Args:
        root: the csv file, or a folder that holds exactly one.
        tasks: what the label columns mean; they come before what a folder of crops says of the same name.
        image_column: the column with the photo's path.
        photo_root: the folder below which the photos lie, seen from the csv's folder; empty: the csv's folder.
        source: read only rows whose column `source` holds this; of a folder of crops, with this source's citation,
            licence and tasks. Empty: all rows.

    Raises:
        DataError: there is no csv or more than one, it is unreadable, or it lacks a column or the source.
    """
    path = root if root.is_file() else only_csv(root)
    aligned = aligned_set_of(path)
    table = read_table(path)
    _require_photos(table, image_column, path)
    if source:
        table = _of_source(table, source, path)
    if aligned:
        given = {task.name for task in tasks}
        own = [task for task in aligned.tasks if not source or _is_labelled(table, task)]
        tasks = [*tasks, *(task for task in own if task.name not in given)]
    folder = path.parent / Path(photo_root).expanduser()
    if not folder.is_dir():
        raise DataError(
            f"csv_file: photo_root {photo_root!r}: no such folder: {folder}; it is seen from the csv's folder"
        )
    images = table[image_column].map(partial(_with_slashes, folder), na_action="ignore")
    columns = {"image": images, "row": table["row"]}
    for task in tasks:
        columns |= _label_columns(table, task, path)
    for name in ("split", "identity", *GROUP_COLUMNS):
        if name in table and name not in columns:
            columns[name] = table[name]
    if "fold" in table:
        columns["fold"] = _folds(table, path)
    found = aligned.source(folder, source) if aligned else Source(source or "csv_file", folder, CITATION, LICENCE)
    # Where nothing says which columns are labels, each may be one later.
    carried = None if tasks else table.drop(columns=[image_column, "row"])
    return build_manifest(found, pd.DataFrame(columns), tasks, carried=carried)


def _require_photos(table: pd.DataFrame, image_column: str, path: Path) -> None:
    """Check that the table has the column of photos; if not, name the one that looks like it."""
    if image_column not in table:
        for column in table.columns.drop("row"):
            names = table[column].dropna().str.lower()
            if len(names) and names.str.endswith(PHOTO_SUFFIXES).all():
                raise DataError(
                    f"{path}: no column {image_column!r}; {column!r} names photos: rename it, or in a config set "
                    f"options: {{image_column: {column}}}"
                )
    require_columns(table, [image_column], path)


def _with_slashes(folder: Path, name: str) -> str:
    """A path whose folders are parted by backslashes with slashes instead, unless a photo is called so."""
    return name if "\\" not in name or (folder / name).is_file() else name.replace("\\", "/")


def _of_source(table: pd.DataFrame, source: str, path: Path) -> pd.DataFrame:
    require_columns(table, ["source"], path)
    rows = table[table["source"] == source].reset_index(drop=True)
    if not len(rows):
        raise DataError(f"{path}: no row of source {source!r}; {nearest(source, table['source'].dropna().unique())}")
    return rows


def _is_labelled(table: pd.DataFrame, task: Task) -> bool:
    return any(table[column].notna().any() for column in label_columns([task], table.columns))


def only_csv(root: Path) -> Path:
    """The table of a folder.

    Raises:
        DataError: there is none, or more than one.
    """
    if (root / CROP_FILE).is_file():
        return root / MANIFEST_FILE
    if not root.is_dir():
        raise DataError(f"csv_file: no such file or folder: {root}")
    found = find_csv(root)
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
    more = {}
    if isinstance(task, ScalarTask):
        std, low, high = (f"{task.name}{suffix}" for suffix in LABEL_SUFFIXES)
        if std in table:
            named[std] = std
        if low in table or high in table:
            named |= {low: low, high: high}
            if task.name not in table:
                del named[task.name]
                more = {task.name: pd.Series(pd.NA, table.index)}
    require_columns(table, named.values(), path)
    return {column: table[name] for column, name in named.items()} | more


def _folds(table: pd.DataFrame, path: Path) -> pd.Series:
    folds = pd.to_numeric(table["fold"], errors="coerce")
    bad = table["fold"].notna() & ~((folds >= 1) & (folds % 1 == 0)).fillna(False)
    if bad.any():
        first = table[bad].iloc[0]
        raise DataError(f"{path}, line {first['row']}: fold {first['fold']!r} is no whole number from 1")
    return folds.astype("Int64")
