"""Results as tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.table import Table

from keras_faceattr.cli.console import plain_console, print_table
from keras_faceattr.cli.options import print_json
from keras_faceattr.data.crop_cache import Progress
from keras_faceattr.evaluation.formatting import (
    TOO_FEW,
    group_tables,
    metric_rows,
    metric_title,
    number_text,
    worst_group_table,
)
from keras_faceattr.evaluation.table_writer import Row, open_table
from keras_faceattr.tasks import Task

INTERVALS_SHOWN = 3
"""Metrics with an interval in wide tables on the terminal; JSON and CSV have all."""


def tell(
    measure: Callable[[], dict[str, Any]],
    rows: Callable[[dict[str, Any]], Iterable[Row]],
    show: Callable[[dict[str, Any]], None],
    out: Path | None,
    json: bool,
) -> None:
    """Measures, then tells it by JSON or for people, and in a CSV where one is asked for.

    Args:
        rows: of the CSV.
        show: prints for people.
    """
    # Opened first, because a file of an unknown kind is refused before any work.
    with open_table(out, "csv") if out else nullcontext() as table:
        found = measure()
        if table:
            table.write(list(rows(found)))
    if json:
        print_json(found)
        return
    show(found)
    if out:
        print(f"\ntable    {out}")


def say(line: str) -> None:
    """Print a line about the work to stderr, apart from the results."""
    print(line, file=sys.stderr, flush=True)


def print_results(results: dict[str, Any]) -> None:
    """Prints metrics with intervals, and by group, for each task."""
    console = plain_console()
    heading = f"{results['photos']} photos of the split {results['split']}, test-time augmentation: {results['tta']}"
    console.print(heading)
    if results["put_aside"]:
        console.print(f"quarantined: {results['put_aside']} rows or photos of the data")
    for name, task in results["tasks"].items():
        title = f"{name} in the reading {task['reading']}" if "reading" in task else name
        table = Table("metric", "value (95 % interval)", title=title, title_justify="left", box=None)
        for row in metric_rows(task):
            table.add_row(*row)
        console.print(table)
        small = 0
        for _, header, rows in group_tables(task, INTERVALS_SHOWN):
            measured = [row for row in rows if TOO_FEW not in row]
            small += len(rows) - len(measured)
            if measured:
                print_table(_table(header, measured))
        if small:
            console.print(f" not measured: {small} groups with too few photos")
        if worst := worst_group_table(task):
            print_table(_table(*worst))


def print_jitter(result: dict[str, Any], tasks: dict[str, Task]) -> None:
    """Prints, for each task, how disturbed crops move predictions and metrics."""
    console = plain_console()
    console.print(
        f"{result['photos']} photos of the split {result['split']}, test-time augmentation: {result['tta']}; "
        "each photo's crop moves in a direction of its own",
    )
    for name, first in result["rows"][0]["tasks"].items():
        unit = getattr(tasks[name], "unit", "")
        titles = {
            "mean": f"moved by ({unit})",
            "p95": "95 % below",
            "changed": "answers changed",
            "cosine": "cosine to undisturbed",
        }
        metrics = [key for key in first["metrics"] if not key.startswith("cs@")]
        table = Table(title=name, title_justify="left", box=None)
        for title in ("crop", *(titles[key] for key in first["moved"]), *(metric_title(key, unit) for key in metrics)):
            table.add_column(title, no_wrap=True)
        for row in result["rows"]:
            task = row["tasks"][name]
            moved = [f"{value:.1%}" if key == "changed" else f"{value:.3f}" for key, value in task["moved"].items()]
            table.add_row(row["title"], *moved, *(number_text(key, task["metrics"][key]) for key in metrics))
        console.print(table)


def line_progress(verb: str) -> Progress:
    """Receiver of photos done and photos in all: a line that is overwritten on a terminal, none elsewhere."""

    def report(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{verb} {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return report


def _table(header: list[str], rows: list[list[str]]) -> Table:
    table = Table(*header, box=None)
    for row in rows:
        table.add_row(*row)
    return table
