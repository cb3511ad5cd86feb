"""Results as tables on the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from keras_faceattr.evaluation.formatting import (
    TOO_FEW,
    group_tables,
    metric_rows,
    metric_title,
    number_text,
    worst_group_table,
)
from keras_faceattr.terminal.console import plain_console, print_table

INTERVALS_SHOWN = 3
"""Metrics with an interval in wide tables on the terminal; JSON and CSV have all."""


def print_results(results: dict[str, Any]) -> None:
    """Print metrics with intervals, and by group, for each task."""
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


def print_jitter(result: dict[str, Any]) -> None:
    """Print, for each task, how disturbed crops move predictions and metrics."""
    console = plain_console()
    console.print(
        f"{result['photos']} photos of the split {result['split']}, test-time augmentation: {result['tta']}; "
        "each photo's crop moves in a direction of its own",
    )
    for name, first in result["rows"][0]["tasks"].items():
        unit = result["units"][name]
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


def _table(header: list[str], rows: list[list[str]]) -> Table:
    table = Table(*header, box=None)
    for row in rows:
        table.add_row(*row)
    return table
