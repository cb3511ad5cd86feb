"""Runs side by side, task by task, and paired differences where they were measured on the same photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.evaluation.entries import Difference, Entry, arrays_of
from keras_faceattr.evaluation.evaluate import primary_metric
from keras_faceattr.metrics import metrics_of
from keras_faceattr.metrics.bootstrap import bootstrap_interval
from keras_faceattr.metrics.sums import change
from keras_faceattr.storage import jsonable
from keras_faceattr.tasks import CategoricalTask, Task

SAMPLES = 1000
"""Resamples of the paired bootstrap."""


def compare(entries: Sequence[Entry], chosen: Sequence[str] = (), samples: int = SAMPLES) -> dict[str, Any]:
    """Put measured results side by side.

    Args:
        entries: two or more; differences are to the first that has a task and its predictions.
        chosen: tasks; all without.
        samples: number of samples of the paired bootstrap.

    Returns:
        `runs`, and `tasks`: by name its `unit`, its `metrics`, the run `against` which the others stand, and `rows`:
        `run`, `labelled`, `metrics`, `groups`, `predicted_groups`, the metrics of which it has the `best` value among
        those on the same photos, `differences`, and `apart`: why its numbers must not be compared with those of
        `against`.

    Raises:
        ConfigError: an unknown task, or no task that two of them have.
    """
    every = list(dict.fromkeys(task for entry in entries for task in entry.results.tasks))
    for task in chosen:
        if task not in every:
            raise ConfigError(f"unknown --task {task!r}; {nearest(task, every)}")
    having = {task: [e for e in entries if task in e.results.tasks] for task in every if not chosen or task in chosen}
    if all(len(found) < 2 for found in having.values()):
        whose = "; ".join(f"{entry.name} has {', '.join(entry.results.tasks) or 'none'}" for entry in entries)
        raise ConfigError(f"no two of them have {' or '.join(chosen) or 'a task in common'}: {whose}")
    runs = [
        {"name": e.name, "path": str(e.path), **e.results.model_dump(exclude={"tasks"}), "parameters": e.parameters}
        for e in entries
    ]
    return {"runs": runs, "tasks": {task: _side_by_side(task, found, samples) for task, found in having.items()}}


def _side_by_side(task: str, entries: list[Entry], samples: int) -> dict[str, Any]:
    first = next((entry for entry in entries if entry.labelled(task) is not None), entries[0])
    measured = {entry.name: entry.results.tasks[task] for entry in entries}
    metrics = list(dict.fromkeys(metric for results in measured.values() for metric in results.metrics))
    apart = {entry.name: _apart(task, first, entry) for entry in entries}
    same = [e for e in entries if not apart[e.name] and measured[e.name].labelled == measured[first.name].labelled]
    best = {metric: _best(metric, task, same) for metric in metrics}
    rows = []
    for entry in entries:
        differences = list(entry.changes.get(task, []))
        if entry is not first and entry.labelled(task) is not None and not apart[entry.name]:
            differences += _differences(task, first, entry, samples)
        rows.append(
            {
                "run": entry.name,
                **measured[entry.name].model_dump(exclude={"unit"}),
                "best": [metric for metric in metrics if entry.name in best[metric]],
                "differences": [asdict(difference) for difference in differences],
                "apart": apart[entry.name],
            }
        )
    return {"unit": measured[first.name].unit, "metrics": metrics, "against": first.name, "rows": rows}


def _best(metric: str, task: str, entries: list[Entry]) -> list[str]:
    """Names of those with the best value, if there is more than one to choose from."""
    measured = [(entry.name, entry.results.tasks[task].metrics.get(metric)) for entry in entries]
    values = {name: number.value for name, number in measured if number and number.value is not None}
    if len(values) < 2:
        return []
    choose = max if metrics_of(entries[0].tasks[task])[metric].higher_is_better else min
    return [name for name, value in values.items() if value == choose(values.values())]


def _apart(name: str, first: Entry, other: Entry) -> list[str]:
    """Why numbers of two must not be compared; nothing where they may."""
    if other is first:
        return []
    reasons, one, two = [], first.tasks[name], other.tasks[name]
    if first.results.tta != other.results.tta:
        reasons.append(f"other test-time augmentation ({other.results.tta}, not {first.results.tta})")
    for key, words in (("kind", "another kind of task"), ("unit", "another unit"), ("attributes", "other attributes")):
        if getattr(one, key, None) != getattr(two, key, None):
            return [*reasons, words]
    before, after = first.labelled(name), other.labelled(name)
    if before is None or after is None:
        same = before is after and first.results.split_hash == other.results.split_hash
        return reasons if same else [*reasons, "there are no predictions to match photos by"]
    shared = before.index.intersection(after.index)
    if not len(shared):
        return [*reasons, "other photos (none is shared)"]
    if len(shared) < min(len(before), len(after)):
        share = f"{len(shared)} of its {len(after)} photos are among the {len(before)} of {first.name}"
        return [*reasons, f"other photos or another split (only {share})"]
    here, there = (frame.loc[shared, list(one.columns)].to_numpy() for frame in (before, after))
    agree = here == there if one.kind == "categorical" else np.isclose(here, there, rtol=1e-5, equal_nan=True)
    differs = ~agree.all(axis=1)
    if differs.any():
        example = "/".join(shared[int(differs.argmax())])
        reasons.append(f"other labels ({int(differs.sum())} of {len(shared)} photos, such as {example})")
    return reasons


def _differences(name: str, first: Entry, other: Entry, samples: int) -> list[Difference]:
    """Differences of the task's first metric, and of the correlation of a scalar, on the photos that both have."""
    before, after = first.labelled(name), other.labelled(name)
    assert before is not None and after is not None
    shared = before.index.intersection(after.index)
    task, second = first.tasks[name], other.tasks[name]
    if isinstance(task, CategoricalTask) and isinstance(second, CategoricalTask):
        task = replace(task, classes=tuple(dict.fromkeys(task.classes + second.classes)), readings={})
    labels, predictions = arrays_of(task, before.loc[shared])
    pairs = np.stack([predictions, arrays_of(task, after.loc[shared])[1]], axis=1)
    found = []
    measured = first.results.tasks[name].metrics.keys() & other.results.tasks[name].metrics.keys()
    for metric in [m for m in (primary_metric(task), "pc") if m in measured]:
        difference = change(metrics_of(task)[metric].function)
        numbers = [difference(labels, pairs), *bootstrap_interval(difference, labels, pairs, samples)]
        value, low, high = jsonable(numbers)
        found.append(Difference(first.name, metric, len(shared), value, low, high, verdict(metric, task, low, high)))
    return found


def verdict(metric: str, task: Task, low: float | None, high: float | None) -> str:
    """Put the interval of a difference into words."""
    if low is None or high is None:
        return "not measured"
    if low <= 0 <= high:
        return "no difference shown"
    return "better" if (low > 0) == metrics_of(task)[metric].higher_is_better else "worse"
