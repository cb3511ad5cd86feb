"""Accuracies and confusions against scikit-learn and by hand, with labels missing here and there."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, recall_score

from keras_faceattr.metrics.classification import (
    accuracy,
    attribute_accuracies,
    attribute_balanced_accuracies,
    balanced_accuracy,
    binary_accuracy,
    binary_balanced_accuracy,
    confusion,
)

NAN = float("nan")


def unbalanced(count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (n, 1), probabilities (n, 4) and their likeliest classes."""
    rng = np.random.default_rng(0)
    labels = rng.choice(4, count, p=[0.7, 0.2, 0.07, 0.03])
    probabilities = rng.dirichlet(np.ones(4), count) + 0.5 * np.eye(4)[labels]
    return labels[:, None].astype("float32"), probabilities, probabilities.argmax(axis=1)


def test_confusion_has_true_rows_and_predicted_columns() -> None:
    labels, probabilities, predicted = unbalanced()
    got = confusion(labels, probabilities)
    np.testing.assert_array_equal(got, confusion_matrix(labels[:, 0], predicted, labels=range(4)))
    assert not np.array_equal(got, got.T)


def test_confusion_keeps_classes_that_never_occur() -> None:
    got = confusion(np.array([[0.0], [0.0], [1.0]]), np.eye(5)[[0, 1, 1]])
    assert got.shape == (5, 5)
    assert got[0].tolist() == [1, 1, 0, 0, 0]
    assert got.sum() == 3


def test_accuracy_equals_scikit_learn() -> None:
    labels, probabilities, predicted = unbalanced()
    assert accuracy(labels, probabilities) == pytest.approx(accuracy_score(labels[:, 0], predicted))


def test_balanced_accuracy_equals_scikit_learn() -> None:
    labels, probabilities, predicted = unbalanced()
    expected = balanced_accuracy_score(labels[:, 0], predicted)
    assert balanced_accuracy(labels, probabilities) == pytest.approx(expected)
    assert abs(expected - accuracy(labels, probabilities)) > 0.01


def test_balanced_accuracy_is_of_the_whole_set_not_a_mean_over_batches() -> None:
    labels, probabilities = np.array([[0.0], [0.0], [0.0], [1.0]]), np.eye(2)[[0, 1, 0, 1]]
    halves = np.mean([balanced_accuracy(labels[i : i + 2], probabilities[i : i + 2]) for i in (0, 2)])
    assert halves == pytest.approx(0.75)
    assert balanced_accuracy(labels, probabilities) == pytest.approx((2 / 3 + 1) / 2)


def test_balanced_accuracy_leaves_out_classes_that_do_not_occur() -> None:
    labels, probabilities = np.array([[0.0], [0.0], [2.0]]), np.eye(4)[[0, 3, 2]]
    assert balanced_accuracy(labels, probabilities) == pytest.approx((0.5 + 1) / 2)


def test_always_answering_the_commonest_class_is_accurate_but_not_balanced() -> None:
    labels, probabilities = np.array([[0.0]] * 9 + [[1.0]]), np.eye(2)[[0] * 10]
    assert accuracy(labels, probabilities) == pytest.approx(0.9)
    assert balanced_accuracy(labels, probabilities) == pytest.approx(0.5)


def yes_no() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = (rng.random((200, 3)) < [0.1, 0.5, 0.8]).astype("float32")
    return labels, np.clip(0.35 * labels + rng.random((200, 3)) * 0.7, 0, 1)


def test_yes_no_metrics_equal_scikit_learn_attribute_by_attribute() -> None:
    labels, chances = yes_no()
    columns = [(labels[:, i], chances[:, i] >= 0.5) for i in range(3)]
    shares = [accuracy_score(true, predicted) for true, predicted in columns]
    assert len(set(shares)) == 3
    np.testing.assert_allclose(attribute_accuracies(labels, chances), shares)
    assert binary_accuracy(labels, chances) == pytest.approx(np.mean(shares))
    balanced = [balanced_accuracy_score(true, predicted) for true, predicted in columns]
    np.testing.assert_allclose(attribute_balanced_accuracies(labels, chances), balanced)
    assert binary_balanced_accuracy(labels, chances) == pytest.approx(np.mean(balanced))


def test_missing_labels_of_an_attribute_are_left_out_of_its_share() -> None:
    labels, chances = yes_no()
    labels[:80, 0] = NAN
    labels[120:, 2] = NAN
    kept = [(0, slice(80, None)), (1, slice(None)), (2, slice(None, 120))]
    columns = [(labels[rows, i], chances[rows, i] >= 0.5) for i, rows in kept]
    shares = [accuracy_score(true, predicted) for true, predicted in columns]
    np.testing.assert_allclose(attribute_accuracies(labels, chances), shares)
    assert binary_accuracy(labels, chances) == pytest.approx(np.mean(shares))
    balanced = [balanced_accuracy_score(true, predicted) for true, predicted in columns]
    assert binary_balanced_accuracy(labels, chances) == pytest.approx(np.mean(balanced))


def test_an_attribute_that_nobody_labelled_is_nan_and_counts_for_no_mean() -> None:
    labels, chances = np.array([[1.0, NAN], [0.0, NAN]]), np.array([[0.9, 0.9], [0.8, 0.1]])
    np.testing.assert_array_equal(attribute_accuracies(labels, chances), [0.5, NAN])
    assert binary_accuracy(labels, chances) == 0.5
    assert binary_balanced_accuracy(labels, chances) == 0.5


def test_an_attribute_with_one_answer_only_counts_with_that_answers_rate() -> None:
    labels, chances = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[0.9, 0.2], [0.1, 0.9]])
    rates = [recall_score([1, 1], [1, 0]), 1.0]
    assert binary_balanced_accuracy(labels, chances) == pytest.approx(np.mean(rates))


def test_one_half_counts_as_yes() -> None:
    assert attribute_accuracies(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])).tolist() == [1.0, 0.0]


def test_each_attribute_weighs_the_same_however_many_photos_it_has() -> None:
    labels = np.array([[1.0, 1.0], [1.0, NAN], [1.0, NAN], [1.0, NAN]])
    chances = np.array([[0.9, 0.1], [0.9, 0.9], [0.9, 0.9], [0.9, 0.9]])
    assert binary_accuracy(labels, chances) == 0.5
