"""The finished cells of a comparison, one for each split and regressor, as they stand on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from keras_faceattr.errors import RunError
from keras_faceattr.run import Run
from keras_faceattr.storage import replacing

COLUMNS = ["split", "regressor", "mae", "rmse", "settings"]


def cells_path(run: Run) -> Path:
    """`cells.csv` of a run."""
    return run.folder / "cells.csv"


def read_cells(run: Run) -> pd.DataFrame:
    """The finished cells; none where there is no file yet.

    Raises:
        RunError: the file is damaged.
    """
    if not cells_path(run).exists():
        return pd.DataFrame(columns=COLUMNS)
    cells = read_exactly(cells_path(run))
    if list(cells.columns) != COLUMNS or cells.duplicated(["split", "regressor"]).any():
        raise RunError(f"{cells_path(run)} is damaged: delete {run.folder} and start again")
    return cells


def add_cell(run: Run, cell: dict[str, Any]) -> None:
    """Writes the finished cells with one more, which replaces its like."""
    place = (cell["split"], cell["regressor"])
    rows = [row for row in read_cells(run).to_dict("records") if (row["split"], row["regressor"]) != place]
    write_exactly(cells_path(run), pd.DataFrame([*rows, cell], columns=pd.Index(COLUMNS)))


def read_exactly(path: Path) -> pd.DataFrame:
    """A csv with every digit of its numbers.

    Raises:
        RunError: it cannot be read.
    """
    try:
        return pd.read_csv(path, float_precision="round_trip")
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {' '.join(str(error).split())}") from None


def write_exactly(path: Path, table: pd.DataFrame) -> None:
    """Writes a csv whole or not at all, with every digit."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
