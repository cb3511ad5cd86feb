"""Readings of a task with classes: what is refused, their plain form, and sums of probabilities."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from keras_faceattr.config_files import load_experiment, parse_experiment
from keras_faceattr.data.datasets.utkface import RACES as UTKFACE_RACES
from keras_faceattr.data.relabel import unrenamed
from keras_faceattr.data.vocabulary import RACES
from keras_faceattr.errors import ConfigError
from keras_faceattr.readings import group_numbers, summed
from keras_faceattr.tasks import CategoricalTask, meaning_of, task_from_dict, task_to_dict

CLASSES = ("a", "b", "c", "d")
TWO = {"first": ["d", "a"], "second": ["b", "c"]}
TASK = CategoricalTask("mood", CLASSES, {"two": TWO})


@pytest.mark.parametrize(
    ("readings", "message"),
    [
        ({"two": {"x": ["a", "b"], "y": ["c"]}}, "in no group: d; put each class into one"),
        ({"two": {"x": ["a", "b"], "y": ["b", "c", "d"]}}, "'b' stands in 'x' and in 'y'; leave one out"),
        ({"two": {"x": ["a", "a"], "y": ["b", "c", "d"]}}, "'a' stands in 'x' and in 'x'"),
        ({"two": {"x": ["a", "B"], "y": ["b", "c", "d"]}}, "group 'x' names 'B'; valid: a, b, c, d"),
        ({"two": {"x": list(CLASSES)}}, r"needs two or more groups, not \['x'\]"),
        ({"two": {}}, r"needs two or more groups, not \[\]"),
        ({"two": {"x": list(CLASSES), "y": []}}, "group 'y' has no class"),
        ({"two": {" ": ["a"], "y": ["b", "c", "d"]}}, "a group has an empty name"),
        ({"of two": TWO}, "'of two': its name is made of up to 64 letters, digits and _"),
        ({"2": TWO}, "and begins with a letter"),
    ],
)
def test_every_class_is_in_exactly_one_group(readings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match="^task 'mood': reading .*" + message):
        CategoricalTask("mood", CLASSES, readings)


def test_the_probability_of_a_group_is_the_sum_of_its_classes() -> None:
    probabilities = np.array([[0.1, 0.4, 0.3, 0.2], [0.4, 0.3, 0.0, 0.3]], "float32")
    found = summed(CLASSES, TASK.readings["two"], probabilities)
    np.testing.assert_allclose(found, [[0.1 + 0.2, 0.4 + 0.3], [0.4 + 0.3, 0.3 + 0.0]], rtol=1e-6)
    # The likeliest class of the second photo is a; of a net that is torn between classes, the group decides.
    assert group_numbers(CLASSES, TASK.readings["two"]).tolist() == [0, 1, 1, 0]


def test_a_reading_is_a_task_of_the_same_name_and_is_found_by_its_groups_or_some_of_them() -> None:
    assert TASK.in_reading("two") == CategoricalTask("mood", ("first", "second"))
    assert TASK.reading_with(["second", "first"]) == TASK.reading_with(["second"]) == "two"
    assert TASK.reading_with(["first", "third"]) is None


def test_readings_go_through_json_and_a_task_of_an_earlier_version_has_none() -> None:
    plain = json.loads(json.dumps(task_to_dict(TASK)))
    assert task_from_dict(plain) == TASK and hash(task_from_dict(plain)) == hash(TASK)
    del plain["readings"]
    assert task_from_dict(plain).readings == {}  # type: ignore[union-attr]


def test_nets_that_differ_in_readings_mean_the_same() -> None:
    assert meaning_of(TASK) == meaning_of(CategoricalTask("mood", CLASSES))


def test_readings_are_no_matter_of_a_source_that_calls_its_classes_otherwise() -> None:
    (task,) = unrenamed([TASK], {"mood": {"A": "a"}})
    assert task == CategoricalTask("mood", ("A", *CLASSES))


def test_only_classes_have_readings() -> None:
    config = {"name": "x", "data": {"sources": [{"reader": "synthetic"}]}, "tasks": {"age": {"readings": {"two": TWO}}}}
    assert parse_experiment(config, "x").tasks["age"].definition() == {"readings": {"two": TWO}}
    with pytest.raises(ConfigError, match=r"task 'age' \(scalar\): unknown key 'readings'"):
        task_from_dict(
            {"name": "age", "kind": "scalar", "minimum": 0, "maximum": 9, "step": 1, "readings": {"two": TWO}}
        )


def test_the_shipped_reading_of_race_has_the_groups_of_utkface() -> None:
    readings = load_experiment("faces").tasks["race"].readings
    task = CategoricalTask("race", RACES, readings)
    assert set(task.readings["five"]) == set(UTKFACE_RACES) and task.reading_with(UTKFACE_RACES) == "five"
