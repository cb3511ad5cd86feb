"""The table of methods: each row's loss in NumPy, what its settings change, and its names."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops

from keras_faceattr.config import MethodSettings
from keras_faceattr.errors import ConfigError
from keras_faceattr.methods import METHODS, check_settings, method_of, methods_for
from keras_faceattr.methods.labels import read_labels
from keras_faceattr.tasks import (
    BinaryTask,
    CategoricalTask,
    EmbeddingTask,
    IdentityTask,
    MultilabelTask,
    ScalarTask,
    Task,
    attractiveness_task,
)

BINS = attractiveness_task().bins
TASKS: dict[str, Task] = {
    task.kind: task
    for task in (
        attractiveness_task(),
        BinaryTask("smile"),
        CategoricalTask("mood", ("a", "b")),
        MultilabelTask("worn", ("hat",)),
        IdentityTask("who", 4, 2),
        EmbeddingTask("like", 4),
    )
}
VALUES, STDS = np.array([1.0, 3.32, 5.0, 2.0]), np.array([0.5, 0.2, 0.7, 0.0])
UNITS = {"distribution": 41, "ranking": 40, "regression": 1, "linear": 1, "class_and_value": 6}
SCALAR_METHODS = methods_for("scalar")


def raw_of(name: str) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 1.5, (4, UNITS[METHODS[name].head]))


def loss(name: str, settings: MethodSettings | None = None) -> np.ndarray:
    labels, raw = (ops.convert_to_tensor(np.asarray(x, "float32")) for x in (np.stack([VALUES, STDS], 1), raw_of(name)))
    task = attractiveness_task()
    return ops.convert_to_numpy(METHODS[name].loss(read_labels(labels, task), raw, task, settings or MethodSettings()))


def divergence(raw: np.ndarray) -> np.ndarray:
    density = scipy.stats.norm.pdf(BINS[None], VALUES[:, None], np.maximum(STDS, 1e-3)[:, None])
    return scipy.stats.entropy(density, scipy.special.softmax(raw, axis=1), axis=1)


def distance(raw: np.ndarray) -> np.ndarray:
    return np.abs(scipy.special.softmax(raw, axis=1) @ BINS - VALUES)


def expected_loss(name: str) -> np.ndarray:
    raw = raw_of(name)
    if name.startswith("mr"):
        error = np.abs(np.tanh(raw[:, 0]) - (VALUES - 3) / 2)
        return error if name == "mr_l1" else error**2
    if name == "dex":
        return -scipy.special.log_softmax(raw, axis=1)[np.arange(4), [0, 23, 40, 10]]
    if name == "ranking":
        ones = np.arange(40)[None] < np.array([0, 24, 40, 10])[:, None]
        return np.logaddexp(0, np.where(ones, -raw, raw)).sum(axis=1)
    if name == "er":
        return distance(raw)
    return divergence(raw) + (distance(raw) if name == "dldl_v2" else 0)


@pytest.mark.parametrize("name", ["mr_l1", "mr_l2", "dex", "ranking", "er", "dldl", "dldl_v2"])
def test_the_papers_methods_are_its_formulas(name: str) -> None:
    np.testing.assert_allclose(loss(name), expected_loss(name), rtol=1e-3, atol=1e-5)


def test_dldl_v2_without_expectation_weight_is_dldl() -> None:
    np.testing.assert_array_equal(loss("dldl_v2", MethodSettings(expectation_weight=0.0)), loss("dldl"))


@pytest.mark.parametrize("weight", [0.01, 0.1, 10.0])
def test_the_expectation_weight_multiplies_the_distance_alone(weight: float) -> None:
    raw = raw_of("dldl_v2")
    got = loss("dldl_v2", MethodSettings(expectation_weight=weight))
    np.testing.assert_allclose(got, divergence(raw) + weight * distance(raw), rtol=1e-3)


def test_the_mean_divergence_is_the_sum_over_the_number_of_bins() -> None:
    mean = loss("dldl", MethodSettings(kl_reduction="mean"))
    np.testing.assert_allclose(mean, divergence(raw_of("dldl")) / 41, rtol=1e-3)


def test_the_mean_leaves_the_weight_of_the_distance_as_it_is() -> None:
    raw = raw_of("dldl_v2")
    got = loss("dldl_v2", MethodSettings(kl_reduction="mean", expectation_weight=2.0))
    np.testing.assert_allclose(got, divergence(raw) / 41 + 2 * distance(raw), rtol=1e-3)


@pytest.mark.parametrize("name", SCALAR_METHODS)
def test_the_table_says_truly_whether_the_expectation_weight_matters(name: str) -> None:
    light, heavy = (loss(name, MethodSettings(expectation_weight=w)) for w in (0.0, 5.0))
    assert ("expectation_weight" in METHODS[name].settings) == (not np.array_equal(light, heavy))


def test_the_defaults_are_the_papers() -> None:
    assert MethodSettings() == MethodSettings(expectation_weight=1.0, kl_reduction="sum", label_smoothing=0.0)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_found_by_its_name_and_names_its_source(name: str) -> None:
    assert method_of(TASKS[METHODS[name].kinds[0]], name) is METHODS[name]
    assert METHODS[name].source.startswith(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))


def test_an_unknown_method_lists_the_valid_ones_and_the_nearest() -> None:
    with pytest.raises(ConfigError) as error:
        method_of(attractiveness_task(), "dldl_v3")
    assert "'dldl_v3'" in str(error.value)
    assert "did you mean 'dldl_v2'?" in str(error.value)
    for name in SCALAR_METHODS:
        assert name in str(error.value)


@pytest.mark.parametrize(("method", "head"), [("mr_l2", "regression"), ("ranking", "ranking"), ("er", "distribution")])
def test_a_scalar_task_is_served_by_its_methods_head(method: str, head: str) -> None:
    assert method_of(attractiveness_task(), method).head == head


@pytest.mark.parametrize(
    ("task", "head"),
    [
        (BinaryTask("smile"), "binary"),
        (CategoricalTask("mood", ("a", "b")), "categorical"),
        (MultilabelTask("worn", ("hat",)), "multilabel"),
    ],
    ids=["binary", "categorical", "multilabel"],
)
def test_other_kinds_have_a_usual_method(task: BinaryTask | CategoricalTask, head: str) -> None:
    assert method_of(task).head == head


def test_a_method_of_another_kind_is_refused_with_those_of_the_kind() -> None:
    with pytest.raises(ConfigError, match="unknown method 'soft'"):
        method_of(ScalarTask("age", 0, 100, 1), "soft")
    with pytest.raises(ConfigError, match="'softmax' is not for scalar tasks such as 'age'"):
        method_of(ScalarTask("age", 0, 100, 1), "softmax")
    with pytest.raises(ConfigError, match="'dldl' is not for categorical tasks such as 'mood'; .*cross_entropy"):
        method_of(TASKS["categorical"], "dldl")


def test_a_run_that_states_the_former_defaults_of_other_methods_goes_on() -> None:
    check_settings(attractiveness_task(), "dldl_v2", MethodSettings(angular_margin=0.3, angular_scale=30.0))


def test_a_setting_at_which_the_method_does_not_look_is_refused() -> None:
    check_settings(attractiveness_task(), "smooth_huber", MethodSettings(delta=0.3))
    with pytest.raises(ConfigError, match=r"tasks.attractiveness.delta: the method 'dldl_v2' does not look at it"):
        check_settings(attractiveness_task(), None, MethodSettings(delta=0.3))


LINEAR = {
    "l1": np.abs,
    "mse": np.square,
    "smooth_l1": lambda e: np.where(np.abs(e) < 1, 0.5 * e**2, np.abs(e) - 0.5),
    "smooth_huber": lambda e: np.where(
        np.abs(e) <= 0.6, np.log(np.cosh(e)), np.log(np.cosh(0.6)) + np.tanh(0.6) * (np.abs(e) - 0.6)
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_method_is_its_penalty_of_the_error_in_points(name: str) -> None:
    raw = raw_of(name)
    np.testing.assert_allclose(loss(name), LINEAR[name](3 + 2 * raw[:, 0] - VALUES), rtol=1e-5, atol=1e-6)


def test_the_smooth_huber_loss_of_the_paper_is_an_option() -> None:
    error = 3 + 2 * raw_of("smooth_huber")[:, 0] - VALUES
    paper = np.where(np.abs(error) <= 0.5, np.log(np.cosh(error)), 0.5 * np.abs(error) - 0.125)
    got = loss("smooth_huber", MethodSettings(delta=0.5, huber_form="paper"))
    np.testing.assert_allclose(got, paper, rtol=1e-5, atol=1e-6)


def test_crnet_is_cross_entropy_of_the_rounded_score_and_squared_error_by_their_weights() -> None:
    raw = raw_of("crnet")
    classes = scipy.special.log_softmax(raw[:, 1:], axis=1)[np.arange(4), [0, 2, 4, 1]]
    squared = (3 + 2 * raw[:, 0] - VALUES) ** 2
    np.testing.assert_allclose(loss("crnet"), -0.4 * classes + 0.6 * squared, rtol=1e-5)
    got = loss("crnet", MethodSettings(class_weight=1.0, value_weight=0.0))
    np.testing.assert_allclose(got, -classes, rtol=1e-5)


def test_crnets_classes_may_be_given_by_cut_points() -> None:
    task = ScalarTask("beauty", 1, 5, 0.1, cut_points=(2.0, 3.4))
    labels = np.array([[1.9, 0], [2.0, 0], [3.39, 0], [3.4, 0]], "float32")
    raw = np.random.default_rng(0).normal(0, 1, (4, 4)).astype("float32")
    losses = METHODS["crnet"].loss(
        read_labels(labels, task), raw, task, MethodSettings(value_weight=0.0, class_weight=1.0)
    )
    chances = scipy.special.log_softmax(raw[:, 1:], axis=1)[np.arange(4), [0, 1, 1, 2]]
    np.testing.assert_allclose(np.asarray(losses), -chances, rtol=1e-5)
