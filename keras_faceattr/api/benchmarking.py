"""`benchmark`: the time of exported files on this computer, next to reference nets in the same run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_faceattr.api.openable import HasPath, path_of
from keras_faceattr.artifact.loading import load_artifact
from keras_faceattr.artifact.measured_file import MeasuredFile, model_file
from keras_faceattr.budget.gates import outcome, verdicts
from keras_faceattr.budget.limits import Budget, Ratio, Times, Verdict, load_budget
from keras_faceattr.errors import ArtifactError
from keras_faceattr.measure.benchmark import Row, benchmark_models, file_names, write_result
from keras_faceattr.measure.end_to_end import measure_end_to_end
from keras_faceattr.measure.latency import BUDGET_S
from keras_faceattr.measure.operators import op_profile
from keras_faceattr.terminal.console import say_if

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "name",
    "kind",
    "precision",
    "side",
    "threads",
    "file_bytes",
    "macs",
    "p50_ms",
    "p90_ms",
    "images_per_s",
    "busy",
)


@dataclass(frozen=True, repr=False)
class Benchmark:
    """Times of files and reference nets, measured in turn.

    Attributes:
        results: everything, as the command line's JSON has it.
        written: the JSON file to which it was also written; None without one.
    """

    results: dict[str, Any] = field(repr=False)
    written: Path | None = None

    @property
    def verdicts(self) -> dict[str, list[Verdict]]:
        """The limits of the budget by file; empty without a budget."""
        found = self.results["verdicts"]
        return {name: [Verdict.model_validate(gate) for gate in gates] for name, gates in found.items()}

    @property
    def verdict(self) -> str:
        """`met`, `not met` or `not measured`: of all limits that apply here."""
        return outcome([gate for gates in self.verdicts.values() for gate in gates])

    def table(self) -> pd.DataFrame:
        """One row per net and number of threads; `times_as_fast_as_NET` is the speed-up over a reference net."""
        import pandas as pd

        rows = [
            {name: row[name] for name in COLUMNS}
            | {f"times_as_fast_as_{net}": ratio for net, ratio in row["ratios"].items()}
            for row in self.results["rows"]
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return self.table().to_string(index=False)

    def _repr_html_(self) -> str:
        return str(self.table().to_html(index=False))


def benchmark(
    files: Sequence[str | os.PathLike[str] | HasPath],
    *,
    against: Sequence[str] = ("resnet50", "vgg16"),
    threads: Sequence[int] = (1,),
    precisions: Sequence[str] = (),
    side: int | None = None,
    seconds: float = BUDGET_S,
    budget: str | None = None,
    ops: bool = False,
    out: str | os.PathLike[str] | None = None,
    verbose: bool = True,
) -> Benchmark:
    """Time exported files and reference nets in turn on pinned threads of this computer.

    Args:
        files: `.tflite` files, names of shipped nets, or what `export` gave.
        against: reference nets of the same precision, side and batch; none for an empty list.
        threads: numbers of threads.
        precisions: of the reference nets; default: each file's own.
        side: of the reference nets' input in pixels; default: each file's own.
        seconds: about how long the measuring takes for each number of threads.
        budget: name of a shipped budget or path of a YAML file, by which the files are judged.
        ops: also times each operation.
        out: folder to which the result is also written as JSON.
        verbose: says on stderr what takes long.

    Raises:
        ArtifactError: a file or its sidecar is damaged.
        BenchmarkError: more threads than the machine has, or a file that the runtime cannot run.
        ConfigError: an unknown reference net, precision or budget.
    """
    paths = [path_of(file) for file in files]
    limits = load_budget(budget) if budget else None
    check_files(paths)
    nets, wanted = list(against), list(precisions) or None
    result = measure_here(paths, nets, list(threads), wanted, side, seconds, limits, ops, say_if(verbose))
    return Benchmark(result, write_result(result, Path(out)) if out is not None else None)


def check_files(paths: Sequence[Path]) -> None:
    """Refuses a file that its sidecar does not describe.

    Raises:
        ArtifactError: its hash differs, or the sidecar is damaged.
    """
    for path in paths:
        if path.with_suffix(".json").is_file():
            load_artifact(path)


def measure_here(
    paths: list[Path],
    against: list[str],
    threads: list[int],
    precisions: list[str] | None,
    side: int | None,
    seconds: float,
    budget: Budget | None,
    ops: bool,
    told: Callable[[str], None],
) -> dict[str, Any]:
    """A row for each file and number of threads, with the time from a photo's bytes to a number, and verdicts."""
    result = benchmark_models(paths, against, threads, precisions, side, seconds, say=told)
    result["end_to_end"] = _end_to_end(paths, min(row["threads"] for row in result["rows"]))
    if ops:
        profiles = [op_profile(path, 1) for path in paths]
        result["ops"] = {
            name: [asdict(op) for op in found] for name, found in zip(file_names(paths), profiles, strict=True)
        }
    result["verdicts"] = _verdicts(paths, result, budget)
    return result


def _end_to_end(paths: list[Path], threads: int) -> dict[str, Any]:
    """From the bytes of a photo to a number, for every model of one photo whose sidecar tells its crop."""
    found = {}
    for path, name in zip(paths, file_names(paths), strict=True):
        if not path.with_suffix(".json").is_file():
            continue
        sidecar = load_artifact(path).sidecar
        # Of several photos at once none has a time of its own.
        if sidecar.input.shape[0] == 1:
            found[name] = measure_end_to_end(path, sidecar.crop_spec(), threads)
    return found


def _verdicts(paths: list[Path], result: dict[str, Any], budget: Budget | None) -> dict[str, list[dict[str, Any]]]:
    """On one thread the speed is judged too. A busy machine gives no time to judge, only ratios within its rounds."""
    classes = frozenset(result["environment"]["classes"])
    rows: list[Row] = [row for row in result["rows"] if row["kind"] == "model" and row["threads"] == 1]
    times = {
        row["name"]: Times(
            classes,
            {net: Ratio(value, *row["ratio_bounds"][net]) for net, value in row["ratios"].items()},
            (None, None) if row["busy"] else row["p90_bounds_ms"],
        )
        for row in rows
    }
    return judge(paths, budget, times, classes)


def judge(
    paths: Sequence[Path], budget: Budget | None, times: Mapping[str, Times], classes: frozenset[str]
) -> dict[str, list[dict[str, Any]]]:
    """Verdicts of a budget by name of the file, as of `file_names`; nothing without a budget.

    Args:
        times: by name of the file; files that were not measured on one thread are left out.
        classes: those that the measured device is of.
    """
    if budget is None:
        return {}
    found = {}
    for path, name in zip(paths, file_names(list(paths)), strict=True):
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
