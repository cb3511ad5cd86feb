"""Errors of scalar predictions (DLDL-v2, section 4.2).

Every function takes labels (n, 2), value and σ in the task's unit, and predictions (n,) in the same unit.
"""

from __future__ import annotations

import numpy as np


def mean_absolute_error(labels: np.ndarray, predictions: np.ndarray) -> float:
    """MAE, in the task's unit. Source: eq. 19."""
    return float(np.abs(predictions - labels[:, 0]).mean())


def root_mean_squared_error(labels: np.ndarray, predictions: np.ndarray) -> float:
    """RMSE, in the task's unit. Source: eq. 21."""
    return float(np.sqrt(np.square(predictions - labels[:, 0]).mean()))


def pearson_correlation(labels: np.ndarray, predictions: np.ndarray) -> float:
    """PC, from −1 to 1; NaN where labels or predictions are all alike. Source: eq. 22."""
    # Rounding leaves a spread of constant values that is not 0, so constants are asked for directly.
    if not len(labels) or np.ptp(labels[:, 0]) == 0 or np.ptp(predictions) == 0:
        return float("nan")
    true, predicted = labels[:, 0].astype("float64"), predictions.astype("float64")
    true, predicted = true - true.mean(), predicted - predicted.mean()
    return float((true * predicted).sum() / np.sqrt(np.square(true).sum() * np.square(predicted).sum()))


def epsilon_error(labels: np.ndarray, predictions: np.ndarray) -> float:
    """ε-error, from 0 to 1, with each photo's own σ. Source: eq. 20."""
    deviation = np.maximum(labels[:, 1].astype("float64"), 1e-6)
    return float((1 - np.exp(-0.5 * np.square((predictions - labels[:, 0]) / deviation))).mean())


def cumulative_score(labels: np.ndarray, predictions: np.ndarray, k: float) -> float:
    """CS@k: share of photos that are at most `k` off, in the task's unit."""
    rounding = 1e-6 * max(1.0, float(np.abs(labels[:, 0]).max(initial=0.0)))
    return float((np.abs(predictions - labels[:, 0]) <= k + rounding).mean())
