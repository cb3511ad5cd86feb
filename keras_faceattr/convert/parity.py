"""What quantization and conversion changed: differences of outputs, of metrics, and between groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_faceattr.data.groups import group_members
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.targets import label_array, labelled
from keras_faceattr.evaluation.evaluate import evaluate, primary_metric
from keras_faceattr.evaluation.groups import SMALLEST_GROUP, true_groups
from keras_faceattr.evaluation.intervals import Intervals
from keras_faceattr.evaluation.predictions import Outputs
from keras_faceattr.metrics import metrics_of
from keras_faceattr.metrics.bootstrap import bootstrap_interval
from keras_faceattr.metrics.sums import change
from keras_faceattr.tasks import VECTORS, Task


def parity(
    manifest: Manifest,
    tasks: dict[str, Task],
    outputs: dict[str, Outputs],
    samples: int,
    seed: int,
    labels: dict[str, np.ndarray] | None = None,
    intervals: Mapping[str, Intervals] | None = None,
) -> dict[str, Any]:
    """Compares what models say about the same photos.

    Args:
        manifest: the photos, row by row as in the outputs.
        outputs: by model: `float`, `file`, and `fake_quantized` and `unrounded` where there is one.
        samples: of the bootstrap.
        labels: by task; None for the manifest's.
        intervals: of the file.

    Returns:
        `metrics` by model and task; `differences` by pair and output (largest, mean, p99); `drop` by task and metric
        of the file against the float model, positive where it is worse; `groups`: change of each task's first metric
        by group, with its interval.
    """
    pairs = [(a, b) for a in ("float", "fake_quantized") for b in ("fake_quantized", "file") if a != b]
    pairs = [pair for pair in pairs if set(pair) <= set(outputs)]
    metrics = {
        name: evaluate(manifest, tasks, values, samples, seed, labels, intervals, certainty=name == "file")
        for name, values in outputs.items()
    }
    return {
        "photos": len(manifest),
        "metrics": metrics,
        "differences": {f"{a}_to_{b}": _differences(outputs[a], outputs[b]) for a, b in pairs},
        "drop": {name: _drops(task, metrics["float"], metrics["file"]) for name, task in tasks.items()},
        "groups": {
            name: _group_changes(manifest, task, outputs["float"][name], outputs["file"][name], samples, seed)
            for name, task in tasks.items()
            if set(task.columns) <= set(manifest.rows.columns) and not isinstance(task, VECTORS)
        },
    }


def _differences(one: Outputs, other: Outputs) -> dict[str, dict[str, float]]:
    found = {}
    for name, values in one.items():
        gap = np.abs(np.asarray(values, "float64") - np.asarray(other[name], "float64"))
        found[name] = {"largest": float(gap.max()), "mean": float(gap.mean()), "p99": float(np.quantile(gap, 0.99))}
    return found


def _drops(task: Task, before: dict[str, Any], after: dict[str, Any]) -> dict[str, float]:
    if task.name not in before:
        return {}
    kinds = metrics_of(task)
    numbers = {name: (entry["value"], after[task.name]["metrics"][name]["value"])
               for name, entry in before[task.name]["metrics"].items()}  # fmt: skip
    return {name: (a - b) if kinds[name].higher_is_better else (b - a) for name, (a, b) in numbers.items()}


def _group_changes(
    manifest: Manifest, task: Task, before: np.ndarray, after: np.ndarray, samples: int, seed: int
) -> dict[str, Any]:
    """Change of the task's first metric from float to file: overall (`all`) and by group, with paired intervals."""
    labels = label_array(manifest, task)
    known = labelled(task, labels)
    name = primary_metric(task)
    difference, pairs = change(metrics_of(task)[name].function), np.stack([before, after], axis=1)

    def measured(rows: np.ndarray) -> dict[str, Any] | None:
        if len(rows) < SMALLEST_GROUP:
            return None
        own = (labels[rows], pairs[rows])
        low, high = bootstrap_interval(difference, *own, samples, seed)
        return {"photos": len(rows), "change": difference(*own), "low": low, "high": high}

    result: dict[str, Any] = {"metric": name, "all": measured(np.flatnonzero(known)), "by": {}}
    for column, groups in true_groups(manifest, task).items():
        members = group_members(groups[known])
        if members:
            result["by"][column] = {value: measured(np.flatnonzero(known)[own]) for value, own in members.items()}
    return result
