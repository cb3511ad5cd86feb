"""The table that a comparison runs on: the embedded records or a csv of one's own, checked."""

from __future__ import annotations

import csv
import hashlib
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from keras_faceattr.config_files import parse_section
from keras_faceattr.data.datasets.label_tables import DELIMITERS, read_table
from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.tabular.experiment import RecordOptions, TableSource
from keras_faceattr.tabular.records import lecture_records

LARGEST = 1e18
"""Of a number, as the nets compute in float32, where sums of its squares must not overflow."""

LONGEST_VALUE = 40
"""Characters of a cell that an error shows."""


@dataclass(frozen=True)
class Table:
    """Usable rows.

    Attributes:
        columns: names of the features.
        target: name of the column to predict.
        values: (rows, features).
        target_values: (rows,).
        rows: (rows,) line of the csv, or number of the record, from 1.
        quarantine: rows quarantined, with `row` and `reason`.
    """

    columns: tuple[str, ...]
    target: str
    values: np.ndarray
    target_values: np.ndarray
    rows: np.ndarray
    quarantine: pd.DataFrame

    def data_hash(self) -> str:
        """SHA-256 of names, rows and numbers."""
        digest = hashlib.sha256("\n".join([*self.columns, self.target]).encode())
        for array in (self.rows.astype("int64"), self.values, self.target_values):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def load_table(source: TableSource) -> Table:
    """Reads, checks and cleans the table of a configuration.

    Raises:
        ConfigError: the section `table` asks for what the reader does not have.
        DataError: the table cannot be read or used.
    """
    cells, where = _read(source)
    columns = _columns(cells, source, where)
    used = [*columns, source.target]
    numbers = _numbers(cells, used, where)
    empty = numbers.isna()
    usable = ~empty.any(axis=1)
    put_aside = int((~usable).sum())
    if put_aside > source.max_bad_share * len(cells):
        worst = str(empty.sum().idxmax())
        mends = ["fill them", "raise table.max_bad_share"] + [_leave_out([worst], columns)] * (worst in columns)
        raise DataError(
            f"{where}: {put_aside} of {len(cells)} rows have empty cells, {empty[worst].sum()} of them in {worst!r}; "
            f"{', or '.join(mends)}"
        )
    values = numbers[usable].to_numpy("float64")
    _refuse_constants(values, used, where)
    reasons = [f"empty: {', '.join(empty.columns[row])}" for row in empty[~usable].to_numpy(bool)]
    quarantine = pd.DataFrame({"row": cells["row"][~usable].to_numpy("int64"), "reason": reasons})
    rows = cells["row"][usable].to_numpy("int64")
    return Table(tuple(columns), source.target, values[:, :-1], values[:, -1], rows, quarantine)


def _read(source: TableSource) -> tuple[pd.DataFrame, str]:
    """Cells with the column `row`, and what errors call the table."""
    if source.reader == "records":
        if source.path:
            raise ConfigError("table.path: the embedded records have none; a file needs --set table.reader=csv")
        options = parse_section(RecordOptions, source.options, "table.options")
        records = lecture_records(options.count, options.seed)
        return records.assign(row=range(1, len(records) + 1)), "embedded records"
    if source.options:
        raise ConfigError(f"table.options: the reader csv has none, not {', '.join(source.options)}")
    if not source.path:
        raise ConfigError("table.path: the reader csv needs a file; --set table.path=FILE")
    path = Path(source.path).expanduser()
    if not path.is_file():
        raise DataError(f"table.path: no file {path}")
    cells = read_table(path)
    if source.columns is None and source.target != "row" and "row" in _titles(path):
        kept = [str(name) for name in cells.columns.drop("row") if name != source.target]
        raise DataError(
            f"{path}: the name 'row' is taken, for the line of the file; rename that column in the file, or "
            f"{_leave_out(['row'], kept)}"
        )
    return cells, str(path)


def _titles(path: Path) -> list[str]:
    """The header of a readable table; the reader leaves out a column `row`."""
    if path.suffix.lower() == ".xlsx":
        return pd.read_excel(path, header=None, nrows=1, dtype="string").iloc[0].fillna("").str.strip().to_list()
    with path.open(encoding="utf-8-sig", newline="") as lines:
        line = next(line for line in lines if line.strip())
    delimiter = max(DELIMITERS, key=line.count)
    return [title.strip() for title in next(csv.reader([line], delimiter=delimiter))]


def _columns(cells: pd.DataFrame, source: TableSource, where: str) -> list[str]:
    """The columns to predict from."""
    names = [str(name) for name in cells.columns.drop("row")]
    for name in (source.target, *(source.columns or ())):
        if name not in names:
            # The reader keeps the word `row` for the line of the file.
            hint = "rename it in the file" if name == "row" else nearest(name, names)
            raise DataError(f"{where}: no column {name!r}; {hint}")
    columns = source.columns or [name for name in names if name != source.target]
    if not columns:
        raise DataError(f"{where}: no column but the target {source.target!r}")
    if source.target in columns or len(set(columns)) < len(columns):
        raise ConfigError(f"table.columns: each column once, and without the target {source.target!r}")
    return columns


def _numbers(cells: pd.DataFrame, used: list[str], where: str) -> pd.DataFrame:
    """Columns, the target last, as numbers; NaN where a cell is empty."""
    numbers = pd.DataFrame(
        {name: pd.to_numeric(cells[name], errors="coerce").to_numpy("float64", na_value=np.nan) for name in used}
    )
    wrong = pd.DataFrame({name: _is_written(cells[name]) & ~(numbers[name].abs() <= LARGEST) for name in used})
    bad = [name for name in used if wrong[name].any()]
    if not bad:
        return numbers
    first = int(wrong[bad[0]].to_numpy().argmax())
    value = str(cells[bad[0]].iloc[first])[:LONGEST_VALUE]
    others = f" (nor is every cell of {', '.join(bad[1:])})" if bad[1:] else ""
    large = np.isfinite(numbers[bad[0]].iloc[first])
    bounds, mend = (f" within ±{LARGEST:g}", "use a larger unit") if large else ("", "fix or empty the cell")
    mends = [mend] + [_leave_out(bad, used[:-1])] * (used[-1] not in bad)
    raise DataError(
        f"{where}, line {cells['row'].iloc[first]}: {bad[0]} {value!r} is no number{bounds}{others}; "
        f"{', or '.join(mends)}"
    )


def _is_written(cells: pd.Series) -> np.ndarray:
    """Whether a cell holds something; `nan` is how many programs write that it does not."""
    return cells.notna().to_numpy(bool) & ~cells.isin(("nan", "NaN", "NAN")).to_numpy(bool)


def _refuse_constants(values: np.ndarray, used: list[str], where: str) -> None:
    if not len(values):
        raise DataError(f"{where}: no usable row")
    constant = [name for name, spread in zip(used, np.ptp(values, axis=0), strict=True) if spread == 0]
    if used[-1] in constant:
        raise DataError(f"{where}: the target {used[-1]!r} is {values[0, -1]:g} in every row; choose another target")
    if constant:
        raise DataError(
            f"{where}: the same number in every row of {', '.join(constant)}; {_leave_out(constant, used[:-1])}"
        )


def _leave_out(names: list[str], columns: list[str]) -> str:
    """How to do without some columns, ready to be pasted."""
    kept = [column for column in columns if column not in names]
    if not kept:
        return "choose other table.columns"
    flow = yaml.safe_dump(kept, default_flow_style=True, width=float("inf"), allow_unicode=True).strip()
    option = shlex.quote(f"table.columns={flow}")
    return f"leave {', '.join(names)} out: --set {option}"
