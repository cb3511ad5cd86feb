"""Balanced accuracies for `model.compile`; see `metrics.classification` for the same on arrays."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_faceattr.losses.keras_loss import check_width, class_indices
from keras_faceattr.metrics.keras_metric import ConfiguredMetric, attribute_labels, divide, mean_of_known, photo_weights

Tensor = Any


@keras.saving.register_keras_serializable("keras_faceattr")
class BalancedAccuracy(ConfiguredMetric):
    """Mean, over the classes that occur, of the share of their photos that is recognised.

    `y_true` is (batch,) or (batch, 1) index of the class, from 0; `y_pred` is (batch, classes) logits or probabilities.

    Args:
        classes: how many there are.
    """

    def __init__(self, classes: int, name: str = "balanced_accuracy") -> None:
        super().__init__(name)
        self.classes = classes
        self.right, self.count = self.zeros("right", (classes,)), self.zeros("count", (classes,))

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Take in a batch."""
        check_width(self.name, y_pred, self.classes, "one per class")
        labels = ops.cast(class_indices(y_true), "int32")
        right = ops.cast(ops.equal(labels, ops.cast(ops.argmax(y_pred, axis=-1), "int32")), "float32")
        weights = photo_weights(right, sample_weight)
        own = ops.one_hot(labels, self.classes, dtype="float32")
        self.right.assign_add(ops.sum(own * (weights * right)[:, None], axis=0))
        self.count.assign_add(ops.sum(own * weights[:, None], axis=0))

    def result(self) -> Tensor:
        """The mean so far; NaN without a photo."""
        return mean_of_known(divide(self.right, self.count))


@keras.saving.register_keras_serializable("keras_faceattr")
class AttributeBalancedAccuracy(ConfiguredMetric):
    """Mean, over the attributes, of the mean of true-positive and true-negative rate.

    An attribute of which only one answer occurs counts with that answer's rate. `y_true` is (batch, attributes), or
    (batch,) for one of them: 0, 1, or NaN where not labelled. `y_pred` is (batch, attributes) logits or probabilities.

    Args:
        attributes: how many there are; 1 for a yes/no task.
        from_logits: whether the outputs are logits, of which those from 0 on mean yes; else those from 0.5 on.
    """

    def __init__(
        self, attributes: int = 1, from_logits: bool = True, name: str = "attribute_balanced_accuracy"
    ) -> None:
        super().__init__(name)
        self.attributes, self.from_logits = attributes, from_logits
        self.right, self.count = self.zeros("right", (2, attributes)), self.zeros("count", (2, attributes))

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Take in a batch."""
        check_width(self.name, y_pred, self.attributes, "one per attribute")
        labels = attribute_labels(self.name, y_true, self.attributes)
        yes = ops.cast(y_pred >= (0.0 if self.from_logits else 0.5), "float32")
        weights = photo_weights(labels[:, 0], sample_weight)[:, None]
        given = ops.stack([ops.cast(labels == 0, "float32"), ops.cast(labels == 1, "float32")])
        right = given * ops.stack([1.0 - yes, yes])
        self.right.assign_add(ops.sum(weights * right, axis=1))
        self.count.assign_add(ops.sum(weights * given, axis=1))

    def result(self) -> Tensor:
        """The mean so far; NaN without a label."""
        rates = ops.transpose(divide(self.right, self.count))
        return mean_of_known(mean_of_known(rates))
