"""From an experiment's data section to crops and labels of each split."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_faceattr.config import Experiment, PhotoExperiment, SourceConfig, TaskConfig
from keras_faceattr.data.crop_cache import LabelledCrops, Progress, check_bad_share, load_crops
from keras_faceattr.data.datasets import READERS, read_dataset
from keras_faceattr.data.exclusion import without_excluded
from keras_faceattr.data.manifest import Manifest, concatenate, without_unfit
from keras_faceattr.data.relabel import relabelled, renamed, unrenamed
from keras_faceattr.data.splits import ONE_SIDED, split_manifest, without_straddling
from keras_faceattr.data.targets import label_array, label_forms, people
from keras_faceattr.data.teacher import open_teacher, teacher_vectors
from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.tasks import (
    CategoricalTask,
    EmbeddingTask,
    IdentityTask,
    MultilabelTask,
    ScalarTask,
    Task,
    label_columns,
    task_from_dict,
    task_to_dict,
)


@dataclass(frozen=True)
class PreparedData:
    """Everything that an experiment trains and measures on.

    Attributes:
        manifest: the good rows, split.
        tasks: those that the experiment learns.
        parts: crops and labels by split; a split without rows is absent.
        forms: by task, of `methods.labels.FORMS`, those that its labels have.
    """

    manifest: Manifest
    tasks: dict[str, Task]
    parts: dict[str, LabelledCrops]
    forms: dict[str, tuple[str, ...]]


def crop_spec(experiment: PhotoExperiment) -> CropSpec:
    """The experiment's crop."""
    return CropSpec(**experiment.data.crop.model_dump())


def source_path(reader: str, path: str | None) -> Path | None:
    """Return the path of a reader's data: the given one, else its folder below `$KERAS_FACEATTR_DATA`, else None."""
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
    return concatenate([_named(_read(source, experiment), source) for source in experiment.data.sources])


def _read(source: SourceConfig, experiment: PhotoExperiment) -> Manifest:
    given = [task_from_dict({"name": n, **c.definition()}) for n, c in experiment.tasks.items() if c.kind]
    path = source_path(source.reader, source.path)
    manifest = _marked(read_dataset(source.reader, path, source.options, unrenamed(given, source.labels)), experiment)
    if source.exclude is None:
        return manifest
    try:
        return without_excluded(manifest, source.exclude)
    except ConfigError as error:
        raise ConfigError(f"{source.name or source.reader}: {error}") from None


def _marked(manifest: Manifest, experiment: PhotoExperiment) -> Manifest:
    """The manifest with the tasks marked as sensitive or not as the config says, so that crops keep the mark, too."""
    marks = {name: config.sensitive for name, config in experiment.tasks.items() if config.sensitive is not None}
    tasks = {name: replace(task, sensitive=marks.get(name, task.sensitive)) for name, task in manifest.tasks.items()}
    return replace(manifest, tasks=tasks)


def _named(manifest: Manifest, source: SourceConfig) -> Manifest:
    return renamed(relabelled(manifest, source.labels), source.name)


def read_manifest(
    experiment: PhotoExperiment,
    trained: dict[str, Task] | None = None,
    needed: tuple[str, ...] = ("train", "test"),
) -> tuple[Manifest, dict[str, Task]]:
    """Read the sources, split each, and resolve the tasks.

    Args:
        trained: the tasks as a model has learned them, whose classes and attributes the labels must follow; None for
            the order in which the data names them.
        needed: splits that must not be empty.

    Raises:
        ConfigError: a task that neither the data nor the config defines.
        DataError: the data cannot be used, or says something else than what the model has learned.
    """
    # Before any look at the tasks: what is learned must not decide which photo is a test photo, or those of one
    # experiment would be in training of another that starts from it.
    manifest = read_split(experiment, needed)
    for name in experiment.tasks:
        check_names(name, manifest)
    tasks = {name: resolved(name, config, manifest) for name, config in experiment.tasks.items()}
    tasks = {name: as_trained(task, (trained or {}).get(name, task)) for name, task in tasks.items()}
    return fitted(experiment, manifest, tasks, needed)


def read_split(experiment: PhotoExperiment, needed: tuple[str, ...]) -> Manifest:
    """All rows of the experiment's sources, each split by its own plan; arguments and errors as `read_manifest`."""
    return concatenate([_named(_split(source, experiment, needed), source) for source in experiment.data.sources])


def fitted(
    experiment: PhotoExperiment, manifest: Manifest, tasks: dict[str, Task], needed: tuple[str, ...]
) -> tuple[Manifest, dict[str, Task]]:
    """The photos that have a label of these tasks and none that does not fit; arguments as `read_manifest`.

    Raises:
        DataError: too many rows cannot be used, or a split that is needed is empty.
    """
    total = len(manifest) + len(manifest.quarantine)
    manifest = without_unfit(manifest, [task for name, task in tasks.items() if task != manifest.tasks.get(name)])
    if len(manifest.quarantine):
        first = manifest.quarantine.iloc[0]
        place = f"{first['image']}" + (f", row {first['row']}" if first["row"] >= 0 else "")
        limit = experiment.data.max_bad_share
        check_bad_share(len(manifest.quarantine), total, limit, f"{place}: {first['reason']}")
    taught = isinstance(experiment, Experiment) and bool(experiment.training.teachers)
    manifest = _labelled(without_straddling(manifest), tasks, needed, taught)
    return manifest, {name: _counted(task, manifest) for name, task in tasks.items()}


def _split(source: SourceConfig, experiment: PhotoExperiment, needed: tuple[str, ...]) -> Manifest:
    """A source's rows, split by its own plan in proportion of the first label that the data set has."""
    manifest, data = _read(source, experiment), experiment.data
    plan = (source.split or data.split).model_dump()
    method = plan.pop("method")
    # One of several may do without val, and be for training or for tests alone where its own split says so.
    whole = len(data.sources) == 1 or method not in ONE_SIDED
    needed = tuple(split for split in needed if split != "val" and whole)
    try:
        return split_manifest(manifest, method, stratify=next(iter(manifest.tasks), ""), needed=needed, **plan)
    except DataError as error:
        name = source.name or next(iter(manifest.sources))
        raise DataError(f"{name}: {error}" if len(data.sources) > 1 else str(error)) from None


def _labelled(manifest: Manifest, tasks: dict[str, Task], needed: tuple[str, ...], taught: bool) -> Manifest:
    """The photos that say something about a task; a teacher labels every photo that is learned from.

    Args:
        taught: whether the training has a teacher, for any of the tasks.
    """
    if any(isinstance(task, EmbeddingTask) for task in tasks.values()):
        return manifest
    columns, names = label_columns(tasks.values(), manifest.rows.columns), ", ".join(tasks)
    labelled = manifest.rows[columns].notna().any(axis=1)
    kept = manifest.select(labelled | (manifest.rows["split"] == "train") if taught else labelled)
    if not len(kept):
        raise DataError(f"no photo is labelled with {names}")
    for name in manifest.sources:
        if not (kept.rows["source"] == name).any():
            raise DataError(f"{name}: no photo is labelled with {names}: leave the source out")
    for split in needed:
        if not (kept.rows["split"] == split).any():
            raise DataError(f"no {split} photo is labelled with {names}: choose another data.split or add photos")
    return kept


def as_trained(found: Task, trained: Task) -> Task:
    """A task as a model has learned it, which decides what each of its outputs stands for.

    Args:
        found: what the data says.

    Raises:
        DataError: the data has classes that the model does not know, other attributes, or another scale.
    """
    match found, trained:
        case ((IdentityTask() | EmbeddingTask()), _):
            return found
        case CategoricalTask(), CategoricalTask():
            differ = sorted(set(found.classes) - set(trained.classes))
        case MultilabelTask(), MultilabelTask():
            differ = sorted(set(found.attributes) ^ set(trained.attributes))
        case ScalarTask(), ScalarTask():
            pairs = {key: (getattr(found, key), getattr(trained, key)) for key in ("minimum", "maximum", "unit")}
            differ = [f"{key} {mine}, not {theirs}" for key, (mine, theirs) in pairs.items() if mine != theirs]
            # In which bands labels are given is the data's own affair.
            trained = replace(trained, bands=found.bands)
        case _:
            differ = [f"kind {found.kind}, not {trained.kind}"] if found.kind != trained.kind else []
    if differ:
        raise DataError(f"{found.name}: the data and what the model has learned differ: {', '.join(differ)}")
    return trained


def check_names(name: str, manifest: Manifest) -> None:
    """Refuse names that a task does not know: a column of one source's groups may be a task of another.

    Raises:
        DataError: with the source and the names.
    """
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


def prepare(
    experiment: PhotoExperiment,
    splits: tuple[str, ...],
    progress: Progress | None = None,
    read: tuple[Manifest, dict[str, Task]] | None = None,
    trained: dict[str, Task] | None = None,
) -> PreparedData:
    """Read, split, decode and label what the named splits need.

    Args:
        read: result of `read_manifest`, for a caller who looks at it before photos are decoded, which may take long.
        trained: as of `read_manifest`.

    Raises:
        DataError: the data cannot be used, or the first of the splits has no rows.
    """
    manifest, tasks = read or read_manifest(experiment, trained, splits[:1])
    wanted = manifest.select(manifest.rows["split"].isin(splits))
    if not (wanted.rows["split"] == splits[0]).any():
        aside = manifest.quarantine["reason"].value_counts()
        why = f"; {aside.iloc[0]} rows were quarantined: {aside.index[0]}" if len(aside) else ""
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
    return PreparedData(wanted, tasks, parts, {name: label_forms(wanted, task) for name, task in tasks.items()})


def resolved(name: str, config: TaskConfig, manifest: Manifest) -> Task:
    """A task as the data defines it and the config changes it.

    Raises:
        ConfigError: neither of them defines it.
    """
    if config.kind == "embedding":
        if config.teacher is None:
            raise ConfigError(f"tasks.{name}: whose vectors? set tasks.{name}.teacher.path to a .tflite file")
        return EmbeddingTask(name, open_teacher(config.teacher).dimension, sensitive=bool(config.sensitive))
    if config.kind == "identity":
        if "identity" not in manifest.rows or not manifest.rows["identity"].notna().any():
            raise ConfigError(f"tasks.{name}: the data does not say who is on a photo; it needs a column identity")
        return task_from_dict({"name": name, **config.definition()})
    if name not in manifest.tasks:
        raise ConfigError(f"task {name!r}: the data has no such label; {nearest(name, manifest.tasks)}")
    # What the config says about a task that the data defines overrides the data's definition.
    known = manifest.tasks[name]
    definition = {**task_to_dict(known), **config.definition()}
    if isinstance(known, MultilabelTask) and config.attributes:
        for attribute in config.attributes:
            if attribute not in known.attributes:
                raise ConfigError(f"tasks.{name}: no attribute {attribute!r}; {nearest(attribute, known.attributes)}")
        if config.groups is None:
            groups = definition["groups"].items()
            kept = {group: [n for n in names if n in config.attributes] for group, names in groups}
            definition["groups"] = {group: names for group, names in kept.items() if names}
    return task_from_dict(definition)
