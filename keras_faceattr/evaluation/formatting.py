"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import Any

from keras_faceattr.evaluation.worst import SMALLEST_RANKED

FOUR_PLACES = ("pc", "epsilon_error", "cosine", "auc")
ERRORS = ("mae", "rmse", "interval_distance", "width", "distance@90%", "distance@80%", "distance@50%")
"""Metrics in the task's unit."""

TITLES = {
    "mae": "MAE",
    "rmse": "RMSE",
    "interval_distance": "distance to the interval",
    "band_accuracy": "accuracy of bands",
    "one_off_accuracy": "at most one band off",
    "pc": "PC",
    "epsilon_error": "ε-error",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "average_precision": "average precision",
    "auc": "area under ROC",
    "cosine": "cosine",
    "ece": "calibration error (ECE)",
    "coverage": "coverage of the 90 % interval",
    "whole_bands": "bands wholly within the 90 % interval (coverage at least)",
    "touched": "bands that the 90 % interval meets (coverage at most)",
    "width": "width of the 90 % interval",
    **{f"error@{share}%": f"error of the {share} % most certain" for share in (90, 80, 50)},
    **{f"distance@{share}%": f"error of the {share} % most certain" for share in (90, 80, 50)},
}

OF_GROUPS = ("ece", "coverage", "whole_bands", "touched", "width")
"""Metrics of reliability that stand in the tables of groups."""

TOO_FEW = "too few"
"""Stands where a group has too few photos to be measured."""

PREDICTED = "predicted"
"""Prefix of a column of groups that the model itself predicts."""


def metric_text(name: str, numbers: dict[str, Any]) -> str:
    """`0.2412 (0.2330–0.2500)`: the value and its interval, where there is one."""
    value = number_text(name, numbers["value"])
    low, high = numbers.get("low"), numbers.get("high")
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return value
    return f"{value} ({number_text(name, low)}–{number_text(name, high)})"


def number_text(name: str, value: float | None) -> str:
    """A metric to as many places as mean something; shares in per cent."""
    if value is None or math.isnan(value):
        return "not measured"
    if name in ERRORS:
        return f"{value:.{4 if value < 1 else 3 if value < 10 else 2}f}"
    return f"{value:.4f}" if name in FOUR_PLACES else f"{100 * value:.1f} %"


def size_text(name: str, value: float) -> str:
    """A difference of a metric, without its sign; that of shares in percentage points (pp)."""
    return number_text(name, value).replace(" %", " pp")


def signed_text(name: str, value: float | None) -> str:
    """A change of a metric, with its sign."""
    if value is None:
        return number_text(name, value)
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{size_text(name, abs(value))}"


def difference_text(name: str, numbers: dict[str, Any] | None) -> str:
    """`−0.0074 (−0.0101 to −0.0047)`: a mean change of a metric and its interval; empty without numbers."""
    if numbers is None:
        return ""
    mean, low, high = (signed_text(name, numbers[key]) for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def metric_rows(task: dict[str, Any]) -> list[tuple[str, str]]:
    """Title and value of each metric of a task, of its likeliest bands, of its readings, and of its reliability."""
    found = [
        (metric_title(name, task["unit"]), metric_text(name, numbers)) for name, numbers in task["metrics"].items()
    ]
    found += [
        (f"{metric_title(n, '')}, of the likeliest band", metric_text(n, numbers))
        for n, numbers in task.get("likeliest_band", {}).items()
    ]
    for reading, own in task.get("readings", {}).items():
        said = f"in {len(own['classes'])} groups ({reading})"
        found += [(f"{metric_title(n, '')} {said}", metric_text(n, numbers)) for n, numbers in own["metrics"].items()]
    return found + reliability_rows(task)


def reliability_rows(task: dict[str, Any]) -> list[tuple[str, str]]:
    """Title and value of each metric of whether a task's certainty holds; none in results of earlier versions."""
    held = _named(task.get("reliability", {}).get("metrics", {}))
    return [(metric_title(name, task["unit"]), metric_text(name, numbers)) for name, numbers in held.items()]


def group_tables(task: dict[str, Any], intervals: int | None = None) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and rows for each column of groups: first by the true group, then by the predicted one.

    Args:
        intervals: how many metrics, the first ones, are shown with theirs; None for all.
    """
    readings = (("", _with_reliability(task)), (f"{PREDICTED} ", task.get("predicted_groups", {})))
    columns = dict.fromkeys(column for _, groups in readings for column in groups)
    return [
        (f"{said}{column}", *_group_table(f"{said}{column}", groups[column], task, intervals))
        for column in columns
        for said, groups in readings
        if column in groups
    ]


def _with_reliability(task: dict[str, Any]) -> dict[str, Any]:
    """The true groups of a task, each with its metrics and with those of `OF_GROUPS`."""
    held = task.get("reliability", {}).get("groups", {})
    return {
        column: {
            group: {**entry, "metrics": entry["metrics"] | _chosen(held.get(column, {}).get(group, {}))}
            if "metrics" in entry
            else entry
            for group, entry in groups.items()
        }
        for column, groups in task["groups"].items()
    }


def _chosen(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: numbers for name, numbers in _named(entry.get("metrics", {})).items() if name in OF_GROUPS}


def _named(held: dict[str, Any]) -> dict[str, Any]:
    """Metrics of reliability; where labels are bands, the coverage says that it is of whole ones."""
    return {"whole_bands" if name == "coverage" and "touched" in held else name: n for name, n in held.items()}


def attribute_table(task: dict[str, Any]) -> tuple[list[str], list[list[str]]] | None:
    """Header and rows of the attributes of a task that has several; None where results do not hold them.

    Results of earlier versions have a bare accuracy for each.
    """
    attributes = task.get("attributes", {})
    if not attributes or not all(isinstance(entry, dict) for entry in attributes.values()):
        return None
    return _group_table("attribute", attributes, task, None, "no photo")


def _group_table(
    title: str, groups: dict[str, Any], task: dict[str, Any], intervals: int | None, unmeasured: str = TOO_FEW
) -> tuple[list[str], list[list[str]]]:
    known = {metric for group in groups.values() for metric in group.get("metrics", {})}
    metrics = [metric for metric in (*task["metrics"], *OF_GROUPS) if metric in known] or list(task["metrics"])
    header = [title, "photos", *(metric_title(metric, task["unit"]) for metric in metrics)]
    rows = []
    shown = [True if intervals is None else place < intervals for place in range(len(metrics))]
    for value, group in groups.items():
        found = group.get("metrics")
        cells = [
            unmeasured if found is None else metric_text(m, found[m] if whole else {"value": found[m]["value"]})
            for m, whole in zip(metrics, shown, strict=True)
        ]
        rows.append([value, str(group["labelled"]), *cells])
    return header, rows


def worst_group_table(task: dict[str, Any]) -> tuple[list[str], list[list[str]]] | None:
    """Header and a row for each metric by which groups are ranked; None where none are, as in earlier results."""
    header = ["worst group by", "group", "photos", "value (95 % interval)", "groups ranked"]
    rows = [
        [
            metric_title(metric, task["unit"]),
            f"{worst['column']}: {worst['group']}",
            str(worst["labelled"]),
            metric_text(metric, worst),
            str(worst["among"]),
        ]
        for metric, worst in task.get("worst_groups", {}).items()
    ]
    return (header, rows) if rows else None


def task_tables(name: str, task: dict[str, Any]) -> dict[str, Any]:
    """Tables of a task for a page or a card: its metrics, and those by group, as rows of text."""
    return {
        "name": name,
        "labelled": task["labelled"],
        "resampled": "people" if task["kind"] == "identity" else "photos",
        "metrics": metric_rows(task),
        "attributes": attribute_table(task),
        "groups": group_tables(task),
        "worst_groups": worst_group_table(task),
        "smallest_ranked": SMALLEST_RANKED,
        "predicts_groups": bool(task.get("predicted_groups")),
    }


def metric_title(name: str, unit: str) -> str:
    """A metric's name with its unit."""
    if name not in TITLES:
        return f"{name.upper()} {unit}".strip()
    return f"{TITLES[name]} ({unit})" if unit and name in ERRORS else TITLES[name]
