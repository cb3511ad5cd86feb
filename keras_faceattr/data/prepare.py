"""From an experiment's data section to crops and labels of each split."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from keras_faceattr.config import DataConfig, PhotoExperiment, SourceConfig, TaskConfig
from keras_faceattr.data.crop import CropSpec
from keras_faceattr.data.crops import LabelledCrops, Progress, check_bad_share, load_crops
from keras_faceattr.data.datasets import READERS, read_dataset
from keras_faceattr.data.manifest import Manifest, concatenate, without_unfit
from keras_faceattr.data.relabel import relabelled, renamed, unrenamed
from keras_faceattr.data.splits import photo_hashes, split_manifest, without_copies_across_splits
from keras_faceattr.data.targets import label_array, people
from keras_faceattr.data.teacher import open_teacher, teacher_vectors
from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.tasks import CategoricalTask, EmbeddingTask, IdentityTask, Task, task_from_dict, task_to_dict


@dataclass(frozen=True)
class PreparedData:
    """Everything that an experiment trains and measures on.

    Attributes:
        manifest: the good rows, split.
        tasks: those that the experiment learns.
        parts: crops and labels by split; a split without rows is absent.
    """

    manifest: Manifest
    tasks: dict[str, Task]
    parts: dict[str, LabelledCrops]


def crop_spec(experiment: PhotoExperiment) -> CropSpec:
    """The experiment's crop."""
    return CropSpec(**experiment.data.crop.model_dump())


def source_path(reader: str, path: str | None) -> Path | None:
    """Where a reader's data lies: the given path, else its usual folder below `$KERAS_FACEATTR_DATA`, if there."""
    if path is not None:
        return Path(path).expanduser()
    base, entry = os.environ.get("KERAS_FACEATTR_DATA"), READERS.get(reader)
    usual = Path(base) / entry.folder if base and entry and entry.folder else None
    return usual if usual and usual.exists() else None


def read_sources(experiment: PhotoExperiment) -> Manifest:
    """All rows of the experiment's sources, as the data gives them.

    Raises:
        DataError: a source cannot be used.
    """
    given = [task_from_dict({"name": n, **c.definition()}) for n, c in experiment.tasks.items() if c.kind]

    def read(source: SourceConfig) -> Manifest:
        path = source_path(source.reader, source.path)
        manifest = read_dataset(source.reader, path, source.options, unrenamed(given, source.labels))
        return renamed(relabelled(manifest, source.labels), source.name)

    return concatenate([read(source) for source in experiment.data.sources])


def read_manifest(experiment: PhotoExperiment) -> tuple[Manifest, dict[str, Task]]:
    """Reads the sources, resolves the tasks, and splits.

    Raises:
        ConfigError: a task that neither the data nor the config defines.
        DataError: the data cannot be used.
    """
    manifest = read_sources(experiment)
    for name in experiment.tasks:
        _check_names(name, manifest)
    total = len(manifest) + len(manifest.quarantine)
    tasks = {name: _resolve(name, config, manifest) for name, config in experiment.tasks.items()}
    manifest = without_unfit(manifest, [task for name, task in tasks.items() if task != manifest.tasks.get(name)])
    if len(manifest.quarantine):
        first = manifest.quarantine.iloc[0]
        place = f"{first['image']}" + (f", row {first['row']}" if first["row"] >= 0 else "")
        limit = experiment.data.max_bad_share
        check_bad_share(len(manifest.quarantine), total, limit, f"{place}: {first['reason']}")
    labels = [column for task in tasks.values() for column in task.columns]
    if not any(isinstance(task, EmbeddingTask) for task in tasks.values()):
        manifest = manifest.select(manifest.rows[labels].notna().any(axis=1))
    if not len(manifest):
        raise DataError(f"no photo is labelled with {', '.join(tasks)}")
    manifest = _split(manifest, tasks, experiment.data)
    return manifest, {name: _counted(task, manifest) for name, task in tasks.items()}


def _check_names(name: str, manifest: Manifest) -> None:
    """A column that one source has for its groups may be a task of another, by other names."""
    task = manifest.tasks.get(name)
    if not isinstance(task, CategoricalTask):
        return
    names = manifest.rows[name].dropna()
    unknown = names[~names.isin(task.classes)]
    if len(unknown):
        source, found = manifest.rows.loc[unknown.index[0], "source"], ", ".join(sorted(map(str, unknown.unique()))[:5])
        raise DataError(
            f"{source}: {name} {found} is none of {', '.join(task.classes)}: rename it by data.sources.N.labels, "
            "or drop it there by null"
        )


def _counted(task: Task, manifest: Manifest) -> Task:
    return replace(task, people=len(people(manifest))) if isinstance(task, IdentityTask) else task


def _split(manifest: Manifest, tasks: dict[str, Task], data: DataConfig) -> Manifest:
    """Splits each source by its own plan, and keeps exact copies of a photo on one side."""
    parts, hashes = [], photo_hashes(manifest)
    for name, source in zip(manifest.sources, data.sources, strict=True):
        own = (manifest.rows["source"] == name).to_numpy(bool)
        part = replace(manifest.select(own), quarantine=manifest.quarantine.iloc[:0])
        if not len(part):
            raise DataError(f"{name}: no photo is labelled with {', '.join(tasks)}: leave the source out")
        plan = (source.split or data.split).model_dump()
        known = (n for n, task in tasks.items() if part.rows[list(task.columns)].notna().any(axis=None))
        stratify = next(known, next(iter(tasks)))
        try:
            parts.append(split_manifest(part, plan.pop("method"), stratify=stratify, hashes=hashes[own], **plan))
        except DataError as error:
            raise DataError(f"{name}: {error}" if len(data.sources) > 1 else str(error)) from None
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    aside = [part.quarantine for part in (manifest, *parts) if len(part.quarantine)]
    quarantine = pd.concat(aside, ignore_index=True) if aside else manifest.quarantine
    whole = replace(manifest, rows=rows, quarantine=quarantine)
    if len(parts) == 1:
        return whole
    by_photo = dict(zip(_photos(manifest), hashes, strict=True))
    return without_copies_across_splits(whole, np.array([by_photo[photo] for photo in _photos(whole)], dtype=object))


def _photos(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Source and image of each row: two sources may hold files of the same name."""
    return zip(manifest.rows["source"], manifest.rows["image"], strict=True)


def prepare(
    experiment: PhotoExperiment,
    splits: tuple[str, ...],
    progress: Progress | None = None,
    read: tuple[Manifest, dict[str, Task]] | None = None,
) -> PreparedData:
    """Reads, splits, decodes and labels what the named splits need.

    Args:
        read: of `read_manifest`, for a caller who looks at it before photos are decoded, which may take long.

    Raises:
        DataError: the data cannot be used, or the first of the splits has no rows.
    """
    manifest, tasks = read or read_manifest(experiment)
    wanted = manifest.select(manifest.rows["split"].isin(splits))
    if not (wanted.rows["split"] == splits[0]).any():
        aside = manifest.quarantine["reason"].value_counts()
        why = f"; {aside.iloc[0]} rows were put aside: {aside.index[0]}" if len(aside) else ""
        raise DataError(f"no {splits[0]} rows; splits: {manifest.rows['split'].value_counts().to_dict()}{why}")
    data = experiment.data
    crops, wanted = load_crops(wanted, crop_spec(experiment), data.cache, data.max_bad_share, progress)
    labels = {name: label_array(wanted, task) for name, task in tasks.items()}
    for name, task in tasks.items():
        teacher = experiment.tasks[name].teacher
        if isinstance(task, EmbeddingTask) and teacher:
            labels[name] = teacher_vectors(teacher, wanted, crops)
    numbers = {name: number for number, name in enumerate(wanted.sources)}
    sources = wanted.rows["source"].map(numbers).to_numpy("int64")
    parts = {}
    for split in splits:
        rows = np.flatnonzero(wanted.rows["split"] == split)
        if len(rows):
            own = {name: array[rows] for name, array in labels.items()}
            parts[split] = LabelledCrops(crops, own, rows, sources[rows])
    return PreparedData(wanted, tasks, parts)


def _resolve(name: str, config: TaskConfig, manifest: Manifest) -> Task:
    if config.kind == "embedding":
        if config.teacher is None:
            raise ConfigError(f"tasks.{name}: whose vectors? set tasks.{name}.teacher.path to a .tflite file")
        return EmbeddingTask(name, open_teacher(config.teacher).dimension)
    if config.kind == "identity":
        if "identity" not in manifest.rows or not manifest.rows["identity"].notna().any():
            raise ConfigError(f"tasks.{name}: the data does not say who is on a photo; it needs a column identity")
        return task_from_dict({"name": name, **config.definition()})
    if name not in manifest.tasks:
        raise ConfigError(f"task {name!r}: the data has no such label; {nearest(name, manifest.tasks)}")
    # What the config says about a task that the data defines overrides the data's definition.
    definition = {**task_to_dict(manifest.tasks[name]), **config.definition()}
    if config.attributes and config.groups is None:
        kept = {group: [n for n in names if n in config.attributes] for group, names in definition["groups"].items()}
        definition["groups"] = {group: names for group, names in kept.items() if names}
    return task_from_dict(definition)
