"""The table that every data set becomes: photos, labels, splits, groups, and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from keras_faceattr.data.photo_folders import printable
from keras_faceattr.data.photo_paths import PhotoPaths
from keras_faceattr.data.row_checks import SPLITS as SPLITS
from keras_faceattr.data.row_checks import check_repeated, check_rows, parse_labels
from keras_faceattr.errors import ConfigError, DataError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.tasks import CategoricalTask, ScalarTask, Task, task_to_dict

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
            the photo's bytes once split, group columns, the label columns of each task (missing = not labelled); for
            scalars also `<task>_std`, and `<task>_low` and `<task>_high` where a label is an interval.
        tasks: what the photos are labelled with, by name.
        sources: by name.
        quarantine: rows quarantined, with the reason.
        notes: what a reader has to say of what it found, a line each.
    """

    rows: pd.DataFrame
    tasks: dict[str, Task]
    sources: dict[str, Source]
    quarantine: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=QUARANTINE_COLUMNS))
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def groups(self) -> tuple[str, ...]:
        """Columns by which results are reported apart."""
        columns = (*GROUP_COLUMNS, "source") if len(self.sources) > 1 else GROUP_COLUMNS
        return tuple(c for c in columns if c in self.rows and self.rows[c].nunique() > 1)

    def paths(self) -> list[Path]:
        """Return the path of each row's photo."""
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
        """Move rows, by position, to the quarantine."""
        if not len(positions):
            return self
        aside = self.rows.iloc[list(positions)][["source", "image", "row"]].assign(reason=list(reasons))
        keep = np.ones(len(self.rows), bool)
        keep[list(positions)] = False
        quarantine = pd.concat([self.quarantine, aside], ignore_index=True) if len(self.quarantine) else aside
        return replace(self.select(keep), quarantine=quarantine.reset_index(drop=True))

    def quarantined(self, skipped: Sequence[tuple[str, str]]) -> Manifest:
        """Add path and reason of what never became a row to the quarantine; of a manifest of one source."""
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
    source: Source,
    rows: pd.DataFrame,
    tasks: Sequence[Task],
    skipped: Sequence[tuple[str, str]] = (),
    carried: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
) -> Manifest:
    """Check a reader's raw rows and make a manifest of the good ones.

    Args:
        source: where the rows come from.
        rows: with `image` (path below `source.root`, or absolute; `/` between folders) and whatever labels, `split`,
            `fold`, `identity` and group columns exist; labels may still be text. `row` says where a row stands in the
            label file, for messages.
        tasks: what the label columns mean; every task's columns must be in `rows`.
        skipped: path and reason of what a walk through the folder had to leave out, for the quarantine.
        carried: further columns, row by row, that may hold labels: rows of one photo must agree in them, too.
        notes: notes of the reader.

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
    tasks = [_with_bands(task, rows, where) for task in tasks]
    rows.insert(0, "source", source.name)
    paths = PhotoPaths(source.root)
    rows["image"] = rows["image"].astype("string").map(paths.relative, na_action="ignore")
    rows["row"] = rows["row"].astype("int64") if "row" in rows else -1
    rows["split"] = rows["split"].astype("string").str.strip() if "split" in rows else pd.NA
    rows["split"] = rows["split"].astype("string")
    if "identity" in rows:
        rows["identity"] = rows["identity"].astype("string")
    reasons = pd.Series("", index=rows.index, dtype="object")
    for task in tasks:
        parse_labels(rows, task, reasons)
    check_rows(rows, paths, tasks, reasons)
    check_repeated(rows, tasks, carried, reasons)
    bad = np.flatnonzero(reasons != "")
    # In the quarantine, too, a name must not end the line.
    rows["image"] = rows["image"].map(printable, na_action="ignore")
    manifest = Manifest(rows, {t.name: t for t in tasks}, {source.name: source}, notes=tuple(notes))
    manifest = manifest.put_aside(list(bad), list(reasons.iloc[bad])).quarantined(skipped)
    if not len(manifest):
        first, row = rows.iloc[bad[0]], rows["row"].iloc[bad[0]]
        place = f"{first['image']}" + (f", row {row}" if row >= 0 else "")
        raise DataError(f"{where}: none of {len(rows)} rows can be used; the first: {place}: {reasons.iloc[bad[0]]}")
    return manifest


def _with_bands(task: Task, rows: pd.DataFrame, where: str) -> Task:
    """A scalar with the bands in which its labels are given, where it does not say them itself.

    Raises:
        DataError: bands that overlap.
    """
    if not isinstance(task, ScalarTask) or task.bands or not set(task.interval_columns) <= set(rows):
        return task
    ends = rows[list(task.interval_columns)].apply(pd.to_numeric, errors="coerce").dropna()
    low, high = (ends[column] for column in task.interval_columns)
    bands = ends[(low <= high) & (low >= task.minimum) & (high <= task.maximum)].drop_duplicates()
    if len(bands) < 2:
        return task
    try:
        return replace(task, bands=tuple(bands.sort_values(list(bands)).itertuples(index=False, name=None)))
    except ConfigError as error:
        raise DataError(f"{where}: {error}; give each photo the band of one list of bands") from None


def without_unfit(manifest: Manifest, tasks: Sequence[Task]) -> Manifest:
    """Quarantine rows whose labels do not fit tasks that are narrower than the data's own."""
    rows = manifest.rows.copy()
    reasons = pd.Series("", index=rows.index, dtype="object")
    for task in tasks:
        parse_labels(rows, task, reasons)
    bad = np.flatnonzero(reasons != "")
    return manifest.put_aside(list(bad), list(reasons.iloc[bad]))


def concatenate(manifests: Sequence[Manifest]) -> Manifest:
    """Join manifests; a photo that lacks a task's label is simply not labelled for it.

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
    return Manifest(rows, tasks, sources, quarantine, tuple(note for m in manifests for note in m.notes))


def _united(first: Task, second: Task) -> Task:
    # Crops keep the mark of the config that they were cut by; other sources say nothing of it.
    sensitive = first.sensitive or second.sensitive
    first, second = replace(first, sensitive=sensitive), replace(second, sensitive=sensitive)
    if isinstance(first, CategoricalTask) and isinstance(second, CategoricalTask):
        return replace(first, classes=tuple(dict.fromkeys(first.classes + second.classes)))
    if isinstance(first, ScalarTask) and isinstance(second, ScalarTask) and not (first.bands and second.bands):
        # One of them gives values where the other gives bands.
        bands = first.bands or second.bands
        first, second = replace(first, bands=bands), replace(second, bands=bands)
    if first != second:
        raise DataError(f"task {first.name!r} is defined differently by two sources: {_differences(first, second)}")
    return first


def _differences(first: Task, second: Task) -> str:
    """Fields that differ, with the value that each has."""
    one, two = task_to_dict(first), task_to_dict(second)
    return "; ".join(f"{key} {one.get(key)} and {two.get(key)}" for key in one | two if one.get(key) != two.get(key))
