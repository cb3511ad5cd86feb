"""Tables as text: separators, header rows, line numbers, and one-line errors."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from keras_faceattr.data.datasets.label_tables import find_tables, read_lines, read_table, require_columns
from keras_faceattr.errors import DataError


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_cells_are_stripped_text_with_their_line(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f" name{delimiter}age \n\n NA {delimiter} 007\nb{delimiter}\n", encoding="utf-8-sig")
    table = read_table(path)
    assert list(table.columns) == ["name", "age", "row"]
    assert table["name"].tolist() == ["NA", "b"]
    assert table["age"][0] == "007"
    assert pd.isna(table["age"][1])
    assert table["row"].tolist() == [3, 4]


def test_rows_above_the_header_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"A title, over\ntwo lines",,\n,,\nTarget,Age,\n,,\nx,3,\n')
    table = read_table(path, header_with=("Model", "target"))
    assert table.to_dict("records") == [{"Target": "x", "Age": "3", "row": 6}]


def test_names_serve_where_there_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1.jpg;5;1\n")
    table = read_table(path, header_with=("image",), names=("image", "mean", "std"))
    assert table.to_dict("records") == [{"image": "1.jpg", "mean": "5", "std": "1", "row": 1}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"a,b\n", "no rows below the header"),
        (b"a,b\n1,\xff\n", "not UTF-8 text"),
        (b"a,b\n1,2,3\n", "not a table"),
        (b"a,a\n1,2\n", "two columns are called 'a'"),
    ],
)
def test_a_bad_csv_is_a_one_line_error_with_its_path(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_header_and_column_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(DataError, match=r"no label file .*a\.csv"):
        read_table(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no header row with a column 'Target' or 'Model'"):
        read_table(path, header_with=("Target", "Model"))
    with pytest.raises(DataError, match="no column 'age'; it has a, b$"):
        require_columns(read_table(path), ["a", "age"], path)


def test_lines_of_words_keep_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("NA null\n\n2.jpg\t6 \n")
    assert read_lines(path, ("name", "code")).values.tolist() == [["NA", "null", 1], ["2.jpg", "6", 3]]
    path.write_text("1.jpg 5\n2.jpg 6 7\n")
    with pytest.raises(DataError, match=r"a\.txt: not lines of name and code \(.*line 2, saw 3\)"):
        read_lines(path, ("name", "code"))


def test_csv_goes_before_xlsx(tmp_path: Path) -> None:
    for name in ("a.xlsx", "a.csv", "a.txt"):
        (tmp_path / name).write_text("x")
    assert find_tables(tmp_path, "a.*") == [tmp_path / "a.csv"]


def test_xlsx_without_openpyxl_says_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"PK")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"needs openpyxl; install it, or save the sheet as csv"):
        read_table(path)


def test_xlsx_header_is_looked_for_on_the_named_sheet_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = pd.DataFrame([["Target", "Age"], ["wrong", "1"]], dtype="string")
    wanted = pd.DataFrame([["A title", None], [None, None], ["Target", "Age"], ["right", "2"]], dtype="string")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(pd, "read_excel", lambda path, **options: {"CFD-MR": other, "CFD U.S. Norming": wanted})
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"PK")
    table = read_table(path, header_with=("Target",), sheet="CFD U.S.")
    assert table.to_dict("records") == [{"Target": "right", "Age": "2", "row": 4}]


def test_xlsx_of_a_real_writer_is_read(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    path = tmp_path / "a.xlsx"
    pd.DataFrame({"Image": [1, 2], "Score": [2.5, 3.0]}).to_excel(path, index=False)
    table = read_table(path)
    assert table["Image"].tolist() == ["1", "2"]
    assert table["Score"].astype(float).tolist() == [2.5, 3.0]
    path.write_bytes(b"not a zip")
    with pytest.raises(DataError, match="not a readable xlsx"):
        read_table(path)
