"""`keras-faceattr benchmark MODEL... --device android`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from rich.table import Table

from keras_faceattr.api.benchmarking import judge
from keras_faceattr.budget.devices import class_of
from keras_faceattr.budget.limits import Bounds, Budget, Times
from keras_faceattr.cli.benchmark_browser import add_browsers, show
from keras_faceattr.cli.benchmark_options import BenchmarkOptions, thread_numbers
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.android.device import AndroidMeasurement, AndroidOptions, connect, find_adb, measure, table
from keras_faceattr.measure.benchmark import file_names
from keras_faceattr.storage import write_json
from keras_faceattr.terminal.console import plain_console

ANY = "android"
"""Whatever phone is connected; other names are classes, which the phone must be of."""


def benchmark_android(options: BenchmarkOptions, budget: Budget | None) -> dict[str, Any]:
    """Measure every file on the connected phone; its rows are shown with those of browsers, never with a host's."""
    if options.benchmark_binary is None:
        raise BenchmarkError(
            "a phone is measured by LiteRT's own benchmark_model: name it with --benchmark-binary PATH"
        )
    adb = find_adb()
    device = connect(adb, options.serial)
    found = class_of(device.model, device.soc)
    if options.device != ANY and found != options.device:
        own = f"of the class {found!r}" if found else "of no known class"
        raise BenchmarkError(
            f"the connected {device.model} ({device.soc}) is {own}, not {options.device!r}: use --device android"
        )
    # Two files may have one name; a verdict belongs to one of them.
    measurements = [
        replace(measure(adb, device, path, _android_options(options, threads)), model=name)
        for threads in dict.fromkeys(thread_numbers(options.threads))
        for path, name in zip(options.models, file_names(options.models), strict=True)
    ]
    classes = frozenset([found] if found else [])
    times = {m.model: Times(classes, p90_ms=_bounds(m)) for m in measurements if m.threads == 1}
    verdicts = judge(options.models, budget, times, classes)
    result: dict[str, Any] = {"class": found, "rows": [asdict(m) for m in measurements], "verdicts": verdicts}
    if options.out:
        for m in measurements:
            name = f"{m.date[:19].replace(':', '')}_android_{device.model}_{m.model}_{m.threads}.json"
            write_json(options.out / name.replace(" ", "-").replace("/", "-"), {**asdict(m), "class": found})
    add_browsers(options, budget, result)
    show(options, budget, result, lambda: _print(measurements))
    return result


def _print(measurements: list[AndroidMeasurement]) -> None:
    for measurement in measurements:
        shown = Table(box=None, show_header=False)
        for key, value in table(measurement).items():
            shown.add_row(key, value)
        plain_console().print(shown, "")


def _android_options(options: BenchmarkOptions, threads: int) -> AndroidOptions:
    assert options.benchmark_binary is not None
    return AndroidOptions(
        options.benchmark_binary,
        serial=options.serial,
        threads=threads,
        cpu_mask=options.cpu_mask,
        use_xnnpack=options.xnnpack,
        use_gpu=options.gpu,
        op_profile=options.ops,
    )


def _bounds(measurement: AndroidMeasurement) -> Bounds:
    """Bounds of the p90 on a phone, which the binary does not print."""
    p90 = measurement.p90_ms
    return (p90, p90) if p90 is not None else (measurement.median_ms, measurement.p95_ms)
