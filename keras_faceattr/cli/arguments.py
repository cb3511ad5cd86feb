"""Options that several commands share: types of their parameters, and how repeated ones are read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

CONFIG_HELP = "Name of a shipped config (see `data list`) or path of a YAML file."

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Set = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the config, such as training.epochs=5; repeatable."
    ),
]
DataPaths = Annotated[
    list[str],
    typer.Option("--data", metavar="NAME=PATH", help="Path of the data of one of the config's sources; repeatable."),
]
MeasuredPaths = Annotated[
    list[str],
    typer.Option(
        "--data",
        metavar="NAME=PATH",
        help="Path of the data of one of the config's sources, or READER=PATH of another data set to measure on; "
        "repeatable.",
    ),
]
PhotoRoot = Annotated[
    Path | None,
    typer.Option(
        "--photo-root", metavar="DIR", help="Folder below which the photos of a CSV lie.  [default: the CSV's folder]"
    ),
]
Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder in which the run's folder is made.")]
Answered = Annotated[
    list[str],
    typer.Option(
        "--task",
        metavar="NAME",
        help="Task to answer, instead of the others; repeatable.  [default: all but the sensitive ones]",
    ),
]
Steps = Annotated[
    int, typer.Option(min=5, metavar="N", help="Number of timed batches per measurement, over all rounds.")
]
OutFolder = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder to which the result is also written as JSON.")
]
BudgetName = Annotated[
    str | None,
    typer.Option(
        "--budget", metavar="NAME", help="Limits to judge by: name of a shipped budget or path of a YAML file."
    ),
]


def listed(values: Iterable[str]) -> list[str]:
    """Values of a repeatable option, each of which may hold several between commas: `["a,b", "c"]` is a, b and c."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]
