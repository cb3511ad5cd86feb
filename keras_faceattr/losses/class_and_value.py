"""A value that is regressed and classified at once (CRNet)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_faceattr.losses.classification import cross_entropy
from keras_faceattr.losses.keras_loss import ConfiguredLoss, check_width, values_and_stds
from keras_faceattr.losses.regression import unproject
from keras_faceattr.tasks import ScalarTask

Tensor = Any


def class_and_value(
    values: Tensor, raw: Tensor, bins: Tensor, cuts: Tensor, class_weight: float = 0.4, value_weight: float = 0.6
) -> Tensor:
    """Weighted sum of the cross-entropy of the label's class and the squared error of the value.

    Args:
        values: (batch,) labels.
        raw: (batch, 1 + classes) the value projected to [−1, 1], and the logits of the classes.
        bins: (K,) of which the first and the last are the ends of the range, in the label's unit.
        cuts: (classes − 1,) where one class ends and the next begins, ascending, in the label's unit.
        class_weight: θc.
        value_weight: θr.

    Returns:
        (batch,) at least 0.

    Source: CRNet (Xu et al.), L.
    """
    classes = ops.sum(ops.cast(ops.expand_dims(values, -1) >= cuts, "float32"), axis=-1)
    of_value = ops.square(unproject(raw[:, 0], bins) - values)
    return class_weight * cross_entropy(classes, raw[:, 1:]) + value_weight * of_value


@keras.saving.register_keras_serializable("keras_faceattr")
class CRNetLoss(ConfiguredLoss):
    """`class_and_value` of a scalar.

    `y_true` is (batch,) or (batch, 1) values, or (batch, 2) value and σ, which is not looked at; `y_pred` is
    (batch, 1 + classes): the value projected from the range to [−1, 1], and the logits of the classes.

    Args:
        minimum: lower end of the range, in the label's unit.
        maximum: upper end of the range.
        cut_points: where one class ends and the next begins, ascending; none: halfway between whole numbers.
        class_weight: θc, weight of the classification.
        value_weight: θr, weight of the regression.

    Source: CRNet (Xu et al.), L; the weights are those of its published code.
    """

    def __init__(
        self,
        minimum: float,
        maximum: float,
        cut_points: Sequence[float] = (),
        class_weight: float = 0.4,
        value_weight: float = 0.6,
        reduction: str = "sum_over_batch_size",
        name: str = "crnet",
    ) -> None:
        super().__init__(reduction, name)
        self.minimum, self.maximum, self.cut_points = minimum, maximum, tuple(cut_points)
        self.class_weight, self.value_weight = class_weight, value_weight
        task = ScalarTask(name, minimum, maximum, maximum - minimum, cut_points=self.cut_points)
        self._ends, self._cuts = task.bins.astype("float32"), task.cuts.astype("float32")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) loss of each photo."""
        check_width(self.name, y_pred, 2 + len(self._cuts), f"the value and {1 + len(self._cuts)} classes")
        values, _ = values_and_stds(self.name, y_true, 0.0)
        ends, cuts = ops.convert_to_tensor(self._ends), ops.convert_to_tensor(self._cuts)
        return class_and_value(values, y_pred, ends, cuts, self.class_weight, self.value_weight)
