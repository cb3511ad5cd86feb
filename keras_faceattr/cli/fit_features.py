"""Output of `keras-faceattr fit` for regressors on features."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from keras_faceattr.evaluation.formatting import metric_text, metric_title
from keras_faceattr.run import Run
from keras_faceattr.terminal.console import wide_console

METRICS = ("mae", "rmse", "pc")


def print_features_run(run: Run) -> None:
    """Print the regressors, and where the result lies."""
    print_regressors(run.results())
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
