"""`keras-faceattr evaluate`."""

from __future__ import annotations

from pathlib import Path

from keras_faceattr.cli.options import data_paths, print_json
from keras_faceattr.cli.predictors import open_predictor
from keras_faceattr.cli.results import print_results
from keras_faceattr.data.manifest import SPLITS
from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.evaluation.measure import measure
from keras_faceattr.evaluation.predictions import write_predictions

TTA = ("none", "flip")


def run_evaluate(path: Path, data: list[str], split: str, tta: str | None, out: Path | None, json: bool) -> None:
    """Prints the metrics of a run or an exported file on a split."""
    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}; {nearest(split, SPLITS)}")
    check_tta(tta)
    opened = open_predictor(path, data_paths(data))
    measured = measure(opened.predictor, opened.experiment, opened.tasks, split, tta)
    if out:
        write_predictions(out, measured.data.manifest, opened.tasks, measured.outputs)
    if json:
        print_json(measured.results)
        return
    print_results(measured.results)
    if out:
        print(f"\npredictions  {out}")


def check_tta(tta: str | None) -> None:
    """Refuses an unknown test-time augmentation.

    Raises:
        ConfigError: with the valid ones.
    """
    if tta is not None and tta not in TTA:
        raise ConfigError(f"unknown --tta {tta!r}; {nearest(tta, TTA)}")
