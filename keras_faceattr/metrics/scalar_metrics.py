"""Metrics of scalars for `model.compile`; see `metrics.scalar` for the same on arrays.

Labels are (batch,) or (batch, 1) values, or (batch, 2) value and σ, in the task's unit; NaN is no label. What the net's
outputs may be: `ScalarMetric.values`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_faceattr.errors import ConfigError
from keras_faceattr.losses.keras_loss import label_columns, values_and_stds
from keras_faceattr.metrics.keras_metric import MeanOfPhotos, ScalarMetric, divide, exact_labels, photo_weights
from keras_faceattr.metrics.scalar import NO_SPREAD

Tensor = Any


@keras.saving.register_keras_serializable("keras_faceattr")
class ExpectationMAE(MeanOfPhotos):
    """Mean absolute error of the expected value, in the task's unit.

    Args:
        minimum: value of the first bin, or of the range's lower end; None: the outputs are values.
        maximum: as `minimum`, of the last bin or the upper end.
        step: between two bins; None: the outputs are no bins.

    Source: DLDL-v2 (Gao et al.), eq. 19.
    """

    def __init__(
        self,
        minimum: float | None = None,
        maximum: float | None = None,
        step: float | None = None,
        name: str = "mae",
    ) -> None:
        super().__init__(minimum, maximum, step, name)

    def terms(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) absolute errors."""
        return ops.abs(self.values(y_pred) - exact_labels(self.name, y_true))


@keras.saving.register_keras_serializable("keras_faceattr")
class ExpectationRMSE(MeanOfPhotos):
    """Root of the mean squared error of the expected value, in the task's unit; arguments as of `ExpectationMAE`.

    Source: DLDL-v2 (Gao et al.), eq. 21.
    """

    def __init__(
        self,
        minimum: float | None = None,
        maximum: float | None = None,
        step: float | None = None,
        name: str = "rmse",
    ) -> None:
        super().__init__(minimum, maximum, step, name)

    def terms(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) squared errors."""
        return ops.square(self.values(y_pred) - exact_labels(self.name, y_true))

    def result(self) -> Tensor:
        """The root of the mean so far."""
        return ops.sqrt(super().result())


@keras.saving.register_keras_serializable("keras_faceattr")
class EpsilonError(MeanOfPhotos):
    """ε-error, from 0 to 1: mean of 1 − exp(−error² / 2σ²), with each photo's own σ.

    Args:
        minimum: as of `ExpectationMAE`, and so are `maximum` and `step`.
        std: σ of labels that come without one, in the task's unit.

    Source: DLDL-v2 (Gao et al.), eq. 20.
    """

    def __init__(
        self,
        minimum: float | None = None,
        maximum: float | None = None,
        step: float | None = None,
        std: float = 1.0,
        name: str = "epsilon_error",
    ) -> None:
        super().__init__(minimum, maximum, step, name)
        self.std = std

    def terms(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) error of each photo."""
        values, stds = values_and_stds(self.name, y_true, self.std)
        share = (self.values(y_pred) - values) / ops.maximum(stds, 1e-6)
        return 1.0 - ops.exp(-0.5 * ops.square(share))


@keras.saving.register_keras_serializable("keras_faceattr")
class CumulativeScore(MeanOfPhotos):
    """CS@k: share of photos whose value is at most `k` off.

    Args:
        k: in the task's unit; it comes first.
        minimum: as of `ExpectationMAE`, and so are `maximum` and `step`.

    Source: Geng, Zhou, Smith-Miles, Automatic age estimation based on facial aging patterns.
    """

    def __init__(
        self,
        k: float,
        minimum: float | None = None,
        maximum: float | None = None,
        step: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(minimum, maximum, step, name or f"cs@{k:g}")
        self.k = k

    def terms(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) 1 where a photo is within, else 0; NaN without a label."""
        labels = exact_labels(self.name, y_true)
        # Labels are float32: 3.3 − 3.05 counts as 0.25.
        rounding = 1e-6 * ops.maximum(ops.abs(labels), 1.0)
        within = ops.cast(ops.abs(self.values(y_pred) - labels) <= self.k + rounding, "float32")
        return ops.where(ops.isnan(labels), labels, within)


class _IntervalMetric(MeanOfPhotos):
    """A metric whose labels may be intervals: (batch, 2) lowest and highest value; (batch,) or (batch, 1): exact."""

    def ends(self, y_true: Tensor) -> tuple[Tensor, Tensor]:
        """(batch,) lowest and (batch,) highest value of each label."""
        columns = label_columns(self.name, y_true, "the highest value of an interval")
        return columns[:, 0], columns[:, -1]


@keras.saving.register_keras_serializable("keras_faceattr")
class IntervalDistance(_IntervalMetric):
    """Mean distance of the expected value to the interval that is the label, in the task's unit; 0 inside.

    Labels are (batch, 2) lowest and highest value, or (batch,) or (batch, 1) values, to which it is the absolute error.
    Arguments as of `ExpectationMAE`.
    """

    def __init__(
        self,
        minimum: float | None = None,
        maximum: float | None = None,
        step: float | None = None,
        name: str = "interval_distance",
    ) -> None:
        super().__init__(minimum, maximum, step, name)

    def terms(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) distances."""
        (low, high), values = self.ends(y_true), self.values(y_pred)
        return ops.maximum(low - values, 0.0) + ops.maximum(values - high, 0.0)


@keras.saving.register_keras_serializable("keras_faceattr")
class BandAccuracy(_IntervalMetric):
    """Share of photos whose value lies in the band that is the label, or at most `off` bands from it.

    A value between two bands counts to the nearer one. Labels as of `IntervalDistance`.

    Args:
        bands: lowest and highest value of each, ascending, in the task's unit; they come first.
        off: how many bands a value may be away.
        minimum: as of `ExpectationMAE`, and so are `maximum` and `step`.
    """

    def __init__(
        self,
        bands: Sequence[tuple[float, float]],
        off: int = 0,
        minimum: float | None = None,
        maximum: float | None = None,
        step: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(minimum, maximum, step, name or ("band_accuracy" if not off else f"band_accuracy_off_{off}"))
        self.bands, self.off = tuple((float(low), float(high)) for low, high in bands), off
        self._edges = np.array(self.bands, "float32")
        if len(self.bands) < 2 or not (np.diff(self._edges.ravel()) >= 0).all():
            raise ConfigError(f"{self.name}: bands {self.bands} must be two or more, ascending")

    def terms(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) 1 where the band is right, else 0; NaN without a label."""
        low, high = self.ends(y_true)
        middle = (low + high) / 2
        off = ops.abs(self._band(self.values(y_pred)) - self._band(middle))
        return ops.where(ops.isnan(middle), middle, ops.cast(off <= self.off, "float32"))

    def _band(self, values: Tensor) -> Tensor:
        values, edges = ops.expand_dims(values, -1), ops.convert_to_tensor(self._edges)
        distance = ops.maximum(edges[:, 0] - values, 0.0) + ops.maximum(values - edges[:, 1], 0.0)
        return ops.argmin(distance, axis=-1)


@keras.saving.register_keras_serializable("keras_faceattr")
class PearsonCorrelation(ScalarMetric):
    """Pearson correlation of expected values and labels over all photos, from −1 to 1.

    `keras.metrics.PearsonCorrelation` is the mean of the batches' correlations, which is another number. NaN where
    labels or predictions are all alike. Arguments as of `ExpectationMAE`.

    Source: DLDL-v2 (Gao et al.), eq. 22; batches are merged by Chan, Golub, LeVeque, Updating formulae for computing
    sample variances, eq. 2.1.
    """

    def __init__(
        self,
        minimum: float | None = None,
        maximum: float | None = None,
        step: float | None = None,
        name: str = "pc",
    ) -> None:
        super().__init__(minimum, maximum, step, name)
        self.weight, self.means, self.products = self.zeros("weight"), self.zeros("means", (2,)), self.zeros("m", (3,))

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Take in a batch."""
        labels = exact_labels(self.name, y_true)
        known = ops.logical_not(ops.isnan(labels))
        weights = photo_weights(labels, sample_weight) * ops.cast(known, "float32")
        pairs = ops.stack([ops.where(known, labels, 0.0), self.values(y_pred)], axis=-1)
        weight = ops.sum(weights)
        means = ops.sum(weights[:, None] * pairs, axis=0) / ops.maximum(weight, 1e-30)
        total = ops.maximum(self.weight + weight, 1e-30)
        # Deviations from means of their own: sums of squares of values far from 0 would lose all digits in float32.
        shift = means - self.means
        own = ops.sum(weights[:, None] * _products(pairs - means), axis=0)
        between = self.weight * weight / total * _products(shift[None])[0]
        self.products.assign(self.products + own + between)
        self.means.assign(self.means + shift * weight / total)
        self.weight.assign_add(weight)

    def result(self) -> Tensor:
        """The correlation so far."""
        xx, yy, xy = self.products[0], self.products[1], self.products[2]
        alike = NO_SPREAD * self.weight * ops.square(self.means) >= ops.stack([xx, yy])
        spread = ops.where(ops.any(alike), 0.0, ops.sqrt(xx) * ops.sqrt(yy))
        return divide(xy, spread)


def _products(pairs: Tensor) -> Tensor:
    """(n, 2) → (n, 3): both squares and the product."""
    return ops.stack([ops.square(pairs[:, 0]), ops.square(pairs[:, 1]), pairs[:, 0] * pairs[:, 1]], axis=-1)
