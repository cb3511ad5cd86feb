"""Exit codes: a verdict, a mistake of the user, a crash and a stop are told apart."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_faceattr.budget.limits import Verdict
from keras_faceattr.cli import cache
from keras_faceattr.cli.exit_codes import conclude
from keras_faceattr.errors import RunError

from .conftest import Cli

ROOT = Path(__file__).parents[2]
CODES = {0, 1, 2, 3, 70, 130, 141}


@pytest.fixture
def failing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], tuple[int, str]]:
    """Code and last line of a command in which something is raised."""

    def run(error: BaseException) -> tuple[int, str]:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(cache, "run_cache", fail)
        done = cli("cache")
        assert done.out == ""
        return done.code, "".join(done.err.splitlines()[-1:])

    return run


def test_a_crash_is_one_line_with_a_code_of_its_own(failing: Callable[[BaseException], tuple[int, str]]) -> None:
    code, line = failing(ValueError("no such\nthing"))
    assert code == 70
    assert line.startswith("internal error: ValueError: no such thing; ")
    assert "KERAS_FACEATTR_TRACEBACK=1" in line and "issue tracker" in line
    assert failing(KeyError("x"))[0] == 70


def test_the_traceback_of_a_crash_is_shown_only_where_it_is_asked_for(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['keras-faceattr', 'cache']; from keras_faceattr.cli import cache, main;"
        "cache.run_cache = lambda *_: 1 / 0; main()"
    )
    for value, lines in (("", 1), ("1", 5)):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={"KERAS_FACEATTR_TRACEBACK": value}
        )
        assert done.returncode == 70
        told = done.stderr.splitlines()
        assert len(told) == 1 if value == "" else len(told) >= lines
        assert told[-1].startswith("internal error: ZeroDivisionError: division by zero; ")
        assert ("Traceback" in done.stderr) == bool(value)


def test_what_the_user_can_fix_and_a_stop_are_no_verdicts_either(
    failing: Callable[[BaseException], tuple[int, str]],
) -> None:
    assert failing(RunError("the disk is full")) == (2, "error: the disk is full")
    assert failing(KeyboardInterrupt())[0] == 130
    # Of another pipe than the output, whose reader is there.
    assert failing(BrokenPipeError(32, "Broken pipe"))[0] == 2


@pytest.mark.parametrize(
    ("gates", "code", "told"),
    [
        ([], None, []),
        ([(True, True), (None, False), (False, False)], None, []),
        ([(True, True), (None, True)], 3, ["not measured: b"]),
        ([(None, True), (False, True), (False, True)], 1, ["not measured: a", "limit not met: b, c"]),
    ],
)
def test_a_command_ends_by_the_limits_that_apply(
    gates: list[tuple[bool | None, bool]], code: int | None, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = [
        Verdict(name=name, limit="1", measured="2", met=met, applies=applies)
        for name, (met, applies) in zip("abc", gates, strict=False)
    ]
    if code is None:
        conclude(found, "limit")
    else:
        with pytest.raises(Exception) as stop:
            conclude(found, "limit")
        assert stop.value.exit_code == code  # type: ignore[attr-defined]
    assert capsys.readouterr().err.splitlines() == told


def test_the_docs_name_every_code_and_no_other() -> None:
    text = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == CODES
    assert "docs/exit-codes.md" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("export", "benchmark", "code", "steps"),
    [
        (0, 0, 0, ["fit", "export", "benchmark"]),
        (3, 0, 0, ["fit", "export", "benchmark"]),
        (3, 3, 0, ["fit", "export", "benchmark"]),
        (1, 0, 2, ["fit", "export"]),
        (70, 0, 2, ["fit", "export"]),
        (0, 1, 2, ["fit", "export", "benchmark"]),
    ],
)
def test_make_quickstart_says_what_was_not_measured_and_goes_on_and_stops_at_what_is_not_met(
    tmp_path: Path, export: int, benchmark: int, code: int, steps: list[str]
) -> None:
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    folder = tmp_path / "bin"
    folder.mkdir()
    stand_in = folder / "keras-faceattr"
    stand_in.write_text(
        f"#!/bin/sh\necho $1 >> {tmp_path}/steps\n"
        f"case $1 in export) exit {export};; benchmark) exit {benchmark};; esac\n"
    )
    (folder / "python").write_text("#!/bin/sh\n")
    (tmp_path / "runs" / "quickstart").mkdir(parents=True)
    for path in (stand_in, folder / "python"):
        path.chmod(0o755)
    for name in ("Makefile", "setup.cfg", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    time.sleep(0.01)
    (tmp_path / ".installed").touch()
    done = subprocess.run(
        ["make", "-s", "quickstart", f"VENV={tmp_path}", f"BIN={folder}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert (tmp_path / "steps").read_text().split() == steps
    assert done.stdout.count("not everything was measured") == [export, benchmark].count(3)
    assert ("page " in done.stdout) == (code == 0)
