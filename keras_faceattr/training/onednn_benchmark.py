"""Training with oneDNN's kernels and without them, in turn, in two processes: the choice is made at import."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from keras_faceattr.backend import ONEDNN, silent_native_output
from keras_faceattr.config import Experiment
from keras_faceattr.errors import FaceAttrError, TrainingError
from keras_faceattr.machine import processor

SETTINGS = {"off": "0", "on": "1"}

PART = "fit on cached crops"
"""The part of `benchmark_pipeline` that is measured."""

ROUNDS = 3
"""Each setting is measured this often, in turn, so that a busy machine slows both alike."""


def benchmark_onednn(experiment: Experiment, steps: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measures training with oneDNN off and on.

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
    children = {name: _Child(value) for name, value in SETTINGS.items()}
    speeds: dict[str, list[float]] = {name: [] for name in children}
    try:
        for number in range(ROUNDS):
            for name, child in children.items():
                say(f"round {number + 1} of {ROUNDS}, oneDNN {name}")
                result = child.measure(experiment, max(1, steps // ROUNDS))
                speeds[name].append(result["images_per_s"][PART]["median"])
    finally:
        for child in children.values():
            child.close()
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


class _Child:
    """A process that trains with one setting; it waits while the other one is measured."""

    def __init__(self, value: str) -> None:
        # Spawned, because a forked copy would have imported TensorFlow already where this process has. It ends with its
        # pipe, and is no daemon: it may draw its photos in processes of its own.
        context = get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, value))
        self.process.start()
        other.close()

    def measure(self, experiment: Experiment, steps: int) -> dict[str, Any]:
        try:
            self.connection.send((experiment, steps))
            answer = self.connection.recv()
        except (EOFError, OSError):
            raise TrainingError("the process that trains has ended: is memory left? choose a smaller batch") from None
        if isinstance(answer, FaceAttrError):
            raise answer
        result: dict[str, Any] = answer
        return result

    def close(self) -> None:
        self.connection.close()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.terminate()


def _serve(connection: Connection, value: str) -> None:
    """Measures what it is asked to until the other end closes."""
    os.environ[ONEDNN] = value
    with silent_native_output():
        from keras_faceattr.training.pipeline_benchmark import benchmark_pipeline

    while True:
        try:
            experiment, steps = connection.recv()
        except EOFError:
            return
        try:
            with silent_native_output():
                answer: Any = benchmark_pipeline(experiment, steps, (PART,))
        except FaceAttrError as error:
            answer = error
        connection.send(answer)
