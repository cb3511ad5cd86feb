"""Metrics as Python reads them: numbers by name, with intervals and groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

NAN = float("nan")

Interval = tuple[float, float]


@dataclass(frozen=True, repr=False)
class TaskMetrics(Mapping[str, float]):
    """The metrics of a task: `metrics["mae"]` is a number, `metrics.intervals["mae"]` its 95 % interval.

    Attributes:
        task: its name.
        unit: of a scalar task's errors, such as years; empty without one.
        photos: with a label, on which the metrics were measured.
        numbers: by name of the metric; NaN where too few photos tell it.
        intervals: (low, high) of the 95 % bootstrap interval by name of the metric, where there is one.
        groups: the same of each group of people, by column and value: `groups["gender"]["female"]["mae"]`.
    """

    task: str
    unit: str
    photos: int
    numbers: Mapping[str, float]
    intervals: Mapping[str, Interval]
    groups: Mapping[str, Mapping[str, TaskMetrics]] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> float:
        return self.numbers[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    __hash__ = None  # type: ignore[assignment]  # Its values are a dictionary.

    def __repr__(self) -> str:
        unit = f" ({self.unit})" if self.unit else ""
        numbers = ", ".join(f"{name} {self._text(name)}" for name in self.numbers)
        return f"TaskMetrics {self.task}{unit}, {self.photos} photos: {numbers}"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{escape(name)}</td><td>{self._text(name)}</td></tr>" for name in self.numbers)
        unit = f", {self.unit}" if self.unit else ""
        head = f"{self.task}: {self.photos} photos{unit}"
        return f"<table><caption>{escape(head)}</caption><tr><th>metric</th><th>value (95 %)</th></tr>{rows}</table>"

    def _text(self, name: str) -> str:
        interval = self.intervals.get(name)
        between = f" ({interval[0]:.4g} – {interval[1]:.4g})" if interval else ""
        return f"{self.numbers[name]:.4g}{between}"


def metrics_of(tasks: Mapping[str, Any]) -> dict[str, TaskMetrics]:
    """The metrics of each task, from what stands under `tasks` in `metrics.json` or in a sidecar."""
    return {name: _metrics(name, task.get("unit", ""), task) for name, task in tasks.items()}


def _metrics(task: str, unit: str, plain: Mapping[str, Any]) -> TaskMetrics:
    # A group of too few photos has none.
    found = plain.get("metrics", {})
    ends = {name: (number.get("low"), number.get("high")) for name, number in found.items()}
    return TaskMetrics(
        task,
        unit,
        int(plain["labelled"]),
        {name: NAN if number["value"] is None else float(number["value"]) for name, number in found.items()},
        {name: (float(low), float(high)) for name, (low, high) in ends.items() if low is not None and high is not None},
        {
            column: {value: _metrics(task, unit, group) for value, group in groups.items()}
            for column, groups in plain.get("groups", {}).items()
        },
    )
