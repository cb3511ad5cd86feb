"""Measuring a model on data sets that it was not trained on, as far as these label what it predicts."""

from __future__ import annotations

from dataclasses import dataclass

from keras_faceattr.config import Experiment, SourceConfig, SplitConfig
from keras_faceattr.config_files import with_paths
from keras_faceattr.data.datasets import READERS
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.prepare import as_trained, check_names, fitted, read_split, resolved
from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.tasks import CategoricalTask, Task


@dataclass(frozen=True)
class Elsewhere:
    """Photos of other data sets.

    Attributes:
        manifest: as of `read_manifest`.
        tasks: those that can be measured; one that is measured in a reading has its groups as classes.
        notes: lines that say what is measured, and what is not.
    """

    manifest: Manifest
    tasks: dict[str, Task]
    notes: list[str]


def on_other_data(experiment: Experiment, paths: dict[str, str]) -> Experiment | None:
    """The experiment with other data sets as its sources; None where every path is of a source of its own.

    Args:
        paths: by source or reader (and `teacher`), as of `--data`.

    Raises:
        ConfigError: a name that is neither a source nor a reader, or sources next to other data sets.
    """
    own = [source.name or source.reader for source in experiment.data.sources]
    others = [name for name in paths if name not in (*own, "teacher")]
    if not others:
        return None
    for name in others:
        if name not in READERS:
            raise ConfigError(f"--data {name}: this config has no such source; {nearest(name, {*own, *READERS})}")
    if both := [name for name in paths if name in own]:
        raise ConfigError(
            f"--data {', '.join(both)} is what the model was trained on, {', '.join(others)} is another data set: "
            "measure on one after the other"
        )
    moved = with_paths(experiment, {name: path for name, path in paths.items() if name == "teacher"})
    sources = [SourceConfig(reader=name, path=paths[name]) for name in others]
    split = SplitConfig(method="given_or_test", validation=0.0)
    data = moved.data.model_copy(update={"sources": sources, "split": split})
    return moved.model_copy(update={"data": data})


def read_elsewhere(experiment: Experiment, trained: dict[str, Task], split: str) -> Elsewhere:
    """Read other data sets, and find what of the model's tasks they label.

    Args:
        experiment: result of `on_other_data`.
        trained: the model's tasks.
        split: that is to be measured.

    Raises:
        DataError: the data cannot be used, or labels none of the tasks.
    """
    manifest = read_split(experiment, (split,))
    source, tasks, notes, missing = ", ".join(manifest.sources), dict[str, Task](), [], []
    for name, own in trained.items():
        if own.kind not in ("identity", "embedding") and name not in manifest.tasks:
            missing.append(name)
            continue
        try:
            check_names(name, manifest)
            # The classes are those of the data set.
            config = experiment.tasks[name].model_copy(update={"classes": None, "readings": None})
            tasks[name] = _measured(resolved(name, config, manifest), own)
        except (ConfigError, DataError) as error:
            notes.append(f"not measured: {error}")
            continue
        if note := _reading_note(own, tasks[name]):
            notes.append(note)
    if missing:
        notes.append(f"not measured: {source} has no label of {', '.join(missing)}")
    if not tasks:
        raise DataError(f"{source} labels nothing that the model predicts: {'; '.join(notes)}")
    manifest, tasks = fitted(experiment, manifest, tasks, (split,))
    return Elsewhere(manifest, tasks, notes)


def _measured(found: Task, trained: Task) -> Task:
    """A task as the model has learned it, or in one of its readings where that has the data's classes."""
    if isinstance(found, CategoricalTask) and isinstance(trained, CategoricalTask):
        reading = trained.reading_with(found.classes)
        if reading and not set(found.classes) <= set(trained.classes):
            return trained.in_reading(reading)
    return as_trained(found, trained)


def _reading_note(trained: Task, measured: Task) -> str:
    if not isinstance(trained, CategoricalTask) or trained == measured:
        return ""
    name = trained.reading_with(measured.classes) if isinstance(measured, CategoricalTask) else None
    groups = trained.readings[name].items() if name else ()
    told = [f"{group} is {' or '.join(classes)}" for group, classes in groups if classes != (group,)]
    return f"{trained.name}: measured in the reading {name}: {', '.join(told)}"
