"""Verification: pairs drawn, similarities and their curve, against counting by hand and scikit-learn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from sklearn.metrics.pairwise import cosine_similarity

from keras_faceattr.errors import DataError
from keras_faceattr.metrics.verification import (
    area_under_roc,
    best_accuracy,
    roc,
    similarities,
    tar_at_far,
    verification_pairs,
)


def scored(same: int, different: int, gap: float = 1.0, digits: int = 9, seed: int = 0):
    """Scores with ties (fewer digits give more) and whether each pair is of one person."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(same + different) < same)
    return np.round(rng.normal(gap * truth, 1.0), digits), truth


def check_pairs(identities, left, right, same) -> None:
    identities = np.asarray(identities)
    assert len(left) == len(right) == len(same)
    assert (left != right).all()
    assert len({frozenset(pair) for pair in zip(left.tolist(), right.tolist(), strict=True)}) == len(left)
    np.testing.assert_array_equal(identities[left] == identities[right], same)
    assert same.sum() == (~same).sum()


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_balanced_true_and_never_repeated(seed: int) -> None:
    identities = np.random.default_rng(seed).zipf(1.5, 400).clip(max=60)
    left, right, same = verification_pairs(identities, 300, seed)
    check_pairs(identities, left, right, same)
    assert len(left) == 300


def test_pairs_depend_on_the_seed_alone() -> None:
    identities = [f"person {i % 40}" for i in range(200)]
    first, again, other = (verification_pairs(identities, 100, seed) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first[0] != other[0]).any()


def test_a_person_with_most_photos_does_not_rule_the_pairs_of_one_person() -> None:
    identities = np.array(["often"] * 300 + [f"person {i // 3}" for i in range(300)])
    left, _, same = verification_pairs(identities, 404, 0)
    givers = Counter(identities[left[same]].tolist())
    assert sorted(set(givers.values())) == [2] and len(givers) == 101


def test_fewer_pairs_of_one_person_than_wanted_are_all_used() -> None:
    identities = ["a", "b", "a", "c", "a", "b", "d"]
    left, right, same = verification_pairs(identities, 6000)
    check_pairs(identities, left, right, same)
    drawn = {frozenset(pair) for pair in zip(left[same].tolist(), right[same].tolist(), strict=True)}
    assert drawn == {frozenset(pair) for pair in ((0, 2), (0, 4), (2, 4), (1, 5))}


def test_fewer_pairs_of_two_people_than_wanted_are_all_used() -> None:
    identities = [7] * 40 + [3]
    left, right, same = verification_pairs(identities, 6000)
    check_pairs(identities, left, right, same)
    assert {frozenset(pair) for pair in zip(left[~same], right[~same], strict=True)} == {
        frozenset((i, 40)) for i in range(40)
    }


def test_every_pair_of_two_people_is_as_likely_as_another() -> None:
    identities = [0, 0, 1, 1, 2]
    counts: Counter[frozenset[int]] = Counter()
    for seed in range(2000):
        left, right, same = verification_pairs(identities, 2, seed)
        counts[frozenset((int(left[~same][0]), int(right[~same][0])))] += 1
    assert len(counts) == 8
    assert min(counts.values()) > 190 and max(counts.values()) < 310


def test_many_photos_of_few_people_are_drawn_without_listing_all_pairs() -> None:
    identities = np.arange(300_000) % 20
    left, right, same = verification_pairs(identities, 2000)
    check_pairs(identities, left, right, same)
    assert len(left) == 2000


@pytest.mark.parametrize(
    ("identities", "needed"),
    [
        (["anna"] * 5, "needs photos of at least two people: all 5 are of anna"),
        ([], "needs photos of at least two people: there is no photo"),
        ([1, 2, 3], "needs a person with two photos: each of the 3 people has one"),
        (["a", "a", None], "needs an identity for each photo: 1 of 3 have none"),
        (np.array([1.0, 1.0, np.nan, np.nan]), "needs an identity for each photo: 2 of 4 have none"),
        (pd.Series(["a", pd.NA, "a"], dtype="string"), "needs an identity for each photo: 1 of 3 have none"),
    ],
)
def test_what_cannot_be_paired_is_said_in_one_line(identities, needed: str) -> None:
    with pytest.raises(DataError, match=needed) as error:
        verification_pairs(identities)
    assert "\n" not in str(error.value)


def test_fewer_than_two_pairs_are_refused_and_an_odd_number_is_rounded_down() -> None:
    with pytest.raises(DataError, match="at least 2 pairs, one of each kind, not 1"):
        verification_pairs(["a", "a", "b"], 1)
    assert len(verification_pairs(["a", "a", "b", "b"], 3)[0]) == 2


def test_a_person_may_be_called_nan() -> None:
    assert verification_pairs(["nan", "nan", "None"])[2].tolist() == [True, False]


def test_similarities_are_scikit_learns_and_never_leave_their_range() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(0, 30, (20, 8)).astype("float32")
    embeddings[3] = 0
    embeddings[5] = -2 * embeddings[4]
    left, right = np.divmod(np.arange(400), 20)
    got = similarities(embeddings, left, right)
    np.testing.assert_allclose(got, cosine_similarity(embeddings.astype("float64"))[left, right], atol=1e-6)
    assert got.max() <= 1 and got.min() >= -1


def test_similarities_of_bytes_do_not_overflow() -> None:
    embeddings = np.array([[100, 100], [100, -100], [127, 127]], "int8")
    np.testing.assert_allclose(similarities(embeddings, np.array([0, 0]), np.array([1, 2])), [0, 1], atol=1e-6)


@pytest.mark.parametrize("digits", [9, 1, 0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_curve_is_scikit_learns(digits: int, dtype: str) -> None:
    scores, same = scored(150, 250, digits=digits)
    scores = scores.astype(dtype)
    far, tar, thresholds = roc(scores, same)
    expected = sklearn.metrics.roc_curve(same, scores, drop_intermediate=False)
    for got, wanted in zip((far, tar, thresholds), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
    for k in range(len(thresholds)):
        assert far[k] == (scores[~same] >= thresholds[k]).mean()
        assert tar[k] == (scores[same] >= thresholds[k]).mean()


@pytest.mark.parametrize("digits", [9, 1, 0])
def test_the_area_is_scikit_learns(digits: int) -> None:
    scores, same = scored(150, 250, digits=digits)
    assert area_under_roc(scores, same) == pytest.approx(sklearn.metrics.roc_auc_score(same, scores), rel=1e-12)


def test_areas_by_hand() -> None:
    same = np.array([True, True, False, False])
    assert area_under_roc(np.array([4.0, 3, 2, 1]), same) == 1
    assert area_under_roc(np.array([1.0, 2, 3, 4]), same) == 0
    assert area_under_roc(np.ones(4), same) == 0.5


@pytest.mark.parametrize("far", [0.0, 0.001, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("digits", [9, 1])
def test_tar_at_far_is_the_best_of_all_thresholds_that_keep_to_it(far: float, digits: int) -> None:
    scores, same = scored(200, 1000, digits=digits, seed=3)
    kept = [t for t in [*scores, np.inf] if (scores[~same] >= t).mean() <= far]
    assert tar_at_far(scores, same, far) == max((scores[same] >= t).mean() for t in kept)


def test_tar_at_far_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    same = np.array([True, False, True, True, False, False])
    assert tar_at_far(scores, same, 0.0) == pytest.approx(1 / 3)
    assert tar_at_far(scores, same, 0.33) == pytest.approx(1 / 3)
    assert tar_at_far(scores, same, 1 / 3) == 1.0


def test_scores_that_separate_the_kinds_are_judged_rightly_in_every_fold() -> None:
    rng = np.random.default_rng(0)
    same = rng.permutation(np.arange(60) < 30)
    scores = np.where(same, rng.uniform(0.6, 1, 60), rng.uniform(-0.2, 0.2, 60))
    assert best_accuracy(scores, same) == 1.0
    assert best_accuracy(scores, same, folds=2, seed=5) == 1.0


def test_scores_without_meaning_are_judged_by_chance() -> None:
    rng = np.random.default_rng(1)
    assert best_accuracy(rng.random(4000), np.arange(4000) < 2000) == pytest.approx(0.5, abs=0.03)


def test_the_threshold_is_never_chosen_on_the_fold_that_it_is_tested_on() -> None:
    # Two folds of one pair of each kind. A threshold fitted to either fold fails a pair of the other; one that had
    # seen both would judge three of four rightly.
    scores, same = np.array([0.9, 0.3, 0.7, 0.1]), np.array([True, True, False, False])
    accuracies = {best_accuracy(scores, same, folds=2, seed=seed) for seed in range(20)}
    # Folds {0.9|0.7, 0.3|0.1}: 0.8 refuses 0.3, 0.2 accepts 0.7. Folds {0.9|0.1, 0.3|0.7}: 0.5 judges both wrong,
    # infinity judges one of 0.9 and 0.1 rightly.
    assert accuracies == {0.5, 0.25}


def test_folds_hold_both_kinds_evenly_and_every_pair_is_tested_once() -> None:
    scores, same = scored(100, 100, gap=1.5)
    optimum = max(((scores >= t) == same).mean() for t in scores)
    accuracy = best_accuracy(scores, same)
    assert optimum - 0.08 < accuracy <= optimum
    assert accuracy * 200 == pytest.approx(round(accuracy * 200))


def test_too_few_pairs_for_the_folds_are_refused() -> None:
    with pytest.raises(DataError, match="10 folds need .* a pair of each kind in each: there are 9 and 30"):
        best_accuracy(*scored(9, 30))
    with pytest.raises(DataError, match="1 folds need at least 2 folds"):
        best_accuracy(*scored(9, 30), folds=1)


@pytest.mark.parametrize("function", [roc, area_under_roc, best_accuracy])
def test_scores_that_are_not_numbers_and_a_kind_that_is_missing_are_refused(function) -> None:
    scores, same = scored(20, 20)
    with pytest.raises(DataError, match=r"^1 of 40 scores are NaN"):
        function(np.where(np.arange(40) == 7, np.nan, scores), same)
    for missing in (same | True, same & False):
        with pytest.raises(DataError, match="pair"):
            function(scores, missing)
