"""Results as tables on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from keras_faceattr.evaluation.numbers import group_table, metric_text, metric_title


def print_results(results: dict[str, Any]) -> None:
    """Prints metrics with intervals, and by group, for each task."""
    console = Console()
    heading = f"{results['photos']} photos of the split {results['split']}, test-time augmentation: {results['tta']}"
    console.print(heading, highlight=False)
    if results["put_aside"]:
        console.print(f"put aside: {results['put_aside']} rows or photos of the data", highlight=False)
    for name, task in results["tasks"].items():
        table = Table("metric", "value (95 % interval)", title=name, title_justify="left", box=None)
        for metric, numbers in task["metrics"].items():
            table.add_row(metric_title(metric, task["unit"]), metric_text(metric, numbers))
        console.print(table)
        for column, groups in task["groups"].items():
            console.print(_groups(column, groups, task))


def _groups(column: str, groups: dict[str, Any], task: dict[str, Any]) -> Table:
    header, rows = group_table(column, groups, task)
    table = Table(*header, box=None)
    for row in rows:
        table.add_row(*row)
    return table
