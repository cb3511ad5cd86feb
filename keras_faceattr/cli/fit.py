"""`keras-faceattr fit`."""

from __future__ import annotations

import importlib
import os
import shlex
from pathlib import Path
from typing import Any

from keras_faceattr.cli.options import DEFAULT_CONFIG, data_paths, print_json, read_experiment
from keras_faceattr.cli.progress import FitProgress
from keras_faceattr.cli.results import print_results
from keras_faceattr.config import Experiment
from keras_faceattr.config_files import experiment_kind, with_paths
from keras_faceattr.errors import ConfigError, RunError
from keras_faceattr.run import TABLE, Run
from keras_faceattr.training.checks import check_same_experiment
from keras_faceattr.training.fit import fit


def run_fit(
    config: str | None,
    data: list[str],
    overrides: list[str],
    runs: Path,
    resume: Path | None,
    tensorboard: bool,
    json: bool,
) -> None:
    """Trains whatever the config is about, and says where the result lies and what comes next."""
    run = Run(resume) if resume else None
    if run is None:
        _check_runs(runs)
    kind = run.kind() if run else experiment_kind(DEFAULT_CONFIG if config is None else config)
    if run and config is not None and experiment_kind(config) != kind:
        raise ConfigError(f"{run.folder} is a run of kind {kind!r}, {config} a config of {experiment_kind(config)!r}")
    if kind in OTHER_KINDS:
        if tensorboard:
            raise ConfigError(f"--tensorboard is for nets that take photos, not for {kind}: leave it out")
        # Imported by its row's name: scikit-learn takes a second that a training on photos need not wait for.
        module, function = OTHER_KINDS[kind]
        getattr(importlib.import_module(module), function)(config, data, overrides, runs, resume, json)
        return
    experiment = _experiment(config, data, overrides, run)
    with FitProgress() as progress:
        try:
            run = fit(experiment, runs, progress, resume=run, make_callbacks=_tensorboard if tensorboard else None)
        except KeyboardInterrupt:
            if progress.folder:
                progress.say(f"stopped; go on with: {Run(progress.folder).resume_command}")
            raise
    results = run.results()
    if json:
        print_json({"folder": str(run.folder), "report": str(run.report_path), **results})
        return
    print_results(results)
    print(f"\nreport   {run.report_path}\nmodel    {run.model_path}")
    folder = shlex.quote(str(run.folder))
    print(f"next     keras-faceattr export {folder} --tflite")
    print(f"         keras-faceattr evaluate {folder}")
    print(f"         keras-faceattr predict {folder} PHOTO|FOLDER|CSV --out predictions.csv")


def _tensorboard(run: Run) -> list[Any]:
    import keras

    return [keras.callbacks.TensorBoard(str(run.folder / "tensorboard"), write_graph=False)]


OTHER_KINDS = {
    TABLE: ("keras_faceattr.cli.fit_table", "fit_table_config"),
    "features": ("keras_faceattr.cli.fit_features", "fit_features_config"),
}
"""Module and function for configs that are not about training on photos."""


def _check_runs(runs: Path) -> None:
    """Finds a file in the way before photos are decoded, and makes nothing yet."""
    there = next(path for path in (runs, *runs.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise RunError(f"--runs {runs}: {there} is no folder; choose another")


def _experiment(config: str | None, data: list[str], overrides: list[str], run: Run | None) -> Experiment:
    if run is None:
        return read_experiment(config, data, overrides)
    experiment = run.experiment()
    if config is not None:
        check_same_experiment(run, read_experiment(config, data, overrides))
    elif overrides:
        raise ConfigError("--resume goes on with the run's own config: leave out --set")
    return with_paths(experiment, data_paths(data))
