"""Labels of one task in a batch: exact ones, intervals and soft targets, photo by photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from keras_faceattr.tasks import VECTORS, CategoricalTask, MultilabelTask, ScalarTask, Task

Tensor = Any

FORMS = ("exact", "interval", "soft")
"""What a label may be: `exact` as the task defines it (of a scalar: value and σ); of a scalar also an `interval` in
which the value lies; or `soft`: a distribution over a scalar's bins, a probability of each class, or of yes."""


@dataclass(frozen=True)
class Labels:
    """Labels of a batch, without NaN; `known` says which of them mean anything.

    Attributes:
        exact: (batch, task.label_width).
        known: (batch,) or, of several attributes, (batch, attributes): 1 where a photo has a label of any form, else 0.
        interval: (batch, 2) lowest and highest value, and (batch,) which photos have one; None where no photo can.
        soft: (batch, outputs) probabilities, and (batch,) which photos have them; None where no photo can.
        taught: (batch, numbers) what a teacher says, as of `lessons`, and (batch,) about which photos; None without a
            teacher. It is no label: `known` says nothing of it.
    """

    exact: Tensor
    known: Tensor
    interval: tuple[Tensor, Tensor] | None = None
    soft: tuple[Tensor, Tensor] | None = None
    taught: tuple[Tensor, Tensor] | None = None


def soft_width(task: Task) -> int:
    """Numbers of a soft target; 0 where the task knows none."""
    if isinstance(task, ScalarTask):
        return len(task.bins)
    if isinstance(task, CategoricalTask):
        return len(task.classes)
    return 0 if isinstance(task, VECTORS) else task.label_width


def label_width(task: Task, forms: tuple[str, ...] = ("exact",)) -> int:
    """Numbers per photo in a batch whose labels have these forms."""
    return task.label_width + 2 * ("interval" in forms) + soft_width(task) * ("soft" in forms)


def pack_labels(exact: np.ndarray, interval: np.ndarray | None = None, soft: np.ndarray | None = None) -> np.ndarray:
    """Join labels of several forms into the array that a batch carries.

    Args:
        exact: (n, task.label_width), NaN for photos with a label of another form or none.
        interval: (n, 2) lowest and highest value, NaN for photos without; None where the batch knows no intervals.
        soft: (n, outputs) probabilities, NaN for photos without; None where the batch knows no soft targets.
    """
    parts = [part for part in (exact, interval, soft) if part is not None]
    return np.concatenate([np.asarray(part, "float32") for part in parts], axis=1)


def read_labels(values: Tensor, task: Task, forms: tuple[str, ...] = ("exact",), taught: bool = False) -> Labels:
    """The labels of a batch.

    Args:
        values: (batch, label_width) of `pack_labels`, NaN where a photo has no label of a form.
        forms: those of `FORMS` that the batch carries.
        taught: whether a teacher's answers stand behind them, in all further columns.
    """
    values = ops.cast(values, "float32")
    width = task.label_width
    exact, rest = values[:, :width], values[:, width:]
    known = ops.logical_not(ops.isnan(exact))
    # A scalar's σ is never missing: its first column says whether it is labelled. An identity has one column.
    known = known if isinstance(task, MultilabelTask) else known[:, 0]
    interval = soft = None
    if taught:
        end = label_width(task, forms) - width
        rest, answers = rest[:, :end], rest[:, end:]
    if "interval" in forms:
        interval, rest = _form(rest[:, :2]), rest[:, 2:]
        known = ops.logical_or(known, interval[1] > 0)
    if "soft" in forms:
        soft = _form(rest)
        given = soft[1] > 0
        known = ops.logical_or(known, given[:, None] if isinstance(task, MultilabelTask) else given)
    exact, known = ops.where(ops.isnan(exact), 0.0, exact), ops.cast(known, "float32")
    return Labels(exact, known, interval, soft, _form(answers) if taught else None)


def label_counts(known: Tensor) -> Tensor:
    """(batch,) how many labels each photo has: of several attributes up to all, else 0 or 1."""
    return ops.sum(known, axis=-1) if len(known.shape) > 1 else known


def _form(values: Tensor) -> tuple[Tensor, Tensor]:
    missing = ops.isnan(values)
    return ops.where(missing, 0.0, values), ops.cast(ops.logical_not(ops.any(missing, axis=-1)), "float32")
