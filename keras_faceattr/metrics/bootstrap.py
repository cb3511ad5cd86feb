"""Intervals by resampling photos, or the people on pairs of photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from statistics import NormalDist

import numpy as np

from keras_faceattr.metrics.ranking import AveragePrecision, by_attribute
from keras_faceattr.metrics.sums import SumMetric, mean_of_known, values_of_draws

DRAWN_AT_ONCE = 1_000_000
"""Most rows that are drawn in one go."""

Function = Callable[[np.ndarray, np.ndarray], float]
"""(labels (n, …), predictions (n, …)) → number."""


def bootstrap_interval(
    metric: Function,
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
    return bootstrap_intervals({"": metric}, labels, predictions, samples, seed, coverage, people)[""]


def bootstrap_intervals(
    metrics: Mapping[str, Function],
    labels: np.ndarray,
    predictions: np.ndarray,
    samples: int = 1000,
    seed: int = 0,
    coverage: float = 0.95,
    people: np.ndarray | None = None,
) -> dict[str, tuple[float, float]]:
    """Return `bootstrap_interval` of several metrics by name, all from the same draws."""
    names, whose = (None, None) if people is None else np.unique(people, return_inverse=True)
    count = len(labels) if names is None else len(names)
    if count < 2 or samples < 1:
        return dict.fromkeys(metrics, (float("nan"), float("nan")))
    pairs = None if whose is None else whose.reshape(-1, 2)
    of_sums = {name: metric for name, metric in metrics.items() if isinstance(metric, SumMetric)}
    values: dict[str, np.ndarray] = {}
    if of_sums:
        found = values_of_draws(list(of_sums.values()), labels, predictions, _draws(count, samples, seed, pairs))
        values = dict(zip(of_sums, found, strict=True))
    ranked = {name: metric for name, metric in metrics.items() if isinstance(metric, AveragePrecision)}
    if ranked:
        each = by_attribute(labels, predictions, _draws(count, samples, seed, pairs))
        values |= {name: mean_of_known(each[:, metric.columns]) for name, metric in ranked.items()}
    for name in metrics.keys() - values.keys():
        draws = _draws(count, samples, seed, pairs)
        values[name] = np.array([metrics[name](labels[draw], predictions[draw]) for draw in draws])
    return {
        name: _around(metric(labels, predictions), values[name], coverage)
        if isinstance(metric, SumMetric) and metric.grows_with_noise
        else _percentiles(values[name], coverage)
        for name, metric in metrics.items()
    }


def _draws(count: int, samples: int, seed: int, pairs: np.ndarray | None) -> Iterator[np.ndarray]:
    """Indices of the rows of each draw; of the pairs whose people were drawn, where there are any."""
    rng, most = np.random.default_rng(seed), max(1, DRAWN_AT_ONCE // count)
    for first in range(0, samples, most):
        # Many at once take a third of the time, and are the same numbers.
        for draw in rng.integers(0, count, (min(most, samples - first), count)):
            yield draw if pairs is None else _pairs_of_drawn(draw, pairs)


def _around(value: float, values: np.ndarray, coverage: float) -> tuple[float, float]:
    """The interval of a normal distribution with the spread of the resamples, from 0 on."""
    spread = NormalDist().inv_cdf((1 + coverage) / 2) * float(np.nanstd(values)) if len(values) else float("nan")
    return max(0.0, value - spread), value + spread


def _percentiles(values: np.ndarray, coverage: float) -> tuple[float, float]:
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
