"""Metrics of a set of predictions: overall with intervals, and by group."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_faceattr.data.manifest import Manifest, group_members
from keras_faceattr.data.targets import label_array, labelled
from keras_faceattr.errors import ModelError
from keras_faceattr.metrics import metrics_of
from keras_faceattr.metrics.bootstrap import bootstrap_interval
from keras_faceattr.metrics.classification import attribute_accuracies, confusion
from keras_faceattr.metrics.vectors import can_pair, pairs_of
from keras_faceattr.tasks import CategoricalTask, IdentityTask, MultilabelTask, Task

SMALLEST_GROUP = 10
"""Groups with fewer labelled photos are counted but not measured."""


def primary_metric(task: Task) -> str:
    """Name of the metric by which a task is judged."""
    return next(iter(metrics_of(task)))


def evaluate(
    manifest: Manifest,
    tasks: dict[str, Task],
    outputs: dict[str, np.ndarray],
    samples: int = 1000,
    seed: int = 0,
    labels: dict[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Measures every task that has labels.

    Intervals are of drawing the photos again, each on its own, also where a person has several; of a task of identity,
    of drawing the people again, as `bootstrap_interval` says.

    Args:
        manifest: the photos, row by row as in `outputs`.
        outputs: of the inference model, by name.
        samples: of the bootstrap; 0 for no intervals.
        labels: by task, as of `label_array`; None for the manifest's.

    Returns:
        By task: `kind`, `unit`, `labelled` photos, `metrics` (value, low, high), `confusion` or `attributes` where
        they apply, and `groups`: by column and value, `labelled` and metric values.
    """
    return {
        name: _evaluate_task(
            manifest, task, labels[name] if labels else label_array(manifest, task), outputs[name], samples, seed
        )
        for name, task in tasks.items()
        if set(task.columns) <= set(manifest.rows.columns)
    }


def check_finite(tasks: dict[str, Task], outputs: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> None:
    """Refuses predictions that are no numbers, which some metrics would count as answers.

    Args:
        labels: by task, as of `label_array`.

    Raises:
        ModelError: of a labelled photo, a prediction is NaN or infinite.
    """
    for name, task in tasks.items():
        if name not in labels:
            continue
        predictions = outputs[name][labelled(task, labels[name])]
        finite = np.isfinite(predictions).all(axis=tuple(range(1, predictions.ndim)))
        if not finite.all():
            raise ModelError(
                f"{name}: the predictions of {int((~finite).sum())} of {len(finite)} labelled photos are not finite "
                "numbers: train the model again with a lower training.optimizer.learning_rate, or export it again"
            )


def _evaluate_task(
    manifest: Manifest, task: Task, labels: np.ndarray, predictions: np.ndarray, samples: int, seed: int
) -> dict[str, Any]:
    known = labelled(task, labels)
    result: dict[str, Any] = {
        "kind": task.kind,
        "unit": getattr(task, "unit", ""),
        "labelled": int(known.sum()),
        "metrics": {},
        "groups": {},
    }
    if not known.any():
        return result
    rows, labels, predictions = manifest.rows[known], labels[known], predictions[known]
    if isinstance(task, IdentityTask) and not can_pair(labels):
        return result
    people = None
    if isinstance(task, IdentityTask):
        labels, predictions = pairs_of(labels, predictions)
        people = labels[:, 2:]
        result["pairs"] = len(labels)
    std = f"{task.name}_std"
    has_std = std in rows and bool(rows[std].notna().all())
    metrics = {n: m for n, m in metrics_of(task).items() if has_std or not m.needs_std}
    for name, metric in metrics.items():
        low, high = bootstrap_interval(metric.function, labels, predictions, samples, seed, people=people)
        value = metric.function(labels, predictions)
        result["metrics"][name] = {"value": value, "low": low, "high": high}
    if isinstance(task, CategoricalTask):
        result["classes"] = list(task.classes)
        result["confusion"] = confusion(labels, predictions).tolist()
    if isinstance(task, MultilabelTask):
        shares = attribute_accuracies(labels, predictions)
        result["attributes"] = dict(zip(task.attributes, map(float, shares), strict=True))
    for column in manifest.groups:
        if column == task.name or isinstance(task, IdentityTask):
            continue
        members = group_members(rows[column])
        # Of several data sets, some may not know the column.
        if members:
            result["groups"][column] = {
                value: _group(labels[own], predictions[own], metrics) for value, own in members.items()
            }
    return result


def _group(labels: np.ndarray, predictions: np.ndarray, metrics: dict[str, Any]) -> dict[str, Any]:
    group: dict[str, Any] = {"labelled": len(labels)}
    if len(labels) >= SMALLEST_GROUP:
        group["metrics"] = {name: metric.function(labels, predictions) for name, metric in metrics.items()}
    return group
