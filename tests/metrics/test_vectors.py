"""Metrics of vectors, against NumPy and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
from sklearn.metrics.pairwise import cosine_similarity

from keras_faceattr.errors import DataError
from keras_faceattr.metrics import metrics_of
from keras_faceattr.metrics.vectors import (
    FOLDS,
    PAIRS,
    mean_cosine,
    pair_accuracy,
    pair_auc,
    pair_tar_at_far,
    pairs_of,
)
from keras_faceattr.tasks import EmbeddingTask, IdentityTask


def scored(same: int, different: int, gap: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(pairs, 4) labels and (pairs, 1) predictions that tell a little; the folds take turns within each kind."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(same + different) < same)
    fold = np.where(truth, np.cumsum(truth), np.cumsum(~truth)) % FOLDS
    people = np.stack([np.arange(len(truth)), np.arange(len(truth))], axis=1)
    return np.column_stack([truth, fold, people]).astype("float32"), np.tanh(rng.normal(gap * truth, 1.0))[:, None]


def crowd(people: int, photos: int, spread: float, dimension: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and vectors of people, whose photos lie about a direction of their own."""
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(people, dtype="float32"), photos)
    centres = rng.normal(size=(people, dimension))[numbers.astype(int)]
    return numbers[:, None], centres + spread * rng.normal(size=centres.shape)


def test_few_photos_make_all_their_pairs_of_one_person_and_as_many_of_two() -> None:
    numbers = np.array([[0], [1], [0], [2], [1]], "float32")
    vectors = np.random.default_rng(0).normal(size=(5, 3))
    labels, predictions = pairs_of(numbers, vectors)
    assert labels.shape == (4, 4) and predictions.shape == (4, 1) and labels.dtype == np.float32
    cosines = predictions[:, 0]
    expected = cosine_similarity(vectors)
    np.testing.assert_allclose(sorted(cosines[labels[:, 0] == 1]), sorted([expected[0, 2], expected[1, 4]]), rtol=1e-5)
    others = [expected[i, j] for i in range(5) for j in range(i) if numbers[i] != numbers[j]]
    for cosine in cosines[labels[:, 0] == 0]:
        assert np.isclose(cosine, others, rtol=1e-5).any()


def test_many_photos_make_as_many_pairs_as_lfw_and_always_the_same() -> None:
    numbers, vectors = crowd(40, 20, 1.0)
    labels, cosines = pairs_of(numbers, vectors)
    # LFW's protocol: 3000 pairs of either kind.
    assert PAIRS == len(labels) == 6000 and labels[:, 0].sum() == 3000
    again = pairs_of(numbers, vectors)
    np.testing.assert_array_equal(again[0], labels)
    np.testing.assert_array_equal(again[1], cosines)
    # Other vectors of the same photos are compared in the same pairs.
    np.testing.assert_allclose(pairs_of(numbers, -3 * vectors)[1][:, 0], cosines[:, 0], atol=1e-6)


@pytest.mark.parametrize("numbers", [[[0], [0], [0]], [[0], [1], [2]]])
def test_one_person_or_nobody_twice_makes_no_pairs(numbers: list[list[float]]) -> None:
    with pytest.raises(DataError, match="verification needs") as error:
        pairs_of(np.array(numbers, "float32"), np.ones((3, 2)))
    assert "\n" not in str(error.value)


def test_vectors_that_tell_people_perfectly_are_right_everywhere() -> None:
    labels, cosines = pairs_of(*crowd(8, 10, 0.01))
    assert pair_accuracy(labels, cosines) == pair_auc(labels, cosines) == pair_tar_at_far(labels, cosines, 0.001) == 1.0


def test_vectors_that_tell_nothing_are_right_by_chance() -> None:
    numbers, _ = crowd(40, 20, 1.0)
    vectors = np.random.default_rng(1).normal(size=(len(numbers), 16))
    labels, cosines = pairs_of(numbers, vectors)
    assert pair_accuracy(labels, cosines) == pytest.approx(0.5, abs=0.03)
    assert pair_auc(labels, cosines) == pytest.approx(0.5, abs=0.03)
    assert pair_tar_at_far(labels, cosines, 0.01) < 0.05


def test_the_area_is_scikit_learns() -> None:
    labels, cosines = scored(150, 250)
    assert pair_auc(labels, cosines) == pytest.approx(sklearn.metrics.roc_auc_score(labels[:, 0], cosines[:, 0]))


@pytest.mark.parametrize("far", [0.01, 0.001])
def test_the_share_accepted_is_that_of_scikit_learns_curve(far: float) -> None:
    labels, cosines = scored(500, 2000, gap=2)
    fars, tars, _ = sklearn.metrics.roc_curve(labels[:, 0], cosines[:, 0], drop_intermediate=False)
    assert pair_tar_at_far(labels, cosines, far) == tars[fars <= far].max() > 0


def test_accuracy_is_near_that_of_the_best_threshold_and_not_above_it() -> None:
    labels, cosines = scored(300, 300, gap=2)
    best = max(((cosines[:, 0] >= threshold) == labels[:, 0]).mean() for threshold in cosines[:, 0])
    assert best - 0.03 < pair_accuracy(labels, cosines) <= best


def test_too_few_pairs_of_a_kind_are_not_measured() -> None:
    # Photos of one person make 3 and 45 pairs, and as many of two people are drawn.
    for photos, enough in ((3, False), (10, True)):
        numbers = np.append(np.zeros(photos), np.arange(1, 20)).astype("float32")[:, None]
        labels, cosines = pairs_of(numbers, np.random.default_rng(0).normal(size=(len(numbers), 4)))
        assert len(labels) == photos * (photos - 1)
        assert math.isnan(pair_accuracy(labels, cosines)) != enough
        assert not math.isnan(pair_auc(labels, cosines))
    for labels, cosines in (scored(20, 0), scored(0, 20)):
        measured = pair_accuracy(labels, cosines), pair_auc(labels, cosines), pair_tar_at_far(labels, cosines, 0.01)
        assert all(map(math.isnan, measured))


def test_a_draw_that_leaves_a_kind_of_pair_in_one_fold_alone_has_no_accuracy() -> None:
    labels, cosines = scored(30, 30)
    kept = (labels[:, 0] == 0) | (labels[:, 1] == 3)
    assert math.isnan(pair_accuracy(labels[kept], cosines[kept]))
    assert not math.isnan(pair_accuracy(labels[kept | (labels[:, 1] == 4)], cosines[kept | (labels[:, 1] == 4)]))


def test_vectors_that_are_no_numbers_are_not_measured() -> None:
    labels, cosines = scored(50, 50)
    cosines[7] = np.nan
    measured = pair_accuracy(labels, cosines), pair_auc(labels, cosines), pair_tar_at_far(labels, cosines, 0.01)
    assert all(map(math.isnan, measured))


def test_a_pair_knows_its_people_and_its_fold() -> None:
    numbers, vectors = crowd(6, 5, 1.0)
    labels, cosines = pairs_of(numbers, vectors)
    expected = cosine_similarity(vectors)
    for (same, _, one, other), [cosine] in zip(labels, cosines, strict=True):
        assert (one == other) == (same == 1)
        block = expected[np.ix_(numbers[:, 0] == one, numbers[:, 0] == other)]
        assert np.isclose(block, cosine, rtol=1e-4).any()
    for kind in (0, 1):
        _, sizes = np.unique(labels[labels[:, 0] == kind, 1], return_counts=True)
        assert len(sizes) == FOLDS and np.ptp(sizes) <= 1


def test_the_threshold_of_a_pair_is_chosen_anew_in_each_draw_and_never_on_the_pair_itself() -> None:
    labels, cosines = scored(40, 40, gap=1.5)
    drawn = np.random.default_rng(3).integers(0, 80, 80)
    labels, scores = labels[drawn], cosines[drawn, 0].astype("float64")
    same, fold = labels[:, 0] == 1, labels[:, 1]
    right = []
    for tested in range(FOLDS):
        seen = np.sort(np.unique(scores[fold != tested]))[::-1]
        # Between neighbours, and beyond both ends; the highest of the best.
        cuts = np.concatenate([[np.inf], (seen[:-1] + seen[1:]) / 2, [-np.inf]])
        hits = [((scores >= cut) == same)[fold != tested].sum() for cut in cuts]
        right += list(((scores >= cuts[int(np.argmax(hits))]) == same)[fold == tested])
    assert pair_accuracy(labels, cosines[drawn]) == pytest.approx(np.mean(right))


def test_the_mean_cosine_is_scikit_learns_whatever_the_lengths() -> None:
    rng = np.random.default_rng(0)
    targets, vectors = rng.normal(size=(2, 30, 8)).astype("float32")
    expected = np.diag(cosine_similarity(targets, vectors)).mean()
    assert mean_cosine(targets, vectors) == pytest.approx(expected, rel=1e-5)
    lengths = rng.uniform(0.1, 50, (30, 1))
    assert mean_cosine(targets * lengths, vectors / lengths) == pytest.approx(expected, rel=1e-5)


def test_mean_cosines_by_hand() -> None:
    targets = np.array([[1.0, 0], [0, 2], [3, 4]])
    assert mean_cosine(targets, targets) == pytest.approx(1)
    assert mean_cosine(targets, -targets) == pytest.approx(-1)
    # 1, 0 and (9 − 16) / 25.
    assert mean_cosine(targets, np.array([[5.0, 0], [7, 0], [3, -4]])) == pytest.approx((1 + 0 - 7 / 25) / 3)
    assert mean_cosine(targets[:1], np.zeros((1, 2))) == 0


def test_the_first_metric_of_vectors_chooses_the_best_epoch_and_all_are_better_higher() -> None:
    who, copy = metrics_of(IdentityTask("who")), metrics_of(EmbeddingTask("copy"))
    assert list(who) == ["accuracy", "auc", "tar@far=0.01", "tar@far=0.001"] and list(copy) == ["cosine"]
    assert all(metric.higher_is_better for metric in (*who.values(), *copy.values()))
    labels, cosines = scored(500, 2000, gap=2)
    for far in (0.01, 0.001):
        assert who[f"tar@far={far}"].function(labels, cosines) == pair_tar_at_far(labels, cosines, far)
