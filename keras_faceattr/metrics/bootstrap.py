"""Intervals by resampling photos."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: np.ndarray,
    predictions: np.ndarray,
    samples: int = 1000,
    seed: int = 0,
    coverage: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a metric when the photos are drawn again, with replacement.

    Args:
        metric: (labels, predictions) → number.
        labels: (n, …).
        predictions: (n, …).
        samples: how often the photos are drawn.

    Returns:
        Lower and upper end; (NaN, NaN) for fewer than two photos or no samples.
    """
    count = len(labels)
    if count < 2 or samples < 1:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, count, count) for _ in range(samples))
    values = np.array([metric(labels[draw], predictions[draw]) for draw in draws])
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)
