"""`keras-faceattr data inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from keras_faceattr.api.describing import inspect_data
from keras_faceattr.cli.options import data_paths, print_json
from keras_faceattr.data.inspection import bars_of
from keras_faceattr.terminal.console import plain_console

SHOWN_BAD = 5


def run_inspect(
    source: str,
    data: list[str],
    photo_root: Path | None,
    picture: Path | None,
    overrides: list[str],
    json: bool,
) -> None:
    """Prints what is in a data set and draws it."""
    findings = inspect_data(source, data=data_paths(data), set=overrides, photo_root=photo_root, picture=picture)
    if json:
        print_json({**findings, "picture": str(picture) if picture else None})
        return
    _print(findings)
    if picture:
        print(f"\npicture  {picture}")


def _print(findings: dict[str, Any]) -> None:
    console = plain_console()
    splits = ", ".join(f"{count} {split}" for split, count in findings["splits"].items())
    lines = [f"{', '.join(findings['sources'])}: {findings['photos']} photos ({splits})"]
    if findings["identities"] is not None:
        lines.append(f"identities: {findings['identities']}")
    lines += findings["notes"]
    for column, counts in findings["groups"].items():
        lines.append(f"{column}: {', '.join(f'{count} {value}' for value, count in counts.items())}")
    twins = findings["duplicates"]
    lines.append(f"exact duplicates: {twins['photos_with_a_twin']} photos in {twins['sets']} sets")
    lines.append(f"quarantined: {len(findings['put_aside'])}")
    for bad in findings["put_aside"][:SHOWN_BAD]:
        row = f", row {bad['row']}" if bad["row"] >= 0 else ""
        lines.append(f"  {bad['image']}{row}: {bad['reason']}")
    for line in lines:
        console.print(line)
    for name, task in findings["tasks"].items():
        console.print(_task_table(name, task))


def _task_table(name: str, task: dict[str, Any]) -> Table:
    title = f"{name}: {task['labelled']} labelled, {task['missing']} missing"
    if task.get("mean") is not None:
        title += f", mean {task['mean']:.2f}, std {task['std']:.2f} {task['unit']}"
    counted, rows = bars_of(task)
    if task.get("people") is not None:
        title += f", {task['people']} people"
    table = Table("label", counted, "", title=title, box=None)
    table.title_justify = "left"
    largest = max((value for _, value in rows), default=0) or 1
    for label, value in rows:
        text = f"{value:.3f}" if "share_of_yes" in task else str(value)
        table.add_row(label, text, "█" * round(30 * value / largest))
    return table
