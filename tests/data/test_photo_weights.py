"""Weights of photos: means over labels whatever the device, classes that count more, and balanced batches."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from keras_faceattr.config import TaskConfig
from keras_faceattr.data.mixing import mixed_order, strata_of
from keras_faceattr.data.targets import class_factors, label_counts, photo_weights
from keras_faceattr.errors import ConfigError
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, age_task

NAN = float("nan")
MOOD = CategoricalTask("mood", ("calm", "glad", "sad"))
MOODS = np.array([[0], [0], [1], [NAN], [2], [0]], "float32")


def test_weighted_means_of_two_halves_add_up_to_the_mean_over_all_labels() -> None:
    labels = np.array([[1, 2], [NAN, 2], [NAN, 2], [4, 2], [5, 2], [NAN, 2]], "float32")
    losses = np.arange(6.0)
    weights = photo_weights(label_counts(age_task(), labels))
    halves = [np.sum((weights * losses)[half]) / 3 for half in (slice(0, 3), slice(3, 6))]
    assert np.mean(halves) == pytest.approx(np.mean(losses[[0, 3, 4]]))


def test_a_photo_counts_by_how_many_of_its_attributes_are_labelled() -> None:
    worn = MultilabelTask("worn", ("hat", "scarf"))
    counts = label_counts(worn, np.array([[1, 0], [NAN, 1], [NAN, NAN]], "float32"))
    assert counts.tolist() == [2, 1, 0]
    assert photo_weights(counts).tolist() == [2, 1, 0]


def test_a_batch_without_labels_weighs_nothing() -> None:
    assert photo_weights(np.zeros(3, "float32")).tolist() == [0, 0, 0]


def test_balanced_class_weights_are_those_of_scikit_learn() -> None:
    known = ~np.isnan(MOODS[:, 0])
    factors = class_factors(MOOD, MOODS, "balanced")
    np.testing.assert_allclose(factors[known], compute_sample_weight("balanced", MOODS[known, 0]), rtol=1e-6)
    assert factors[3] == 1


def test_class_weights_by_name_and_one_for_the_others() -> None:
    assert class_factors(MOOD, MOODS, {"sad": 3.0, "calm": 0.5}).tolist() == [0.5, 0.5, 1, 1, 3, 0.5]
    smile = np.array([[1], [0], [NAN]], "float32")
    assert class_factors(BinaryTask("smile"), smile, TaskConfig(class_weights={1: 4}).class_weights).tolist() == [
        4,
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("task", "weights", "message"),
    [
        (MOOD, {"happy": 2.0}, "tasks.mood.class_weights: no class 'happy'; .*valid: calm, glad, sad"),
        (age_task(), "balanced", "tasks.age.class_weights: a scalar task has no classes"),
    ],
)
def test_weights_that_fit_no_class_are_refused(task: object, weights: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        class_factors(task, MOODS, weights)


def test_balanced_batches_show_rare_classes_as_often_and_unlabelled_photos_as_before() -> None:
    labels = np.array([[0]] * 70 + [[1]] * 8 + [[2]] * 2 + [[NAN]] * 20, "float32")
    strata, shares = strata_of(MOOD, labels)
    np.testing.assert_allclose(shares, [0.8 / 3] * 3 + [0.2])
    order = mixed_order(strata, shares, 10, 30, 0, 0)
    counts = np.bincount(strata[order], minlength=4)
    np.testing.assert_allclose(counts, 300 * shares, atol=1)


def test_a_scalar_is_balanced_by_tenths_of_its_range_that_hold_photos() -> None:
    strata, shares = strata_of(age_task(), np.array([[0, 1], [9.9, 1], [10, 1], [100, 1], [NAN, 1]], "float32"))
    assert strata.tolist() == [0, 0, 1, 2, 3]
    np.testing.assert_allclose(shares, [0.8 / 3] * 3 + [0.2])


def test_attributes_cannot_balance_a_batch() -> None:
    with pytest.raises(ConfigError, match="training.balanced_by: worn is multilabel"):
        strata_of(MultilabelTask("worn", ("hat", "scarf")), np.zeros((2, 2)))
