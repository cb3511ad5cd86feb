"""Consistency of a sidecar with itself and with the file that it describes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Any

from keras_faceattr.artifact.cost import cost_of, op_counts
from keras_faceattr.artifact.flatbuffer import TFLiteFile
from keras_faceattr.metrics import metrics_of
from keras_faceattr.tasks import Task

if TYPE_CHECKING:
    from keras_faceattr.artifact.sidecar import OutputSpec, Sidecar

MEANINGS = {
    "scalar": "value",
    "binary": "probability",
    "categorical": "probabilities",
    "multilabel": "probabilities",
    "identity": "unit_vector",
    "embedding": "unit_vector",
}
"""Meaning of a task's own output."""


def output_meaning(name: str, task: Task) -> tuple[str, tuple[str | float, ...]]:
    """Return the meaning of a task's output, and the label of each of its numbers.

    Args:
        name: of the output: the task's own, `<task>_distribution` or `<task>_classes`.
    """
    if name == f"{task.name}_classes":
        return "probabilities", tuple(task.class_names)  # type: ignore[union-attr]
    if name == f"{task.name}_distribution":
        return "distribution", tuple(float(round(value, 6)) for value in task.bins)  # type: ignore[union-attr]
    return MEANINGS[task.kind], tuple(getattr(task, "classes", ()) or getattr(task, "attributes", ()))


def fault_of(sidecar: Sidecar) -> str | None:
    """The first place where a sidecar contradicts itself; None where it does not."""
    tasks = sidecar.task_objects()
    # One after the other: later ones rely on what the first have seen.
    faults = (_input_faults(sidecar), _task_faults(sidecar, tasks), _calibration_faults(sidecar, tasks))
    return next(chain(*faults, _metric_faults(sidecar, tasks)), None)


def disagreement(sidecar: Sidecar, file: TFLiteFile) -> str | None:
    """The first thing that a sidecar says of its file and that is not true; None where all is.

    Raises:
        ArtifactError: the file's cost is not known.
    """
    return next(_disagreements(sidecar, file), None)


def _input_faults(sidecar: Sidecar) -> Iterator[str]:
    shape, crop = sidecar.input.shape, sidecar.crop_spec()
    if len(shape) != 4 or shape[1:] != (crop.size, crop.size, 3) or shape[0] < 1:
        yield f"input.shape: {_text(shape)} is no batch of RGB crops of {crop.size} pixels, as crop.size says"
    trained = sidecar.experiment_object().data.crop.model_dump()
    for key, value in crop.to_dict().items():
        told = trained.get(key, value)
        if (list(told) if isinstance(told, tuple) else told) != value:
            yield f"crop.{key}: {value!r}, but experiment.data.crop.{key} is {told!r}"


def _task_faults(sidecar: Sidecar, tasks: dict[str, Task]) -> Iterator[str]:
    trained = sidecar.experiment_object().tasks
    for name, task in tasks.items():
        if task.name != name:
            yield f"tasks.{name}: its name is {task.name!r}"
        if name not in trained:
            yield f"tasks.{name}: the experiment has no such task"
        if name not in sidecar.outputs:
            yield f"outputs: none for the task {name!r}"
    for name, output in sidecar.outputs.items():
        yield from _output_faults(name, output, tasks, sidecar.input.shape[0])


def _output_faults(name: str, output: OutputSpec, tasks: dict[str, Task], batch: int) -> Iterator[str]:
    where = f"outputs.{name}"
    if output.task not in tasks:
        yield f"{where}.task: there is no task {output.task!r}"
        return
    task = tasks[output.task]
    names = [task.name, *(f"{task.name}_{more}" for more in ("distribution", "classes") if task.kind == "scalar")]
    if name not in names:
        yield f"{where}: a task {task.name!r} has no such output"
        return
    meaning, labels = output_meaning(name, task)
    if output.meaning != meaning:
        yield f"{where}.meaning: {output.meaning!r} instead of {meaning!r}"
    if output.labels != labels:
        yield f"{where}.labels: not those of the task {task.name!r}"
    unit = getattr(task, "unit", "") if meaning == "value" else ""
    if output.unit != unit:
        yield f"{where}.unit: {output.unit!r} instead of {unit!r}"
    if output.shape[:1] != (batch,) or (labels and output.shape[1:] != (len(labels),)):
        yield f"{where}.shape: {_text(output.shape)} is not a batch of {batch} × {len(labels) or 1} numbers"


def _calibration_faults(sidecar: Sidecar, tasks: dict[str, Task]) -> Iterator[str]:
    for name, spec in sidecar.calibration.items():
        where = f"calibration.{name}"
        if name not in tasks:
            yield f"{where}: there is no such task"
        if spec.intervals and f"{name}_distribution" not in sidecar.outputs:
            yield f"{where}.intervals: the task has no distribution"
        if spec.temperature is not None and not (math.isfinite(spec.temperature) and spec.temperature > 0):
            yield f"{where}.temperature: {spec.temperature} is no number above 0"
        levels, factors = ([getattr(entry, key) for entry in spec.intervals] for key in ("level", "factor"))
        if levels != sorted(set(levels)) or not all(0 < level < 1 for level in levels):
            yield f"{where}.intervals: levels are shares between 0 and 1 in ascending order"
        if factors != sorted(factors) or not all(math.isfinite(factor) and factor >= 0 for factor in factors):
            yield f"{where}.intervals: factors are numbers from 0 that do not fall as the level rises"


def _metric_faults(sidecar: Sidecar, tasks: dict[str, Task]) -> Iterator[str]:
    parity = sidecar.parity
    for model in ("float", "file"):
        if model not in parity["metrics"]:
            yield f"parity.metrics: none of the {model} model"
            return
    if parity["metrics"]["file"] != sidecar.metrics:
        yield "metrics: not those of parity.metrics.file"
    if parity["photos"] != sidecar.protocol["photos"]:
        yield f"parity.photos: {parity['photos']}, but protocol.photos is {sidecar.protocol['photos']}"
    for model, measured in parity["metrics"].items():
        for name, entry in measured.items():
            where = f"parity.metrics.{model}.{name}"
            if name not in tasks:
                yield f"{where}: there is no such task"
                continue
            unit = getattr(tasks[name], "unit", "")
            if (entry["kind"], entry["unit"]) != (tasks[name].kind, unit):
                yield f"{where}: {entry['kind']} in {entry['unit']!r} instead of {tasks[name].kind} in {unit!r}"
            for metric in entry["metrics"].keys() - metrics_of(tasks[name]).keys():
                yield f"{where}: a {tasks[name].kind} task has no metric {metric!r}"
    yield from _drop_faults(parity, tasks)


def _drop_faults(parity: dict[str, Any], tasks: dict[str, Task]) -> Iterator[str]:
    """A drop is the difference of two metrics: what was lost is worked out anew."""
    before, after = parity["metrics"]["float"], parity["metrics"]["file"]
    for name in before.keys() | parity["drop"].keys():
        first, last, told = (of.get(name, {}) for of in (before, after, parity["drop"]))
        first, last = first.get("metrics", {}), last.get("metrics", {})
        if not first.keys() == last.keys() == told.keys():
            yield f"parity.drop.{name}: not the metrics of the float model and of the file"
            continue
        for metric, drop in told.items():
            a, b = first[metric]["value"], last[metric]["value"]
            sign = 1 if metrics_of(tasks[name])[metric].higher_is_better else -1
            found = None if a is None or b is None else sign * (a - b)
            if (found is None) != (drop is None) or (found is not None and not math.isclose(found, drop, abs_tol=1e-9)):
                yield f"parity.drop.{name}.{metric}: {drop}, but the metrics differ by {found}"


def _disagreements(sidecar: Sidecar, file: TFLiteFile) -> Iterator[str]:
    if sidecar.file.bytes != file.file_bytes:
        yield f"file.bytes: {sidecar.file.bytes}, the file has {file.file_bytes}"
    for key, value in asdict(cost_of(file)).items():
        told = getattr(sidecar.cost, key)
        if told != value:
            yield f"cost.{key}: {told}, by the file's graph {value}"
    if sidecar.operations != op_counts(file):
        yield "operations: not those of the file's graph"
    if list(file.signature_inputs) != [sidecar.input.name]:
        yield f"input.name: {sidecar.input.name!r}, the file's are {', '.join(file.signature_inputs) or 'none'}"
    elif file.signature_outputs.keys() != sidecar.outputs.keys():
        yield f"outputs: {', '.join(sidecar.outputs)}, the file's are {', '.join(file.signature_outputs) or 'none'}"
    else:
        pixels = file.tensors[file.signature_inputs[sidecar.input.name]]
        yield from _differences("input", sidecar.input, {"shape": pixels.shape, "dtype": pixels.dtype})
        for name, output in sidecar.outputs.items():
            tensor = file.tensors[file.signature_outputs[name]]
            integer = tensor.dtype == "uint8"
            told = {"shape": tensor.shape, "dtype": tensor.dtype}
            told |= {
                "scale": tensor.scale[0] if integer else None,
                "zero_point": tensor.zero_point[0] if integer else None,
            }
            yield from _differences(f"outputs.{name}", output, told)


def _differences(where: str, spec: Any, found: dict[str, Any]) -> Iterator[str]:
    for key, value in found.items():
        if getattr(spec, key) != value:
            yield f"{where}.{key}: {_text(getattr(spec, key))}, the file's is {_text(value)}"


def _text(value: Any) -> str:
    return " × ".join(map(str, value)) if isinstance(value, tuple) else str(value)
