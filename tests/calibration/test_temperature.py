"""Temperatures: an overconfident net is found out by its calibration error, and repaired."""

from __future__ import annotations

import numpy as np
import pytest

from keras_faceattr.calibration.temperature import fit_temperature
from keras_faceattr.metrics.reliability import answer_certainty, class_certainty, expected_calibration_error


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def drawn(photos: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of four classes, and labels that are as likely as these say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (photos, 4))
    chance = softmax(logits).cumsum(axis=1)
    return logits, (rng.uniform(size=(photos, 1)) > chance).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("sure", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_the_logits_were_multiplied_by(sure: float) -> None:
    logits, labels = drawn(20_000, 0)
    assert fit_temperature(sure * logits, labels, yes_no=False) == pytest.approx(sure, rel=0.05)


def test_it_is_the_least_surprise_of_a_grid() -> None:
    logits, labels = drawn(300, 1)
    grid = np.exp(np.linspace(np.log(0.5), np.log(5), 2001))
    surprise = [-np.log(softmax(2 * logits / t)[np.arange(300), labels[:, 0]]).mean() for t in grid]
    assert fit_temperature(2 * logits, labels, yes_no=False) == pytest.approx(grid[int(np.argmin(surprise))], rel=0.005)


def test_an_overconfident_net_is_repaired_on_other_photos() -> None:
    logits, labels = drawn(4000, 2)
    sure = 3 * logits
    factor = fit_temperature(sure[:2000], labels[:2000], yes_no=False)
    assert factor is not None
    others = labels[2000:]
    before = expected_calibration_error(others, class_certainty(others, softmax(sure[2000:])))
    after = expected_calibration_error(others, class_certainty(others, softmax(sure[2000:] / factor)))
    assert before > 0.15 and after < 0.03


def test_yes_no_answers_share_one_temperature_and_pass_over_what_is_not_labelled() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (10_000, 2))
    labels = (rng.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits))).astype("float64")
    labels[::2, 0] = np.nan
    factor = fit_temperature(2 * logits, labels, yes_no=True)
    assert factor == pytest.approx(2, rel=0.06)
    cooled = 1 / (1 + np.exp(-2 * logits / factor))
    assert expected_calibration_error(labels, answer_certainty(labels, cooled)) < 0.02


def test_too_few_or_all_alike_give_none() -> None:
    logits, labels = drawn(49, 4)
    assert fit_temperature(logits, labels, yes_no=False) is None
    assert fit_temperature(drawn(90, 4)[0], np.zeros((90, 1)), yes_no=False) is None
    assert fit_temperature(np.zeros((90, 1)), np.full((90, 1), np.nan), yes_no=True) is None
