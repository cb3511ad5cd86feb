"""Training with oneDNN's kernels and without them, in turn, in two processes: the choice is made at import."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

from keras_faceattr.backend import ONEDNN, silent_native_output
from keras_faceattr.config import Experiment
from keras_faceattr.errors import TrainingError
from keras_faceattr.machine import processor
from keras_faceattr.processes import worker_pool

SETTINGS = {"off": "0", "on": "1"}

PART = "fit on cached crops"
"""The part of `benchmark_pipeline` that is measured."""

ROUNDS = 3
"""Each setting is measured this often, in turn, so that a busy machine slows both alike."""


def benchmark_onednn(experiment: Experiment, steps: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure training with oneDNN off and on.

    Args:
        steps: timed batches of each setting, over all rounds.
        say: receives a line before each round.

    Returns:
        `images_per_s` by setting: median of the rounds; `ratio` of on to off: median of the rounds' ratios; the
        processor, its instruction sets, and the limit of `ONEDNN_MAX_CPU_ISA` where one is set.

    Raises:
        FaceAttrError: what the user can fix, as of `fit`.
        TrainingError: a process ended.
    """
    speeds: dict[str, list[float]] = {name: [] for name in SETTINGS}
    with worker_pool(1) as off, worker_pool(1) as on:
        pools = {"off": off, "on": on}
        for number in range(ROUNDS):
            for name, pool in pools.items():
                say(f"round {number + 1} of {ROUNDS}, oneDNN {name}")
                try:
                    result = pool.submit(_measure, SETTINGS[name], experiment, max(1, steps // ROUNDS)).result()
                except BrokenProcessPool:
                    raise TrainingError(
                        "the process that trains has ended: is memory left? choose a smaller batch"
                    ) from None
                speeds[name].append(result["images_per_s"][PART]["median"])
    kind = processor()
    return {
        "images_per_s": {name: float(np.median(values)) for name, values in speeds.items()},
        "ratio": float(np.median(np.divide(speeds["on"], speeds["off"]))),
        "rounds": ROUNDS,
        "batch_size": result["batch_size"],
        "crop_size": result["crop_size"],
        "device": result["device"],
        "processor": kind.name,
        "instruction_sets": list(kind.instruction_sets),
        "limited_to": os.environ.get("ONEDNN_MAX_CPU_ISA"),
    }


def _measure(value: str, experiment: Experiment, steps: int) -> dict[str, Any]:
    """Measure in a process that has not imported TensorFlow before its first call."""
    os.environ[ONEDNN] = value
    with silent_native_output():
        from keras_faceattr.training.pipeline_benchmark import benchmark_pipeline

        return benchmark_pipeline(experiment, steps, (PART,))
