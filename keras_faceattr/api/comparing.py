"""`compare`: runs and exported files side by side, with paired differences on the same photos."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_faceattr.api.openable import Openable, path_of
from keras_faceattr.api.outputs import check_out, recorded_inputs
from keras_faceattr.artifact.loading import is_artifact, load_artifact
from keras_faceattr.artifact.sidecar import Sidecar
from keras_faceattr.errors import ArtifactError, ConfigError, nearest
from keras_faceattr.evaluation.compare import compare as compared
from keras_faceattr.evaluation.compare import verdict
from keras_faceattr.evaluation.entries import Difference, Entry, Results, read_entries, unique_names
from keras_faceattr.evaluation.table_writer import Row, open_table
from keras_faceattr.run import TABLE, Run
from keras_faceattr.storage import jsonable

if TYPE_CHECKING:
    import pandas as pd

DIFFERENCE_COLUMNS = {"difference": "value", "difference_low": "low", "difference_high": "high"}

READINGS = {"true": "groups", "predicted": "predicted_groups"}
"""By which group a row of photos is given: that of their labels, or that which the model says."""

OWN_FLOAT_MODEL = "its float model"


@dataclass(frozen=True, repr=False)
class Comparison:
    """Runs and files side by side.

    Attributes:
        results: everything, as the command line's JSON has it.
        by: the group by which rows are also given; None without one.
        of_tables: whether these are runs of regressors on tables.
        written: the CSV to which the rows were written; None without one.
    """

    results: dict[str, Any] = field(repr=False)
    by: str | None = None
    of_tables: bool = False
    written: Path | None = None

    def rows(self) -> list[Row]:
        """One row per run, task and metric (of tables: run, regressor and metric), as in the CSV."""
        return list(_flat_tables(self.results) if self.of_tables else _flat(self.results, self.by))

    def table(self) -> pd.DataFrame:
        """The rows as a table: the value with its 95 % interval, and the paired difference to the first run."""
        import pandas as pd

        return pd.DataFrame(jsonable(self.rows()))

    def __repr__(self) -> str:
        return self.table().to_string(index=False)

    def _repr_html_(self) -> str:
        return str(self.table().to_html(index=False))


def compare(
    nets: Sequence[Openable],
    *,
    tasks: Sequence[str] = (),
    by: str | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Comparison:
    """Compare runs and exported files, with paired differences to the first on the same photos.

    Args:
        nets: two or more finished runs or exported files: their paths or names, or what `fit` and `export` gave.
        tasks: to compare; all by default.
        by: adds rows per group: `gender`, `race`, `age`, `source`, or the classes of a task.
        out: CSV to which the rows are also written.

    Raises:
        ConfigError: fewer than two, one named twice, an unknown task or group, or runs of different kinds.
        RunError: no finished run.
        ArtifactError: a damaged file.
    """
    paths = [path_of(net) for net in nets]
    for path in paths:
        if sum(path.resolve() == other.resolve() for other in paths) > 1:
            raise ConfigError(f"{path} is named twice: compare different runs")
    written = Path(out) if out is not None else None
    if written:
        check_out(written, (data for path in paths if not is_artifact(path) for data in recorded_inputs(Run(path))))
    named = dict(zip(unique_names(paths), paths, strict=True))
    tables = [path for path in paths if Run(path).config_path.is_file() and Run(path).kind() == TABLE]
    if tables and len(tables) < len(paths):
        raise ConfigError(
            f"{tables[0]} is a run on a table: it is compared with its like alone, not with runs on photos"
        )
    if tables:
        if tasks or by:
            raise ConfigError("runs on tables have one target and no groups: leave out --task and --by")
        from keras_faceattr.tabular.compare import compare_tables

        return _written(
            written,
            lambda: Comparison(compare_tables({name: Run(path) for name, path in named.items()}), None, True, written),
        )
    entries = [entry for name, path in named.items() for entry in _entries(path, name)]
    if len(entries) < 2:
        raise ConfigError("compare takes two or more runs or exported files")
    if by is not None:
        _check_group(by, entries)
    return _written(written, lambda: Comparison(compared(entries, list(tasks)), by, False, written))


def _written(out: Path | None, make: Callable[[], Comparison]) -> Comparison:
    """The comparison, written as a CSV where one is asked for."""
    if out is None:
        return make()
    # Opened first, because a file of an unknown kind is refused before any work.
    with open_table(out, "csv") as table:
        found = make()
        table.write(found.rows())
    return found


def _entries(path: Path, name: str) -> list[Entry]:
    return [_artifact(path, name)] if is_artifact(path) else read_entries(path, name)


def _artifact(path: Path, name: str) -> Entry:
    sidecar = load_artifact(path).sidecar
    plain = {"run": sidecar.name, **sidecar.protocol, "tasks": sidecar.metrics}
    try:
        changes = dict(_changes(sidecar))
        parameters = sidecar.cost.parameters
        results, tasks = Results.model_validate(plain), sidecar.task_objects()
        return Entry(path=path, name=name, results=results, tasks=tasks, parameters=parameters, changes=changes)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        sidecar_path = path.with_suffix(".json")
        raise ArtifactError(f"{sidecar_path} holds no results to compare: {reason}; export it again") from None


def _changes(sidecar: Sidecar) -> Iterator[tuple[str, list[Difference]]]:
    """Paired changes from the float model to the file, by task, as the export measured them."""
    for name, task in sidecar.task_objects().items():
        groups = sidecar.parity["groups"].get(name)
        if groups and groups["all"]:
            metric, found = groups["metric"], groups["all"]
            low, high = found["low"], found["high"]
            shown = verdict(metric, task, low, high)
            yield name, [Difference(OWN_FLOAT_MODEL, metric, found["photos"], found["change"], low, high, shown)]


def _check_group(by: str, entries: list[Entry]) -> None:
    results = [task for entry in entries for task in entry.results.tasks.values()]
    known = {column for task in results for column in (*task.groups, *task.predicted_groups)}
    if by not in known:
        hint = nearest(by, known) if known else "none of them has results by group"
        raise ConfigError(f"unknown --by {by!r}; {hint}")


def _flat(compared: dict[str, Any], by: str | None) -> Iterator[Row]:
    """A row for each run, task and metric; with `by` also for each group, and for each that the model predicts."""
    for task, side_by_side in compared["tasks"].items():
        for row in side_by_side["rows"]:
            differences = {d["metric"]: d for d in row["differences"] if d["against"] == side_by_side["against"]}
            for metric, numbers in row["metrics"].items():
                found = differences.get(metric, {})
                group = {"group": "", "given": ""} if by else {}
                difference = {key: found.get(name) for key, name in DIFFERENCE_COLUMNS.items()}
                yield {"run": row["run"], "task": task, **group, "metric": metric, **numbers, **difference}
            for given, key in READINGS.items():
                for value, measured in row[key].get(by, {}).items():
                    group = {"group": value, "given": given}
                    for metric, numbers in measured["metrics"].items():
                        nothing = dict.fromkeys(DIFFERENCE_COLUMNS)
                        yield {"run": row["run"], "task": task, **group, "metric": metric, **numbers, **nothing}


def _flat_tables(compared: dict[str, Any]) -> Iterator[Row]:
    """A row for each run, regressor and metric."""
    from keras_faceattr.tabular.results import METRICS

    for row in compared["rows"]:
        for metric in METRICS:
            numbers = row[metric]
            difference = numbers.get("difference", {})
            yield {
                **{key: row[key] for key in ("run", "regressor", "splits")},
                "metric": metric,
                **{key: numbers[key] for key in ("mean", "sigma")},
                "difference": difference.get("mean"),
                **{f"difference_{end}": difference.get(end) for end in ("low", "high")},
            }
