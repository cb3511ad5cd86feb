"""The command itself."""

import os
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
    assert done.code == 2 and "not enough memory: end other programs" in done.error


def test_opencv_writes_no_lines_between_ours() -> None:
    damaged = "[b'GIF89a' + bytes(20), b'II*\\0' + bytes(90), b'BM' + bytes(60), b'P6 9 9 255 ']"
    script = f"""
from keras_faceattr.cli.environment import prepare_environment
prepare_environment()
from keras_faceattr.errors import PhotoError
from keras_faceattr.faces.photos import decode_photo
for data in {damaged}:
    try:
        decode_photo(data, "photo")
    except PhotoError as error:
        print(error)
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENCV_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert len(done.stdout.splitlines()) == 4 and done.stderr == ""


def test_an_unknown_command_or_option_exits_2(cli: Cli) -> None:
    assert cli("fitt").code == 2
    assert cli("fit", "--sett", "a=b").code == 2
