"""Latency of .tflite files on this machine, measured in turn so that a busy moment slows all of them equally."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import ArrayLike

from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.backend import silent_native_output
from keras_faceattr.budget.limits import Bounds, Ratio
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.machine import allowed_cores
from keras_faceattr.measure.intervals import quantile_interval

ROUNDS = 10
MIN_ROUNDS = 6
"""Fewer rounds give no 95 % interval of their median."""
BUDGET_S = 20.0
WARMUP_RUNS = 3
MAX_RUNS_A_TURN = 50
BUSY_SPREAD = 0.25
"""On a quiet machine p90 lies a few percent above the median; further above than this, something else was running."""
SEED = 0


@dataclass(frozen=True)
class Latency:
    """Time of one invocation.

    Attributes:
        runs: timed invocations.
        spread: (p90 - p50) / p50.
        images_per_s: at the median.
        batch: photos of one invocation.
        p90_bounds_ms: 95 % interval of the p90; None where too few runs tell it.
        round_ms: median of each round.
    """

    p50_ms: float
    p90_ms: float
    mean_ms: float
    runs: int
    spread: float
    images_per_s: float
    batch: int
    p90_bounds_ms: Bounds
    round_ms: tuple[float, ...]

    @classmethod
    def of(cls, seconds: ArrayLike, batch: int) -> Latency:
        """Sum up the timed invocations: (rounds, runs), or those of one round."""
        ms = 1e3 * np.atleast_2d(np.asarray(seconds, "float64"))
        p50, p90 = (float(value) for value in np.quantile(ms, [0.5, 0.9]))
        return cls(
            p50_ms=p50,
            p90_ms=p90,
            mean_ms=float(ms.mean()),
            runs=ms.size,
            spread=(p90 - p50) / p50,
            images_per_s=1e3 * batch / p50,
            batch=batch,
            p90_bounds_ms=quantile_interval(ms.ravel(), 0.9),
            round_ms=tuple(float(value) for value in np.median(ms, axis=1)),
        )

    @property
    def busy(self) -> bool:
        """True if the machine did other work meanwhile: only ratios within this run mean something."""
        return self.spread > BUSY_SPREAD


def ratio(model: Latency, reference: Latency) -> Ratio:
    """Return the speed-up over a reference net that was measured in the same rounds.

    Each round gives a ratio of its own, so that what slows a whole round slows both.
    """
    paired = np.array(reference.round_ms) / np.array(model.round_ms)
    return Ratio(float(np.median(paired)), *quantile_interval(paired, 0.5))


def measure_latencies(
    models: Mapping[str, Path], threads: int, rounds: int = ROUNDS, budget_s: float = BUDGET_S
) -> dict[str, Latency]:
    """Measures files against each other on pinned threads, with random pixels; TensorFlow is not needed.

    Args:
        models: .tflite file by name.
        threads: of each net; the process is pinned to as many cores where the system can.
        rounds: turns of each model.
        budget_s: how long all the turns take together at most, unless nets are slow; see `interleave`.

    Raises:
        ArtifactError: a file is damaged.
        BenchmarkError: a number of threads that the machine does not have, or a file that the runtime cannot run.
    """
    with pinned(threads):
        nets = {name: Net(path, threads) for name, path in models.items()}
        seconds = interleave({name: net.invoke for name, net in nets.items()}, rounds, budget_s)
    return {name: Latency.of(seconds[name], net.batch) for name, net in nets.items()}


def interleave(
    calls: Mapping[str, Callable[[], object]],
    rounds: int = ROUNDS,
    budget_s: float = BUDGET_S,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, np.ndarray]:
    """Times functions in turn, in an order that changes with the round.

    In a turn one function runs several times, of which the first is not timed: the one before has left cold caches.
    Fast functions run more often a turn than slow ones, so that all have about the same share of the time. When the
    time is over, rounds are dropped down to `MIN_ROUNDS`, and only whole ones, so that slow functions still give a
    median, later than asked.

    Returns:
        Seconds of each timed run, (rounds, runs), by name.
    """
    turn_s = budget_s / (rounds * len(calls))
    runs = {}
    for name, call in calls.items():
        warm = min(_timed(call, WARMUP_RUNS, clock))
        runs[name] = int(np.clip(turn_s / max(warm, 1e-9) - 1, 1, MAX_RUNS_A_TURN))
    seconds: dict[str, list[list[float]]] = {name: [] for name in calls}
    end = clock() + budget_s
    for number in range(rounds):
        if number >= min(MIN_ROUNDS, rounds) and clock() >= end:
            break
        for name in turns(list(calls), number):
            calls[name]()
            seconds[name].append(_timed(calls[name], runs[name], clock))
    return {name: np.array(rounds) for name, rounds in seconds.items()}


def turns(names: list[str], number: int) -> list[str]:
    """Order of a round: begun one further in every other round, and backwards in those between.

    So nobody always follows the same one, nor always comes first.
    """
    start = number // 2 % len(names)
    order = names[start:] + names[:start]
    return order[::-1] if number % 2 else order


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keeps this thread, and those that it starts, on as many cores as it asks for, where the system can.

    Raises:
        BenchmarkError: more threads than cores, or none.
    """
    linux = hasattr(os, "sched_setaffinity")
    cores = allowed_cores()
    if not 1 <= threads <= len(cores):
        raise BenchmarkError(
            f"--threads {threads}: this machine gives the process {len(cores)} cores; choose 1 to {len(cores)}"
        )
    if linux:
        os.sched_setaffinity(0, sorted(cores)[:threads])
    try:
        yield
    finally:
        if linux:
            os.sched_setaffinity(0, cores)


class Net:
    """A .tflite file in the runtime, fed with random pixels.

    Raises:
        ArtifactError: the file is damaged.
        BenchmarkError: the runtime cannot run it.
    """

    def __init__(self, path: Path, threads: int) -> None:
        # The native runtime trusts what it reads, and crashes on a damaged file or a wrong graph.
        read_tflite(path)
        rng = np.random.default_rng(SEED)
        try:
            with silent_native_output():
                self.interpreter = Interpreter(model_path=str(path), num_threads=threads)
                self.interpreter.allocate_tensors()
            self.inputs: list[dict[str, Any]] = self.interpreter.get_input_details()
            self.outputs: list[dict[str, Any]] = self.interpreter.get_output_details()
            for entry in self.inputs:
                self.interpreter.set_tensor(entry["index"], _random_input(entry, rng, path))
            # Some ops are refused only as they run.
            self.interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise BenchmarkError(f"{path}: the runtime cannot run it ({reason}); export it with builtin ops") from error
        self.batch = int(self.inputs[0]["shape"][0]) if len(self.inputs[0]["shape"]) else 1
        self.invoke: Callable[[], None] = self.interpreter.invoke


def _random_input(entry: dict[str, Any], rng: np.random.Generator, path: Path) -> np.ndarray:
    kind, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
    if kind.kind == "f":
        return rng.uniform(0, 255, shape).astype(kind)
    if kind.kind in "iu":
        low = 0 if kind.kind == "u" or kind.itemsize > 1 else -128
        return rng.integers(low, low + 256, shape).astype(kind)
    raise BenchmarkError(f"{path}: its input {entry['name']!r} has type {kind}; only numbers can be drawn at random")


def _timed(call: Callable[[], object], runs: int, clock: Callable[[], float]) -> list[float]:
    seconds = []
    for _ in range(runs):
        started = clock()
        call()
        seconds.append(clock() - started)
    return seconds
