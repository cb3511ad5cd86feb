"""The table of methods: each row's loss in NumPy, what its settings change, and its names."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops

from keras_faceattr.errors import ConfigError
from keras_faceattr.methods import METHODS, MethodSettings, head_name, scalar_method
from keras_faceattr.tasks import (
    BinaryTask,
    CategoricalTask,
    MultilabelTask,
    ScalarTask,
    attractiveness_task,
)

BINS = attractiveness_task().bins
VALUES, STDS = np.array([1.0, 3.32, 5.0, 2.0]), np.array([0.5, 0.2, 0.7, 0.0])
UNITS = {"distribution": 41, "ranking": 40, "regression": 1}


def raw_of(name: str) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 1.5, (4, UNITS[METHODS[name].head]))


def loss(name: str, settings: MethodSettings | None = None) -> np.ndarray:
    tensors = [ops.convert_to_tensor(np.asarray(x, "float32")) for x in (VALUES, STDS, raw_of(name), BINS)]
    return ops.convert_to_numpy(METHODS[name].loss(*tensors, settings or MethodSettings()))


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


@pytest.mark.parametrize("name", METHODS)
def test_the_table_says_truly_whether_the_expectation_weight_matters(name: str) -> None:
    light, heavy = (loss(name, MethodSettings(expectation_weight=w)) for w in (0.0, 5.0))
    assert METHODS[name].has_expectation_weight == (not np.array_equal(light, heavy))


def test_the_defaults_are_the_papers() -> None:
    assert MethodSettings() == MethodSettings(expectation_weight=1.0, kl_reduction="sum", label_smoothing=0.0)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_found_by_its_name_and_names_its_source(name: str) -> None:
    assert scalar_method(name) is METHODS[name]
    assert METHODS[name].source.startswith(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))


def test_an_unknown_method_lists_the_valid_ones_and_the_nearest() -> None:
    with pytest.raises(ConfigError) as error:
        scalar_method("dldl_v3")
    assert "'dldl_v3'" in str(error.value)
    assert "did you mean 'dldl_v2'?" in str(error.value)
    for name in METHODS:
        assert name in str(error.value)


@pytest.mark.parametrize(("method", "head"), [("mr_l2", "regression"), ("ranking", "ranking"), ("er", "distribution")])
def test_a_scalar_task_is_served_by_its_methods_head(method: str, head: str) -> None:
    assert head_name(attractiveness_task(), method) == head


@pytest.mark.parametrize(
    ("task", "head"),
    [
        (BinaryTask("smile"), "binary"),
        (CategoricalTask("mood", ("a", "b")), "categorical"),
        (MultilabelTask("worn", ("hat",)), "multilabel"),
    ],
    ids=["binary", "categorical", "multilabel"],
)
def test_other_kinds_have_one_head_whatever_the_method(task: BinaryTask | CategoricalTask, head: str) -> None:
    assert head_name(task, "mr_l1") == head_name(task, "nothing of the table") == head


def test_a_scalar_task_with_an_unknown_method_has_no_head() -> None:
    with pytest.raises(ConfigError, match="unknown method 'softmax'"):
        head_name(ScalarTask("age", 0, 100, 1), "softmax")
