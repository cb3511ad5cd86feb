"""Label distributions, their divergence and their expectation (DLDL-v2, section 3)."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops

from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.losses.keras_loss import BinnedLoss, values_and_stds

Tensor = Any


def label_distribution(values: Tensor, stds: Tensor, bins: Tensor) -> Tensor:
    """Normal distribution around each label, over the bins.

    It is normalised over the bins that exist, so that a label at an end of the range keeps a whole distribution.
    A σ of 0 gives the nearest bin alone.

    Args:
        values: (batch,) labels, in the task's unit.
        stds: (batch,) σ, in the task's unit.
        bins: (K,) value of each bin, in the task's unit.

    Returns:
        (batch, K) rows that sum to 1.

    Source: DLDL-v2, eq. 1.
    """
    # A floor of a hundredth of a bin keeps σ² above float32's underflow; softmax is exact where exp would underflow.
    width = bins[1] - bins[0]
    deviation = ops.expand_dims(ops.maximum(stds, 0.01 * width), -1)
    distance = (ops.expand_dims(bins, 0) - ops.expand_dims(values, -1)) / deviation
    return ops.softmax(-0.5 * ops.square(distance), axis=-1)


def kl_divergence(target: Tensor, logits: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the predicted distribution from the target, summed over the bins.

    Args:
        target: (batch, K) rows sum to 1.
        logits: (batch, K) before the softmax.

    Returns:
        (batch,) in nats, at least 0.

    Source: DLDL-v2, eq. 8 and 9.
    """
    log_target = ops.log(ops.maximum(target, 1e-30))
    return ops.sum(target * (log_target - ops.log_softmax(logits, axis=-1)), axis=-1)


def expectation(probabilities: Tensor, bins: Tensor) -> Tensor:
    """Expected value of a label distribution.

    Args:
        probabilities: (batch, K) rows sum to 1.
        bins: (K,) value of each bin, in the task's unit.

    Returns:
        (batch,) in the task's unit.

    Source: DLDL-v2, eq. 10.
    """
    return ops.sum(probabilities * ops.expand_dims(bins, 0), axis=-1)


def expectation_l1(values: Tensor, logits: Tensor, bins: Tensor) -> Tensor:
    """Distance of the expected value from the label.

    Args:
        values: (batch,) labels, in the task's unit.
        logits: (batch, K) before the softmax.
        bins: (K,) value of each bin, in the task's unit.

    Returns:
        (batch,) in the task's unit.

    Source: DLDL-v2, eq. 11.
    """
    return ops.abs(expectation(ops.softmax(logits, axis=-1), bins) - values)


def interval_divergence(interval: Tensor, logits: Tensor, bins: Tensor) -> Tensor:
    """Minus the log of the probability that the value lies in an interval; bins on its ends count as inside.

    Args:
        interval: (batch, 2) lowest and highest value, in the task's unit. An interval between two bins takes in the
            nearest bin on either side.
        logits: (batch, K) before the softmax.
        bins: (K,) value of each bin, in the task's unit, ascending in equal steps.

    Returns:
        (batch,) in nats, at least 0.
    """
    width, low, high = bins[1] - bins[0], interval[:, :1], interval[:, 1:]
    tolerance = 1e-4 * width
    inside = ops.logical_and(bins[None] >= low - tolerance, bins[None] <= high + tolerance)
    near = ops.abs(bins[None] - (low + high) / 2) <= 0.5 * width + tolerance
    inside = ops.where(ops.any(inside, axis=-1, keepdims=True), inside, near)
    # The log of a sum of probabilities, without leaving the logs.
    own = ops.logsumexp(ops.where(inside, logits, -1e30), axis=-1)
    return ops.logsumexp(logits, axis=-1) - own


def roughness(logits: Tensor) -> Tensor:
    """Distance of a label distribution from a normal one: mean square of the third differences of its logarithm.

    The logarithm of a normal distribution is a parabola, wherever it lies and however wide it is: there it is 0.

    Args:
        logits: (batch, K) before the softmax; with fewer than four bins it is 0.

    Returns:
        (batch,) at least 0.
    """
    if logits.shape[-1] < 4:
        return ops.zeros_like(logits[:, 0])
    third = logits[:, 3:] - 3 * logits[:, 2:-1] + 3 * logits[:, 1:-2] - logits[:, :-3]
    return ops.mean(ops.square(third), axis=-1)


def interval_distance(interval: Tensor, logits: Tensor, bins: Tensor) -> Tensor:
    """Distance of the expected value from an interval; 0 inside.

    Args:
        interval: (batch, 2) lowest and highest value, in the task's unit.
        logits: (batch, K) before the softmax.
        bins: (K,) value of each bin, in the task's unit.

    Returns:
        (batch,) in the task's unit.
    """
    value = expectation(ops.softmax(logits, axis=-1), bins)
    return ops.maximum(interval[:, 0] - value, 0.0) + ops.maximum(value - interval[:, 1], 0.0)


@keras.saving.register_keras_serializable("keras_faceattr")
class DLDL(BinnedLoss):
    """Kullback-Leibler divergence from the label's normal distribution over the bins.

    `y_true` is (batch,) or (batch, 1) values, or (batch, 2) value and σ, in the unit of the bins; `y_pred` is
    (batch, K) logits before the softmax, one for each bin. The loss of a photo is in nats.

    Args:
        minimum: value of the first bin.
        maximum: value of the last bin.
        step: between two bins; it divides the range.
        std: σ of labels that come without one; None: two steps.
        kl_reduction: `sum` over the bins as the paper writes it, or `mean` over them as the authors' code has it.

    Source: DLDL-v2 (Gao et al.), eq. 1, 8 and 9; section 4.5.4, DLDL.
    """

    def __init__(
        self,
        minimum: float,
        maximum: float,
        step: float,
        std: float | None = None,
        kl_reduction: Literal["sum", "mean"] = "sum",
        reduction: str = "sum_over_batch_size",
        name: str = "dldl",
    ) -> None:
        super().__init__(minimum, maximum, step, reduction, name)
        if kl_reduction not in ("sum", "mean"):
            raise ConfigError(
                f"{name}: unknown kl_reduction {kl_reduction!r}; {nearest(kl_reduction, ('sum', 'mean'))}"
            )
        self.std = 2.0 * step if std is None else std
        self.kl_reduction = kl_reduction

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) divergence of each photo."""
        bins, (values, stds) = self.bins_for(y_pred), values_and_stds(self.name, y_true, self.std)
        divergence = kl_divergence(label_distribution(values, stds, bins), y_pred)
        return divergence / y_pred.shape[-1] if self.kl_reduction == "mean" else divergence


@keras.saving.register_keras_serializable("keras_faceattr")
class DLDLv2(DLDL):
    """`DLDL` plus λ times the distance of the expected value from the label.

    Labels, outputs and the first five arguments as of `DLDL`. The loss mixes nats and the unit of the bins.

    Args:
        expectation_weight: λ.

    Source: DLDL-v2 (Gao et al.), eq. 12.
    """

    def __init__(
        self,
        minimum: float,
        maximum: float,
        step: float,
        std: float | None = None,
        kl_reduction: Literal["sum", "mean"] = "sum",
        expectation_weight: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "dldl_v2",
    ) -> None:
        super().__init__(minimum, maximum, step, std, kl_reduction, reduction, name)
        self.expectation_weight = expectation_weight

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) loss of each photo."""
        values, _ = values_and_stds(self.name, y_true, self.std)
        l1 = expectation_l1(values, y_pred, self.bins_for(y_pred))
        return super().call(y_true, y_pred) + self.expectation_weight * l1


@keras.saving.register_keras_serializable("keras_faceattr")
class ExpectationRegression(BinnedLoss):
    """Distance of the expected value from the label, in the unit of the bins.

    Labels and outputs as of `DLDL`; a σ is not looked at.

    Args:
        minimum: value of the first bin.
        maximum: value of the last bin.
        step: between two bins; it divides the range.

    Source: DLDL-v2 (Gao et al.), eq. 10 and 11; section 4.5.4, ER.
    """

    default_name = "expectation_regression"

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) distance of each photo."""
        return expectation_l1(values_and_stds(self.name, y_true, 0.0)[0], y_pred, self.bins_for(y_pred))
