"""Errors of scalar predictions (DLDL-v2, section 4.2).

Every metric takes labels (n, 2), value and σ in the task's unit, and predictions (n,) in the same unit. Labels may be
intervals: then they are (n, 4), with the lowest and the highest value behind, and the value is NaN where a photo has an
interval instead. Metrics of values pass over such photos.
"""

from __future__ import annotations

import numpy as np

from keras_faceattr.metrics.sums import SumMetric, counted, mean_of_sums

NO_SPREAD = 1e-12
"""Variance, as a share of the squared largest deviation, that rounding alone can leave of values that are all alike."""


def _errors(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(n,) errors; 0 where the label is no value."""
    errors: np.ndarray = predictions.astype("float64") - labels[:, 0].astype("float64")
    return np.asarray(np.where(_valued(labels), errors, 0.0))


def _valued(labels: np.ndarray) -> np.ndarray:
    """(n,) whether a photo is labelled with a value."""
    return np.asarray(~np.isnan(labels[:, 0]))


def _over_values(labels: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """(n, 2) terms and counts of the photos that are labelled with a value."""
    return np.asarray(counted(terms) * _valued(labels)[:, None])


def intervals(labels: np.ndarray) -> np.ndarray:
    """(n, 2) lowest and highest value of each label; a value is both."""
    values = np.repeat(labels[:, :1], 2, axis=1).astype("float64")
    return values if labels.shape[1] == 2 else np.where(np.isnan(values), labels[:, 2:4], values)


def band_of(bands: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n,) number of the band that each value lies in, or is nearest to; of two that are equally near the lower one.

    Args:
        bands: (m, 2) lowest and highest value of each, ascending.
    """
    values = values.astype("float64")[:, None]
    distance = np.maximum(bands[:, 0] - values, 0) + np.maximum(values - bands[:, 1], 0)
    return np.asarray(distance.argmin(axis=1))


def band_masses(bands: np.ndarray, bins: np.ndarray, distributions: np.ndarray) -> np.ndarray:
    """(n, m) probability of each band: that of the bins in it, or nearest to it.

    Args:
        bands: (m, 2) lowest and highest value of each, ascending.
        bins: (k,) values.
        distributions: (n, k) probability of each.
    """
    membership = np.eye(len(bands))[band_of(bands, bins)]
    return np.asarray(distributions.astype("float64") @ membership)


def likeliest_bands(bands: np.ndarray, bins: np.ndarray, distributions: np.ndarray) -> np.ndarray:
    """(n,) middle of the likeliest band; arguments as of `band_masses`.

    The expectation of a wide distribution often lies in another band than most of its mass.
    """
    return np.asarray(bands.mean(axis=1)[band_masses(bands, bins, distributions).argmax(axis=1)])


def _deviations(values: np.ndarray) -> np.ndarray:
    """(n,) distances from the mean, the largest of them 1; a correlation is the same of them."""
    values = values.astype("float64")
    if not len(values):
        return values
    centred = values - values.mean()
    return np.asarray(centred / (np.abs(centred).max() or 1.0))


def _products(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(n, 6) a photo, its two deviations, their squares and their product."""
    valued = _valued(labels)
    terms = np.zeros((len(labels), 6))
    x, y = _deviations(labels[valued, 0]), _deviations(predictions[valued])
    terms[valued] = np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)
    return terms


def _correlation(sums: np.ndarray) -> np.ndarray:
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread_x, spread_y = count * xx - x * x, count * yy - y * y
    spread = (np.minimum(spread_x, spread_y) > NO_SPREAD * count * count) & (count > 0)
    return np.where(spread, (count * xy - x * y) / np.sqrt(np.where(spread, spread_x * spread_y, 1.0)), np.nan)


def _surprises(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    deviation = np.maximum(labels[:, 1].astype("float64"), 1e-6)
    return _over_values(labels, 1 - np.exp(-0.5 * np.square(_errors(labels, predictions) / deviation)))


mean_absolute_error = SumMetric(lambda labels, x: _over_values(labels, np.abs(_errors(labels, x))), mean_of_sums)
"""MAE, in the task's unit. Source: eq. 19."""

root_mean_squared_error = SumMetric(
    lambda labels, x: _over_values(labels, np.square(_errors(labels, x))), lambda sums: np.sqrt(mean_of_sums(sums))
)
"""RMSE, in the task's unit. Source: eq. 21."""

pearson_correlation = SumMetric(_products, _correlation)
"""PC, from −1 to 1; NaN where labels or predictions are all alike. Source: eq. 22."""

epsilon_error = SumMetric(_surprises, mean_of_sums)
"""ε-error, from 0 to 1, with each photo's own σ. Source: eq. 20."""


def _distances(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    (low, high), values = intervals(labels).T, predictions.astype("float64")
    return counted(np.maximum(low - values, 0) + np.maximum(values - high, 0))


interval_distance = SumMetric(_distances, mean_of_sums)
"""Mean distance to the interval that is the label, in the task's unit; 0 inside, and the absolute error of a value."""


def band_accuracy(bands: np.ndarray, off: int = 0) -> SumMetric:
    """Share of photos whose value lies in the band that is the label, or at most `off` bands from it.

    Args:
        bands: (m, 2) lowest and highest value of each, ascending; a value between two counts to the nearer one.
    """

    def right(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        true = band_of(bands, intervals(labels).mean(axis=1))
        return counted(np.abs(band_of(bands, predictions) - true) <= off)

    return SumMetric(right, mean_of_sums)


def cumulative_score(k: float) -> SumMetric:
    """CS@k: share of photos that are at most `k` off, in the task's unit."""

    def within(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        # As the labels are, so that float32 ages are compared as such.
        errors = np.abs(predictions - labels[:, 0])
        rounding = 1e-6 * max(1.0, float(np.abs(np.nan_to_num(labels[:, 0])).max(initial=0.0)))
        return np.asarray(counted(errors <= k + rounding) & _valued(labels)[:, None])

    return SumMetric(within, mean_of_sums)
