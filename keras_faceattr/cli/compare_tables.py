"""`keras-faceattr compare` of runs on tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from keras_faceattr.cli.console import wide_console
from keras_faceattr.cli.results import tell
from keras_faceattr.evaluation.formatting import difference_text, number_text
from keras_faceattr.evaluation.table_writer import Row
from keras_faceattr.run import Run
from keras_faceattr.tabular.compare import compare_tables
from keras_faceattr.tabular.results import METRICS

NOTE = "Means and σ over the splits; intervals: 95 %, corrected for the rows that splits share."


def run_compare_tables(runs: dict[str, Path], out: Path | None, json: bool) -> None:
    """Prints the regressors of runs on tables side by side, with paired differences to MTB-DNN of the first."""
    tell(lambda: compare_tables({name: Run(path) for name, path in runs.items()}), _flat, _print, out, json)


def error_cells(row: dict[str, Any]) -> list[str]:
    """Cells of a regressor: mean ± σ of each error, and the difference of the first one to the reference."""
    numbers = [f"{number_text(m, row[m]['mean'])} ± {number_text(m, row[m]['sigma'])}" for m in METRICS]
    return [*numbers, difference_text("mae", row["mae"].get("difference"))]


def _flat(compared: dict[str, Any]) -> Iterator[Row]:
    """A row for each run, regressor and metric."""
    for row in compared["rows"]:
        for metric in METRICS:
            numbers = row[metric]
            difference = numbers.get("difference", {})
            yield {
                **{key: row[key] for key in ("run", "regressor", "splits")},
                "metric": metric,
                **{key: numbers[key] for key in ("mean", "sigma")},
                "difference": difference.get("mean"),
                **{f"difference_{end}": difference.get(end) for end in ("low", "high")},
            }


def _print(compared: dict[str, Any]) -> None:
    console = wide_console()
    table = Table(title=f"errors of {compared['target']}", title_justify="left", box=None)
    for title in ("run", "regressor", "splits", "MAE", "RMSE", f"MAE − {compared['against']} (95 %)"):
        table.add_column(title, overflow="fold")
    for row in compared["rows"]:
        table.add_row(row["run"], row["regressor"], str(row["splits"]), *error_cells(row))
    console.print(table)
    for name, reason in {row["run"]: row["apart"] for row in compared["rows"] if row["apart"]}.items():
        console.print(f"{name} and {compared['against']} are not comparable: {reason}")
    console.print()
    console.print(NOTE)
