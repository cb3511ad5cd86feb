"""`quarantine.csv` of a run: rows are added as they are, and once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from keras_faceattr.errors import RunError
from keras_faceattr.evaluation.evaluate_run import append_quarantine
from keras_faceattr.run import Run

ROWS = [("a", "007", 2, "no such photo"), ("a", "NA", 3, "no such photo"), ("b", "1.50", -1, 'says "no", twice')]


def frame(rows: list[tuple[str, str, int, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=pd.Index(["source", "image", "row", "reason"]))


def test_names_that_look_like_numbers_or_like_nothing_stay_as_they_are(tmp_path: Path) -> None:
    run = Run(tmp_path)
    frame(ROWS[:2]).to_csv(run.quarantine_path, index=False)
    assert append_quarantine(run, frame(ROWS)) == 3
    expected = 'source,image,row,reason\na,007,2,no such photo\na,NA,3,no such photo\nb,1.50,-1,"says ""no"", twice"\n'
    assert run.quarantine_path.read_text() == expected
    # However often a run is measured.
    assert append_quarantine(run, frame(ROWS[::-1])) == 3
    assert run.quarantine_path.read_text() == expected


def test_a_row_without_a_name_is_kept_once(tmp_path: Path) -> None:
    run, unnamed = Run(tmp_path), frame([("a", None, 4, "no such photo")])  # type: ignore[list-item]
    assert [append_quarantine(run, unnamed) for _ in range(2)] == [1, 1]
    assert run.quarantine_path.read_text() == "source,image,row,reason\na,,4,no such photo\n"


def test_nothing_put_aside_is_a_table_without_rows(tmp_path: Path) -> None:
    assert append_quarantine(Run(tmp_path), frame([])) == 0
    assert Run(tmp_path).quarantine_path.read_text() == "source,image,row,reason\n"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'source,image\n"a', b"source,image\na,b\n"])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    Run(tmp_path).quarantine_path.write_bytes(content)
    with pytest.raises(RunError, match=r"quarantine\.csv is damaged"):
        append_quarantine(Run(tmp_path), frame(ROWS))
