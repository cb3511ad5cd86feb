"""Split-conformal intervals: their factors by hand, the coverage that theory promises, and bands as labels."""

from __future__ import annotations

import numpy as np
import pytest

from keras_faceattr.calibration.conformal import conformal_intervals
from keras_faceattr.errors import ConfigError
from keras_faceattr.evaluation.intervals import Intervals, spread_of
from keras_faceattr.metrics.reliability import coverage
from keras_faceattr.tasks import ScalarTask

AGE = ScalarTask("age", 0, 100, 1)


def normal(means: np.ndarray, std: float | np.ndarray) -> np.ndarray:
    """(n, 101) discretised normal distributions over the bins of `AGE`."""
    heights = np.exp(-0.5 * np.square((AGE.bins - means[:, None]) / np.broadcast_to(std, means.shape)[:, None]))
    return heights / heights.sum(axis=1, keepdims=True)


def values(ages: np.ndarray) -> np.ndarray:
    return np.stack([ages, np.ones_like(ages)], axis=1)


def test_the_spread_is_the_standard_deviation_of_the_distribution_and_at_least_half_a_step() -> None:
    said = np.zeros((2, 101))
    said[0, [20, 30]], said[1, 40] = 0.5, 1.0
    np.testing.assert_allclose(spread_of(AGE, said), [5.0, 0.5])


def test_factors_are_the_ranked_scores_that_a_share_of_the_photos_and_one_more_needs() -> None:
    # Scores 1/4, 2/4 … 99/4: the factor of a level is the score of rank level · 100.
    errors = np.arange(1, 100, dtype="float64")
    found = conformal_intervals(AGE, np.full(99, 50.0), normal(np.full(99, 50.0), 4.0), values(50 + errors / 4 * 4))
    assert found is not None and found.photos == 99
    std = spread_of(AGE, normal(np.array([50.0]), 4.0))[0]
    assert {level: round(factor * std, 6) for level, factor in found.factors.items()} == {
        0.5: 50.0, 0.8: 80.0, 0.9: 90.0, 0.95: 95.0,
    }  # fmt: skip


def test_a_level_that_so_few_photos_cannot_promise_is_left_out_and_too_few_give_none() -> None:
    few = np.linspace(30, 60, 50)
    found = conformal_intervals(AGE, few, normal(few, 3.0), values(few + 1))
    # 0.95 · 51 = 48.45 of 50 photos are there.
    assert found is not None and list(found.factors) == [0.5, 0.8, 0.9, 0.95]
    assert conformal_intervals(AGE, few[:49], normal(few[:49], 3.0), values(few[:49])) is None


@pytest.mark.parametrize("claimed", [2.0, 5.0, 15.0])
def test_coverage_on_other_photos_is_what_was_asked_however_wrong_the_claimed_certainty_is(claimed: float) -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(20, 80, 4000)
    said = truth + rng.normal(0, 5, 4000)
    distributions = normal(said, claimed)
    found = conformal_intervals(AGE, said[:2000], distributions[:2000], values(truth[:2000]))
    assert found is not None
    for level in (0.5, 0.8, 0.9, 0.95):
        bounds = found.bounds(AGE, said[2000:], spread_of(AGE, distributions[2000:]), level)
        # The standard error of two samples of 2,000 is at most 0.016.
        assert coverage(values(truth[2000:]), bounds) == pytest.approx(level, abs=0.05)


def test_a_label_that_is_a_band_counts_as_each_of_its_bins() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 69.99, 6000)
    said = truth + rng.normal(0, 6, 6000)
    low = np.floor(truth / 10) * 10
    bands = np.stack([np.full(6000, np.nan), np.ones(6000), low, low + 9], axis=1)
    distributions = normal(said, 6.0)
    found = conformal_intervals(AGE, said[:3000], distributions[:3000], bands[:3000])
    assert found is not None
    bounds = found.bounds(AGE, said[3000:], spread_of(AGE, distributions[3000:]))
    # The true ages, of which calibration knew no more than the band; it takes them to be anywhere in it.
    held = coverage(values(truth[3000:]), bounds)
    assert 0.88 <= held <= 0.97
    assert coverage(bands[3000:], bounds) < held


def test_ends_stay_within_the_range_and_an_unknown_level_is_refused() -> None:
    table = Intervals({0.9: 2.0}, 100)
    said = spread_of(AGE, normal(np.array([3.0, 98.0]), 5.0))
    bounds = table.bounds(AGE, np.array([3.0, 98.0]), said)
    assert bounds[0, 0] == 0 and bounds[1, 1] == 100 and bounds[0, 1] > 3
    with pytest.raises(ConfigError, match=r"age: no interval of level 0.8; measured: 0.9"):
        table.bounds(AGE, np.array([3.0, 98.0]), said, 0.8)
