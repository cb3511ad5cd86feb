"""The record of a face: its place and a net's answers. Python, tables and JSON are all made from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from keras_faceattr.errors import ConfigError
from keras_faceattr.evaluation.intervals import SHOWN, Intervals, spread_of
from keras_faceattr.evaluation.predictions import Outputs, value_names
from keras_faceattr.metrics.scalar import band_masses
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, Task

Row = dict[str, Any]
"""Columns of a table: text, numbers, and None for an empty cell."""


@dataclass(frozen=True)
class Limits:
    """How certain an answer must be to be given; None demands nothing.

    Attributes:
        min_probability: of a class, or of the likelier of yes and no.
        max_width: of the 90 % interval of a scalar, in its unit.
    """

    min_probability: float | None = None
    max_width: float | None = None

    def __bool__(self) -> bool:
        return self.min_probability is not None or self.max_width is not None

    def withhold(self, probability: float) -> bool:
        """Whether an answer of this probability is not given."""
        return self.min_probability is not None and probability < self.min_probability


NO_LIMITS = Limits()


class Box(NamedTuple):
    """A face's box in pixels of the upright photo; it may reach beyond the photo."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class ScalarAnswer:
    """A number, with its distribution if the net gives one.

    Attributes:
        value: in `unit`.
        std: standard deviation of the distribution, in `unit`; None if the net gives no distribution.
        distribution: (K,) probability of each of `bins`; None if the net gives none.
        bins: (K,) values, ascending, in `unit`.
        bands: probability of each band in which the net's data was labelled, such as `20–29`; empty without bands or
            distribution.
        intervals: low and high by level, in `unit`; empty for a net without measured intervals.
    """

    value: float
    unit: str
    std: float | None = None
    distribution: np.ndarray | None = field(default=None, repr=False, compare=False)
    bins: np.ndarray | None = field(default=None, repr=False, compare=False)
    bands: dict[str, float] = field(default_factory=dict, repr=False, compare=False)
    intervals: dict[float, tuple[float, float]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def band(self) -> str | None:
        """The likeliest band; None without bands."""
        return max(self.bands, key=self.bands.__getitem__) if self.bands else None

    def interval(self, level: float = SHOWN) -> tuple[float, float]:
        """Low and high of the interval that contains the true value for this share of faces, as far as measured.

        Args:
            level: one of `intervals`: 0.5, 0.8, 0.9 or 0.95.

        Raises:
            ConfigError: the net has no interval of this level.
        """
        if level not in self.intervals:
            known = ", ".join(f"{share:g}" for share in self.intervals)
            raise ConfigError(
                f"no interval of level {level:g}; the net has {known}"
                if known
                else "the net has no measured intervals: export its run anew, with validation photos"
            )
        return self.intervals[level]

    def withheld(self, name: str, limits: Limits) -> tuple[str, ...]:
        """Columns that limits leave empty."""
        if limits.max_width is None or SHOWN not in self.intervals:
            return ()
        low, high = self.intervals[SHOWN]
        return (name,) if high - low > limits.max_width else ()

    def cells(self, name: str) -> Row:
        """Columns of a table."""
        row: Row = {name: self.value, **({f"{name}_std": self.std} if self.distribution is not None else {})}
        if SHOWN in self.intervals:
            row[f"{name}_low"], row[f"{name}_high"] = self.intervals[SHOWN]
        return row


@dataclass(frozen=True)
class ClassAnswer:
    """The most probable class.

    Attributes:
        probability: probability of `label`.
        probabilities: probabilities of every class, in the task's order.
    """

    label: str
    probability: float
    probabilities: dict[str, float] = field(repr=False)

    def withheld(self, name: str, limits: Limits) -> tuple[str, ...]:
        """Columns that limits leave empty."""
        return (name,) if limits.withhold(self.probability) else ()

    def cells(self, name: str) -> Row:
        """Columns of a table."""
        return {name: self.label, f"{name}_probability": self.probability}


@dataclass(frozen=True)
class BinaryAnswer:
    """The probability of yes, 0 to 1."""

    probability: float

    @property
    def label(self) -> bool:
        """True if yes is at least as likely as no."""
        return self.probability >= 0.5

    def withheld(self, name: str, limits: Limits) -> tuple[str, ...]:
        """Columns that limits leave empty."""
        return (name,) if limits.withhold(max(self.probability, 1 - self.probability)) else ()

    def cells(self, name: str) -> Row:
        """Columns of a table."""
        return {name: self.probability}


@dataclass(frozen=True)
class AttributesAnswer:
    """The probability of each of several attributes, by name."""

    probabilities: dict[str, float]

    def withheld(self, name: str, limits: Limits) -> tuple[str, ...]:
        """Columns that limits leave empty."""
        return tuple(f"{name}.{a}" for a, value in self.probabilities.items() if limits.withhold(max(value, 1 - value)))

    def cells(self, name: str) -> Row:
        """Columns of a table."""
        return {f"{name}.{attribute}": value for attribute, value in self.probabilities.items()}


@dataclass(frozen=True)
class VectorAnswer:
    """A vector of length 1: (dimension,) numbers."""

    vector: np.ndarray = field(repr=False, compare=False)

    def withheld(self, name: str, limits: Limits) -> tuple[str, ...]:
        """Columns that limits leave empty: none, as a vector says nothing of its certainty."""
        return ()

    def cells(self, name: str) -> Row:
        """Columns of a table."""
        return {f"{name}.{number}": float(value) for number, value in enumerate(self.vector)}


Answer = ScalarAnswer | ClassAnswer | BinaryAnswer | AttributesAnswer | VectorAnswer


@dataclass(frozen=True)
class Face(Mapping[str, Any]):
    """A face in a photo with the answers of a net, by task: `face["age"].value`.

    Attributes:
        image: the photo's path; empty for pixels that came from memory.
        number: index of the face in its photo, from 1, the best face first.
        box: in pixels of the upright photo; None if the crop needs no face, or if none was found and the photo's centre
            is answered.
        points: (5, 2) x, y of left eye, right eye, nose, left and right corner of the mouth, as seen, in pixels of the
            upright photo; None if `box` is.
        score: the detector's probability of a face, 0 to 1; None if `box` is.
        answers: by task; None if the net's output for a task is not numbers.
        columns: names of the columns of each task's answer in a table.
        looked_for: whether the net's crop looks for faces at all.
        limits: how certain an answer must be for its cell in a table to be filled.
    """

    image: str
    number: int
    box: Box | None
    points: np.ndarray | None = field(repr=False, compare=False)
    score: float | None
    answers: dict[str, Answer | None]
    columns: dict[str, tuple[str, ...]] = field(repr=False, compare=False)
    looked_for: bool = field(default=True, repr=False)
    limits: Limits = field(default=NO_LIMITS, repr=False, compare=False)

    def __getitem__(self, task: str) -> Any:
        # Whoever asks for a task knows its kind, and so which of the answers has its fields.
        answer = self.answers[task]
        if answer is None:
            raise KeyError(f"{task}: the net gave no number")
        return answer

    def __iter__(self) -> Iterator[str]:
        return iter(self.answers)

    def __len__(self) -> int:
        return len(self.answers)

    __hash__ = None  # type: ignore[assignment]  # Its answers are a dictionary.

    def _repr_html_(self) -> str:
        from keras_faceattr.evaluation.face_html import face_html

        return face_html(self)

    @property
    def without_answer(self) -> tuple[str, ...]:
        """Tasks for which the net's output is not numbers."""
        return tuple(name for name, answer in self.answers.items() if answer is None)

    @property
    def abstained(self) -> tuple[str, ...]:
        """Columns that are left empty in a table, because the answer is less certain than `limits` demand."""
        given = {name: answer for name, answer in self.answers.items() if answer is not None}
        return tuple(column for name, answer in given.items() for column in answer.withheld(name, self.limits))

    def row(self) -> Row:
        """Return the face as the columns of a table, with JSON types only.

        The columns are `image`; if the crop needs a face, `face` (its number), `left`, `top`, `right`, `bottom` in
        pixels and `face_score`; then each task's value, class or probabilities, but for those `abstained`.
        """
        row: Row = {"image": self.image}
        if self.looked_for:
            edges = [round(edge, 1) for edge in self.box] if self.box else [None] * 4
            row |= {"face": self.number, **dict(zip(Box._fields, edges, strict=True)), "face_score": self.score}
        for name, answer in self.answers.items():
            row |= dict.fromkeys(self.columns[name]) if answer is None else answer.cells(name)
        return row | dict.fromkeys(self.abstained)


def cell_types(task: Task) -> dict[str, type]:
    """Columns that the answer of a task may fill in a table, and what they hold."""
    if isinstance(task, CategoricalTask):
        return {task.name: str, f"{task.name}_probability": float}
    if isinstance(task, ScalarTask):
        return dict.fromkeys((task.name, *(f"{task.name}_{more}" for more in ("std", "low", "high"))), float)
    return dict.fromkeys(value_names(task), float)


def columns_of(task: Task, outputs: Outputs, intervals: bool) -> tuple[str, ...]:
    """Columns that the answer of a task fills in a table, for a net with these outputs, with or without intervals."""
    columns = tuple(cell_types(task))
    if not isinstance(task, ScalarTask):
        return columns
    return columns[: 1 if f"{task.name}_distribution" not in outputs else 4 if intervals else 2]


def answer_of(task: Task, outputs: Outputs, index: int, intervals: Intervals | None = None) -> Answer | None:
    """Return a net's answer for one photo and one task; None if its output is not numbers.

    Args:
        outputs: of the inference model, by name, a row per photo.
        intervals: of a scalar task that has them.
    """
    values = np.asarray(outputs[task.name][index])
    if not np.isfinite(values).all():
        return None
    if isinstance(task, CategoricalTask):
        chances = dict(zip(task.classes, map(float, values), strict=True))
        best = int(values.argmax())
        return ClassAnswer(task.classes[best], float(values[best]), chances)
    if isinstance(task, ScalarTask):
        return _scalar(task, float(values), outputs.get(f"{task.name}_distribution"), index, intervals)
    if isinstance(task, BinaryTask):
        return BinaryAnswer(float(values.reshape(-1)[0]))
    if isinstance(task, MultilabelTask):
        return AttributesAnswer(dict(zip(task.attributes, map(float, values), strict=True)))
    return VectorAnswer(values)


def _scalar(
    task: ScalarTask, value: float, distributions: np.ndarray | None, index: int, intervals: Intervals | None
) -> ScalarAnswer:
    if distributions is None:
        return ScalarAnswer(value, task.unit)
    distribution, bins = np.asarray(distributions[index]), task.bins
    std, masses, ends = None, {}, {}
    if np.isfinite(distribution).all():
        if task.bands:
            found = band_masses(np.array(task.bands), bins, distribution[None])[0]
            names = [f"{low:g}–{high:g}" for low, high in task.bands]
            masses = dict(zip(names, map(float, found), strict=True))
        # Rounding may leave a variance below zero.
        std = float(np.sqrt(max(0.0, distribution @ (bins - distribution @ bins) ** 2)))
        if intervals:
            spread = spread_of(task, distribution[None])
            for level in intervals.factors:
                low, high = intervals.bounds(task, np.array([value]), spread, level)[0]
                ends[level] = float(low), float(high)
    return ScalarAnswer(value, task.unit, std, distribution, bins, masses, ends)
