"""One vocabulary for the labels of several data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from keras_faceattr.data.manifest import GROUP_COLUMNS, Manifest
from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.tasks import CategoricalTask, Task


def relabelled(manifest: Manifest, labels: dict[str, dict[str, str | None]]) -> Manifest:
    """The manifest with labels called as `labels` says.

    Args:
        labels: by task or group column, what each of the data's labels is called from now on; None for no label. Labels
            that are not named stay.

    Raises:
        ConfigError: a column or a label that the data does not have.
    """
    rows, tasks = manifest.rows.copy(), dict(manifest.tasks)
    source = next(iter(manifest.sources))
    classified = {name: task for name, task in tasks.items() if isinstance(task, CategoricalTask)}
    known = [*classified, *(name for name in GROUP_COLUMNS if name in rows and name not in classified)]
    for column, names in labels.items():
        task = classified.get(column)
        if column not in known:
            raise ConfigError(
                f"{source}: no classes to rename in {column!r}; {nearest(column, known) if known else 'none'}"
            )
        present = task.classes if task else tuple(rows[column].dropna().astype(str).unique())
        for name in names:
            if name not in present:
                raise ConfigError(f"{source}: {column} has no label {name!r}; {nearest(name, present)}")
        rows[column] = rows[column].map(lambda name, names=names: pd.NA if pd.isna(name) else names.get(name, name))
        if task:
            tasks[column] = _renamed(task, names)
    return replace(manifest, rows=rows, tasks=tasks)


def renamed(manifest: Manifest, name: str | None) -> Manifest:
    """The manifest of one source, under another name; None for its own."""
    if name is None:
        return manifest
    (source,) = manifest.sources.values()
    rows, aside = manifest.rows.assign(source=name), manifest.quarantine.assign(source=name)
    return replace(manifest, rows=rows, quarantine=aside, sources={name: replace(source, name=name)})


def unrenamed(tasks: Sequence[Task], labels: dict[str, dict[str, str | None]]) -> list[Task]:
    """Tasks as a source that calls its labels otherwise must read them: with both names of every class.

    Readings are of the classes that are learned, and none of the source's affair.
    """
    return [
        replace(task, classes=tuple(dict.fromkeys([*labels.get(task.name, {}), *task.classes])), readings={})
        if isinstance(task, CategoricalTask)
        else task
        for task in tasks
    ]


def _renamed(task: CategoricalTask, names: dict[str, str | None]) -> Task:
    kept = [names.get(name, name) for name in task.classes]
    return replace(task, classes=tuple(dict.fromkeys(name for name in kept if name is not None)))
