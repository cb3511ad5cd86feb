"""The loss of a task over a batch: who counts, who does not, with what gradient, and its configuration."""

from __future__ import annotations

import json
from collections.abc import Callable

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops

from keras_faceattr.config import MethodSettings
from keras_faceattr.data.vocabulary import attributes_task
from keras_faceattr.errors import ConfigError
from keras_faceattr.methods import METHODS, methods_for
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, Task, age_task, attractiveness_task

SCALAR = attractiveness_task()
UNITS = {"distribution": 41, "ranking": 40, "regression": 1, "linear": 1, "class_and_value": 6}
SCALAR_METHODS = methods_for("scalar")
NAN = float("nan")

OTHERS: dict[str, tuple[Task, list[list[float]], int]] = {
    "binary": (BinaryTask("smile"), [[1], [0], [1], [0]], 1),
    "categorical": (CategoricalTask("mood", ("a", "b", "c")), [[2], [0], [1], [2]], 3),
    "multilabel": (MultilabelTask("worn", ("hat", "scarf")), [[1, 0], [0, 0], [1, 1], [0, 1]], 2),
}
CASES = [*SCALAR_METHODS, *OTHERS]


def case(name: str) -> tuple[TaskLoss, np.ndarray, np.ndarray]:
    """A loss, labels of four photos and raw outputs for them."""
    rng = np.random.default_rng(7)
    if name in SCALAR_METHODS:
        labels = [[1.0, 0.5], [3.3, 0.2], [5.0, 0.9], [2.04, 0.4]]
        task, method, units = SCALAR, name, UNITS[METHODS[name].head]
    else:
        (task, labels, units), method = OTHERS[name], None
    return TaskLoss(task, method), np.array(labels, "float32"), rng.normal(0, 2, (4, units)).astype("float32")


def gradient(function: Callable[[object], object], point: np.ndarray) -> np.ndarray:
    """d function / d point on the backend in use."""
    point = np.asarray(point, "float32")
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(jax.numpy.asarray(point)))
    import tensorflow as tf

    variable = tf.constant(point)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        value = function(variable)
    return tape.gradient(value, variable).numpy()


@pytest.mark.parametrize("name", CASES)
def test_a_batch_counts_as_the_mean_of_its_photos(name: str) -> None:
    loss, labels, raw = case(name)
    alone = [float(loss(labels[i : i + 1], raw[i : i + 1])) for i in range(4)]
    assert np.std(alone) > 0
    assert float(loss(labels, raw)) == pytest.approx(np.mean(alone), rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_a_photo_without_label_does_not_contribute(name: str) -> None:
    loss, labels, raw = case(name)
    missing = labels.copy()
    missing[[0, 2], : (1 if name in SCALAR_METHODS else None)] = NAN
    assert float(loss(missing, raw)) == pytest.approx(float(loss(labels[[1, 3]], raw[[1, 3]])), rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_a_photo_without_label_has_no_gradient_and_spoils_no_other(name: str) -> None:
    loss, labels, raw = case(name)
    missing = labels.copy()
    missing[[0, 2]] = NAN
    got = gradient(lambda x: loss(missing, x), raw)
    assert not got[[0, 2]].any()
    np.testing.assert_allclose(got[[1, 3]], gradient(lambda x: loss(labels[[1, 3]], x), raw[[1, 3]]), rtol=1e-5)
    assert np.abs(got[[1, 3]]).max() > 0


@pytest.mark.parametrize("name", CASES)
def test_a_batch_without_any_label_is_zero_with_no_gradient(name: str) -> None:
    loss, labels, raw = case(name)
    missing = np.full_like(labels, NAN)
    assert float(loss(missing, raw)) == 0.0
    assert not gradient(lambda x: loss(missing, x), raw).any()


def test_multilabel_skips_single_missing_attributes() -> None:
    loss, _, _ = case("multilabel")
    labels, raw = [[1.0, NAN], [0.0, 1.0]], [[0.5, 9.0], [-1.0, 2.0]]
    # The three labelled answers: −ln σ(0.5), −ln(1 − σ(−1)), −ln σ(2).
    expected = np.mean(np.logaddexp(0, [-0.5, -1.0, -2.0]))
    assert float(loss(np.array(labels), np.array(raw))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_weights_of_photos_are_those_of_keras(name: str) -> None:
    loss, labels, raw = case(name)
    alone = np.array([float(loss(labels[i : i + 1], raw[i : i + 1])) for i in range(4)])
    weights = np.array([0.5, 0.0, 2.0, 1.0], "float32")
    assert float(loss(labels, raw, sample_weight=weights)) == pytest.approx(np.sum(weights * alone) / 4, rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("label", [1.0, 2.2, 3.32, 5.0])
def test_the_gradient_of_dldl_v2_is_equation_17(label: float, weight: float) -> None:
    bins, std = SCALAR.bins, 0.4
    raw = np.random.default_rng(11).normal(0, 1.5, (1, 41))
    target = scipy.stats.norm.pdf(bins, label, std)
    target /= target.sum()
    predicted = scipy.special.softmax(raw[0])
    mean = predicted @ bins
    expected = predicted - target + weight * np.sign(mean - label) * predicted * (bins - mean)
    loss = TaskLoss(SCALAR, "dldl_v2", MethodSettings(expectation_weight=weight))
    got = gradient(lambda x: loss(np.array([[label, std]]), x), raw)[0]
    np.testing.assert_allclose(got, expected, atol=2e-6)


@pytest.mark.parametrize("name", SCALAR_METHODS)
def test_gradients_are_finite_at_the_ends_of_the_range_and_at_extreme_outputs(name: str) -> None:
    loss, _, raw = case(name)
    labels = np.array([[1.0, 0.0], [5.0, 0.0], [1.0, 1e6], [5.0, 1e-4]])
    for scale in (0.0, 1.0, 1000.0):
        got = gradient(lambda x: loss(labels, x), scale * np.sign(raw))
        assert np.isfinite(got).all()


def test_the_gradient_of_an_undecided_answer_is_half_towards_its_label() -> None:
    loss = TaskLoss(BinaryTask("smile"))
    got = gradient(lambda x: loss(np.array([[0.0], [1.0]]), x), np.zeros((2, 1)))
    np.testing.assert_allclose(2 * got[:, 0], [0.5, -0.5], atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_half_precision_outputs_are_computed_in_float32(name: str, dtype: str) -> None:
    loss, labels, raw = case(name)
    half = ops.cast(ops.convert_to_tensor(raw), dtype)
    got = loss(labels, half)
    assert keras.backend.standardize_dtype(got.dtype) == "float32"
    assert float(got) == pytest.approx(float(loss(labels, ops.cast(half, "float32"))), rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_config_makes_the_same_loss(name: str) -> None:
    loss, labels, raw = case(name)
    loss.settings = MethodSettings(expectation_weight=0.25, kl_reduction="mean", label_smoothing=0.1)
    config = json.loads(json.dumps(loss.get_config()))
    again = TaskLoss.from_config(config)
    assert (again.task, again.method, again.settings, again.name) == (
        loss.task,
        loss.method,
        loss.settings,
        f"{loss.task.name}_loss",
    )
    assert float(again(labels, raw)) == float(loss(labels, raw))


@pytest.mark.parametrize("task", [age_task(), attributes_task(), CategoricalTask("mood", ("a", "b"))])
def test_keras_makes_the_same_loss_from_its_serialised_form(task: Task) -> None:
    loss = TaskLoss(task, None, MethodSettings(label_smoothing=0.2), name="mine")
    stored = json.loads(json.dumps(keras.losses.serialize(loss)))
    again = keras.losses.deserialize(stored)
    assert isinstance(again, TaskLoss)
    assert again.get_config() == loss.get_config()
    assert again.task == task


def test_label_smoothing_reaches_the_categorical_loss() -> None:
    task, labels, raw = OTHERS["categorical"][0], np.array([[2.0]]), np.array([[1.0, 2.0, -1.0]])
    log_chance = scipy.special.log_softmax(raw[0])
    got = float(TaskLoss(task, settings=MethodSettings(label_smoothing=0.3))(labels, raw))
    assert got == pytest.approx(-(0.7 * log_chance[2] + 0.1 * log_chance.sum()), rel=1e-5)


def test_an_unknown_method_of_a_scalar_task_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="unknown method 'dldl_v1'"):
        TaskLoss(SCALAR, "dldl_v1")
