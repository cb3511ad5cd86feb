"""Faults of the rows of a label file, each with its reason; the first reason counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from keras_faceattr.data.photo_folders import name_fault
from keras_faceattr.data.photo_paths import PhotoPaths
from keras_faceattr.tasks import VECTORS, CategoricalTask, EmbeddingTask, ScalarTask, Task, label_columns

SPLITS = ("train", "val", "test")


def parse_labels(rows: pd.DataFrame, task: Task, reasons: pd.Series) -> None:
    """Turn the task's columns into numbers (class names for categorical) and record why a row is bad."""
    if isinstance(task, VECTORS):
        return
    if isinstance(task, CategoricalTask):
        names = rows[task.name].astype("string").str.strip()
        unknown = names.notna() & ~names.isin(task.classes)
        _note(reasons, unknown, lambda i: f"{task.name} {names[i]!r} is none of {', '.join(task.classes)}")
        rows[task.name] = names
        return
    low, high = (task.minimum, task.maximum) if isinstance(task, ScalarTask) else (0.0, 1.0)
    for column in label_columns([task], rows.columns):
        raw = rows[column]
        values = pd.to_numeric(raw, errors="coerce").astype("float64")
        _note(reasons, raw.notna() & values.isna(), lambda i, raw=raw, c=column: f"{c} {raw[i]!r} is not a number")
        if isinstance(task, ScalarTask):
            bad = values.notna() & ~values.between(low, high)
            _note(reasons, bad, lambda i, v=values, c=column: f"{c} {v[i]:g} is not in {low:g} to {high:g}")
        else:
            bad = values.notna() & ~values.isin([0.0, 1.0])
            _note(reasons, bad, lambda i, v=values, c=column: f"{c} {v[i]:g} is neither 0 nor 1")
        rows[column] = values
    if isinstance(task, ScalarTask):
        _check_intervals(rows, task, reasons)
    std = f"{task.name}_std"
    if isinstance(task, ScalarTask) and std in rows:
        raw = rows[std]
        values = pd.to_numeric(raw, errors="coerce").astype("float64")
        bad = (raw.notna() & values.isna()) | (values.notna() & ~(values >= 0)) | np.isinf(values)
        _note(reasons, bad, lambda i: f"{std} {_shown(raw[i])} is not a standard deviation")
        rows[std] = values


def _check_intervals(rows: pd.DataFrame, task: ScalarTask, reasons: pd.Series) -> None:
    """Record intervals that lack an end, are reversed, or are labels besides a value or none of the task's bands."""
    low_name, high_name = task.interval_columns
    if low_name not in rows and high_name not in rows:
        return
    for name in task.interval_columns:
        if name not in rows:
            rows[name] = np.nan
    low, high = rows[low_name], rows[high_name]
    _note(reasons, low.isna() != high.isna(), lambda i: f"{task.name} has one end of an interval alone")
    _note(reasons, low > high, lambda i: f"{low_name} {low[i]:g} is above {high_name} {high[i]:g}")
    both = rows[task.name].notna() & low.notna()
    _note(reasons, both, lambda i: f"{task.name} is both a value and an interval; leave one of them empty")
    if task.bands:
        unknown = low.notna() & ~pd.Series(list(zip(low, high, strict=True)), rows.index).isin(list(task.bands))
        _note(reasons, unknown, lambda i: f"{task.name} {low[i]:g} to {high[i]:g} is none of the bands {_listed(task)}")


def _listed(task: ScalarTask) -> str:
    return ", ".join(f"{low:g}–{high:g}" for low, high in task.bands)


def check_rows(rows: pd.DataFrame, photos: PhotoPaths, tasks: Sequence[Task], reasons: pd.Series) -> None:
    """Record rows without a label, with an unknown split, outside the root, or missing on disk."""
    columns = label_columns(tasks, rows.columns)
    # A teacher labels every photo.
    if columns and not any(isinstance(task, EmbeddingTask) for task in tasks):
        _note(reasons, rows[columns].isna().all(axis=1), lambda i: "has no label")
    split = rows["split"]
    bad_split = split.notna() & ~split.isin(SPLITS)
    _note(reasons, bad_split, lambda i: f"unknown split {split[i]!r}; valid: {', '.join(SPLITS)}")
    paths = rows["image"].fillna("")
    for check in (name_fault, photos.fault):
        faults = paths.map(check)
        _note(reasons, faults.notna(), lambda i, faults=faults: str(faults[i]))


def check_repeated(rows: pd.DataFrame, tasks: Sequence[Task], carried: pd.DataFrame | None, reasons: pd.Series) -> None:
    """Record rows of one photo that contradict each other, and all but the first of those that do not."""
    again = rows["image"].notna() & rows.duplicated("image", keep=False)
    if not again.any():
        return
    own = rows.loc[again].drop(columns=["source", "image", "row"])
    more = own.iloc[:, :0] if carried is None else carried.reset_index(drop=True)[again].apply(_as_numbers)
    told = pd.concat([own, more[[column for column in more if column not in own]]], axis=1)
    images = rows.loc[again, "image"]
    differs = (told.groupby(images).nunique(dropna=False) > 1).loc[images].set_index(images.index)
    differs = differs.reindex(rows.index, fill_value=False)
    labels = label_columns(tasks, rows.columns) + list(more)
    _note(reasons, differs[labels].any(axis=1), lambda i: "two rows give this photo different labels")
    _note(
        reasons,
        differs.any(axis=1),
        lambda i: f"two rows of this photo differ in {', '.join(c for c in map(str, differs) if differs[c][i])}",
    )
    good = reasons == ""
    _note(reasons, good & rows.where(good).duplicated("image", keep="first"), lambda i: "second row for one photo")


def _as_numbers(column: pd.Series) -> pd.Series:
    """Numbers where they are some, so that 5 and 5.0 are alike; else the text."""
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers.astype("object").where(numbers.notna(), column)


def _shown(label: object) -> str:
    """A label as it stands in the file."""
    return repr(label) if isinstance(label, str) else f"{label:g}"


def _note(reasons: pd.Series, bad: pd.Series, text) -> None:  # type: ignore[no-untyped-def]
    """Write a reason on each bad row that has none yet."""
    for i in bad.index[bad.to_numpy(bool) & (reasons == "").to_numpy()]:
        reasons[i] = text(i)
