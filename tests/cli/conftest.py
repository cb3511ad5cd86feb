"""Running the command line in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from small import SMALL as SMALL

from keras_faceattr.cli import main


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its stdout, as JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line of a user's error."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        return lines[0]


Cli = Callable[..., Done]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs `keras-faceattr` with arguments."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr("sys.argv", ["keras-faceattr", *map(str, arguments)])
        monkeypatch.setenv("KERAS_FACEATTR_TRACEBACK", "1")
        capfd.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capfd.readouterr()
        return Done(int(code), captured.out, captured.err)

    return run
