"""Tables written row by row: CSV, JSON lines, Parquet, or text on stdout."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.storage import replacing

Row = dict[str, Any]


class Table(Protocol):
    """Where rows go."""

    def write(self, rows: list[Row]) -> None:
        """Appends rows, all with the same keys."""

    def close(self) -> None:
        """Ends the table."""


class CsvTable:
    """Comma-separated, six significant digits."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.writer: csv.DictWriter[str] | None = None

    def write(self, rows: list[Row]) -> None:
        """Appends rows; the first ones give the header."""
        for row in rows:
            if self.writer is None:
                self.writer = csv.DictWriter(self.stream, list(row), lineterminator="\n")
                self.writer.writeheader()
            self.writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})

    def close(self) -> None:
        """Flushes."""
        self.stream.flush()


class JsonLinesTable:
    """A JSON object a line."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, rows: list[Row]) -> None:
        """Appends rows."""
        self.stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def close(self) -> None:
        """Flushes."""
        self.stream.flush()


class ParquetTable:
    """Columns, a row group a batch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: Any = None

    def write(self, rows: list[Row]) -> None:
        """Appends rows; the first ones give the schema."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not rows:
            return
        table = pa.Table.from_pylist(rows)
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.path, table.schema)
        self.writer.write_table(table)

    def close(self) -> None:
        """Writes the footer."""
        if self.writer is not None:
            self.writer.close()


SUFFIXES = (".csv", ".parquet", ".jsonl")


@contextmanager
def open_table(path: Path | None, stdout_format: str) -> Iterator[Table]:
    """A table in a file by its suffix, whole or absent; without a path on stdout, as `text` (CSV) or `json` lines.

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
    with replacing(path) as temporary:
        if suffix == ".parquet":
            table = ParquetTable(temporary)
            yield table
            table.close()
        else:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                table = CsvTable(stream) if suffix == ".csv" else JsonLinesTable(stream)
                yield table
                table.close()
