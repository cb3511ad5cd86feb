"""Benchmark of the training step: does it wait for data? Ratios measured interleaved in one run."""

from __future__ import annotations

import dataclasses
import platform
import resource
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy import stats

from keras_faceattr.config import Experiment
from keras_faceattr.data.crop_cache import LabelledCrops
from keras_faceattr.data.pipeline import batch_feed
from keras_faceattr.data.prepare import PreparedData, prepare
from keras_faceattr.machine import usable_cores
from keras_faceattr.tasks import Task
from keras_faceattr.training.callbacks import StepWatch
from keras_faceattr.training.fit import network_of
from keras_faceattr.training.loop import compile_model, make_losses, track
from keras_faceattr.training.optimizer import make_optimizer

WARMUP_STEPS = 5
"""Of each round, before its clock runs; no more than are timed."""

ROUNDS = 8
"""Each part is measured this often, in turn, so that a busy machine slows all of them alike."""

Steps = Generator[object, None, None]
"""Makes one step, or one batch, whenever it is asked for the next."""

Measure = Callable[[int, int, int], float]
"""(number of the round, steps before the clock runs, timed steps) → seconds of a step."""


@dataclass(frozen=True)
class Limit:
    """Limit that a ratio should keep."""

    title: str
    value: float
    at_most: bool

    def line(self, ratio: float, low: float, high: float) -> str:
        """The ratio with its interval, and what the whole interval says of the limit."""
        met, missed = high <= self.value, low > self.value
        if not self.at_most:
            met, missed = low >= self.value, high < self.value
        verdict = "met" if met else "not met" if missed else "not shown"
        aim = f"aim {'≤' if self.at_most else '≥'} {self.value:g}"
        return f"{self.title}: {ratio:.3f} ({low:.3f}–{high:.3f}; {aim}: {verdict})"


LIMITS = {
    "fit_to_bare_step": Limit("time of fit's steps on cached crops to Keras' own fit on a batch in memory", 1.05, True),
    "decode_and_augment_to_step": Limit("images/s of decoding and augmenting alone to the bare step", 3.0, False),
}


def benchmark_pipeline(experiment: Experiment, steps: int, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Measure training fed from memory, from the cache, and the data alone.

    Args:
        steps: timed batches of each part, over all rounds.
        only: parts to measure; empty for all of them and their ratios.

    Returns:
        `images_per_s` by part (median, p10, p90), `ratios` and their 95 % `intervals` over the rounds, batch and crop
        size, device, peak memory.
    """
    data = prepare(experiment, ("train",))
    model, part, batch_size = compiled(experiment, data), data.parts["train"], experiment.training.batch_size
    decoded = dataclasses.replace(part, crops=dataclasses.replace(part.crops, pixels=None))
    parts: dict[str, Measure] = {
        "bare training step": keras_fit(model, experiment, data),
        "fit on cached crops": our_fit(model, experiment, data),
        "cached crops and augmentation": stepping(lambda epoch: endless_batches(experiment, part, data.tasks, epoch)),
        "decoding and augmentation": stepping(lambda epoch: endless_batches(experiment, decoded, data.tasks, epoch)),
    }
    parts = {name: part for name, part in parts.items() if not only or name in only}
    seconds = {name: np.array(times) for name, times in measure_parts(parts, steps).items()}
    paired = (
        {}
        if only
        else {
            "fit_to_bare_step": seconds["fit on cached crops"] / seconds["bare training step"],
            "decode_and_augment_to_step": seconds["bare training step"] / seconds["decoding and augmentation"],
        }
    )
    return {
        "images_per_s": {name: _speed(batch_size, times) for name, times in seconds.items()},
        "ratios": {name: float(np.median(ratios)) for name, ratios in paired.items()},
        "intervals": {name: paired_interval(ratios) for name, ratios in paired.items()},
        "batch_size": batch_size,
        "crop_size": experiment.data.crop.size,
        "device": f"{platform.machine()}, {usable_cores()} cores, {keras.backend.backend()}",
        "peak_memory_mb": _peak_memory_mb(),
    }


def compiled(experiment: Experiment, data: PreparedData) -> keras.Model:
    """The experiment's net, ready to be trained on the tasks that it names."""
    tasks = {name: data.tasks[name] for name in experiment.tasks}
    model, losses = (
        network_of(experiment, tasks, experiment.training.precision).trainable,
        make_losses(experiment, tasks, data.forms),
    )
    track(model, losses)
    compile_model(model, make_optimizer(experiment.training, 1000), experiment, losses, first_stage=False)
    return model


def paired_interval(ratios: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of paired ratios, one per round: of their logs, by Student's t."""
    logs = np.log(ratios)
    if len(logs) < 2 or not np.ptp(logs):
        return float(np.exp(logs.mean())), float(np.exp(logs.mean()))
    reach = float(stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs))
    return float(np.exp(logs.mean() - reach)), float(np.exp(logs.mean() + reach))


class _StepClock(keras.callbacks.Callback):  # type: ignore[misc]
    """Times steps of a `fit` from the end of the first ones to the end of the last."""

    async_safe = True

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.ends: dict[int, float] = {}
        self.first, self.last = first, last

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the time."""
        if batch + 1 in (self.first, self.last):
            self.ends[batch + 1] = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of a step."""
        return (self.ends[self.last] - self.ends[self.first]) / (self.last - self.first)


class _Nobody:
    """A listener."""

    def on_step(self, *_: Any) -> None:
        """Nothing."""

    def on_epoch(self, *_: Any) -> None:
        """Nothing."""


def keras_fit(model: keras.Model, experiment: Experiment, data: PreparedData) -> Measure:
    """Keras' own `fit` on one batch in memory, without anything of ours around it."""
    batch = next(endless_batches(experiment, data.parts["train"], data.tasks, 0))

    def measure(_: int, warmup: int, steps: int) -> float:
        clock = _StepClock(warmup, warmup + steps)
        batches = tf.data.Dataset.from_tensors(batch).repeat()
        model.fit(batches, steps_per_epoch=warmup + steps, verbose=0, shuffle=False, callbacks=[clock])
        return clock.seconds

    return measure


def our_fit(model: keras.Model, experiment: Experiment, data: PreparedData) -> Measure:
    """`fit` as a training runs it, but for the end of an epoch."""

    def measure(number: int, warmup: int, steps: int) -> float:
        total = warmup + steps
        feed = batch_feed(experiment, data.parts["train"], data.tasks)
        # Epochs of the data go on as in training: a short one is no reason to begin the feed anew.
        batches = feed.batches(number, number + 1 + -(-total // feed.plan.steps))
        clock = _StepClock(warmup, total)
        watch = StepWatch(feed, data, _Nobody())
        model.fit(batches, steps_per_epoch=total, verbose=0, shuffle=False, callbacks=[watch, clock])
        return clock.seconds

    return measure


def endless_batches(
    experiment: Experiment, part: LabelledCrops, tasks: dict[str, Task], epoch: int
) -> Generator[Any, None, None]:
    """Batches from this epoch on and without end, as `fit` takes them."""
    yield from batch_feed(experiment, part, tasks).batches(epoch, None)


def stepping(begin: Callable[[int], Steps]) -> Measure:
    """Time steps that are made one by one.

    Args:
        begin: begins the steps of a round, whose number it gets, so that it can begin with other photos: those of the
            round before are still in memory.
    """

    def measure(number: int, warmup: int, steps: int) -> float:
        # Begun anew and ended: a feed kept would fill up in the others' time, and its next round time that stock.
        with closing(begin(number)) as running:
            _make(running, warmup)
            started = time.perf_counter()
            _make(running, steps)
            return (time.perf_counter() - started) / steps

    return measure


def measure_parts(parts: dict[str, Measure], steps: int) -> dict[str, list[float]]:
    """Mean seconds of a step, per round and part; the parts take turns.

    A part whose batches come more slowly than its steps go takes as long as its batches. Should they come faster at
    first, those that lie ready when the clock starts hide a part of that: time many more than can lie ready.

    Args:
        steps: timed ones of each part, over all rounds.
    """
    steps = max(1, steps // ROUNDS)
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for number in range(ROUNDS):
        for name, measure in parts.items():
            seconds[name].append(measure(number, max(1, min(WARMUP_STEPS, steps)), steps))
    return seconds


def _make(running: Steps, count: int) -> None:
    for _ in islice(running, count):
        pass


def _peak_memory_mb() -> float:
    """Peak memory of this process, in MB; Linux counts in kilobytes, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _speed(batch_size: int, times: np.ndarray) -> dict[str, float]:
    p10, median, p90 = np.quantile(times, [0.1, 0.5, 0.9])
    return {"median": batch_size / median, "p10": batch_size / p90, "p90": batch_size / p10}
