"""`keras-faceattr export`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.budget.devices import board_name, host_classes
from keras_faceattr.budget.gates import export_gates
from keras_faceattr.budget.limits import Budget, Times, Verdict, load_budget, verdict_row
from keras_faceattr.cli.arguments import listed
from keras_faceattr.cli.console import plain_console, print_table
from keras_faceattr.cli.exit_codes import conclude
from keras_faceattr.cli.options import data_paths, print_json
from keras_faceattr.cli.progress import FitProgress
from keras_faceattr.convert.engines import engine
from keras_faceattr.convert.export import export_recipe
from keras_faceattr.convert.page import write_page
from keras_faceattr.convert.recipe import ExportRecipe, export_recipe_names, load_recipe
from keras_faceattr.convert.source import read_source
from keras_faceattr.errors import ConfigError, ModelError
from keras_faceattr.evaluation.formatting import metric_title, number_text
from keras_faceattr.measure.latency import Latency, measure_latencies
from keras_faceattr.run import Run
from keras_faceattr.storage import write_json
from keras_faceattr.zoo import found_net

DEFAULT_RECIPES = ["float32", "int8_qat"]
EVERY = "all"
"""In place of a recipe: all that the net can have."""
SECONDS_A_FILE = 2.0
MOST_LISTED = 2
"""Files of which every gate is printed; of more, gates that are met are counted. The page has all."""


@dataclass(frozen=True)
class ExportOptions:
    """Options of the command."""

    run: Path | None
    recipes: list[str]
    engine: str = "native"
    budget: str | None = None
    heads: list[str] = field(default_factory=list)
    batch: int = 1
    out: Path | None = None
    data: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    json: bool = False


def run_export(options: ExportOptions) -> None:
    """Export every recipe and print what was proven; exit 1 if a gate is not met, 3 if one was not measured."""
    if options.run is None:
        raise ConfigError("which run? give its folder, or --detector for the face detector")
    names = listed(options.recipes) or DEFAULT_RECIPES
    every = names == [EVERY]
    recipes = _recipes(export_recipe_names() if every else names, options)
    budget = load_budget(options.budget) if options.budget else None
    make = engine(options.engine)
    net = found_net(options.run)
    # Nothing is written into the package itself.
    folder, out = (net.folder, Path("runs") / net.name / "export") if net else (options.run, options.run / "export")
    out = options.out or out
    suffix = "" if options.engine == "native" else f"_{options.engine}"
    with FitProgress() as progress:
        source = read_source(Run(folder), listed(options.heads), data_paths(options.data), progress)
        artifacts, left_out = [], {}
        for recipe in recipes:
            folder = out / f"{recipe.name}{suffix if recipe.integer else ''}"
            progress.total_epochs = recipe.epochs
            try:
                artifacts.append(export_recipe(source, recipe, folder, progress, budget, options.batch, make))
            except ModelError as error:
                # Not every net can have every recipe.
                if not every:
                    raise
                left_out[recipe.name] = str(error)
                progress.say(f"{recipe.name} is left out: {error}")
        if not artifacts:
            raise ModelError(f"this net can have no recipe: {next(iter(left_out.values()))}")
        progress.say("timing the files in turn")
        latencies = _latencies(artifacts)
    verdicts = {one.sidecar.name: _judged(one, latencies[one.sidecar.name], budget) for one in artifacts}
    page = out / "index.html"
    write_page(page, artifacts, latencies)
    result = {
        "page": str(page),
        "artifacts": [_summary(artifact, latencies, verdicts) for artifact in artifacts],
        "left_out": left_out,
    }
    write_json(out / "export.json", result)
    if options.json:
        print_json(result)
    else:
        _print(options, artifacts, latencies, verdicts, budget, page)
    conclude([gate for gates in verdicts.values() for gate in gates], "gate")


def _recipes(names: list[str], options: ExportOptions) -> list[ExportRecipe]:
    recipes = [load_recipe(name, options.overrides if len(names) == 1 else None) for name in names]
    if options.overrides and len(names) != 1:
        raise ConfigError("--set changes one recipe: name it with --recipe")
    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise ConfigError("two of the recipes have the same name, which is that of their folder")
    if options.batch < 1:
        raise ConfigError(f"--batch {options.batch} is not above 0")
    return recipes


def _latencies(artifacts: list[Artifact]) -> dict[str, Latency]:
    paths = {artifact.sidecar.name: artifact.path for artifact in artifacts}
    return measure_latencies(paths, 1, budget_s=SECONDS_A_FILE * len(paths))


def _judged(artifact: Artifact, latency: Latency, budget: Budget | None) -> list[Verdict]:
    """The gates of a file, with a budget's limits on times: a busy machine gives none, and no reference net ran."""
    times = Times(host_classes(board_name()), p90_ms=(None, None) if latency.busy else latency.p90_bounds_ms)
    return export_gates(artifact.sidecar, budget, times)


def _summary(artifact: Artifact, latencies: dict[str, Latency], verdicts: dict[str, list[Verdict]]) -> dict[str, Any]:
    sidecar, latency = artifact.sidecar, latencies[artifact.sidecar.name]
    return {
        "file": str(artifact.path),
        "recipe": sidecar.recipe,
        "status": sidecar.status,
        "cost": sidecar.cost.model_dump(),
        "metrics": sidecar.metrics,
        "drop": sidecar.parity["drop"],
        "gates": [gate.model_dump() for gate in verdicts[sidecar.name]],
        "host_one_thread_ms": {"p50": latency.p50_ms, "p90": latency.p90_ms, "runs": latency.runs},
    }


def _print(
    options: ExportOptions,
    artifacts: list[Artifact],
    latencies: dict[str, Latency],
    verdicts: dict[str, list[Verdict]],
    budget: Budget | None,
    page: Path,
) -> None:
    console = plain_console()
    first = artifacts[0].sidecar
    console.print(
        f"measured on the files, {first.protocol['photos']} photos of the split {first.protocol['split']}, "
        "no test-time augmentation; intervals stand on the page",
    )
    for task, measured in first.metrics.items():
        names = [name for name in measured["metrics"] if not name.startswith("cs@")]
        titles = [metric_title(name, measured["unit"]) for name in names]
        table = Table("recipe", "MB", "p50 ms", *titles, title=task, title_justify="left", box=None)
        before = first.parity["metrics"]["float"][task]["metrics"]
        table.add_row("Keras, float", "", "", *(number_text(name, before[name]["value"]) for name in names))
        for artifact in artifacts:
            sidecar = artifact.sidecar
            latency, metrics = latencies[sidecar.name], sidecar.metrics[task]["metrics"]
            size = f"{sidecar.cost.file_bytes / 1e6:.3f}"
            values = [number_text(name, metrics[name]["value"]) for name in names]
            table.add_row(sidecar.recipe, size, f"{latency.p50_ms:.2f}", *values)
        console.print(table)
    table = Table("recipe", "gate", "limit", "measured", "verdict", box=None)
    few = len(artifacts) <= MOST_LISTED
    for artifact in artifacts:
        gates = verdicts[artifact.sidecar.name]
        met = sum(gate.met is True for gate in gates)
        if met and not few:
            table.add_row(artifact.sidecar.recipe, f"{met} gates", "", "", "met")
        for gate in gates:
            if gate.met and not few:
                continue
            table.add_row(artifact.sidecar.recipe, *verdict_row(**gate.model_dump()))
    print_table(table)
    if budget and budget.note:
        console.print(budget.note)
    for notice in first.notices:
        console.print(notice)
    last = shlex.quote(str(artifacts[-1].path))
    print(f"\npage     {page}")
    for artifact in artifacts:
        print(f"file     {artifact.path}")
    against = f" --budget {shlex.quote(options.budget)}" if options.budget else ""
    print(f"next     keras-faceattr demo {last}")
    nets = ",".join(budget.speed_up) if budget and budget.speed_up else "resnet50,vgg16"
    print(f"         keras-faceattr benchmark {last} --against {nets}{against}")
    print(f"         keras-faceattr predict {last} PHOTO|FOLDER|CSV --out predictions.csv")
