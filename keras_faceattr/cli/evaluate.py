"""`keras-faceattr evaluate`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from keras_faceattr.cli.options import check_out, data_paths, print_json
from keras_faceattr.cli.results import line_progress, print_jitter, print_results, say
from keras_faceattr.data.elsewhere import Elsewhere, read_elsewhere
from keras_faceattr.data.manifest import SPLITS, Manifest
from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.evaluation.jitter import measure_jitter
from keras_faceattr.evaluation.predictions import TTA, write_predictions
from keras_faceattr.evaluation.protocol import Check, measure
from keras_faceattr.net import Net, checked, load
from keras_faceattr.training.start import check_unseen


def run_evaluate(
    path: Path, data: list[str], split: str, tta: str | None, out: Path | None, jitter: bool, json: bool
) -> None:
    """Prints the metrics of a run or an exported file on a split, or what disturbed crops do to them."""
    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}; {nearest(split, SPLITS)}")
    if tta is not None:
        checked("tta", tta, TTA)
    if jitter and out:
        raise ConfigError("--out writes predictions of undisturbed crops: leave it or --jitter out")
    if out and out.suffix.lower() != ".csv":
        raise ConfigError(f"--out {out}: unknown kind {out.suffix!r}; valid: .csv")
    opened = load(path, data_paths(data))
    if out:
        check_out(out, [], opened.experiment)
    check = partial(_check_unseen, path, split)
    elsewhere = read_elsewhere(opened.experiment, opened.tasks, split) if opened.elsewhere else None
    for line in elsewhere.notes if elsewhere else ():
        say(line)
    if jitter:
        _run_jitter(opened, split, tta, json, check, elsewhere)
        return
    measured = measure(opened.predictor, opened.experiment, opened.tasks, split, tta, check=check, elsewhere=elsewhere)
    if out:
        write_predictions(out, measured.data.manifest, measured.data.tasks, measured.outputs)
    if json:
        print_json(measured.results)
        return
    print_results(measured.results)
    if out:
        print(f"\npredictions  {out}")


def _check_unseen(path: Path, split: str, manifest: Manifest) -> None:
    for line in check_unseen(path, manifest, split):
        say(line)


def _run_jitter(
    opened: Net, split: str, tta: str | None, json: bool, check: Check, elsewhere: Elsewhere | None
) -> None:
    progress = line_progress("predicting")
    result = measure_jitter(
        opened.predictor, opened.experiment, opened.tasks, split, tta, progress, check=check, elsewhere=elsewhere
    )
    if json:
        print_json(result)
    else:
        print_jitter(result, opened.tasks)
