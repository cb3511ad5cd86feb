"""Budgets: the limits that a file must keep, as data, and the verdict."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from keras_faceattr.artifact.sidecar import CostSpec, GateSpec
from keras_faceattr.budget.devices import device_class
from keras_faceattr.budget.tolerance import Tolerances
from keras_faceattr.config import Section
from keras_faceattr.config_files import load_section
from keras_faceattr.errors import ConfigError, nearest

BUDGET_FOLDER = Path(str(resources.files("keras_faceattr.export"))) / "budgets"
NOT_MEASURED = "not measured"
REFERENCE_NETS = {
    "resnet50": "ResNet50",
    "vgg16": "VGG16",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_small": "MobileNetV3Small",
}
"""Nets that a model's speed may be compared with, and their names in `keras.applications`."""
PRECISIONS = ("float32", "float16", "dynamic", "int8")

Positive = Annotated[float, Field(gt=0, le=1e18)]


Bounds = tuple[float | None, float | None]
"""Between which two numbers a p90 lies: a median is not above it, a p95 not below it. None: not measured."""


class FileLimits(Section):
    """Limits that hold anywhere.

    Attributes:
        max_bytes: of the file, by precision (`float32`, `float16`, `dynamic`, `int8`), or one number for all.
    """

    max_parameters: Positive | None = None
    max_macs: Positive | None = None
    max_bytes: dict[str, Positive] | Positive | None = None
    max_peak_activation_bytes: Positive | None = None

    @field_validator("max_bytes")
    @classmethod
    def _known_precisions(cls, limits: dict[str, float] | float | None) -> dict[str, float] | float | None:
        """A limit of a precision that no file has would never be judged."""
        for name in limits if isinstance(limits, dict) else ():
            if name not in PRECISIONS:
                raise ValueError(f"no precision {name!r}; {nearest(name, PRECISIONS)}")
        return limits


class SpeedUp(Section):
    """How many times faster than a reference net of the same precision, on one thread, in the same run.

    Attributes:
        paper: the ratio that a paper states, and under what conditions; shown, never judged.
    """

    minimum: Positive
    paper: str = ""


class LatencyLimit(Section):
    """On a class of devices."""

    max_p90_ms: Positive


class Budget(Section):
    """Limits for an exported file.

    Attributes:
        drop: how much worse than the float model each metric may be.
        speed_up: by reference net, on a host CPU.
        latency: by device class.
        note: why a limit that is not met cannot be, where that is known.
    """

    name: str
    title: str = ""
    file: FileLimits = FileLimits()
    drop: Tolerances = Field(default={})
    speed_up: dict[str, SpeedUp] = Field(default={})
    latency: dict[str, LatencyLimit] = Field(default={})
    note: str = ""


def load_budget(name: str) -> Budget:
    """The budget of a name or a path.

    Raises:
        ConfigError: unknown, a wrong key or value, or an unknown reference net or class of devices.
    """
    budget = load_section(Budget, BUDGET_FOLDER, name, "budget")
    for net in budget.speed_up:
        if net not in REFERENCE_NETS:
            raise ConfigError(f"{name}: speed_up: unknown reference net {net!r}; {nearest(net, REFERENCE_NETS)}")
    for device in budget.latency:
        device_class(device)
    return budget


def file_gates(budget: Budget, cost: CostSpec | None, precision: str | None) -> list[GateSpec]:
    """Verdicts on what the file itself is.

    Args:
        cost: None where the file cannot be read: nothing is measured then.
        precision: `float32`, `float16`, `dynamic` or `int8`.
    """
    limits, note = budget.file, ""
    max_bytes = limits.max_bytes
    if isinstance(max_bytes, dict):
        # Where the precision is not known, all that holds for sure is the largest.
        note = "" if precision else " or less, by precision"
        max_bytes = max_bytes.get(precision) if precision else max(max_bytes.values(), default=None)
    rows = [
        ("parameters", limits.max_parameters, cost.parameters if cost else None, 1.0, ",.0f", ""),
        ("MACs", limits.max_macs, cost.macs if cost else None, 1e9, ".3f", " G"),
        ("file size", max_bytes, cost.file_bytes if cost else None, 1e6, ".3f", " MB"),
        ("peak activations", limits.max_peak_activation_bytes, cost.peak_activation_bytes if cost else None, 1e6, ".2f",
         " MB"),
    ]  # fmt: skip
    return [
        GateSpec(
            name=name,
            limit=f"≤ {limit / unit:,g}{suffix}{note if name == 'file size' else ''}",
            measured=NOT_MEASURED if value is None else f"{value / unit:{form}}{suffix}",
            met=None if value is None else value <= limit,
        )
        for name, limit, value, unit, form, suffix in rows
        if limit is not None
    ]


def verdict_row(name: str, limit: str, measured: str, met: bool | None) -> list[str]:
    """A gate as cells."""
    return [name, limit, measured, {True: "met", False: "not met", None: NOT_MEASURED}[met]]


def speed_gates(budget: Budget, ratios: dict[str, float], p90_ms: dict[str, Bounds]) -> list[GateSpec]:
    """Verdicts on times.

    Args:
        ratios: how many times faster than each reference net that was measured, on one thread of a host.
        p90_ms: what is known of it, by class of devices.
    """
    gates = []
    for net, speed_up in budget.speed_up.items():
        ratio = ratios.get(net)
        gates.append(
            GateSpec(
                name=f"speed against {net}",
                limit=f"≥ {speed_up.minimum:g} ×" + (f" (paper: {speed_up.paper})" if speed_up.paper else ""),
                measured=NOT_MEASURED if ratio is None else f"{ratio:.2f} ×",
                met=None if ratio is None else ratio >= speed_up.minimum,
            )
        )
    limits = budget.latency.items()
    return [*gates, *(latency_gate(device, limit, p90_ms.get(device, (None, None))) for device, limit in limits)]


def latency_gate(device: str, limit: LatencyLimit, bounds: Bounds) -> GateSpec:
    """Verdict on one class of devices."""
    low, high = bounds
    known = [f"{value:.1f} ms" for value in (low, high) if value is not None]
    below = high is not None and high <= limit.max_p90_ms
    above = low is not None and low > limit.max_p90_ms
    return GateSpec(
        name=f"p90 on {device}",
        limit=f"≤ {limit.max_p90_ms:g} ms",
        measured=" to ".join(dict.fromkeys(known)) or NOT_MEASURED,
        met=True if below else False if above else None,
    )
