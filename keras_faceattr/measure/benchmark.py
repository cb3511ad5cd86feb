"""Files against reference nets in one run: size, cost, accuracy, time, and how many times faster."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict

from keras_faceattr.artifact.measured_file import MeasuredFile, Metric, measured_file, model_file
from keras_faceattr.budget.devices import board_name, host_classes
from keras_faceattr.budget.limits import Bounds
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.machine import processor, usable_cores
from keras_faceattr.measure.latency import BUDGET_S, Latency, measure_latencies, pinned, ratio
from keras_faceattr.measure.references import reference_net, reference_path
from keras_faceattr.storage import write_json


class FileColumns(TypedDict):
    """Columns of a row about its file.

    `kind` is `model` or `reference`, `macs` counts per photo, `batch` is photos of one call, `metrics` None where none
    was measured.
    """

    name: str
    kind: str
    precision: str
    reference_precision: str
    side: int | None
    file_bytes: int
    macs: int
    parameters: int
    metrics: list[Metric] | None
    batch: int


def file_columns(file: MeasuredFile) -> FileColumns:
    """Return the columns of a row about its file."""
    return FileColumns(
        name=file.name,
        kind=file.kind,
        precision=file.precision,
        reference_precision=file.reference_precision,
        side=file.side,
        file_bytes=file.cost.file_bytes,
        macs=round(file.cost.macs / max(file.batch, 1)),
        parameters=file.cost.parameters,
        metrics=file.metrics,
        batch=file.batch,
    )


class Row(FileColumns):
    """A file on a number of threads.

    `device` is `host`, or `browser` for a `browser_rows.BrowserRow`; times are of one call. `ratios` says by reference
    net how many times faster this file is than a net of `reference_precision`, of the same input side and batch, on as
    many threads: the median over rounds of the same run, in each of which both were measured. `ratio_bounds` is its
    95 % interval, and `p90_bounds_ms` that of the p90; None where too few rounds or runs tell it.
    """

    device: str
    threads: int
    p50_ms: float
    p90_ms: float | None
    images_per_s: float
    runs: int
    spread: float | None
    busy: bool
    ratios: dict[str, float]
    ratio_bounds: dict[str, Bounds]
    p90_bounds_ms: Bounds


def benchmark_models(
    models: list[Path],
    against: list[str],
    threads: list[int],
    precisions: list[str] | None = None,
    side: int | None = None,
    seconds: float = BUDGET_S,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measures files and reference nets in turn, once for each number of threads.

    Args:
        models: .tflite files; metrics come from the sidecar `name.json` next to `name.tflite`.
        against: keys of `references.REFERENCE_NETS`; they are built where the cache has none.
        threads: numbers of threads.
        precisions: of the reference nets; default: each model's own. Another precision gives rows, but no ratio.
        side: of the reference nets' input in pixels; default: each model's own. Another side gives no ratio either.
        seconds: about how long the measuring takes for each number of threads.
        say: receives a line before work that takes long.

    Returns:
        Plain data: `environment`, `rows` (see `Row`), `warnings`.

    Raises:
        ArtifactError: a file or a sidecar is damaged.
        BenchmarkError: nothing to measure, a number of threads that the machine does not have, no side to build
            reference nets at, or the runtime cannot run a file.
        ConfigError: unknown reference net or precision.
    """
    if not models or not threads:
        raise BenchmarkError("nothing to measure: name one .tflite file and one number of threads at least")
    for count in threads:
        with pinned(count):
            pass
    entries = [model_file(path, name) for path, name in zip(models, file_names(models), strict=True)]
    environment = _environment()
    nets = _wanted_nets(entries, against, precisions, side)
    for net in nets:
        if not reference_path(*net).is_file():
            say(f"building the reference net {net[0]} ({net[1]}, {net[2]} × {net[2]}); it stays in the cache")
        entries.append(measured_file(reference_net(*net), net[0], "reference", None))
    rows = []
    for count in dict.fromkeys(threads):
        say(f"measuring {len(entries)} files on {count} thread{'s' * (count > 1)}, about {seconds:.0f} s")
        latencies = measure_latencies({str(i): entry.path for i, entry in enumerate(entries)}, count, budget_s=seconds)
        rows += _rows(entries, [latencies[str(i)] for i in range(len(entries))], count)
    return {"environment": environment, "rows": rows, "warnings": _warnings(rows, against)}


def write_result(result: dict[str, Any], folder: Path) -> Path:
    """Writes a result as JSON under a name that says when, on what processor and of which model."""
    environment, rows = result["environment"], result["rows"]
    when = environment["date"][:19].replace(":", "")
    path = folder / f"{when}_host_{slug(environment['cpu'])}_{slug(Path(rows[0]['name']).stem)}.json"
    write_json(path, result)
    return path


def file_names(models: Sequence[Path]) -> list[str]:
    """A name for each file that no other has: its own, with as many folders as tell it from others; twice is numbered.

    Runs of one experiment export files of the same name in folders of the same name.
    """
    paths = [(*path.parent.resolve().parts, path.name) for path in models]
    names: list[str] = []
    for place, path in enumerate(paths):
        others = [other for other in paths if other != path]
        depth = next(n for n in range(1, len(path) + 1) if all(other[-n:] != path[-n:] for other in others))
        again = paths[:place].count(path)
        names.append("/".join(path[-depth:]) + (f" ({again + 1})" if again else ""))
    return names


def _wanted_nets(
    entries: list[MeasuredFile], against: list[str], precisions: list[str] | None, side: int | None
) -> list[tuple[str, str, int]]:
    """Names, precisions and sides, checked before any is built."""
    nets = []
    for entry in entries if against else []:
        wanted = side or entry.side
        if wanted is None:
            raise BenchmarkError(f"{entry.path}: takes no square RGB photo; name the reference nets' side with --side")
        nets += [(name, each, wanted) for name in against for each in precisions or [entry.reference_precision]]
    for net in nets:
        reference_path(*net)
    return list(dict.fromkeys(nets))


def _rows(entries: list[MeasuredFile], latencies: list[Latency], threads: int) -> list[Row]:
    pairs = list(zip(entries, latencies, strict=True))
    rows = []
    for entry, latency in pairs:
        ratios = {other.name: ratio(latency, reference) for other, reference in pairs if _is_reference_of(other, entry)}
        rows.append(
            Row(
                **file_columns(entry),
                device="host",
                threads=threads,
                p50_ms=latency.p50_ms,
                p90_ms=latency.p90_ms,
                images_per_s=latency.images_per_s,
                runs=latency.runs,
                spread=latency.spread,
                busy=latency.busy,
                ratios={name: found.value for name, found in ratios.items()},
                ratio_bounds={name: (found.low, found.high) for name, found in ratios.items()},
                p90_bounds_ms=latency.p90_bounds_ms,
            )
        )
    return rows


def _is_reference_of(net: MeasuredFile, entry: MeasuredFile) -> bool:
    """Return whether a ratio to this net compares the same work."""
    return net.kind == "reference" and all(
        getattr(net, key) == getattr(entry, key) for key in ("reference_precision", "side", "batch")
    )


def _warnings(rows: list[Row], against: list[str]) -> list[str]:
    lines = []
    if busy := [row for row in rows if row["busy"]]:
        worst = max(busy, key=lambda row: row["spread"] or 0)
        lines.append(
            "the machine did other work, only the ratios of this run mean something, and no limit in ms is judged: p90 "
            f"lies up to {100 * (worst['spread'] or 0):.0f} % above the median ({worst['name']}, {worst['precision']}, "
            f"threads: {worst['threads']}), and far above it in {len(busy)} of {len(rows)} rows"
        )
    if not against:
        lines.append(
            "no reference net was measured in this run: times of different runs or machines cannot be compared"
        )
    references = [row for row in rows if row["kind"] == "reference"]
    lines += [
        f"{row['name']} ({_work(row)}) is compared with no reference net: those measured are {', '.join(others)}"
        for row in rows
        if (others := dict.fromkeys(map(_work, references))) and not row["ratios"]
    ]
    return list(dict.fromkeys(lines))


def _work(row: Row) -> str:
    """Return the kind of work, within which ratios compare files."""
    side = f"{row['side']}²" if row["side"] else "no square photo"
    return f"{row['reference_precision']}, {side}, batch {row['batch']}"


def _environment() -> dict[str, Any]:
    board = board_name()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": "host",
        "board": board,
        "classes": sorted(host_classes(board)),
        "cpu": processor().name,
        "cores": usable_cores(),
        "os": f"{platform.system()} {platform.machine()}",
        "runtime": "ai_edge_litert",
        "runtime_version": metadata.version("ai-edge-litert"),
        # Taken before the first net runs.
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def slug(text: str) -> str:
    """Lower-case letters, digits and single hyphens, at most 40, for a file's name; empty where it has none of them."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]
