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
    true, predicted = labels[:, 0] - labels[:, 0].mean(), predictions - predictions.mean()
    scale = np.sqrt(np.square(true).sum() * np.square(predicted).sum())
    return float((true * predicted).sum() / scale) if scale > 0 else float("nan")


def epsilon_error(labels: np.ndarray, predictions: np.ndarray) -> float:
    """ε-error, from 0 to 1, with each photo's own σ. Source: eq. 20."""
    deviation = np.maximum(labels[:, 1].astype("float64"), 1e-6)
    return float((1 - np.exp(-0.5 * np.square((predictions - labels[:, 0]) / deviation))).mean())


def cumulative_score(labels: np.ndarray, predictions: np.ndarray, k: float) -> float:
    """CS@k: share of photos that are at most `k` off, in the task's unit."""
    return float((np.abs(predictions - labels[:, 0]) <= k + 1e-6).mean())
