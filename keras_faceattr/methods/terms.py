"""Terms of a loss that look at a whole batch and remember earlier ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from keras_faceattr.config import MethodSettings
from keras_faceattr.losses import relation
from keras_faceattr.tasks import MultilabelTask

Tensor = Any


class Term(Protocol):
    """A stateful part of a task's loss."""

    variables: list[keras.Variable]

    def __call__(self, labels: Tensor, raw: Tensor, settings: MethodSettings) -> Tensor:
        """What it adds to the loss of a batch; labels are NaN where there are none."""


class Relations:
    """Attributes that go together should be predicted together.

    Attributes:
        sums: (M, M) decayed sum of the batches' correlations.
        weights: (M, M) decayed count of the batches in which a correlation is defined.

    Source: OBRL, eq. 1 to 3.
    """

    def __init__(self, task: MultilabelTask) -> None:
        count = len(task.attributes)
        self.sums, self.weights = (
            keras.Variable(ops.zeros((count, count), "float32"), trainable=False, name=f"{task.name}_relation_{part}")
            for part in ("sums", "weights")
        )
        self.variables = [self.sums, self.weights]

    def __call__(self, labels: Tensor, raw: Tensor, settings: MethodSettings) -> Tensor:
        """α times the relation loss of the batch, after the batch's own correlations have been taken in."""
        batch, defined = relation.batch_correlation(labels)
        sums, weights = relation.moving_correlation(self.sums, self.weights, batch, defined, settings.relation_decay)
        self.sums.assign(sums)
        self.weights.assign(weights)
        losses = relation.relation_loss(
            ops.sigmoid(raw),
            relation.relation(sums, weights),
            weights > 0,
            settings.positive_relation,
            settings.negative_relation,
        )
        labelled = ops.cast(ops.any(ops.logical_not(ops.isnan(labels)), axis=-1), "float32")
        return settings.relation_weight * ops.sum(losses * labelled) / ops.maximum(ops.sum(labelled), 1.0)

    def matrix(self) -> np.ndarray:
        """(M, M) correlations learned so far; NaN where none was ever defined."""
        values = np.asarray(relation.relation(self.sums, self.weights))
        return np.where(np.asarray(self.weights) > 0, values, np.nan)


TERMS: dict[str | None, Callable[[Any], Term]] = {"obrl": Relations}
"""By method."""
