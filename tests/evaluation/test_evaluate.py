"""Numbers of a set of predictions, overall and by group, against arithmetic by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.config_files import load_experiment
from keras_faceattr.data.manifest import Manifest, Source
from keras_faceattr.errors import ModelError
from keras_faceattr.evaluation.evaluate import SMALLEST_GROUP, check_finite, evaluate, primary_metric
from keras_faceattr.evaluation.protocol import measure
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask

AGE = ScalarTask("age", 0, 100, 1, "years", default_std=2.0, tolerances=(5.0,))
MOOD = CategoricalTask("mood", ("happy", "sad"))
HATS = MultilabelTask("hats", ("red", "blue"))


def manifest(**columns: object) -> Manifest:
    rows = pd.DataFrame(columns)
    rows.insert(0, "image", [f"{i}.jpg" for i in range(len(rows))])
    rows.insert(0, "source", "s")
    return Manifest(rows, {}, {"s": Source("s", Path())})


def test_only_labelled_photos_count() -> None:
    labelled = manifest(age=[10.0, 20.0, np.nan])
    result = evaluate(labelled, {"age": AGE}, {"age": np.array([13.0, 20.0, 99.0])}, samples=0)["age"]
    assert result["labelled"] == 2
    assert result["metrics"]["mae"]["value"] == pytest.approx(1.5)
    assert result["metrics"]["cs@5"]["value"] == 1.0


def test_epsilon_error_appears_only_where_every_photo_has_its_own_std() -> None:
    predictions = {"age": np.array([12.0, 20.0])}
    without = evaluate(manifest(age=[10.0, 20.0]), {"age": AGE}, predictions, samples=0)
    partly = evaluate(manifest(age=[10.0, 20.0], age_std=[2.0, np.nan]), {"age": AGE}, predictions, samples=0)
    whole = evaluate(manifest(age=[10.0, 20.0], age_std=[2.0, 1.0]), {"age": AGE}, predictions, samples=0)
    assert "epsilon_error" not in without["age"]["metrics"]
    assert "epsilon_error" not in partly["age"]["metrics"]
    assert whole["age"]["metrics"]["epsilon_error"]["value"] == pytest.approx((1 - np.exp(-0.5)) / 2)


def test_groups_are_measured_apart_and_small_ones_only_counted() -> None:
    women, men = SMALLEST_GROUP, SMALLEST_GROUP - 1
    labels = manifest(age=[30.0] * (women + men), gender=["female"] * women + ["male"] * men)
    predictions = np.array([32.0] * women + [40.0] * men)
    groups = evaluate(labels, {"age": AGE}, {"age": predictions}, samples=0)["age"]["groups"]["gender"]
    assert groups["female"]["metrics"]["mae"] == pytest.approx(2.0)
    assert groups["male"] == {"labelled": men}


def test_a_group_column_that_no_labelled_photo_has_is_left_out() -> None:
    """Of several data sets, one may know the age alone and another the gender alone."""
    labels = manifest(age=[30.0, 40.0, np.nan], gender=[None, None, "male"])
    result = evaluate(labels, {"age": AGE}, {"age": np.array([30.0, 40.0, 50.0])}, samples=0)["age"]
    assert result["labelled"] == 2 and result["groups"] == {}


def test_a_task_is_not_grouped_by_itself() -> None:
    gender = CategoricalTask("gender", ("female", "male"))
    labels = manifest(gender=["female", "male"])
    result = evaluate(labels, {"gender": gender}, {"gender": np.eye(2)}, samples=0)["gender"]
    assert result["groups"] == {} and result["metrics"]["accuracy"]["value"] == 1.0


def test_the_confusion_has_true_classes_as_rows() -> None:
    labels = manifest(mood=["happy", "happy", "sad"])
    predictions = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    assert evaluate(labels, {"mood": MOOD}, {"mood": predictions}, samples=0)["mood"]["confusion"] == [[1, 1], [0, 1]]


def test_each_attribute_counts_over_its_own_labelled_photos() -> None:
    labels = manifest(**{"hats.red": [1.0, 0.0, np.nan], "hats.blue": [1.0, np.nan, np.nan]})
    result = evaluate(labels, {"hats": HATS}, {"hats": np.array([[0.9, 0.1], [0.8, 0.1], [0.5, 0.5]])}, samples=0)
    assert result["hats"]["labelled"] == 2
    assert result["hats"]["attributes"] == {"red": 0.5, "blue": 0.0}
    assert result["hats"]["metrics"]["accuracy"]["value"] == pytest.approx(0.25)


def test_a_binary_task_is_measured_from_its_single_probability() -> None:
    labels = manifest(smile=[1.0, 0.0, 1.0, 0.0])
    predictions = np.array([[0.9], [0.6], [0.7], [0.2]])
    metrics = evaluate(labels, {"smile": BinaryTask("smile")}, {"smile": predictions}, samples=0)["smile"]["metrics"]
    assert metrics["accuracy"]["value"] == 0.75


def test_a_task_without_any_label_reports_none() -> None:
    result = evaluate(manifest(age=[np.nan, np.nan]), {"age": AGE}, {"age": np.zeros(2)}, samples=5)["age"]
    assert (result["labelled"], result["metrics"]) == (0, {})


def test_intervals_enclose_the_value() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 100, 200)
    result = evaluate(manifest(age=true), {"age": AGE}, {"age": true + rng.normal(0, 5, 200)}, samples=200)["age"]
    for numbers in result["metrics"].values():
        assert numbers["low"] <= numbers["value"] <= numbers["high"]
        assert numbers["low"] < numbers["high"]


def test_the_first_metric_is_the_one_that_chooses_the_best_epoch() -> None:
    assert [primary_metric(t) for t in (AGE, MOOD, HATS)] == ["mae", "accuracy", "accuracy"]


def test_predictions_of_labelled_photos_that_are_no_numbers_are_refused_and_counted() -> None:
    tasks = {"age": AGE, "hats": HATS}
    labels = {
        "age": np.array([[10, 2], [20, 2], [np.nan, 2]]),
        "hats": np.array([[1, np.nan], [np.nan, 0], [np.nan, np.nan]]),
    }
    hats = np.full((3, 2), 0.5)
    check_finite(tasks, {"age": np.array([1, 2, np.nan]), "hats": hats}, labels)
    check_finite(tasks, {"age": np.ones(3), "hats": hats}, {"age": np.full((3, 2), np.nan)})
    with pytest.raises(ModelError, match="^age: the predictions of 1 of 2 labelled photos are not finite numbers: "):
        check_finite(tasks, {"age": np.array([1, np.inf, 2]), "hats": hats}, labels)
    with pytest.raises(ModelError, match="^hats: the predictions of 2 of 2 labelled photos are not finite numbers: "):
        check_finite(tasks, {"age": np.ones(3), "hats": hats * [1, np.nan]}, labels)


def test_a_model_that_answers_no_numbers_is_not_measured_as_if_it_had_answered() -> None:
    experiment = load_experiment("quickstart", [
        "data.sources.0.options.count=40", "data.sources.0.options.size=40", "data.crop.size=32", "tasks={gender: {}}",
    ])  # fmt: skip
    tasks = {"gender": CategoricalTask("gender", ("female", "male"))}
    with pytest.raises(ModelError, match="^gender: the predictions of 8 of 8 labelled photos are not finite"):
        measure(lambda images: {"gender": np.full((len(images), 2), np.nan)}, experiment, tasks)
