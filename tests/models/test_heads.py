"""Heads: how many outputs a task needs, and what is read from them, against NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.special
from keras import layers

from keras_faceattr.models.heads import HEADS, raw_outputs
from keras_faceattr.tasks import (
    BinaryTask,
    CategoricalTask,
    IdentityTask,
    MultilabelTask,
    Task,
    age_task,
    attractiveness_task,
)

SCALAR_HEADS = ["distribution", "ranking", "regression"]
ATTRACTIVENESS, AGE = attractiveness_task(), age_task()
BINARY, MOOD = BinaryTask("smile"), CategoricalTask("mood", ("a", "b", "c"))
WORN = MultilabelTask("worn", ("hat", "scarf", "glasses", "mask"))


def decode(head: str, task: Task, raw: np.ndarray) -> dict[str, np.ndarray]:
    inputs = keras.Input((raw.shape[1],))
    model = keras.Model(inputs, HEADS[head].decode(task, inputs))
    return {name: np.asarray(value) for name, value in model(raw.astype("float32")).items()}


@pytest.mark.parametrize(
    ("head", "task", "units"),
    [
        ("distribution", ATTRACTIVENESS, 41),
        ("distribution", AGE, 101),
        ("ranking", ATTRACTIVENESS, 40),
        ("ranking", AGE, 100),
        ("regression", AGE, 1),
        ("binary", BINARY, 1),
        ("categorical", MOOD, 3),
        ("multilabel", WORN, 4),
    ],
)
def test_a_head_has_as_many_raw_outputs_as_its_task_needs(head: str, task: Task, units: int) -> None:
    raw = raw_outputs(keras.Input((8,)), task, head)
    assert HEADS[head].units(task) == units
    assert raw.shape == (None, units)


def test_raw_outputs_are_float32_and_linear_whatever_the_features() -> None:
    features = keras.Input((8,), dtype="float16")
    model = keras.Model(features, raw_outputs(features, AGE, "distribution"))
    dense = model.layers[-1]
    assert isinstance(dense, layers.Dense)
    assert dense.activation is keras.activations.linear
    assert dense.use_bias
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"
    assert {keras.backend.standardize_dtype(w.dtype) for w in model.weights} == {"float32"}


def test_the_distribution_head_gives_softmax_and_its_mean() -> None:
    raw = np.random.default_rng(0).normal(0, 3, (5, 41))
    got = decode("distribution", ATTRACTIVENESS, raw)
    chances = scipy.special.softmax(raw, axis=1)
    assert set(got) == {"attractiveness", "attractiveness_distribution"}
    np.testing.assert_allclose(got["attractiveness_distribution"], chances, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(got["attractiveness"], chances @ np.linspace(1, 5, 41), rtol=1e-5)


def test_the_ranking_head_gives_the_reached_bin_and_a_distribution() -> None:
    raw = np.full((2, 100), -9.0)
    raw[0, :37] = 9.0
    got = decode("ranking", AGE, raw)
    assert set(got) == {"age", "age_distribution"}
    np.testing.assert_allclose(got["age"], [37.0, 0.0])
    assert got["age_distribution"].shape == (2, 101)
    assert got["age_distribution"].argmax(axis=1).tolist() == [37, 0]
    np.testing.assert_allclose(got["age_distribution"].sum(axis=1), 1.0, rtol=1e-5)


def test_the_regression_head_gives_the_value_through_tanh() -> None:
    got = decode("regression", ATTRACTIVENESS, np.array([[0.0], [0.5], [-40.0]]))
    assert set(got) == {"attractiveness"}
    np.testing.assert_allclose(got["attractiveness"], [3.0, 3 + 2 * np.tanh(0.5), 1.0], rtol=1e-6)


@pytest.mark.parametrize("task", [ATTRACTIVENESS, AGE], ids=lambda task: task.name)
@pytest.mark.parametrize("head", SCALAR_HEADS)
def test_a_value_is_within_its_range_for_any_outputs(head: str, task: Task) -> None:
    rng = np.random.default_rng(1)
    units = HEADS[head].units(task)
    ends = [np.full((1, units), -1000.0), np.full((1, units), 1000.0)]
    peaks = [np.eye(units)[[0, -1]] * 2000 - 1000]
    raw = np.concatenate([rng.normal(0, scale, (20, units)) for scale in (1, 100)] + ends + peaks)
    got = decode(head, task, raw)[task.name]
    assert got.shape == (len(raw),)
    rounding = 1e-6 * (task.maximum - task.minimum)
    assert got.min() >= task.minimum - rounding
    assert got.max() <= task.maximum + rounding


@pytest.mark.parametrize(("head", "task"), [("binary", BINARY), ("multilabel", WORN)])
def test_yes_no_heads_give_each_answers_probability_by_itself(head: str, task: Task) -> None:
    raw = np.random.default_rng(2).normal(0, 4, (6, HEADS[head].units(task)))
    got = decode(head, task, raw)
    assert set(got) == {task.name}
    np.testing.assert_allclose(got[task.name], scipy.special.expit(raw), rtol=1e-4)


def test_the_categorical_head_gives_probabilities_that_sum_to_one() -> None:
    raw = np.random.default_rng(3).normal(0, 4, (6, 3))
    np.testing.assert_allclose(decode("categorical", MOOD, raw)["mood"], scipy.special.softmax(raw, axis=1), rtol=1e-4)


def test_a_projection_is_one_of_the_direction_of_the_features() -> None:
    """x = W' · φ / ‖φ‖ of TransFBP: longer features give the same x, and x need not be of length 1."""
    person = IdentityTask("person", 3, people=5)
    features = keras.Input((8,))
    raw = raw_outputs(features, person, "projection")
    model = keras.Model(features, {"x": raw, **HEADS["projection"].decode(person, raw)})
    (kernel,) = model.get_layer("person_raw").get_weights()
    given = np.random.default_rng(0).normal(0, 4, (6, 8)).astype("float32")
    expected = given @ kernel / np.linalg.norm(given, axis=1, keepdims=True)
    got = {name: np.asarray(value) for name, value in model(given).items()}
    np.testing.assert_allclose(got["x"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.asarray(model(7 * given)["x"]), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(np.linalg.norm(expected, axis=1) - 1).max() > 0.1
    np.testing.assert_allclose(np.linalg.norm(got["person"], axis=1), 1, rtol=1e-5)
