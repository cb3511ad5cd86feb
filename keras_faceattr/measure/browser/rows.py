"""Rows of files that browsers measured, next to those of a host or a phone, and their verdicts on a budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_faceattr.artifact.measured_file import MeasuredFile, model_file
from keras_faceattr.budget.devices import device_class, model_class
from keras_faceattr.budget.limits import Budget, LatencyLimit, Verdict, latency_gate
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.benchmark import Row, file_columns, file_names
from keras_faceattr.measure.browser.results import (
    BrowserMeasurement,
    BrowserResult,
    is_imported,
    read_bytes,
    read_result,
    result_folders,
    saved_results,
)
from keras_faceattr.storage import sha256


class BrowserRow(Row):
    """A row whose times are those of the model alone in a browser; it has no ratios, nothing else ran beside it.

    `title` says on what, `device_class` is the class of `export/devices` that the phone is of, `imported` whether the
    user vouches for it, `interval` the 95 % interval of the median in ms, `parts` holds the times by part, `verdict` is
    that on the limit of its class, where there is one.
    """

    title: str
    device_class: str | None
    build: str
    isolated: bool
    verified: bool
    imported: bool
    date: str
    interval: tuple[float, float]
    parts: dict[str, dict[str, Any] | None]
    photo: str
    verdict: dict[str, Any] | None


def browser_rows(
    folder: Path, models: Sequence[Path], budget: Budget | None = None
) -> tuple[list[BrowserRow], list[str]]:
    """Saved results of these very files, by SHA-256; the newest of each device, file and number of threads.

    Of imported ones and of posted ones the newest each: what somebody posts takes no imported result's place.

    Args:
        folder: searched in addition to the runs of the models and the cache, where the demo keeps results.

    Returns:
        Rows by file, device and threads, and warnings: damaged results, and results of another file of the same name.

    Raises:
        ArtifactError: a model that a browser measured is damaged, or its sidecar is.
        OSError: a model cannot be read.
    """
    warnings, found = [], []
    folders = [folder, *result_folders(models)]
    # The same result has the same name everywhere, but for its origin: posted and then imported, it is imported.
    paths = sorted((is_imported(path), path) for one in folders for path in saved_results(one))
    saved = {path.name.replace("_imported_", "_browser_"): (imported, path) for imported, path in paths}
    for imported, path in saved.values():
        try:
            found.append((read_result(read_bytes(path), str(path)), imported))
        except BenchmarkError as error:
            warnings.append(f"not shown: {error}")
    found.sort(key=lambda pair: pair[0].date)
    rows: list[BrowserRow] = []
    for path, name in zip(models, file_names(models), strict=True):
        digest = sha256(path)
        newest = {
            (result.device.model_dump_json(exclude={"battery", "screen", "isolated"}), row.threads, imported): (
                result,
                row,
            )
            for result, imported in found
            for row in result.rows
            if row.sha256 == digest
        }
        # A file that no browser measured may hold what only its device can read.
        if newest:
            file = model_file(path, name)
            rows += sorted(
                (_row(file, *pair, key[2], budget) for key, pair in newest.items()),
                key=lambda row: (row["title"], row["threads"], row["imported"]),
            )
        others = sum(row.file == path.name and row.sha256 != digest for result, _ in found for row in result.rows)
        if others:
            measured = f"{others} browser measurement{'s' * (others > 1)}"
            warnings.append(f"not shown: {measured} of another {name} (another SHA-256)")
    return rows, warnings


def browser_gates(budget: Budget, rows: Sequence[BrowserRow], alone: bool) -> list[Verdict]:
    """Verdicts on a file's time by what browsers measured, for each class of phones that the budget speaks of.

    The budget means native time on one thread, and a browser is slower: a limit that is kept in the browser is kept,
    and one that is not kept there is not measured, never failed. All results that count must keep it.

    Args:
        rows: rows of one file.
        alone: nothing else is measured, so that a limit applies where a browser on a phone of its class sent a result.
    """
    return [
        _gate(device, limit, rows, alone and any(row["device_class"] == device for row in rows))
        for device, limit in budget.latency.items()
        if device_class(device).kind == "android"
    ]


def _gate(device: str, limit: LatencyLimit, rows: Sequence[BrowserRow], applies: bool) -> Verdict:
    """A row counts if the user imported it, the page reproduced the golden crops, and nothing else ran meanwhile."""
    own = [row for row in rows if row["device_class"] == device and row["verified"] and row["threads"] == 1]
    times = [row["p90_ms"] for row in own if row["imported"] and not row["busy"] and row["p90_ms"] is not None]
    gate = latency_gate(device, limit, (None, max(times, default=None)), applies)
    told = gate.measured
    if not times and own:
        imported = [row for row in own if row["imported"]]
        busy = any(row["busy"] for row in imported)
        told += ": posted, not imported" if not imported else ": busy" if busy else ": no p90 of single calls"
    return gate.model_copy(update={"name": f"{gate.name} (browser)", "measured": told})


def _row(
    file: MeasuredFile, result: BrowserResult, measured: BrowserMeasurement, imported: bool, budget: Budget | None
) -> BrowserRow:
    times, device = measured.parts.model, result.device
    p90_ms = times.p90_ms if result.format > 1 else None
    row = BrowserRow(
        **file_columns(file),
        device="browser",
        threads=measured.threads,
        p50_ms=times.p50_ms,
        p90_ms=p90_ms,
        images_per_s=1e3 * file.batch / times.p50_ms,
        runs=times.runs,
        spread=None if p90_ms is None else (p90_ms - times.p50_ms) / times.p50_ms,
        busy=times.busy,
        ratios={},
        ratio_bounds={},
        p90_bounds_ms=(None, None),
        title=device.title,
        device_class=model_class(device.model_name or ""),
        build=result.runtime.build,
        isolated=device.isolated,
        verified=measured.verified,
        imported=imported,
        date=result.date.isoformat(timespec="seconds"),
        interval=(times.low_ms, times.high_ms),
        parts=measured.parts.model_dump(),
        photo=measured.photo,
        verdict=None,
    )
    device_name = row["device_class"]
    if budget and device_name in budget.latency:
        row["verdict"] = _gate(device_name, budget.latency[device_name], [row], True).model_dump()
    return row
