"""`keras-faceattr benchmark MODEL...`."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from keras_faceattr.api.benchmarking import check_files, measure_here
from keras_faceattr.budget.devices import board_name, check_host, device_class
from keras_faceattr.budget.limits import Budget, Verdict, load_budget
from keras_faceattr.cli.arguments import listed
from keras_faceattr.cli.benchmark_android import ANY, benchmark_android
from keras_faceattr.cli.benchmark_browser import (
    BROWSER,
    add_browsers,
    benchmark_browser,
    import_results,
    show,
)
from keras_faceattr.cli.benchmark_options import RESULTS, BenchmarkOptions, thread_numbers
from keras_faceattr.cli.exit_codes import conclude
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.benchmark import Row, write_result
from keras_faceattr.terminal.console import plain_console, print_table

NOTHING = "none"
"""In place of reference nets: measure the files alone."""


def run_benchmark_models(options: BenchmarkOptions) -> None:
    """Print what was measured and the budget's verdict; exit 1 if a limit is not met, 3 if one was not measured."""
    budget = load_budget(options.budget) if options.budget else None
    check_files(options.models)
    on_host = options.device not in (ANY, BROWSER) and device_class(options.device).kind == "host"
    if on_host:
        check_host(options.device, board_name())
    import_results(options)
    if options.results != RESULTS and not options.results.is_dir():
        raise BenchmarkError(f"--results {options.results}: no such folder")
    if options.device == BROWSER:
        result = benchmark_browser(options, budget)
    elif on_host:
        result = _on_host(options, budget)
    else:
        result = benchmark_android(options, budget)
    gates = [Verdict.model_validate(gate) for gates in result["verdicts"].values() for gate in gates]
    conclude(gates, "limit")


def _on_host(options: BenchmarkOptions, budget: Budget | None) -> dict[str, Any]:
    """A row for each file and number of threads, reference nets below the models."""
    console = plain_console(stderr=True)
    result = measure_here(
        options.models,
        [] if options.against == [NOTHING] else listed(options.against),
        thread_numbers(options.threads),
        listed(options.precision) or None,
        options.side,
        options.seconds,
        budget,
        options.ops,
        lambda line: console.print(line),
    )
    add_browsers(options, budget, result)
    path = write_result(result, options.out) if options.out else None
    show(options, budget, result, lambda: _print(result))
    if path:
        console.print(f"written to {path}", soft_wrap=True)
    return result


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
            _title(row),
            f"{row['precision']} {row['side']}²" if row["side"] else row["precision"],
            str(row["threads"]),
            f"{row['file_bytes'] / 1e6:.2f}",
            f"{row['macs'] / 1e6:.1f}",
            f"{'! ' if row['busy'] else ''}{row['p50_ms']:.2f}",
            f"{row['p90_ms']:.2f}",
            f"{row['images_per_s']:.1f}",
            *(f"{row['ratios'][name]:.2f}" if name in row["ratios"] else "" for name in references),
        )
    console = plain_console()
    print_table(table)
    for name, times in result["end_to_end"].items():
        parts = ("preprocessing", "model", "end_to_end")
        shown = ", ".join(f"{part.replace('_', ' ')} {times[part]['p50_ms']:.2f} ms" for part in parts)
        console.print(f"{name}: {shown} (p50; {times['photo']})")
    for name, ops in result.get("ops", {}).items():
        console.print(_op_table(name, ops))
    environment = result["environment"]
    console.print(
        f"\n{environment['cpu']}, {environment['cores']} cores, {environment['os']}, {environment['runtime']} "
        f"{environment['runtime_version']}, measured in turn on pinned threads"
        + (
            "; × NET: times as fast as that net of the same precision, side and batch on as many threads"
            if references
            else ""
        ),
    )


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
