"""Options of `benchmark`, and the verdicts that it gives and prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from keras_faceattr.artifact.loading import load_artifact
from keras_faceattr.artifact.measured_file import MeasuredFile, model_file
from keras_faceattr.budget.gates import verdicts
from keras_faceattr.budget.limits import Budget, Times, verdict_row
from keras_faceattr.cli.arguments import listed
from keras_faceattr.errors import ArtifactError, ConfigError
from keras_faceattr.measure.benchmark import file_names
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


def judge(
    options: BenchmarkOptions,
    budget: Budget | None,
    times: Mapping[str, Times],
    classes: frozenset[str],
) -> dict[str, list[dict[str, Any]]]:
    """Verdicts of a budget by name of the file, as of `file_names`; nothing without a budget.

    Args:
        times: by name of the file; files that were not measured on one thread are left out.
        classes: those that the measured device is of.
    """
    if budget is None:
        return {}
    found = {}
    for path, name in zip(options.models, file_names(options.models), strict=True):
        sidecar = load_artifact(path).sidecar if path.with_suffix(".json").is_file() else None
        gates = verdicts(budget, _readable(path, name), sidecar, times.get(name, Times(classes)))
        found[name] = [gate.model_dump() for gate in gates]
    return found


def _readable(path: Path, name: str) -> MeasuredFile | None:
    """A phone may run what nothing here can read."""
    try:
        return model_file(path, name)
    except ArtifactError:
        return None


def print_verdicts(verdicts: dict[str, list[dict[str, Any]]], budget: Budget | None) -> None:
    """Prints each limit, what was measured, and whether it was met."""
    if budget is None:
        return
    table = Table("file", "limit of", "limit", "measured", "verdict", title=f"budget {budget.name}", box=None)
    for name, gates in verdicts.items():
        for gate in gates:
            table.add_row(name, *verdict_row(**gate))
    print_table(table)
    if budget.note:
        plain_console().print(budget.note)
