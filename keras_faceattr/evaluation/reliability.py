"""Whether a net's certainty holds on labelled photos: overall and by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_faceattr.evaluation.groups import Columns, by_group, measured
from keras_faceattr.evaluation.intervals import SHOWN, Intervals, spread_of
from keras_faceattr.metrics import Metric
from keras_faceattr.metrics import reliability as of
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, Task

KEPT = (0.9, 0.8, 0.5)
"""Shares of the photos, the most certain ones, whose error is measured."""


def reliability(
    task: Task,
    labels: np.ndarray,
    outputs: Mapping[str, np.ndarray],
    columns: Columns,
    samples: int,
    seed: int,
    intervals: Intervals | None = None,
) -> dict[str, Any]:
    """Measure the calibration error of a task with classes, or the coverage of a scalar's intervals.

    Args:
        labels: of the labelled photos alone, as `outputs` and `columns`.
        columns: true groups.
        intervals: of a scalar task; None for one without.

    Returns:
        `metrics` (value, low, high) and `groups` by column. Of classes and yes/no answers: `ece`, and `error@x%` of the
        x % most certain. Of scalars with a distribution: `distance@x%`; with intervals `coverage`, `touched` (where
        labels are intervals) and `width`. Empty for what has neither.
    """
    if isinstance(task, ScalarTask):
        return _of_scalar(task, labels, outputs, columns, samples, seed, intervals)
    said = outputs[task.name]
    if isinstance(task, CategoricalTask):
        certainty = of.class_certainty(labels, said)
    elif isinstance(task, BinaryTask | MultilabelTask):
        certainty = of.answer_certainty(labels, said.reshape(labels.shape))
    else:
        return {}
    known = certainty[..., 0][~np.isnan(certainty[..., 1])]
    metrics = {"ece": Metric(of.expected_calibration_error, False)}
    for share in KEPT:
        threshold = float(np.quantile(known, 1 - share))
        metrics[f"error@{100 * share:g}%"] = Metric(of.error_of_most_certain(threshold), False)
    return _measured(task, metrics, labels, certainty, columns, samples, seed)


def _of_scalar(
    task: ScalarTask,
    labels: np.ndarray,
    outputs: Mapping[str, np.ndarray],
    columns: Columns,
    samples: int,
    seed: int,
    intervals: Intervals | None,
) -> dict[str, Any]:
    distributions = outputs.get(f"{task.name}_distribution")
    if distributions is None:
        return {}
    values = outputs[task.name].reshape(-1).astype("float64")
    spread = spread_of(task, distributions)
    metrics = {
        f"distance@{100 * share:g}%": Metric(of.distance_of_most_certain(float(np.quantile(spread, share))), False)
        for share in KEPT
    }
    said = np.stack([values, spread], axis=1)
    if intervals is not None and SHOWN in intervals.factors:
        held = {"coverage": Metric(of.coverage, True), "width": Metric(of.width, False)}
        if labels.shape[1] > 2 and bool(np.isnan(labels[:, 0]).any()):
            held["touched"] = Metric(of.touched, True)
        # Each metric reads its own end: these the first two columns, the distances the last two.
        metrics, said = held | metrics, np.concatenate([intervals.bounds(task, values, spread), said], axis=1)
    return _measured(task, metrics, labels, said, columns, samples, seed)


def _measured(
    task: Task,
    metrics: dict[str, Metric],
    labels: np.ndarray,
    said: np.ndarray,
    columns: Columns,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    return {
        "metrics": measured(metrics, labels, said, samples, seed),
        "groups": by_group(columns, task, metrics, labels, said, samples, seed),
    }
