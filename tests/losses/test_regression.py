"""Metric regression (DLDL-v2, section 4.5.4, MR): the projection to [−1, 1] and the distances there."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops
from tensors import f32

from keras_faceattr.losses.regression import project, regression_l1, regression_l2, unproject
from keras_faceattr.tasks import ScalarTask, age_task, attractiveness_task

TASKS = [attractiveness_task(), age_task(), ScalarTask("yaw", -90.0, 90.0, 3.0)]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_ends_and_the_middle_of_the_range_project_to_minus_one_zero_and_one(task: ScalarTask) -> None:
    middle = (task.minimum + task.maximum) / 2
    got = project(f32([task.minimum, middle, task.maximum]), f32(task.bins))
    np.testing.assert_allclose(ops.convert_to_numpy(got), [-1.0, 0.0, 1.0], atol=1e-6)


def test_the_projection_is_linear() -> None:
    got = project(f32([2.0, 3.5]), f32(TASKS[0].bins))
    np.testing.assert_allclose(ops.convert_to_numpy(got), [-0.5, 0.25], atol=1e-6)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_unproject_inverts_project(task: ScalarTask) -> None:
    bins = f32(task.bins)
    np.testing.assert_allclose(ops.convert_to_numpy(unproject(project(bins, bins), bins)), task.bins, atol=1e-4)
    values = np.linspace(-1, 1, 9)
    np.testing.assert_allclose(ops.convert_to_numpy(project(unproject(f32(values), bins), bins)), values, atol=1e-6)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_saturated_output_is_exactly_an_end_of_the_range(task: ScalarTask) -> None:
    got = unproject(ops.tanh(f32([-1000.0, 1000.0])), f32(task.bins))
    assert ops.convert_to_numpy(got).tolist() == [task.minimum, task.maximum]


def test_l1_and_l2_are_distances_from_the_projected_label() -> None:
    raw = np.array([[0.3], [-2.0], [0.0]])
    labels = np.array([5.0, 1.0, 2.0])
    distance = np.abs(np.tanh(raw[:, 0]) - (labels - 3.0) / 2.0)
    bins = f32(TASKS[0].bins)
    l1, l2 = regression_l1(f32(labels), f32(raw), bins), regression_l2(f32(labels), f32(raw), bins)
    np.testing.assert_allclose(ops.convert_to_numpy(l1), distance, rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(l2), distance**2, rtol=1e-5)


def test_l1_spans_zero_to_two() -> None:
    got = regression_l1(f32([5.0, 5.0]), f32([[1000.0], [-1000.0]]), f32(TASKS[0].bins))
    assert ops.convert_to_numpy(got).tolist() == [0.0, 2.0]
