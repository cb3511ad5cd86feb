"""`keras-faceattr evaluate`."""

from __future__ import annotations

from pathlib import Path

from keras_faceattr.api.measuring import evaluate, jitter
from keras_faceattr.cli.options import data_paths, print_json
from keras_faceattr.cli.results import print_jitter, print_results
from keras_faceattr.errors import ConfigError


def run_evaluate(
    path: Path, data: list[str], split: str, tta: str | None, out: Path | None, with_jitter: bool, json: bool
) -> None:
    """Print the metrics of a run or an exported file on a split, or what disturbed crops do to them."""
    if not with_jitter:
        report = evaluate(path, data=data_paths(data), split=split, tta=tta, out=out)
        if json:
            print_json(report.results)
            return
        print_results(report.results)
        if report.predictions:
            print(f"\npredictions  {report.predictions}")
        return
    if out:
        raise ConfigError("--out writes predictions of undisturbed crops: leave it or --jitter out")
    result = jitter(path, data=data_paths(data), split=split, tta=tta)
    if json:
        print_json(result)
    else:
        print_jitter(result)
