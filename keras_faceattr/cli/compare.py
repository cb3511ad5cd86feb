"""`keras-faceattr compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from keras_faceattr.api.comparing import READINGS, compare
from keras_faceattr.cli.arguments import listed
from keras_faceattr.cli.options import print_json
from keras_faceattr.cli.results import INTERVALS_SHOWN
from keras_faceattr.evaluation.formatting import TOO_FEW, metric_title, number_text, signed_text
from keras_faceattr.terminal.console import wide_console

LONGEST_NAME, WIDEST_VALUE = 30, 10
"""On a line; longer ones are folded."""

NOTE = (
    "* best of those on the same photos as the first. Intervals: 95 %, bootstrap over photos (`identity`: over "
    "people); they do not hold the variation between seeds."
)


def run_compare(paths: list[Path], tasks: list[str], by: str | None, out: Path | None, json: bool) -> None:
    """Print runs and exported files side by side, with paired differences to the first."""
    found = compare(paths, tasks=listed(tasks), by=by, out=out)
    if json:
        print_json(found.results)
        return
    if found.of_tables:
        from keras_faceattr.cli.compare_tables import print_tables

        print_tables(found.results)
    else:
        _print(found.results, by)
    if found.written:
        print(f"\ntable    {found.written}")


def _print(compared: dict[str, Any], by: str | None) -> None:
    console = wide_console()
    runs = {run["name"]: run for run in compared["runs"]}
    for task, found in compared["tasks"].items():
        console.print(_values(task, found, runs, by))
        if any(row["differences"] for row in found["rows"]):
            console.print(_differences(found["rows"]))
        for row in found["rows"]:
            if row["apart"]:
                console.print(f"{row['run']} and {found['against']} are not comparable: {'; '.join(row['apart'])}")
        console.print()
    console.print(NOTE)


def _values(task: str, found: dict[str, Any], runs: dict[str, Any], by: str | None) -> Table:
    metrics, shown = found["metrics"], list(enumerate(found["metrics"]))
    sized = any(runs[row["run"]]["parameters"] for row in found["rows"])
    table = Table(title=task, title_justify="left", box=None)
    table.add_column("run", overflow="fold", max_width=LONGEST_NAME)
    for title in ("photos", "TTA", *(["parameters"] if sized else [])):
        table.add_column(title, overflow="fold")
    for place, metric in enumerate(metrics):
        width = None if place < INTERVALS_SHOWN else WIDEST_VALUE
        table.add_column(metric_title(metric, found["unit"]), overflow="fold", max_width=width)
    for row in found["rows"]:
        run, cells = runs[row["run"]], [_cell(metric, i, row) for i, metric in enumerate(metrics)]
        size = [f"{run['parameters']:,}" if run["parameters"] else ""] if sized else []
        table.add_row(row["run"], str(row["labelled"]), run["tta"], *size, *cells)
        for given, key in READINGS.items():
            for value, group in row[key].get(by, {}).items():
                cells = [_cell(m, i, group | {"best": []}) if group["metrics"] else TOO_FEW for i, m in shown]
                title = f"  {value}" if given == "true" else f"  {given} {value}"
                table.add_row(title, str(group["labelled"]), "", *([""] if sized else []), *cells)
    return table


def _cell(metric: str, place: int, row: dict[str, Any]) -> str:
    """The value, and below it the interval."""
    numbers = row["metrics"].get(metric, {"value": None, "low": None, "high": None})
    text = number_text(metric, numbers["value"]) + ("*" if metric in row["best"] else "")
    if place >= INTERVALS_SHOWN or numbers["low"] is None or numbers["high"] is None:
        return text
    # With spaces, where a narrow terminal can break the line and not the number.
    return f"{text}\n{number_text(metric, numbers['low'])} – {number_text(metric, numbers['high'])}"


def _differences(rows: list[dict[str, Any]]) -> Table:
    table = Table("run", "minus", "photos", "metric", "difference", "95 % interval (paired)", "", box=None)
    for column in table.columns[:2]:
        column.overflow, column.max_width = "fold", LONGEST_NAME
    for row in rows:
        for found in row["differences"]:
            metric = found["metric"]
            interval = " to ".join(signed_text(metric, found[end]) for end in ("low", "high"))
            table.add_row(
                row["run"],
                found["against"],
                str(found["photos"]),
                metric_title(metric, ""),
                signed_text(metric, found["value"]),
                interval if found["low"] is not None else "",
                found["verdict"],
            )
    return table
