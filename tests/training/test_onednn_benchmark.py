"""Training with oneDNN off and on: two processes in turn, and the choice of a run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small import SMALL, CommandLine

from keras_faceattr.cli.environment import ONEDNN, onednn_of
from keras_faceattr.config_files import load_experiment
from keras_faceattr.errors import DataError
from keras_faceattr.training import onednn_benchmark
from keras_faceattr.training.onednn_benchmark import benchmark_onednn

AFTER = """
import contextlib, io, json, os, sys
from keras_faceattr.cli import main
sys.argv = ["keras-faceattr", *json.loads(sys.argv[1])]
code = 0
try:
    with contextlib.redirect_stdout(io.StringIO()):
        main()
except SystemExit as stop:
    code = stop.code or 0
from tensorflow.python.util import _pywrap_util_port
print(json.dumps([code, os.environ.get("TF_ENABLE_ONEDNN_OPTS"), _pywrap_util_port.IsMklEnabled()]))
"""


def resumed(run: Path, own: str | None) -> tuple[list[Any], str]:
    """Exit status, variable and TensorFlow's own word after `fit --resume`, and what was said."""
    environment = {key: value for key, value in os.environ.items() if key != ONEDNN}
    words = json.dumps(["fit", "--resume", str(run)])
    done = subprocess.run(
        [sys.executable, "-c", AFTER, words],
        env={**environment, **({} if own is None else {ONEDNN: own})},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.slow
def test_a_resumed_run_keeps_its_setting_and_the_users_own_is_told(small_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    provenance = json.loads((run / "provenance.json").read_text())
    assert provenance["processor"] and isinstance(provenance["instruction_sets"], list) and "onednn" in provenance
    (run / "provenance.json").write_text(json.dumps({**provenance, "onednn": "0"}))
    found, said = resumed(run, None)
    assert found == [0, "0", False] and ONEDNN not in said
    found, said = resumed(run, "1")
    assert found == [0, "1", True]
    assert f"{ONEDNN}=1 is set, but the run began with {ONEDNN}=0: numbers may differ slightly" in said


def test_a_run_of_an_earlier_version_leaves_the_choice_to_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(ONEDNN, raising=False)
    (tmp_path / "provenance.json").write_text('{"seed": 0}')
    assert onednn_of(tmp_path) is None and onednn_of(tmp_path / "none") is None
    monkeypatch.setenv(ONEDNN, "0")
    onednn_of(tmp_path)
    assert "the run began with TensorFlow's own choice" in capsys.readouterr().err


def test_the_command_line_turns_onednn_on_unless_the_user_has_set_it() -> None:
    code = (
        "import os; from keras_faceattr.cli.environment import start_backend; start_backend()\n"
        "from tensorflow.python.util import _pywrap_util_port\n"
        "print(os.environ['TF_ENABLE_ONEDNN_OPTS'], _pywrap_util_port.IsMklEnabled())"
    )
    environment = {key: value for key, value in os.environ.items() if key != ONEDNN}
    for own, expected in (({}, "1 True"), ({ONEDNN: "0"}, "0 False")):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env={**environment, **own}, capture_output=True, text=True, timeout=120)
        assert done.stdout.strip() == expected, done.stderr


@pytest.mark.slow
def test_off_and_on_are_measured_in_turn(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn_benchmark, "ROUNDS", 2)
    small = SMALL[: SMALL.index("evaluation.bootstrap_samples=20") - 1]
    code, out, err = command_line("benchmark", "pipeline", "--onednn", *small, "--steps", "5", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert set(found["images_per_s"]) == {"off", "on"} and all(speed > 0 for speed in found["images_per_s"].values())
    assert found["ratio"] > 0 and found["processor"] and found["batch_size"] == 8
    rounds = [line for line in err.splitlines() if line.startswith("round ")]
    assert rounds == [f"round {number} of 2, oneDNN {name}" for number in (1, 2) for name in ("off", "on")]


def test_an_error_of_a_child_is_the_users_error() -> None:
    experiment = load_experiment("quickstart", ["data.sources.0.reader=csv_file", "data.sources.0.path=none.csv",
                                                "data.sources.0.options={}"], {})  # fmt: skip
    with pytest.raises(DataError, match=r"none\.csv"):
        benchmark_onednn(experiment, 5, lambda line: None)


@pytest.mark.parametrize("text", ['{"onednn": 5}', '{"onednn": ["0"]}', '{"onednn": {}}', "[]", "[" * 100_000])
def test_a_damaged_provenance_sets_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "provenance.json").write_text(text)
    assert onednn_of(tmp_path) is None
