"""Metrics of a set of predictions: overall with intervals, and by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.targets import label_array, labelled
from keras_faceattr.errors import ModelError
from keras_faceattr.evaluation.groups import by_group, measured, predicted_groups, true_groups
from keras_faceattr.evaluation.intervals import Intervals
from keras_faceattr.evaluation.reliability import reliability
from keras_faceattr.evaluation.worst import worst_groups
from keras_faceattr.metrics import Metric, metrics_of
from keras_faceattr.metrics.classification import confusion
from keras_faceattr.metrics.scalar import likeliest_bands
from keras_faceattr.metrics.vectors import can_pair, pairs_of
from keras_faceattr.readings import group_numbers, summed
from keras_faceattr.tasks import CategoricalTask, IdentityTask, MultilabelTask, ScalarTask, Task


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
    intervals: Mapping[str, Intervals] | None = None,
    certainty: bool = True,
) -> dict[str, Any]:
    """Measure every task that has labels.

    Intervals are of drawing the photos again, each on its own, also where a person has several; of a task of identity,
    of drawing the people again, as `bootstrap_interval` says.

    Args:
        manifest: the photos, row by row as in `outputs`.
        outputs: outputs of the inference model, by name.
        samples: number of samples of the bootstrap; 0 for no intervals.
        labels: by task, as of `label_array`; None for the manifest's.
        intervals: of scalar tasks that have them.
        certainty: whether `reliability` is measured, too.

    Returns:
        By task: `kind`, `unit`, `labelled` photos, `metrics` (value, low, high); where they apply, `confusion`;
        `likeliest_band`: metrics of bands, answered by the distribution's largest mass and not by its expectation;
        `readings`: of each one its `classes` and `metrics`; and `attributes`: of each one its `labelled` photos, and
        its `metrics` if there are any; `groups`: by column and true group, `labelled` photos and `metrics` as above;
        `reliability`: as of `reliability.reliability`;
        `predicted_groups`: the same of the photos that the model puts in a group, where it predicts the group; and
        `worst_groups`, as of `worst.worst_groups`.
    """
    found = {}
    for name, task in tasks.items():
        if set(task.columns) <= set(manifest.rows.columns):
            own = labels[name] if labels else label_array(manifest, task)
            found[name] = _evaluate_task(
                manifest, tasks, task, own, outputs, samples, seed, (intervals or {}).get(name), certainty
            )
    return found


def check_finite(tasks: dict[str, Task], outputs: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> None:
    """Refuse predictions that are no numbers, which some metrics would count as answers.

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
    manifest: Manifest,
    tasks: dict[str, Task],
    task: Task,
    labels: np.ndarray,
    outputs: dict[str, np.ndarray],
    samples: int,
    seed: int,
    intervals: Intervals | None,
    certainty: bool,
) -> dict[str, Any]:
    known = labelled(task, labels)
    result: dict[str, Any] = {
        "kind": task.kind,
        "unit": getattr(task, "unit", ""),
        "labelled": int(known.sum()),
        "metrics": {},
        "groups": {},
        "predicted_groups": {},
        "worst_groups": {},
    }
    if not known.any():
        return result
    rows, labels, predictions = manifest.rows[known], labels[known], outputs[task.name][known]
    if isinstance(task, IdentityTask) and not can_pair(labels):
        return result
    people = None
    if isinstance(task, IdentityTask):
        labels, predictions = pairs_of(labels, predictions)
        people = labels[:, 2:]
        result["pairs"] = len(labels)
    std = f"{task.name}_std"
    has_std = std in rows and bool(rows[std].notna().all())
    valued = not isinstance(task, ScalarTask) or bool((~np.isnan(labels[:, 0])).any())
    metrics = {
        n: m for n, m in metrics_of(task).items() if (has_std or not m.needs_std) and (valued or not m.needs_values)
    }
    result["metrics"] = measured(metrics, labels, predictions, samples, seed, people)
    if isinstance(task, ScalarTask) and task.bands and (said := outputs.get(f"{task.name}_distribution")) is not None:
        bands = likeliest_bands(np.array(task.bands), task.bins, said[known])
        of_bands = {name: metrics[name] for name in ("band_accuracy", "one_off_accuracy")}
        result["likeliest_band"] = measured(of_bands, labels, bands, samples, seed)
    if isinstance(task, CategoricalTask):
        result["classes"] = list(task.classes)
        result["confusion"] = confusion(labels, predictions).tolist()
        result["readings"] = {
            reading: {
                "classes": list(groups),
                "metrics": measured(metrics, *_in_groups(task, groups, labels, predictions), samples, seed),
            }
            for reading, groups in task.readings.items()
        }
    if isinstance(task, MultilabelTask):
        result["attributes"] = _attributes(task, metrics, labels, predictions, samples, seed)
    if not isinstance(task, IdentityTask):
        readings = {
            "groups": true_groups(manifest, task),
            "predicted_groups": predicted_groups(tasks, outputs, task),
        }
        for reading, columns in readings.items():
            # Of several data sets, some may not know the column.
            own = {name: groups[known] for name, groups in columns.items()}
            result[reading] = by_group(own, task, metrics, labels, predictions, samples, seed)
        result["worst_groups"] = worst_groups(metrics, result["groups"])
        said_of_known = {key: values[known] for key, values in outputs.items() if key.startswith(task.name)}
        grouped = {name: groups[known] for name, groups in readings["groups"].items()}
        if certainty and (found := reliability(task, labels, said_of_known, grouped, samples, seed, intervals)):
            result["reliability"] = found
    return result


def _in_groups(
    task: CategoricalTask, groups: dict[str, tuple[str, ...]], labels: np.ndarray, predictions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of labelled photos, with the groups of a reading as classes."""
    numbers = group_numbers(task.classes, groups)
    return numbers[labels.astype("int64")], summed(task.classes, groups, predictions)


def _attributes(
    task: MultilabelTask,
    metrics: dict[str, Metric],
    labels: np.ndarray,
    predictions: np.ndarray,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """Each of several attributes over its own labelled photos, all of the same draws."""
    own = {
        f"{number} {name}": replace(metric, function=metric.function.of_columns(slice(number, number + 1)))  # type: ignore[attr-defined]
        for number in range(len(task.attributes))
        for name, metric in metrics.items()
    }
    found = measured(own, labels, predictions, samples, seed)
    counts = (~np.isnan(labels)).sum(axis=0)
    return {
        attribute: {"labelled": int(counts[number])}
        | ({"metrics": {name: found[f"{number} {name}"] for name in metrics}} if counts[number] else {})
        for number, attribute in enumerate(task.attributes)
    }
