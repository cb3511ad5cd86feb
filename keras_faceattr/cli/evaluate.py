"""`keras-faceattr evaluate`."""

from __future__ import annotations

from pathlib import Path

from keras_faceattr.cli.options import data_paths, print_json
from keras_faceattr.cli.results import print_results
from keras_faceattr.data.manifest import SPLITS
from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.evaluation.finish import evaluate_run, write_predictions
from keras_faceattr.run import Run

TTA = ("none", "flip")


def run_evaluate(folder: Path, data: list[str], split: str, tta: str | None, out: Path | None, json: bool) -> None:
    """Prints the metrics of a run on a split."""
    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}; {nearest(split, SPLITS)}")
    check_tta(tta)
    run = Run(folder)
    results, prepared, outputs = evaluate_run(run, split, tta, paths=data_paths(data))
    if out:
        write_predictions(out, prepared.manifest, run.tasks(), outputs)
    if json:
        print_json(results)
        return
    print_results(results)
    if out:
        print(f"\npredictions  {out}")


def check_tta(tta: str | None) -> None:
    """Refuses an unknown test-time augmentation.

    Raises:
        ConfigError: with the valid ones.
    """
    if tta is not None and tta not in TTA:
        raise ConfigError(f"unknown --tta {tta!r}; {nearest(tta, TTA)}")
