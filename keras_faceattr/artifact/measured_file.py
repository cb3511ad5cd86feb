"""Facts from a `.tflite` file and its sidecar, before the file is measured."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from keras_faceattr.artifact.cost import WEIGHT_INPUTS, Cost, cost_of
from keras_faceattr.artifact.flatbuffer import FLOATS, Op, TFLiteFile, read_tflite
from keras_faceattr.artifact.soundness import refuse_free_pictures
from keras_faceattr.errors import ArtifactError
from keras_faceattr.storage import sha256

FLOAT_PRECISIONS = {"float16": "float16", "int8": "dynamic", "int4": "dynamic"}
"""Precision of a net that computes in floats, by the type of its stored kernels."""


class Metric(TypedDict):
    """A number of the sidecar, measured on this very file."""

    task: str
    name: str
    value: float


@dataclass(frozen=True)
class MeasuredFile:
    """A file to measure.

    Attributes:
        kind: `model` or `reference`.
        precision: what most of it computes on; see `precision_of`.
        side: of its square RGB input in pixels; None where it takes something else.
        batch: photos of one invocation.
        metrics: of the sidecar; None where it has none.
    """

    path: Path
    name: str
    kind: str
    precision: str
    side: int | None
    batch: int
    cost: Cost
    metrics: list[Metric] | None

    @property
    def reference_precision(self) -> str:
        """Precision of the reference nets to compare with: float32 for a file that computes in floats."""
        return "int8" if self.precision == "int8" else "float32"


def model_file(path: Path, name: str) -> MeasuredFile:
    """A model, with the metrics of `name.json` beside `name.tflite`.

    Raises:
        ArtifactError: the file or the sidecar is damaged.
    """
    return measured_file(path, name, "model", _sidecar_metrics(path, path.with_suffix(".json")))


def measured_file(path: Path, name: str, kind: str, metrics: list[Metric] | None) -> MeasuredFile:
    """Read the facts from the file's own bytes.

    Raises:
        ArtifactError: the file is damaged, or its pictures have no fixed size.
    """
    file = read_tflite(path)
    refuse_free_pictures(path, file)
    try:
        cost = cost_of(file)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error
    shape = file.tensors[file.inputs[0]].shape if file.inputs else ()
    square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3
    side, batch = shape[1] if square else None, shape[0] if shape else 1
    return MeasuredFile(path, name, kind, precision_of(file), side, batch, cost, metrics)


def _sidecar_metrics(file: Path, path: Path) -> list[Metric] | None:
    """Each task's first metric, of a sidecar that names no other file by its hash."""
    if not path.is_file():
        return None
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        hashed = plain.get("file", {}).get("sha256")
        tasks = plain.get("metrics") or {}
        first = {task: next(iter(entry["metrics"].items())) for task, entry in tasks.items() if entry.get("metrics")}
        measured = {task: (name, of["value"]) for task, (name, of) in first.items() if of["value"] is not None}
        found = [Metric(task=task, name=name, value=float(value)) for task, (name, value) in measured.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: not the sidecar of an artifact; export the model again or remove it") from error
    if hashed is not None and hashed != sha256(file):
        raise ArtifactError(f"{path} describes another file than {file.name} (another SHA-256): export it again")
    return found or None


def precision_of(file: TFLiteFile) -> str:
    """Return the type in which most of its convolutions and dense layers compute.

    Returns:
        `float32`; `float16` and `dynamic` for float activations with kernels stored in fewer bits; else the type of
        the activations, such as `int8`.
    """
    counts = Counter(_computes_on(file, op) for op in file.ops if op.kind in WEIGHT_INPUTS and op.kind != "PRELU")
    return counts.most_common(1)[0][0] if counts else "float32"


def _computes_on(file: TFLiteFile, op: Op) -> str:
    # Of a transposed convolution the activation is the third input.
    activation = file.tensors[op.inputs[2 if op.kind == "TRANSPOSE_CONV" else 0]]
    if activation.dtype not in FLOATS:
        return activation.dtype
    stored = file.tensors[file.unpacked_constants.get(op.inputs[1], op.inputs[1])].dtype
    return FLOAT_PRECISIONS.get(stored, stored)
