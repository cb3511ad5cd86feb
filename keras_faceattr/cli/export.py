"""`keras-faceattr export`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from keras_faceattr.api.exporting import Export, export
from keras_faceattr.budget.limits import verdict_row
from keras_faceattr.cli.arguments import listed
from keras_faceattr.cli.exit_codes import conclude
from keras_faceattr.cli.options import data_paths, print_json
from keras_faceattr.convert.page import measured_models
from keras_faceattr.errors import ConfigError
from keras_faceattr.evaluation.formatting import metric_title, number_text
from keras_faceattr.terminal.console import plain_console, print_table

MOST_LISTED = 2
"""Files of which every gate is printed; of more, gates that are met are counted. The page has all."""


@dataclass(frozen=True)
class ExportOptions:
    """Options of the command."""

    run: Path | None
    recipes: list[str]
    engine: str | None = None
    budget: str | None = None
    heads: list[str] = field(default_factory=list)
    batch: int = 1
    out: Path | None = None
    data: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    control: bool = False
    json: bool = False


def run_export(options: ExportOptions) -> None:
    """Export every recipe and print what was proven; exit 1 if a gate is not met, 3 if one was not measured."""
    if options.run is None:
        raise ConfigError("which run? give its folder, or --detector for the face detector")
    result = export(
        options.run,
        listed(options.recipes),
        budget=options.budget,
        heads=listed(options.heads),
        batch=options.batch,
        engine=options.engine,
        out=options.out,
        data=data_paths(options.data),
        set=options.overrides,
        control=options.control,
    )
    if options.json:
        print_json(result.to_json())
    else:
        _print(result, options.budget)
    # A control is a yardstick, which nobody ships.
    conclude([gate for file in result if not file.is_control for gate in file.gates], "gate")


def _print(result: Export, budget_name: str | None) -> None:
    console = plain_console()
    budget, first = result.budget, result[0].sidecar
    console.print(
        f"measured on the files, {first.protocol['photos']} photos of the split {first.protocol['split']}, "
        "no test-time augmentation; intervals stand on the page",
    )
    for task, measured in first.metrics.items():
        names = [name for name in measured["metrics"] if not name.startswith("cs@")]
        titles = [metric_title(name, measured["unit"]) for name in names]
        table = Table("recipe", "MB", "p50 ms", *titles, title=task, title_justify="left", box=None)
        for model, number, metrics in measured_models([file.sidecar for file in result], task):
            file = None if number is None else result[number]
            cost = (f"{file.file_bytes / 1e6:.3f}", f"{file.latency.p50_ms:.2f}") if file else ("", "")
            table.add_row(model, *cost, *(number_text(name, metrics[name]["value"]) for name in names))
        console.print(table)
    table = Table("recipe", "gate", "limit", "measured", "verdict", box=None)
    few = len(result) <= MOST_LISTED
    for file in result:
        met = sum(gate.met is True for gate in file.gates)
        if met and not few:
            table.add_row(file.recipe, f"{met} gates", "", "", "met")
        for gate in file.gates:
            if gate.met and not few:
                continue
            table.add_row(file.recipe, *verdict_row(**gate.model_dump()))
    print_table(table)
    if budget and budget.note:
        console.print(budget.note)
    for notice in first.notices:
        console.print(notice)
    last = shlex.quote(str([file for file in result if not file.is_control][-1].path))
    print(f"\npage     {result.page}")
    for file in result:
        print(f"file     {file.path}")
    against = f" --budget {shlex.quote(budget_name)}" if budget_name else ""
    for control, file in zip(result[1:], result, strict=False):
        if control.is_control and file.recipe == control.recipe.removesuffix("_control"):
            print(f"gain     keras-faceattr compare {shlex.quote(str(control.path))} {shlex.quote(str(file.path))}")
    print(f"next     keras-faceattr demo {last}")
    nets = ",".join(budget.speed_up) if budget and budget.speed_up else "resnet50,vgg16"
    print(f"         keras-faceattr benchmark {last} --against {nets}{against}")
    print(f"         keras-faceattr predict {last} PHOTO|FOLDER|CSV --out predictions.csv")
