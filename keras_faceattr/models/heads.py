"""Heads: from features to a task's raw outputs, and from these to what the model returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keras import layers

from keras_faceattr.errors import ModelError
from keras_faceattr.models import decoding
from keras_faceattr.tasks import MultilabelTask, Task

Tensor = Any

Features = Tensor | list[Tensor] | dict[str, Tensor]
"""What a net gives a task: one vector for all its raw outputs; or a vector for each part of them, by name: the groups
of attributes, or the `value` and the `classes`; or a vector for each member of an ensemble. Each is (batch, channels).
"""


@dataclass(frozen=True)
class Head:
    """A row of the table.

    Attributes:
        parts: how many raw outputs each part of a task needs, in their order.
        decode: (task, raw (batch, units)) → outputs by name.
        projects: whether raw outputs are a projection of the direction of the features: of W · φ / ‖φ‖, without a bias.
    """

    parts: Callable[[Any], dict[str, int]]
    decode: Callable[[Any, Tensor], dict[str, Tensor]]
    projects: bool = False

    def units(self, task: Task) -> int:
        """Number of raw outputs that a task needs in all."""
        # Attributes may be in no group, where the net does not look at groups.
        return len(task.attributes) if isinstance(task, MultilabelTask) else sum(self.parts(task).values())


def _attributes(task: Any) -> dict[str, int]:
    return {group: len(names) for group, names in task.groups.items()} or {"all": len(task.attributes)}


HEADS: dict[str, Head] = {
    "distribution": Head(lambda task: {"bins": len(task.bins)}, decoding.distribution),
    "ranking": Head(lambda task: {"thresholds": len(task.bins) - 1}, decoding.ranking),
    "regression": Head(lambda task: {"value": 1}, decoding.squashed_value),
    "linear": Head(lambda task: {"value": 1}, decoding.clipped_value),
    "class_and_value": Head(lambda task: {"value": 1, "classes": len(task.class_names)}, decoding.class_and_value),
    "binary": Head(lambda task: {"answer": 1}, decoding.sigmoid),
    "categorical": Head(lambda task: {"classes": len(task.classes)}, decoding.softmax),
    "multilabel": Head(_attributes, decoding.sigmoid),
    "vector": Head(lambda task: {"vector": task.dimension}, decoding.unit_vector),
    "projection": Head(lambda task: {"vector": task.dimension}, decoding.unit_vector, projects=True),
}


def raw_outputs(features: Features, task: Task, head: str) -> Tensor:
    """(batch, units) raw outputs of a task, in float32 whatever the precision of the features.

    The layer that gives them is called `<task>_raw`.

    Raises:
        ModelError: the net gives features by part, and the task has other parts.
    """
    name, parts = f"{task.name}_raw", HEADS[head].parts(task)
    if isinstance(features, list):
        units = HEADS[head].units(task)
        members = [_dense(member, units, f"{task.name}_raw_{i}") for i, member in enumerate(features, start=1)]
        return layers.Concatenate(name=name, dtype="float32")(members)
    if not isinstance(features, Mapping):
        if HEADS[head].projects:
            features = layers.UnitNormalization(name=f"{task.name}_direction", dtype="float32")(features)
        return _dense(features, HEADS[head].units(task), name, use_bias=not HEADS[head].projects)
    if features.keys() != parts.keys():
        mend = f": set tasks.{task.name}.method=crnet" if set(features) == {"value", "classes"} else ""
        raise ModelError(
            f"task {task.name!r} has the parts {', '.join(parts)}; the net gives {', '.join(features)}{mend}"
        )
    raw = [_dense(features[part], units, f"{task.name}_raw_{part}") for part, units in parts.items()]
    if not isinstance(task, MultilabelTask):
        return layers.Concatenate(name=name, dtype="float32")(raw)
    grouped = [attribute for names in task.groups.values() for attribute in names]
    joined = layers.Concatenate(name=f"{task.name}_groups", dtype="float32")(raw)
    return decoding.reordered(joined, [grouped.index(attribute) for attribute in task.attributes], name)


def decoded_outputs(features: Features, raw: Tensor, task: Task, head: str, vote: str) -> dict[str, Tensor]:
    """Outputs that the model returns for a task, by name."""
    if isinstance(features, list):
        return decoding.VOTES[vote](task, raw, len(features))
    return HEADS[head].decode(task, raw)


def _dense(features: Tensor, units: int, name: str, use_bias: bool = True) -> Tensor:
    dense = layers.Dense(units, use_bias=use_bias, kernel_initializer="he_normal", name=name, dtype="float32")
    return dense(features)
