"""The table that every data set becomes: photos, labels, splits, groups, and where they come from."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from keras_faceattr.data.photo_folders import list_photos as list_photos
from keras_faceattr.data.photo_folders import name_fault, printable
from keras_faceattr.errors import DataError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.tasks import VECTORS, CategoricalTask, EmbeddingTask, ScalarTask, Task, task_to_dict

SPLITS = ("train", "val", "test")
QUARANTINE_COLUMNS = ["source", "image", "row", "reason"]
GROUP_COLUMNS = ("gender", "race", "age_group")
"""Columns that name a photo's group; bands of age are made from `age`, see `data.groups`."""


@dataclass(frozen=True)
class Source:
    """A data set that photos come from, and the terms it comes under.

    Attributes:
        crop: what its photos are crops of already; None for photos as they were taken.
    """

    name: str
    root: Path
    citation: str = ""
    licence: str = "not stated"
    crop: CropSpec | None = None


@dataclass(frozen=True)
class Manifest:
    """Photos with their labels.

    Attributes:
        rows: one photo a row: `source`, `image` (path below the source's root), `row` (where in the label
            file, or -1), `split` (train, val, test or missing), optional `fold` (from 1) and `identity`, `sha1` of
            the photo's bytes once split, group columns, the label columns of each task (missing = not labelled),
            `<task>_std` for scalars.
        tasks: what the photos are labelled with, by name.
        sources: by name.
        quarantine: rows put aside, with the reason.
    """

    rows: pd.DataFrame
    tasks: dict[str, Task]
    sources: dict[str, Source]
    quarantine: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=QUARANTINE_COLUMNS))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def groups(self) -> tuple[str, ...]:
        """Columns by which results are reported apart."""
        columns = (*GROUP_COLUMNS, "source") if len(self.sources) > 1 else GROUP_COLUMNS
        return tuple(c for c in columns if c in self.rows and self.rows[c].nunique() > 1)

    def paths(self) -> list[Path]:
        """Where each row's photo lies."""
        roots = {name: source.root for name, source in self.sources.items()}
        return [roots[s] / i for s, i in zip(self.rows["source"], self.rows["image"], strict=True)]

    def select(self, mask: pd.Series | np.ndarray) -> Manifest:
        """The rows where `mask` holds; the quarantine is kept."""
        return replace(self, rows=self.rows[np.asarray(mask, bool)].reset_index(drop=True))

    def split(self, name: str) -> Manifest:
        """The rows of one split.

        Raises:
            DataError: unknown split, or no rows in it.
        """
        if name not in SPLITS:
            raise DataError(f"unknown split {name!r}; valid: {', '.join(SPLITS)}")
        part = self.select(self.rows["split"] == name)
        if not len(part):
            raise DataError(f"no {name} rows: set data.split.method to stratified or kfold, or give a split column")
        return part

    def put_aside(self, positions: Sequence[int], reasons: Sequence[str]) -> Manifest:
        """Moves rows, by position, to the quarantine."""
        if not len(positions):
            return self
        aside = self.rows.iloc[list(positions)][["source", "image", "row"]].assign(reason=list(reasons))
        keep = np.ones(len(self.rows), bool)
        keep[list(positions)] = False
        quarantine = pd.concat([self.quarantine, aside], ignore_index=True) if len(self.quarantine) else aside
        return replace(self.select(keep), quarantine=quarantine.reset_index(drop=True))

    def quarantined(self, skipped: Sequence[tuple[str, str]]) -> Manifest:
        """Adds path and reason of what never became a row to the quarantine; of a manifest of one source."""
        if not skipped:
            return self
        (name,) = self.sources
        aside = pd.DataFrame(skipped, columns=pd.Index(["image", "reason"])).assign(source=name, row=-1)
        quarantine = pd.concat([self.quarantine, aside]) if len(self.quarantine) else aside
        return replace(self, quarantine=quarantine[QUARANTINE_COLUMNS].reset_index(drop=True))

    def split_hash(self) -> str:
        """SHA-256 over which photo is in which split: two results compare only where it is the same."""
        lines = sorted(self.rows["source"] + "/" + self.rows["image"] + " " + self.rows["split"].fillna("-"))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def label_hash(self) -> str:
        """SHA-256 over the photos' names and all their labels."""
        columns = sorted(set(self.rows.columns) - {"split", "fold", "row", "sha1"})
        text = self.rows[columns].sort_values(["source", "image"]).to_csv(index=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def photo_hash(self) -> str:
        """SHA-256 over the photos' names and their bytes; of a manifest that is split."""
        lines = sorted(self.rows["source"] + "/" + self.rows["image"] + " " + self.rows["sha1"].astype(str))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def build_manifest(
    source: Source, rows: pd.DataFrame, tasks: Sequence[Task], skipped: Sequence[tuple[str, str]] = ()
) -> Manifest:
    """Checks a reader's raw rows and makes a manifest of the good ones.

    Args:
        source: where the rows come from.
        rows: with `image` (path below `source.root`, `/` between folders) and whatever labels, `split`, `fold`,
            `identity` and group columns exist; labels may still be text. `row` says where a row stands in the
            label file, for messages.
        tasks: what the label columns mean; every task's columns must be in `rows`.
        skipped: path and reason of what a walk through the folder had to leave out, for the quarantine.

    Raises:
        DataError: a needed column is missing, or there is no row at all.
    """
    where = f"{source.name} ({source.root})"
    for column in ["image", *(c for task in tasks for c in task.columns)]:
        if column not in rows:
            raise DataError(f"{where}: no column {column!r}; it has {', '.join(map(str, rows.columns))}")
    if not len(rows):
        raise DataError(f"{where}: no photos found")
    rows = rows.reset_index(drop=True).copy()
    rows.insert(0, "source", source.name)
    rows["image"] = rows["image"].astype("string").map(_plain_path, na_action="ignore")
    rows["row"] = rows["row"].astype("int64") if "row" in rows else -1
    rows["split"] = rows["split"].astype("string").str.strip() if "split" in rows else pd.NA
    rows["split"] = rows["split"].astype("string")
    if "identity" in rows:
        rows["identity"] = rows["identity"].astype("string")
    reasons = pd.Series("", index=rows.index, dtype="object")
    for task in tasks:
        _parse_labels(rows, task, reasons)
    _check_rows(rows, source, tasks, reasons)
    bad = np.flatnonzero(reasons != "")
    # In the quarantine, too, a name must not end the line.
    rows["image"] = rows["image"].map(printable, na_action="ignore")
    manifest = Manifest(rows, {t.name: t for t in tasks}, {source.name: source})
    manifest = manifest.put_aside(list(bad), list(reasons.iloc[bad])).quarantined(skipped)
    if not len(manifest):
        raise DataError(f"{where}: none of {len(rows)} rows can be used; the first: {reasons.iloc[bad[0]]}")
    return manifest


def without_unfit(manifest: Manifest, tasks: Sequence[Task]) -> Manifest:
    """Puts aside rows whose labels do not fit tasks that are narrower than the data's own."""
    rows = manifest.rows.copy()
    reasons = pd.Series("", index=rows.index, dtype="object")
    for task in tasks:
        _parse_labels(rows, task, reasons)
    bad = np.flatnonzero(reasons != "")
    return manifest.put_aside(list(bad), list(reasons.iloc[bad]))


def concatenate(manifests: Sequence[Manifest]) -> Manifest:
    """Joins manifests; a photo that lacks a task's label is simply not labelled for it.

    Classes of categorical tasks are united.

    Raises:
        DataError: two sources of one name, or one task defined differently.
    """
    tasks: dict[str, Task] = {}
    sources: dict[str, Source] = {}
    for manifest in manifests:
        for name, source in manifest.sources.items():
            if name in sources:
                raise DataError(f"two sources are called {name!r}: give one another name by data.sources.N.name")
            sources[name] = source
        for name, task in manifest.tasks.items():
            tasks[name] = _united(tasks[name], task) if name in tasks else task
    rows = pd.concat([m.rows for m in manifests], ignore_index=True)
    aside = [m.quarantine for m in manifests if len(m.quarantine)]
    quarantine = pd.concat(aside, ignore_index=True) if aside else pd.DataFrame(columns=QUARANTINE_COLUMNS)
    return Manifest(rows, tasks, sources, quarantine)


def _united(first: Task, second: Task) -> Task:
    if isinstance(first, CategoricalTask) and isinstance(second, CategoricalTask):
        return replace(first, classes=tuple(dict.fromkeys(first.classes + second.classes)))
    if first != second:
        raise DataError(f"task {first.name!r} is defined differently by two sources: {_differences(first, second)}")
    return first


def _differences(first: Task, second: Task) -> str:
    """By field, as both have it."""
    one, two = task_to_dict(first), task_to_dict(second)
    return "; ".join(f"{key} {one.get(key)} and {two.get(key)}" for key in one | two if one.get(key) != two.get(key))


def _parse_labels(rows: pd.DataFrame, task: Task, reasons: pd.Series) -> None:
    """Turns the task's columns into numbers (class names for categorical) and notes why a row is bad."""
    if isinstance(task, VECTORS):
        return
    if isinstance(task, CategoricalTask):
        names = rows[task.name].astype("string").str.strip()
        unknown = names.notna() & ~names.isin(task.classes)
        _note(reasons, unknown, lambda i: f"{task.name} {names[i]!r} is none of {', '.join(task.classes)}")
        rows[task.name] = names
        return
    low, high = (task.minimum, task.maximum) if isinstance(task, ScalarTask) else (0.0, 1.0)
    for column in task.columns:
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
    std = f"{task.name}_std"
    if isinstance(task, ScalarTask) and std in rows:
        raw = rows[std]
        values = pd.to_numeric(raw, errors="coerce").astype("float64")
        bad = (raw.notna() & values.isna()) | (values.notna() & ~(values >= 0)) | np.isinf(values)
        _note(reasons, bad, lambda i: f"{std} {_shown(raw[i])} is not a standard deviation")
        rows[std] = values


def _check_rows(rows: pd.DataFrame, source: Source, tasks: Sequence[Task], reasons: pd.Series) -> None:
    """Notes rows without a label, with an unknown split, outside the root, missing on disk, or contradicting."""
    columns = [c for task in tasks for c in task.columns]
    # A teacher labels every photo.
    if columns and not any(isinstance(task, EmbeddingTask) for task in tasks):
        _note(reasons, rows[columns].isna().all(axis=1), lambda i: "has no label")
    split = rows["split"]
    bad_split = split.notna() & ~split.isin(SPLITS)
    _note(reasons, bad_split, lambda i: f"unknown split {split[i]!r}; valid: {', '.join(SPLITS)}")
    root = source.root.resolve()
    paths = rows["image"].fillna("")
    faults = paths.map(name_fault)
    _note(reasons, faults.notna(), lambda i: str(faults[i]))
    outside = paths.map(lambda p: os.path.isabs(p) or ".." in p.split("/"))
    _note(reasons, outside, lambda i: "lies outside the data folder")
    absent = ~outside & paths.map(lambda p: not os.path.isfile(f"{root}/{p}"))
    _note(reasons, absent, lambda i: "no such photo")
    again = rows["image"].notna() & rows.duplicated("image", keep=False)
    if again.any():
        if columns:
            labels = rows.loc[again, ["image", *columns]]
            differs = labels.groupby("image")[columns].transform(lambda c: c.nunique(dropna=False) > 1).any(axis=1)
            differs = differs.reindex(rows.index, fill_value=False)
            _note(reasons, differs, lambda i: "two rows give this photo different labels")
        good = reasons == ""
        extra = good & rows.where(good).duplicated("image", keep="first")
        _note(reasons, extra, lambda i: "second row for one photo")


def _plain_path(path: str) -> str:
    """`./a//b.jpg` as `a/b.jpg`; a path that climbs stays as it is, for the message that refuses it."""
    return path if not path or ".." in path.split("/") else posixpath.normpath(path)


def _shown(label: object) -> str:
    """A label as it stands in the file."""
    return repr(label) if isinstance(label, str) else f"{label:g}"


def _note(reasons: pd.Series, bad: pd.Series, text) -> None:  # type: ignore[no-untyped-def]
    """Writes a reason on each bad row that has none yet."""
    for i in bad.index[bad.to_numpy(bool) & (reasons == "").to_numpy()]:
        reasons[i] = text(i)
