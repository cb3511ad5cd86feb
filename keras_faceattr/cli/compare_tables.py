"""Output of `keras-faceattr compare` for runs on tables."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from keras_faceattr.evaluation.formatting import difference_text, number_text
from keras_faceattr.tabular.results import METRICS
from keras_faceattr.terminal.console import wide_console

NOTE = "Means and σ over the splits; intervals: 95 %, corrected for the rows that splits share."


def error_cells(row: dict[str, Any]) -> list[str]:
    """Cells of a regressor: mean ± σ of each error, and the difference of the first one to the reference."""
    numbers = [f"{number_text(m, row[m]['mean'])} ± {number_text(m, row[m]['sigma'])}" for m in METRICS]
    return [*numbers, difference_text("mae", row["mae"].get("difference"))]


def print_tables(compared: dict[str, Any]) -> None:
    """Print the regressors of runs side by side, with paired differences to MTB-DNN of the first."""
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
