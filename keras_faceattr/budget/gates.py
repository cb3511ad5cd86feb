"""Gates: what an export proves of a file, and what a budget says of it, wherever it is measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from keras_faceattr.artifact.measured_file import MeasuredFile
from keras_faceattr.artifact.sidecar import NOT_JUDGED, CostSpec, GateSpec, Sidecar, status_of, unjudged
from keras_faceattr.budget.limits import NOT_MEASURED, Budget, Times, Verdict, file_gates, speed_gates
from keras_faceattr.budget.tolerance import Tolerance, Tolerances
from keras_faceattr.errors import ArtifactError
from keras_faceattr.evaluation.formatting import metric_text, size_text
from keras_faceattr.evaluation.predictions import Outputs
from keras_faceattr.metrics import metrics_of
from keras_faceattr.tasks import Task

FINITE = "finite outputs"
"""The gate that every file has."""

Outcome = Literal["met", "not met", "not measured"]


def proof_gates(
    tasks: dict[str, Task], parity: dict[str, Any], outputs: Outputs, tolerance: dict[str, Tolerance], whose: str
) -> list[GateSpec]:
    """Verdicts that every file needs: numbers in every output, and every task as good as the float model's.

    Args:
        parity: of `parity.parity`.
        outputs: of the file on the judged photos.
        tolerance: by metric.
        whose: the recipe that sets it.

    Returns:
        At least one gate a task; a task that no metric judges has one that is neither met nor missed.
    """
    gates = [_finite_gate(outputs)]
    for name, task in tasks.items():
        own = drop_gates(task, parity, tolerance, whose)
        judged = any(gate.met is not None for gate in own)
        why = f"{NOT_JUDGED}: {_why_not(parity, name, own)}"
        gates += own if judged else [GateSpec(name=f"{name} ({whose})", limit="judged", measured=why, met=None)]
    return gates


def drop_gates(task: Task, parity: dict[str, Any], limits: dict[str, Tolerance], whose: str) -> list[GateSpec]:
    """Verdicts on how much worse than the float model the file is, for each limit of a metric that the task has.

    Args:
        parity: of `parity.parity`, or as a sidecar holds it.
        limits: by metric.
        whose: the recipe or the budget that sets them.
    """
    drops = parity["drop"].get(task.name, {})
    before = parity["metrics"]["float"].get(task.name, {}).get("metrics", {})
    return [
        _drop_gate(f"{task.name} {metric} ({whose})", metric, limit, before.get(metric, {}).get("value"), drops)
        for metric, limit in limits.items()
        if metric in metrics_of(task)
    ]


def budget_gates(
    budget: Budget,
    cost: CostSpec | None,
    precision: str | None,
    batch: int,
    tasks: dict[str, Task],
    parity: dict[str, Any],
    times: Times,
) -> list[Verdict]:
    """A verdict on every limit of a budget; `met` is None where nothing tells.

    Args:
        cost: of one call; None where the file cannot be read.
        precision: of the file, as `cost`.
        batch: photos of one call.
        tasks: of the file; empty where nobody says.
        parity: as of `drop_gates`.
    """
    whose = f"budget {budget.name}"
    drops = [gate for task in tasks.values() for gate in drop_gates(task, parity, budget.drop, whose)]
    known = {metric for task in tasks.values() for metric in metrics_of(task)}
    drops += [
        _drop_gate(f"{metric} ({whose})", metric, limit, None, {})
        for metric, limit in budget.drop.items()
        if metric not in known
    ]
    held = reliability_gates(budget, parity)
    return [*file_gates(budget, cost, precision, batch), *counted([*drops, *held]), *speed_gates(budget, times)]


def reliability_gates(budget: Budget, parity: dict[str, Any]) -> list[GateSpec]:
    """Verdicts on the coverage of intervals and the calibration error of the file on the test photos.

    A file without intervals, or a task that it does not have, is not measured.
    """
    measured = parity.get("metrics", {}).get("file", {})
    rows = [(task, "coverage", "≥", limit) for task, limit in budget.min_coverage.items()]
    rows += [(task, "ece", "≤", limit) for task, limit in budget.max_ece.items()]
    gates = []
    for task, metric, sign, limit in rows:
        numbers = measured.get(task, {}).get("reliability", {}).get("metrics", {}).get(metric, {})
        value = numbers.get("value")
        known = value is not None and math.isfinite(value)
        gates.append(
            GateSpec(
                name=f"{task} {metric} (budget {budget.name})",
                limit=f"{sign} {100 * limit:g} %",
                measured=metric_text(metric, numbers) if known else NOT_MEASURED,
                met=(value >= limit if sign == "≥" else value <= limit) if known else None,
            )
        )
    return gates


def verdicts(budget: Budget, file: MeasuredFile | None, sidecar: Sidecar | None, times: Times) -> list[Verdict]:
    """Judge an exported file by a budget; the last verdict is its own export's.

    Args:
        file: None where it cannot be read.
        sidecar: of the file; None where there is none, so that nobody knows how good the file is.

    Raises:
        ArtifactError: the sidecar's comparison with the float model is damaged.
    """
    cost = CostSpec(**asdict(file.cost)) if file else None
    precision, batch = (file.precision, max(file.batch, 1)) if file else (None, 1)
    tasks, parity = (sidecar.task_objects(), sidecar.parity) if sidecar else ({}, {})
    try:
        gates = budget_gates(budget, cost, precision, batch, tasks, parity, times)
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{sidecar and sidecar.name}: parity: damaged in the sidecar; export it again") from error
    return [*gates, *counted([_sidecar_gate(sidecar)])]


def counted(gates: Iterable[GateSpec]) -> list[Verdict]:
    """Gates of the file itself, which are judged wherever it is measured."""
    return [Verdict(**gate.model_dump()) for gate in gates]


def export_gates(sidecar: Sidecar, budget: Budget | None, times: Times) -> list[Verdict]:
    """Return the gates of an export, with time limits judged by the measurement right after it.

    A metric of which the float model has no number can lose nothing: where another one judges the task, as the status
    says, the recipe's tolerance for it does not count.
    """
    measured = {gate.name: gate for gate in speed_gates(budget, times)} if budget else {}
    own = f"(recipe {sidecar.recipe})"
    open_ = {gate.name for gate in unjudged(sidecar.gates)}
    return [
        gate.model_copy(update={"applies": gate.met is not None or not gate.name.endswith(own) or gate.name in open_})
        if gate.name not in measured
        else measured[gate.name]
        for gate in counted(sidecar.gates)
    ]


def outcome(gates: Iterable[Verdict]) -> Outcome:
    """Combine the gates that apply: met only if every one of them was judged and met."""
    found = [gate.met for gate in gates if gate.applies]
    return "not met" if False in found else "not measured" if None in found else "met"


def _sidecar_gate(sidecar: Sidecar | None) -> GateSpec:
    told, met = NOT_MEASURED, None
    if sidecar:
        # Derived from gates and numbers: a word in a file is no proof.
        told = status_of(sidecar.gates)
        named = [gate.name for gate in sidecar.gates if gate.met is False] or [g.name for g in unjudged(sidecar.gates)]
        if told == "passed" and (named := _without_ground(sidecar)):
            told = "not proven"
        met = {"passed": True, "failed": False}.get(told)
        told += f": {', '.join(named)}" if named else ""
    return GateSpec(name="gates of the export", limit="passed", measured=told, met=met)


def _without_ground(sidecar: Sidecar) -> list[str]:
    """Names of gates of the recipe that are missing, or not what the recipe's tolerance says of the numbers."""
    recipe, gates = sidecar.quantization["recipe"], {gate.name: gate for gate in sidecar.gates}
    try:
        limits = TypeAdapter(Tolerances).validate_python(recipe["tolerance"])
    except ValidationError:
        return [f"tolerance of the recipe {recipe['name']}"]
    whose, missing = f"recipe {recipe['name']}", [] if FINITE in gates else [FINITE]
    for task in sidecar.task_objects().values():
        own = [gate for gate in drop_gates(task, sidecar.parity, limits, whose) if gate.met is not None]
        missing += (
            [gate.name for gate in own if not _says(gates.get(gate.name), gate)] if own else [f"{task.name} ({whose})"]
        )
    return missing


def _says(held: GateSpec | None, gate: GateSpec) -> bool:
    """Return whether a sidecar holds a gate; earlier versions wrote points of a share in per cent."""
    return held is not None and held.met == gate.met and held.limit.replace(" %", " pp") == gate.limit


def _finite_gate(outputs: Outputs) -> GateSpec:
    wrong = {name: int((~np.isfinite(v)).reshape(len(v), -1).any(axis=1).sum()) for name, v in outputs.items()}
    told = [f"{name} not on {count} photos" for name, count in wrong.items() if count]
    return GateSpec(name=FINITE, limit="on every photo", measured=", ".join(told) or "on every photo", met=not told)


def _why_not(parity: dict[str, Any], task: str, gates: list[GateSpec]) -> str:
    measured = parity["metrics"]["float"].get(task, {})
    if not measured.get("labelled"):
        return "no labelled test photos"
    if not measured["metrics"]:
        return "the labelled test photos give no metric"
    return "the float model's metrics are no numbers" if gates else f"no tolerance of {', '.join(measured['metrics'])}"


def _drop_gate(
    name: str, metric: str, limit: Tolerance, before: float | None, drops: dict[str, float | None]
) -> GateSpec:
    """A correlation of predictions that are all alike is no number: without one before, nothing can be lost."""
    if metric not in drops or before is None or math.isnan(before):
        most = (
            f"{_size(metric, limit.absolute)}" if limit.absolute is not None else f"{100 * (limit.relative or 0):g} %"
        )
        return GateSpec(name=name, limit=f"at most {most} worse", measured=NOT_MEASURED, met=None)
    # Written as JSON, what is no number is null.
    found = drops[metric]
    drop = math.nan if found is None else found
    shown = "no number" if math.isnan(drop) else _change(metric, drop)
    largest = limit.limit(before)
    return GateSpec(name=name, limit=f"at most {_size(metric, largest)} worse", measured=shown, met=drop <= largest)


def _change(metric: str, drop: float) -> str:
    return "the same" if not drop else f"{_size(metric, abs(drop))} {'worse' if drop > 0 else 'better'}"


def _size(metric: str, value: float) -> str:
    """Format with as many places as are meaningful, and more if these would show zero."""
    text = size_text(metric, value)
    if not value or text.strip("0. p"):
        return text
    return f"{100 * value:.3g} pp" if text.endswith("pp") else f"{value:.5f}"
