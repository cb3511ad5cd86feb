"""Tasks: their bins, columns and defaults, what is refused, and their plain form."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.vocabulary import ATTRIBUTE_GROUPS, ATTRIBUTES, EXPRESSIONS, attributes_task
from keras_faceattr.errors import ConfigError, FaceAttrError
from keras_faceattr.tasks import (
    BinaryTask,
    CategoricalTask,
    MultilabelTask,
    ScalarTask,
    Task,
    age_task,
    attractiveness_task,
    task_from_dict,
    task_to_dict,
)

EVERY_KIND: list[Task] = [
    ScalarTask("yaw", -90.0, 90.0, 3.0, "°", default_std=4.0, tolerances=(10.0,)),
    BinaryTask("smile"),
    CategoricalTask("mood", ("calm", "angry")),
    MultilabelTask("worn", ("hat", "scarf", "ring"), {"head": ("hat",), "rest": ("scarf", "ring")}),
]
KIND = pytest.mark.parametrize("task", EVERY_KIND, ids=lambda task: task.kind)


@pytest.mark.parametrize(
    ("task", "count"),
    [(age_task(), 101), (attractiveness_task(), 41), (attractiveness_task(7.0), 61), (EVERY_KIND[0], 61)],
    ids=["age", "1 to 5", "1 to 7", "yaw"],
)
def test_bins_go_in_equal_steps_from_minimum_to_maximum_inclusive(task: ScalarTask, count: int) -> None:
    assert len(task.bins) == count
    assert (task.bins[0], task.bins[-1]) == (task.minimum, task.maximum)
    np.testing.assert_allclose(np.diff(task.bins), task.step, rtol=1e-9)


def test_a_bin_of_tenths_is_the_nearest_number_to_its_decimal() -> None:
    assert [f"{b:.10f}" for b in attractiveness_task().bins] == [f"{i / 10:.10f}" for i in range(10, 51)]


@pytest.mark.parametrize(
    ("minimum", "maximum", "step", "message"),
    [
        (5.0, 5.0, 1.0, "minimum 5.0 is not below maximum 5.0"),
        (6.0, 5.0, 1.0, "minimum 6.0 is not below maximum 5.0"),
        (float("nan"), 5.0, 1.0, "must be finite numbers"),
        (0.0, 5.0, 0.0, "step 0.0 is not above 0"),
        (0.0, 5.0, -1.0, "step -1.0 is not above 0"),
        (0.0, 5.0, 0.3, "step 0.3 does not divide the range 0.0 to 5.0"),
        (0.0, 5.0, 10.0, "step 10.0 does not divide the range"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(minimum: float, maximum: float, step: float, message: str) -> None:
    with pytest.raises(ConfigError, match="task 'x': ") as error:
        ScalarTask("x", minimum, maximum, step)
    assert message in str(error.value)


def test_a_step_far_above_the_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not divide the range"):
        ScalarTask("x", 0.0, 1.0, 2e6)


def test_an_endless_range_is_refused() -> None:
    with pytest.raises(FaceAttrError):
        ScalarTask("x", 0.0, float("inf"), 1.0)


def test_a_std_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"default_std -0.5 is below 0"):
        ScalarTask("x", 0.0, 1.0, 0.1, default_std=-0.5)


@pytest.mark.parametrize("tolerances", [(-5.0, 5.0), (0.0,), (5.0, 5.0), (float("inf"),), (float("nan"),)])
def test_tolerances_that_are_not_above_0_or_stand_twice_are_refused(tolerances: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"task 'x': tolerances \[.*\] must be above 0 and all different"):
        ScalarTask("x", 0.0, 1.0, 0.1, tolerances=tolerances)


@pytest.mark.parametrize("name", ["", "  "])
def test_a_class_without_a_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="task 'mood': a class has an empty name in "):
        CategoricalTask("mood", ("calm", name))


def test_defaults_follow_the_step() -> None:
    task = ScalarTask("x", 0.0, 10.0, 0.5)
    assert task.default_std == 1.0
    assert task.tolerances == (0.5, 2.5)


def test_given_std_and_tolerances_are_kept() -> None:
    task = ScalarTask("x", 0.0, 10.0, 0.5, default_std=3.0, tolerances=[1, 2, 3])
    assert task.default_std == 3.0
    assert task.tolerances == (1, 2, 3)


@pytest.mark.parametrize(
    ("task", "columns", "width"),
    list(
        zip(
            EVERY_KIND,
            [("yaw",), ("smile",), ("mood",), ("worn.hat", "worn.scarf", "worn.ring")],
            [2, 1, 1, 3],
            strict=True,
        )
    ),
    ids=lambda value: getattr(value, "kind", ""),
)
def test_columns_in_the_manifest_and_numbers_in_a_batch(task: Task, columns: tuple[str, ...], width: int) -> None:
    assert task.columns == columns
    assert task.label_width == width


@KIND
def test_the_plain_form_makes_the_same_task_through_json(task: Task) -> None:
    plain = json.loads(json.dumps(task_to_dict(task)))
    assert plain["kind"] == task.kind
    again = task_from_dict(plain)
    assert again == task
    assert hash(again) == hash(task)


@KIND
def test_reading_a_task_leaves_the_plain_form_as_it_was(task: Task) -> None:
    plain = task_to_dict(task)
    before = json.dumps(plain)
    task_from_dict(plain)
    assert json.dumps(plain) == before


@KIND
def test_a_task_cannot_be_changed(task: Task) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.name = "other"


def test_an_unknown_kind_lists_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match="task 'x': unknown kind 'scaler'; did you mean 'scalar'") as error:
        task_from_dict({"name": "x", "kind": "scaler"})
    assert "valid: binary, categorical, embedding, identity, multilabel, scalar" in str(error.value)


def test_a_missing_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown kind None"):
        task_from_dict({"name": "x", "minimum": 0})


def test_an_unknown_key_gives_the_nearest_valid_one() -> None:
    with pytest.raises(ConfigError, match=r"task 'x' \(scalar\): unknown key 'minimun'; did you mean 'minimum'"):
        task_from_dict({"name": "x", "kind": "scalar", "minimun": 0, "maximum": 1, "step": 0.1})


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"kind": "scalar", "name": "x", "minimum": 0, "maximum": 1}, "step"),
        ({"kind": "scalar", "name": "x", "minimum": None, "maximum": 1, "step": 1}, "minimum"),
        ({"kind": "categorical", "name": "x"}, "classes"),
        ({"kind": "multilabel", "name": "x"}, "attributes"),
        ({"kind": "binary"}, "name"),
    ],
)
def test_a_missing_key_is_named(data: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=f"needs '{key}'"):
        task_from_dict(data)


@pytest.mark.parametrize("classes", [(), ("a",), ("a", "b", "a"), (1, "1")])
def test_classes_must_be_two_or_more_and_differ(classes: tuple) -> None:
    with pytest.raises(ConfigError, match="needs two or more different classes"):
        CategoricalTask("mood", classes)


def test_class_names_are_text_even_where_yaml_reads_numbers() -> None:
    assert CategoricalTask("grade", (1, 2, 3)).classes == ("1", "2", "3")


@pytest.mark.parametrize("attributes", [(), ("hat", "hat")])
def test_attributes_must_be_one_or_more_and_differ(attributes: tuple) -> None:
    with pytest.raises(ConfigError, match="needs one or more different attributes"):
        MultilabelTask("worn", attributes)


def test_a_group_of_an_unknown_attribute_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="group 'head' names 'hats'; did you mean 'hat'"):
        MultilabelTask("worn", ("hat", "scarf"), {"head": ("hats",)})


def test_the_nine_groups_part_the_forty_attributes() -> None:
    sizes = {group: len(names) for group, names in ATTRIBUTE_GROUPS.items()}
    assert sizes == {
        "hair": 10, "eye": 5, "ear": 1, "nose": 2, "mouth": 4, "beard": 6, "cheek": 2, "neck": 2, "global": 8,
    }  # fmt: skip
    grouped = [name for names in ATTRIBUTE_GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped)) == len(ATTRIBUTES) == 40
    assert sorted(grouped) == list(ATTRIBUTES)


def test_the_attributes_task_has_celebas_columns_in_celebas_order() -> None:
    task = attributes_task()
    assert task.columns[0] == "attributes.5_o_Clock_Shadow"
    assert task.columns[-1] == "attributes.Young"
    assert task.columns[20] == "attributes.Male"
    assert task.groups == ATTRIBUTE_GROUPS


def test_the_papers_scalar_tasks() -> None:
    age, points = age_task(), attractiveness_task()
    assert (age.minimum, age.maximum, age.step, age.default_std, age.unit) == (0, 100, 1, 2, "years")
    assert (points.minimum, points.maximum, points.step, points.default_std) == (1, 5, 0.1, 0.5)
    assert attractiveness_task(7.0).maximum == 7


def test_the_seven_expressions_are_classes_of_a_task() -> None:
    assert len(CategoricalTask("expression", EXPRESSIONS).classes) == 7


@pytest.mark.parametrize("name", ["source", "image", "sha1", "../x", "", "1st", "a b", "a.b", "x" * 101, "é"])
def test_a_name_that_no_column_layer_or_file_can_have_is_refused_wherever_it_stands(name: str) -> None:
    with pytest.raises(ConfigError, match="a task's name is made of up to 64 letters, digits and _") as error:
        task_from_dict({"kind": "binary", "name": name})
    assert len(str(error.value)) < 300
    config = {"name": "x", "data": {"sources": [{"reader": "csv_file"}]}, "tasks": {name: {"kind": "binary"}}}
    with pytest.raises(ConfigError, match="a task's name is made of") as error:
        parse_experiment(config, "x.yaml")
    assert "\n" not in str(error.value)


def test_a_name_of_the_column_of_another_tasks_deviation_is_refused() -> None:
    tasks = {"age": {"kind": "scalar", "minimum": 0, "maximum": 1, "step": 1}, "age_std": {"kind": "binary"}}
    config = {"name": "x", "data": {"sources": [{"reader": "csv_file"}]}, "tasks": tasks}
    with pytest.raises(ConfigError, match="'age_std' is called as a column of another task's labels"):
        parse_experiment(config, "x.yaml")
