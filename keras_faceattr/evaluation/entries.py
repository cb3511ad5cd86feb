"""Measured results, read back: a run's results, and its predictions once they agree with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from keras_faceattr.data.manifest import Manifest
from keras_faceattr.errors import RunError
from keras_faceattr.evaluation.evaluate import primary_metric
from keras_faceattr.metrics import metrics_of
from keras_faceattr.run import Run
from keras_faceattr.tasks import VECTORS, CategoricalTask, ScalarTask, Task, label_columns

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


def _without_interval(number: Any) -> Any:
    """A bare number, as older results have it for a group, as one whose interval was not measured."""
    return {"value": number, "low": None, "high": None} if number is None or isinstance(number, float | int) else number


class Group(Part):
    """A group of photos; without metrics where it has too few."""

    labelled: int
    metrics: dict[str, Annotated[Number, BeforeValidator(_without_interval)]] = {}


class TaskResults(Part):
    """Metrics of a task: overall, and by column and group, of the true groups and of those that the model says."""

    unit: str
    labelled: int
    metrics: dict[str, Number]
    groups: dict[str, dict[str, Group]]
    predicted_groups: dict[str, dict[str, Group]] = {}


class Results(Part):
    """Contents of `metrics.json` or of a sidecar; `split_hash` names the photos."""

    run: str
    split: str
    photos: int
    tta: str
    seed: int
    init_from: str | dict[str, str] | None = None
    split_hash: str
    tasks: dict[str, TaskResults]


DAMAGE = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""Exceptions raised between a damaged file and an entry."""


@dataclass(frozen=True)
class Difference:
    """Difference of a metric, on the same photos.

    Attributes:
        against: what is subtracted.
        low: lower end of the paired 95 % interval; as `value`, None where it was not measured.
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


def read_entries(folder: Path, name: str) -> list[Entry]:
    """Read what a finished run left: an entry, or one for each regressor of a run on features, `NAME:REGRESSOR`.

    Raises:
        RunError: no run, one that never finished, or one whose files are damaged.
    """
    run = Run(folder)
    plain, path = run.results(), run.metrics_path
    try:
        if "regressors" in plain:
            measured = {f"{name}:{regressor}": as_net(plain, regressor) for regressor in plain["regressors"]}
        else:
            measured = {name: (plain, {})}
        found = []
        for title, (results, columns) in measured.items():
            path = run.metrics_path
            checked = Results.model_validate(results)
            path = run.tasks_path
            entry = Entry(title, folder, checked, run.tasks())
            path = run.predictions_path
            found.append(replace(entry, photos=read_predictions(path, entry, columns)))
        if not found:
            raise ValueError("no regressors")
        return found
    except DAMAGE as error:
        raise RunError(
            f"{path} is damaged: {_reason(error)}; write it again with {Run(folder).resume_command}"
        ) from None


def as_net(plain: dict[str, Any], regressor: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Results of a regressor as those of a net, and its column in the table of predictions as a net's."""
    task = plain["task"]
    return {**plain, "tasks": {task: plain["regressors"][regressor]}}, {regressor: f"{task}_predicted"}


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, KeyError):
        return f"no {error}"
    return getattr(error, "strerror", None) or str(error)


def read_predictions(path: Path, entry: Entry, columns: dict[str, str]) -> dict[str, pd.DataFrame]:
    """The labelled photos of each task.

    Args:
        columns: that have another name in the file.

    Raises:
        ValueError: it is no such table, or not the one that the metrics were computed from.
    """
    # As text: a photo may be called `NA`, or `007`.
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8").rename(columns=columns)
    results, found = entry.results, {}
    paired = {name: result for name, result in results.tasks.items() if not isinstance(entry.tasks[name], VECTORS)}
    for column in ["source", "image", *(c for name in paired for c in columns_of(entry.tasks[name], table))]:
        if column not in table:
            raise ValueError(f"no column {column!r}")
    photos = Manifest(table[["source", "image"]].assign(split=results.split), {}, {})
    if photos.split_hash() != results.split_hash:
        raise ValueError("its photos are not those that metrics.json was measured on")
    table = table.set_index(["source", "image"])
    for name, recorded in paired.items():
        task = entry.tasks[name]
        rows = table[columns_of(task, table)]
        if not isinstance(task, CategoricalTask):
            rows = rows.replace("", "nan").astype("float64")
        labels = rows[label_columns([task], rows.columns)]
        rows = rows[((labels != "") & labels.notna()).any(axis=1)]
        if len(rows) != recorded.labelled:
            raise ValueError(f"{len(rows)} labels of {name}, but metrics.json counts {recorded.labelled}")
        found[name] = rows
        metric = primary_metric(task)
        expected = recorded.metrics[metric].value if metric in recorded.metrics else None
        if expected is None:
            continue
        value = metrics_of(task)[metric].function(*arrays_of(task, rows))
        if not math.isclose(value, expected, rel_tol=AGREEMENT, abs_tol=1e-5):
            raise ValueError(f"{name} has {metric} {value:.6g}, but metrics.json says {expected:.6g}")
    return found


def columns_of(task: Task, table: pd.DataFrame) -> list[str]:
    """Columns of a task in a table of predictions: labels, predictions, then the ends of labels that are intervals."""
    ends = [column for column in label_columns([task], table.columns) if column not in task.columns]
    return [*task.columns, *(f"{label}_predicted" for label in task.columns), *ends]


def arrays_of(task: Task, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions in the shapes of `keras_faceattr.metrics`; a class that was said is certain."""
    columns, width = columns_of(task, rows), len(task.columns)
    if isinstance(task, CategoricalTask):
        known = {name: i for i, name in enumerate(task.classes)}
        labels, said = (rows[column].map(known).to_numpy("float64") for column in columns)
        if np.isnan(labels).any() or np.isnan(said).any():
            raise ValueError(f"a {task.name} that is none of {', '.join(task.classes)}")
        return labels[:, None], np.eye(len(known))[said.astype("int64")]
    values = rows[columns].to_numpy("float64")
    if isinstance(task, ScalarTask):
        # No metric that is compared looks at σ.
        labels = np.insert(values[:, [0, *range(2, len(columns))]], 1, np.nan, axis=1)
        return labels, values[:, 1]
    return values[:, :width], values[:, width:]
