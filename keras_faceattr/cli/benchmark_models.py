"""`keras-faceattr benchmark MODEL...`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from keras_faceattr.cli.benchmark_android import ANY, benchmark_android
from keras_faceattr.cli.benchmark_options import RESULTS, BenchmarkOptions, print_verdicts, split, whole_number
from keras_faceattr.cli.options import print_json
from keras_faceattr.deploy.artifact import load_artifact
from keras_faceattr.deploy.benchmark import Row, benchmark_models, write_result
from keras_faceattr.deploy.browser_results import (
    BrowserRow,
    browser_gates,
    browser_rows,
    read_bytes,
    read_result,
    save_result,
)
from keras_faceattr.deploy.budget import Bounds, Budget, file_gates, load_budget, speed_gates
from keras_faceattr.deploy.devices import device_class
from keras_faceattr.deploy.end_to_end import measure_end_to_end
from keras_faceattr.deploy.measured_file import measured_file
from keras_faceattr.deploy.op_profile import op_profile
from keras_faceattr.deploy.sidecar import CostSpec
from keras_faceattr.deploy.tflite_file import read_tflite
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.storage import sha256

NOTHING = "none"
"""In place of reference nets: measure the files alone."""
BROWSER = "browser"
"""In place of a device: show what browsers measured, and measure nothing."""
MAX_WIDTH = 1000


def run_benchmark_models(options: BenchmarkOptions) -> None:
    """Prints what was measured and the budget's verdict; exits 1 where a limit is not met."""
    budget = load_budget(options.budget) if options.budget else None
    for path in options.models:
        # The sidecar's numbers are of another file if the hash differs.
        if path.with_suffix(".json").is_file():
            load_artifact(path)
    _import(options)
    if options.results != RESULTS and not options.results.is_dir():
        raise BenchmarkError(f"--results {options.results}: no such folder")
    if options.device == BROWSER:
        result = _in_browsers(options, budget)
    elif options.device != ANY and device_class(options.device).kind == "host":
        result = _on_host(options, budget)
    else:
        result = benchmark_android(options, budget)
    failed = [gate["name"] for gates in result["verdicts"].values() for gate in gates if gate["met"] is False]
    if failed:
        Console(stderr=True).print(f"limit not met: {', '.join(dict.fromkeys(failed))}", highlight=False)
        raise typer.Exit(1)


def _on_host(options: BenchmarkOptions, budget: Budget | None) -> dict[str, Any]:
    """A row for each file and number of threads, reference nets below the models."""
    console = Console(stderr=True)
    result = benchmark_models(
        options.models,
        [] if options.against == [NOTHING] else split(options.against),
        [whole_number(value) for value in split(options.threads)],
        split(options.precision) or None,
        options.side,
        options.seconds,
        say=lambda line: console.print(line, highlight=False),
    )
    result["end_to_end"] = _end_to_end(options, result["rows"])
    if options.ops:
        result["ops"] = {path.name: [asdict(op) for op in op_profile(path, 1)] for path in options.models}
    result["verdicts"] = _verdicts(options, result["rows"], budget) if budget else {}
    _add_browsers(options, budget, result)
    path = write_result(result, options.out) if options.out else None
    _show(options, budget, result)
    if path:
        console.print(f"written to {path}", highlight=False, markup=False, soft_wrap=True)
    return result


def _in_browsers(options: BenchmarkOptions, budget: Budget | None) -> dict[str, Any]:
    """What browsers measured, alone."""
    if options.out:
        raise BenchmarkError(f"--out: nothing is measured with --device browser; its results lie in {options.results}")
    result: dict[str, Any] = {"environment": None, "rows": [], "end_to_end": {}, "warnings": [], "verdicts": {}}
    _add_browsers(options, budget, result)
    if not result["browser"]:
        _warn(Console(stderr=True), result["warnings"])
        raise BenchmarkError(
            f"no browser has measured these files: {options.results} holds no result of them; send one from the page "
            "of `keras-faceattr demo`, or name a downloaded one with --import FILE"
        )
    _show(options, budget, result)
    return result


def _import(options: BenchmarkOptions) -> None:
    """Puts downloaded results into the folder, all of them or none."""
    if not options.imports:
        return
    for path in options.models:
        read_tflite(path)
    bodies = [read_bytes(path) for path in options.imports]
    results = [read_result(body, str(path)) for path, body in zip(options.imports, bodies, strict=True)]
    own = {sha256(path) for path in options.models}
    console = Console(stderr=True)
    for path, body, result in zip(options.imports, bodies, results, strict=True):
        saved = save_result(body, options.results)
        console.print(f"{path}: saved as {saved}", highlight=False, markup=False, soft_wrap=True)
        if not own & {row.sha256 for row in result.rows}:
            _warn(console, [f"{path} holds no measurement of these files"])


def _add_browsers(options: BenchmarkOptions, budget: Budget | None, result: dict[str, Any]) -> None:
    """Rows of browsers behind the others, with their warnings and verdicts."""
    rows, warnings = browser_rows(options.results, options.models, budget)
    if unverified := sum(not row["verified"] for row in rows):
        warnings.append(
            f"{unverified} of {len(rows)} browser rows are unverified: the page did not reproduce the golden crops, so "
            "that no budget judges them"
        )
    for name in dict.fromkeys(row["name"] for row in rows if budget):
        assert budget is not None
        gates = browser_gates(budget, [row for row in rows if row["name"] == name])
        result["verdicts"].setdefault(name, []).extend(gate.model_dump() for gate in gates)
    result["browser"] = rows
    result["rows"] = [*result["rows"], *rows]
    result["warnings"] = [*result["warnings"], *warnings]


def _show(options: BenchmarkOptions, budget: Budget | None, result: dict[str, Any]) -> None:
    if options.json:
        print_json(result)
        return
    console = Console()
    if result["environment"]:
        _print(result)
    if result["browser"]:
        _print_browsers(result["browser"])
    _warn(console, result["warnings"])
    print_verdicts(result["verdicts"], budget)


def _end_to_end(options: BenchmarkOptions, rows: list[Row]) -> dict[str, Any]:
    """From the bytes of a photo to a number, for every model of one photo whose sidecar tells its crop."""
    threads = min(row["threads"] for row in rows)
    found = {}
    for path in options.models:
        if not path.with_suffix(".json").is_file():
            continue
        sidecar = load_artifact(path).sidecar
        # Of several photos at once none has a time of its own.
        if sidecar.input.shape[0] == 1:
            found[path.name] = measure_end_to_end(path, sidecar.crop_spec(), threads)
    return found


def _verdicts(options: BenchmarkOptions, rows: list[Row], budget: Budget) -> dict[str, list[dict[str, Any]]]:
    """Limits of the file, and on one thread its speed and, for a class of hosts, its time."""
    own = [row for row in rows if row["kind"] == "model"]
    least = min(row["threads"] for row in own)
    verdicts = {}
    for path, row in zip(options.models, [row for row in own if row["threads"] == least], strict=True):
        cost = CostSpec(**asdict(measured_file(path, row["name"], "model", None).cost))
        gates = file_gates(budget, cost, row["precision"])
        times: dict[str, Bounds] = {options.device: (row["p90_ms"], row["p90_ms"])} if least == 1 else {}
        gates += speed_gates(budget, row["ratios"] if least == 1 else {}, times)
        verdicts[row["name"]] = [gate.model_dump() for gate in gates]
    return verdicts


def _print(result: dict[str, Any]) -> None:
    rows: list[Row] = [row for row in result["rows"] if row["device"] != BROWSER]
    references = list(dict.fromkeys(name for row in rows for name in row["ratios"]))
    table = Table(box=None, pad_edge=False)
    table.add_column("file", no_wrap=True)
    table.add_column("precision", no_wrap=True)
    ratios = ["×\n" + name.replace("_", "\n", 1) for name in references]
    for title in ("threads", "MB", "MMAC", "p50 ms", "p90 ms", "images/s", *ratios):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            escape(_title(row)),
            f"{row['precision']} {row['side']}²" if row["side"] else row["precision"],
            str(row["threads"]),
            f"{row['file_bytes'] / 1e6:.2f}",
            f"{row['macs'] / 1e6:.1f}",
            f"{'! ' if row['busy'] else ''}{row['p50_ms']:.2f}",
            f"{row['p90_ms']:.2f}",
            f"{row['images_per_s']:.1f}",
            *(f"{row['ratios'][name]:.2f}" if name in row["ratios"] else "" for name in references),
        )
    console = Console()
    _print_table(table)
    for name, times in result["end_to_end"].items():
        parts = ("preprocessing", "model", "end_to_end")
        shown = ", ".join(f"{part.replace('_', ' ')} {times[part]['p50_ms']:.2f} ms" for part in parts)
        console.print(f"{name}: {shown} (p50; {times['photo']})", highlight=False)
    for name, ops in result.get("ops", {}).items():
        console.print(_op_table(name, ops))
    environment = result["environment"]
    console.print(
        f"\n{environment['cpu']}, {environment['cores']} cores, {environment['os']}, {environment['runtime']} "
        f"{environment['runtime_version']}, measured in turn on pinned threads"
        + ("; × NET: times as fast as that net at the same precision and threads" if references else ""),
        highlight=False,
    )


def _print_browsers(rows: list[BrowserRow]) -> None:
    """A table of its own: no reference net ran beside."""
    table = Table(box=None, pad_edge=False, title="\nin browsers: p50 of the parts in ms", title_justify="left")
    table.add_column("file", no_wrap=True)
    table.add_column("browser", no_wrap=True)
    for title in ("threads", "p50 ms", "p90 ms", "detection", "crop", "end to end", "runs", "verified"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        parts = [row["parts"][part] for part in ("detection", "crop", "end_to_end")]
        table.add_row(
            Text(row["name"]),
            # Not as markup, in which even ":name:" may mean a sign.
            Text(row["title"]),
            str(row["threads"]),
            f"{'! ' if row['busy'] else ''}{row['p50_ms']:.2f}",
            f"{row['p90_ms']:.2f}",
            *(f"{part['p50_ms']:.2f}" if part else "" for part in parts),
            str(row["runs"]),
            "yes" if row["verified"] else "NO",
        )
    _print_table(table)


def _print_table(table: Table) -> None:
    """Rather lines that the terminal breaks than numbers that are cut off."""
    Console(width=max(Console().width, Console(width=MAX_WIDTH).measure(table).maximum)).print(table)


def _warn(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(f"warning: {line}", style="yellow", highlight=False, markup=False)


def _title(row: Row) -> str:
    """The name, and below it what was measured on this very file."""
    if row["kind"] == "reference":
        return row["name"]
    metrics = [f"  {metric['task']} {metric['name']} {metric['value']:.4g}" for metric in row["metrics"] or []]
    return "\n".join([row["name"], *(metrics or ["  metrics not measured"])])


def _op_table(name: str, ops: list[dict[str, Any]]) -> Table:
    table = Table("operation", "ms", "share", title=f"{name}: operations as they run", title_justify="left", box=None)
    for op in ops:
        table.add_row(f"{op['kind']} {op['name']}", f"{op['ms']:.3f}", f"{op['share']:.1%}")
    return table
