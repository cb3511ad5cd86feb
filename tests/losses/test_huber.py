"""Smooth Huber and smooth L1, against their formulas in NumPy's longest floats, and their slopes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops
from tensors import f32, gradient

from keras_faceattr.errors import ConfigError
from keras_faceattr.losses.huber import FORMS, smooth_huber, smooth_l1

ERRORS = [-1e4, -50.0, -3.0, -0.7, -0.6, -0.5, -1e-3, 0.0, 1e-3, 0.25, 0.6, 0.61, 1.0, 8.0, 89.0, 1e4]


def expected_huber(error: float, delta: float, form: str) -> float:
    distance, delta = np.longdouble(abs(error)), np.longdouble(delta)
    if distance <= delta:
        return float(np.log(np.cosh(distance)))
    if form == "paper":
        return float(delta * distance - delta**2 / 2)
    return float(np.log(np.cosh(delta)) + np.tanh(delta) * (distance - delta))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("delta", [0.6, 1.0, 3.0, 50.0])
def test_smooth_huber_is_log_cosh_up_to_delta_and_the_line_above(delta: float, form: str) -> None:
    # δ itself is not exact in float32; the paper's form jumps there.
    errors = [np.float32(e) for e in ERRORS if abs(abs(e) - delta) > 1e-6]
    got = ops.convert_to_numpy(smooth_huber(f32(errors), delta, form))
    np.testing.assert_allclose(got, [expected_huber(float(e), delta, form) for e in errors], rtol=2e-6, atol=1e-12)


def test_log_cosh_neither_overflows_nor_loses_small_errors() -> None:
    errors = [1e-5, 1e-3, 9.9, 10.1, 88.0, 90.0, 1e4]
    got = ops.convert_to_numpy(smooth_huber(f32(errors), 1e5))
    by_hand = [0.5e-10, 0.5e-6, *(e - np.log(2) for e in errors[2:])]
    np.testing.assert_allclose(got, by_hand, rtol=1e-6)


def test_the_continuous_form_meets_in_value_and_slope() -> None:
    near = np.array([0.6 - 1e-4, 0.6 + 1e-4])
    below, above = ops.convert_to_numpy(smooth_huber(f32(near), 0.6))
    assert above - below == pytest.approx(2e-4 * np.tanh(0.6), rel=0.01)
    slopes = gradient(lambda e: ops.sum(smooth_huber(e, 0.6)), near)
    np.testing.assert_allclose(slopes, np.tanh(0.6), atol=1e-4)


def test_the_papers_form_jumps_by_what_its_docstring_says() -> None:
    near = np.array([0.6 - 1e-5, 0.6 + 1e-5])
    below, above = ops.convert_to_numpy(smooth_huber(f32(near), 0.6, "paper"))
    assert (below, above) == (pytest.approx(0.1701, abs=5e-5), pytest.approx(0.18, abs=5e-5))
    slopes = gradient(lambda e: ops.sum(smooth_huber(e, 0.6, "paper")), near)
    np.testing.assert_allclose(slopes, [0.537, 0.6], atol=5e-4)


@pytest.mark.parametrize("form", FORMS)
def test_the_slope_of_smooth_huber_is_its_derivative_and_finite_everywhere(form: str) -> None:
    errors = np.array([e for e in ERRORS if abs(e) != 0.6])
    outside = np.sign(errors) * (0.6 if form == "paper" else np.tanh(0.6))
    expected = np.where(np.abs(errors) < 0.6, np.tanh(errors), outside)
    got = gradient(lambda e: ops.sum(smooth_huber(e, 0.6, form)), errors)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)
    assert np.isfinite(gradient(lambda e: ops.sum(smooth_huber(e, 0.6, form)), [0.6, -0.6, 0.0])).all()


def test_smooth_huber_keeps_the_shape_and_ignores_the_sign() -> None:
    errors = np.random.default_rng(0).normal(0, 2, (3, 4, 2))
    left, right = smooth_huber(f32(errors), 0.6), smooth_huber(f32(-errors), 0.6)
    assert left.shape == (3, 4, 2)
    np.testing.assert_array_equal(ops.convert_to_numpy(left), ops.convert_to_numpy(right))


def test_an_unknown_form_names_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match="'papr'.*did you mean 'paper'.*continuous, paper"):
        smooth_huber(f32([0.0]), 0.6, "papr")


def test_smooth_l1_by_hand() -> None:
    got = ops.convert_to_numpy(smooth_l1(f32([[0.0, 0.5], [-1.0, -3.0]])))
    np.testing.assert_allclose(got, [[0.0, 0.125], [0.5, 2.5]], rtol=1e-6)
    got = ops.convert_to_numpy(smooth_l1(f32([0.1, 0.2, -0.6]), beta=0.2))
    np.testing.assert_allclose(got, [0.025, 0.1, 0.5], rtol=1e-5)


@pytest.mark.parametrize("beta", [0.25, 1.0])
def test_smooth_l1_is_huber_loss_over_beta(beta: float) -> None:
    errors = np.linspace(-3, 3, 41).astype("float32")
    expected = [float(keras.losses.huber(f32([0.0]), f32([e]), delta=beta)) / beta for e in errors]
    np.testing.assert_allclose(ops.convert_to_numpy(smooth_l1(f32(errors), beta)), expected, rtol=1e-5, atol=1e-7)


def test_the_slope_of_smooth_l1_is_its_derivative_at_zero_and_at_beta_too() -> None:
    errors = np.array([-1e4, -0.5, -0.2, 0.0, 0.5, 0.8, 1e4])
    got = gradient(lambda e: ops.sum(smooth_l1(e, 0.5)), errors)
    np.testing.assert_allclose(got, np.clip(errors / 0.5, -1, 1), rtol=1e-6)
