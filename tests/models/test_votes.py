"""Votes of an ensemble, and the layers that decode values, classes, attributes and vectors."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import scipy.special
from keras import layers

from keras_faceattr.models.layers import ClassProbabilities, LinearValue, MajorityVote, Reorder, SoftVote, UnitVector

CASES: dict[str, tuple[layers.Layer, int]] = {
    "majority": (MajorityVote(5, name="mine"), 15),
    "soft": (SoftVote(5, name="mine"), 15),
    "reorder": (Reorder([2, 0, 3, 1], name="mine"), 4),
    "classes": (ClassProbabilities(name="mine"), 6),
    "linear": (LinearValue(1.0, 5.0, 41, name="mine"), 1),
    "unit": (UnitVector(name="mine"), 7),
}
ALL = pytest.mark.parametrize("name", CASES)


def inputs(width: int, rows: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (rows, width)).astype("float32")


def computed(layer: layers.Layer, x: Any) -> np.ndarray:
    return np.asarray(layer(np.asarray(x, "float32")))


def logits(*members: tuple[float, ...]) -> np.ndarray:
    """(1, members × classes) of which the softmax is `members`."""
    return np.log(np.array(members, "float32").reshape(1, -1))


@ALL
def test_a_stored_layer_computes_the_same(name: str) -> None:
    layer, width = CASES[name]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.name == "mine"
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(computed(again, inputs(width)), computed(layer, inputs(width)))


@ALL
def test_the_announced_shape_is_the_real_one(name: str) -> None:
    layer, width = CASES[name]
    assert tuple(layer.compute_output_shape((6, width))) == computed(layer, inputs(width)).shape
    symbolic = layer(keras.Input((width,)))
    assert tuple(symbolic.shape) == (None, *computed(layer, inputs(width)).shape[1:])


@ALL
def test_nothing_is_trained_and_each_photo_counts_for_itself(name: str) -> None:
    layer, width = CASES[name]
    x = inputs(width)
    np.testing.assert_allclose(computed(layer, x)[2:4], computed(layer, x[2:4]), rtol=1e-6)
    assert layer.weights == []


@pytest.mark.parametrize(("members", "classes"), [(1, 3), (2, 2), (5, 7)])
def test_a_soft_vote_is_the_mean_of_the_members_probabilities(members: int, classes: int) -> None:
    x = inputs(members * classes, rows=20)
    expected = scipy.special.softmax(x.reshape(20, members, classes).astype("float64"), axis=2).mean(axis=1)
    np.testing.assert_allclose(computed(SoftVote(members), x), expected, rtol=1e-5)


@pytest.mark.parametrize(("members", "classes"), [(1, 3), (2, 2), (5, 7), (4, 3)])
def test_a_majority_vote_counts_members_and_decides_ties_by_their_mean(members: int, classes: int) -> None:
    x = inputs(members * classes, rows=200)
    got = computed(MajorityVote(members), x)
    chances = scipy.special.softmax(x.reshape(200, members, classes).astype("float64"), axis=2)
    ties = 0
    for row, members_of_row in zip(got, chances, strict=True):
        votes = np.bincount(members_of_row.argmax(axis=1), minlength=classes)
        mean = members_of_row.mean(axis=0)
        leading = np.flatnonzero(votes == votes.max())
        ties += len(leading) > 1
        assert row.argmax() == max(leading, key=lambda i: mean[i])
        np.testing.assert_allclose(row, (votes + mean) / (members + 1), rtol=1e-5)
    assert ties > 10 or members == 1


def test_more_votes_win_over_a_higher_mean_probability() -> None:
    x = logits((0.51, 0.48, 0.01), (0.51, 0.48, 0.01), (0.01, 0.98, 0.01))
    assert computed(SoftVote(3), x).argmax() == 1
    majority = computed(MajorityVote(3), x)[0]
    # Two votes and a mean of 1.03 / 3 against one vote and 1.94 / 3.
    np.testing.assert_allclose(majority, np.array([2 + 1.03 / 3, 1 + 1.94 / 3, 0.01]) / 4, rtol=1e-5)


def test_equal_votes_go_to_the_higher_mean_probability_wherever_it_stands() -> None:
    members = [(0.6, 0.3, 0.1), (0.1, 0.2, 0.7)]
    assert computed(MajorityVote(2), logits(*members)).argmax() == 2
    assert computed(MajorityVote(2), logits(*(m[::-1] for m in members))).argmax() == 0
    assert computed(MajorityVote(2), logits((0.55, 0.45), (0.3, 0.7))).argmax() == 1


def test_a_class_without_vote_never_beats_one_with_a_vote() -> None:
    # The mean of the middle class is the highest, and nobody's first choice.
    x = logits((0.50, 0.49, 0.01), (0.01, 0.49, 0.50))
    assert computed(SoftVote(2), x).argmax() == 1
    assert computed(MajorityVote(2), x).argmax() != 1


def test_a_member_that_finds_two_classes_likeliest_shares_its_vote() -> None:
    got = computed(MajorityVote(2), logits((0.4, 0.4, 0.2), (0.1, 0.2, 0.7)))[0]
    np.testing.assert_allclose(got, np.array([0.5 + 0.25, 0.5 + 0.3, 1 + 0.45]) / 3, rtol=1e-5)


@pytest.mark.parametrize("vote", [MajorityVote, SoftVote])
def test_an_outcome_is_a_distribution_even_for_extreme_logits(vote: type) -> None:
    x = np.concatenate([inputs(15, rows=50), 1000 * inputs(15, rows=5), np.zeros((1, 15))])
    got = computed(vote(5), x)
    assert (got >= 0).all()
    np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=1e-5)
    if vote is SoftVote:
        np.testing.assert_allclose(got[-1], 1 / 3, rtol=1e-5)


def test_reorder_takes_the_named_input_for_each_output() -> None:
    x = [[10.0, 11.0, 12.0, 13.0], [20.0, 21.0, 22.0, 23.0]]
    assert computed(Reorder([2, 0, 3, 1]), x).tolist() == [[12, 10, 13, 11], [22, 20, 23, 21]]
    order = np.random.default_rng(0).permutation(40)
    values = inputs(40)
    np.testing.assert_array_equal(computed(Reorder(list(order)), values), values[:, order])


def test_class_probabilities_leave_the_value_out() -> None:
    x = inputs(6)
    got = computed(ClassProbabilities(), x)
    np.testing.assert_allclose(got, scipy.special.softmax(x[:, 1:].astype("float64"), axis=1), rtol=1e-5)
    np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=1e-6)
    x[:, 0] = 99.0
    np.testing.assert_array_equal(computed(ClassProbabilities(), x), got)


def test_a_linear_value_maps_minus_one_to_one_to_the_range_and_stays_within_it() -> None:
    x = np.array([[-9.0], [-1.0], [-0.5], [0.0], [0.25], [1.0], [1.01]])
    expected = [1.0, 1.0, 2.0, 3.0, 3.5, 5.0, 5.0]
    np.testing.assert_allclose(computed(LinearValue(1.0, 5.0, 41), x), expected, rtol=1e-6)
    years = computed(LinearValue(0.0, 100.0, 101), [[0.2, 7.0, -3.0]])
    np.testing.assert_allclose(years, [60.0], rtol=1e-6)


def test_a_unit_vector_keeps_the_direction_and_has_length_one() -> None:
    x = np.concatenate([inputs(7), 1e-4 * inputs(7, seed=1), 1e4 * inputs(7, seed=2)])
    expected = x / np.linalg.norm(x.astype("float64"), axis=1, keepdims=True)
    np.testing.assert_allclose(computed(UnitVector(), x), expected, rtol=1e-5)


def test_a_vector_without_direction_stays_zero() -> None:
    assert computed(UnitVector(), np.zeros((2, 5))).tolist() == np.zeros((2, 5)).tolist()
