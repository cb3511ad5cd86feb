"""What every recipe of an export starts from: the run's model, folded, and what it says about held-out photos."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Protocol

import keras

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import with_paths
from keras_faceattr.convert.temperatures import NO_TEMPERATURES, Temperatures, divide_logits
from keras_faceattr.data.crop_cache import LabelledCrops, Progress
from keras_faceattr.data.prepare import PreparedData, prepare
from keras_faceattr.errors import ConfigError, RunError, nearest
from keras_faceattr.evaluation.predictions import Outputs, keras_predictor, predict_split
from keras_faceattr.models.loading import load_model
from keras_faceattr.quantization.folding import fold_batch_norm
from keras_faceattr.run import Run
from keras_faceattr.tasks import Task
from keras_faceattr.training.callbacks import Listener
from keras_faceattr.training.start import check_unseen

SPLIT = "test"
"""On which files are proven: no training, calibration or choice has seen it."""


class ExportListener(Listener, Protocol):
    """Who is told how an export goes."""

    def decode_progress(self) -> Progress:
        """Receiver of photos decoded and photos in all."""

    def say(self, line: str) -> None:
        """A line about what happens next."""


@dataclass(frozen=True)
class Source:
    """What every recipe of an export starts from.

    Attributes:
        model: as trained, with the chosen heads, and with the temperatures in their last layers.
        folded: the same without batch norms.
        outputs: of `model` on the held-out photos.
        temperatures: by which the logits of `model` and `folded` are divided.
    """

    run: Run
    experiment: Experiment
    tasks: dict[str, Task]
    model: keras.Model
    folded: keras.Model
    data: PreparedData
    outputs: Outputs
    temperatures: Temperatures = NO_TEMPERATURES

    @property
    def held_out(self) -> LabelledCrops:
        return self.data.parts[SPLIT]


def read_source(run: Run, heads: list[str], paths: dict[str, str], listener: ExportListener) -> Source:
    """Loads a run and predicts its held-out photos.

    Raises:
        RunError: the run never finished an epoch.
        ConfigError: an unknown head, or a backend that cannot convert.
        DataError: no held-out photos.
    """
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(f"the converter is TensorFlow's: export without KERAS_BACKEND={keras.backend.backend()}")
    experiment, tasks = with_paths(run.experiment(), paths), run.tasks()
    if not run.model_path.exists():
        raise RunError(f"{run.folder} never finished training: go on with {run.resume_command}")
    for head in heads:
        if head not in tasks:
            raise ConfigError(f"--heads {head}: the run has no such task; {nearest(head, tasks)}")
    tasks = {name: task for name, task in tasks.items() if not heads or name in heads}
    model = _with_heads(load_model(run.model_path), tasks)
    listener.say(f"reading the data of {run.folder}")
    prepared = prepare(experiment, (SPLIT, "train", "val"), listener.decode_progress(), trained=run.tasks())
    for line in check_unseen(run.folder, prepared.manifest, SPLIT):
        listener.say(line)
    data = _with_tasks(prepared, tasks)
    temperatures = divide_logits(model, tasks, data.parts.get("val"))
    outputs = predict_split(keras_predictor(model), data.parts[SPLIT])
    return Source(run, experiment, tasks, model, fold_batch_norm(model), data, outputs, temperatures)


def _with_heads(model: keras.Model, tasks: dict[str, Task]) -> keras.Model:
    outputs = {name: tensor for name, tensor in model.output.items() if task_of(name, tasks)}
    return keras.Model(model.input, outputs, name=model.name)


def _with_tasks(data: PreparedData, tasks: dict[str, Task]) -> PreparedData:
    """The same photos, split as for all tasks, with the labels of some."""
    parts = {
        split: dataclasses.replace(part, labels={name: part.labels[name] for name in tasks})
        for split, part in data.parts.items()
    }
    return dataclasses.replace(data, tasks=tasks, parts=parts)


def task_of(output: str, tasks: dict[str, Task]) -> str | None:
    """The task that an output belongs to."""
    return next((name for name in tasks if output in (name, f"{name}_distribution", f"{name}_classes")), None)
