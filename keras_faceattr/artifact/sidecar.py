"""The sidecar: everything that the user of a `.tflite` file needs to know about it, as validated JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from keras_faceattr.artifact.consistency import fault_of
from keras_faceattr.artifact.measurements import (
    Licences,
    Parity,
    Protocol,
    Quantization,
    Shaped,
    TaskMetrics,
    Training,
)
from keras_faceattr.config import Experiment, Section
from keras_faceattr.config_files import with_first_plan
from keras_faceattr.errors import ArtifactError, FaceAttrError
from keras_faceattr.evaluation.intervals import Intervals
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.tasks import Task, task_from_dict

Status = Literal["passed", "failed", "not proven"]

NOT_JUDGED = "not judged"
"""Start of a gate's measured text if nothing shows whether the file is as good as the float model."""

SCHEMA_PATH = Path(str(resources.files("keras_faceattr.shipped"))) / "artifact.schema.json"


class InputSpec(Section):
    """Input: upright RGB pixels of the crop.

    Attributes:
        minimum: of a pixel; the file normalises.
        maximum: of a pixel.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Literal["uint8", "float32"]
    colour: Literal["RGB"] = "RGB"
    minimum: int = 0
    maximum: int = 255


class OutputSpec(Section):
    """An output.

    Attributes:
        task: that it belongs to.
        meaning: value, probability, probabilities, distribution, or unit_vector.
        labels: class, attribute or bin that each number stands for; empty for a single number.
        scale: of an integer output: number = scale × (integer − zero_point).
    """

    task: str
    meaning: Literal["value", "probability", "probabilities", "distribution", "unit_vector"]
    unit: str
    shape: tuple[int, ...]
    dtype: Literal["uint8", "float32"]
    labels: tuple[str | float, ...] = ()
    scale: float | None = None
    zero_point: int | None = None


class FactorSpec(Section):
    """Half-width of the intervals of one level, in standard deviations of the distribution."""

    level: float
    factor: float


class CalibrationSpec(Section):
    """What makes a task's certainty hold, measured on validation photos.

    Attributes:
        photos: labelled validation photos.
        intervals: of a scalar task, by level, ascending: value ± factor × standard deviation of its distribution,
            within the task's range.
        temperature: of a task with classes: by which its logits are divided already, in the file itself; probabilities
            are used as they come.
    """

    photos: int
    intervals: tuple[FactorSpec, ...] = ()
    temperature: float | None = None

    def object(self) -> Intervals:
        """The table that answers are made with."""
        return Intervals({entry.level: entry.factor for entry in self.intervals}, self.photos)


CALIBRATION_FILE = "calibration.json"
"""Name of the table in the zip behind the model: an edited sidecar is found out by it."""


def calibration_text(calibration: Mapping[str, CalibrationSpec]) -> str:
    """What `CALIBRATION_FILE` holds: the sidecar's table, by task."""
    return json.dumps({name: spec.model_dump(mode="json") for name, spec in calibration.items()}, indent=1)


class FileSpec(Section):
    """The file that this sidecar belongs to."""

    name: str
    bytes: int
    sha256: str


class CostSpec(Section):
    """Cost by the graph of the file, for one batch; see `artifact.cost.Cost`."""

    parameters: int
    macs: int
    file_bytes: int
    weight_bytes: int
    peak_activation_bytes: int


class GateSpec(Section):
    """A limit and what was measured.

    Attributes:
        met: None where it was not measured.
    """

    name: str
    limit: str
    measured: str
    met: bool | None


def unjudged(gates: Sequence[GateSpec]) -> list[GateSpec]:
    """Those of tasks that no metric judges."""
    return [gate for gate in gates if gate.met is None and gate.measured.startswith(NOT_JUDGED)]


def status_of(gates: Sequence[GateSpec]) -> Status:
    """Combine gates: a limit of a budget that was not measured does not count, and without one that is met
    nothing is proven.
    """
    if any(gate.met is False for gate in gates):
        return "failed"
    proven = any(gate.met for gate in gates) and not unjudged(gates)
    return "passed" if proven else "not proven"


class Sidecar(Section):
    """Sidecar of format 1.

    Attributes:
        status: what the gates say: `failed` where one was not met, else `not proven` where no metric judges a task.
        quantization: recipe, engine, calibration and fine-tuning.
        calibration: by task; files of earlier versions have none. The file holds the same
            table as `calibration.json` in the zip behind the model.
        metrics: by task, measured on this very file; as in a run's `metrics.json`.
        protocol: split, photos, test-time augmentation and split hash of the metrics.
        parity: differences of float model, fake-quantized model and file on the same photos.
        operations: count by kind.
        licences: of the code, and by data set of the data that it was trained on.
        training: photos by split, label hash and sources of the training.
        notices: about lawful use, and the tasks that are answered only where they are named.
        experiment: that trained it, without the paths of its data.
    """

    format: Literal[1] = 1
    name: str
    recipe: str
    status: Status
    gates: tuple[GateSpec, ...]
    file: FileSpec
    model: str
    input: InputSpec
    outputs: dict[str, OutputSpec]
    tasks: dict[str, dict[str, Any]]
    crop: dict[str, Any]
    quantization: Annotated[dict[str, Any], Shaped(Quantization)]
    calibration: dict[str, CalibrationSpec] = Field(default={})
    metrics: Annotated[dict[str, Any], Shaped(dict[str, TaskMetrics])]
    protocol: Annotated[dict[str, Any], Shaped(Protocol)]
    parity: Annotated[dict[str, Any], Shaped(Parity)]
    cost: CostSpec
    operations: dict[str, int]
    licences: Annotated[dict[str, Any], Shaped(Licences)]
    training: Annotated[dict[str, Any], Shaped(Training)]
    notices: tuple[str, ...]
    versions: dict[str, str]
    experiment: dict[str, Any]

    @model_validator(mode="after")
    def _consistent(self) -> Sidecar:
        parts = {"crop": self.crop_spec, "tasks": self.task_objects, "experiment": self.experiment_object}
        for name, part in parts.items():
            try:
                part()
            except (FaceAttrError, ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{name}: {_line(error)}") from None
        if self.status != (derived := status_of(self.gates)):
            named = ", ".join(gate.name for gate in self.gates if gate.met is False) or "no task is judged"
            raise ValueError(f"status: {self.status!r} although its gates say {derived!r} ({named})")
        if fault := fault_of(self):
            raise ValueError(fault)
        return self

    @property
    def is_control(self) -> bool:
        """Whether the net was fine-tuned without rounding, to tell what the epochs alone gain."""
        tuning = (self.quantization["recipe"].get("integer") or {}).get("fine_tuning") or {}
        return tuning.get("rounding") is False

    def task_objects(self) -> dict[str, Task]:
        """The tasks by name, in the order of the outputs."""
        return {name: task_from_dict(dict(data)) for name, data in self.tasks.items()}

    def intervals(self) -> dict[str, Intervals]:
        """Intervals of each scalar task that has them."""
        return {name: spec.object() for name, spec in self.calibration.items() if spec.intervals}

    def crop_spec(self) -> CropSpec:
        """Return the crop that makes the input from a photo."""
        return CropSpec(**self.crop)

    def experiment_object(self) -> Experiment:
        """The experiment; where its data lies has to be said anew."""
        return Experiment.model_validate(with_first_plan(self.experiment))


def read_sidecar(path: Path) -> Sidecar:
    """Reads and validates a sidecar.

    Raises:
        ArtifactError: missing, no JSON, not of this format, or its parts contradict each other.
    """
    try:
        return Sidecar.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ArtifactError(f"no sidecar {path}: export writes it next to the file; keep them together") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = [".".join(map(str, first["loc"]))] if first["loc"] else []
        reason = ": ".join([*where, first["msg"].removeprefix("Value error, ")])
        raise ArtifactError(f"{path} is no sidecar of format 1: {reason}; export it again") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read: {_line(error)}; export it again") from None


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300]


def sidecar_schema() -> dict[str, Any]:
    """The JSON schema that `export/artifact.schema.json` publishes."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Sidecar.model_json_schema()}
