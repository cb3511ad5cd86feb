"""Metric regression on labels projected to [−1, 1] (DLDL-v2, section 4.5.4, "MR")."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_faceattr.errors import ConfigError
from keras_faceattr.losses.keras_loss import ConfiguredLoss, check_width, range_ends, values_and_stds

Tensor = Any


def project(values: Tensor, bins: Tensor) -> Tensor:
    """Map the range of the bins linearly to [−1, 1].

    Args:
        values: (batch,) labels, in the task's unit.
        bins: (K,) value of each bin, in the task's unit.
    """
    return 2.0 * (values - bins[0]) / (bins[-1] - bins[0]) - 1.0


def unproject(projected: Tensor, bins: Tensor) -> Tensor:
    """The inverse of `project`."""
    return bins[0] + 0.5 * (projected + 1.0) * (bins[-1] - bins[0])


def regression_l1(values: Tensor, raw: Tensor, bins: Tensor) -> Tensor:
    """|tanh(raw) − projected label|.

    Args:
        values: (batch,) labels, in the task's unit.
        raw: (batch, 1) before the tanh.
        bins: (K,) value of each bin, in the task's unit.

    Returns:
        (batch,) from 0 to 2.
    """
    return ops.abs(ops.tanh(raw[:, 0]) - project(values, bins))


def regression_l2(values: Tensor, raw: Tensor, bins: Tensor) -> Tensor:
    """The square of `regression_l1`."""
    return ops.square(regression_l1(values, raw, bins))


@keras.saving.register_keras_serializable("keras_faceattr")
class MetricRegression(ConfiguredLoss):
    """|tanh(output) − label projected to [−1, 1]|, or its square.

    `y_true` is (batch,) or (batch, 1) values, or (batch, 2) value and σ, which is not looked at; `y_pred` is
    (batch, 1) before the tanh.

    Args:
        minimum: label that is projected to −1.
        maximum: label that is projected to 1.
        power: 1 for L1, 2 for L2.

    Source: DLDL-v2 (Gao et al.), section 4.5.4, MR.
    """

    def __init__(
        self,
        minimum: float,
        maximum: float,
        power: int = 1,
        reduction: str = "sum_over_batch_size",
        name: str = "metric_regression",
    ) -> None:
        super().__init__(reduction, name)
        if power not in (1, 2):
            raise ConfigError(f"{name}: power {power!r} is neither 1 (L1) nor 2 (L2)")
        self.minimum, self.maximum, self.power = minimum, maximum, power
        self._ends = range_ends(minimum, maximum)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) loss of each photo."""
        check_width(self.name, y_pred, 1, "the value before the tanh")
        loss = regression_l1 if self.power == 1 else regression_l2
        return loss(values_and_stds(self.name, y_true, 0.0)[0], y_pred, ops.convert_to_tensor(self._ends))


class ErrorLoss(ConfiguredLoss):
    """A loss of the error, prediction less label, in the label's unit."""

    def __init__(self, minimum: float | None, maximum: float | None, reduction: str, name: str) -> None:
        super().__init__(reduction, name)
        self.minimum, self.maximum = minimum, maximum
        self._ends = range_ends(minimum, maximum)

    def errors(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) of outputs (batch,) or (batch, 1), in the label's unit or projected to [−1, 1]."""
        if len(y_pred.shape) > 1:
            check_width(self.name, y_pred, 1, "the value")
            y_pred = y_pred[:, 0]
        values = y_pred if self._ends is None else unproject(y_pred, ops.convert_to_tensor(self._ends))
        return values - values_and_stds(self.name, y_true, 0.0)[0]
