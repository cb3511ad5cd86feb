"""Cross-entropies of class indices, of bins and of yes/no labels."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_faceattr.losses.keras_loss import BinnedLoss, values_and_stds

Tensor = Any


def cross_entropy(classes: Tensor, logits: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of class indices.

    Args:
        classes: (batch,) index of the class, from 0.
        logits: (batch, classes) before the softmax.
        smoothing: share of the target spread evenly over all classes.

    Returns:
        (batch,) in nats.
    """
    target = ops.one_hot(ops.cast(classes, "int32"), logits.shape[-1], dtype="float32")
    return soft_cross_entropy(target, logits, smoothing)


def soft_cross_entropy(target: Tensor, logits: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of class probabilities.

    Args:
        target: (batch, classes) rows sum to 1.
        logits: (batch, classes) before the softmax.
        smoothing: share of the target spread evenly over all classes.

    Returns:
        (batch,) in nats.
    """
    return keras.losses.categorical_crossentropy(target, logits, from_logits=True, label_smoothing=smoothing)


def nearest_bin_cross_entropy(values: Tensor, logits: Tensor, bins: Tensor) -> Tensor:
    """Cross-entropy with the bin nearest to the label as the class.

    Args:
        values: (batch,) labels, in the task's unit.
        logits: (batch, K) before the softmax.
        bins: (K,) value of each bin, ascending in equal steps.

    Returns:
        (batch,) in nats.

    Source: DLDL-v2, section 4.5.4, "DEX".
    """
    nearest = ops.round((values - bins[0]) / (bins[1] - bins[0]))
    return cross_entropy(ops.clip(nearest, 0, logits.shape[-1] - 1), logits)


def binary_cross_entropy(labels: Tensor, logits: Tensor) -> Tensor:
    """Binary cross-entropy, element by element.

    Args:
        labels: 0, 1 or a probability, of any shape.
        logits: before the sigmoid, of the same shape.

    Returns:
        In nats, of the same shape.
    """
    return ops.binary_crossentropy(labels, logits, from_logits=True)


@keras.saving.register_keras_serializable("keras_faceattr")
class DEX(BinnedLoss):
    """Cross-entropy with the bin nearest to the label as the class, in nats.

    `y_true` is (batch,) or (batch, 1) values, or (batch, 2) value and σ, which is not looked at, in the unit of the
    bins; `y_pred` is (batch, K) logits before the softmax. The answer is the expected value.

    Args:
        minimum: value of the first bin.
        maximum: value of the last bin.
        step: between two bins; it divides the range.

    Source: Rothe, Timofte, Van Gool, DEX; DLDL-v2 (Gao et al.), section 4.5.4, DEX.
    """

    default_name = "dex"

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) cross-entropy of each photo."""
        return nearest_bin_cross_entropy(values_and_stds(self.name, y_true, 0.0)[0], y_pred, self.bins_for(y_pred))
