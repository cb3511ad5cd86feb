"""A task that learns from its labels and from a teacher, photo by photo, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats

from keras_faceattr.config import DistillationConfig, MethodSettings
from keras_faceattr.data.targets import label_counts, photo_weights
from keras_faceattr.errors import ConfigError
from keras_faceattr.methods import METHODS
from keras_faceattr.methods.lessons import LESSONS, lesson_width
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, Task

AGE = ScalarTask("age", 0.0, 10.0, 1.0, default_std=1.0)
MOOD = CategoricalTask("mood", ("a", "b", "c"))
WORN = MultilabelTask("worn", ("hat", "scarf"))
NAN = float("nan")
RNG = np.random.default_rng(2)
T, SHARE = 2.0, 0.7
TAUGHT = DistillationConfig(temperature=T, share=SHARE)


def loss_of(task: Task, method: str | None = None, **more: Any) -> TaskLoss:
    return TaskLoss(task, method, distillation=TAUGHT, **more)


def softened(logits: np.ndarray) -> np.ndarray:
    powers = scipy.special.softmax(logits.astype("float64"), axis=-1) ** (1 / T)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def divergence(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    return np.asarray(T**2 * scipy.special.rel_entr(softened(teacher), softened(student)).sum(axis=-1))


def yes_no(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    return divergence(*(np.stack([np.zeros_like(x), x], axis=-1) for x in (teacher, student)))


def mixed(own: np.ndarray, taught: np.ndarray) -> np.ndarray:
    """Of four photos: both, an answer alone, a label alone, nothing."""
    return np.array([(1 - SHARE) * own[0] + SHARE * taught[0], taught[1], own[2], 0.0])


def four(labels: list[list[float]], answers: np.ndarray) -> np.ndarray:
    """The labels of four photos with answers about the first two."""
    told = np.where(np.arange(4)[:, None] < 2, answers, NAN)
    return np.concatenate([np.array(labels), told], axis=1).astype("float32")


AGES = [[3.0, 1.0], [NAN, 1.0], [6.0, 1.0], [NAN, 1.0]]
RAW, ANSWERS = RNG.normal(0, 2, (2, 4, 11)).astype("float32")


def own_divergence(values: list[float]) -> np.ndarray:
    target = scipy.stats.norm.pdf(np.arange(11), np.array(values)[:, None], 1.0)
    target /= target.sum(axis=1, keepdims=True)
    return np.asarray(scipy.special.rel_entr(target, scipy.special.softmax(RAW.astype("float64"), axis=1)).sum(axis=1))


def test_a_distribution_is_learned_from_label_and_teacher_by_share_and_from_one_of_them_alone() -> None:
    own, taught = own_divergence([3, 0, 6, 0]), divergence(ANSWERS, RAW)
    got = np.asarray(loss_of(AGE, "dldl").call(four(AGES, ANSWERS), RAW))
    np.testing.assert_allclose(got, mixed(own, taught), rtol=1e-4)


def test_the_divergence_from_the_teacher_is_reduced_as_that_from_the_label() -> None:
    settings = MethodSettings(kl_reduction="mean")
    got = np.asarray(loss_of(AGE, "dldl", settings=settings).call(four(AGES, ANSWERS), RAW))
    expected = mixed(own_divergence([3, 0, 6, 0]), divergence(ANSWERS, RAW)) / 11
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_an_interval_and_a_teacher_are_learned_together() -> None:
    labels = four([[NAN, 1.0, 2.0, 4.0], [NAN, 1.0, NAN, NAN], [NAN, 1.0, 5.0, 9.0], [NAN, 1.0, NAN, NAN]], ANSWERS)
    chances = scipy.special.softmax(RAW.astype("float64"), axis=1)
    own = np.array([-np.log(chances[0, 2:5].sum()), 0, -np.log(chances[2, 5:10].sum()), 0])
    loss = loss_of(AGE, "dldl", settings=MethodSettings(smoothness=0.0), forms=("exact", "interval"))
    np.testing.assert_allclose(np.asarray(loss.call(labels, RAW)), mixed(own, divergence(ANSWERS, RAW)), rtol=1e-4)


@pytest.mark.parametrize("method", ["er", "dex", "dldl_v2"])
def test_every_method_of_distributions_learns_a_photo_without_label_from_the_teacher_alone(method: str) -> None:
    got = np.asarray(loss_of(AGE, method).call(four(AGES, ANSWERS), RAW))
    plain = np.asarray(TaskLoss(AGE, method).call(np.array(AGES, "float32"), RAW))
    np.testing.assert_allclose(got, mixed(plain, divergence(ANSWERS, RAW)), rtol=1e-4)


def test_classes_are_learned_by_the_mean_over_the_members_of_an_ensemble() -> None:
    raw = RNG.normal(0, 2, (4, 6)).astype("float32")
    answers, labels = RNG.normal(0, 2, (4, 3)), [[2.0], [NAN], [0.0], [NAN]]
    logs = [scipy.special.log_softmax(m.astype("float64"), axis=1) for m in (raw[:, :3], raw[:, 3:])]
    own = np.array([-np.mean([m[i, c] for m in logs]) for i, c in enumerate([2, 0, 0, 0])])
    taught = (divergence(answers, raw[:, :3]) + divergence(answers, raw[:, 3:])) / 2
    np.testing.assert_allclose(
        np.asarray(loss_of(MOOD).call(four(labels, answers), raw)), mixed(own, taught), rtol=1e-4
    )


def test_yes_or_no_is_learned_as_two_classes() -> None:
    raw, answers = RNG.normal(0, 2, (2, 4, 1)).astype("float32")
    own = np.logaddexp(0, raw[:, 0]) - np.array([1, 0, 0, 0]) * raw[:, 0]
    labels = four([[1.0], [NAN], [0.0], [NAN]], answers)
    expected = mixed(own, yes_no(answers, raw)[:, 0])
    np.testing.assert_allclose(np.asarray(loss_of(BinaryTask("smile")).call(labels, raw)), expected, rtol=1e-4)


def test_an_attribute_without_label_is_learned_from_the_teacher_and_each_photo_by_its_mean() -> None:
    raw, answers = RNG.normal(0, 2, (2, 4, 2)).astype("float32")
    labels = four([[1.0, NAN], [NAN, NAN], [0.0, NAN], [NAN, NAN]], answers)
    own, taught = np.logaddexp(0, raw) - np.array([[1, 0]] + [[0, 0]] * 3) * raw, yes_no(answers, raw)
    first = np.mean([(1 - SHARE) * own[0, 0] + SHARE * taught[0, 0], taught[0, 1]])
    expected = [first, taught[1].mean(), own[2, 0], 0.0]
    np.testing.assert_allclose(np.asarray(loss_of(WORN).call(labels, raw)), expected, rtol=1e-4)
    assert label_counts(WORN, labels).tolist() == [2, 2, 1, 0]
    weighted = np.mean(photo_weights(label_counts(WORN, labels)) * expected)
    assert float(loss_of(WORN)(labels, raw)) == pytest.approx(weighted, rel=1e-4)
    assert weighted == pytest.approx((2 * expected[0] + 2 * expected[1] + expected[2]) / 5)


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.lesson == "value"])
def test_methods_of_values_take_the_teachers_value_for_a_label(method: str) -> None:
    units = {"ranking": 10, "crnet": 1 + len(AGE.class_names)}.get(method, 1)
    raw, values = RNG.normal(0, 1, (4, units)).astype("float32"), np.array([[2.5], [7.0], [0.0], [0.0]])
    of = TaskLoss(AGE, method)
    own = np.asarray(of.call(np.array([[3, 1], [0, 1], [6, 1], [0, 1]], "float32"), raw))
    taught = np.asarray(of.call(np.concatenate([values, np.ones((4, 1))], axis=1).astype("float32"), raw))
    got = np.asarray(loss_of(AGE, method).call(four(AGES, values), raw))
    np.testing.assert_allclose(got, mixed(own, taught), rtol=1e-4)


def test_the_mean_is_that_over_photos_with_a_label_or_an_answer_with_and_without_weights() -> None:
    labels = four(AGES, ANSWERS)
    loss = loss_of(AGE, "dldl")
    each = np.asarray(loss.call(labels, RAW))
    expected = each[:3].mean()
    counts = label_counts(AGE, labels)
    assert counts.tolist() == [1, 1, 1, 0]
    assert float(loss(labels, RAW)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(labels, RAW, photo_weights(counts))) == pytest.approx(expected, rel=1e-5)
    # A class weight multiplies a photo's whole loss.
    assert float(loss(labels, RAW, photo_weights(counts) * [3, 1, 1, 1])) == pytest.approx(expected + each[0] * 2 / 3)
    loss.mean.reset_state()
    loss(labels, RAW)
    assert float(loss.mean.result()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("share", "expected"), [(0.0, "own"), (1.0, "taught")])
def test_a_share_of_nothing_or_all_leaves_one_of_both(share: float, expected: str) -> None:
    loss = TaskLoss(AGE, "dldl", distillation=DistillationConfig(temperature=T, share=share))
    got = np.asarray(loss.call(four(AGES, ANSWERS), RAW))
    own, taught = own_divergence([3, 0, 6, 0]), divergence(ANSWERS, RAW)
    first = {"own": own, "taught": taught}[expected][0]
    np.testing.assert_allclose(got, [first, taught[1], own[2], 0.0], rtol=1e-4)


def test_a_learned_weight_counts_photos_that_the_teacher_alone_knows() -> None:
    labels = four(AGES, ANSWERS)
    loss = TaskLoss(AGE, "dldl", learned_weight=True, distillation=TAUGHT)
    loss.log_variance.assign(0.5)
    plain = np.asarray(loss_of(AGE, "dldl").call(labels, RAW))
    np.testing.assert_allclose(
        np.asarray(loss.call(labels, RAW)), plain * np.exp(-0.5) + [0.25, 0.25, 0.25, 0.0], rtol=1e-4
    )


def test_a_taught_loss_comes_back_from_its_config() -> None:
    again = TaskLoss.from_config(loss_of(AGE, "dldl").get_config())
    assert again.distillation == TAUGHT
    np.testing.assert_allclose(
        again.call(four(AGES, ANSWERS), RAW), loss_of(AGE, "dldl").call(four(AGES, ANSWERS), RAW)
    )
    assert TaskLoss.from_config(TaskLoss(AGE).get_config()).distillation is None


def test_a_method_that_cannot_learn_from_a_teacher_is_refused_by_name() -> None:
    message = r"tasks\.worn: the method 'obrl' cannot learn from training\.teacher; use attribute_cross_entropy"
    with pytest.raises(ConfigError, match=message):
        loss_of(WORN, "obrl")


def test_what_a_teacher_says_is_encoded_as_logs_of_probabilities() -> None:
    shares = np.array([[0.25, 0.5, 0.5], [0.0, 0.0, 0.5]])  # Integer outputs need not sum to 1, and may be 0.
    logs = LESSONS["classes"].encode(shares)
    np.testing.assert_allclose(logs[0], np.log([0.2, 0.4, 0.4]))
    assert np.isfinite(logs).all() and logs[1, 0] < -60
    odds = LESSONS["answers"].encode(np.array([[0.75, 1.0, 0.0]]))
    np.testing.assert_allclose(odds[0], [np.log(3), np.log(1e7), -np.log(1e7)], rtol=1e-6)
    widths = {name: lesson_width(name, task) for name, task in
              {"distribution": AGE, "classes": MOOD, "answers": WORN, "value": AGE}.items()}  # fmt: skip
    assert widths == {"distribution": 11, "classes": 3, "answers": 2, "value": 1}
