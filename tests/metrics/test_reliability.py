"""Calibration error, coverage and the error of the most certain, by hand; and an overconfident net is found out."""

from __future__ import annotations

import numpy as np
import pytest

from keras_faceattr.metrics.bootstrap import bootstrap_interval
from keras_faceattr.metrics.reliability import (
    answer_certainty,
    class_certainty,
    coverage,
    distance_of_most_certain,
    error_of_most_certain,
    expected_calibration_error,
    touched,
    width,
)

NAN = float("nan")


def test_ece_by_hand() -> None:
    # Two answers of 0.9 of which one is right, and two of 0.6 that are both right: 2/4 · 0.4 + 2/4 · 0.4.
    said = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]])
    certainty = class_certainty(np.array([[0], [0], [0], [1]]), said)
    assert expected_calibration_error(np.zeros((4, 1)), certainty) == pytest.approx(0.4)


def test_answers_without_a_label_do_not_count() -> None:
    labels, said = np.array([[1.0, NAN], [0.0, 1.0]]), np.array([[0.8, 0.99], [0.8, 0.2]])
    certainty = answer_certainty(labels, said)
    # 0.8 right, 0.8 wrong, 0.8 wrong: all in one bin, whose mean is 0.8 and whose share of right answers is 1/3.
    assert expected_calibration_error(labels, certainty) == pytest.approx(0.8 - 1 / 3)
    assert np.isnan(expected_calibration_error(labels, answer_certainty(np.full((2, 2), NAN), said)))


def test_an_overconfident_net_is_found_out_and_an_honest_one_is_not() -> None:
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.5, 1.0, 20_000)
    labels = (rng.uniform(size=20_000) < chance).astype("float64")[:, None]
    honest = expected_calibration_error(labels, answer_certainty(labels, chance[:, None]))
    logits = np.log(chance / (1 - chance))
    sure = expected_calibration_error(labels, answer_certainty(labels, 1 / (1 + np.exp(-3 * logits))[:, None]))
    assert honest < 0.015 and sure > 0.1


def test_the_interval_of_the_calibration_error_holds_the_error_although_resamples_lie_above_it() -> None:
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.5, 1.0, (2000, 1))
    labels = (rng.uniform(size=chance.shape) < chance).astype("float64")
    certainty = answer_certainty(labels, chance)
    value = expected_calibration_error(labels, certainty)
    draws = list(rng.integers(0, 2000, (400, 2000)))
    resampled = expected_calibration_error.of_draws(labels, certainty, draws)
    low, high = bootstrap_interval(expected_calibration_error, labels, certainty, 400)
    assert resampled.mean() > value and 0 <= low < value < high
    assert high - value == pytest.approx(1.96 * resampled.std(), rel=0.1)


def test_the_error_of_the_most_certain_by_hand() -> None:
    certainty = np.array([[[0.9, 1.0]], [[0.8, 0.0]], [[0.7, 0.0]], [[0.95, NAN]]])
    labels = np.zeros((4, 1))
    assert error_of_most_certain(0.75)(labels, certainty) == pytest.approx(1 / 2)
    assert error_of_most_certain(0.85)(labels, certainty) == 0
    said = np.array([[30.0, 2.0], [40.0, 9.0]])
    of_values = np.array([[33.0, 1.0], [60.0, 1.0]])
    assert (
        distance_of_most_certain(5.0)(of_values, said) == 3 and distance_of_most_certain(9.0)(of_values, said) == 11.5
    )


def test_coverage_contains_a_value_or_a_whole_band_and_touching_is_less() -> None:
    labels = np.array([[25.0, 1, 25, 25], [NAN, 1, 20, 29], [NAN, 1, 30, 39], [NAN, 1, 50, 59]])
    bounds = np.array([[20.0, 30], [20, 29], [35, 50], [60, 70]])
    assert coverage(labels, bounds) == 0.5 and touched(labels, bounds) == 0.75
    assert width(labels, bounds) == pytest.approx((10 + 9 + 15 + 10) / 4)
