"""Running the command line in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keras_faceattr.cli import main

SMALL = [
    "--set", "data.sources.0.options.count=60", "--set", "data.sources.0.options.size=40",
    "--set", "data.crop.size=32", "--set", "training.epochs=2", "--set", "training.batch_size=8",
    "--set", "evaluation.bootstrap_samples=20",
]  # fmt: skip
"""The quickstart made small enough for a test."""


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
        capfd.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capfd.readouterr()
        return Done(int(code), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the quickstart, made small."""
    from keras_faceattr.cli.options import read_experiment
    from keras_faceattr.cli.progress import FitProgress
    from keras_faceattr.training.fit import fit

    experiment = read_experiment("quickstart", [], SMALL[1::2])
    with FitProgress() as progress:
        return fit(experiment, tmp_path_factory.mktemp("runs"), progress).folder
