"""Output of `keras-faceattr fit` for a table."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from keras_faceattr.cli.compare_tables import error_cells
from keras_faceattr.run import Run
from keras_faceattr.tabular.results import REFERENCE
from keras_faceattr.terminal.console import plain_console


def print_table_run(run: Run) -> None:
    """Print the compared regressors, where the result lies, and the next command."""
    print_comparison(run.results())
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
