"""Errors of scalar predictions (DLDL-v2, section 4.2).

Every metric takes labels (n, 2), value and σ in the task's unit, and predictions (n,) in the same unit.
"""

from __future__ import annotations

import numpy as np

from keras_faceattr.metrics.sums import SumMetric, counted, mean_of_sums

NO_SPREAD = 1e-12
"""Variance, as a share of the squared largest deviation, that rounding alone can leave of values that are all alike."""


def _errors(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    errors: np.ndarray = predictions.astype("float64") - labels[:, 0].astype("float64")
    return errors


def _deviations(values: np.ndarray) -> np.ndarray:
    """(n,) distances from the mean, the largest of them 1; a correlation is the same of them."""
    values = values.astype("float64")
    if not len(values):
        return values
    centred = values - values.mean()
    return np.asarray(centred / (np.abs(centred).max() or 1.0))


def _products(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(n, 6) a photo, its two deviations, their squares and their product."""
    x, y = _deviations(labels[:, 0]), _deviations(predictions)
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)


def _correlation(sums: np.ndarray) -> np.ndarray:
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread_x, spread_y = count * xx - x * x, count * yy - y * y
    spread = (np.minimum(spread_x, spread_y) > NO_SPREAD * count * count) & (count > 0)
    return np.where(spread, (count * xy - x * y) / np.sqrt(np.where(spread, spread_x * spread_y, 1.0)), np.nan)


def _surprises(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    deviation = np.maximum(labels[:, 1].astype("float64"), 1e-6)
    return counted(1 - np.exp(-0.5 * np.square(_errors(labels, predictions) / deviation)))


mean_absolute_error = SumMetric(lambda labels, x: counted(np.abs(_errors(labels, x))), mean_of_sums)
"""MAE, in the task's unit. Source: eq. 19."""

root_mean_squared_error = SumMetric(
    lambda labels, x: counted(np.square(_errors(labels, x))), lambda sums: np.sqrt(mean_of_sums(sums))
)
"""RMSE, in the task's unit. Source: eq. 21."""

pearson_correlation = SumMetric(_products, _correlation)
"""PC, from −1 to 1; NaN where labels or predictions are all alike. Source: eq. 22."""

epsilon_error = SumMetric(_surprises, mean_of_sums)
"""ε-error, from 0 to 1, with each photo's own σ. Source: eq. 20."""


def cumulative_score(k: float) -> SumMetric:
    """CS@k: share of photos that are at most `k` off, in the task's unit."""

    def within(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        # As the labels are, so that float32 ages are compared as such.
        errors = np.abs(predictions - labels[:, 0])
        rounding = 1e-6 * max(1.0, float(np.abs(labels[:, 0]).max(initial=0.0)))
        return counted(errors <= k + rounding)

    return SumMetric(within, mean_of_sums)
