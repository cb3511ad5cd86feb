"""Metrics of sums: every resample has the very number that the metric gives for the photos drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats

from keras_faceattr.metrics import classification, metrics_of, scalar, sums
from keras_faceattr.metrics.bootstrap import bootstrap_interval, bootstrap_intervals
from keras_faceattr.metrics.sums import SumMetric, change
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, Task, age_task

TASKS: list[Task] = [
    BinaryTask("glasses"), CategoricalTask("mood", ("a", "b", "c")), MultilabelTask("hats", ("x", "y", "z")),
]  # fmt: skip
ROWS = [(task, n) for task in TASKS for n, metric in metrics_of(task).items() if isinstance(metric.function, SumMetric)]


def example(task: Task, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, of which some of several attributes are missing, and predictions that are often right."""
    rng = np.random.default_rng(seed)
    if isinstance(task, CategoricalTask):
        labels = rng.integers(0, 3, (count, 1)).astype("float32")
        return labels, rng.random((count, 3)) + 0.5 * (labels == np.arange(3))
    labels = rng.integers(0, 2, (count, len(task.columns))).astype("float32")
    predictions = 0.4 * labels + 0.6 * rng.random(labels.shape)
    if isinstance(task, MultilabelTask):
        labels[rng.random(labels.shape) < 0.2] = np.nan
    return labels, predictions


@pytest.mark.parametrize("most", [1, 1000, sums.CHUNK_BYTES])
@pytest.mark.parametrize(("task", "name"), ROWS)
# With five photos, some draws lack a class, or every label of an attribute.
@pytest.mark.parametrize("count", [5, 60])
def test_a_draw_counts_a_photo_as_often_as_it_was_drawn(
    task: Task, name: str, count: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "CHUNK_BYTES", most)
    labels, predictions = example(task, count)
    metric = metrics_of(task)[name].function
    assert isinstance(metric, SumMetric)
    draws = np.random.default_rng(1).integers(0, count, (40, count))
    expected = [metric(labels[draw], predictions[draw]) for draw in draws]
    np.testing.assert_array_equal(metric.of_draws(labels, predictions, draws), expected)
    assert len(metric.of_draws(labels, predictions, [])) == 0


@pytest.mark.parametrize(("task", "name"), ROWS)
def test_the_interval_is_the_one_of_a_loop_over_the_draws(task: Task, name: str) -> None:
    labels, predictions = example(task, 60)
    metric = metrics_of(task)[name].function

    def looped(labels: np.ndarray, predictions: np.ndarray) -> float:
        return metric(labels, predictions)

    found = bootstrap_interval(metric, labels, predictions, samples=200, seed=3)
    assert found == bootstrap_interval(looped, labels, predictions, samples=200, seed=3)
    assert found[0] < metric(labels, predictions) < found[1]


@pytest.mark.parametrize("count", [2, 5, 400])
def test_the_intervals_of_a_scalar_are_those_of_a_loop_over_the_draws(count: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.stack([rng.uniform(0, 90, count), rng.uniform(1, 5, count)], axis=1).astype("float32")
    predictions = (labels[:, 0] + rng.normal(0, 4, count)).astype("float32")
    labels[: count // 2, 0] = labels[0, 0]
    errors = predictions.astype("float64") - labels[:, 0]

    def pc(draw: np.ndarray) -> float:
        alike = np.ptp(labels[draw, 0]) == 0 or np.ptp(predictions[draw]) == 0
        return np.nan if alike else float(scipy.stats.pearsonr(labels[draw, 0].astype("float64"), predictions[draw])[0])

    by_hand = {
        "mae": lambda draw: np.abs(errors[draw]).mean(),
        "rmse": lambda draw: np.sqrt((errors[draw] ** 2).mean()),
        "pc": pc,
        "epsilon_error": lambda draw: np.mean(1 - np.exp(-((errors / labels[:, 1])[draw] ** 2) / 2)),
        "cs@5": lambda draw: np.mean(np.abs(errors[draw]) <= 5),
    }
    draws = np.random.default_rng(7)
    drawn = [draws.integers(0, count, count) for _ in range(100)]
    functions = {name: metrics_of(age_task())[name].function for name in by_hand}
    found = bootstrap_intervals(functions, labels, predictions, samples=100, seed=7)
    for name, metric in by_hand.items():
        values = np.array([metric(draw) for draw in drawn])
        low, high = np.quantile(values[~np.isnan(values)], [0.025, 0.975])
        assert found[name] == pytest.approx((low, high), rel=1e-6, abs=1e-6), name


@pytest.mark.parametrize("metric", [classification.binary_balanced_accuracy, scalar.mean_absolute_error])
def test_a_change_is_the_second_minus_the_first(metric: Callable[[np.ndarray, np.ndarray], float]) -> None:
    labels, before = example(TASKS[2], 60)
    labels = np.nan_to_num(labels)
    after = np.flip(before, axis=0)
    if metric is scalar.mean_absolute_error:
        before, after = before[:, 0], after[:, 0]
    difference, pairs = change(metric), np.stack([before, after], axis=1)
    assert difference(labels, pairs) == metric(labels, after) - metric(labels, before) != 0
    low, high = bootstrap_interval(difference, labels, pairs, samples=100)
    assert low < difference(labels, pairs) < high
