"""`keras-faceattr compare`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from keras_faceattr.artifact.loading import is_artifact, load_artifact
from keras_faceattr.artifact.sidecar import Sidecar
from keras_faceattr.cli.arguments import listed
from keras_faceattr.cli.console import wide_console
from keras_faceattr.cli.options import check_out, recorded_inputs
from keras_faceattr.cli.results import INTERVALS_SHOWN, tell
from keras_faceattr.errors import ArtifactError, ConfigError, nearest
from keras_faceattr.evaluation.compare import compare, verdict
from keras_faceattr.evaluation.entries import Difference, Entry, Results, read_entries, unique_names
from keras_faceattr.evaluation.formatting import TOO_FEW, metric_title, number_text, signed_text
from keras_faceattr.evaluation.table_writer import Row
from keras_faceattr.run import TABLE, Run

LONGEST_NAME, WIDEST_VALUE = 30, 10
"""On a line; longer ones are folded."""

NOTE = (
    "* best of those on the same photos as the first. Intervals: 95 %, bootstrap over photos (`identity`: over "
    "people); they do not hold the variation between seeds."
)

DIFFERENCE_COLUMNS = {"difference": "value", "difference_low": "low", "difference_high": "high"}

READINGS = {"true": "groups", "predicted": "predicted_groups"}
"""By which group a row of photos is given: that of their labels, or that which the model says."""

OWN_FLOAT_MODEL = "its float model"


def run_compare(paths: list[Path], tasks: list[str], by: str | None, out: Path | None, json: bool) -> None:
    """Prints runs and exported files side by side, with paired differences to the first."""
    for path in paths:
        if sum(path.resolve() == other.resolve() for other in paths) > 1:
            raise ConfigError(f"{path} is named twice: compare different runs")
    if out:
        check_out(out, (data for path in paths if not is_artifact(path) for data in recorded_inputs(Run(path))))
    named = dict(zip(unique_names(paths), paths, strict=True))
    tables = [path for path in paths if Run(path).config_path.is_file() and Run(path).kind() == TABLE]
    if tables and len(tables) < len(paths):
        raise ConfigError(
            f"{tables[0]} is a run on a table: it is compared with its like alone, not with runs on photos"
        )
    if tables:
        if tasks or by:
            raise ConfigError("runs on tables have one target and no groups: leave out --task and --by")
        from keras_faceattr.cli.compare_tables import run_compare_tables

        run_compare_tables(named, out, json)
        return
    entries = [entry for name, path in named.items() for entry in _entries(path, name)]
    if len(entries) < 2:
        raise ConfigError("compare takes two or more runs or exported files")
    if by is not None:
        _check_group(by, entries)
    tell(lambda: compare(entries, listed(tasks)), partial(_flat, by=by), partial(_print, by=by), out, json)


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
