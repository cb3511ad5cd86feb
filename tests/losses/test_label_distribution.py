"""Label distributions and their divergence, against eq. 1, 8, 9, 10 and 11 of DLDL-v2 in NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops
from tensors import f32

from keras_faceattr.losses.label_distribution import expectation, expectation_l1, kl_divergence, label_distribution
from keras_faceattr.tasks import ScalarTask, age_task, attractiveness_task

ATTRACTIVENESS, AGE = attractiveness_task().bins, age_task().bins
SMALLEST, SMALL, USUAL, WIDE, HUGE = 0.0, 1e-3, 0.5, 10.0, 1e6


def distribution(values, stds, bins) -> np.ndarray:
    return ops.convert_to_numpy(label_distribution(f32(values), f32(stds), f32(bins)))


@pytest.mark.parametrize("bins", [ATTRACTIVENESS, AGE], ids=["attractiveness", "age"])
@pytest.mark.parametrize("std", [SMALLEST, SMALL, USUAL, WIDE, HUGE])
def test_rows_sum_to_one_over_the_whole_range_and_past_its_ends(bins: np.ndarray, std: float) -> None:
    span = bins[-1] - bins[0]
    values = [bins[0], bins[-1], bins[0] + 0.37 * span, bins[0] - span, bins[-1] + span]
    rows = distribution(values, np.full(5, std), bins)
    assert rows.shape == (5, len(bins))
    assert (rows >= 0).all()
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("bins", [ATTRACTIVENESS, AGE], ids=["attractiveness", "age"])
@pytest.mark.parametrize("std_in_bins", [0.0, 0.2, 2.0, 20.0])
def test_the_peak_is_at_the_label_for_every_bin(bins: np.ndarray, std_in_bins: float) -> None:
    rows = distribution(bins, np.full(len(bins), std_in_bins * (bins[1] - bins[0])), bins)
    assert rows.argmax(axis=1).tolist() == list(range(len(bins)))


@pytest.mark.parametrize(("value", "std"), [(3.32, 0.5), (1.0, 0.7), (5.0, 0.2), (2.75, 0.05), (4.9, 3.0)])
def test_it_is_the_normal_density_normalised_over_the_bins(value: float, std: float) -> None:
    density = scipy.stats.norm.pdf(ATTRACTIVENESS, value, std)
    row = distribution([value], [std], ATTRACTIVENESS)[0]
    np.testing.assert_allclose(row, density / density.sum(), rtol=1e-3, atol=1e-7)


def test_each_photo_has_its_own_std() -> None:
    rows = distribution([3.0, 3.0], [0.2, 0.8], ATTRACTIVENESS)
    for row, std in zip(rows, (0.2, 0.8), strict=True):
        variance = (row * (ATTRACTIVENESS - 3.0) ** 2).sum()
        expected = scipy.stats.norm.pdf(ATTRACTIVENESS, 3.0, std)
        expected = (expected / expected.sum() * (ATTRACTIVENESS - 3.0) ** 2).sum()
        assert variance == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("value", "index"), [(1.0, 0), (1.04, 0), (3.32, 23), (3.38, 24), (5.0, 40), (9.0, 40)])
def test_a_std_of_zero_gives_the_nearest_bin_alone(value: float, index: int) -> None:
    row = distribution([value], [0.0], ATTRACTIVENESS)[0]
    assert row[index] == pytest.approx(1.0, abs=1e-6)
    assert np.delete(row, index).max() < 1e-6


def test_a_huge_std_gives_all_bins_alike() -> None:
    np.testing.assert_allclose(distribution([1.0], [1e9], ATTRACTIVENESS), 1 / 41, rtol=1e-4)


def test_the_expectation_of_an_inner_label_is_the_label() -> None:
    rows = distribution([3.3, 2.15, 4.0], [0.2, 0.2, 0.1], ATTRACTIVENESS)
    np.testing.assert_allclose(rows @ ATTRACTIVENESS, [3.3, 2.15, 4.0], atol=1e-4)


def test_bins_of_two_and_far_from_zero_work() -> None:
    task = ScalarTask("year", 1990.0, 2010.0, 20.0)
    np.testing.assert_allclose(distribution([2000.0, 1990.0], [5.0, 0.0], task.bins), [[0.5, 0.5], [1, 0]], atol=1e-5)


def test_divergence_equals_scipy_entropy() -> None:
    rng = np.random.default_rng(0)
    target, logits = rng.dirichlet(np.ones(41), 20), rng.normal(0, 3, (20, 41))
    expected = scipy.stats.entropy(target, scipy.special.softmax(logits, axis=1), axis=1)
    got = ops.convert_to_numpy(kl_divergence(f32(target), f32(logits)))
    assert got.shape == (20,)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_bins_without_target_probability_add_nothing_to_the_divergence() -> None:
    target = np.array([[0.0, 0.25, 0.75, 0.0]])
    logits = np.array([[4.0, 1.0, -2.0, 0.5]])
    expected = scipy.stats.entropy(target[0], scipy.special.softmax(logits[0]))
    assert float(kl_divergence(f32(target), f32(logits))[0]) == pytest.approx(expected, rel=1e-5)


def test_divergence_of_equal_distributions_is_zero() -> None:
    rows = distribution([1.0, 3.3, 5.0, 2.0], [0.5, 0.5, 0.1, HUGE], ATTRACTIVENESS)
    same = kl_divergence(f32(rows), f32(np.log(np.maximum(rows, 1e-30)) + 7.0))
    np.testing.assert_allclose(ops.convert_to_numpy(same), 0.0, atol=1e-5)


def test_divergence_is_never_negative() -> None:
    rng = np.random.default_rng(1)
    target = rng.dirichlet(np.full(101, 0.1), 300)
    logits = np.log(np.maximum(target, 1e-12)) + rng.normal(0, 1e-2, target.shape)
    assert ops.convert_to_numpy(kl_divergence(f32(target), f32(logits))).min() > -1e-6


def test_divergence_is_finite_and_exact_for_extreme_logits() -> None:
    target = [[1.0, 0.0], [0.0, 1.0]]
    got = ops.convert_to_numpy(kl_divergence(f32(target), f32([[-1000.0, 1000.0]] * 2)))
    np.testing.assert_allclose(got, [2000.0, 0.0], atol=1e-6)


def test_expectation_by_hand() -> None:
    probabilities = [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    got = ops.convert_to_numpy(expectation(f32(probabilities), f32([1.0, 2.0, 4.0])))
    np.testing.assert_allclose(got, [0.2 + 0.6 + 2.0, 1.0, 4.0], rtol=1e-6)


def test_expectation_l1_is_the_distance_of_the_softmax_mean_either_way() -> None:
    logits = np.log([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]]) + 3.0
    got = ops.convert_to_numpy(expectation_l1(f32([1.8, 3.8]), f32(logits), f32([1.0, 2.0, 4.0])))
    np.testing.assert_allclose(got, [1.0, 1.0], rtol=1e-5)
