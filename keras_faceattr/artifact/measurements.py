"""Types of what a sidecar says was measured; they stay plain data, in which an unknown key is kept."""

from __future__ import annotations

from typing import Any, NotRequired

from pydantic import ConfigDict, with_config

# Pydantic does not take the one of `typing` before Python 3.12.
from typing_extensions import TypedDict

PLAIN = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class Shaped:
    """Annotation of plain data that is validated by a `TypedDict`."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return handler.generate_schema(self.kind)


@with_config(PLAIN)
class Number(TypedDict):
    """A metric with its 95 % interval; None where it was not measured."""

    value: float | None
    low: float | None
    high: float | None


@with_config(PLAIN)
class Group(TypedDict):
    """A group of photos; without metrics where it has too few. Older files have them as bare numbers."""

    labelled: int
    metrics: NotRequired[dict[str, float | Number | None]]


@with_config(PLAIN)
class Worst(Number):
    """The worst of several groups, by the worse end of its interval.

    Attributes:
        among: how many groups were ranked.
    """

    column: str
    group: str
    labelled: int
    among: int


@with_config(PLAIN)
class Reading(TypedDict):
    """Metrics of a task with its classes in fewer groups."""

    classes: list[str]
    metrics: dict[str, Number]


@with_config(PLAIN)
class Reliability(TypedDict):
    """Whether the certainty of a task's answers holds: overall, and by column and true group."""

    metrics: dict[str, Number]
    groups: dict[str, dict[str, Group]]


@with_config(PLAIN)
class TaskMetrics(TypedDict):
    """Metrics of a task: overall, and by column and group, of the true groups and of those that the model says.

    Attributes:
        attributes: of several attributes each one; older files have its accuracy as a bare number.
        worst_groups: by metric; older files do not have them.
        likeliest_band: metrics of bands, answered by the distribution's largest mass; of bands alone.
        readings: by name, of the task's readings; older files do not have them.
        reliability: calibration error, or coverage of intervals; older files do not have it.
    """

    kind: str
    unit: str
    labelled: int
    metrics: dict[str, Number]
    groups: dict[str, dict[str, Group]]
    predicted_groups: NotRequired[dict[str, dict[str, Group]]]
    attributes: NotRequired[dict[str, float | Group | None]]
    worst_groups: NotRequired[dict[str, Worst]]
    likeliest_band: NotRequired[dict[str, Number]]
    readings: NotRequired[dict[str, Reading]]
    reliability: NotRequired[Reliability]


@with_config(PLAIN)
class Protocol(TypedDict):
    """On which photos it was measured."""

    split: str
    photos: int
    tta: str
    seed: int
    split_hash: str


@with_config(PLAIN)
class Gap(TypedDict):
    """Distance between the outputs of two models; None if it is not a number."""

    largest: float | None
    mean: float | None
    p99: float | None


@with_config(PLAIN)
class Change(TypedDict):
    """Change of a metric from the float model to the file, with its paired interval."""

    photos: int
    change: float | None
    low: float | None
    high: float | None


@with_config(PLAIN)
class GroupChanges(TypedDict):
    """Changes of a task's first metric, overall and by group; None where a group has too few photos."""

    metric: str
    all: Change | None
    by: dict[str, dict[str, Change | None]]


@with_config(PLAIN)
class Parity(TypedDict):
    """Results of `convert.parity.parity`: metrics by model and task, differences, drops, and changes by group."""

    photos: int
    metrics: dict[str, dict[str, TaskMetrics]]
    differences: dict[str, dict[str, Gap]]
    drop: dict[str, dict[str, float | None]]
    groups: dict[str, GroupChanges]


@with_config(PLAIN)
class Recipe(TypedDict):
    """The recipe; its other keys are those of `convert.recipe.ExportRecipe`."""

    name: str
    weights: str
    tolerance: dict[str, Any]


@with_config(PLAIN)
class LayerNoise(TypedDict):
    """Signal to rounding noise of a layer, in dB."""

    layer: str
    own: float | None
    total: float | None
    kernel: float | None


@with_config(PLAIN)
class Quantization(TypedDict):
    """Method and settings that made the file.

    Attributes:
        float_layers: why a layer of an integer file computes in floats, by its name; older files do not have it.
        integer_share: share of the multiply-adds that are integer, 0 to 1, counted in the file.
    """

    recipe: Recipe
    engine: NotRequired[str]
    layers: NotRequired[list[LayerNoise]]
    float_layers: NotRequired[dict[str, str]]
    integer_share: NotRequired[float]


@with_config(PLAIN)
class Terms(TypedDict):
    """Terms of a data set."""

    citation: str | None
    licence: str | None


@with_config(PLAIN)
class Licences(TypedDict):
    """Licences of the code and of each data set."""

    code: str
    data: dict[str, Terms]


@with_config(PLAIN)
class Training(TypedDict):
    """Photos by split, and what names them."""

    photos: dict[str, int]
    label_hash: str
    split_hash: str
    sources: dict[str, Terms]
