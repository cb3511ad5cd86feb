"""Label tables as text: csv, or xlsx where openpyxl is installed."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from keras_faceattr.errors import DataError

TABLE_SUFFIXES = (".csv", ".xlsx")
DELIMITERS = ",;\t"


def find_tables(folder: Path, pattern: str) -> list[Path]:
    """Csv and xlsx files in `folder` that match `pattern`; only the csv files where there are any.

    Names with a dot in front, such as macOS's `._labels.csv` or what a killed command left, are no labels.
    """
    found = [p for p in folder.glob(pattern) if not _is_hidden(p.relative_to(folder))]
    tables = sorted(p for p in found if p.suffix.lower() in TABLE_SUFFIXES and p.is_file())
    return [p for p in tables if p.suffix.lower() == ".csv"] or tables


def find_csv(folder: Path) -> list[Path]:
    """Csv files in `folder`, as of `find_tables`."""
    return [path for path in find_tables(folder, "*") if path.suffix.lower() == ".csv"]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read_table(path: Path, header_with: Sequence[str] = (), names: Sequence[str] = (), sheet: str = "") -> pd.DataFrame:
    """Cells of a table as stripped text; an empty cell is missing.

    Args:
        path: a UTF-8 csv (separated by comma, semicolon or tab) or an xlsx.
        header_with: the header is the first row that holds one of these, whatever the case; empty: the first row.
        names: names of the columns, for a table whose first row is no such header.
        sheet: start of the sheet's name, for an xlsx with several sheets that have the header.

    Returns:
        The columns that have a name, and `row`: the line (xlsx: sheet row) that each row stands in, from 1.

    Raises:
        DataError: the file is missing, unreadable or empty, or has no such header.
    """
    if not path.is_file():
        raise DataError(f"no label file {path}")
    wanted = () if names else header_with
    cells: pd.DataFrame
    cells, header = _read_xlsx(path, wanted, sheet) if path.suffix.lower() == ".xlsx" else _read_csv(path, wanted)
    cells = cells.apply(lambda column: column.str.strip().replace("", pd.NA))
    titles = cells.iloc[0].fillna("").to_list()
    if names and not _is_header(titles, header_with):
        if len(names) != len(titles):
            raise DataError(f"{path}: {len(titles)} columns without a header, not {len(names)} ({', '.join(names)})")
        titles, header = list(names), header - 1
    else:
        cells = cells.iloc[1:]
    twice = {title for title in titles if title and titles.count(title) > 1}
    if twice:
        raise DataError(f"{path}: two columns are called {min(twice)!r}; rename one of them")
    cells.columns = pd.Index(titles)
    table = cells.loc[:, [t for t in titles if t and t != "row"]]
    filled = table.notna().any(axis=1)
    table = table.assign(row=range(header + 1, header + 1 + len(table))).loc[filled].reset_index(drop=True)
    if not len(table):
        raise DataError(f"{path}: no rows below the header")
    return table


def read_lines(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Words of a text file without header, as text under these columns, and `row`: the line, from 1.

    Raises:
        DataError: the file is missing, unreadable or empty, or a line has another number of words.
    """
    if not path.is_file():
        raise DataError(f"no label file {path}")
    try:
        frame = pd.read_csv(
            path, sep=r"\s+", header=None, dtype="string", index_col=False, keep_default_na=False, na_values=[""],
            skip_blank_lines=False, encoding="utf-8-sig",
        )  # fmt: skip
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: not lines of {' and '.join(columns)} ({' '.join(str(error).split())})") from error
    if len(frame.columns) != len(columns):
        raise DataError(f"{path}: {len(frame.columns)} words in a line, not {' and '.join(columns)}")
    frame.columns = pd.Index(columns)
    return frame.assign(row=range(1, len(frame) + 1)).dropna(subset=[columns[0]]).reset_index(drop=True)


def require_columns(table: pd.DataFrame, columns: Iterable[str], path: Path) -> None:
    """Check that the table has these columns.

    Raises:
        DataError: one is missing; the message names it and the columns that exist.
    """
    for column in columns:
        if column not in table:
            raise DataError(f"{path}: no column {column!r}; it has {', '.join(table.columns.drop('row'))}")


def rename_columns(
    table: pd.DataFrame, meanings: Mapping[str, str], path: Path, optional: Sequence[str] = ()
) -> pd.DataFrame:
    """The table with its official column names, whatever their case, replaced by what they mean.

    Args:
        meanings: what a column means, by its official name; several names may mean the same.
        optional: meanings that the table may lack.

    Raises:
        DataError: no column has one of the other meanings.
    """
    by_name = {name.lower(): meaning for name, meaning in meanings.items()}
    renamed: dict[str, str] = {}
    for column in table.columns:
        meaning = by_name.get(column.lower())
        if meaning and meaning not in renamed.values():
            renamed[column] = meaning
    for name, meaning in meanings.items():
        if meaning not in renamed.values() and meaning not in optional:
            require_columns(table, [name], path)
    return table.rename(columns=renamed)


def _is_header(cells: Iterable[object], header_with: Sequence[str]) -> bool:
    titles = {str(cell).strip().lower() for cell in cells}
    return not header_with or any(name.lower() in titles for name in header_with)


def _no_header(path: Path, header_with: Sequence[str]) -> DataError:
    columns = " or ".join(map(repr, header_with))
    return DataError(f"{path}: no header row with a column {columns}" if header_with else f"{path}: the file is empty")


def _read_csv(path: Path, header_with: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """Cells from the header on, and the header's line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            header, line, delimiter = _find_header(path, lines, header_with)
            # pandas' skiprows would count a quoted line break above the header as no line.
            text = path if header == 1 else io.StringIO(line + lines.read(), newline="")
        # Without header, pandas refuses a row that is longer than the first instead of shifting its cells.
        cells = pd.read_csv(
            text, sep=delimiter, header=None, dtype="string", index_col=False, keep_default_na=False,
            na_values=[""], skip_blank_lines=False, encoding="utf-8-sig",
        )  # fmt: skip
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8 csv") from error
    except (pd.errors.ParserError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a table ({reason}); give each row as many cells as the header") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return cells, header


def _find_header(path: Path, lines: Iterable[str], header_with: Sequence[str]) -> tuple[int, str, str]:
    """The header's line number, the line itself, and the delimiter."""
    for number, line in enumerate(lines, start=1):
        delimiter = max(DELIMITERS, key=line.count)
        if line.strip() and _is_header(next(csv.reader([line], delimiter=delimiter)), header_with):
            return number, line, delimiter
    raise _no_header(path, header_with)


def _read_xlsx(path: Path, header_with: Sequence[str], sheet: str) -> tuple[pd.DataFrame, int]:
    """Cells from the header on, and the header's row."""
    if importlib.util.find_spec("openpyxl") is None:
        raise DataError(f"{path}: reading xlsx needs openpyxl; install it, or save the sheet as csv next to the xlsx")
    try:
        sheets = pd.read_excel(path, sheet_name=None, header=None, dtype="string", engine="openpyxl")
    except MemoryError:
        raise
    except Exception as error:  # The reader raises whatever a damaged file makes it stumble over.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: not a readable xlsx ({reason}); save it again, or as csv") from error
    for _, cells in sorted(sheets.items(), key=lambda item: not str(item[0]).startswith(sheet)):
        for position in range(len(cells)):
            if _is_header(cells.iloc[position].dropna(), header_with):
                return cells.iloc[position:].astype("string"), position + 1
    raise _no_header(path, header_with)
