"""Errors of scalar predictions (DLDL-v2, eq. 19 to 22) by hand and against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from keras_faceattr.metrics.scalar import (
    band_accuracy,
    band_masses,
    band_of,
    cumulative_score,
    epsilon_error,
    interval_distance,
    likeliest_bands,
    mean_absolute_error,
    pearson_correlation,
    root_mean_squared_error,
)


def labelled(values, stds=1.0) -> np.ndarray:
    values = np.asarray(values, "float64")
    return np.stack([values, np.broadcast_to(stds, values.shape)], axis=1)


LABELS, PREDICTIONS = labelled([1.0, 2.0, 3.0, 4.0]), np.array([1.5, 2.0, 1.0, 5.0])


def test_mae_by_hand() -> None:
    assert mean_absolute_error(LABELS, PREDICTIONS) == pytest.approx((0.5 + 0 + 2 + 1) / 4)


def test_rmse_by_hand() -> None:
    assert root_mean_squared_error(LABELS, PREDICTIONS) == pytest.approx(((0.25 + 0 + 4 + 1) / 4) ** 0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pc_equals_scipy(dtype: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 1, 500).astype(dtype)
    predictions = (0.6 * values + rng.normal(0, 0.7, 500)).astype(dtype)
    expected = scipy.stats.pearsonr(values.astype("float64"), predictions.astype("float64")).statistic
    got = pearson_correlation(np.stack([values, values], 1), predictions)
    assert got == pytest.approx(expected, abs=1e-5)


def test_pc_is_one_for_a_rising_line_and_minus_one_for_a_falling_one() -> None:
    assert pearson_correlation(LABELS, 7 + 0.1 * LABELS[:, 0]) == pytest.approx(1.0)
    assert pearson_correlation(LABELS, 7 - 0.1 * LABELS[:, 0]) == pytest.approx(-1.0)


def test_pc_is_of_the_whole_set_not_a_mean_over_batches() -> None:
    values = np.array([1.0, 2.0, 11.0, 12.0])
    predictions = np.array([2.0, 1.0, 12.0, 11.0])
    halves = [pearson_correlation(labelled(values[i : i + 2]), predictions[i : i + 2]) for i in (0, 2)]
    assert halves == pytest.approx([-1.0, -1.0])
    # Deviations ±5.5 and ±4.5, crossed: 4 · 5.5 · 4.5 of 2 · (5.5² + 4.5²).
    assert pearson_correlation(labelled(values), predictions) == pytest.approx(99 / 101)


def test_rmse_is_of_the_whole_set_not_a_mean_over_batches() -> None:
    labels, predictions = labelled([0.0, 0.0]), np.array([0.0, 2.0])
    assert root_mean_squared_error(labels, predictions) == pytest.approx(2**0.5)


def test_pc_is_nan_where_predictions_are_all_zero() -> None:
    with np.errstate(all="raise"):
        assert np.isnan(pearson_correlation(LABELS, np.zeros(4)))


@pytest.mark.parametrize("count", [7, 12])
def test_pc_is_nan_where_labels_and_predictions_are_all_alike(count: int) -> None:
    labels, predictions = labelled(np.full(count, 0.7)), np.full(count, 3.3)
    assert np.isnan(pearson_correlation(labels, predictions))


def test_pc_is_nan_where_only_the_predictions_are_all_alike() -> None:
    values = np.linspace(1, 5, 13).astype("float32")
    assert np.isnan(pearson_correlation(np.stack([values, values], 1), np.full(13, 3.3, "float32")))


def test_epsilon_error_by_hand_with_each_photos_own_std() -> None:
    # Off by 1 σ, 2 σ, 0 σ and half a σ.
    labels = labelled([10.0, 20.0, 30.0, 40.0], [2.0, 3.0, 1.0, 4.0])
    predictions = np.array([12.0, 14.0, 30.0, 42.0])
    expected = np.mean([1 - np.exp(-0.5), 1 - np.exp(-2.0), 0.0, 1 - np.exp(-0.125)])
    assert epsilon_error(labels, predictions) == pytest.approx(expected)


def test_epsilon_error_with_a_std_of_zero_is_0_for_a_hit_and_1_for_a_miss() -> None:
    labels = labelled([3.0, 3.0], 0.0)
    assert epsilon_error(labels, np.array([3.0, 3.0])) == 0.0
    assert epsilon_error(labels, np.array([3.0, 3.1])) == pytest.approx(0.5)


def test_cumulative_score_counts_the_boundary() -> None:
    labels, predictions = labelled([50.0, 50.0, 50.0, 50.0]), np.array([55.0, 45.0, 55.1, 44.9])
    assert cumulative_score(5.0)(labels, predictions) == 0.5


def test_cumulative_score_counts_a_boundary_of_decimals_in_both_directions() -> None:
    labels, predictions = labelled([3.3, 3.3, 3.3]), np.array([3.05, 3.55, 3.56])
    assert cumulative_score(0.25)(labels, predictions) == pytest.approx(2 / 3)


def test_cumulative_score_rises_with_k() -> None:
    scores = [cumulative_score(k)(LABELS, PREDICTIONS) for k in (0.0, 0.5, 1.0, 2.0)]
    assert scores == [0.25, 0.5, 0.75, 1.0]


def test_cumulative_score_counts_the_boundary_of_float32_ages() -> None:
    ages = np.array([67.8, 68.8, 34.9, 36.9], "float32")
    predictions = np.array([62.8, 63.8, 29.9, 31.9], "float32")
    assert cumulative_score(5.0)(np.stack([ages, ages], 1), predictions) == 1.0


@pytest.mark.parametrize(
    ("metric", "expected"),
    [(mean_absolute_error, 0.0), (root_mean_squared_error, 0.0), (epsilon_error, 0.0), (pearson_correlation, 1.0)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_perfect_predictions_have_no_error(metric, expected: float) -> None:
    assert metric(LABELS, LABELS[:, 0]) == pytest.approx(expected)


BANDS = np.array([[0.0, 2.0], [3.0, 9.0], [10.0, 19.0], [30.0, 40.0]])
MIXED = np.array(
    [[np.nan, 1, 3, 9], [np.nan, 1, 10, 19], [35.0, 1, np.nan, np.nan], [np.nan, 1, 0, 2], [1.0, 1, np.nan, np.nan]]
)
"""Intervals, and two values between them."""

SAID = np.array([9.4, 25.0, 10.0, 5.0, 1.5])


def test_the_distance_to_an_interval_is_0_inside_and_the_error_of_a_value() -> None:
    assert interval_distance(MIXED, SAID) == pytest.approx((0.4 + 6 + 25 + 3 + 0.5) / 5)


def test_a_value_belongs_to_the_band_that_it_is_nearest_to() -> None:
    assert list(band_of(BANDS, np.array([-1.0, 2.4, 2.5, 2.6, 9.5, 24.0, 25.0, 99.0]))) == [0, 0, 0, 1, 1, 2, 3, 3]


def test_band_and_one_off_accuracy_by_hand() -> None:
    # Right, one too high, one too low, one too high, right.
    assert band_accuracy(BANDS)(MIXED, SAID) == pytest.approx(2 / 5)
    assert band_accuracy(BANDS, off=1)(MIXED, SAID) == 1.0
    assert band_accuracy(BANDS, off=1)(MIXED, np.array([30.0, 0, 0, 0, 0])) == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    "metric",
    [mean_absolute_error, root_mean_squared_error, pearson_correlation, epsilon_error, cumulative_score(3.0)],
)
def test_metrics_of_values_pass_over_photos_that_have_an_interval(metric) -> None:
    rng = np.random.default_rng(0)
    labels = np.concatenate([labelled(rng.normal(30, 9, 40), 2.0), np.full((40, 2), np.nan)], axis=1)
    predictions = labels[:, 0] + rng.normal(0, 4, 40)
    others = np.tile([np.nan, 2.0, 3.0, 9.0], (25, 1))
    mixed = np.concatenate([labels[:20], others, labels[20:]])
    said = np.concatenate([predictions[:20], rng.normal(0, 50, 25), predictions[20:]])
    assert metric(mixed, said) == pytest.approx(metric(labels[:, :2], predictions), rel=1e-9)


def test_the_likeliest_band_is_that_of_the_largest_mass() -> None:
    bands, bins = np.array([[0, 2], [4, 5], [8, 9]]), np.arange(10.0)
    said = np.zeros((3, 10))
    said[0, [1, 4, 5]] = 0.5, 0.3, 0.2  # halves: the lower band
    said[1, [0, 4, 9]] = 0.34, 0.33, 0.33
    said[2, [3, 7, 6]] = 0.3, 0.35, 0.35  # 3 is as near to 2 as to 4; 7 is next to 8, and 6 to 5
    np.testing.assert_allclose(band_masses(bands, bins, said), [[0.5, 0.5, 0], [0.34, 0.33, 0.33], [0.3, 0.35, 0.35]])
    np.testing.assert_array_equal(likeliest_bands(bands, bins, said), [1.0, 1.0, 4.5])
