"""The training loop: epochs of batches, validation, checkpoints, and going on after a kill."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np
import pandas as pd

from keras_faceattr.config import Experiment
from keras_faceattr.data.pipeline import epoch_batches, iterate
from keras_faceattr.data.prepare import PreparedData
from keras_faceattr.data.targets import labelled
from keras_faceattr.errors import TrainingError
from keras_faceattr.evaluation.evaluate import evaluate, primary_metric
from keras_faceattr.evaluation.predictions import keras_predictor, predict_split
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.metrics import metrics_of
from keras_faceattr.models.network import Network
from keras_faceattr.run import Run
from keras_faceattr.storage import replacing
from keras_faceattr.tasks import ScalarTask, Task
from keras_faceattr.training.checkpoint import load_checkpoint, save_checkpoint
from keras_faceattr.training.optimizer import make_optimizer

NAMED_ROWS = 8
"""Photos of a bad batch that an error names."""


class Listener(Protocol):
    """Who is told how training goes."""

    def on_step(self, epoch: int, step: int, steps: int, loss: float, images_per_s: float, wait_share: float) -> None:
        """After each batch, with its own loss; rates over the epoch so far."""

    def on_epoch(self, row: dict[str, Any], best: bool) -> None:
        """After each epoch, with its row of `history.csv`."""


@dataclass
class LoopState:
    """What a checkpoint keeps beside the variables."""

    epoch: int = 0
    best_score: float = math.inf
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def steps_per_epoch(experiment: Experiment, count: int) -> int:
    """Batches of an epoch: as configured, else as many whole ones as the data has."""
    return experiment.training.steps_per_epoch or max(1, count // experiment.training.batch_size)


def train(
    experiment: Experiment,
    data: PreparedData,
    network: Network,
    run: Run,
    listener: Listener,
    resume: bool = False,
    start_epoch: Callable[[int], None] | None = None,
    losses: dict[str, TaskLoss] | None = None,
) -> LoopState:
    """Trains to the last epoch, or until early stop, and leaves the best weights in `network`.

    Args:
        resume: goes on from the run's last checkpoint, if there is one.
        start_epoch: called before each epoch with its number, from 0.
        losses: of `make_losses`, for a caller who wants to know what they have learned.

    Returns:
        The final state; `best_epoch` counts from 1.

    Raises:
        TrainingError: the loss is not a number; the batch's photos are named.
        RunError: a checkpoint cannot be written or read.
    """
    training, model = experiment.training, network.trainable
    losses = losses or make_losses(experiment, data.tasks)
    track(model, losses)
    optimizer = make_optimizer(training, steps_per_epoch(experiment, len(data.parts["train"])))
    optimizer.build(model.trainable_variables)
    compile_model(model, optimizer, experiment, losses, first_stage=False)
    state = LoopState()
    if resume and run.checkpoint_path.exists():
        state = LoopState(**load_checkpoint(run.checkpoint_path, model))
        write_history(run, state.history)
    average = keras.callbacks.SwapEMAWeights() if training.weight_average else None
    if average:
        average.set_model(model)
    stage: bool | None = None
    while state.epoch < training.epochs and not _should_stop(state, training.early_stop_epochs):
        first_stage = state.epoch < training.first_stage_epochs
        if first_stage != stage:
            stage = first_stage
            compile_model(model, optimizer, experiment, losses, first_stage)
        if start_epoch:
            start_epoch(state.epoch)
        row = _train_epoch(experiment, data, model, state.epoch, listener)
        row |= {f"{name}_weight": loss.weight() for name, loss in losses.items() if loss.log_variance is not None}
        if average:
            average.on_test_begin()
        score = validation_score(experiment, data, network, row)
        state.epoch += 1
        # As long as nothing could be measured, the latest epoch counts.
        best = score < state.best_score or state.best_score == math.inf
        if best:
            state.best_score, state.best_epoch = score, state.epoch
            save_checkpoint(run.best_path(state.epoch), model, {"epoch": state.epoch}, with_optimizer=False)
        if average:
            average.on_test_end()
        state.history.append(row)
        write_history(run, state.history)
        save_checkpoint(run.checkpoint_path, model, dataclasses.asdict(state))
        run.drop_best_but(state.best_epoch)
        listener.on_epoch(row, best)
    load_checkpoint(run.best_path(state.best_epoch), model, with_optimizer=False)
    return state


def write_history(run: Run, history: list[dict[str, Any]]) -> None:
    """Writes `history.csv`, an epoch a row."""
    with replacing(run.history_path) as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False)


def _should_stop(state: LoopState, patience: int | None) -> bool:
    return patience is not None and state.epoch - state.best_epoch >= patience


def make_losses(experiment: Experiment, tasks: dict[str, Task]) -> dict[str, TaskLoss]:
    """The loss of each task."""
    learned = experiment.training.loss_weights == "learned"
    configs = experiment.tasks
    return {n: TaskLoss(task, configs[n].method, configs[n].settings(), learned) for n, task in tasks.items()}


def track(model: keras.Model, losses: dict[str, TaskLoss]) -> None:
    """Makes what the losses learn and remember part of the model that is trained, and of its checkpoints."""
    variables = [variable for loss in losses.values() for variable in loss.variables]
    if variables:
        model.loss_variables = variables


def compile_model(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    experiment: Experiment,
    losses: dict[str, TaskLoss],
    first_stage: bool,
) -> None:
    """Compiles with each task's loss; the optimizer keeps what it has learned.

    Args:
        first_stage: whether scalars learn the label distribution alone.
    """
    for name, loss in losses.items():
        settings = experiment.tasks[name].settings()
        loss.settings = settings.model_copy(update={"expectation_weight": 0.0}) if first_stage else settings
    weights = {name: experiment.tasks[name].weight for name in losses}
    jit: Any = True if experiment.training.xla else ("auto" if keras.backend.backend() == "jax" else False)
    model.compile(optimizer, loss=losses, loss_weights=weights, jit_compile=jit)


def _train_epoch(
    experiment: Experiment, data: PreparedData, model: keras.Model, epoch: int, listener: Listener
) -> dict[str, Any]:
    """One pass over the training photos; returns the epoch's row of the history.

    `loss` is what was minimised, to which a batch adds nothing for a task that it has no label of; the loss of a task
    is its mean over the photos that are labelled for it, NaN where there was none.
    """
    part = data.parts["train"]
    steps = steps_per_epoch(experiment, len(part))
    batches = iterate(epoch_batches(experiment, part, epoch))
    started, waited, photos = time.perf_counter(), 0.0, 0
    owners = {f"{name}_loss": task for name, task in data.tasks.items()}
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    learning_rate = float(model.optimizer.learning_rate)
    for step in range(steps):
        asked = time.perf_counter()
        rows, images, labels = next(batches)
        waited += time.perf_counter() - asked
        if keras.backend.backend() != "tensorflow":
            images, labels = np.asarray(images), {name: np.asarray(value) for name, value in labels.items()}
        logs = model.train_on_batch(images, labels, return_dict=True)
        photos += len(rows)
        for name, value in logs.items():
            task = owners.get(name)
            count = int(labelled(task, np.asarray(labels[task.name])).sum()) if task else len(rows)
            sums[name] = sums.get(name, 0.0) + float(value) * count
            counts[name] = counts.get(name, 0) + count
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise TrainingError(_not_a_number(data, np.asarray(rows), epoch, step, loss))
        seconds = time.perf_counter() - started
        listener.on_step(epoch + 1, step + 1, steps, loss, photos / seconds, waited / seconds)
    seconds = time.perf_counter() - started
    return {
        "epoch": epoch + 1,
        "learning_rate": learning_rate,
        **{name: value / counts[name] if counts[name] else math.nan for name, value in sums.items()},
        "images_per_s": round(photos / seconds, 2),
        "wait_share": round(waited / seconds, 4),
        "seconds": round(seconds, 2),
    }


def validation_score(experiment: Experiment, data: PreparedData, network: Network, row: dict[str, Any]) -> float:
    """Adds the validation metrics to a row; returns the score to minimise: the tasks' primary metrics, summed.

    A scalar's MAE counts as a share of its range, so that years do not outweigh points. What cannot be measured does
    not count; infinity where nothing can, or where the net says what is no number.
    """
    if "val" not in data.parts:
        return math.inf
    part = data.parts["val"]
    outputs = predict_split(keras_predictor(network.inference), part)
    results = evaluate(data.manifest.split("val"), data.tasks, outputs, samples=0, labels=part.labels)
    finite = all(np.isfinite(values).all() for values in outputs.values())
    scores = []
    for name, result in results.items():
        for metric, numbers in result["metrics"].items():
            row[f"val_{name}_{metric}"] = numbers["value"]
        primary = primary_metric(data.tasks[name])
        if primary not in result["metrics"]:
            continue
        task, value = data.tasks[name], result["metrics"][primary]["value"]
        worse = 1 - value if metrics_of(task)[primary].higher_is_better else value
        if not math.isnan(worse):
            scores.append(worse / (task.maximum - task.minimum) if isinstance(task, ScalarTask) else worse)
    return sum(scores) if scores and finite else math.inf


def _not_a_number(data: PreparedData, rows: np.ndarray, epoch: int, step: int, loss: float) -> str:
    names = [str(data.manifest.rows["image"].iloc[i]) for i in rows[:NAMED_ROWS]]
    more = f" and {len(rows) - len(names)} more" if len(rows) > len(names) else ""
    return (
        f"the loss is {loss} in epoch {epoch + 1}, step {step + 1}; photos of the batch: {', '.join(names)}{more}; "
        "start a new run with a lower training.optimizer.learning_rate, or with training.optimizer.clip_norm=1"
    )
