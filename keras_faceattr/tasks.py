"""What a model predicts: numbers, classes, attributes, and vectors of identities and teachers."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from keras_faceattr.errors import ConfigError, nearest, shown
from keras_faceattr.readings import Readings, checked_readings

MOST_BINS = 10_000
"""More than this is a mistaken step, and would fill the memory."""


NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
RESERVED = {"image", "normalise", "features", "dropout", "source", "row", "split", "fold", "identity", "sha1"}
"""Names of a net's own layers and of a manifest's own columns, which no task may have."""


def check_name(name: str) -> None:
    """Refuses a name that a layer or a column of a task cannot have.

    Raises:
        ConfigError: other characters than letters, digits and _, or a reserved name.
    """
    if not NAME.fullmatch(name) or name in RESERVED:
        raise ConfigError(
            f"task {shown(name)}: a task's name is made of up to 64 letters, digits and _, begins with a letter, and "
            f"is none of {', '.join(sorted(RESERVED))}"
        )


@dataclass(frozen=True)
class _Task:
    """What every kind of task has.

    Attributes:
        name: of the task, and of its output.
        sensitive: whether predictions answer it only where it is named; see `answered`.
    """

    name: str
    sensitive: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class ScalarTask(_Task):
    """A number in a range, learned on bins `minimum, minimum + step, …, maximum`.

    Attributes:
        unit: shown behind every number of this task.
        default_std: σ of the label distribution where a photo has none, in `unit`.
        tolerances: the k of the cumulative scores CS@k, in `unit`.
        cut_points: where one class ends and the next begins, ascending, in `unit`, for methods that also classify.
            Empty: halfway between whole numbers, so that a value's class is the value rounded.
        bands: lowest and highest value of each band in which a data set gives its labels, ascending, in `unit`; empty
            where it gives values.
    """

    kind: ClassVar[str] = "scalar"
    minimum: float
    maximum: float
    step: float
    unit: str = ""
    default_std: float = 0.0
    tolerances: tuple[float, ...] = ()
    cut_points: tuple[float, ...] = ()
    bands: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.minimum) and math.isfinite(self.maximum) and math.isfinite(self.step)):
            raise ConfigError(f"task {self.name!r}: minimum, maximum and step must be finite numbers")
        if not self.minimum < self.maximum:
            raise ConfigError(f"task {self.name!r}: minimum {self.minimum} is not below maximum {self.maximum}")
        if not self.step > 0:
            raise ConfigError(f"task {self.name!r}: step {self.step} is not above 0")
        intervals = (self.maximum - self.minimum) / self.step
        if not 1 - 1e-6 <= intervals <= MOST_BINS or abs(intervals - round(intervals)) > 1e-6:
            raise ConfigError(
                f"task {self.name!r}: step {self.step} does not divide the range {self.minimum} to {self.maximum} "
                f"into 1 to {MOST_BINS} bins"
            )
        object.__setattr__(self, "tolerances", tuple(self.tolerances) or (self.step, 5 * self.step))
        if not all(0 < k < math.inf for k in self.tolerances) or len(set(self.tolerances)) < len(self.tolerances):
            raise ConfigError(
                f"task {self.name!r}: tolerances {list(self.tolerances)} must be above 0 and all different"
            )
        object.__setattr__(self, "default_std", self.default_std or 2 * self.step)
        if self.default_std < 0:
            raise ConfigError(f"task {self.name!r}: default_std {self.default_std} is below 0")
        object.__setattr__(self, "cut_points", tuple(self.cut_points))
        cuts = (self.minimum, *self.cut_points, self.maximum)
        if not all(low < high for low, high in pairwise(cuts)):
            raise ConfigError(
                f"task {self.name!r}: cut_points {list(self.cut_points)} must ascend between {self.minimum:g} and "
                f"{self.maximum:g}"
            )
        object.__setattr__(self, "bands", self._checked_bands())

    def _checked_bands(self) -> tuple[tuple[float, float], ...]:
        bands = tuple((float(low), float(high)) for low, high in self.bands)
        for low, high in bands:
            if not self.minimum <= low <= high <= self.maximum:
                raise ConfigError(
                    f"task {self.name!r}: the band {low:g} to {high:g} does not ascend within {self.minimum:g} to "
                    f"{self.maximum:g}"
                )
        for (low, high), (next_low, next_high) in pairwise(bands):
            if not high < next_low:
                raise ConfigError(
                    f"task {self.name!r}: the bands {low:g} to {high:g} and {next_low:g} to {next_high:g} overlap or "
                    "do not ascend"
                )
        if len(bands) == 1:
            raise ConfigError(f"task {self.name!r}: one band tells nothing apart; give two or more, or none")
        return bands

    @property
    def cuts(self) -> np.ndarray:
        """(classes − 1,) where one class ends and the next begins, ascending, in `unit`."""
        if self.cut_points:
            return np.array(self.cut_points, "float64")
        halves = np.arange(math.floor(self.minimum), math.ceil(self.maximum)) + 0.5
        inside: np.ndarray = halves[(halves > self.minimum) & (halves < self.maximum)]
        return inside if len(inside) else np.array([(self.minimum + self.maximum) / 2])

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes between the cut points, such as `1.5 to 2.5`."""
        edges = [self.minimum, *self.cuts, self.maximum]
        return tuple(f"{low:g} to {high:g}" for low, high in pairwise(edges))

    @property
    def bins(self) -> np.ndarray:
        """(K,) value of each bin, ascending, in `unit`."""
        count = round((self.maximum - self.minimum) / self.step) + 1
        return np.linspace(self.minimum, self.maximum, count, dtype="float64")

    @property
    def columns(self) -> tuple[str, ...]:
        """The manifest's label columns of this task."""
        return (self.name,)

    @property
    def interval_columns(self) -> tuple[str, str]:
        """The manifest's columns of a label that is an interval: its lowest and its highest value."""
        return f"{self.name}_low", f"{self.name}_high"

    @property
    def label_width(self) -> int:
        """Numbers per photo in a batch: value and σ."""
        return 2


@dataclass(frozen=True)
class BinaryTask(_Task):
    """Yes (1) or no (0)."""

    kind: ClassVar[str] = "binary"

    @property
    def columns(self) -> tuple[str, ...]:
        """The manifest's label columns of this task."""
        return (self.name,)

    @property
    def label_width(self) -> int:
        """Numbers per photo in a batch."""
        return 1


@dataclass(frozen=True)
class CategoricalTask(_Task):
    """One of several classes; the manifest holds the class's name.

    Attributes:
        readings: by name, the classes in fewer groups, each class in one; results are also given in these.
    """

    kind: ClassVar[str] = "categorical"
    classes: tuple[str, ...]
    readings: Readings = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(map(str, self.classes)))
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ConfigError(f"task {self.name!r}: needs two or more different classes, not {list(self.classes)}")
        if not all(name.strip() for name in self.classes):
            # Tables would show it as no label.
            raise ConfigError(f"task {self.name!r}: a class has an empty name in {list(self.classes)}")
        object.__setattr__(self, "readings", checked_readings(self.name, self.classes, self.readings))

    def in_reading(self, name: str) -> CategoricalTask:
        """The same task with the groups of a reading as its classes."""
        return CategoricalTask(self.name, tuple(self.readings[name]))

    def reading_with(self, classes: Collection[str]) -> str | None:
        """Name of the first reading whose groups `classes` are, or are some of; None where there is none."""
        return next((name for name, groups in self.readings.items() if set(classes) <= groups.keys()), None)

    @property
    def columns(self) -> tuple[str, ...]:
        """The manifest's label columns of this task."""
        return (self.name,)

    @property
    def label_width(self) -> int:
        """Numbers per photo in a batch: the class's index."""
        return 1


@dataclass(frozen=True)
class MultilabelTask(_Task):
    """Several attributes, each present (1) or absent (0); the manifest has a column `name.attribute` for each.

    Attributes:
        groups: attribute groups by name, for models that share features within a group.
    """

    kind: ClassVar[str] = "multilabel"
    attributes: tuple[str, ...]
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", tuple(self.attributes))
        object.__setattr__(self, "groups", {group: tuple(names) for group, names in self.groups.items()})
        if not self.attributes or len(set(self.attributes)) < len(self.attributes):
            raise ConfigError(f"task {self.name!r}: needs one or more different attributes")
        for group, names in self.groups.items():
            if not names or not group.isidentifier():
                raise ConfigError(f"task {self.name!r}: group {group!r} needs a plain name and one attribute or more")
            for name in names:
                if name not in self.attributes:
                    raise ConfigError(
                        f"task {self.name!r}: group {group!r} names {name!r}; {nearest(name, self.attributes)}"
                    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The manifest's label columns of this task."""
        return tuple(f"{self.name}.{attribute}" for attribute in self.attributes)

    @property
    def label_width(self) -> int:
        """Numbers per photo in a batch."""
        return len(self.attributes)


@dataclass(frozen=True)
class _VectorTask(_Task):
    """A direction in space: photos are alike as far as their vectors point the same way.

    Attributes:
        dimension: numbers of a vector.
    """

    dimension: int = 128

    def __post_init__(self) -> None:
        if self.dimension < 2:
            raise ConfigError(f"task {self.name!r}: dimension {self.dimension} is below 2")


@dataclass(frozen=True)
class IdentityTask(_VectorTask):
    """Who it is, as a vector that is alike for photos of one person.

    Attributes:
        people: how many there are to learn from; the data says.
    """

    kind: ClassVar[str] = "identity"
    people: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The manifest's label columns of this task."""
        return ("identity",)

    @property
    def label_width(self) -> int:
        """Numbers per photo in a batch: the person's number, from 0; people who are not in training come last."""
        return 1


@dataclass(frozen=True)
class EmbeddingTask(_VectorTask):
    """The vector that another net, the teacher, gives a photo."""

    kind: ClassVar[str] = "embedding"

    @property
    def columns(self) -> tuple[str, ...]:
        """None: the teacher labels every photo."""
        return ()

    @property
    def label_width(self) -> int:
        """Numbers per photo in a batch."""
        return self.dimension


LABEL_SUFFIXES = ("_std", "_low", "_high")
"""Of the columns that a scalar's labels may have besides its own: σ, and both ends of an interval."""

Task = ScalarTask | BinaryTask | CategoricalTask | MultilabelTask | IdentityTask | EmbeddingTask
TASK_KINDS: dict[str, type[Task]] = {
    t.kind: t for t in (ScalarTask, BinaryTask, CategoricalTask, MultilabelTask, IdentityTask, EmbeddingTask)
}
VECTORS = (IdentityTask, EmbeddingTask)
"""Kinds that a net answers with a vector of length 1."""


def answered(
    tasks: Mapping[str, Task], named: Sequence[str] = (), averaged: Iterable[Mapping[str, Task]] = ()
) -> dict[str, Task]:
    """The tasks that a prediction answers: those that are named, or else all but the sensitive ones.

    Args:
        tasks: those that the net knows, by name.
        named: those that the caller asks for; they replace the others.
        averaged: tasks of further nets whose answers are averaged with this one's: what one of them marks as sensitive
            is sensitive.

    Raises:
        ConfigError: a named task that the net does not know, or nothing is named and every task is sensitive.
    """
    for name in named:
        if name not in tasks:
            raise ConfigError(f"the net has no task {shown(name)}; {nearest(name, tasks)}")
    if named:
        return {name: task for name, task in tasks.items() if name in named}
    sensitive = {name for net in (tasks, *averaged) for name, task in net.items() if task.sensitive}
    found = {name: task for name, task in tasks.items() if name not in sensitive}
    if not found:
        raise ConfigError(
            f"{', '.join(tasks)}: sensitive, and answered only where named; name what is wanted, such as "
            f"--task {next(iter(tasks))}"
        )
    return found


def sensitive_notices(tasks: Mapping[str, Task]) -> list[str]:
    """A line for each sensitive task, for cards and whoever looks at a net."""
    return [
        f"{name} is a sensitive task: predictions answer it only where it is named (--task {name})."
        for name, task in tasks.items()
        if task.sensitive
    ]


def not_answered(tasks: Mapping[str, Task], shown: Collection[str]) -> list[str]:
    """A line for each task that is left out for being sensitive, with how to have it answered."""
    return [f"{name} is sensitive and not answered: name it by --task {name}" for name in tasks if name not in shown]


def meaning_of(task: Task) -> dict[str, Any]:
    """What each output of a task stands for; nets that agree in it can be copied, or averaged."""
    keys = ("classes", "attributes", "groups", "minimum", "maximum", "step")
    return {key: getattr(task, key) for key in keys if hasattr(task, key)}


def label_columns(tasks: Iterable[Task], columns: Collection[str]) -> list[str]:
    """Those of `columns` that hold labels of the tasks: values, classes, attributes, and the ends of intervals."""
    found = []
    for task in tasks:
        also = task.interval_columns if isinstance(task, ScalarTask) else ()
        found += [column for column in (*task.columns, *also) if column in columns]
    return found


def task_to_dict(task: Task) -> dict[str, Any]:
    """Plain data of a task, as it stands in a resolved config."""
    return {"kind": task.kind, **dataclasses.asdict(task)}


def task_from_dict(data: dict[str, Any]) -> Task:
    """The inverse of `task_to_dict`.

    Raises:
        ConfigError: unknown kind or field, or a definition that makes no sense.
    """
    fields = dict(data)
    check_name(str(fields.get("name")))
    kind = fields.pop("kind", None)
    if kind not in TASK_KINDS:
        raise ConfigError(f"task {data.get('name')!r}: unknown kind {kind!r}; {nearest(str(kind), TASK_KINDS)}")
    task_type = TASK_KINDS[kind]
    known = {f.name: f for f in dataclasses.fields(task_type)}
    for key in fields:
        if key not in known:
            raise ConfigError(f"task {data.get('name')!r} ({kind}): unknown key {key!r}; {nearest(key, known)}")
    for f in known.values():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and fields.get(f.name) is None:
            raise ConfigError(f"task {data.get('name')!r} ({kind}): needs {f.name!r}")
    if not isinstance(sensitive := fields.get("sensitive", False), bool):
        # The text "no" would be true.
        raise ConfigError(f"task {data.get('name')!r} ({kind}): sensitive is {shown(sensitive)}, not true or false")
    return task_type(**fields)


def attractiveness_task(maximum: float = 5.0) -> ScalarTask:
    """Attractiveness from 1 in steps of 0.1 (DLDL-v2, section 4.1: to 5 on SCUT-FBP, to 7 on CFD)."""
    return ScalarTask("attractiveness", 1.0, maximum, 0.1, "points", default_std=0.5, tolerances=(0.25, 0.5))


def age_task(default_std: float = 2.0, bands: Iterable[tuple[float, float]] = ()) -> ScalarTask:
    """Age from 0 to 100 in years (DLDL-v2, section 4.1)."""
    return ScalarTask(
        "age", 0.0, 100.0, 1.0, "years", default_std=default_std, tolerances=(5.0, 10.0), bands=tuple(bands)
    )
