"""Whether a net's certainty holds: the calibration error of probabilities, the coverage of intervals, and how the error
falls where the net is certain.

Every metric is a `SumMetric`, so that its interval costs no more than that of an accuracy.
"""

from __future__ import annotations

import numpy as np

from keras_faceattr.metrics.scalar import intervals
from keras_faceattr.metrics.sums import SumMetric, counted, mean_of_sums

BINS = 15
"""Of the calibration error, all equally wide."""

ROUNDING = 1e-6
"""As a share of the largest number: what float32 may lose at the end of an interval."""


def class_certainty(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(n, 1, 2) probability of the likeliest class, and 1 where it is the right one; shapes as `confusion`."""
    right = labels[:, 0].astype("int64") == predictions.argmax(axis=1)
    return np.stack([predictions.max(axis=1), right], axis=-1)[:, None].astype("float64")


def answer_certainty(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(n, attributes, 2) probability of the likelier answer, and 1 where it is right; NaN without a label."""
    right = np.where(np.isnan(labels), np.nan, (predictions >= 0.5) == (labels == 1))
    return np.stack([np.maximum(predictions, 1 - predictions), right], axis=-1).astype("float64")


def _calibration_terms(labels: np.ndarray, certainty: np.ndarray) -> np.ndarray:
    """(n, 2 · BINS + 1): by bin the sum of the probabilities, and of what was right; and how many answers count."""
    known = ~np.isnan(certainty[..., 1])
    place = np.minimum((certainty[..., 0] * BINS).astype("int64"), BINS - 1)
    own = (place[..., None] == np.arange(BINS)) & known[..., None]
    parts = [np.where(own, np.nan_to_num(certainty[..., which, None]), 0.0).sum(axis=1) for which in (0, 1)]
    return np.concatenate([*parts, known.sum(axis=1, keepdims=True)], axis=1)


def _calibration_error(sums: np.ndarray) -> np.ndarray:
    said, right, count = sums[..., :BINS], sums[..., BINS : 2 * BINS], sums[..., -1]
    return np.where(count > 0, np.abs(said - right).sum(axis=-1) / np.maximum(count, 1), np.nan)


expected_calibration_error = SumMetric(_calibration_terms, _calibration_error, grows_with_noise=True)
"""ECE: mean gap between the probability of an answer and how often such answers are right, over 15 bins of equal width.

Labels are not looked at; predictions are of `class_certainty` or `answer_certainty`. Of few photos it is too large, as
chance alone leaves a gap in every bin. Its interval is the value ± 1.96 standard deviations of the resamples. Source:
Guo et al., On calibration of modern neural networks, 2017, eq. 3.
"""


def error_of_most_certain(threshold: float) -> SumMetric:
    """Share of wrong answers among those whose probability is at least `threshold`; predictions as of the ECE."""

    def terms(labels: np.ndarray, certainty: np.ndarray) -> np.ndarray:
        kept = (certainty[..., 0] >= threshold) & ~np.isnan(certainty[..., 1])
        return np.stack([(kept & (certainty[..., 1] == 0)).sum(axis=1), kept.sum(axis=1)], axis=1)

    return SumMetric(terms, mean_of_sums)


def _inside(labels: np.ndarray, bounds: np.ndarray, touched: bool) -> np.ndarray:
    (low, high), slack = intervals(labels).T, ROUNDING * max(1.0, float(np.abs(bounds[:, :2]).max(initial=0.0)))
    first, last = (high, low) if touched else (low, high)
    return counted((bounds[:, 0] <= first + slack) & (bounds[:, 1] >= last - slack))


coverage = SumMetric(lambda labels, bounds: _inside(labels, bounds, touched=False), mean_of_sums)
"""Share of photos whose interval contains the label; a label that is an interval must be contained whole.

Labels as of `metrics.scalar`; predictions (n, ≥ 2) low and high first. For labels that are intervals this is a lower
bound of the share of true values that are contained, and `touched` an upper bound.
"""

touched = SumMetric(lambda labels, bounds: _inside(labels, bounds, touched=True), mean_of_sums)
"""Share of photos whose interval meets the label; shapes as of `coverage`."""

width = SumMetric(lambda labels, bounds: counted(bounds[:, 1] - bounds[:, 0]), mean_of_sums)
"""Mean width of the intervals, in the task's unit; shapes as of `coverage`."""


def distance_of_most_certain(largest: float) -> SumMetric:
    """Mean distance to the label where the standard deviation is at most `largest`, in the task's unit.

    Predictions are (n, ≥ 2), values and standard deviations last. For labels that are values this is the MAE.
    """

    def terms(labels: np.ndarray, said: np.ndarray) -> np.ndarray:
        (low, high), values = intervals(labels).T, said[:, -2].astype("float64")
        kept = said[:, -1] <= largest
        distance = np.maximum(low - values, 0) + np.maximum(values - high, 0)
        return np.stack([np.where(kept, distance, 0.0), kept], axis=1)

    return SumMetric(terms, mean_of_sums)
