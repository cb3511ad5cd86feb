"""What every method keeps to: a new row of `METHODS` is tested by being registered."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from keras_faceattr.config import MethodSettings
from keras_faceattr.methods import method_of, methods_for
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.models.heads import HEADS, raw_outputs
from keras_faceattr.tasks import ScalarTask, age_task, attractiveness_task

TASKS = [attractiveness_task(), age_task(), ScalarTask("yaw", -90.0, 90.0, 15.0)]
TASK = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
METHOD = pytest.mark.parametrize("method", methods_for("scalar"))


def units(task: ScalarTask, method: str) -> int:
    return HEADS[method_of(task, method).head].units(task)


def losses_of_training(method: str, task: ScalarTask, steps: int) -> list[float]:
    """Losses of the same batch before each step."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (8, 16)).astype("float32")
    values = rng.uniform(task.minimum, task.maximum, 8)
    labels = np.stack([values, np.full(8, task.default_std)], axis=1).astype("float32")
    inputs = keras.Input((16,))
    model = keras.Model(inputs, {task.name: raw_outputs(inputs, task, method_of(task, method).head)})
    model.compile(keras.optimizers.Adam(0.02), loss={task.name: TaskLoss(task, method)}, run_eagerly=True)
    return [float(model.train_on_batch(features, {task.name: labels})) for _ in range(steps)]


@METHOD
def test_training_on_one_batch_lowers_the_loss(method: str) -> None:
    losses = losses_of_training(method, age_task(), 12)
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]


@TASK
@METHOD
def test_a_step_lowers_the_loss_in_every_range(method: str, task: ScalarTask) -> None:
    before, after = losses_of_training(method, task, 2)
    assert after < before


@TASK
@METHOD
@pytest.mark.parametrize("std", [0.0, None, 1e6], ids=["std 0", "usual std", "huge std"])
def test_the_loss_is_finite_at_the_ends_of_the_range(method: str, task: ScalarTask, std: float | None) -> None:
    width = task.default_std if std is None else std
    labels = np.array([[task.minimum, width], [task.maximum, width]], "float32")
    loss = TaskLoss(task, method)
    for scale in (0.0, 1.0, 1000.0):
        raw = scale * np.random.default_rng(1).choice([-1.0, 1.0], (2, units(task, method)))
        value = float(loss(labels, raw.astype("float32")))
        assert np.isfinite(value)
        assert value >= -1e-5


@TASK
@METHOD
def test_a_decoded_value_is_within_the_range(method: str, task: ScalarTask) -> None:
    rng = np.random.default_rng(2)
    raw = np.concatenate([rng.normal(0, scale, (10, units(task, method))) for scale in (0.1, 3.0, 1000.0)])
    inputs = keras.Input((raw.shape[1],))
    model = keras.Model(inputs, HEADS[method_of(task, method).head].decode(task, inputs))
    value = np.asarray(model(raw.astype("float32"))[task.name])
    assert value.shape == (30,)
    rounding = 1e-6 * (task.maximum - task.minimum)
    assert value.min() >= task.minimum - rounding
    assert value.max() <= task.maximum + rounding


@METHOD
def test_the_better_prediction_has_the_smaller_loss(method: str) -> None:
    task = TASKS[0]
    labels = np.array([[4.5, 0.1]], "float32")
    loss, head = TaskLoss(task, method), HEADS[method_of(task, method).head]
    inputs = keras.Input((units(task, method),))
    decode = keras.Model(inputs, head.decode(task, inputs))
    raw = np.stack([np.full(units(task, method), x) for x in (-3.0, 3.0)]).astype("float32")
    if units(task, method) == len(task.bins):
        raw = (5.0 * np.eye(41)[[4, 35]]).astype("float32")
    errors = np.abs(np.asarray(decode(raw)[task.name]) - 4.5)
    assert errors[1] < errors[0]
    assert float(loss(labels, raw[1:])) < float(loss(labels, raw[:1]))


@TASK
@METHOD
def test_a_method_serialises(method: str, task: ScalarTask) -> None:
    settings = MethodSettings(expectation_weight=0.5, kl_reduction="mean")
    loss = TaskLoss(task, method, settings)
    again = keras.losses.deserialize(json.loads(json.dumps(keras.losses.serialize(loss))))
    assert isinstance(again, TaskLoss)
    assert again.get_config() == loss.get_config()
    labels = np.array([[task.minimum, 1.0], [task.maximum, 2.0]], "float32")
    raw = np.random.default_rng(3).normal(0, 1, (2, units(task, method))).astype("float32")
    assert float(again(labels, raw)) == float(loss(labels, raw))
