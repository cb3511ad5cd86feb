"""Bootstrap intervals: what they cover, that they repeat, and what has none."""

from __future__ import annotations

import numpy as np
import pytest

from keras_faceattr.metrics.bootstrap import bootstrap_interval
from keras_faceattr.metrics.scalar import mean_absolute_error

ZEROS = np.zeros(50)


def mean(_: np.ndarray, predictions: np.ndarray) -> float:
    return float(predictions.mean())


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    sample = np.random.default_rng(0).normal(10, 2, 400)
    low, high = bootstrap_interval(mean, np.zeros(400), sample, samples=1000)
    error = sample.std() / 20
    assert low == pytest.approx(sample.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(sample.mean() + 1.96 * error, abs=0.15 * error)


def test_about_95_of_100_intervals_cover_the_true_mean() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(150):
        low, high = bootstrap_interval(mean, ZEROS, rng.normal(3, 1, 50), samples=200, seed=seed)
        covered += low <= 3 <= high
    assert 0.88 <= covered / 150 <= 0.99


def test_less_coverage_gives_a_narrower_interval_inside() -> None:
    sample = np.random.default_rng(2).normal(0, 1, 50)
    wide = bootstrap_interval(mean, ZEROS, sample, samples=300)
    narrow = bootstrap_interval(mean, ZEROS, sample, samples=300, coverage=0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_a_seed_repeats_its_interval_and_another_seed_does_not() -> None:
    sample = np.random.default_rng(3).normal(0, 1, 50)
    first = bootstrap_interval(mean, ZEROS, sample, samples=100, seed=4)
    np.random.seed(99)
    assert bootstrap_interval(mean, ZEROS, sample, samples=100, seed=4) == first
    assert bootstrap_interval(mean, ZEROS, sample, samples=100, seed=5) != first


def test_label_and_prediction_of_a_photo_are_drawn_together() -> None:
    values = np.arange(30.0)
    labels = np.stack([values, np.ones(30)], axis=1)
    assert bootstrap_interval(mean_absolute_error, labels, values + 2.0, samples=50) == (2.0, 2.0)


def test_photos_are_drawn_with_replacement_and_as_many_as_there_are() -> None:
    seen: list[np.ndarray] = []

    def record(_: np.ndarray, predictions: np.ndarray) -> float:
        seen.append(np.sort(predictions))
        return 0.0

    bootstrap_interval(record, ZEROS, np.arange(50.0), samples=20)
    assert [len(draw) for draw in seen] == [50] * 20
    assert all(len(np.unique(draw)) < 50 for draw in seen)


def test_draws_without_a_value_are_left_out() -> None:
    def nan_without_photo_zero(_: np.ndarray, predictions: np.ndarray) -> float:
        return 7.0 if 0 in predictions else float("nan")

    assert bootstrap_interval(nan_without_photo_zero, ZEROS, np.arange(50.0), samples=100) == (7.0, 7.0)


@pytest.mark.parametrize(("count", "samples"), [(0, 100), (1, 100), (50, 0)], ids=["no photo", "one photo", "no draws"])
def test_what_has_no_interval_is_nan_without_measuring(count: int, samples: int) -> None:
    def never(_: np.ndarray, __: np.ndarray) -> float:
        raise AssertionError("the metric was asked")

    assert np.isnan(bootstrap_interval(never, ZEROS[:count], ZEROS[:count], samples=samples)).all()


def test_a_metric_without_any_value_has_a_nan_interval() -> None:
    assert np.isnan(bootstrap_interval(lambda *_: float("nan"), ZEROS, ZEROS, samples=10)).all()


# Pairs of people 7, 8 and 9: each with themselves, and each with each.
PAIRS = np.array([[7, 7], [8, 8], [9, 9], [7, 8], [9, 8], [7, 9]], "float32")


def test_people_are_drawn_and_a_pair_of_two_counts_as_often_as_both() -> None:
    seen: list[list[int]] = []

    def record(_: np.ndarray, predictions: np.ndarray) -> float:
        seen.append(np.bincount(predictions.astype(int), minlength=6).tolist())
        return 0.0

    bootstrap_interval(record, np.zeros(6), np.arange(6.0), samples=200, people=PAIRS)
    for a, b, c, ab, bc, ac in seen:
        assert a + b + c == 3 and (ab, bc, ac) == (a * b, b * c, a * c)
    # Three people are drawn in ten ways.
    assert len({tuple(draw) for draw in seen}) == 10


def test_pairs_of_few_people_tell_less_than_as_many_pairs_of_many() -> None:
    rng = np.random.default_rng(5)
    effect = rng.normal(0, 1, 40)
    pairs = np.array([(i, j) for i in range(40) for j in range(i)])
    values = effect[pairs].sum(axis=1)
    labels = np.zeros(len(values))
    narrow = np.subtract(*bootstrap_interval(mean, labels, values, samples=400)[::-1])
    wide = np.subtract(*bootstrap_interval(mean, labels, values, samples=400, people=pairs)[::-1])
    # The mean is twice the mean effect of 40 people, or seems the mean of 780 values of which each holds two effects.
    assert wide == pytest.approx(2 * 1.96 * 2 * effect.std() / np.sqrt(40), rel=0.2)
    assert narrow == pytest.approx(2 * 1.96 * np.sqrt(2) * effect.std() / np.sqrt(780), rel=0.2)


@pytest.mark.parametrize("people", [np.zeros((50, 2)), np.zeros((0, 2))], ids=["one person", "nobody"])
def test_fewer_than_two_people_have_no_interval(people: np.ndarray) -> None:
    rows = np.zeros(len(people))
    assert np.isnan(bootstrap_interval(mean, rows, rows, samples=10, people=people)).all()
