"""Intervals of quantiles: by order statistics, and none where too few values tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from keras_faceattr.measure.intervals import quantile_interval


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [
        # P(no value lies below the median) = 1 / 2^n: 1 / 32 for five, 1 / 64 for six.
        (5, 0.5, (None, None)),
        (6, 0.5, (1, 6)),
        # P(at most 1 of 10) = 11 / 1024, P(at most 2) = 56 / 1024.
        (10, 0.5, (2, 9)),
        # P(all lie below the p90) = 0.9^n: 0.0250315 for 35, 0.0225 for 36.
        (35, 0.9, (28, None)),
        (36, 0.9, (29, 36)),
        (1, 0.9, (None, None)),
    ],
)
def test_the_ends_are_the_values_whose_ranks_the_binomial_distribution_gives(
    count: int, share: float, expected: tuple[float | None, float | None]
) -> None:
    values = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
    assert quantile_interval(values, share) == expected


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_ranks_of_many_values_are_those_of_scipy(share: float) -> None:
    low, high = quantile_interval(np.arange(1.0, 3001), share)
    assert low is not None and high is not None
    assert stats.binom.cdf(low - 1, 3000, share) <= 0.025 < stats.binom.cdf(low, 3000, share)
    assert stats.binom.sf(high - 1, 3000, share) <= 0.025 < stats.binom.sf(high - 2, 3000, share)


def test_the_interval_holds_the_quantile_in_19_of_20_runs() -> None:
    draws = np.random.default_rng(1).exponential(size=(400, 60))
    found = [quantile_interval(row, 0.9) for row in draws]
    inside = [low <= np.log(10) <= high for low, high in found]
    assert np.mean(inside) > 0.93
