"""Parity: differences, drops and changes by group, against NumPy on outputs made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.convert.parity import parity
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, Task

SCORE = ScalarTask("score", 0.0, 10.0, 1.0, tolerances=(1.0,))


def manifest(task: Task, labels: dict[str, Any], **groups: Any) -> Manifest:
    rows = pd.DataFrame({**labels, **{name: pd.array(values, "string") for name, values in groups.items()}})
    rows.insert(0, "source", "own")
    return Manifest(rows, {task.name: task}, {})


def compare(photos: Manifest, task: Task, before: np.ndarray, after: np.ndarray, **more: Any) -> dict[str, Any]:
    outputs = {"float": {task.name: before}, **{k: {task.name: v} for k, v in more.items()}, "file": {task.name: after}}
    return parity(photos, {task.name: task}, outputs, samples=50, seed=0)


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and what the float model and the file say."""
    rng = np.random.default_rng(0)
    labels = rng.uniform(2, 8, 30)
    return labels, labels + rng.normal(0, 0.5, 30), labels + rng.normal(0, 1.5, 30)


def test_differences_are_the_largest_the_mean_and_the_99th_percentile(scores: tuple[np.ndarray, ...]) -> None:
    labels, before, after = scores
    found = compare(manifest(SCORE, {"score": labels}), SCORE, before, after)["differences"]
    gap = np.sort([abs(a - b) for a, b in zip(before, after, strict=True)])
    assert found.keys() == {"float_to_file"}
    assert found["float_to_file"]["score"]["largest"] == pytest.approx(gap[-1])
    assert found["float_to_file"]["score"]["mean"] == pytest.approx(sum(gap) / 30)
    # Linear between the two largest: 0.99 × 29 = 28.71.
    assert found["float_to_file"]["score"]["p99"] == pytest.approx(0.29 * gap[28] + 0.71 * gap[29])


def test_with_a_fake_quantized_model_all_three_pairs_are_compared(scores: tuple[np.ndarray, ...]) -> None:
    labels, before, after = scores
    found = compare(manifest(SCORE, {"score": labels}), SCORE, before, after, fake_quantized=after + 0.25)
    assert list(found["differences"]) == ["float_to_fake_quantized", "float_to_file", "fake_quantized_to_file"]
    assert found["differences"]["fake_quantized_to_file"]["score"]["largest"] == pytest.approx(0.25)
    assert found["metrics"].keys() == {"float", "fake_quantized", "file"}


def test_every_output_is_compared_also_those_that_are_no_task() -> None:
    task = SCORE
    one = {"score": np.zeros(12), "score_distribution": np.zeros((12, 11))}
    other = {"score": np.zeros(12), "score_distribution": np.full((12, 11), 0.125)}
    found = parity(manifest(task, {"score": np.arange(12) % 10}), {"score": task}, {"float": one, "file": other}, 0, 0)
    assert found["differences"]["float_to_file"]["score_distribution"] == {
        "largest": 0.125,
        "mean": 0.125,
        "p99": 0.125,
    }


def test_a_scalars_drop_is_positive_where_the_file_is_worse(scores: tuple[np.ndarray, ...]) -> None:
    labels, before, after = scores
    photos = manifest(SCORE, {"score": labels})
    drop = compare(photos, SCORE, before, after)["drop"]["score"]
    mae = [np.mean(np.abs(values - labels)) for values in (before, after)]
    rmse = [np.sqrt(np.mean((values - labels) ** 2)) for values in (before, after)]
    pc = [np.corrcoef(values, labels)[0, 1] for values in (before, after)]
    cs = [np.mean(np.abs(values - labels) <= 1.0) for values in (before, after)]
    assert drop.keys() == {"mae", "rmse", "pc", "cs@1"}
    assert drop["mae"] == pytest.approx(mae[1] - mae[0], rel=1e-4) and drop["mae"] > 0
    assert drop["rmse"] == pytest.approx(rmse[1] - rmse[0], rel=1e-4) and drop["rmse"] > 0
    assert drop["pc"] == pytest.approx(pc[0] - pc[1], rel=1e-4) and drop["pc"] > 0
    assert drop["cs@1"] == pytest.approx(cs[0] - cs[1]) and drop["cs@1"] > 0
    better = compare(photos, SCORE, after, before)["drop"]["score"]
    assert better == pytest.approx({name: -value for name, value in drop.items()})


def test_a_classifiers_drop_is_positive_where_the_file_is_right_less_often() -> None:
    task = CategoricalTask("race", ("a", "b", "c"))
    labels = ["a"] * 8 + ["b"] * 4
    before = np.eye(3)[[0] * 8 + [1] * 3 + [2]]  # 11 of 12 right; by class 8/8 and 3/4
    after = np.eye(3)[[0] * 6 + [1, 2] + [1] * 4]  # 10 of 12 right; by class 6/8 and 4/4
    drop = compare(manifest(task, {"race": labels}), task, before, after)["drop"]["race"]
    assert drop == pytest.approx({"accuracy": 1 / 12, "balanced_accuracy": 0.0})


def test_a_yes_no_tasks_drop_counts_only_photos_that_are_labelled() -> None:
    task = MultilabelTask("attributes", ("x", "y"))
    x, y = [1.0] * 10, [0.0] * 5 + [np.nan] * 5
    before = np.tile([0.9, 0.1], (10, 1))
    after = before.copy()
    after[:2, 0] = 0.4  # two of ten wrong
    after[4:, 1] = 0.8  # one of five wrong; the other five are not labelled
    photos = manifest(task, {"attributes.x": x, "attributes.y": y})
    assert compare(photos, task, before, after)["drop"]["attributes"]["accuracy"] == pytest.approx(1 - (0.8 + 0.8) / 2)


def test_unlabelled_photos_count_in_differences_and_in_nothing_else(scores: tuple[np.ndarray, ...]) -> None:
    labels, before, after = scores
    some = labels.copy()
    some[20:] = np.nan
    wild = after.copy()
    wild[20:] += 1000.0
    photos = manifest(SCORE, {"score": some})
    tame = compare(photos, SCORE, before, after)
    found = compare(photos, SCORE, before, wild)
    assert found["photos"] == 30
    assert found["drop"] == tame["drop"]
    assert found["groups"] == tame["groups"] and found["groups"]["score"]["all"]["photos"] == 20
    assert found["differences"]["float_to_file"]["score"]["largest"] > 900


def test_changes_by_group_are_of_the_first_metric_and_small_groups_are_left_out() -> None:
    # 10 women, 9 men, 3 of unknown gender; one more woman is not labelled.
    gender = ["female"] * 11 + ["male"] * 9 + [None] * 3
    labels = np.full(23, 5.0)
    labels[10] = np.nan
    before = np.full(23, 5.5)
    after = before.copy()
    after[:10] += 0.5  # every woman's error grows by 0.5
    after[11:] -= 0.25  # everybody else's shrinks by 0.25
    found = compare(manifest(SCORE, {"score": labels}, gender=gender), SCORE, before, after)["groups"]["score"]
    assert found["metric"] == "mae"
    women, men = found["by"]["gender"]["female"], found["by"]["gender"]["male"]
    assert men is None
    assert (women["photos"], women["change"]) == (10, pytest.approx(0.5))
    # Paired: the same photos are drawn for both, and each changed alike, so that nothing is uncertain.
    assert (women["low"], women["high"]) == (pytest.approx(0.5), pytest.approx(0.5))
    assert found["all"]["photos"] == 22
    assert found["all"]["change"] == pytest.approx((10 * 0.5 - 12 * 0.25) / 22)
    assert found["all"]["low"] < found["all"]["change"] < found["all"]["high"]


def test_each_class_has_a_change_of_its_own_and_groups_of_other_columns() -> None:
    task = CategoricalTask("gender", ("female", "male"))
    right = np.eye(2)[[0, 1] * 10]
    photos = manifest(task, {"gender": ["female", "male"] * 10}, race=["x"] * 10 + ["y"] * 10)
    found = compare(photos, task, right, right)["groups"]["gender"]
    assert found["by"].keys() == {"gender", "race"}
    assert {name: group["change"] for name, group in found["by"]["race"].items()} == {"x": 0.0, "y": 0.0}


def test_bands_of_age_have_changes_of_their_own() -> None:
    age = ScalarTask("age", 0.0, 100.0, 1.0, "years")
    labels = np.repeat([1.0, 25.0], 10)
    after = labels + np.repeat([3.0, 1.0], 10)
    found = compare(manifest(age, {"age": labels}), age, labels + 1, after)["groups"]["age"]["by"]["age"]
    assert {band: group["change"] for band, group in found.items()} == {"0–2": pytest.approx(2.0), "20–29": 0.0}


def test_a_task_without_labels_here_has_no_metrics_drop_or_groups() -> None:
    smile = BinaryTask("smile")
    photos = manifest(SCORE, {"score": np.arange(12) % 10})
    outputs = {name: {"score": np.zeros(12), "smile": np.zeros((12, 1))} for name in ("float", "file")}
    found = parity(photos, {"score": SCORE, "smile": smile}, outputs, 0, 0)
    assert found["drop"]["smile"] == {}
    assert "smile" not in found["groups"] and "smile" not in found["metrics"]["file"]
    assert found["differences"]["float_to_file"]["smile"]["largest"] == 0
