"""Which metrics a task has, which is the first, and which way is up."""

from __future__ import annotations

import numpy as np
import pytest

from keras_faceattr.metrics import metrics_of
from keras_faceattr.tasks import (
    BinaryTask,
    CategoricalTask,
    MultilabelTask,
    ScalarTask,
    Task,
    age_task,
    attractiveness_task,
)

SCALAR = np.array([[1.0, 0.5], [3.0, 0.5], [5.0, 0.5]])
YES_NO = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
CASES: list[tuple[Task, np.ndarray, np.ndarray, np.ndarray]] = [
    (attractiveness_task(), SCALAR, SCALAR[:, 0], np.array([5.0, 1.0, 1.0])),
    (CategoricalTask("mood", ("a", "b")), np.array([[0.0], [1.0]]), np.eye(2), np.eye(2)[::-1]),
    (BinaryTask("smile"), YES_NO[:, :1], YES_NO[:, :1], 1 - YES_NO[:, :1]),
    (MultilabelTask("worn", ("hat", "scarf")), YES_NO, YES_NO, 1 - YES_NO),
]


@pytest.mark.parametrize(
    ("task", "scores"),
    [
        (age_task(), ["cs@5", "cs@10"]),
        (attractiveness_task(), ["cs@0.25", "cs@0.5"]),
        (ScalarTask("yaw", -90.0, 90.0, 3.0), ["cs@3", "cs@15"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_scalar_task_has_the_papers_metrics_and_its_own_cumulative_scores(task: ScalarTask, scores: list) -> None:
    assert list(metrics_of(task)) == ["mae", "rmse", "pc", "epsilon_error", *scores]


def test_a_task_whose_labels_are_bands_is_chosen_by_the_distance_to_them() -> None:
    names = list(metrics_of(age_task(bands=[(0, 2), (3, 9)])))
    assert names[:3] == ["interval_distance", "band_accuracy", "one_off_accuracy"]
    assert names[3:] == list(metrics_of(age_task()))


@pytest.mark.parametrize("case", CASES[1:], ids=lambda case: case[0].kind)
def test_the_other_kinds_are_chosen_by_accuracy(case: tuple) -> None:
    more = [] if isinstance(case[0], CategoricalTask) else ["average_precision"]
    assert list(metrics_of(case[0])) == ["accuracy", "balanced_accuracy", *more]


def test_each_cumulative_score_has_its_own_k() -> None:
    labels, predictions = np.array([[50.0, 1.0], [50.0, 1.0]]), np.array([57.0, 52.0])
    table = metrics_of(age_task())
    assert table["cs@5"].function(labels, predictions) == 0.5
    assert table["cs@10"].function(labels, predictions) == 1.0


def test_only_the_epsilon_error_needs_each_photos_std() -> None:
    assert [name for name, metric in metrics_of(age_task()).items() if metric.needs_std] == ["epsilon_error"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].kind)
def test_right_predictions_are_better_than_wrong_ones_the_way_the_table_says(case: tuple) -> None:
    task, labels, right, wrong = case
    for name, metric in metrics_of(task).items():
        best, worst = metric.function(labels, right), metric.function(labels, wrong)
        assert (best > worst) if metric.higher_is_better else (best < worst), name
        assert type(best) is float, name
