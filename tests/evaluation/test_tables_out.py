"""Tables written row by row are whole or absent."""

from pathlib import Path

import pandas as pd
import pytest

from keras_faceattr.errors import ConfigError
from keras_faceattr.evaluation.table_writer import open_table

ROWS = [{"image": "a,b.jpg", "age": 1 / 3}, {"image": "ü.jpg", "age": 2.0}]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_rows_of_several_batches_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    with open_table(path, "text") as table:
        table.write(ROWS[:1])
        table.write([])
        table.write(ROWS[1:])
    read = {".csv": pd.read_csv, ".jsonl": lambda p: pd.read_json(p, lines=True), ".parquet": pd.read_parquet}[suffix]
    got = read(path)
    assert list(got["image"]) == ["a,b.jpg", "ü.jpg"]
    assert got["age"].iloc[0] == pytest.approx(1 / 3, rel=1e-5)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_error_midway_leaves_no_half_table_and_the_old_one_in_place(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_text("old")
    with pytest.raises(RuntimeError), open_table(path, "text") as table:
        table.write(ROWS)
        raise RuntimeError
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_unknown_suffix_is_refused() -> None:
    with pytest.raises(ConfigError, match="valid: .csv, .jsonl, .parquet"), open_table(Path("t.xls"), "text"):
        pass
