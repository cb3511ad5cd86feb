"""Training on Keras' own `fit`: stages of epochs with callbacks, and going on after a kill."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras

from keras_faceattr.config import Experiment
from keras_faceattr.data.pipeline import batch_feed, readable_photos
from keras_faceattr.data.prepare import PreparedData
from keras_faceattr.data.teaching import Teaching
from keras_faceattr.losses.distillation import FeatureDistance
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.models.feature_taps import tap_names
from keras_faceattr.models.network import Network
from keras_faceattr.run import Run
from keras_faceattr.tasks import Task
from keras_faceattr.training.callbacks import (
    EpochEnd,
    Listener,
    LoopState,
    StepWatch,
    loop_state,
    should_stop,
    write_history,
)
from keras_faceattr.training.checkpoint import load_checkpoint
from keras_faceattr.training.optimizer import make_optimizer


def train(
    experiment: Experiment,
    data: PreparedData,
    network: Network,
    run: Run,
    listener: Listener,
    resume: bool = False,
    start_epoch: Callable[[int], None] | None = None,
    losses: dict[str, TaskLoss] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    teaching: Teaching | None = None,
) -> LoopState:
    """Train to the last epoch, or until early stop, and leave the best weights in `network`.

    Args:
        resume: goes on from the run's last checkpoint, if there is one.
        start_epoch: called before each epoch with its number, from 0.
        losses: result of `make_losses`, for a caller who wants to know what they have learned.
        callbacks: Keras callbacks, called after those of the training; an epoch's logs hold the validation metrics.
        teaching: result of `training.teacher.teaching_of`; None to learn from labels alone.

    Returns:
        The final state; `best_epoch` counts from 1.

    Raises:
        TrainingError: the loss is not a number; the batch's photos are named.
        RunError: a checkpoint cannot be written or read.
    """
    training, model = experiment.training, network.trainable
    taught = set(teaching.subjects.widths) if teaching else set()
    losses = losses or make_losses(experiment, data.tasks, data.forms, taught)
    track(model, losses)
    feed = batch_feed(experiment, data.parts["train"], data.tasks, teaching)
    optimizer = make_optimizer(training, feed.plan.steps)
    optimizer.build(model.trainable_variables)
    compile_model(model, optimizer, experiment, losses, first_stage=False)
    state = LoopState()
    if resume and run.checkpoint_path.exists():
        plain = load_checkpoint(run.checkpoint_path, model)
        state = loop_state(plain, run.checkpoint_path, training.epochs)
        write_history(run, state.history)
    watch = StepWatch(feed, data, listener)
    end = EpochEnd(experiment, data, network, run, listener, losses, state, watch, start_epoch)
    for last_epoch, first_stage in ((training.first_stage_epochs, True), (training.epochs, False)):
        if state.epoch >= last_epoch or should_stop(state, training.early_stop_epochs):
            continue
        compile_model(model, optimizer, experiment, losses, first_stage)
        with readable_photos():
            model.fit(
                feed.batches(state.epoch, last_epoch),
                steps_per_epoch=feed.plan.steps,
                initial_epoch=state.epoch,
                epochs=last_epoch,
                callbacks=[watch, end, *callbacks],
                shuffle=False,  # It is already.
                verbose=0,
            )
    load_checkpoint(run.best_path(state.best_epoch), model, with_optimizer=False)
    return state


def make_losses(
    experiment: Experiment,
    tasks: dict[str, Task],
    forms: dict[str, tuple[str, ...]] | None = None,
    taught: Collection[str] = (),
) -> dict[str, TaskLoss]:
    """The loss of each task.

    Args:
        forms: by task, as of `PreparedData.forms`; None for exact labels alone.
        taught: names of the tasks of which a batch carries the answers of a teacher.
    """
    learned = experiment.training.loss_weights == "learned"
    forms, losses = forms or {}, {}
    for name, task in tasks.items():
        config, own_forms = experiment.tasks[name], forms.get(name, ("exact",))
        distillation = experiment.training.distillation if name in taught else None
        losses[name] = TaskLoss(
            task, config.method, config.settings(), learned, forms=own_forms, distillation=distillation
        )
    return losses


def track(model: keras.Model, losses: dict[str, TaskLoss]) -> None:
    """Make what the losses learn and remember part of the model that is trained, and of its checkpoints."""
    variables = [variable for loss in losses.values() for variable in loss.variables]
    if variables:
        model.loss_variables = variables
    model.loss_means = [loss.mean for loss in losses.values()]


def compile_model(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    experiment: Experiment,
    losses: dict[str, TaskLoss],
    first_stage: bool,
) -> None:
    """Compile with each task's loss, and those of the feature maps that the net shows; the optimizer keeps its state.

    Args:
        first_stage: whether scalars learn the label distribution alone.
    """
    for name, loss in losses.items():
        settings = experiment.tasks[name].settings()
        loss.settings = settings.model_copy(update={"expectation_weight": 0.0}) if first_stage else settings
    weights = {name: experiment.tasks[name].weight for name in losses}
    features = experiment.training.distillation.features
    shown = {tap: match for tap, match in zip(tap_names(features), features, strict=True) if tap in model.output}
    weights |= {tap: match.weight for tap, match in shown.items()}
    all_losses = {**losses, **{tap: FeatureDistance(tap) for tap in shown}}
    jit: Any = True if experiment.training.xla else ("auto" if keras.backend.backend() == "jax" else False)
    model.compile(optimizer, loss=all_losses, loss_weights=weights, jit_compile=jit)
    # Keras creates its mean of each task's loss inside the first step, and TensorFlow then traces the step twice.
    model._compile_loss.build(model.output, model.output)
