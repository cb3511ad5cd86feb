"""Numbers of a set of predictions, overall and by group, against arithmetic by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from keras_faceattr.config_files import load_experiment
from keras_faceattr.data.manifest import Manifest, Source
from keras_faceattr.errors import ModelError
from keras_faceattr.evaluation.evaluate import check_finite, evaluate, primary_metric
from keras_faceattr.evaluation.groups import SMALLEST_GROUP
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
    assert groups["female"]["metrics"]["mae"]["value"] == pytest.approx(2.0)
    assert groups["male"] == {"labelled": men}


def test_a_groups_metrics_have_the_interval_of_its_own_photos() -> None:
    rng = np.random.default_rng(0)
    true, gender = rng.uniform(30, 39, 60), np.array(["female", "male"])[np.arange(60) % 2]
    predictions = true + np.where(gender == "male", 6, 1) * rng.normal(size=60)
    labels = manifest(age=true, gender=gender)
    result = evaluate(labels, {"age": AGE}, {"age": predictions}, samples=200, seed=3)["age"]
    for name in ("female", "male"):
        group = result["groups"]["gender"][name]
        errors = np.abs(predictions - true)[gender == name]
        draws = np.random.default_rng(3)
        means = [errors[draws.integers(0, 30, 30)].mean() for _ in range(200)]
        low, high = np.quantile(means, [0.025, 0.975])
        assert group["labelled"] == 30 and group["metrics"].keys() == result["metrics"].keys()
        expected = {"value": errors.mean(), "low": low, "high": high}
        assert group["metrics"]["mae"] == pytest.approx(expected, rel=1e-5)


GENDER = CategoricalTask("gender", ("female", "male"))


def test_results_are_given_the_true_group_and_given_the_group_that_the_model_says() -> None:
    # 20 women, of whom 12 are taken for women; 20 men, of whom all are taken for men.
    gender, said = ["female"] * 20 + ["male"] * 20, np.eye(2)[[0] * 12 + [1] * 28]
    ages = np.array([32.0] * 12 + [38.0] * 8 + [31.0] * 20)
    labels = manifest(age=[30.0] * 40, gender=gender)
    tasks = {"age": AGE, "gender": GENDER}
    age = evaluate(labels, tasks, {"age": ages, "gender": said}, samples=5)["age"]
    true, predicted = (age[reading]["gender"] for reading in ("groups", "predicted_groups"))
    assert {name: group["labelled"] for name, group in true.items()} == {"female": 20, "male": 20}
    assert {name: group["labelled"] for name, group in predicted.items()} == {"female": 12, "male": 28}
    assert true["female"]["metrics"]["mae"]["value"] == pytest.approx((12 * 2 + 8 * 8) / 20)
    assert true["male"]["metrics"]["mae"]["value"] == pytest.approx(1.0)
    assert predicted["female"]["metrics"]["mae"]["value"] == pytest.approx(2.0)
    assert predicted["male"]["metrics"]["mae"]["value"] == pytest.approx((8 * 8 + 20 * 1) / 28)


def test_a_group_that_the_model_does_not_predict_has_one_reading() -> None:
    labels = manifest(age=[30.0] * 20, gender=["female", "male"] * 10)
    result = evaluate(labels, {"age": AGE}, {"age": np.full(20, 33.0)}, samples=0)["age"]
    assert list(result["groups"]) == ["gender"] and result["predicted_groups"] == {}


def test_ages_are_grouped_in_bands_of_true_and_of_predicted_years() -> None:
    # Ten children of 2 taken for 3, ten of 9 taken for 9.9, and ten of 70 taken for 65.
    true, said = np.repeat([2.0, 9.0, 70.0], 10), np.repeat([3.0, 9.9, 65.0], 10)
    result = evaluate(manifest(age=true), {"age": AGE}, {"age": said}, samples=0)["age"]
    mae = {
        reading: {band: (group["labelled"], group["metrics"]["mae"]["value"]) for band, group in found["age"].items()}
        for reading, found in result.items()
        if reading in ("groups", "predicted_groups")
    }
    assert mae["groups"] == {"0–2": (10, 1.0), "3–9": (10, pytest.approx(0.9)), "70+": (10, 5.0)}
    assert mae["predicted_groups"] == {"3–9": (20, pytest.approx(0.95)), "60–69": (10, 5.0)}
    # Within a band ages hardly differ: their correlation says nothing of the model.
    assert result["groups"]["age"]["70+"]["metrics"].keys() == {"mae", "rmse", "cs@5"}


def test_bands_of_age_group_what_a_model_of_something_else_says() -> None:
    labels = manifest(age=np.repeat([5.0, 45.0], 10), gender=["female", "male"] * 10)
    said = np.eye(2)[[0, 1] * 5 + [1] * 10]
    groups = evaluate(labels, {"gender": GENDER}, {"gender": said}, samples=0)["gender"]["groups"]["age"]
    assert {band: group["metrics"]["accuracy"]["value"] for band, group in groups.items()} == {"3–9": 1.0, "40–49": 0.5}


def test_a_group_column_that_no_labelled_photo_has_is_left_out() -> None:
    """Of several data sets, one may know the age alone and another the gender alone."""
    labels = manifest(age=[30.0, 35.0, np.nan], gender=[None, None, "male"])
    result = evaluate(labels, {"age": AGE}, {"age": np.array([30.0, 35.0, 36.0])}, samples=0)["age"]
    assert result["labelled"] == 2 and result["groups"] == {}


def test_each_class_has_its_recall_and_its_precision() -> None:
    # Of 30 happy faces 24 are recognised; of 20 sad ones 10.
    labels = manifest(mood=["happy"] * 30 + ["sad"] * 20)
    said = np.eye(2)[[0] * 24 + [1] * 6 + [1] * 10 + [0] * 10]
    result = evaluate(labels, {"mood": MOOD}, {"mood": said}, samples=50)["mood"]
    recall, precision = (result[reading]["mood"] for reading in ("groups", "predicted_groups"))
    assert recall["happy"]["metrics"]["accuracy"]["value"] == pytest.approx(24 / 30)
    assert recall["sad"]["metrics"]["accuracy"]["value"] == pytest.approx(10 / 20)
    assert precision["happy"]["metrics"]["accuracy"]["value"] == pytest.approx(24 / 34)
    assert precision["sad"]["metrics"]["accuracy"]["value"] == pytest.approx(10 / 16)
    assert recall["sad"]["metrics"].keys() == {"accuracy"} and precision["sad"]["labelled"] == 16
    assert recall["sad"]["metrics"]["accuracy"]["low"] < 0.5 < recall["sad"]["metrics"]["accuracy"]["high"]


def test_the_confusion_has_true_classes_as_rows() -> None:
    labels = manifest(mood=["happy", "happy", "sad"])
    predictions = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    assert evaluate(labels, {"mood": MOOD}, {"mood": predictions}, samples=0)["mood"]["confusion"] == [[1, 1], [0, 1]]


def test_a_task_is_also_measured_in_its_readings_with_intervals() -> None:
    rng = np.random.default_rng(6)
    names = ("calm", "glad", "angry")
    task = CategoricalTask("mood", names, {"two": {"good": ["glad", "calm"], "bad": ["angry"]}})
    true = rng.integers(0, 3, 120)
    said = rng.dirichlet(np.ones(3), 120) + 0.4 * np.eye(3)[true]
    labels = manifest(mood=[*np.array(names)[true], None])
    result = evaluate(labels, {"mood": task}, {"mood": np.append(said, [[1, 0, 0]], axis=0)}, samples=100)["mood"]
    bad = said[:, 2] > said[:, 0] + said[:, 1]
    reading = result["readings"]["two"]
    assert reading["classes"] == ["good", "bad"] and reading["metrics"].keys() == {"accuracy", "balanced_accuracy"}
    accuracy, balanced = (reading["metrics"][name] for name in ("accuracy", "balanced_accuracy"))
    assert accuracy["value"] == pytest.approx(np.mean(bad == (true == 2)))
    assert balanced["value"] == pytest.approx(balanced_accuracy_score(true == 2, bad))
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert result["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(said.argmax(axis=1) == true))


def test_each_attribute_counts_over_its_own_labelled_photos() -> None:
    labels = manifest(**{"hats.red": [1.0, 0.0, np.nan], "hats.blue": [1.0, np.nan, np.nan]})
    result = evaluate(labels, {"hats": HATS}, {"hats": np.array([[0.9, 0.1], [0.8, 0.1], [0.5, 0.5]])}, samples=0)
    assert result["hats"]["labelled"] == 2
    attributes = result["hats"]["attributes"]
    assert {name: entry["labelled"] for name, entry in attributes.items()} == {"red": 2, "blue": 1}
    accuracies = {name: entry["metrics"]["accuracy"]["value"] for name, entry in attributes.items()}
    assert accuracies == {"red": 0.5, "blue": 0.0}
    assert result["hats"]["metrics"]["accuracy"]["value"] == pytest.approx(0.25)


def test_an_attribute_has_balanced_accuracy_and_average_precision_of_its_own_photos() -> None:
    rng = np.random.default_rng(4)
    true, chances = (rng.random((80, 2)) < [0.2, 0.6]).astype(float), rng.random((80, 2))
    chances = np.clip(chances + 0.3 * true, 0, 1)
    true[:30, 0] = np.nan
    labels = manifest(**{"hats.red": true[:, 0], "hats.blue": true[:, 1]})
    result = evaluate(labels, {"hats": HATS}, {"hats": chances}, samples=50, seed=2)["hats"]
    for column, (name, entry) in enumerate(result["attributes"].items()):
        known = ~np.isnan(true[:, column])
        own, said = true[known, column], chances[known, column]
        metrics = entry["metrics"]
        assert (name, entry["labelled"]) == (HATS.attributes[column], known.sum())
        assert metrics["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(own, said >= 0.5))
        assert metrics["average_precision"]["value"] == pytest.approx(average_precision_score(own, said))
        assert all(numbers["low"] < numbers["value"] < numbers["high"] for numbers in metrics.values())
    mean = np.mean([entry["metrics"]["average_precision"]["value"] for entry in result["attributes"].values()])
    assert result["metrics"]["average_precision"]["value"] == pytest.approx(mean)


def test_intervals_of_all_attributes_are_of_the_draws_of_the_task() -> None:
    rng = np.random.default_rng(8)
    true, chances = (rng.random((60, 2)) < 0.5).astype(float), rng.random((60, 2))
    true[:25, 0] = np.nan
    labels = manifest(**{"hats.red": true[:, 0], "hats.blue": true[:, 1]})
    found = evaluate(labels, {"hats": HATS}, {"hats": chances}, samples=40, seed=9)["hats"]["attributes"]["red"]
    draws, values = np.random.default_rng(9), []
    for draw in (draws.integers(0, 60, 60) for _ in range(40)):
        known = draw[~np.isnan(true[draw, 0])]
        values.append(average_precision_score(true[known, 0], chances[known, 0]))
    low, high = np.quantile(values, [0.025, 0.975])
    metrics = found["metrics"]["average_precision"]
    assert (metrics["low"], metrics["high"]) == (pytest.approx(low), pytest.approx(high))


def test_an_attribute_that_nobody_labelled_is_counted_and_not_measured() -> None:
    labels = manifest(**{"hats.red": [1.0, 0.0], "hats.blue": [np.nan, np.nan]})
    result = evaluate(labels, {"hats": HATS}, {"hats": np.full((2, 2), 0.4)}, samples=0)["hats"]
    assert result["attributes"]["blue"] == {"labelled": 0}


def test_in_a_group_with_one_answer_the_average_precision_is_not_measured() -> None:
    gender = ["female", "male"] * 10
    beard = [0.0, 1.0] * 8 + [0.0, 0.0] * 2
    labels = manifest(beard=beard, gender=gender)
    said = np.linspace(0, 1, 20)[:, None]
    groups = evaluate(labels, {"beard": BinaryTask("beard")}, {"beard": said}, samples=0)["beard"]["groups"]["gender"]
    assert np.isnan(groups["female"]["metrics"]["average_precision"]["value"])
    of_men = average_precision_score(beard[1::2], said[1::2, 0])
    assert groups["male"]["metrics"]["average_precision"]["value"] == pytest.approx(of_men)


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
