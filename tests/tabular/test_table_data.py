"""A table of one's own: what is read from it, and the line that every bad one gets."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from keras_faceattr.config_files import apply_overrides
from keras_faceattr.errors import ConfigError, DataError, FaceAttrError
from keras_faceattr.tabular.data import Table, load_table
from keras_faceattr.tabular.experiment import TableSource

ROWS = 60


def good() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"a": rng.normal(size=ROWS), "b": rng.integers(0, 9, ROWS), "score": rng.uniform(0, 5, ROWS)}
    ).astype("object")


def load(folder: Path, table: pd.DataFrame, **section: object) -> Table:
    table.to_csv(folder / "table.csv", index=False)
    return load_table(TableSource(reader="csv", path=str(folder / "table.csv"), **section))


def line_of(folder: Path, table: pd.DataFrame, **section: object) -> str:
    with pytest.raises(FaceAttrError) as error:
        load(folder, table, **section)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_all_columns_but_the_target_are_features_and_rows_are_lines_of_the_file(tmp_path: Path) -> None:
    table = load(tmp_path, good())
    assert table.columns == ("a", "b")
    np.testing.assert_array_equal(table.values, good()[["a", "b"]].to_numpy("float64"))
    np.testing.assert_array_equal(table.target_values, good()["score"].to_numpy("float64"))
    np.testing.assert_array_equal(table.rows, np.arange(2, ROWS + 2))
    assert table.quarantine.empty


def test_chosen_columns_are_read_in_the_chosen_order(tmp_path: Path) -> None:
    table = load(tmp_path, good().assign(title="text is no harm here"), columns=["b", "a"])
    np.testing.assert_array_equal(table.values, good()[["b", "a"]].to_numpy("float64"))


def test_rows_with_empty_cells_are_put_aside_with_their_line_and_reason(tmp_path: Path) -> None:
    cells = good()
    cells.loc[3, "a"] = None
    cells.loc[5, ["b", "score"]] = ["nan", ""]
    table = load(tmp_path, cells, max_bad_share=2 / ROWS)
    assert table.quarantine.to_dict("records") == [
        {"row": 5, "reason": "empty: a"},
        {"row": 7, "reason": "empty: b, score"},
    ]
    assert len(table.rows) == ROWS - 2
    assert not {5, 7} & set(table.rows)


def test_more_empty_cells_than_the_share_is_an_error_that_names_the_emptiest_column(tmp_path: Path) -> None:
    cells = good()
    cells.loc[:2, "b"] = None
    cells.loc[8, "a"] = None
    line = line_of(tmp_path, cells, max_bad_share=0.05)
    assert "4 of 60 rows have empty cells, 3 of them in 'b'" in line
    assert "--set 'table.columns=[a]'" in line


def test_text_is_named_with_line_column_and_value_and_left_out_by_the_given_option(tmp_path: Path) -> None:
    cells = good().assign(title="Über alles", day=["2018-01-01"] * ROWS)
    cells.loc[0, ["title", "day"]] = ["7", "8"]
    line = line_of(tmp_path, cells)
    assert "table.csv, line 3: title 'Über alles' is no number (nor is every cell of day)" in line
    option, change = shlex.split(line.partition("leave title, day out: ")[2])
    assert option == "--set"
    data: dict = {}
    apply_overrides(data, [change])
    assert data == {"table": {"columns": ["a", "b"]}}
    assert load(tmp_path, cells, **data["table"]).columns == ("a", "b")


def test_the_option_survives_names_that_yaml_and_the_shell_would_split(tmp_path: Path) -> None:
    cells = good().rename(columns={"a": "it's, a: name"}).assign(title="text")
    change = shlex.split(line_of(tmp_path, cells).partition("out: ")[2])[1]
    assert yaml.safe_load(change.removeprefix("table.columns=")) == ["it's, a: name", "b"]


@pytest.mark.parametrize("value", ["inf", "-inf", "1e999", "3,5"])
def test_a_value_that_is_no_finite_number_is_named(tmp_path: Path, value: str) -> None:
    cells = good()
    cells.loc[9, "a"] = value
    assert f"line 11: a '{value}' is no number" in line_of(tmp_path, cells)


@pytest.mark.parametrize("value", ["1.7e308", "-1e200", "2e18"])
def test_a_number_whose_square_float32_cannot_hold_is_named_with_column_and_line(tmp_path: Path, value: str) -> None:
    cells = good()
    cells.loc[9, "a"] = value
    line = line_of(tmp_path, cells)
    assert f"line 11: a {value!r} is no number within ±1e+18; use a larger unit, or leave a out: --set" in line
    cells = good()
    cells.loc[2, "score"] = value
    assert f"line 4: score {value!r} is no number within ±1e+18; use a larger unit" in line_of(tmp_path, cells)


def test_numbers_that_are_just_not_too_large_are_read(tmp_path: Path) -> None:
    assert load(tmp_path, good().assign(a=np.linspace(-1e18, 1e18, ROWS))).values[0, 0] == -1e18


@pytest.mark.parametrize("kind", ["csv", "semicolons", "xlsx"])
def test_a_column_called_like_the_line_of_the_file_is_refused_with_a_mend_that_works(tmp_path: Path, kind: str) -> None:
    cells, path = good().assign(row=range(ROWS)), tmp_path / f"table.{'xlsx' if kind == 'xlsx' else 'csv'}"
    if kind == "xlsx":
        pytest.importorskip("openpyxl")
        cells.to_excel(path, index=False)
    else:
        cells.to_csv(path, index=False, sep=";" if kind == "semicolons" else ",")
    with pytest.raises(DataError, match="the name 'row' is taken") as error:
        load_table(TableSource(reader="csv", path=str(path)))
    change = shlex.split(str(error.value).partition("out: --set ")[2])[0]
    data: dict = {}
    apply_overrides(data, [change])
    assert load_table(TableSource(reader="csv", path=str(path), **data["table"])).columns == ("a", "b")


def test_text_in_the_target_is_not_left_out(tmp_path: Path) -> None:
    cells = good()
    cells.loc[1, "score"] = "good"
    line = line_of(tmp_path, cells)
    assert "line 3: score 'good' is no number; fix or empty the cell" in line
    assert "--set" not in line


def test_constant_columns_are_all_named(tmp_path: Path) -> None:
    line = line_of(tmp_path, good().assign(one=1, two=2.5))
    assert "same number in every row of one, two; leave one, two out: --set 'table.columns=[a, b]'" in line


@pytest.mark.parametrize(
    ("change", "section", "line"),
    [
        (lambda t: t, {"target": "scores"}, "no column 'scores'; did you mean 'score'"),
        (lambda t: t, {"columns": ["a", "c"]}, "no column 'c'"),
        (lambda t: t, {"columns": ["a", "a"]}, "table.columns: each column once"),
        (lambda t: t, {"columns": ["a", "score"]}, "without the target 'score'"),
        (lambda t: t, {"target": "row"}, "no column 'row'; rename it in the file"),
        (lambda t: t.assign(row=t["b"]), {"target": "row"}, "no column 'row'; rename it in the file"),
        (lambda t: t, {"options": {"count": 5}}, "table.options: the reader csv has none, not count"),
        (lambda t: t.assign(score=3.5), {}, "the target 'score' is 3.5 in every row"),
        (lambda t: t[["score"]], {}, "no column but the target 'score'"),
        (lambda t: t.iloc[:0], {}, "no rows below the header"),
        (lambda t: t.assign(a=None, b=None), {"max_bad_share": 1.0}, "no usable row"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path: Path, change, section: dict, line: str) -> None:
    assert line in line_of(tmp_path, change(good()), **section)


@pytest.mark.parametrize(
    ("section", "kind", "line"),
    [
        ({"reader": "csv"}, ConfigError, "table.path: the reader csv needs a file"),
        ({"reader": "csv", "path": "/nowhere/t.csv"}, DataError, "table.path: no file /nowhere/t.csv"),
        ({"path": "t.csv"}, ConfigError, "the embedded records have none"),
        ({"options": {"cuont": 5}}, ConfigError, "table.options: unknown key 'cuont'; did you mean 'count'"),
        ({"target": "scor"}, DataError, "embedded records: no column 'scor'; did you mean 'score'"),
    ],
)
def test_a_source_that_makes_no_sense_is_one_line(section: dict, kind: type[Exception], line: str) -> None:
    with pytest.raises(kind) as error:
        load_table(TableSource(**section))
    assert line in str(error.value)


def test_the_hash_changes_with_any_number_and_any_name(tmp_path: Path) -> None:
    other = good()
    other.loc[0, "b"] += 1
    tables = [good(), other, good().rename(columns={"a": "z"})]
    assert len({load(tmp_path, table).data_hash() for table in tables}) == 3
    assert load(tmp_path, good()).data_hash() == load(tmp_path, good()).data_hash()
