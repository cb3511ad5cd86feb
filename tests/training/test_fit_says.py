"""What `fit` says of its data before the first batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keras_faceattr.config_files import parse_experiment
from keras_faceattr.training.fit import fit


class Stopping:
    """Listens until training would begin."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def decode_progress(self) -> Any:
        return lambda done, total: None

    def on_start(self, run: object, data: object, network: object, told: list[str]) -> None:
        self.told = told
        raise KeyboardInterrupt


def test_a_class_without_a_training_photo_is_named(tmp_path: Path, tiny_csv) -> None:
    # Of the classes c is on no photo, and b on a test photo alone; nobody in training smiles not.
    columns = {"mood": list("aaaaaaaabb"), "smile": [1] * 8 + [0] * 2, "split": ["train"] * 8 + ["test"] * 2}
    source = {"reader": "csv_file", "path": str(tiny_csv(tmp_path, 10, **columns))}
    config = {
        "name": "x",
        "data": {"sources": [source], "crop": {"size": 32}},
        "tasks": {"mood": {"kind": "categorical", "classes": ["a", "b", "c"]}, "smile": {"kind": "binary"}},
        "training": {"batch_size": 2, "epochs": 1, "first_stage_epochs": 0},
    }
    listener = Stopping()
    with pytest.raises(KeyboardInterrupt):
        fit(parse_experiment(config, "x"), tmp_path / "runs", listener)  # type: ignore[arg-type]
    assert listener.told == [
        "no training photo of mood b, c: the net cannot learn it",
        "no training photo of smile 0: the net cannot learn it",
    ]
