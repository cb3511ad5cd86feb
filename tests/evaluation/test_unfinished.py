"""A prediction that is killed anywhere ends as one that was not, and computes no batch twice."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_faceattr.errors import RunError
from keras_faceattr.evaluation.table_writer import open_table
from keras_faceattr.evaluation.unfinished import Rows, Unfinished

TYPES = {"image": str, "age": float, "mood": str}
BATCHES = [
    Rows([{"image": f"{i} ü.jpg", "age": math.pi / (i + 1), "mood": None if i == 1 else "sad"}], [f"bad {i}"], [])
    for i in range(5)
]


class KilledError(Exception):
    """Stands for the end of the process."""


def predicted(out: Path, plan: str = "one", stop_before: int | None = None) -> list[int]:
    """Writes a table, and tells which batches were computed."""
    computed: list[int] = []

    def predict(first: int) -> Iterator[Rows]:
        for number in range(first, len(BATCHES)):
            if number == stop_before:
                raise KilledError
            computed.append(number)
            yield BATCHES[number]

    unfinished = Unfinished(out, {"plan": plan})
    with open_table(out, "text", TYPES) as table:
        for batch in unfinished.batches(predict):
            table.write(batch.rows)
    unfinished.finish()
    return computed


def journal(out: Path) -> Path:
    (found,) = out.parent.glob(".predicting-*.jsonl")
    return found


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("stop_before", [0, 1, 3])
def test_a_killed_prediction_goes_on_and_ends_as_one_that_was_not(
    tmp_path: Path, suffix: str, stop_before: int
) -> None:
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    assert predicted(whole) == [0, 1, 2, 3, 4]
    with pytest.raises(KilledError):
        predicted(out, stop_before=stop_before)
    assert not out.exists()
    assert predicted(out) == list(range(stop_before, 5))
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, whole.name]


def test_a_file_that_a_kill_cut_anywhere_is_mended(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    predicted(whole)
    with pytest.raises(KilledError):
        predicted(out, stop_before=4)
    kept = journal(out).read_bytes()
    ends = [place + 1 for place, byte in enumerate(kept) if byte == 10]
    for length in range(0, len(kept) + 1, 3):
        (tmp_path / "out.csv").unlink(missing_ok=True)
        (tmp_path / journal_name(out)).write_bytes(kept[:length])
        # The first line is the plan.
        complete = max(0, sum(end <= length for end in ends) - 1)
        assert predicted(out) == list(range(complete, 5)), length
        assert out.read_bytes() == whole.read_bytes()


def journal_name(out: Path) -> str:
    return Unfinished(out, {}).path.name


@pytest.mark.parametrize("line", [b"{}\n", b"[1]\n", b"no JSON\n", b'{"rows": []}\n', b"\xff\n"])
def test_a_damaged_line_is_computed_again_with_all_behind_it(tmp_path: Path, line: bytes) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    predicted(whole)
    with pytest.raises(KilledError):
        predicted(out, stop_before=4)
    lines = journal(out).read_bytes().splitlines(keepends=True)
    journal(out).write_bytes(b"".join([*lines[:3], line, *lines[4:]]))
    assert predicted(out) == [2, 3, 4]
    assert out.read_bytes() == whole.read_bytes()


def test_other_photos_or_another_net_begin_anew(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(KilledError):
        predicted(out, stop_before=3)
    assert predicted(out, plan="two") == [0, 1, 2, 3, 4]


def test_two_tables_in_one_folder_do_not_share_what_they_keep(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        predicted(tmp_path / "a.csv", stop_before=3)
    assert predicted(tmp_path / "b.csv") == [0, 1, 2, 3, 4]
    assert predicted(tmp_path / "a.csv") == [3, 4]


def test_two_predictions_cannot_write_one_table_at_once(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    first = Unfinished(out, {}).batches(lambda number: iter(BATCHES))
    next(first)
    with pytest.raises(RunError, match="another process is filling .*out.csv"):
        next(Unfinished(out, {}).batches(lambda number: iter(BATCHES)))
    first.close()  # type: ignore[attr-defined]


def test_what_is_kept_is_valid_json(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    rows = Unfinished(out, {}).batches(lambda number: iter([Rows([{"age": math.nan}], [], [])]))
    assert len(list(rows)) == 1
    for line in journal(out).read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
