"""`export`: from a finished run to files that are proven to be as good as its model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, overload

from keras_faceattr.api.configs import Paths, Settings, as_overrides, as_paths
from keras_faceattr.api.openable import Openable, path_of
from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.artifact.sidecar import Sidecar
from keras_faceattr.budget.devices import board_name, host_classes
from keras_faceattr.budget.gates import export_gates, outcome
from keras_faceattr.budget.limits import Budget, Times, Verdict, load_budget
from keras_faceattr.convert.engines import engine as engine_of
from keras_faceattr.convert.export import export_recipe
from keras_faceattr.convert.page import write_page
from keras_faceattr.convert.recipe import ExportRecipe, export_recipe_names, load_recipe
from keras_faceattr.convert.source import read_source
from keras_faceattr.errors import ConfigError, ModelError
from keras_faceattr.measure.latency import Latency, measure_latencies
from keras_faceattr.measured import TaskMetrics, metrics_of
from keras_faceattr.quantization.graph import read_graph
from keras_faceattr.quantization.quantize import kept_in_float
from keras_faceattr.run import Run
from keras_faceattr.storage import write_json
from keras_faceattr.terminal.progress import FitProgress
from keras_faceattr.zoo import found_net

DEFAULT_RECIPES = ("float32", "int8_qat")
EVERY = "all"
"""In place of a recipe: all that the net can have."""
SECONDS_A_FILE = 2.0


@dataclass(frozen=True, repr=False)
class ExportedFile:
    """A file with what was proven on it.

    Attributes:
        path: of the `.tflite` file; its sidecar has the same name and ends in `.json`.
        sidecar: everything that is known about the file.
        gates: its limits, what was measured, and whether each is met.
        latency: of one photo on one thread of this machine, timed in turn with the other files of the export.
    """

    path: Path
    sidecar: Sidecar = field(repr=False)
    gates: tuple[Verdict, ...] = field(repr=False)
    latency: Latency = field(repr=False)

    @property
    def recipe(self) -> str:
        """Name of the recipe that it was made by."""
        return self.sidecar.recipe

    @property
    def status(self) -> str:
        """What the recipe's own gates say: `passed`, `failed` or `not proven`."""
        return self.sidecar.status

    @property
    def verdict(self) -> str:
        """`met`, `not met` or `not measured`: of all gates that apply here, those of a budget among them."""
        return outcome(self.gates)

    @property
    def metrics(self) -> dict[str, TaskMetrics]:
        """Measured on this file, by task: `file.metrics["age"]["mae"]`."""
        return metrics_of(self.sidecar.metrics)

    @property
    def file_bytes(self) -> int:
        """Size of the file in bytes."""
        return self.sidecar.cost.file_bytes

    def __repr__(self) -> str:
        return (
            f"ExportedFile {self.path}: {self.status}, {self.file_bytes / 1e6:.2f} MB, {self.latency.p50_ms:.2f} ms "
            "on one thread"
        )

    @property
    def is_control(self) -> bool:
        """Whether it is the control of another file of the export, which no gate of its own holds up."""
        return self.sidecar.is_control

    def summary(self) -> dict[str, Any]:
        """The file as the command line's JSON has it."""
        sidecar, latency = self.sidecar, self.latency
        unrounded = sidecar.parity["metrics"].get("unrounded")
        return {
            "file": str(self.path),
            "recipe": sidecar.recipe,
            "status": sidecar.status,
            "cost": sidecar.cost.model_dump(),
            "metrics": sidecar.metrics,
            **({"unrounded_metrics": unrounded} if unrounded else {}),
            "drop": sidecar.parity["drop"],
            "gates": [gate.model_dump() for gate in self.gates],
            "host_one_thread_ms": {"p50": latency.p50_ms, "p90": latency.p90_ms, "runs": latency.runs},
        }


@dataclass(frozen=True, repr=False)
class Export(Sequence[ExportedFile]):
    """The files of an export, in the order of their recipes.

    Attributes:
        files: one per recipe.
        page: an HTML page that compares them.
        left_out: recipes that this net cannot have, each with the reason; only where all recipes were asked for.
        budget: by which the files were judged too.
    """

    files: tuple[ExportedFile, ...]
    page: Path
    left_out: dict[str, str] = field(default_factory=dict)
    budget: Budget | None = None

    @overload
    def __getitem__(self, index: int) -> ExportedFile: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ExportedFile, ...]: ...
    def __getitem__(self, index: int | slice) -> ExportedFile | tuple[ExportedFile, ...]:
        return self.files[index]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[ExportedFile]:
        return iter(self.files)

    def __repr__(self) -> str:
        return "\n".join([f"Export {self.page}", *(f"  {file!r}" for file in self.files)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(file.recipe)}</td><td>{file.status}</td><td>{file.file_bytes / 1e6:.2f}</td>"
            f"<td>{file.latency.p50_ms:.2f}</td><td>{escape(str(file.path))}</td></tr>"
            for file in self.files
        )
        head = "".join(f"<th>{title}</th>" for title in ("recipe", "status", "MB", "p50 ms", "file"))
        return f"<table><tr>{head}</tr>{rows}</table>"

    def to_json(self) -> dict[str, Any]:
        """The result as it stands in `export.json`."""
        return {
            "page": str(self.page),
            "artifacts": [file.summary() for file in self.files],
            "left_out": self.left_out,
        }


def export(
    run: Openable,
    recipes: Sequence[str] = DEFAULT_RECIPES,
    *,
    budget: str | None = None,
    heads: Sequence[str] = (),
    batch: int = 1,
    engine: str | None = None,
    out: str | os.PathLike[str] | None = None,
    data: Paths | None = None,
    set: Settings | None = None,
    control: bool = False,
    verbose: bool = True,
) -> Export:
    """Quantize and convert a run, and prove each file on held-out photos.

    A gate that is not met raises nothing: read `file.status`, `file.verdict` and `file.gates`.

    Args:
        run: a finished run, its folder, or the name of a shipped net.
        recipes: names or paths of recipes; `["all"]` for every one that the net can have.
        budget: name of a shipped budget or path of a YAML file, by which the files are judged too.
        heads: tasks to export; all by default.
        batch: fixed batch size of the files.
        engine: what quantizes to integers: `native`, `converter`, `litert_quantizer` or `tfmot`; None for the recipe's
            own, mostly `native`.
        out: folder of the files; `RUN/export` by default.
        data: where the data lies now, by source or reader.
        set: changes of the one recipe: `{"integer.fine_tuning.epochs": 5}`.
        control: adds, for every recipe that fine-tunes, a file `RECIPE_control` from the same epochs without rounding:
            the difference is the gain of rounding-aware training.
        verbose: shows progress on stderr.

    Returns:
        A sequence with one file per recipe.

    Raises:
        ConfigError: an unknown recipe, budget, engine or task.
        RunError: no finished run, or a folder that cannot be written.
        ModelError: a layer that cannot be quantized or converted; it is named.
        DataError: no held-out photos.
    """
    names = list(recipes) or list(DEFAULT_RECIPES)
    every = names == [EVERY]
    chosen = _recipes(export_recipe_names() if every else names, as_overrides(set), batch)
    if control:
        chosen = _with_controls(chosen, engine)
    limits = load_budget(budget) if budget else None
    if engine:
        engine_of(engine)
    # A name means a net here, and not its file.
    path = Path(run) if isinstance(run, str | os.PathLike) else path_of(run)
    net = found_net(path)
    # Nothing is written into the package itself.
    folder, into = (net.folder, Path("runs") / net.name / "export") if net else (path, path / "export")
    into = Path(out) if out is not None else into
    with FitProgress(quiet=not verbose) as progress:
        source = read_source(Run(folder), list(heads), as_paths(data), progress)
        graph = read_graph(source.folded)
        for recipe in chosen:
            kept_in_float(graph, recipe.integer.keep_float if recipe.integer else ())
        artifacts: list[Artifact] = []
        left_out: dict[str, str] = {}
        for recipe in chosen:
            made = recipe.by(engine)
            place = into / (recipe.name if made == recipe else f"{recipe.name}_{engine}")
            progress.total_epochs = recipe.epochs
            try:
                artifacts.append(export_recipe(source, made, place, progress, limits, batch))
            except ModelError as error:
                # Not every net can have every recipe.
                if not every:
                    raise
                left_out[recipe.name] = str(error)
                progress.say(f"{recipe.name} is left out: {error}")
        if not artifacts:
            raise ModelError(f"this net can have no recipe: {next(iter(left_out.values()))}")
        progress.say("timing the files in turn")
        paths = {artifact.sidecar.name: artifact.path for artifact in artifacts}
        latencies = measure_latencies(paths, 1, budget_s=SECONDS_A_FILE * len(paths))
    files = tuple(_proven(artifact, latencies[artifact.sidecar.name], limits) for artifact in artifacts)
    write_page(into / "index.html", artifacts, latencies)
    result = Export(files, into / "index.html", left_out, limits)
    write_json(into / "export.json", result.to_json())
    return result


def _recipes(names: list[str], overrides: list[str], batch: int) -> list[ExportRecipe]:
    recipes = [load_recipe(name, overrides if len(names) == 1 else None) for name in names]
    if overrides and len(names) != 1:
        raise ConfigError("--set changes one recipe: name it with --recipe")
    _check_names(recipes)
    if batch < 1:
        raise ConfigError(f"--batch {batch} is not above 0")
    return recipes


def _check_names(recipes: list[ExportRecipe]) -> None:
    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise ConfigError("two of the recipes have the same name, which is that of their folder")


def _with_controls(recipes: list[ExportRecipe], engine: str | None) -> list[ExportRecipe]:
    if engine not in (None, "native"):
        raise ConfigError(f"--control compares with the native engine's fine-tuning: leave out --engine {engine}")
    tuned = [one for one in recipes if one.epochs and not one.is_control and one.engine == "native"]
    if not tuned:
        names = ", ".join(recipe.name for recipe in recipes)
        raise ConfigError(f"--control: no recipe of {names} fine-tunes with rounding; add --recipe int8_qat")
    found = [one for recipe in recipes for one in ([recipe, recipe.control()] if recipe in tuned else [recipe])]
    _check_names(found)
    return found


def _proven(artifact: Artifact, latency: Latency, budget: Budget | None) -> ExportedFile:
    """The file, with a budget's limits on times: a busy machine gives none, and no reference net ran."""
    times = Times(host_classes(board_name()), p90_ms=(None, None) if latency.busy else latency.p90_bounds_ms)
    return ExportedFile(artifact.path, artifact.sidecar, tuple(export_gates(artifact.sidecar, budget, times)), latency)
