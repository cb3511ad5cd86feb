"""Options of `benchmark`, and the verdicts that it gives and prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from keras_faceattr.budget.limits import Budget, verdict_row
from keras_faceattr.cli.arguments import listed
from keras_faceattr.errors import ConfigError
from keras_faceattr.terminal.console import plain_console, print_table

RESULTS = Path("export/results")


@dataclass(frozen=True)
class BenchmarkOptions:
    """Options of the command; the values of lists may hold several between commas.

    Attributes:
        results: folder of what browsers measured.
        imports: downloaded results of browsers, to be put there.
    """

    models: list[Path]
    against: list[str]
    threads: list[str]
    precision: list[str]
    side: int | None
    seconds: float
    budget: str | None
    device: str
    benchmark_binary: Path | None
    serial: str | None
    gpu: bool
    xnnpack: bool
    cpu_mask: str | None
    ops: bool
    out: Path | None
    json: bool
    results: Path = RESULTS
    imports: tuple[Path, ...] = ()


def thread_numbers(values: list[str]) -> list[int]:
    """Numbers of threads, as of `listed`.

    Raises:
        ConfigError: a value that is not a whole number.
    """
    numbers = []
    for value in listed(values):
        try:
            numbers.append(int(value))
        except ValueError:
            raise ConfigError(f"--threads {value!r}: write whole numbers, such as 1,2") from None
    return numbers


def print_verdicts(verdicts: dict[str, list[dict[str, Any]]], budget: Budget | None) -> None:
    """Print each limit, what was measured, and whether it was met."""
    if budget is None:
        return
    table = Table("file", "limit of", "limit", "measured", "verdict", title=f"budget {budget.name}", box=None)
    for name, gates in verdicts.items():
        for gate in gates:
            table.add_row(name, *verdict_row(**gate))
    print_table(table)
    if budget.note:
        plain_console().print(budget.note)
