"""Runs on tables side by side: numbers of cells written here, paired only where rows and splits are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small import CommandLine

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
    with pytest.raises(RunError, match=f"target: .*; write it again with keras-faceattr fit --resume {run.folder}"):
        compare_tables({"one": run})
    run.metrics_path.unlink()
    with pytest.raises(RunError, match=f"never finished: go on with keras-faceattr fit --resume {run.folder}"):
        compare_tables({"one": run})


def text(name: str, old: str, new: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        before = (folder / name).read_text()
        assert old in before
        (folder / name).write_text(before.replace(old, new))

    return change


def shortened(lines: int) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        path = folder / "cells.csv"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))

    return change


# How a run is damaged, what the line says of it, and how it goes on.
AGAIN, DELETE = "go on with keras-faceattr fit --resume", "delete it, then write it again with keras-faceattr fit"
WRITE = "; write it again with keras-faceattr fit --resume"
DAMAGES: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "no cells": (lambda folder: (folder / "cells.csv").unlink(), "has 0 of 6 cells", AGAIN),
    "header alone": (shortened(1), "has 0 of 6 cells, and none of mtb_dnn on split 1", AGAIN),
    "half the cells": (shortened(4), "has 3 of 6 cells, and none of mtb_dnn on split 1", AGAIN),
    "empty": (shortened(0), "cells.csv is damaged: No columns", DELETE),
    "another regressor": (text("cells.csv", "2,ridge", "2,rigde"), "none of ridge on split 2", AGAIN),
    "no regressor": (text("cells.csv", "2,ridge", "2,"), "none of ridge on split 2", AGAIN),
    "another column": (text("cells.csv", "mae", "mea"), "its columns are not split, regressor, mae", DELETE),
    "text": (text("cells.csv", "0.32,", "x0.32,"), "line 3 is no cell", DELETE),
    "infinite": (text("cells.csv", "0.31,", "inf,"), "line 4 is no cell", DELETE),
    "below zero": (text("cells.csv", "0.3,", "-0.3,"), "line 2 is no cell", DELETE),
    "twice": (text("cells.csv", "2,ridge", "1,ridge"), "line 3 is no cell, or one that stands twice", DELETE),
    "empty rows": (text("metrics.json", '"train": 70, "validation": 10, "test": 20', ""), "rows.train: ", WRITE),
    "rows a number": (text("metrics.json", '{"train": 70, "validation": 10, "test": 20}', "5"), "rows: ", WRITE),
    "no rows": (text("metrics.json", "70", "0"), "rows.train: ", WRITE),
    "foreign regressor": (text("metrics.json", '"ridge"', '"rigde"'), "none of rigde on split 1", AGAIN),
    "no net": (text("metrics.json", '"mtb_dnn"', '"mlp"'), "regressors: Value error, no mtb_dnn", WRITE),
    "one split": (text("metrics.json", '"splits": 3', '"splits": 1'), "splits: ", WRITE),
    "more splits": (text("metrics.json", '"splits": 3', '"splits": 4'), "has 6 of 8 cells", AGAIN),
    "regressors a list": (text("metrics.json", '{"ridge": {}, "mtb_dnn": {}}', "[]"), "regressors: ", WRITE),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_one_line_with_the_mend_and_exit_2(
    damage: str, tmp_path: Path, command_line: CommandLine
) -> None:
    change, words, mend = DAMAGES[damage]
    change(written(tmp_path / "one", ERRORS).folder)
    code, out, err = command_line("compare", tmp_path / "one")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert words in err and mend in err and str(tmp_path / "one") in err


def test_cells_that_no_regressor_of_the_run_has_are_passed_over(tmp_path: Path) -> None:
    run = written(tmp_path / "one", ERRORS)
    whole = compare_tables({"one": run})
    with (run.folder / "cells.csv").open("a") as lines:
        lines.write("7,ridge,9.0,9.0,\n1,rigde,9.0,9.0,\n")
    assert compare_tables({"one": run}) == whole
