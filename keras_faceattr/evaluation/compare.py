"""Runs side by side, task by task, and paired differences where they were measured on the same photos."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from keras_faceattr.data.manifest import Manifest
from keras_faceattr.errors import ConfigError, RunError, nearest
from keras_faceattr.evaluation.evaluate import primary_metric
from keras_faceattr.metrics import metrics_of
from keras_faceattr.metrics.bootstrap import bootstrap_interval
from keras_faceattr.run import Run
from keras_faceattr.storage import jsonable
from keras_faceattr.tasks import VECTORS, CategoricalTask, ScalarTask, Task

SAMPLES = 1000
"""Of the paired bootstrap."""

AGREEMENT = 1e-3
"""Relative; predictions are written with six digits, so a metric of them is not the recorded one to the last."""


class Part(BaseModel):
    """Part of `metrics.json`; keys that are not compared are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Number(Part):
    """A metric with its 95 % interval; None where it was not measured."""

    value: float | None
    low: float | None
    high: float | None


class Group(Part):
    """A group of photos; without metrics where it has too few."""

    labelled: int
    metrics: dict[str, float | None] = {}


class TaskResults(Part):
    """Metrics of a task, overall and by group column and value."""

    unit: str
    labelled: int
    metrics: dict[str, Number]
    groups: dict[str, dict[str, Group]]


class Results(Part):
    """What `metrics.json` or a sidecar says; `split_hash` names the photos."""

    run: str
    split: str
    photos: int
    tta: str
    seed: int
    init_from: str | dict[str, str] | None = None
    split_hash: str
    tasks: dict[str, TaskResults]


@dataclass(frozen=True)
class Difference:
    """Of a metric, on the same photos.

    Attributes:
        against: what is subtracted.
        low: of the paired 95 % interval; as `value`, None where it was not measured.
        verdict: `better`, `worse`, `no difference shown`, or `not measured`.
    """

    against: str
    metric: str
    photos: int
    value: float | None
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True)
class Entry:
    """Something that was measured.

    Attributes:
        name: that no other entry has.
        tasks: those of the results.
        photos: by task the labelled photos, by (source, image), with labels and predictions; None where no predictions
            were kept.
        changes: differences that are known already, by task.
    """

    name: str
    path: Path
    results: Results
    tasks: dict[str, Task]
    photos: dict[str, pd.DataFrame] | None = None
    parameters: int | None = None
    changes: dict[str, list[Difference]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, measured in self.results.tasks.items():
            if name not in self.tasks or not measured.metrics.keys() <= metrics_of(self.tasks[name]).keys():
                raise ValueError(f"no task {name!r} with the metrics {', '.join(measured.metrics)}")

    def labelled(self, task: str) -> pd.DataFrame | None:
        """A task's labelled photos; None where photos cannot be paired: of exported files, and of vectors."""
        return None if self.photos is None else self.photos.get(task)


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Last parts of different paths, with as many parent folders as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    depths = [1] * len(parts)
    while True:
        names = ["/".join(p[-depth:]) for p, depth in zip(parts, depths, strict=True)]
        if len(set(names)) == len(names):
            return names
        depths = [depth + (names.count(name) > 1) for name, depth in zip(names, depths, strict=True)]


def read_run(folder: Path, name: str) -> Entry:
    """Reads what a finished run left.

    Raises:
        RunError: no run, one that never finished, one on tables, or one whose files are damaged.
    """
    run = Run(folder)
    if not run.metrics_path.is_file():
        if run.config_path.is_file():
            raise RunError(f"{folder} never finished: go on with keras-faceattr fit --resume {folder}")
        raise RunError(f"{folder} is not a run folder: name a folder that fit made, or an exported .tflite file")
    path = run.metrics_path
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(plain, dict) and "regressors" in plain:
            raise RunError(f"{folder} is a run of kind {run.kind()!r}: compare takes only runs on photos for now")
        results = Results.model_validate(plain)
        path = run.tasks_path
        entry = Entry(name, folder, results, run.tasks())
        path = run.predictions_path
        return replace(entry, photos=_read_predictions(path, entry))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged: {_reason(error)}; write it again with keras-faceattr fit --resume {folder}"
        ) from None


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return getattr(error, "strerror", None) or str(error)


def _read_predictions(path: Path, entry: Entry) -> dict[str, pd.DataFrame]:
    """The labelled photos of each task.

    Raises:
        ValueError: it is no such table, or not the one that the metrics were computed from.
    """
    # As text: a photo may be called `NA`, or `007`.
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    results, found = entry.results, {}
    paired = {name: result for name, result in results.tasks.items() if not isinstance(entry.tasks[name], VECTORS)}
    for column in ["source", "image", *(c for name in paired for c in _columns(entry.tasks[name]))]:
        if column not in table:
            raise ValueError(f"no column {column!r}")
    photos = Manifest(table[["source", "image"]].assign(split=results.split), {}, {})
    if photos.split_hash() != results.split_hash:
        raise ValueError("its photos are not those that metrics.json was measured on")
    table = table.set_index(["source", "image"])
    for name, recorded in paired.items():
        task = entry.tasks[name]
        rows = table[_columns(task)]
        if not isinstance(task, CategoricalTask):
            rows = rows.replace("", "nan").astype("float64")
        labels = rows[list(task.columns)]
        rows = rows[((labels != "") & labels.notna()).any(axis=1)]
        if len(rows) != recorded.labelled:
            raise ValueError(f"{len(rows)} labels of {name}, but metrics.json counts {recorded.labelled}")
        found[name] = rows
        metric = primary_metric(task)
        expected = recorded.metrics[metric].value if metric in recorded.metrics else None
        if expected is None:
            continue
        value = metrics_of(task)[metric].function(*_arrays(task, rows))
        if not math.isclose(value, expected, rel_tol=AGREEMENT, abs_tol=1e-5):
            raise ValueError(f"{name} has {metric} {value:.6g}, but metrics.json says {expected:.6g}")
    return found


def _columns(task: Task) -> list[str]:
    return [*task.columns, *(f"{label}_predicted" for label in task.columns)]


def _arrays(task: Task, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions in the shapes of `keras_faceattr.metrics`; a class that was said is certain."""
    columns, width = _columns(task), len(task.columns)
    if isinstance(task, CategoricalTask):
        known = {name: i for i, name in enumerate(task.classes)}
        labels, said = (rows[column].map(known).to_numpy("float64") for column in columns)
        if np.isnan(labels).any() or np.isnan(said).any():
            raise ValueError(f"a {task.name} that is none of {', '.join(task.classes)}")
        return labels[:, None], np.eye(len(known))[said.astype("int64")]
    values = rows[columns].to_numpy("float64")
    if isinstance(task, ScalarTask):
        # No metric that is compared looks at σ.
        return np.stack([values[:, 0], np.full(len(values), np.nan)], axis=1), values[:, 1]
    return values[:, :width], values[:, width:]


def compare(entries: Sequence[Entry], chosen: Sequence[str] = (), samples: int = SAMPLES) -> dict[str, Any]:
    """Puts what was measured side by side.

    Args:
        entries: two or more; differences are to the first that has a task and its predictions.
        chosen: tasks; all without.
        samples: of the paired bootstrap.

    Returns:
        `runs`, and `tasks`: by name its `unit`, its `metrics`, the run `against` which the others stand, and `rows`:
        `run`, `labelled`, `metrics`, `groups`, the metrics of which it has the `best` value among those on the same
        photos, `differences`, and `apart`: why its numbers must not be compared with those of `against`.

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
    """Of the task's first metric, and of the correlation of a scalar, on the photos that both have."""
    before, after = first.labelled(name), other.labelled(name)
    assert before is not None and after is not None
    shared = before.index.intersection(after.index)
    task, second = first.tasks[name], other.tasks[name]
    if isinstance(task, CategoricalTask) and isinstance(second, CategoricalTask):
        task = replace(task, classes=tuple(dict.fromkeys(task.classes + second.classes)))
    labels, predictions = _arrays(task, before.loc[shared])
    pairs = np.stack([predictions, _arrays(task, after.loc[shared])[1]], axis=1)
    found = []
    for metric in [primary_metric(task), *(["pc"] if task.kind == "scalar" else [])]:
        function = metrics_of(task)[metric].function

        def change(labels: np.ndarray, pairs: np.ndarray, function: Any = function) -> float:
            return float(function(labels, pairs[:, 1]) - function(labels, pairs[:, 0]))

        numbers = [change(labels, pairs), *bootstrap_interval(change, labels, pairs, samples)]
        value, low, high = jsonable(numbers)
        found.append(Difference(first.name, metric, len(shared), value, low, high, verdict(metric, task, low, high)))
    return found


def verdict(metric: str, task: Task, low: float | None, high: float | None) -> str:
    """What the interval of a difference shows."""
    if low is None or high is None:
        return "not measured"
    if low <= 0 <= high:
        return "no difference shown"
    return "better" if (low > 0) == metrics_of(task)[metric].higher_is_better else "worse"
