"""Ranking by K − 1 classifiers (DLDL-v2, sections 3.2 and 4.5.4): targets by hand, loss and decoding in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
from keras import ops
from tensors import f32

from keras_faceattr.losses.ranking import ranking_loss, ranking_targets
from keras_faceattr.models.decoding import ranking
from keras_faceattr.tasks import ScalarTask, age_task, attractiveness_task

ATTRACTIVENESS = attractiveness_task().bins
FOUR = [0.0, 1.0, 2.0, 3.0]


def targets(values, bins) -> np.ndarray:
    return ops.convert_to_numpy(ranking_targets(f32(values), f32(bins)))


def value(logits, bins) -> np.ndarray:
    task = ScalarTask("x", float(bins[0]), float(bins[-1]), round(float(bins[1] - bins[0]), 6))
    return ops.convert_to_numpy(ranking(task, f32(logits))["x"])


def distribution(logits) -> np.ndarray:
    task = ScalarTask("x", 0.0, float(np.shape(logits)[1]), 1.0)
    return ops.convert_to_numpy(ranking(task, f32(logits))["x_distribution"])


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0.0, [0, 0, 0]),
        (0.5, [1, 0, 0]),
        (1.0, [1, 0, 0]),
        (1.01, [1, 1, 0]),
        (2.0, [1, 1, 0]),
        (2.5, [1, 1, 1]),
        (3.0, [1, 1, 1]),
        (-4.0, [0, 0, 0]),
        (9.0, [1, 1, 1]),
    ],
)
def test_a_label_in_the_kth_interval_has_k_minus_one_ones(label: float, expected: list[int]) -> None:
    assert targets([label], FOUR).tolist() == [expected]


def test_3_3_on_bins_of_a_tenth_is_the_24th_bin_whatever_the_rounding() -> None:
    neighbours = [np.nextafter(np.float32(3.3), np.float32(end)) for end in (0, 9)]
    for label in (3.3, *neighbours):
        row = targets([label], ATTRACTIVENESS)[0]
        assert row.tolist() == [1] * 23 + [0] * 17


@pytest.mark.parametrize(
    ("task", "places"),
    [(attractiveness_task(), 1), (attractiveness_task(7.0), 1), (age_task(), 0), (ScalarTask("x", -3.0, 3.0, 0.25), 2)],
    ids=["1 to 5", "1 to 7", "age", "-3 to 3"],
)
def test_a_label_on_a_bin_does_not_lie_above_it(task: ScalarTask, places: int) -> None:
    labels = [float(f"{b:.{places}f}") for b in task.bins]
    assert targets(labels, task.bins).sum(axis=1).tolist() == list(range(len(task.bins)))


def test_the_loss_is_the_sum_of_the_binary_cross_entropies() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (2, 3))
    expected_targets = np.array([[1, 0, 0], [1, 1, 1]])
    chance = scipy.special.expit(logits)
    expected = -(expected_targets * np.log(chance) + (1 - expected_targets) * np.log(1 - chance)).sum(axis=1)
    got = ops.convert_to_numpy(ranking_loss(f32([1.0, 2.2]), f32(logits), f32(FOUR)))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([-5, -5, -5], 0.0),
        ([5, -5, -5], 1.0),
        ([5, 3, -2], 2.0),
        ([5, 3, 2], 3.0),
        ([5, -3, 2], 2.0),
        ([-5, -3, 2], 1.0),
        ([5, 0, -5], 1.0),
    ],
    ids=["none", "one", "two", "all", "gap", "last alone", "one half is not above one half"],
)
def test_the_value_is_the_bin_at_the_number_of_classifiers_above_one_half(logits: list, expected: float) -> None:
    assert value([logits], FOUR).tolist() == [expected]


@pytest.mark.parametrize("task", [attractiveness_task(), age_task()], ids=lambda task: task.name)
def test_decoding_inverts_the_targets_of_every_bin(task: ScalarTask) -> None:
    logits = 20.0 * (targets(task.bins, task.bins) - 0.5)
    np.testing.assert_allclose(value(logits, task.bins), task.bins, atol=1e-5)


def test_the_highest_value_is_not_above_the_range() -> None:
    assert value(np.full((1, 40), 9.0), ATTRACTIVENESS)[0] <= 5.0


def test_the_distribution_takes_the_steps_between_the_tail_probabilities() -> None:
    tail = np.array([[0.9, 0.6, 0.1]])
    np.testing.assert_allclose(distribution(scipy.special.logit(tail)), [[0.1, 0.3, 0.5, 0.1]], atol=1e-6)


def test_the_tail_sums_of_the_distribution_are_the_classifiers_probabilities() -> None:
    logits = np.sort(np.random.default_rng(2).normal(0, 3, (6, 40)), axis=1)[:, ::-1]
    rows = distribution(logits)
    np.testing.assert_allclose(1 - rows.cumsum(axis=1)[:, :-1], scipy.special.expit(logits), atol=1e-5)


def test_a_contradicting_classifier_gets_no_probability_and_the_rest_is_normalised() -> None:
    # Steps 1 − .5, .5 − .8 < 0, .8 − .2 and .2 − 0 sum to 1.3 without the negative one.
    got = distribution(scipy.special.logit(np.array([[0.5, 0.8, 0.2]])))
    np.testing.assert_allclose(got, [[0.5 / 1.3, 0.0, 0.6 / 1.3, 0.2 / 1.3]], atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1000.0])
def test_the_distribution_sums_to_one_for_any_logits(scale: float) -> None:
    rows = distribution(scale * np.random.default_rng(3).choice([-1.0, 1.0], (16, 40)))
    assert rows.shape == (16, 41)
    assert (rows >= 0).all()
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-5)
