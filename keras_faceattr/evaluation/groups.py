"""Results by group, in both readings: of the photos that are in a group, and of those that the model puts there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from keras_faceattr.data.groups import AGE, age_bands, group_columns, group_members, is_age
from keras_faceattr.data.manifest import GROUP_COLUMNS, Manifest
from keras_faceattr.metrics import Metric
from keras_faceattr.metrics.bootstrap import bootstrap_intervals
from keras_faceattr.tasks import CategoricalTask, Task

SMALLEST_GROUP = 10
"""Groups with fewer labelled photos are counted but not measured."""

NOT_WITHIN_ITSELF = ("pc", "balanced_accuracy", "average_precision")
"""Metrics that say nothing within one class, or one band, of what they measure."""

Columns = dict[str, pd.Series]
"""By name of what groups photos, (n,) group of each photo."""


def true_groups(manifest: Manifest, task: Task) -> Columns:
    """The groups that photos are in by their labels: those of the data, and the classes of the task itself."""
    columns = group_columns(manifest)
    if isinstance(task, CategoricalTask) and task.name not in columns:
        columns[task.name] = manifest.rows[task.name].astype("string")
    return _several(columns)


def predicted_groups(tasks: Mapping[str, Task], outputs: Mapping[str, np.ndarray], task: Task) -> Columns:
    """The groups that the model puts photos in: as far as it predicts any, and the classes of the task itself."""
    columns: Columns = {}
    for name, other in tasks.items():
        if isinstance(other, CategoricalTask) and name in (*GROUP_COLUMNS, AGE, task.name):
            said = np.array(other.classes, object)[outputs[name].argmax(axis=1)]
            columns[name] = pd.Series(said, dtype="string")
        elif is_age(other):
            columns[name] = age_bands(pd.Series(outputs[name].reshape(-1)))
    return _several(columns)


def measured(
    metrics: Mapping[str, Metric],
    labels: np.ndarray,
    predictions: np.ndarray,
    samples: int,
    seed: int,
    people: np.ndarray | None = None,
) -> dict[str, dict[str, float]]:
    """Metrics by name: the `value`, and `low` and `high` of its 95 % interval."""
    functions = {name: metric.function for name, metric in metrics.items()}
    intervals = bootstrap_intervals(functions, labels, predictions, samples, seed, people=people)
    return {
        name: {"value": function(labels, predictions), "low": intervals[name][0], "high": intervals[name][1]}
        for name, function in functions.items()
    }


def by_group(
    columns: Columns,
    task: Task,
    metrics: Mapping[str, Metric],
    labels: np.ndarray,
    predictions: np.ndarray,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """Metrics by column and group: the number of photos `labelled`, and their `metrics` where these are not too few.

    Args:
        columns: columns of these photos.
        labels: (n, …) of the labelled photos alone, as `predictions` (n, …).
    """
    found: dict[str, Any] = {}
    for column, groups in columns.items():
        chosen = {n: m for n, m in metrics.items() if column != task.name or n not in NOT_WITHIN_ITSELF}
        for group, own in group_members(groups).items():
            entry: dict[str, Any] = {"labelled": int(own.sum())}
            if entry["labelled"] >= SMALLEST_GROUP:
                entry["metrics"] = measured(chosen, labels[own], predictions[own], samples, seed)
            found.setdefault(column, {})[group] = entry
    return found


def _several(columns: Columns) -> Columns:
    return {name: groups for name, groups in columns.items() if groups.nunique() > 1}
