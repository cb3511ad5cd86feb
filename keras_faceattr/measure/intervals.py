"""Intervals of quantiles, whatever the distribution of the times."""

from __future__ import annotations

import math

import numpy as np

from keras_faceattr.budget.limits import Bounds

COVERAGE = 0.95


def quantile_interval(values: np.ndarray, share: float) -> Bounds:
    """95 % interval of a quantile by order statistics.

    Args:
        values: (n,), one of each round or run.
        share: 0.5 for the median, 0.9 for the p90.

    Returns:
        Lower and upper end; None for an end that so few values do not tell: six at least for a median, 36 for the
        upper end of a p90.

    Source: Conover, Practical Nonparametric Statistics, 3.2: how many of n values lie below a quantile is binomial.
    """
    ordered = np.sort(values)
    high = _low(-ordered[::-1], 1 - share)
    return _low(ordered, share), None if high is None else -high


def _low(ordered: np.ndarray, share: float) -> float | None:
    """The largest value above which the quantile lies with the chance that one side asks for."""
    n = len(ordered)
    chances = [
        math.exp(
            math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
            + k * math.log(share) + (n - k) * math.log1p(-share)
        )
        for k in range(n)
    ]  # fmt: skip
    rank = int((np.cumsum(chances) <= (1 - COVERAGE) / 2).sum())
    return float(ordered[rank - 1]) if rank else None
