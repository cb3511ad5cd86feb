"""Keras callbacks of a training: what it tells while it runs, and what each epoch leaves on the disk."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from keras_faceattr.config import Experiment
from keras_faceattr.data.pipeline import BatchFeed
from keras_faceattr.data.prepare import PreparedData
from keras_faceattr.errors import RunError, TrainingError, shown
from keras_faceattr.evaluation.evaluate import evaluate, primary_metric
from keras_faceattr.evaluation.predictions import keras_predictor, predict_split
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.metrics import metrics_of
from keras_faceattr.models.feature_taps import MAPS
from keras_faceattr.models.network import Network
from keras_faceattr.run import Run
from keras_faceattr.storage import replacing
from keras_faceattr.tasks import ScalarTask
from keras_faceattr.training.checkpoint import save_checkpoint

NAMED_ROWS = 8
"""Photos of a bad batch that an error names."""


class Listener(Protocol):
    """Who is told how training goes."""

    def on_step(self, epoch: int, step: int, steps: int, loss: float, images_per_s: float, wait_share: float) -> None:
        """After each batch, with the mean loss and the rates of the epoch so far; maybe on another thread."""

    def on_epoch(self, row: dict[str, Any], best: bool) -> None:
        """After each epoch, with its row of `history.csv`."""


class LoopState(BaseModel):
    """State of the training that a checkpoint keeps next to the variables.

    Attributes:
        epoch: how many are done.
        best_score: validation score of the best epoch; infinite as long as nothing could be measured.
        best_epoch: its number, from 1.
        history: rows of `history.csv`, one per epoch.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    epoch: int = 0
    best_score: float = math.inf
    best_epoch: int = 0
    history: list[dict[str, float | int | None]] = []


def loop_state(plain: dict[str, Any], path: Path, epochs: int) -> LoopState:
    """The state of a checkpoint.

    Args:
        plain: as it was read.
        path: path of the checkpoint, for the error.
        epochs: number of epochs of the whole training.

    Raises:
        RunError: a value is missing or of a wrong type, or they contradict each other.
    """
    try:
        state = LoopState.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise RunError(f"{path} is damaged: {key} = {shown(first['input'])}: {first['msg']}; train a new run") from None
    if not 1 <= state.best_epoch <= state.epoch == len(state.history) <= epochs:
        raise RunError(
            f"{path} is damaged: epoch {shown(state.epoch)} of {epochs}, best epoch {shown(state.best_epoch)} and "
            f"{len(state.history)} rows of history do not agree; train a new run"
        )
    return state


class StepWatch(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells a listener of every step, measures how long steps wait for data, and stops at a loss that is no number.

    Keras may call it on threads of its own, so that a step need not wait until its loss has left the device.

    Raises:
        TrainingError: the loss is no number; the photos of the batch are named.
    """

    async_safe = True

    def __init__(self, feed: BatchFeed, data: PreparedData, listener: Listener) -> None:
        super().__init__()
        self.feed, self.data, self.listener = feed, data, listener
        self._lock = threading.Lock()
        self._reset(0)

    def _reset(self, epoch: int) -> None:
        self.epoch, self.done, self.photos, self.waited = epoch, 0, 0, 0.0
        self.started = self.last_end = time.perf_counter()
        self._begins: dict[int, float] = {}
        self._ends: dict[int, tuple[float, float]] = {}

    @property
    def seconds(self) -> float:
        """From the beginning of the epoch to the end of its latest step."""
        return max(self.last_end - self.started, 1e-9)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._reset(epoch)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Record when a step asks for its batch."""
        self._begins[batch] = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Pass on all steps that are done, in their order."""
        loss, now = float((logs or {})["loss"]), time.perf_counter()
        with self._lock:
            self._ends[batch] = (loss, now)
            while self.done in self._ends:
                self._step(self.done, *self._ends.pop(self.done))
                self.done += 1

    def _step(self, step: int, loss: float, end: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(self._not_a_number(step, loss))
        made, asked = self.feed.made(self.epoch, step), self._begins.pop(step, self.last_end)
        if made is not None:
            # A step that is asked for before the one ahead of it is done does not wait for its data yet; nor does the
            # first one while Keras compiles, before it asks for the first batch.
            begun, ready = made
            self.waited += max(0.0, min(ready, end) - max(asked, self.last_end, begun))
        self.last_end = max(end, self.last_end)
        self.photos += len(self.feed.plan.places(self.epoch, step))
        speed, waits = self.photos / self.seconds, self.waited / self.seconds
        self.listener.on_step(self.epoch + 1, step + 1, self.feed.plan.steps, loss, speed, waits)

    def _not_a_number(self, step: int, loss: float) -> str:
        rows = self.feed.rows(self.epoch, step)
        names = [str(self.data.manifest.rows["image"].iloc[i]) for i in rows[:NAMED_ROWS]]
        more = f" and {len(rows) - len(names)} more" if len(rows) > len(names) else ""
        return (
            f"the loss is {loss} in epoch {self.epoch + 1}, step {step + 1}; photos of the batch: "
            f"{', '.join(names)}{more}; start a new run with a lower training.optimizer.learning_rate, or with "
            "training.optimizer.clip_norm=1"
        )


class EpochEnd(keras.callbacks.Callback):  # type: ignore[misc]
    """Validates, writes history and checkpoints, and stops a training that no longer gets better.

    Adds the validation metrics to the epoch's logs, where callbacks behind it find them.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: PreparedData,
        network: Network,
        run: Run,
        listener: Listener,
        losses: dict[str, TaskLoss],
        state: LoopState,
        watch: StepWatch,
        start_epoch: Callable[[int], None] | None,
    ) -> None:
        super().__init__()
        self.experiment, self.data, self.network, self.run = experiment, data, network, run
        self.listener, self.losses, self.state, self.watch = listener, losses, state, watch
        self.start_epoch = start_epoch
        self.average = keras.callbacks.SwapEMAWeights() if experiment.training.weight_average else None
        self.learning_rate = math.nan

    def set_model(self, model: keras.Model) -> None:
        """Called by Keras."""
        super().set_model(model)
        if self.average:
            self.average.set_model(model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the learning rate that the epoch begins with."""
        self.learning_rate = float(self.model.optimizer.learning_rate)
        if self.start_epoch:
            self.start_epoch(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Do all that an epoch ends with."""
        state, run = self.state, self.run
        row = self._row(logs or {})
        if self.average:
            self.average.on_test_begin()
        score = validation_score(self.experiment, self.data, self.network, row)
        state.epoch = epoch + 1
        # As long as nothing could be measured, the latest epoch counts.
        best = score < state.best_score or state.best_score == math.inf
        if best:
            state.best_score, state.best_epoch = score, state.epoch
            save_checkpoint(run.best_path(state.epoch), self.model, {"epoch": state.epoch}, with_optimizer=False)
        if self.average:
            self.average.on_test_end()
        state.history.append(row)
        write_history(run, state.history)
        save_checkpoint(run.checkpoint_path, self.model, state.model_dump())
        run.drop_best_but(state.best_epoch)
        if logs is not None:
            logs.update(row)
        self.listener.on_epoch(row, best)
        if should_stop(state, self.experiment.training.early_stop_epochs):
            self.model.stop_training = True

    def _row(self, logs: dict[str, Any]) -> dict[str, Any]:
        """The epoch's row of the history.

        `loss` is what was minimised, to which a batch adds nothing for a task that it has no label of; the loss of a
        task is its mean over the photos that are labelled for it, NaN where there was none.
        """
        of_tasks = {f"{n}_loss": float(logs[f"{n}_loss"]) if float(loss.mean.count) else math.nan
                    for n, loss in self.losses.items()}  # fmt: skip
        of_maps = {name: float(value) for name, value in logs.items() if name.startswith(MAPS)}
        weights = {f"{n}_weight": loss.weight() for n, loss in self.losses.items() if loss.log_variance is not None}
        watch = self.watch
        return {
            "epoch": watch.epoch + 1,
            "learning_rate": self.learning_rate,
            "loss": float(logs["loss"]),
            **(of_tasks if len(of_tasks) > 1 or of_maps else {}),
            **of_maps,
            "images_per_s": round(watch.photos / watch.seconds, 2),
            "wait_share": round(watch.waited / watch.seconds, 4),
            "seconds": round(watch.seconds, 2),
            **weights,
        }


def should_stop(state: LoopState, patience: int | None) -> bool:
    """Return whether as many epochs as allowed have passed since the best one."""
    return patience is not None and state.epoch - state.best_epoch >= patience


def write_history(run: Run, history: list[dict[str, Any]]) -> None:
    """Write `history.csv`, one row per epoch."""
    with replacing(run.history_path) as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False)


def validation_score(experiment: Experiment, data: PreparedData, network: Network, row: dict[str, Any]) -> float:
    """Add the validation metrics to a row; return the score to minimise: the tasks' primary metrics, summed.

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
