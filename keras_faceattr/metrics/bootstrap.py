"""Intervals by resampling photos, or the people on pairs of photos."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_faceattr.metrics.sums import SumMetric


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: np.ndarray,
    predictions: np.ndarray,
    samples: int = 1000,
    seed: int = 0,
    coverage: float = 0.95,
    people: np.ndarray | None = None,
) -> tuple[float, float]:
    """Percentile interval of a metric when the photos are drawn again, with replacement.

    Each photo is drawn on its own, also where a person has several: of such data the interval is that of other photos,
    not of other people. Pairs of photos share photos and people, so that drawing pairs would take them for more than
    they tell; with `people` these are drawn, and a pair counts as often as they allow: of one person as often as that
    person was drawn, of two as often as the one times as often as the other. Where each person is in few pairs, that
    is somewhat too wide.

    Args:
        metric: (labels, predictions) → number.
        labels: (n, …).
        predictions: (n, …).
        samples: how often the photos, or the people, are drawn.
        people: (n, 2) numbers of the people on both photos of each pair; None where a row is a photo.

    Returns:
        Lower and upper end; (NaN, NaN) for fewer than two photos or people, or no samples.

    Source: Owen, The pigeonhole bootstrap, 2007, which multiplies the counts of rows and columns in this way.
    """
    names, whose = (None, None) if people is None else np.unique(people, return_inverse=True)
    count = len(labels) if names is None else len(names)
    if count < 2 or samples < 1:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, count, count) for _ in range(samples))
    if whose is not None:
        draws = (_pairs_of_drawn(draw, whose.reshape(-1, 2)) for draw in draws)
    if isinstance(metric, SumMetric):
        values = metric.of_draws(labels, predictions, draws)
    else:
        values = np.array([metric(labels[draw], predictions[draw]) for draw in draws])
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)


def _pairs_of_drawn(people: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Rows of (n, 2) `pairs`, each as often as it counts, when these of as many people were drawn."""
    times = np.bincount(people, minlength=len(people))
    one, other = times[pairs].T
    return np.repeat(np.arange(len(pairs)), np.where(pairs[:, 0] == pairs[:, 1], one, one * other))
