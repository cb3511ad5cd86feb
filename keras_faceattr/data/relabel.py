"""One vocabulary for the labels of several data sets."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from keras_faceattr.data.manifest import Manifest
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
    for column, names in labels.items():
        task = tasks.get(column)
        if column not in rows or (task is not None and not isinstance(task, CategoricalTask)):
            known = [name for name, task in tasks.items() if isinstance(task, CategoricalTask)]
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
    # A row whose only label is gone stays: it may still be a photo of a person.
    return replace(manifest, rows=rows, tasks=tasks)


def _renamed(task: CategoricalTask, names: dict[str, str | None]) -> Task:
    kept = [names.get(name, name) for name in task.classes]
    return replace(task, classes=tuple(dict.fromkeys(name for name in kept if name is not None)))
