"""Parse the output of TFLite's and LiteRT's `benchmark_model`, in the formats of 2018 to 2026, as numbers.

Source: `Stat::OutputToStream` and `StatsCalculator` of TensorFlow and XLA, `benchmark_model.cc` of TFLite,
`benchmark_litert_model.h` of LiteRT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from keras_faceattr.errors import BenchmarkError

# C++ streams write six digits, so a mean above a second reads `avg=1.22373e+06`.
NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"

# Only the tool's own lines: the profiler's `Timings (microseconds): count=…` stands for other runs.
TIMING_LINE = re.compile(r"^(?:INFO: )?((?:count|curr)=.*)$", re.MULTILINE)

INIT_MS = (
    (re.compile(rf"timings in us: .*?Init: ({NUMBER})"), 1e-3),
    (re.compile(rf"Initialized session in ({NUMBER}) ?ms"), 1.0),
    (re.compile(rf"Model initialization: +({NUMBER}) ms"), 1.0),
)
PEAK_MEMORY_MB = (
    re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: ({NUMBER})"),
    re.compile(rf"Peak memory: +({NUMBER}) MB"),
    re.compile(rf"Peak memory footprint \(MB\): init={NUMBER} overall=({NUMBER})"),
)
DELEGATE = re.compile(
    r"Explicitly applied (?P<full>\S+) delegate, and the model graph will be completely"
    r"|Explicitly applied (?P<partial>\S+) delegate, and the model graph will be partially .*?w/ (?P<kernels>\d+)"
    r"|Though (?P<none>\S+) delegate is explicitly applied"
)
REPLACING = re.compile(r"Replacing (\d+) out of (\d+) node\(s\) with delegate \((?:TfLite)?(\w+?)(?:Delegate\w*)?\)")
OWN_ROW = re.compile(r"Delegate\w*$")
OP_ROW = re.compile(rf"^\s*(\S.*?)\s+\d+\s+({NUMBER})\s+{NUMBER}%\s+{NUMBER}%\s+{NUMBER}(?:\s+\d+)?\s*$")
VERSION = re.compile(r"^(?:INFO: )?(.*\b(?:TensorFlow Lite|TFLite|LiteRT)\b.*\bversion\b.*)$", re.MULTILINE | re.I)

SIGNALS = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV"}
FAILURES = {
    r"not executable|Exec format error|bad ELF magic|wrong ELF class": "get the binary for {abi}",
    r"benchmark_model: .*(No such file|not found)": "it is built for Linux, not for Android; get the one for {abi}",
    r"taskset: .*(not found|inaccessible)": "the device has no taskset; leave the CPU mask out",
    r"CANNOT LINK EXECUTABLE": "get a benchmark_model that needs no libraries of its own",
    r"Failed to apply": "measure without this delegate",
}


@dataclass(frozen=True)
class BenchmarkOutput:
    """One run of the tool; None is what it did not print.

    Attributes:
        median_ms, p90_ms, p95_ms: only as printed: newer builds print the median and p95, none so far p90.
        std_ms: of the population; None when the tool's own arithmetic failed.
        delegate: "none", "full", "partial: 12 of 31 nodes", "not stated", or one of these for each of several.
        ops: kind, mean ms of an inference, and share of the time of all ops.
        ignored_flags: what the binary did not understand and went on without.
    """

    runs: int
    warmup_runs: int
    mean_ms: float
    min_ms: float
    max_ms: float
    std_ms: float | None
    median_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    init_ms: float | None
    peak_memory_mb: float | None
    delegate: str
    ops: tuple[tuple[str, float, float], ...]
    runtime: str
    ignored_flags: tuple[str, ...]


def parse_output(text: str) -> BenchmarkOutput:
    """Reads all that the tool printed, stdout and stderr in one.

    Raises:
        BenchmarkError: no measurement in it.
    """
    timings = [values for line in TIMING_LINE.findall(text) if "count" in (values := _values(line))]
    # The first is the warm-up; a binary that stopped after it has measured nothing.
    if len(timings) < 2 or not _is_measured(timings[1]):
        raise BenchmarkError(
            f"the output of benchmark_model holds no measurement, its last line is {last_line(text)!r}; "
            "use the official binary and run it until its end"
        )
    ms = {key: value / 1000 for key, value in timings[1].items() if key != "count"}
    if "avg" not in ms:
        # Of equal times, or of one, the tool prints the last alone.
        ms |= {"avg": ms["curr"], "min": ms["curr"], "max": ms["curr"], "std": 0.0}
    std = ms.get("std", -1.0)
    return BenchmarkOutput(
        runs=int(timings[1]["count"]),
        warmup_runs=int(timings[0]["count"]),
        mean_ms=ms["avg"],
        min_ms=ms["min"],
        max_ms=ms["max"],
        # Rounding can make the tool's variance negative, whose root it prints as the smallest integer.
        std_ms=std if std >= 0 else None,
        median_ms=ms.get("median"),
        p90_ms=ms.get("p90"),
        p95_ms=ms.get("p95"),
        init_ms=_init_ms(text),
        peak_memory_mb=_peak_memory_mb(text),
        delegate=_delegate(text),
        ops=_ops(text),
        runtime=found.group(1).strip() if (found := VERSION.search(text)) else "not stated",
        ignored_flags=tuple(re.findall(r"--\S+", " ".join(re.findall(r"Unconsumed cmdline flags: (.*)", text)))),
    )


def failure(text: str, status: int, abi: str) -> str:
    """Describe how the tool ended, its last words, and how to fix it.

    Args:
        status: of the device's shell, which adds 128 to the number of a signal.
        abi: what the device's CPU runs.
    """
    said = f": {last_line(text)!r}" if last_line(text) else ""
    mend = next(
        (mend for pattern, mend in FAILURES.items() if re.search(pattern, text)),
        "try another build of benchmark_model, or fewer options",
    )
    return f"ended with {SIGNALS.get(status - 128, f'status {status}')}{said}; {mend.format(abi=abi)}"


def last_line(text: str) -> str:
    """The last line that says something; the tool's own epilogue does not."""
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.endswith("Benchmarking failed.")]
    return said[-1][:200] if said else ""


def _values(line: str) -> dict[str, float]:
    """`key=number` of a line, in whatever order, without those that are no numbers."""
    return {key: float(value) for key, value in re.findall(rf"(\w+)=({NUMBER})", line)}


def _is_measured(values: dict[str, float]) -> bool:
    return values["count"] >= 1 and ({"avg", "min", "max"} <= set(values) or set(values) & {"curr", "min"} == {"curr"})


def _init_ms(text: str) -> float | None:
    for pattern, scale in INIT_MS:
        if found := pattern.search(text):
            return float(found.group(1)) * scale
    return None


def _peak_memory_mb(text: str) -> float | None:
    for pattern in PEAK_MEMORY_MB:
        if found := pattern.search(text):
            return float(found.group(1))
    return None


def _delegate(text: str) -> str:
    # Summed over subgraphs; what the tool calls XNNPACK is XNNPack to the runtime.
    replaced: dict[str, tuple[int, int]] = {}
    for nodes, of, name in REPLACING.findall(text):
        before = replaced.get(name.upper(), (0, 0))
        replaced[name.upper()] = (before[0] + int(nodes), before[1] + int(of))
    extents: dict[str, str] = {}
    for found in DELEGATE.finditer(text):
        if found["full"]:
            extents[found["full"]] = "full"
        elif found["none"]:
            extents[found["none"]] = "none"
        else:
            counted = replaced.get(found["partial"].upper())
            extents[found["partial"]] = f"partial: {_share(counted, int(found['kernels']))}"
    if not extents:
        # Applied by default, without a flag: the tool itself says nothing about it.
        for name, counted in replaced.items():
            extents[name] = "full" if counted[0] == counted[1] else f"partial: {_share(counted, 0)}"
    if not extents:
        return "not stated" if re.search(r"Created TensorFlow Lite .*delegate", text) else "none"
    if len(extents) == 1:
        return next(iter(extents.values()))
    return ", ".join(f"{name} {extent}" for name, extent in extents.items())


def _share(counted: tuple[int, int] | None, kernels: int) -> str:
    return f"{counted[0]} of {counted[1]} nodes" if counted else f"{kernels} delegate kernels"


def _ops(text: str) -> tuple[tuple[str, float, float], ...]:
    """Rows of the profile of the inferences; a delegate's own row gives way to what ran inside it."""
    # The profile of the initialisation stands before.
    graph, _, inside = text.rpartition("Operator-wise Profiling Info")[2].partition("Delegate internal:")
    rows, inner_rows = _rows(graph), _rows(inside)
    own = {kind for kind, _ in rows if OWN_ROW.search(kind)}
    # Of two delegates the tool does not say whose the inner rows are.
    if inner_rows and len(own) == 1:
        rows = [row for row in rows if row[0] not in own] + inner_rows
    times: dict[str, float] = {}
    for kind, ms in rows:
        # Initialisation stands among the rows with no time of an inference.
        if ms > 0:
            times[kind] = times.get(kind, 0.0) + ms
    total = sum(times.values())
    return tuple((kind, ms, ms / total) for kind, ms in sorted(times.items(), key=lambda item: -item[1]))


def _rows(text: str) -> list[tuple[str, float]]:
    """Kind and mean ms of the rows of every summary by node type."""
    tables = [part.partition("Timings (microseconds)")[0] for part in text.split("Summary by node type")[1:]]
    found = [OP_ROW.match(line) for table in tables for line in table.splitlines()]
    return [(row[1], float(row[2])) for row in found if row]
