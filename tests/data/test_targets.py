"""Labels as the numbers that a batch carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.data.manifest import Manifest, Source, build_manifest, concatenate
from keras_faceattr.data.targets import label_array
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, Task

NAN = np.nan
AGE = ScalarTask("age", 0.0, 100.0, 1.0, default_std=3.0)
SMILE = BinaryTask("smile")
MOOD = CategoricalTask("mood", ("calm", "glad", "cross"))
WORN = MultilabelTask("worn", ("hat", "glasses"))


@pytest.fixture
def folder(tmp_path: Path, tiny_photos) -> Path:
    tiny_photos(tmp_path, 3)
    return tmp_path


def build(folder: Path, tasks: list[Task], name: str = "mine", **columns: Any) -> Manifest:
    return build_manifest(Source(name, folder), pd.DataFrame({"image": ["0.png", "1.png", "2.png"], **columns}), tasks)


def assert_labels(manifest: Manifest, task: Task, expected: list[list[float]]) -> None:
    labels = label_array(manifest, task)
    assert labels.dtype == np.float32
    assert labels.shape[1] == task.label_width
    np.testing.assert_array_equal(labels, np.array(expected, "float32"))


def test_a_scalar_is_value_and_own_or_default_deviation(folder: Path) -> None:
    manifest = build(folder, [AGE, SMILE], age=[7, NAN, 9], age_std=[1.5, 2, NAN], smile=[1, 1, 1])
    assert_labels(manifest, AGE, [[7, 1.5], [NAN, 2], [9, 3]])
    assert_labels(build(folder, [AGE], age=[7, 8, 9]), AGE, [[7, 3], [8, 3], [9, 3]])


def test_binary_and_multilabel_are_zeros_and_ones_in_the_tasks_order(folder: Path) -> None:
    columns = {"worn.glasses": [1, 0, NAN], "worn.hat": [0, 0, 1], "smile": [0, NAN, 1]}
    manifest = build(folder, [SMILE, WORN], **columns)
    assert_labels(manifest, SMILE, [[0], [NAN], [1]])
    assert_labels(manifest, WORN, [[0, 1], [0, 0], [1, NAN]])


def test_a_class_is_its_index_in_the_tasks_order(folder: Path) -> None:
    manifest = build(folder, [MOOD, SMILE], mood=["cross", None, "calm"], smile=[1, 1, 1])
    assert_labels(manifest, MOOD, [[2], [NAN], [0]])


def test_rows_of_a_source_without_the_task_are_not_labelled(folder: Path) -> None:
    both = concatenate(
        [
            build(folder, [AGE], "first", age=[1, 2, 3]),
            build(folder, [MOOD, WORN], "second", mood=["glad"] * 3, **{"worn.hat": [1] * 3, "worn.glasses": [0] * 3}),
        ]
    )
    assert_labels(both, AGE, [[1, 3], [2, 3], [3, 3], [NAN, 3], [NAN, 3], [NAN, 3]])
    assert_labels(both, MOOD, [[NAN]] * 3 + [[1]] * 3)
    assert_labels(both, WORN, [[NAN, NAN]] * 3 + [[1, 0]] * 3)


def test_a_categorical_task_without_any_label_is_all_missing(folder: Path) -> None:
    manifest = build(folder, [MOOD, SMILE], mood=[None, None, None], smile=[1, 0, 1])
    assert_labels(manifest, MOOD, [[NAN]] * 3)
