"""For whom a model works worst: the group whose interval reaches furthest down, among those that are not too small."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_faceattr.metrics import Metric

SMALLEST_RANKED = 200
"""Groups with fewer labelled photos are not ranked: their intervals are wide, and the worst would be the smallest."""

ALSO_RANKED = ("band_accuracy",)
"""Metrics by which groups are ranked besides a task's first one."""


def worst_groups(metrics: Mapping[str, Metric], groups: Mapping[str, Any]) -> dict[str, Any]:
    """Rank the true groups of all columns together, by the worse end of their 95 % interval.

    Args:
        metrics: metrics of the task, the first one first.
        groups: by column and group, as of `groups.by_group`.

    Returns:
        By metric, for the task's first one and those of `ALSO_RANKED`: `column`, `group`, `labelled`, `value`, `low`
        and `high` of the worst group, and `among` how many it is the worst. A metric that fewer than two groups of
        `SMALLEST_RANKED` photos have is left out.
    """
    found = {}
    for place, (name, metric) in enumerate(metrics.items()):
        ranked = _ranked(name, groups) if not place or name in ALSO_RANKED else []
        if len(ranked) > 1:
            worst = min(ranked, key=lambda entry: entry["low"] if metric.higher_is_better else -entry["high"])
            found[name] = {**worst, "among": len(ranked)}
    return found


def _ranked(metric: str, groups: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The groups that have enough photos and an interval."""
    return [
        {"column": column, "group": group, "labelled": entry["labelled"], **entry["metrics"][metric]}
        for column, entries in groups.items()
        for group, entry in entries.items()
        if entry["labelled"] >= SMALLEST_RANKED and metric in entry["metrics"]
        if np.isfinite(list(entry["metrics"][metric].values())).all()
    ]
