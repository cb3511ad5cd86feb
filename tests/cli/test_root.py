"""The command itself."""

import subprocess
import sys

import pytest

import keras_faceattr

from .conftest import Cli


def test_help_lists_the_commands(cli: Cli) -> None:
    done = cli("--help")
    assert done.code == 0
    for command in ("fit", "evaluate", "predict", "info", "data", "benchmark"):
        assert command in done.out


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "keras_faceattr", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == f"keras-faceattr {keras_faceattr.__version__}"


def test_a_lack_of_memory_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def short_of_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("keras_faceattr.cli.predict.run_predict", short_of_memory)
    done = cli("predict", "net.tflite", "photos")
    assert done.code == 2 and "out of memory; free some" in done.error


def test_an_unknown_command_or_option_exits_2(cli: Cli) -> None:
    assert cli("fitt").code == 2
    assert cli("fit", "--sett", "a=b").code == 2
