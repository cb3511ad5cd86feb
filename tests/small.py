"""Runs and listeners that are small enough for a test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SMALL = [
    "--set", "data.sources.0.options.count=60", "--set", "data.sources.0.options.size=40",
    "--set", "data.crop.size=32", "--set", "training.epochs=2", "--set", "training.batch_size=8",
    "--set", "evaluation.bootstrap_samples=20",
]  # fmt: skip
"""The quickstart made small enough for a test."""

UNTUNED = ["integer.fine_tuning=null", "integer.calibration.observer=minmax"]
"""Changes of an export recipe: integers without fine-tuning."""


def photo_configs() -> list[str]:
    """Shipped configs that train a net on photos."""
    from keras_faceattr.config_files import config_names, experiment_kind

    return [name for name in config_names() if experiment_kind(name) == "photos"]


def frameworks_after(code: str) -> str:
    """What a child process that runs `code` prints, and last which frameworks it has imported by then."""
    code = f"import sys; {code}\nprint(sorted({{'tensorflow', 'keras', 'jax'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CommandLine = Callable[..., tuple[int, str, str]]


class Quiet:
    """Listens to an export, keeps its lines, and shows nothing."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.epochs: list[int] = []

    def decode_progress(self) -> Any:
        return lambda done, total: None

    def teacher_progress(self) -> Any:
        return lambda done, total: None

    def say(self, line: str) -> None:
        self.lines.append(line)

    def on_step(self, *_: Any) -> None:
        """Nothing."""

    def on_epoch(self, row: dict[str, Any], best: bool) -> None:
        self.epochs.append(row["epoch"])


def untrained_run(folder: Path, config: dict[str, Any], splits: tuple[str, ...] = ("train", "test")) -> Path:
    """The folder of a run whose net has its initial weights: all that an export reads, without the training."""
    from keras_faceattr.config_files import parse_experiment
    from keras_faceattr.data.prepare import prepare
    from keras_faceattr.run import Run
    from keras_faceattr.storage import write_json
    from keras_faceattr.training.fit import network_of, save_model
    from keras_faceattr.training.provenance import provenance

    experiment = parse_experiment(config, "test")
    data, run = prepare(experiment, splits), Run(folder)
    run.write_config(experiment, data.tasks)
    save_model(experiment, data.tasks, network_of(experiment, data.tasks), run)
    write_json(run.provenance_path, provenance(experiment, data))
    return folder
