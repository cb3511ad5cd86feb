"""Tables written row by row: CSV, JSON lines, Parquet, or text on stdout."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.storage import jsonable, remove_leftovers, replacing

Row = dict[str, Any]


class Table(Protocol):
    """Destination of rows."""

    def write(self, rows: list[Row]) -> None:
        """Append rows, all with the same keys."""

    def close(self) -> None:
        """End the table."""


class CsvTable:
    """Comma-separated, six significant digits; an empty cell for what is not a number."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.writer: csv.DictWriter[str] | None = None

    def write(self, rows: list[Row]) -> None:
        """Append rows; the first ones give the header."""
        for row in rows:
            if self.writer is None:
                self.writer = csv.DictWriter(self.stream, list(row), lineterminator="\n")
                self.writer.writeheader()
            cells = jsonable(row).items()
            self.writer.writerow({name: f"{cell:.6g}" if isinstance(cell, float) else cell for name, cell in cells})

    def close(self) -> None:
        """Flush the stream."""
        self.stream.flush()


class JsonLinesTable:
    """Table of one JSON object per line, null for what is not a number."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, rows: list[Row]) -> None:
        """Append rows."""
        self.stream.writelines(json.dumps(jsonable(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)

    def close(self) -> None:
        """Flush the stream."""
        self.stream.flush()


class ParquetTable:
    """Table of columns, one row group per batch; null for what is not a number.

    Args:
        types: types of the columns that rows may have. The first rows say which of them there are, and nothing of their
            types: all of their cells may be empty.
    """

    def __init__(self, path: Path, types: Mapping[str, type]) -> None:
        self.path = path
        self.types = types
        self.writer: Any = None

    def write(self, rows: list[Row]) -> None:
        """Append rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not rows:
            return
        if self.writer is None:
            kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
            schema = pa.schema([(name, kinds[self.types[name]]) for name in rows[0]])
            self.writer = pq.ParquetWriter(self.path, schema)
        self.writer.write_table(pa.Table.from_pylist([jsonable(row) for row in rows], self.writer.schema))

    def close(self) -> None:
        """Write the footer."""
        if self.writer is not None:
            self.writer.close()


SUFFIXES = (".csv", ".parquet", ".jsonl")


@contextmanager
def open_table(path: Path | None, stdout_format: str, types: Mapping[str, type] | None = None) -> Iterator[Table]:
    """A table in a file by its suffix, whole or absent; without a path on stdout, as `text` (CSV) or `json` lines.

    Args:
        types: types of the columns, which Parquet needs.

    Raises:
        ConfigError: unknown suffix.
    """
    if path is None:
        table: Table = JsonLinesTable(sys.stdout) if stdout_format == "json" else CsvTable(sys.stdout)
        yield table
        table.close()
        return
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"--out {path}: unknown kind {suffix!r}; {nearest(suffix, SUFFIXES)}")
    remove_leftovers(path.parent)
    with replacing(path) as temporary:
        if suffix == ".parquet":
            table = ParquetTable(temporary, types or {})
            yield table
            table.close()
        else:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                table = CsvTable(stream) if suffix == ".csv" else JsonLinesTable(stream)
                yield table
                table.close()
