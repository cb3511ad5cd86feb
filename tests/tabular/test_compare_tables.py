"""Runs on tables side by side: numbers of cells written here, paired only where rows and splits are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from keras_faceattr.errors import ConfigError, RunError
from keras_faceattr.run import Run
from keras_faceattr.tabular.compare import compare_tables
from keras_faceattr.tabular.results import paired_difference

ERRORS = {"ridge": [0.30, 0.32, 0.31], "mtb_dnn": [0.20, 0.24, 0.25]}
BETTER = {"ridge": [0.30, 0.32, 0.31], "mtb_dnn": [0.18, 0.23, 0.22]}


def written(folder: Path, errors: dict[str, list[float]], target: str = "score", **provenance: str) -> Run:
    """What `fit` leaves of a comparison of regressors over splits of 80 + 20 rows."""
    folder.mkdir()
    cells = [
        {"split": i + 1, "regressor": name, "mae": error, "rmse": 2 * error, "settings": ""}
        for name, row in errors.items()
        for i, error in enumerate(row)
    ]
    pd.DataFrame(cells).to_csv(folder / "cells.csv", index=False)
    splits = len(next(iter(errors.values())))
    results = {
        "target": target, "splits": splits, "rows": {"train": 70, "validation": 10, "test": 20},
        "regressors": {name: {} for name in errors},
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(results))
    (folder / "config.yaml").write_text("kind: table\n")
    (folder / "provenance.json").write_text(json.dumps({"data_hash": "a", "split_hash": "b", **provenance}))
    return Run(folder)


def row_of(compared: dict[str, Any], run: str, regressor: str) -> dict[str, Any]:
    (row,) = [row for row in compared["rows"] if (row["run"], row["regressor"]) == (run, regressor)]
    return row


def test_differences_are_paired_with_the_first_runs_net(tmp_path: Path) -> None:
    runs = {"one": written(tmp_path / "one", ERRORS), "two": written(tmp_path / "two", BETTER)}
    compared = compare_tables(runs)
    assert compared["target"] == "score" and compared["against"] == "one:mtb_dnn"
    changes = pd.Series(BETTER["mtb_dnn"]) - pd.Series(ERRORS["mtb_dnn"])
    mae = row_of(compared, "two", "mtb_dnn")["mae"]
    assert mae["difference"] == pytest.approx(paired_difference(changes.to_numpy(), 20 / 80))
    assert mae["mean"] == pytest.approx(0.21) and mae["difference"]["mean"] == pytest.approx(-0.02)
    assert row_of(compared, "two", "ridge")["rmse"]["difference"]["mean"] == pytest.approx(0.16)
    assert "difference" not in row_of(compared, "one", "mtb_dnn")["mae"]


def test_regressors_of_one_run_stand_side_by_side(tmp_path: Path) -> None:
    compared = compare_tables({"one": written(tmp_path / "one", ERRORS)})
    assert [row["regressor"] for row in compared["rows"]] == ["ridge", "mtb_dnn"]


@pytest.mark.parametrize(("key", "words"), [("data_hash", "other rows"), ("split_hash", "other splits")])
def test_other_rows_or_splits_have_numbers_but_no_difference(tmp_path: Path, key: str, words: str) -> None:
    other = {name: [*row, 0.4] for name, row in BETTER.items()}
    runs = {"one": written(tmp_path / "one", ERRORS), "two": written(tmp_path / "two", other, **{key: "c"})}
    compared = compare_tables(runs)
    row = row_of(compared, "two", "mtb_dnn")
    assert row["apart"] == words and row["splits"] == 4
    assert "difference" not in row["mae"] and row["mae"]["mean"] == pytest.approx(0.2575)
    assert row_of(compared, "one", "ridge")["mae"]["difference"]["mean"] == pytest.approx(0.08)


def test_another_target_is_refused(tmp_path: Path) -> None:
    runs = {"one": written(tmp_path / "one", ERRORS), "two": written(tmp_path / "two", ERRORS, target="price")}
    with pytest.raises(ConfigError, match="one measures score, and two price"):
        compare_tables(runs)


def test_a_stopped_or_damaged_run_says_how_to_go_on(tmp_path: Path) -> None:
    run = written(tmp_path / "one", ERRORS)
    run.metrics_path.write_text("{}")
    with pytest.raises(RunError, match=f"is damaged: write it again with keras-faceattr fit --resume {run.folder}"):
        compare_tables({"one": run})
    run.metrics_path.unlink()
    with pytest.raises(RunError, match=f"never finished: go on with keras-faceattr fit --resume {run.folder}"):
        compare_tables({"one": run})
