"""Metrics that know the photos only through sums over them, so that many resamples are one matrix product."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

CHUNK_BYTES = 32_000_000
"""Most memory of the counts of the resamples that are multiplied at once."""

EXACT_IN_FLOAT32 = 1 << 24
"""Integers up to here are exact in float32."""

Metric = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class SumMetric:
    """A metric that is a function of sums over the photos.

    Attributes:
        terms: (labels, predictions) → (n, k) booleans or float64, what each photo adds to the sums.
        combine: (…, k) sums → (…) values.
        grows_with_noise: whether drawing photos again adds to the metric itself, as to a sum of absolute gaps, so that
            resamples tell how far it may be off and not around which value.
    """

    terms: Callable[[np.ndarray, np.ndarray], np.ndarray]
    combine: Callable[[np.ndarray], np.ndarray]
    grows_with_noise: bool = False

    def __call__(self, labels: np.ndarray, predictions: np.ndarray) -> float:
        return float(self.combine(self.terms(labels, predictions).sum(axis=0).astype("float64")))

    def of_columns(self, columns: slice) -> SumMetric:
        """The same of some columns of labels and predictions alone."""
        return replace(self, terms=lambda labels, said: self.terms(labels[:, columns], said[:, columns]))

    def of_draws(self, labels: np.ndarray, predictions: np.ndarray, draws: Iterable[np.ndarray]) -> np.ndarray:
        """(samples,) values of the photos that each draw names, a photo as often as it is named.

        Args:
            draws: (m,) indices each, of at most as many photos as there are.
        """
        return values_of_draws([self], labels, predictions, draws)[0]


def values_of_draws(
    metrics: Sequence[SumMetric], labels: np.ndarray, predictions: np.ndarray, draws: Iterable[np.ndarray]
) -> list[np.ndarray]:
    """Return `SumMetric.of_draws` of several metrics from the same draws, which are counted once."""
    parts, count = [metric.terms(labels, predictions) for metric in metrics], len(labels)
    terms = np.concatenate(parts, axis=1)
    exact = np.dtype("float32" if terms.dtype == bool and count < EXACT_IN_FLOAT32 else "float64")
    terms = terms.astype(exact)
    size = max(1, CHUNK_BYTES // (count * exact.itemsize))
    sums = [(counts @ terms).astype("float64") for counts in _counts(iter(draws), size, count, exact)]
    whole = np.concatenate(sums) if sums else np.empty((0, terms.shape[1]))
    ends = np.cumsum([part.shape[1] for part in parts])
    return [metric.combine(own) for metric, own in zip(metrics, np.split(whole, ends[:-1], axis=1), strict=True)]


def counted(values: np.ndarray) -> np.ndarray:
    """(n, 2) what each photo adds to the mean of (n,) values: its own, and that it is one."""
    return np.stack([values, np.ones_like(values)], axis=1)


def mean_of_sums(sums: np.ndarray) -> np.ndarray:
    """(…) means of (…, 2) sums of `counted`; NaN of no photo."""
    total, count = sums[..., 0], sums[..., 1]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """(…) mean over the last axis of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def change(metric: Metric) -> Metric:
    """Difference of a metric between two sets of predictions.

    Returns:
        A metric of (n, 2, …) pairs of predictions: of the second ones minus of the first ones.
    """
    if isinstance(metric, SumMetric):

        def terms(labels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
            return np.concatenate([metric.terms(labels, pairs[:, which]) for which in (0, 1)], axis=1)

        def combine(sums: np.ndarray) -> np.ndarray:
            before, after = np.split(sums, 2, axis=-1)
            return np.asarray(metric.combine(after) - metric.combine(before))

        return SumMetric(terms, combine)
    return lambda labels, pairs: float(metric(labels, pairs[:, 1]) - metric(labels, pairs[:, 0]))


def _counts(draws: Iterator[np.ndarray], size: int, count: int, dtype: np.dtype) -> Iterator[np.ndarray]:
    """(at most `size`, `count`) how often each draw names each photo."""
    while some := list(islice(draws, size)):
        counts = np.empty((len(some), count), dtype)
        for row, draw in zip(counts, some, strict=True):
            row[:] = np.bincount(draw, minlength=count)
        yield counts
