"""Means, spreads and paired differences, derived again by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.tabular.results import paired_difference, plot_regressors, summarise

CELLS = pd.DataFrame(
    [
        {"split": 1, "regressor": "ridge", "mae": 0.30, "rmse": 0.40},
        {"split": 1, "regressor": "mtb_dnn", "mae": 0.20, "rmse": 0.31},
        {"split": 2, "regressor": "mtb_dnn", "mae": 0.24, "rmse": 0.33},
        {"split": 2, "regressor": "ridge", "mae": 0.32, "rmse": 0.40},
        {"split": 3, "regressor": "ridge", "mae": 0.31, "rmse": 0.43},
        {"split": 3, "regressor": "mtb_dnn", "mae": 0.25, "rmse": 0.32},
    ]
)


def test_mean_and_sample_sigma_over_the_splits() -> None:
    found = summarise(CELLS, 0.25)
    assert found["ridge"]["mae"]["mean"] == pytest.approx(0.31)
    assert found["ridge"]["mae"]["sigma"] == pytest.approx((2 * 0.01**2 / 2) ** 0.5)
    assert found["mtb_dnn"]["rmse"]["mean"] == pytest.approx(0.32)
    assert found["mtb_dnn"]["rmse"]["sigma"] == pytest.approx(0.01)


def test_differences_are_paired_by_split_and_positive_where_mtb_dnn_is_better() -> None:
    difference = summarise(CELLS, 0.25)["ridge"]["mae"]["difference"]
    # 0.10, 0.08, 0.06: mean 0.08, sample deviation 0.02; Student's 97.5 % point of 2 degrees is 4.3027.
    half = 4.3027 * 0.02 * (1 / 3 + 0.25) ** 0.5
    assert difference["mean"] == pytest.approx(0.08)
    assert difference["low"] == pytest.approx(0.08 - half, abs=1e-5)
    assert difference["high"] == pytest.approx(0.08 + half, abs=1e-5)


def test_mtb_dnn_is_not_compared_with_itself() -> None:
    assert "difference" not in summarise(CELLS, 0.25)["mtb_dnn"]["mae"]


def test_the_interval_covers_the_truth_although_splits_share_rows() -> None:
    """Ten splits 80/20 of 100 rows, two constant regressors: the expected difference is known."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(200):
        rows = rng.normal(size=100)
        differences = []
        for _ in range(10):
            order = rng.permutation(100)
            test, train = rows[order[:20]], rows[order[20:]]
            differences.append(np.square(test - train.mean()).mean() - np.square(test - 1.0).mean())
        numbers = paired_difference(np.array(differences), 0.25)
        # E (x − train mean)² = 1 + 1/80 and E (x − 1)² = 2.
        covered += numbers["low"] <= 1 + 1 / 80 - 2 <= numbers["high"]
    assert covered >= 0.9 * 200


def test_the_picture_is_written(tmp_path: Path) -> None:
    rows = {name: {"title": name, **numbers} for name, numbers in summarise(CELLS, 0.25).items()}
    path = plot_regressors(tmp_path / "plots" / "regressors.png", rows, "score")
    assert path.read_bytes().startswith(b"\x89PNG")
