"""Decoding of raw outputs against NumPy, and that a net made of it loads in a script without this package."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import scipy.special

from keras_faceattr.methods import METHODS
from keras_faceattr.models import decoding
from keras_faceattr.models.heads import HEADS
from keras_faceattr.tasks import CategoricalTask, IdentityTask, MultilabelTask, ScalarTask, Task, age_task

SCORE = ScalarTask("score", 1.0, 5.0, 0.5)
MOOD = CategoricalTask("mood", ("a", "b", "c"))
WORN = MultilabelTask("worn", ("hat", "scarf", "glasses", "mask"))
PERSON = IdentityTask("person", 7, 2)

Decode = Callable[[Any, Any], dict[str, Any]]

CASES: dict[str, tuple[Decode, Task, int]] = {
    "distribution": (decoding.distribution, SCORE, 9),
    "ranking": (decoding.ranking, SCORE, 8),
    "regression": (decoding.squashed_value, SCORE, 1),
    "linear": (decoding.clipped_value, SCORE, 1),
    "class_and_value": (decoding.class_and_value, SCORE, 6),
    "categorical": (decoding.softmax, MOOD, 3),
    "multilabel": (decoding.sigmoid, WORN, 4),
    "binary": (decoding.sigmoid, MultilabelTask("smile", ("smile",)), 1),
    "vector": (decoding.unit_vector, PERSON, 7),
    "projection": (decoding.unit_vector, PERSON, 7),
    "soft": (lambda task, raw: decoding.soft_vote(task, raw, 5), MOOD, 15),
    "majority": (lambda task, raw: decoding.majority_vote(task, raw, 5), MOOD, 15),
    "reordered": (lambda task, raw: {task.name: decoding.reordered(raw, [2, 0, 3, 1], task.name)}, WORN, 4),
}
ALL = pytest.mark.parametrize("name", CASES)


def net(decode: Decode, task: Task, width: int) -> keras.Model:
    raw = keras.Input((width,))
    return keras.Model(raw, decode(task, raw))


def decoded(decode: Decode, task: Task, raw: Any) -> dict[str, np.ndarray]:
    raw = np.asarray(raw, "float32")
    return {name: np.asarray(value) for name, value in net(decode, task, raw.shape[1])(raw).items()}


def vote(way: str, members: int, raw: Any, classes: int = 3) -> np.ndarray:
    task = CategoricalTask("mood", tuple(map(str, range(classes))))
    return decoded(lambda t, x: decoding.VOTES[way](t, x, members), task, raw)["mood"]


def inputs(width: int, rows: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (rows, width)).astype("float32")


def logits(*members: tuple[float, ...]) -> np.ndarray:
    """(1, members × classes) of which the softmax is `members`."""
    return np.log(np.array(members, "float32").reshape(1, -1))


def test_every_head_and_every_vote_is_covered() -> None:
    assert set(CASES) >= {method.head for method in METHODS.values()} | set(HEADS) | set(decoding.VOTES)


@ALL
def test_nothing_is_trained_and_each_photo_counts_for_itself(name: str) -> None:
    decode, task, width = CASES[name]
    model, x = net(decode, task, width), inputs(width)
    assert model.trainable_weights == []
    for key, value in model(x).items():
        np.testing.assert_allclose(np.asarray(value)[2:4], np.asarray(model(x[2:4])[key]), rtol=1e-6)


@ALL
def test_outputs_are_float32_also_behind_half_precision(name: str) -> None:
    decode, task, width = CASES[name]
    raw = keras.Input((width,), dtype="float16")
    values = keras.Model(raw, decode(task, raw))(inputs(width).astype("float16")).values()
    assert {keras.backend.standardize_dtype(value.dtype) for value in values} == {"float32"}


def test_a_net_of_every_head_loads_and_predicts_the_same_in_a_script_without_this_package(tmp_path: Path) -> None:
    expected = {}
    for name, (decode, task, width) in CASES.items():
        model = net(decode, task, width)
        model.save(tmp_path / f"{name}.keras")
        expected |= {f"{name}/{key}": np.asarray(value) for key, value in model(inputs(width)).items()}
        np.save(tmp_path / f"{name}.npy", inputs(width))
    script = (
        "import sys, pathlib, numpy, keras; found = {}\n"
        "for path in pathlib.Path(sys.argv[1]).glob('*.keras'):\n"
        "    outputs = keras.models.load_model(path)(numpy.load(path.with_suffix('.npy')))\n"
        "    found |= {f'{path.stem}/{key}': numpy.asarray(value) for key, value in outputs.items()}\n"
        "assert 'keras_faceattr' not in sys.modules\n"
        "numpy.savez(pathlib.Path(sys.argv[1]) / 'found.npz', **found)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "found.npz") as found:
        assert set(found.files) == set(expected)
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-6, err_msg=key)


@ALL
def test_what_is_no_number_stays_none(name: str) -> None:
    """Exports refuse a net that says NaN; a layer that hid it would ship it."""
    decode, task, width = CASES[name]
    outputs = decoded(decode, task, np.full((2, width), np.nan))
    for key, value in outputs.items():
        assert np.isnan(value).all(), key


def test_the_expectation_is_the_mean_of_the_bins() -> None:
    chances = np.array([[0.5, 1e-9, 1e-9, 1e-9, 0.25, 1e-9, 1e-9, 1e-9, 0.25]])
    got = decoded(decoding.distribution, SCORE, np.log(chances))
    np.testing.assert_allclose(got["score"], [0.5 + 0.75 + 1.25], rtol=1e-6)
    np.testing.assert_allclose(got["score_distribution"], chances, atol=1e-7)


@pytest.mark.parametrize("task", [SCORE, age_task()], ids=["score", "age"])
def test_the_expectation_of_many_distributions_is_that_of_double_precision(task: ScalarTask) -> None:
    x = np.random.default_rng(0).normal(0, 4, (50, len(task.bins)))
    chances = scipy.special.softmax(x.astype("float32").astype("float64"), axis=1)
    np.testing.assert_allclose(decoded(decoding.distribution, task, x)[task.name], chances @ task.bins, rtol=2e-6)


def test_the_reached_bin_counts_the_classifiers_above_one_half() -> None:
    x = [[3, 1, 1, -1, -1, -1, -1, -1], [0, 0, 0, 0, 0, 0, 0, 0], [9, 9, 9, 9, 9, 9, 9, 1e-6]]
    np.testing.assert_allclose(decoded(decoding.ranking, SCORE, x)["score"], [2.5, 1.0, 5.0], rtol=1e-6)
    huge = np.array([[1e38] * 3 + [-1e38] * 5])
    np.testing.assert_allclose(decoded(decoding.ranking, SCORE, huge)["score"], [2.5], rtol=1e-6)


def test_the_distribution_of_a_ranking_is_the_steps_of_the_tail() -> None:
    tail = np.array([[0.9, 0.8, 0.6, 0.5, 0.3, 0.2, 0.15, 0.1]])
    got = decoded(decoding.ranking, SCORE, scipy.special.logit(tail))["score_distribution"]
    np.testing.assert_allclose(got, [[0.1, 0.1, 0.2, 0.1, 0.2, 0.1, 0.05, 0.05, 0.1]], atol=1e-6)


def test_a_step_that_contradicts_the_one_before_it_counts_nothing_and_the_rest_is_normalised() -> None:
    tail = np.array([[0.8, 0.9, 0.6, 0.5, 0.3, 0.2, 0.15, 0.1]])
    got = decoded(decoding.ranking, SCORE, scipy.special.logit(tail))["score_distribution"]
    np.testing.assert_allclose(got, np.array([[0.2, 0, 0.3, 0.1, 0.2, 0.1, 0.05, 0.05, 0.1]]) / 1.1, atol=1e-6)


def test_a_squashed_value_maps_tanh_to_the_range() -> None:
    got = decoded(decoding.squashed_value, SCORE, [[-50.0], [0.0], [0.25], [50.0]])["score"]
    np.testing.assert_allclose(got, [1.0, 3.0, 3 + 2 * np.tanh(0.25), 5.0], rtol=1e-6)


def test_a_clipped_value_maps_minus_one_to_one_to_the_range_and_stays_within_it() -> None:
    x = [[-9.0], [-1.0], [-0.5], [0.0], [0.25], [1.0], [1.01]]
    expected = [1.0, 1.0, 2.0, 3.0, 3.5, 5.0, 5.0]
    np.testing.assert_allclose(decoded(decoding.clipped_value, SCORE, x)["score"], expected, rtol=1e-6)
    years = decoded(decoding.clipped_value, age_task(), [[0.2, 7.0, -3.0]])["age"]
    np.testing.assert_allclose(years, [60.0], rtol=1e-6)


def test_the_classes_of_a_value_leave_the_value_out() -> None:
    x = inputs(6)
    got = decoded(decoding.class_and_value, SCORE, x)
    np.testing.assert_allclose(got["score_classes"], scipy.special.softmax(x[:, 1:].astype("f8"), axis=1), rtol=1e-5)
    np.testing.assert_allclose(got["score"], np.clip(3 + 2 * x[:, 0], 1, 5), rtol=1e-5)
    x[:, 0] = 99.0
    np.testing.assert_array_equal(decoded(decoding.class_and_value, SCORE, x)["score_classes"], got["score_classes"])


def test_a_unit_vector_keeps_the_direction_and_has_length_one() -> None:
    x = np.concatenate([inputs(7), 1e-4 * inputs(7, seed=1), 1e4 * inputs(7, seed=2)])
    expected = x / np.linalg.norm(x.astype("float64"), axis=1, keepdims=True)
    np.testing.assert_allclose(decoded(decoding.unit_vector, PERSON, x)["person"], expected, rtol=1e-5)


def test_a_vector_without_direction_stays_zero() -> None:
    assert decoded(decoding.unit_vector, PERSON, np.zeros((2, 7)))["person"].tolist() == np.zeros((2, 7)).tolist()


def test_reordering_takes_the_named_input_for_each_output() -> None:
    order = [int(i) for i in np.random.default_rng(0).permutation(40)]
    values = inputs(40)
    got = decoded(lambda _, raw: {"t": decoding.reordered(raw, order, "t")}, WORN, values)["t"]
    np.testing.assert_array_equal(got, values[:, order])


@pytest.mark.parametrize(("members", "classes"), [(1, 3), (2, 2), (5, 7)])
def test_a_soft_vote_is_the_mean_of_the_members_probabilities(members: int, classes: int) -> None:
    x = inputs(members * classes, rows=20)
    expected = scipy.special.softmax(x.reshape(20, members, classes).astype("float64"), axis=2).mean(axis=1)
    np.testing.assert_allclose(vote("soft", members, x, classes), expected, rtol=1e-5)


@pytest.mark.parametrize(("members", "classes"), [(1, 3), (2, 2), (5, 7), (4, 3)])
def test_a_majority_vote_counts_members_and_decides_ties_by_their_mean(members: int, classes: int) -> None:
    x = inputs(members * classes, rows=200)
    got = vote("majority", members, x, classes)
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
    assert vote("soft", 3, x).argmax() == 1
    # Two votes and a mean of 1.03 / 3 against one vote and 1.94 / 3.
    expected = np.array([2 + 1.03 / 3, 1 + 1.94 / 3, 0.01]) / 4
    np.testing.assert_allclose(vote("majority", 3, x)[0], expected, rtol=1e-5)


def test_equal_votes_go_to_the_higher_mean_probability_wherever_it_stands() -> None:
    members = [(0.6, 0.3, 0.1), (0.1, 0.2, 0.7)]
    assert vote("majority", 2, logits(*members)).argmax() == 2
    assert vote("majority", 2, logits(*(m[::-1] for m in members))).argmax() == 0
    assert vote("majority", 2, logits((0.55, 0.45), (0.3, 0.7)), 2).argmax() == 1


def test_a_class_without_vote_never_beats_one_with_a_vote() -> None:
    # The mean of the middle class is the highest, and nobody's first choice.
    x = logits((0.50, 0.49, 0.01), (0.01, 0.49, 0.50))
    assert vote("soft", 2, x).argmax() == 1
    assert vote("majority", 2, x).argmax() != 1


def test_a_member_that_finds_two_classes_likeliest_shares_its_vote() -> None:
    got = vote("majority", 2, logits((0.4, 0.4, 0.2), (0.1, 0.2, 0.7)))[0]
    np.testing.assert_allclose(got, np.array([0.5 + 0.25, 0.5 + 0.3, 1 + 0.45]) / 3, rtol=1e-5)


@pytest.mark.parametrize("way", ["majority", "soft"])
def test_an_outcome_is_a_distribution_even_for_extreme_logits(way: str) -> None:
    x = np.concatenate([inputs(15, rows=50), 1000 * inputs(15, rows=5), np.zeros((1, 15))])
    got = vote(way, 5, x)
    assert (got >= 0).all()
    np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=1e-5)
    if way == "soft":
        np.testing.assert_allclose(got[-1], 1 / 3, rtol=1e-5)
