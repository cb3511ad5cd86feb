"""Average precision and verification for `model.compile`; see `metrics.ranking` and `metrics.verification` for arrays.

Both depend on how all scores of an epoch are ordered. Each metric counts scores in fine bins, so that its memory does
not grow with the photos; scores of one bin count as equal.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_faceattr.errors import ConfigError
from keras_faceattr.losses.keras_loss import check_width
from keras_faceattr.metrics.keras_metric import (
    ConfiguredMetric,
    attribute_labels,
    divide,
    mean_of_known,
    photo_weights,
)

Tensor = Any

BINS = 1 << 15
"""Bins of scores."""

LARGEST_LOGIT = 16.0
"""Probabilities nearer to 0 or 1 than those of this logit and its negative count as equal: 10⁻⁷."""


class CountedScores(ConfiguredMetric):
    """A metric of the order of scores, which keeps how many of each answer lie in each bin.

    Args:
        columns: numbers per photo or pair, each with an order of its own.
        low: lowest score, which lies in the first bin.
        high: highest score.
    """

    def __init__(self, name: str, columns: int, low: float, high: float) -> None:
        super().__init__(name)
        self._columns, self._low, self._high = columns, low, high
        self.counts = self.zeros("counts", (2, columns, BINS))

    def count(self, labels: Tensor, scores: Tensor, weights: Tensor) -> None:
        """Takes in a batch.

        Args:
            labels: (batch, columns) 0, 1 or NaN for none.
            scores: (batch, columns); NaN ranks last.
            weights: (batch, 1).
        """
        share = (ops.where(ops.isnan(scores), self._low, scores) - self._low) / (self._high - self._low)
        bins = ops.cast(ops.floor(ops.clip(share, 0.0, 1.0) * (BINS - 1)), "int32")
        places = ops.reshape(bins + BINS * ops.arange(self._columns, dtype="int32"), (-1,))
        for answer in (0, 1):
            own = ops.reshape(ops.where(labels == answer, weights, 0.0), (-1,))
            added = ops.segment_sum(own, places, num_segments=self._columns * BINS)
            filled = ops.reshape(added, (1, self._columns, BINS))
            self.counts.assign_add(ops.concatenate([filled * (1 - answer), filled * answer], axis=0))

    def accepted(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """By bin, the highest first, each (columns, bins): no and yes in the bin, and those that lie in it or above."""
        no, yes = self.counts[0][:, ::-1], self.counts[1][:, ::-1]
        return no, yes, ops.cumsum(no, axis=-1), ops.cumsum(yes, axis=-1)

    def known(self, values: Tensor) -> Tensor:
        """(columns,) values; NaN where one of the answers is missing."""
        both = ops.logical_and(ops.sum(self.counts[0], axis=-1) > 0, ops.sum(self.counts[1], axis=-1) > 0)
        return ops.where(both, values, float("nan"))


@keras.saving.register_keras_serializable("keras_faceattr")
class AveragePrecision(CountedScores):
    """Mean, over the attributes that have both answers, of the area below the steps of precision over recall.

    `y_true` is (batch, attributes), or (batch,) for one of them: 0, 1, or NaN where not labelled. `y_pred` is (batch,
    attributes) logits or probabilities. Logits closer than 0.001 count as equal.

    Args:
        attributes: how many there are; 1 for a yes/no task.
        from_logits: whether the outputs are logits; else probabilities.

    Source: `sklearn.metrics.average_precision_score`, which has photos of equal probability accepted together, too.
    """

    def __init__(self, attributes: int = 1, from_logits: bool = True, name: str = "average_precision") -> None:
        super().__init__(name, attributes, -LARGEST_LOGIT, LARGEST_LOGIT)
        self.attributes, self.from_logits = attributes, from_logits

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Takes in a batch."""
        check_width(self.name, y_pred, self.attributes, "one per attribute")
        labels = attribute_labels(self.name, y_true, self.attributes)
        scores = ops.cast(y_pred, "float32")
        if not self.from_logits:
            scores = ops.log(scores) - ops.log1p(-scores)
        self.count(labels, scores, photo_weights(labels[:, 0], sample_weight)[:, None])

    def result(self) -> Tensor:
        """The mean so far; NaN without both answers."""
        _, yes, no_above, yes_above = self.accepted()
        precision = yes_above / ops.maximum(yes_above + no_above, 1e-9)
        return mean_of_known(self.known(divide(ops.sum(yes * precision, axis=-1), ops.sum(yes, axis=-1))))


class PairMetric(CountedScores):
    """A metric of verification: `y_true` is (batch,) or (batch, 1), 1 for a pair of photos of one person, 0 for one of
    two people; `y_pred` is (batch,) or (batch, 1) cosine similarity from -1 to 1. NaN once a similarity is NaN.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, 1, -1.0, 1.0)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Takes in a batch of pairs."""
        if len(y_pred.shape) not in (1, 2) or (len(y_pred.shape) == 2 and y_pred.shape[-1] != 1):
            raise ConfigError(
                f"{self.name}: needs one similarity per pair, and y_pred has the shape {tuple(y_pred.shape)}: give the "
                "cosine of the two photos' vectors"
            )
        scores = ops.reshape(ops.cast(y_pred, "float32"), (-1, 1))
        weights = photo_weights(scores[:, 0], sample_weight)[:, None]
        self.count(
            ops.reshape(ops.cast(y_true, "float32"), (-1, 1)), scores, ops.where(ops.isnan(scores), scores, weights)
        )


@keras.saving.register_keras_serializable("keras_faceattr")
class PairAUC(PairMetric):
    """Area under the ROC curve of pairs: the chance that a pair of one person is more alike than a pair of two.

    Equal pairs count half. `y_true` is (batch,) or (batch, 1): 1 for a pair of photos of one person, 0 for one of two
    people. `y_pred` is (batch,) or (batch, 1) cosine similarity; those closer than 0.0001 count as equal.
    """

    def __init__(self, name: str = "auc") -> None:
        super().__init__(name)

    def result(self) -> Tensor:
        """The area so far; NaN without both kinds of pairs."""
        no, yes, _, yes_above = self.accepted()
        won = ops.sum(no * (yes_above - yes / 2), axis=-1)
        return self.known(divide(won, ops.sum(no, axis=-1) * ops.sum(yes, axis=-1)))[0]


@keras.saving.register_keras_serializable("keras_faceattr")
class TrueAcceptRate(PairMetric):
    """TAR@FAR: share of the pairs of one person accepted where at most a share `far` of the pairs of two is accepted.

    `y_true` and `y_pred` as of `PairAUC`. A `far` below 1 / pairs of two people takes no false acceptance at all.

    Args:
        far: false accept rate, from 0 to 1.
    """

    def __init__(self, far: float = 0.001, name: str | None = None) -> None:
        super().__init__(name or f"tar@far={far:g}")
        if not 0 <= far <= 1:
            raise ConfigError(f"{self.name}: far {far:g} is not from 0 to 1: give a share of the pairs, such as 0.001")
        self.far = far

    def result(self) -> Tensor:
        """The rate so far; NaN without both kinds of pairs."""
        no, yes, no_above, yes_above = self.accepted()
        allowed = no_above <= self.far * ops.sum(no, axis=-1, keepdims=True) * (1 + 1e-6)
        most = ops.max(ops.where(allowed, yes_above, 0.0), axis=-1)
        return self.known(divide(most, ops.sum(yes, axis=-1)))[0]
