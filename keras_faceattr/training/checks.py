"""Checks of `fit`, in the order in which they are possible: before photos are read, after that, and on resuming."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_faceattr.config import Experiment, PhotoExperiment
from keras_faceattr.data.datasets import READERS
from keras_faceattr.data.mixing import source_weights, strata_of
from keras_faceattr.data.pipeline import people_in_batches
from keras_faceattr.data.prepare import PreparedData, crop_spec
from keras_faceattr.data.targets import class_factors, labelled
from keras_faceattr.errors import ConfigError, DataError, ModelError, RunError, nearest, shown
from keras_faceattr.faces.template import template_points
from keras_faceattr.methods import METHODS, check_forms, check_settings, method_of
from keras_faceattr.models import architecture
from keras_faceattr.run import Run
from keras_faceattr.tasks import MultilabelTask, Task
from keras_faceattr.training.optimizer import check_optimizer
from keras_faceattr.training.provenance import provenance
from keras_faceattr.training.start import starts_of
from keras_faceattr.zoo import shipped_names


def check_experiment(experiment: Experiment, fresh: bool = True) -> None:
    """Refuse what can be known to be wrong before any photo is read.

    Args:
        fresh: whether the initial weights will be needed.

    Raises:
        ConfigError: unknown reader or method, or a crop that makes no sense.
        ModelError: unknown net, or initial weights that are not there.
    """
    _check_options(experiment)
    check_optimizer(experiment.training.optimizer)
    landmarks_of(experiment)
    crop_spec(experiment)
    source_weights(experiment.data.sources)
    people_in_batches(experiment)
    _check_balance(experiment)
    for name in [source.reader for source in experiment.data.sources]:
        if name not in READERS:
            raise ConfigError(f"unknown reader {name!r}; {nearest(name, READERS)}")
    for task in experiment.tasks.values():
        if task.teacher and task.kind != "embedding":
            raise ConfigError("a teacher is for tasks of kind embedding")
        if task.kind == "embedding" and task.dimension:
            raise ConfigError("a task of kind embedding has its teacher's dimension: leave dimension out")
        if task.method and task.method not in METHODS:
            raise ConfigError(f"unknown method {task.method!r}; {nearest(task.method, METHODS)}")
    if experiment.model.init_from == {}:
        raise ConfigError("model.init_from: names no run; write a path, or {layer prefix: path}")
    weights = experiment.model.options.get("weights")
    if weights is not None and not isinstance(weights, str):
        raise ConfigError(f"model.weights: needs the path of a file, not {shown(weights)}")
    for start in starts_of(experiment.model):
        if fresh and not start.expanduser().exists():
            if str(start) == weights:
                raise ModelError(f"model.weights: no file {start}; nothing is downloaded: give the path of a file")
            raise ModelError(f"no model file or run {start}{_shipped_hint(start)}")
    _check_distillation(experiment)


def _shipped_hint(path: Path) -> str:
    """Hint for a net that was not found."""
    names = shipped_names()
    return f"; nets that come with the package: {nearest(path.name, names)}" if names else ""


def _check_balance(experiment: Experiment) -> None:
    """Refuse batches that are to be made by two rules at once."""
    balanced = experiment.training.balanced_by
    if balanced is None:
        return
    if balanced not in experiment.tasks:
        raise ConfigError(f"training.balanced_by: no task {balanced!r}; {nearest(balanced, experiment.tasks)}")
    if experiment.training.photos_per_person or source_weights(experiment.data.sources) is not None:
        raise ConfigError(
            "training.balanced_by: batches are made by the weights of sources or by photos_per_person already: "
            "leave one of them out"
        )


def _check_distillation(experiment: Experiment) -> None:
    """Refuse teachers that are not there, and settings that fit no teacher or contradict each other."""
    settings, teachers = experiment.training.distillation, experiment.training.teachers
    for teacher in map(Path, teachers):
        if not teacher.exists():
            told = f"no teacher {teacher}: name the folder of a run, or an exported .tflite file"
            raise ModelError(told + _shipped_hint(teacher))
    if settings.features and (len(teachers) > 1 or settings.crops):
        raise ConfigError(
            "training.distillation.features: feature maps are those of one teacher that is asked along: name one, and "
            "set training.distillation.crops=0"
        )
    if settings.crops > 1 and experiment.data.augmentation is None:
        raise ConfigError(
            f"training.distillation.crops {settings.crops}: without data.augmentation they are all alike: set 1"
        )


def landmarks_of(experiment: Experiment) -> np.ndarray | None:
    """Positions of the five points in every crop, for a net that needs them.

    Raises:
        ConfigError: they lie elsewhere in each.
    """
    if not architecture(experiment.model.name).needs_landmarks:
        return None
    crop = experiment.data.crop
    if crop.method != "five_points":
        raise ConfigError(
            f"{experiment.model.name} cuts parts of the face where its five points lie, and data.crop.method "
            f"{crop.method!r} does not tell: set data.crop.method=five_points, or cut the photos before with "
            "keras-faceattr align"
        )
    return template_points(crop.size, crop.margin)


def _check_options(experiment: Experiment) -> None:
    """An option that the net does not have may be a misspelt key of the section."""
    model = experiment.model
    try:
        architecture(model.name).check_options(model.options, type(model).model_fields)
    except ModelError as error:
        raise ConfigError(f"model.name={model.name}: {error}") from None


def check_methods(experiment: Experiment, tasks: dict[str, Task]) -> None:
    """Refuse what is set for methods that do not look at it: it was meant for another.

    Raises:
        ConfigError: a method that does not fit its task, a setting, or a first stage that no method has.
    """
    for name, task in tasks.items():
        check_settings(task, experiment.tasks[name].method, experiment.tasks[name].settings())
    looked_at = {key for name, task in tasks.items() for key in method_of(task, experiment.tasks[name].method).settings}
    if experiment.training.first_stage_epochs and "expectation_weight" not in looked_at:
        raise ConfigError(f"training.first_stage_epochs: no method of {', '.join(tasks)} has a first stage, as dldl_v2")


def check_backend(experiment: Experiment) -> None:
    """Refuse a backend that nothing here was tested on; on TensorFlow, make it repeat itself where the config asks.

    Raises:
        ConfigError: it is neither TensorFlow nor JAX.
    """
    if experiment.training.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    if keras.backend.backend() not in ("tensorflow", "jax"):
        raise ConfigError(f"KERAS_BACKEND={keras.backend.backend()} is not supported; valid: tensorflow, jax")


def check_learnable(experiment: Experiment, data: PreparedData, taught: Collection[str] = ()) -> None:
    """Refuse what nothing can be learned from: two photos are batch norm's least, and one label a task's.

    Args:
        taught: names of the tasks that a teacher teaches, which need no label.

    Raises:
        ConfigError: a method that cannot learn from labels of such a form.
        DataError: too few photos, people or labels, or attributes that never change where they are to be correlated.
    """
    part = data.parts["train"]
    if len(part) < 2:
        raise DataError(f"only {len(part)} train photo: at least 2 are needed")
    for name, task in data.tasks.items():
        labels = part.labels[name]
        check_forms(task, experiment.tasks[name].method, data.forms[name])
        if experiment.training.photos_per_person and len(np.unique(labels[~np.isnan(labels)])) < 2:
            raise DataError(f"one person only among {len(part)} train photos: {name} needs two or more")
        if name not in taught and not labelled(task, labels).any():
            raise DataError(
                f"none of {len(part)} train photos is labelled with {name}: leave the task out, or add labels"
            )
        class_factors(task, labels, experiment.tasks[name].class_weights)
        if name == experiment.training.balanced_by:
            strata_of(task, labels)
        if experiment.tasks[name].method == "obrl" and isinstance(task, MultilabelTask):
            _check_correlated(task, labels)


def _check_correlated(task: MultilabelTask, labels: np.ndarray) -> None:
    """An attribute that never changes has no correlation with any other."""
    same = [
        name
        for name, column in zip(task.attributes, labels.T, strict=True)
        if len(np.unique(column[~np.isnan(column)])) < 2
    ]
    if same:
        raise DataError(
            f"the correlation of {', '.join(same)} is undefined: always the same in the train photos; leave it out of "
            f"tasks.{task.name}.attributes, or learn by tasks.{task.name}.method=attribute_cross_entropy"
        )


def check_same_data(run: Run, experiment: PhotoExperiment, data: PreparedData) -> None:
    """Refuse to resume with other photos, labels, splits or teachers.

    Raises:
        RunError: they have changed since the run started.
    """
    before, now = run.provenance(), provenance(experiment, data)
    if before.get("distilled_from", now["distilled_from"]) != now["distilled_from"]:
        raise RunError(f"the teacher of {run.folder} has changed since it started: restore it, or train a new run")
    keys = ("split_hash", "label_hash", "photo_hash", "teachers", "excluded")
    # A run of an older version does not know them all.
    if any(before.get(key, now[key]) != now[key] for key in keys):
        raise RunError(f"the data of {run.folder} has changed since it started: train a new run")


def check_same_experiment(run: Run, experiment: Experiment) -> None:
    """Refuse to resume with another configuration.

    Raises:
        RunError: the first key that differs, with both values.
    """
    before, now = _flat(run.experiment().model_dump(mode="json")), _flat(experiment.model_dump(mode="json"))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            raise RunError(
                f"{run.folder} was started with {key} = {before.get(key)!r}, not {now.get(key)!r}: "
                "resume without a config, or start a new run"
            )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}{key}.").items()}
    if isinstance(value, list) and value:
        return {k: v for i, item in enumerate(value) for k, v in _flat(item, f"{prefix}{i}.").items()}
    return {prefix.rstrip("."): value}
