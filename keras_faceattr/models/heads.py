"""Heads: from features to a task's raw outputs, and from these to what the model returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import layers

from keras_faceattr.models.layers import Expectation, RankingDistribution, RankingValue, Unproject
from keras_faceattr.tasks import Task

Tensor = Any


@dataclass(frozen=True)
class Head:
    """A row of the table.

    Attributes:
        units: how many raw outputs a task needs.
        decode: (task, raw (batch, units)) → outputs by name.
    """

    units: Callable[[Any], int]
    decode: Callable[[Any, Tensor], dict[str, Tensor]]


def _bins(task: Any) -> dict[str, Any]:
    return {"minimum": task.minimum, "maximum": task.maximum, "bins": len(task.bins)}


def _distribution(task: Any, raw: Tensor) -> dict[str, Tensor]:
    name = f"{task.name}_distribution"
    probabilities = layers.Softmax(name=name, dtype="float32")(raw)
    return {task.name: Expectation(**_bins(task), name=task.name, dtype="float32")(probabilities), name: probabilities}


def _ranking(task: Any, raw: Tensor) -> dict[str, Tensor]:
    name = f"{task.name}_distribution"
    return {
        task.name: RankingValue(**_bins(task), name=task.name, dtype="float32")(raw),
        name: RankingDistribution(**_bins(task), name=name, dtype="float32")(raw),
    }


def _regression(task: Any, raw: Tensor) -> dict[str, Tensor]:
    return {task.name: Unproject(**_bins(task), name=task.name, dtype="float32")(raw)}


def _softmax(task: Any, raw: Tensor) -> dict[str, Tensor]:
    return {task.name: layers.Softmax(name=task.name, dtype="float32")(raw)}


def _sigmoid(task: Any, raw: Tensor) -> dict[str, Tensor]:
    return {task.name: layers.Activation("sigmoid", name=task.name, dtype="float32")(raw)}


HEADS: dict[str, Head] = {
    "distribution": Head(lambda task: len(task.bins), _distribution),
    "ranking": Head(lambda task: len(task.bins) - 1, _ranking),
    "regression": Head(lambda task: 1, _regression),
    "binary": Head(lambda task: 1, _sigmoid),
    "categorical": Head(lambda task: len(task.classes), _softmax),
    "multilabel": Head(lambda task: len(task.attributes), _sigmoid),
}


def raw_outputs(features: Tensor, task: Task, head: str) -> Tensor:
    """(batch, units) raw outputs of a task, in float32 whatever the precision of the features."""
    units = HEADS[head].units(task)
    return layers.Dense(units, kernel_initializer="he_normal", name=f"{task.name}_raw", dtype="float32")(features)
