"""`keras-faceattr fit`."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path

from keras_faceattr.api.fitting import fit
from keras_faceattr.cli.options import data_paths, print_json
from keras_faceattr.cli.results import print_results
from keras_faceattr.run import FEATURES, PHOTOS, TABLE, Run

PRINTERS = {
    PHOTOS: ("keras_faceattr.cli.fit", "print_photos"),
    TABLE: ("keras_faceattr.cli.fit_table", "print_table_run"),
    FEATURES: ("keras_faceattr.cli.fit_features", "print_features_run"),
}
"""Module and function that print a run, by its kind; each imports what its kind needs."""


def run_fit(
    config: str | None,
    data: list[str],
    overrides: list[str],
    runs: Path,
    resume: Path | None,
    tensorboard: bool,
    json: bool,
) -> None:
    """Train whatever the config is about, and say where the result lies and what comes next."""
    run = fit(config, data=data_paths(data), set=overrides, runs=runs, resume=resume, tensorboard=tensorboard)
    kind = run.kind()
    if json:
        report = {"report": str(run.report_path)} if kind == PHOTOS else {}
        print_json({"folder": str(run.folder), **report, **run.results()})
        return
    module, function = PRINTERS[kind]
    getattr(importlib.import_module(module), function)(run)


def print_photos(run: Run) -> None:
    """Print the metrics of a net on photos, its files, and the next commands."""
    print_results(run.results())
    print(f"\nreport   {run.report_path}\nmodel    {run.model_path}")
    folder = shlex.quote(str(run.folder))
    print(f"next     keras-faceattr export {folder} --tflite")
    print(f"         keras-faceattr evaluate {folder}")
    print(f"         keras-faceattr predict {folder} PHOTO|FOLDER|CSV --out predictions.csv")
