"""Fine-tuning a folded net, rounded or not, as a run of its own, which loads, evaluates and goes on as any other."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from keras_faceattr.config import AugmentationConfig, DistillationConfig, Experiment, OptimizerConfig, ScheduleConfig
from keras_faceattr.data.prepare import PreparedData
from keras_faceattr.evaluation.evaluate import primary_metric
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.metrics import metrics_of
from keras_faceattr.models.network import Network
from keras_faceattr.quantization.layers import FakeQuantize
from keras_faceattr.run import Run
from keras_faceattr.tasks import Task
from keras_faceattr.training.callbacks import Listener, validation_score
from keras_faceattr.training.checkpoint import load_checkpoint
from keras_faceattr.training.loop import train

WARMUP_EPOCHS = 0.5
"""Adam knows nothing of the gradients' sizes at first and moves every weight alike, which shifts the predictions."""

MARGIN = 0.01
"""Share by which a trained net may be worse than the calibrated one in a task's first metric on the validation photos:
the run's own epoch was chosen on them, which flatters the calibrated net."""


def fine_tuning_experiment(
    experiment: Experiment,
    name: str,
    epochs: int,
    learning_rate: float,
    augmented: bool = False,
) -> Experiment:
    """The run's own experiment with a short, low schedule; data and losses stay, a teacher does not.

    Args:
        augmented: also the augmentation stays; else the photos are at most mirrored. Without batch norms a net has the
            statistics of plain photos, and is off on changed ones; training on these moves it off the plain ones.
    """
    augmentation = experiment.data.augmentation
    if augmentation and not augmented:
        augmentation = AugmentationConfig(flip=augmentation.flip, grey=0, min_scale=1, rotation_degrees=0, jitter=0)
    optimizer = experiment.training.optimizer.model_copy(update={"learning_rate": learning_rate})
    training = experiment.training.model_copy(
        update={
            "epochs": epochs,
            "optimizer": OptimizerConfig.model_validate(optimizer.model_dump()),
            "schedule": ScheduleConfig(name="cosine", warmup_epochs=WARMUP_EPOCHS),
            "weight_average": 0.0,
            "first_stage_epochs": 0,
            "early_stop_epochs": None,
            "precision": "float32",
            "teacher": None,
            "distillation": DistillationConfig(),
        }
    )
    data = experiment.data.model_copy(update={"augmentation": augmentation})
    return experiment.model_copy(update={"name": name, "data": data, "training": training})


def fine_tune(
    network: Network,
    experiment: Experiment,
    data: PreparedData,
    run: Run,
    listener: Listener,
    *,
    ranges: Collection[FakeQuantize] = (),
    frozen_epochs: int = 0,
    range_rate: float = 0.0,
    losses: dict[str, TaskLoss] | None = None,
) -> bool:
    """Trains a calibrated net, or a float one as its control; goes on where a killed call stopped.

    Args:
        experiment: of `fine_tuning_experiment`.
        ranges: of the net's activations; a float net has none.
        frozen_epochs: at the end, in which ranges stay as they are.
        range_rate: how far ranges move towards each batch's before that.
        losses: with what they have learned; None for fresh ones.

    Returns:
        Whether the trained weights were kept: if a task is worse with them on the validation photos, those from before
        come back.

    Raises:
        TrainingError: the loss is not a number.
    """
    start = network.inference.get_weights()
    before: dict[str, Any] = {}
    validation_score(experiment, data, network, before)

    def start_epoch(epoch: int) -> None:
        rate = range_rate if epoch < experiment.training.epochs - frozen_epochs else 0.0
        for layer in ranges:
            layer.set_rate(rate)

    train(experiment, data, network, run, listener, resume=True, start_epoch=start_epoch, losses=losses)
    # Not the best epoch: of a few short ones that is the luckiest, and the rate has come down only in the last.
    load_checkpoint(run.checkpoint_path, network.trainable, with_optimizer=False)
    after: dict[str, Any] = {}
    validation_score(experiment, data, network, after)
    if any(is_worse(task, before, after) for task in data.tasks.values()):
        network.inference.set_weights(start)
        return False
    return True


def is_worse(task: Task, before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether a task's first metric has become worse by more than chance.

    Args:
        before: metrics of the validation photos by `val_<task>_<metric>`, as in `history.csv`.
        after: the same, later.
    """
    metric = primary_metric(task)
    name = f"val_{task.name}_{metric}"
    if name not in before:
        return False
    drop = after[name] - before[name]
    if metrics_of(task)[metric].higher_is_better:
        drop = -drop
    return bool(drop > MARGIN * abs(before[name]))
