"""`keras-faceattr benchmark MODEL... --device browser`, and results of browsers next to those of a host or a phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_faceattr.api.benchmarking import judge
from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.artifact.measured_file import model_file
from keras_faceattr.budget.limits import Budget
from keras_faceattr.cli.benchmark_options import BenchmarkOptions, print_verdicts
from keras_faceattr.cli.options import print_json
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.browser.results import read_bytes, read_result, save_result
from keras_faceattr.measure.browser.rows import BrowserRow, browser_gates, browser_rows
from keras_faceattr.storage import sha256
from keras_faceattr.terminal.console import plain_console, print_table

BROWSER = "browser"
"""In place of a device: show what browsers measured, and measure nothing."""


def import_results(options: BenchmarkOptions) -> None:
    """Put downloaded results into the folder, all of them or none."""
    if not options.imports:
        return
    for path in options.models:
        read_tflite(path)
    bodies = [read_bytes(path) for path in options.imports]
    results = [read_result(body, str(path)) for path, body in zip(options.imports, bodies, strict=True)]
    own = {sha256(path) for path in options.models}
    console = plain_console(stderr=True)
    for path, body, result in zip(options.imports, bodies, results, strict=True):
        saved = save_result(body, options.results, "imported")
        console.print(f"{path}: saved as {saved}", soft_wrap=True)
        if not own & {row.sha256 for row in result.rows}:
            _warn(console, [f"{path} holds no measurement of these files"])


def benchmark_browser(options: BenchmarkOptions, budget: Budget | None) -> dict[str, Any]:
    """Show results of browsers only."""
    if options.out:
        raise BenchmarkError(f"--out: nothing is measured with --device browser; its results lie in {options.results}")
    # Nothing that measures them has refused damaged files before.
    for path in options.models:
        model_file(path, path.name)
    result: dict[str, Any] = {"environment": None, "rows": [], "end_to_end": {}, "warnings": []}
    result["verdicts"] = judge(options.models, budget, {}, frozenset())
    add_browsers(options, budget, result)
    if not result["browser"]:
        _warn(plain_console(stderr=True), result["warnings"])
        raise BenchmarkError(
            f"no browser has measured these files: {options.results} holds no result of them; send one from the page "
            "of `keras-faceattr demo`, or name a downloaded one with --import FILE"
        )
    show(options, budget, result, lambda: None)
    return result


def add_browsers(options: BenchmarkOptions, budget: Budget | None, result: dict[str, Any]) -> None:
    """Put rows of browsers behind the others, with their warnings and verdicts."""
    rows, warnings = browser_rows(options.results, options.models, budget)
    if unverified := sum(not row["verified"] for row in rows):
        warnings.append(
            f"{unverified} of {len(rows)} browser rows are unverified: the page did not reproduce the golden crops, so "
            "that no budget judges them"
        )
    if budget and (posted := sum(not row["imported"] for row in rows)):
        warnings.append(
            f"{posted} of {len(rows)} browser rows were posted by whoever could reach the demo: the budget judges none "
            "of these; import a result that you trust with --import FILE"
        )
    for name in dict.fromkeys(row["name"] for row in rows if budget):
        assert budget is not None
        gates = browser_gates(budget, [row for row in rows if row["name"] == name], options.device == BROWSER)
        result["verdicts"][name] += [gate.model_dump() for gate in gates]
    result["browser"] = rows
    result["rows"] = [*result["rows"], *rows]
    if warnings:
        result["warnings"] = [*result.get("warnings", []), *warnings]


def show(
    options: BenchmarkOptions, budget: Budget | None, result: dict[str, Any], print_measured: Callable[[], None]
) -> None:
    """JSON, or for people: what was measured here, what browsers measured, warnings, verdicts."""
    if options.json:
        print_json(result)
        return
    print_measured()
    if result["browser"]:
        _print_browsers(result["browser"])
    _warn(plain_console(), result.get("warnings", []))
    print_verdicts(result["verdicts"], budget)


def _print_browsers(rows: list[BrowserRow]) -> None:
    """Print a table of its own, because no reference net ran in the same run."""
    table = Table(box=None, pad_edge=False, title="\nin browsers: p50 of the parts in ms", title_justify="left")
    table.add_column("file", no_wrap=True)
    table.add_column("browser", no_wrap=True)
    for title in ("threads", "p50 ms", "p90 ms", "detection", "crop", "end to end", "runs", "verified", "imported"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        parts = [row["parts"][part] for part in ("detection", "crop", "end_to_end")]
        table.add_row(
            Text(row["name"]),
            # Not as markup, in which even ":name:" may mean a sign.
            Text(row["title"]),
            str(row["threads"]),
            f"{'! ' if row['busy'] else ''}{row['p50_ms']:.2f}",
            "–" if row["p90_ms"] is None else f"{row['p90_ms']:.2f}",
            *(f"{part['p50_ms']:.2f}" if part else "" for part in parts),
            str(row["runs"]),
            "yes" if row["verified"] else "NO",
            "yes" if row["imported"] else "no",
        )
    print_table(table)


def _warn(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(f"warning: {line}", style="yellow", soft_wrap=True)
