"""What people read is the text itself: names in brackets are no markup, and nothing is cut in a pipe."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
from rich.table import Table

import keras_faceattr.cli
from keras_faceattr.budget.limits import Budget
from keras_faceattr.cli.benchmark_options import print_verdicts
from keras_faceattr.cli.results import print_results
from keras_faceattr.terminal.console import PlainConsole, plain_console, print_table, wide_console

ODD = "[red]net[/red] [/] :smile: [link=x]"


def number(value: float) -> dict[str, float]:
    return {"value": value, "low": value, "high": value}


def results(name: str) -> dict[str, object]:
    group = {"labelled": 12, "metrics": {"mae": number(0.5)}}
    task = {"kind": "scalar", "unit": name, "labelled": 12, "metrics": {"mae": number(0.5)}}
    task |= {"groups": {name: {name: group}}}
    return {"photos": 12, "split": name, "tta": "none", "put_aside": 0, "tasks": {name: task}}


def test_names_in_brackets_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_results(results(ODD))
    out = capsys.readouterr().out
    # Split, title of the task, unit, column and value of the group.
    assert out.count(ODD) >= 5
    budget = Budget(name=ODD, note=ODD)
    print_verdicts({ODD: [{"name": ODD, "limit": ODD, "measured": ODD, "met": False}]}, budget)
    assert capsys.readouterr().out.count(ODD) == 6


def test_a_table_of_verdicts_cuts_no_name_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    name = "runs/" + "a_very_long_name_of_a_run_" * 12 + "/net.tflite"
    print_verdicts({name: [{"name": "p90", "limit": "≤ 1 ms", "measured": "2 ms", "met": False}]}, Budget(name="own"))
    out = capsys.readouterr().out
    assert name in out and "…" not in out
    # One line for each row, which a script can read.
    assert re.search(rf"{re.escape(name)} +p90 +≤ 1 ms +2 ms +not met", out)


def test_long_lines_are_not_broken_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    plain_console().print("word " * 200)
    assert capsys.readouterr().out.count("\n") == 1


def test_a_narrow_terminal_folds_long_names_and_loses_no_letter() -> None:
    for console in (PlainConsole(file=StringIO(), force_terminal=True, width=30, color_system=None),):
        table = Table("file", "verdict", box=None)
        table.add_row("abcdefghijklmnopqrstuvwxyz0123456789", "not met")
        console.print(table)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "…" not in text and max(map(len, text.splitlines())) <= 30
        letters = re.sub(r"not met|file|verdict|\s", "", text)
        assert letters == "abcdefghijklmnopqrstuvwxyz0123456789"


def test_a_table_in_full_width_and_a_folded_one_read_no_markup_either(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("file", title=ODD)
    table.add_row(ODD)
    print_table(table)
    wide_console().print(table)
    assert capsys.readouterr().out.count(ODD) == 4


def test_every_command_prints_by_a_console_that_reads_no_markup() -> None:
    for path in Path(keras_faceattr.cli.__file__).parent.glob("*.py"):
        if path.stem != "console":
            assert not re.search(r"(?<!\w)Console\(", path.read_text(encoding="utf-8")), path
