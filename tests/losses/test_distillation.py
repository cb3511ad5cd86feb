"""Losses against a teacher's outputs and maps, against NumPy and SciPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.special
from keras import ops

from keras_faceattr.losses.distillation import (
    FeatureDistance,
    feature_distance,
    softened_divergence,
    softened_yes_no_divergence,
)

RNG = np.random.default_rng(1)
TEACHER, STUDENT = RNG.normal(0, 3, (2, 4, 5)).astype("float32")


def divergence_by_hand(teacher: np.ndarray, student: np.ndarray, temperature: float) -> np.ndarray:
    """T² Σ p log(p / q), of probabilities to the power of 1 / T that are normalised again."""
    p, q = (scipy.special.softmax(x.astype("float64"), axis=-1) ** (1 / temperature) for x in (teacher, student))
    p, q = (x / x.sum(axis=-1, keepdims=True) for x in (p, q))
    return np.asarray(temperature**2 * np.sum(scipy.special.rel_entr(p, q), axis=-1))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0, 0.5])
def test_the_softened_divergence_is_that_of_probabilities_to_the_power_of_one_over_t(temperature: float) -> None:
    expected = divergence_by_hand(TEACHER, STUDENT, temperature)
    np.testing.assert_allclose(softened_divergence(TEACHER, STUDENT, temperature), expected, rtol=1e-5)
    # Log-probabilities are logits, too.
    logs = scipy.special.log_softmax(TEACHER, axis=-1)
    np.testing.assert_allclose(softened_divergence(logs, STUDENT, temperature), expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_yes_and_no_are_two_classes(temperature: float) -> None:
    pairs = [np.stack([np.zeros_like(x), x], axis=-1) for x in (TEACHER, STUDENT)]
    expected = divergence_by_hand(*pairs, temperature)
    np.testing.assert_allclose(
        softened_yes_no_divergence(TEACHER, STUDENT, temperature), expected, rtol=1e-5, atol=2e-6
    )


def test_a_student_that_says_what_the_teacher_says_loses_nothing_however_sure_it_is() -> None:
    sure = np.array([[69.0, -69.0, 0.0]], "float32")
    assert float(softened_divergence(sure, sure, 2.0)[0]) == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(softened_yes_no_divergence(sure, sure, 2.0), 0.0, atol=1e-6)
    assert np.isfinite(np.asarray(softened_yes_no_divergence(sure, -sure, 1.0))).all()


def test_the_gradient_reaches_the_student_and_is_that_of_a_label_at_high_temperatures() -> None:
    """T² times the gradient tends to the difference of the logits about their means, over K. Hinton et al., eq. 4."""
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are asked of TensorFlow")
    student, teacher = tf.Variable(STUDENT), tf.Variable(TEACHER)
    with tf.GradientTape() as tape:
        loss = ops.sum(softened_divergence(teacher, student, 100.0))
    to_student, to_teacher = tape.gradient(loss, [student, teacher])
    centred = [x - x.mean(axis=1, keepdims=True) for x in (STUDENT, TEACHER)]
    np.testing.assert_allclose(to_student, (centred[0] - centred[1]) / 5, rtol=0.1, atol=0.02)
    assert to_teacher is None


def test_maps_are_apart_by_their_mean_squared_difference() -> None:
    teacher, student = RNG.normal(size=(2, 3, 2, 2, 4)).astype("float32")
    expected = np.mean((teacher - student) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(feature_distance(teacher, student), expected, rtol=1e-5)
    loss = FeatureDistance.from_config(FeatureDistance("features.0").get_config())
    assert (loss.name, float(loss(teacher, student))) == ("features.0", pytest.approx(expected.mean(), rel=1e-5))
