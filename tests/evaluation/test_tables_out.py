"""Tables written row by row are whole or absent."""

import json
import math
import platform
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from keras_faceattr.errors import ConfigError
from keras_faceattr.evaluation.table_writer import open_table
from keras_faceattr.storage import TEMPORARY

ROWS = [{"image": "a,b.jpg", "age": 1 / 3}, {"image": "ü.jpg", "age": 2.0}]


TYPES = {"image": str, "age": float, "left": float, "mood": str}
READ = {".csv": pd.read_csv, ".jsonl": lambda path: pd.read_json(path, lines=True), ".parquet": pd.read_parquet}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_rows_of_several_batches_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    with open_table(path, "text", TYPES) as table:
        table.write(ROWS[:1])
        table.write([])
        table.write(ROWS[1:])
    got = READ[suffix](path)
    assert list(got["image"]) == ["a,b.jpg", "ü.jpg"]
    assert got["age"].iloc[0] == pytest.approx(1 / 3, rel=1e-5)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("empty_first", [True, False])
def test_a_batch_whose_cells_are_all_empty_may_come_first_or_later(
    tmp_path: Path, suffix: str, empty_first: bool
) -> None:
    empty = {"image": "a.jpg", "left": None, "mood": None}
    full = {"image": "b.jpg", "left": 2.5, "mood": "sad"}
    path = tmp_path / f"t{suffix}"
    with open_table(path, "text", TYPES) as table:
        for row in (empty, full) if empty_first else (full, empty):
            table.write([row])
    got = READ[suffix](path).set_index("image")
    assert got.loc["b.jpg", "left"] == 2.5 and got.loc["b.jpg", "mood"] == "sad"
    assert got.loc["a.jpg"].isna().all()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_what_is_no_number_is_an_empty_cell_and_valid_json(tmp_path: Path, suffix: str, number: float) -> None:
    path = tmp_path / f"t{suffix}"
    with open_table(path, "text", TYPES) as table:
        table.write([{"image": "a.jpg", "age": number}, {"image": "b.jpg", "age": 1.0}])
    assert READ[suffix](path)["age"].isna().tolist() == [True, False]
    if suffix == ".jsonl":
        assert json.loads(path.read_text().splitlines()[0], parse_constant=pytest.fail) == {
            "image": "a.jpg",
            "age": None,
        }
    if suffix == ".csv":
        assert path.read_text().splitlines()[1] == "a.jpg,"


def test_what_a_killed_call_left_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = tmp_path / f"{TEMPORARY}{ended.pid}-{platform.node()}-x.csv"
    left.touch()
    with open_table(tmp_path / "t.csv", "text") as table:
        table.write(ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_error_midway_leaves_no_half_table_and_the_old_one_in_place(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_text("old")
    with pytest.raises(RuntimeError), open_table(path, "text", TYPES) as table:
        table.write(ROWS)
        raise RuntimeError
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_unknown_suffix_is_refused() -> None:
    with pytest.raises(ConfigError, match="valid: .csv, .jsonl, .parquet"), open_table(Path("t.xls"), "text"):
        pass
