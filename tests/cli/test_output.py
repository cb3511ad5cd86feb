"""What the machine refuses, from standard output to memory, is one line and a documented exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from keras_faceattr.errors import RunError
from keras_faceattr.failures import machine_failure

from .conftest import Cli

COMMAND = [sys.executable, "-m", "keras_faceattr", "data", "list"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_standard_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(COMMAND, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2, "error: No space left on device; free space or choose another folder\n"
    )  # fmt: skip


def test_a_reader_who_leaves_ends_the_command_in_silence_as_sigpipe_would() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(COMMAND, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "not enough memory"),
        (OSError(12, "Cannot allocate memory"), "not enough memory"),
        (RuntimeError("can't start new thread"), "not enough memory"),
        (ImportError("libx.so: failed to map segment from shared object"), "not enough memory"),
        (RuntimeError("OpenCV(4.10) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate"), "not enough"),
        (OSError(28, "No space left on device", "a/b.csv"), "a/b.csv: No space left on device; free space"),
        (OSError(36, "File name too long", "x.csv"), "x.csv: File name too long; choose a shorter name"),
        (PermissionError(13, "Permission denied", "x"), "x: Permission denied; choose another folder, or one that you"),
        (BrokenProcessPool("terminated abruptly"), "a worker process was killed, usually for too little"),
        (OSError(24, "Too many open files"), "Too many open files; raise the limit of open files"),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("keras_faceattr.cli.data_list.run_list", refuse)
    done = cli("data", "list")
    assert done.code == 2 and done.error.startswith(f"error: {line}")


def test_an_error_behind_another_tells_of_memory_too() -> None:
    try:
        try:
            raise MemoryError
        except MemoryError:
            raise ValueError("cannot build the net") from None
    except ValueError as error:
        assert "not enough memory" in (machine_failure(error) or "")
    assert machine_failure(ValueError("x")) is machine_failure(RunError("x")) is None


def test_an_error_line_has_a_readable_length(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RunError("x" * 100_000)

    monkeypatch.setattr("keras_faceattr.cli.data_list.run_list", refuse)
    done = cli("data", "list")
    assert done.code == 2 and len(done.error) < 2100


@pytest.mark.parametrize(
    "command",
    [
        ("data", "inspect", "NAME"),
        ("data", "inspect", "NAME.csv"),
        ("predict", "NAME.tflite", "photo.jpg"),
        ("evaluate", "NAME.tflite"),
        ("info", "NAME.tflite"),
        ("benchmark", "NAME.tflite"),
        ("demo", "NAME"),
        ("compare", "NAME", "NAME2"),
        ("align", "NAME", "--out", "o"),
        ("align", "utkface=NAME", "--out", "o"),
    ],
)
def test_a_name_that_no_file_system_takes_is_one_line(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(*(word.replace("NAME", "n" * 300) for word in command))
    assert done.code == 2 and "nnn" in done.error and not list(tmp_path.iterdir())
