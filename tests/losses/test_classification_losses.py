"""Cross-entropies against NumPy, SciPy and scikit-learn, and at logits where a naive formula overflows."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
from keras import ops
from sklearn.metrics import log_loss
from tensors import f32

from keras_faceattr.losses.classification import binary_cross_entropy, cross_entropy, nearest_bin_cross_entropy
from keras_faceattr.tasks import attractiveness_task

BINS = attractiveness_task().bins


def test_cross_entropy_is_minus_the_log_of_the_class_probability() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (7, 5))
    classes = np.array([0, 4, 2, 2, 1, 3, 0])
    got = ops.convert_to_numpy(cross_entropy(f32(classes), f32(logits)))
    chance = scipy.special.softmax(logits, axis=1)
    np.testing.assert_allclose(got, -np.log(chance[np.arange(7), classes]), rtol=1e-5)
    assert got.mean() == pytest.approx(log_loss(classes, chance, labels=range(5)), rel=1e-5)


def test_smoothing_spreads_its_share_evenly_over_all_classes() -> None:
    logits = np.array([[1.0, -2.0, 0.5, 0.0]])
    log_chance = scipy.special.log_softmax(logits[0])
    # A smoothing of 0.2 over 4 classes leaves 0.8 + 0.05 to the right one and 0.05 to each other.
    expected = -(0.85 * log_chance[2] + 0.05 * (log_chance[0] + log_chance[1] + log_chance[3]))
    assert float(cross_entropy(f32([2]), f32(logits), 0.2)[0]) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_is_exact_at_logits_of_a_thousand() -> None:
    logits = [[1000.0, -1000.0, 0.0]] * 3
    got = ops.convert_to_numpy(cross_entropy(f32([0, 1, 2]), f32(logits)))
    np.testing.assert_allclose(got, [0.0, 2000.0, 1000.0], atol=1e-4)


def test_binary_cross_entropy_of_both_answers_element_by_element() -> None:
    logits = np.random.default_rng(1).normal(0, 4, (6, 3))
    labels = np.random.default_rng(2).integers(0, 2, (6, 3))
    chance = scipy.special.expit(logits)
    expected = -(labels * np.log(chance) + (1 - labels) * np.log1p(-chance))
    got = ops.convert_to_numpy(binary_cross_entropy(f32(labels), f32(logits)))
    assert got.shape == (6, 3)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_binary_cross_entropy_of_an_undecided_logit_is_log_two() -> None:
    got = ops.convert_to_numpy(binary_cross_entropy(f32([0.0, 1.0]), f32([0.0, 0.0])))
    np.testing.assert_allclose(got, np.log(2.0), rtol=1e-6)


def test_binary_cross_entropy_is_exact_at_logits_of_a_thousand() -> None:
    got = binary_cross_entropy(f32([1, 0, 1, 0]), f32([1000.0, -1000.0, -1000.0, 1000.0]))
    np.testing.assert_allclose(ops.convert_to_numpy(got), [0.0, 0.0, 1000.0, 1000.0], atol=1e-6)


@pytest.mark.parametrize(
    ("label", "index"),
    [(1.0, 0), (1.04, 0), (1.06, 1), (3.3, 23), (3.34, 23), (3.36, 24), (5.0, 40), (0.2, 0), (7.0, 40)],
)
def test_the_class_is_the_bin_nearest_to_the_label(label: float, index: int) -> None:
    logits = np.random.default_rng(3).normal(0, 2, (1, 41))
    got = float(nearest_bin_cross_entropy(f32([label]), f32(logits), f32(BINS))[0])
    assert got == pytest.approx(-scipy.special.log_softmax(logits[0])[index], rel=1e-4)
