"""Does the training step wait for data? Ratios measured interleaved in one run."""

from __future__ import annotations

import dataclasses
import os
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

from keras_faceattr.config import Experiment
from keras_faceattr.data.crop_cache import LabelledCrops
from keras_faceattr.data.pipeline import epoch_batches
from keras_faceattr.data.prepare import prepare
from keras_faceattr.training.fit import network_of
from keras_faceattr.training.loop import compile_model, make_losses, track
from keras_faceattr.training.optimizer import make_optimizer

WARMUP_STEPS = 5
"""Of each round, before its clock runs; no more than are timed."""

ROUNDS = 5
"""Each part is measured this often, in turn, so that a busy machine slows all of them alike."""

Steps = Generator[object, None, None]
"""Makes one step, or one batch, whenever it is asked for the next."""


@dataclass(frozen=True)
class Limit:
    """What a ratio should be."""

    title: str
    value: float
    at_most: bool


LIMITS = {
    "fit_to_bare_step": Limit("time of fit's batches on cached crops to the bare step on arrays in memory", 1.05, True),
    "decode_and_augment_to_step": Limit("images/s of decoding and augmenting alone to the bare step", 3.0, False),
}


def benchmark_pipeline(experiment: Experiment, steps: int) -> dict[str, Any]:
    """Measures the training step fed from memory, from the cache, and the data alone.

    Args:
        steps: timed batches of each part, over all rounds.

    Returns:
        `images_per_s` by part (median, p10, p90), `ratios`, batch and crop size, device, peak memory.
    """
    data = prepare(experiment, ("train",))
    network = network_of(experiment, data.tasks, experiment.training.precision)
    model, part, batch_size = network.trainable, data.parts["train"], experiment.training.batch_size
    optimizer = make_optimizer(experiment.training, steps)
    losses = make_losses(experiment, data.tasks)
    track(model, losses)
    compile_model(model, optimizer, experiment, losses, first_stage=False)
    decoded = dataclasses.replace(part, crops=dataclasses.replace(part.crops, pixels=None))
    _, images, labels = next(endless_batches(experiment, part, 0))
    images, labels = np.asarray(images), {name: np.asarray(value) for name, value in labels.items()}

    def bare(_: int) -> Steps:
        while True:
            yield model.train_on_batch(images, labels, return_dict=True)

    def fit(epoch: int) -> Steps:
        for _, x, y in endless_batches(experiment, part, epoch):
            if keras.backend.backend() != "tensorflow":
                x, y = np.asarray(x), {name: np.asarray(value) for name, value in y.items()}
            yield model.train_on_batch(x, y, return_dict=True)

    parts: dict[str, Callable[[int], Steps]] = {
        "bare training step": bare,
        "fit on cached crops": fit,
        "cached crops and augmentation": lambda epoch: endless_batches(experiment, part, epoch),
        "decoding and augmentation": lambda epoch: endless_batches(experiment, decoded, epoch),
    }
    seconds = measure_parts(parts, steps)
    median = {name: float(np.median(times)) for name, times in seconds.items()}
    return {
        "images_per_s": {name: _speed(batch_size, times) for name, times in seconds.items()},
        "ratios": {
            "fit_to_bare_step": median["fit on cached crops"] / median["bare training step"],
            "decode_and_augment_to_step": median["bare training step"] / median["decoding and augmentation"],
        },
        "batch_size": batch_size,
        "crop_size": experiment.data.crop.size,
        "device": f"{platform.machine()}, {os.cpu_count()} cores, {keras.backend.backend()}",
        "peak_memory_mb": _peak_memory_mb(),
    }


def endless_batches(experiment: Experiment, part: LabelledCrops, epoch: int) -> Generator[Any, None, None]:
    """Batches from this epoch on and without end, as `fit` makes them."""
    while True:
        yield from epoch_batches(experiment, part, epoch)
        epoch += 1


def measure_parts(parts: dict[str, Callable[[int], Steps]], steps: int) -> dict[str, list[float]]:
    """Mean seconds of a step, per round and part; the parts take turns.

    A part whose batches come more slowly than its steps go takes as long as its batches. Should they come faster at
    first, those that lie ready when the clock starts hide a part of that: time many more than can lie ready.

    Args:
        parts: each begins the steps of a round, whose number it gets, so that it can begin with other photos: those of
            the round before are still in memory.
        steps: timed ones of each part, over all rounds.
    """
    steps = max(1, steps // ROUNDS)
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for number in range(ROUNDS):
        for name, begin in parts.items():
            # Begun anew and ended: a feed kept would fill up in the others' time, and its next round time that stock.
            with closing(begin(number)) as running:
                _make(running, min(WARMUP_STEPS, steps))
                started = time.perf_counter()
                _make(running, steps)
                seconds[name].append((time.perf_counter() - started) / steps)
    return seconds


def _make(running: Steps, count: int) -> None:
    for _ in islice(running, count):
        pass


def _peak_memory_mb() -> float:
    """Of this process; Linux counts in kilobytes, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _speed(batch_size: int, times: list[float]) -> dict[str, float]:
    p10, median, p90 = np.quantile(np.array(times), [0.1, 0.5, 0.9])
    return {"median": batch_size / median, "p10": batch_size / p90, "p90": batch_size / p10}
