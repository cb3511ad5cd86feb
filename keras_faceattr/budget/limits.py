"""Budgets: the limits that a file must keep, as data, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, field_validator

from keras_faceattr.artifact.sidecar import CostSpec, GateSpec
from keras_faceattr.budget.devices import HOST, device_class
from keras_faceattr.budget.tolerance import Tolerances
from keras_faceattr.config import Section
from keras_faceattr.config_files import load_section
from keras_faceattr.errors import ConfigError, nearest

BUDGET_FOLDER = Path(str(resources.files("keras_faceattr.shipped"))) / "budgets"
NOT_MEASURED = "not measured"
REFERENCE_NETS = {
    "resnet50": "ResNet50",
    "vgg16": "VGG16",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_small": "MobileNetV3Small",
}
"""Nets that a model's speed may be compared with, and their names in `keras.applications`."""
PRECISIONS = ("float32", "float16", "dynamic", "int16", "int8")

Positive = Annotated[float, Field(gt=0, le=1e18)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


Bounds = tuple[float | None, float | None]
"""Between which two numbers a measured one lies. None: not measured."""


class Ratio(NamedTuple):
    """Speed-up over a reference net, with its 95 % interval; None if there were too few rounds."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Times:
    """Times of a file on one thread, with the device.

    Attributes:
        classes: those of `export/devices` that the measured device is of; empty where nothing was measured.
        ratios: by reference net, measured in the same run on a host.
        p90_ms: of one call.
    """

    classes: frozenset[str] = frozenset()
    ratios: Mapping[str, Ratio] = field(default_factory=dict)
    p90_ms: Bounds = (None, None)


class Verdict(GateSpec):
    """A limit, what was measured, and whether it is to be judged here.

    Attributes:
        applies: False for a class of devices other than those that were measured on: listed, but not counted.
    """

    applies: bool = True


class FileLimits(Section):
    """Limits that hold anywhere.

    Attributes:
        max_bytes: of the file, by precision (`float32`, `float16`, `dynamic`, `int16`, `int8`), or one number for all.
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
    """Speed-up over a reference net of the same precision, on one thread, in the same run.

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
        min_coverage: by scalar task, the smallest coverage of the 90 % interval on the test photos.
        max_ece: by task with classes or yes/no answers, the largest calibration error on the test photos.
        latency: by device class.
        note: why a limit that is not met cannot be, where that is known.
    """

    name: str
    title: str = ""
    file: FileLimits = FileLimits()
    drop: Tolerances = Field(default={})
    min_coverage: dict[str, Fraction] = Field(default={})
    max_ece: dict[str, Fraction] = Field(default={})
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


def file_gates(budget: Budget, cost: CostSpec | None, precision: str | None, batch: int = 1) -> list[Verdict]:
    """Verdicts on what the file itself is.

    Multiply-adds count per photo, as ratios and images/s do; memory is what one call needs at once.

    Args:
        cost: of one call; None where the file cannot be read: nothing is measured then.
        precision: `float32`, `float16`, `dynamic`, `int16` or `int8`.
        batch: photos of one call.
    """
    limits = budget.file
    max_bytes, size_note = _max_bytes(limits.max_bytes, precision)
    photo, call = (" per photo", " per call") if batch > 1 else ("", "")
    rows = [
        ("parameters", limits.max_parameters, cost.parameters if cost else None, 1.0, ",.0f", "", ""),
        ("MACs", limits.max_macs, cost.macs / batch if cost else None, 1e9, ".3f", " G", photo),
        ("file size", max_bytes, cost.file_bytes if cost else None, 1e6, ".3f", " MB", size_note),
        ("peak activations", limits.max_peak_activation_bytes, cost.peak_activation_bytes if cost else None, 1e6, ".2f",
         " MB", call),
    ]  # fmt: skip
    gates = [
        Verdict(
            name=name,
            limit=f"≤ {limit / unit:,g}{suffix}{note}",
            measured=NOT_MEASURED if value is None else f"{value / unit:{form}}{suffix}",
            met=None if value is None else value <= limit,
        )
        for name, limit, value, unit, form, suffix, note in rows
        if limit is not None
    ]
    if limits.max_bytes is not None and max_bytes is None:
        # A limit that says nothing of this precision is not kept by it.
        measured = f"{cost.file_bytes / 1e6:.3f} MB" if cost else NOT_MEASURED
        gates.append(Verdict(name="file size", limit=f"none for {precision}", measured=measured, met=None))
    return gates


def _max_bytes(limit: dict[str, float] | float | None, precision: str | None) -> tuple[float | None, str]:
    """The limit of a precision; where that is not known, all that holds for sure is the largest, which a note says."""
    if not isinstance(limit, dict):
        return limit, ""
    if precision:
        return limit.get(precision), ""
    return max(limit.values(), default=None), " or less, by precision"


def verdict_row(name: str, limit: str, measured: str, met: bool | None, applies: bool = True) -> list[str]:
    """A gate as cells."""
    verdict = {True: "met", False: "not met", None: NOT_MEASURED}[met]
    return [name, limit, measured, verdict if applies else f"{NOT_MEASURED} (another device)"]


def speed_gates(budget: Budget, times: Times) -> list[Verdict]:
    """Verdicts on times. A speed-up is one on a host; a limit of a class applies to devices of that class."""
    host = HOST in times.classes
    gates = [
        _ratio_gate(net, speed_up, times.ratios.get(net) if host else None, host)
        for net, speed_up in budget.speed_up.items()
    ]
    for device, limit in budget.latency.items():
        applies = device in times.classes
        gates.append(latency_gate(device, limit, times.p90_ms if applies else (None, None), applies))
    return gates


def _ratio_gate(net: str, limit: SpeedUp, ratio: Ratio | None, applies: bool) -> Verdict:
    """Met or missed where the whole interval says so: the machine may have done other work in some of the rounds."""
    measured, met = NOT_MEASURED, None
    if ratio is not None:
        known = ratio.low is not None and ratio.high is not None
        measured = f"{ratio.value:.2f} × ({f'{ratio.low:.2f}–{ratio.high:.2f}' if known else 'too few rounds'})"
        above = ratio.low is not None and ratio.low >= limit.minimum
        below = ratio.high is not None and ratio.high < limit.minimum
        met = True if above else False if below else None
    told = f"≥ {limit.minimum:g} ×" + (f" (paper: {limit.paper})" if limit.paper else "")
    return Verdict(name=f"speed against {net}", limit=told, measured=measured, met=met, applies=applies)


def latency_gate(device: str, limit: LatencyLimit, bounds: Bounds, applies: bool = True) -> Verdict:
    """Verdict on one class of devices: a p90 between a median and a p95, or two ends of an interval."""
    low, high = bounds
    known = [f"{value:.1f} ms" for value in (low, high) if value is not None]
    below = high is not None and high <= limit.max_p90_ms
    above = low is not None and low > limit.max_p90_ms
    return Verdict(
        name=f"p90 on {device}",
        limit=f"≤ {limit.max_p90_ms:g} ms",
        measured=" to ".join(dict.fromkeys(known)) or NOT_MEASURED,
        met=True if below else False if above else None,
        applies=applies,
    )
