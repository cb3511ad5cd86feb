"""`keras-faceattr fit` of regressors on features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from keras_faceattr.cli.console import wide_console
from keras_faceattr.cli.options import data_paths, print_json
from keras_faceattr.cli.results import say
from keras_faceattr.config_files import CONFIG_FOLDER, data_with_paths, load_section
from keras_faceattr.errors import ConfigError
from keras_faceattr.evaluation.formatting import metric_text, metric_title
from keras_faceattr.features.experiment import FeatureExperiment
from keras_faceattr.features.fit import fit_features, read_feature_experiment
from keras_faceattr.run import Run

METRICS = ("mae", "rmse", "pc")


def fit_features_config(
    config: str | None, data: list[str], overrides: list[str], runs: Path, resume: Path | None, json: bool
) -> None:
    """Fits regressors on the features of a config's photos, or goes on with a run."""
    run = Run(resume) if resume else None
    if run and (config or overrides):
        raise ConfigError("--resume goes on with the run's own config: leave out the config and --set")
    if run:
        experiment = read_feature_experiment(run)
    else:
        experiment = load_section(FeatureExperiment, CONFIG_FOLDER, str(config), "config", overrides)
    features = experiment.features
    if features.path:
        features = features.model_copy(update={"path": str(Path(features.path).expanduser().absolute())})
    sources = data_with_paths(experiment.data, data_paths(data))
    experiment = experiment.model_copy(update={"data": sources, "features": features})
    run = fit_features(experiment, runs, say, run)
    results = run.results()
    if json:
        print_json({"folder": str(run.folder), **results})
        return
    print_regressors(results)
    print(f"\npredictions  {run.predictions_path}\npicture      {run.folder / 'plots' / 'regressors.png'}")


def print_regressors(results: dict[str, Any]) -> None:
    """Print one row per regressor."""
    console = wide_console()
    console.print(f"{results['photos']} test photos, test-time augmentation: {results['tta']}")
    table = Table(title=f"{results['task']} from {results['features']['source']}", title_justify="left", box=None)
    for title in ("regressor", *(metric_title(metric, results["unit"]) for metric in METRICS)):
        table.add_column(title, no_wrap=True)
    for name, row in results["regressors"].items():
        table.add_row(name, *(metric_text(metric, row["metrics"][metric]) for metric in METRICS))
    console.print(table)
