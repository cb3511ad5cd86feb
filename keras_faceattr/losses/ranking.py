"""Ranking by K − 1 binary classifiers trained jointly (DLDL-v2, sections 3.2 and 4.5.4)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_faceattr.losses.classification import binary_cross_entropy
from keras_faceattr.losses.keras_loss import BinnedLoss, values_and_stds

Tensor = Any


def ranking_targets(values: Tensor, bins: Tensor) -> Tensor:
    """Targets of the K − 1 classifiers: 1 where the label lies above the bin, else 0.

    A label within a millionth of the range of a bin counts as being on it, so that 3.3 on bins of 0.1 does not
    depend on rounding.

    Args:
        values: (batch,) labels, in the task's unit.
        bins: (K,) value of each bin, in the task's unit.

    Returns:
        (batch, K − 1) of 0 and 1.

    Source: DLDL-v2, section 3.2: the first k − 1 are 1 for a label in (l_{k−1}, l_k].
    """
    tolerance = 1e-6 * (bins[-1] - bins[0])
    return ops.cast(ops.expand_dims(values - tolerance, -1) > ops.expand_dims(bins[:-1], 0), "float32")


def ranking_loss(values: Tensor, logits: Tensor, bins: Tensor) -> Tensor:
    """Sum of the K − 1 binary cross-entropies.

    Args:
        values: (batch,) labels, in the task's unit.
        logits: (batch, K − 1) before the sigmoid.
        bins: (K,) value of each bin, in the task's unit.

    Returns:
        (batch,) in nats.
    """
    return ops.sum(binary_cross_entropy(ranking_targets(values, bins), logits), axis=-1)


@keras.saving.register_keras_serializable("keras_faceattr")
class Ranking(BinnedLoss):
    """Sum of the K − 1 binary cross-entropies of "the label lies above this bin", in nats.

    `y_true` is (batch,) or (batch, 1) values, or (batch, 2) value and σ, which is not looked at, in the unit of the
    bins; `y_pred` is (batch, K − 1) logits before the sigmoid. The answer is the bin that is reached.

    Args:
        minimum: value of the first bin.
        maximum: value of the last bin.
        step: between two bins; it divides the range.

    Source: DLDL-v2 (Gao et al.), sections 3.2 and 4.5.4, Ranking.
    """

    extra_outputs = -1

    default_name = "ranking"

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) loss of each photo."""
        return ranking_loss(values_and_stds(self.name, y_true, 0.0)[0], y_pred, self.bins_for(y_pred))
