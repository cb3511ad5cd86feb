"""The finished cells of a comparison, one for each split and regressor, as they stand on the disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_faceattr.errors import RunError
from keras_faceattr.run import Run
from keras_faceattr.storage import replacing

COLUMNS = ["split", "regressor", "mae", "rmse", "settings"]
NUMBERS = ["split", "mae", "rmse"]


def read_cells(run: Run) -> pd.DataFrame:
    """The finished cells; none where there is no file yet.

    Raises:
        RunError: the file is damaged.
    """
    if not run.cells_path.exists():
        return pd.DataFrame(columns=COLUMNS)
    cells = read_exactly(run.cells_path)
    if list(cells.columns) != COLUMNS:
        raise _damaged(run.cells_path, f"its columns are not {', '.join(COLUMNS)}")
    numbers = cells[NUMBERS].apply(pd.to_numeric, errors="coerce").astype("float64")
    bad = ~np.isfinite(numbers).all(axis=1) | (numbers < 0).any(axis=1) | cells.duplicated(["split", "regressor"])
    if bad.any():
        raise _damaged(run.cells_path, f"line {2 + int(bad.argmax())} is no cell, or one that stands twice")
    return cells


def read_all_cells(run: Run, regressors: Iterable[str], splits: int) -> pd.DataFrame:
    """The cells of these regressors on every split, and no others.

    Raises:
        RunError: the file is damaged, or one is missing.
    """
    cells = read_cells(run)
    found = list(zip(cells["split"], cells["regressor"], strict=True))
    wanted = {(split, name) for split in range(1, splits + 1) for name in regressors}
    missing = wanted.difference(found)
    if missing:
        split, name = min(missing)
        raise RunError(
            f"{run.cells_path} has {len(wanted) - len(missing)} of {len(wanted)} cells, and none of {name} on split "
            f"{split}: go on with {run.resume_command}"
        )
    return cells[[cell in wanted for cell in found]]


def add_cell(run: Run, cell: dict[str, Any]) -> None:
    """Writes the finished cells with one more, which replaces its like."""
    place = (cell["split"], cell["regressor"])
    rows = [row for row in read_cells(run).to_dict("records") if (row["split"], row["regressor"]) != place]
    write_exactly(run.cells_path, pd.DataFrame([*rows, cell], columns=pd.Index(COLUMNS)))


def read_exactly(path: Path) -> pd.DataFrame:
    """A csv with every digit of its numbers.

    Raises:
        RunError: it cannot be read.
    """
    try:
        return pd.read_csv(path, float_precision="round_trip")
    except (OSError, ValueError) as error:
        raise _damaged(path, " ".join(str(error).split())) from None


def write_exactly(path: Path, table: pd.DataFrame) -> None:
    """Writes a csv whole or not at all, with every digit."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def _damaged(path: Path, reason: str) -> RunError:
    return RunError(
        f"{path} is damaged: {reason}; delete it, then write it again with {Run(path.parent).resume_command}"
    )
