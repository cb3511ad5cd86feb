"""Ranking by K − 1 binary classifiers trained jointly (DLDL-v2, sections 3.2 and 4.5.4)."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_faceattr.losses.classification import binary_cross_entropy

Tensor = Any


def ranking_targets(values: Tensor, bins: Tensor) -> Tensor:
    """Whether a label lies above each of the first K − 1 bins.

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
