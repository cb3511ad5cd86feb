"""`keras-faceattr fit` of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from keras_faceattr.cli.compare_tables import error_cells
from keras_faceattr.cli.console import plain_console
from keras_faceattr.cli.options import data_paths, print_json
from keras_faceattr.cli.results import say
from keras_faceattr.config_files import CONFIG_FOLDER, load_section
from keras_faceattr.errors import ConfigError
from keras_faceattr.run import Run
from keras_faceattr.tabular.experiment import TableExperiment
from keras_faceattr.tabular.fit import fit_table, read_table_experiment
from keras_faceattr.tabular.results import REFERENCE


def fit_table_config(
    config: str | None, data: list[str], overrides: list[str], runs: Path, resume: Path | None, json: bool
) -> None:
    """Compares regressors on the table of a config, or goes on with a run.

    Raises:
        ConfigError: `--data` for another reader than `csv`.
    """
    experiment = None
    if config:
        paths = data_paths(data)
        if set(paths) - {"csv"}:
            raise ConfigError(f"--data {next(iter(set(paths) - {'csv'}))}: a table comes from --data csv=FILE")
        own = ["table.reader=csv", f"table.path={paths['csv']}"] if paths else []
        experiment = load_section(TableExperiment, CONFIG_FOLDER, config, "config", [*own, *overrides])
    elif overrides or data:
        raise ConfigError("--resume goes on with the run's own config: leave out --set and --data")
    run_fit_table(experiment, runs, resume, json)


def run_fit_table(experiment: TableExperiment | None, runs: Path, resume: Path | None, json: bool) -> None:
    """Compares the regressors, and says where the result lies and what comes next.

    Args:
        experiment: None: that of the run to resume.
    """
    run = Run(resume) if resume else None
    if experiment is None:
        if run is None:
            raise ValueError("neither an experiment nor a run to resume")
        experiment = read_table_experiment(run)
    run = fit_table(experiment, runs, say, run)
    results = run.results()
    if json:
        print_json({"folder": str(run.folder), **results})
        return
    print_comparison(results)
    print(f"\ncells    {run.folder / 'cells.csv'}\npicture  {run.folder / 'plots' / 'regressors.png'}")
    print(f"model    {run.model_path}  ({REFERENCE} of the last split; takes raw columns)")
    print("next     keras-faceattr fit mtb_dnn --set table.reader=csv --set table.path=FILE --set table.target=COLUMN")


def print_comparison(results: dict[str, Any]) -> None:
    """Print one row per regressor: mean and σ over the splits, and the difference to MTB-DNN."""
    console = plain_console()
    rows = results["rows"]
    made_up = "made-up records, " if results["reader"] == "records" else ""
    console.print(
        f"{made_up}{results['splits']} random splits: {rows['train']} train, {rows['validation']} validation, "
        f"{rows['test']} test rows",
    )
    if results["put_aside"]:
        console.print(f"quarantined: {results['put_aside']} rows with empty cells")
    table = Table(title=f"errors of {results['target']}: mean ± σ", title_justify="left", box=None)
    for title in ("regressor", "MAE", "RMSE", f"MAE − {REFERENCE} (95 %)"):
        table.add_column(title, no_wrap=True)
    for name, row in results["regressors"].items():
        table.add_row(name, *error_cells(row))
    console.print(table)
