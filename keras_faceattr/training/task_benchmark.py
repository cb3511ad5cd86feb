"""Cost of each task, each loss with a memory and each data set in a training step; measured in turn in one run."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_faceattr.config import Experiment
from keras_faceattr.data.crop_cache import LabelledCrops
from keras_faceattr.data.prepare import PreparedData, prepare
from keras_faceattr.errors import ModelError
from keras_faceattr.machine import usable_cores
from keras_faceattr.methods import DEFAULTS
from keras_faceattr.methods.terms import TERMS
from keras_faceattr.models.profile import profile_model
from keras_faceattr.training.pipeline_benchmark import (
    Measure,
    Steps,
    compiled,
    endless_batches,
    measure_parts,
    stepping,
)

WHOLE, AGAIN = "all tasks", "all tasks again"


def benchmark_tasks(experiment: Experiment, steps: int) -> dict[str, Any]:
    """Measure the training step with all tasks, without each of them, and without the memory of each loss.

    Args:
        steps: timed batches of each variant and of each feed, over all rounds.

    Returns:
        `step_ms` by variant (median); `shares`: of a step's time, what a task with its head and loss costs, what the
        memory of a loss costs; `noise`: the share between two nets that are built alike, below which no other says
        anything; `mac_shares`: of the net's multiply-adds, which have no noise and leave the loss out; where there are
        several data sets, `images_per_s` of training on mixed batches and on each of them alone, and the ratio of the
        mixed one to the mean of the others.
    """
    data = prepare(experiment, ("train",))
    images, labels, _ = next(endless_batches(experiment, data.parts["train"], data.tasks, 0))
    images, labels = np.asarray(images), {name: np.asarray(value) for name, value in labels.items()}
    # The same net built twice takes other places in memory, which is worth a per cent or two on a CPU.
    models = {name: compiled(experiment, data) for name in (WHOLE, AGAIN)}
    for name, variant in {**_without_tasks(experiment), **_without_memories(experiment, data)}.items():
        # A net may need a task, such as the one that it votes on.
        with suppress(ModelError):
            models[name] = compiled(variant, data)
    macs = {name: profile_model(model).macs for name, model in models.items()}
    parts = {name: stepping(_bare_steps(model, images, labels)) for name, model in models.items()}
    seconds = measure_parts(parts, steps)
    # By round, because a busy machine slows all variants of a round alike, and to the mean of both twins.
    whole, again = np.array(seconds[WHOLE]), np.array(seconds[AGAIN])
    both = (whole + again) / 2
    variants = {name: np.array(times) for name, times in seconds.items() if name not in (WHOLE, AGAIN)}
    result: dict[str, Any] = {
        "step_ms": {name: 1000 * float(np.median(times)) for name, times in seconds.items()},
        "noise": float(abs(np.median(1 - again / whole))),
        "shares": {name: float(np.median(1 - times / both)) for name, times in variants.items()},
        "mac_shares": {name: 1 - macs[name] / macs[WHOLE] for name in variants},
        "batch_size": experiment.training.batch_size,
        "crop_size": experiment.data.crop.size,
        "device": f"{platform.machine()}, {usable_cores()} cores, {keras.backend.backend()}",
    }
    if len(experiment.data.sources) > 1:
        result |= _mixing(experiment, data, steps)
    return result


def _without_tasks(experiment: Experiment) -> dict[str, Experiment]:
    if len(experiment.tasks) < 2:
        return {}
    rest = {name: {n: t for n, t in experiment.tasks.items() if n != name} for name in experiment.tasks}
    return {f"task {name}": experiment.model_copy(update={"tasks": tasks}) for name, tasks in rest.items()}


def _without_memories(experiment: Experiment, data: PreparedData) -> dict[str, Experiment]:
    found = {}
    for name, task in data.tasks.items():
        config = experiment.tasks[name]
        if (config.method or DEFAULTS[task.kind]) in TERMS and task.kind != "identity":
            plain = config.model_copy(update={"method": DEFAULTS[task.kind]})
            found[f"memory of {name}"] = experiment.model_copy(update={"tasks": {**experiment.tasks, name: plain}})
    return found


def _bare_steps(model: keras.Model, images: np.ndarray, labels: dict[str, np.ndarray]) -> Callable[[int], Steps]:
    """Training steps on one batch in memory."""
    own = {name: labels[name] for name in model.output}

    def run(_: int) -> Steps:
        while True:
            yield model.train_on_batch(images, own)

    return run


def _mixing(experiment: Experiment, data: PreparedData, steps: int) -> dict[str, Any]:
    """Training on batches of all data sets against batches of one, with the same net."""
    model, part, names = compiled(experiment, data), data.parts["train"], list(data.manifest.sources)
    unweighted = experiment.model_copy(
        update={
            "data": experiment.data.model_copy(
                update={"sources": [s.model_copy(update={"weight": None}) for s in experiment.data.sources]}
            )
        }
    )

    def train(experiment: Experiment, part: LabelledCrops, epoch: int) -> Steps:
        for images, labels, _ in endless_batches(experiment, part, data.tasks, epoch):
            yield model.train_on_batch(np.asarray(images), {name: np.asarray(value) for name, value in labels.items()})

    feeds: dict[str, Measure] = {"mixed": stepping(partial(train, experiment, part))}
    feeds |= {name: stepping(partial(train, unweighted, _of_source(part, i))) for i, name in enumerate(names)}
    seconds = measure_parts(feeds, steps)
    alone = np.mean([seconds[name] for name in names], axis=0)
    size = experiment.training.batch_size
    return {
        "images_per_s": {name: size / float(np.median(times)) for name, times in seconds.items()},
        "mixed_to_single": float(np.median(alone / np.array(seconds["mixed"]))),
    }


def _of_source(part: LabelledCrops, number: int) -> LabelledCrops:
    assert part.sources is not None
    at = np.flatnonzero(part.sources == number)
    labels = {name: values[at] for name, values in part.labels.items()}
    return dataclasses.replace(part, labels=labels, rows=part.rows[at], sources=part.sources[at])
