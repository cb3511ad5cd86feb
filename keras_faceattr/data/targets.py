"""Labels as numbers: what a batch carries for each task."""

from __future__ import annotations

import numpy as np
import pandas as pd

from keras_faceattr.data.manifest import Manifest
from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.tasks import (
    BinaryTask,
    CategoricalTask,
    EmbeddingTask,
    IdentityTask,
    MultilabelTask,
    ScalarTask,
    Task,
)


def label_array(manifest: Manifest, task: Task) -> np.ndarray:
    """The manifest's labels of one task.

    Returns:
        (n, task.label_width) float32, NaN where a photo is not labelled. Scalar: value and σ (the photo's own, else
        the task's default), in the task's unit; with `label_forms` of intervals, also their lowest and highest value.
        Binary and multilabel: 0 or 1. Categorical: index of the class.
        Identity: number of the person. Embedding: nothing, as only the teacher knows.
    """
    rows = manifest.rows
    if isinstance(task, ScalarTask):
        values = rows[task.name].to_numpy("float32", na_value=np.nan)
        std = np.full(len(rows), task.default_std, "float32")
        column = f"{task.name}_std"
        if column in rows:
            own = rows[column].to_numpy("float32", na_value=np.nan)
            std = np.where(np.isnan(own), std, own)
        exact = np.stack([values, std], axis=1).astype("float32")
        if "interval" not in label_forms(manifest, task):
            return exact
        ends = rows[list(task.interval_columns)].to_numpy("float32", na_value=np.nan)
        return np.concatenate([exact, ends], axis=1)
    if isinstance(task, EmbeddingTask):
        return np.full((len(rows), task.dimension), np.nan, "float32")
    if isinstance(task, IdentityTask):
        return person_numbers(manifest)[:, None]
    if isinstance(task, CategoricalTask):
        index = {name: i for i, name in enumerate(task.classes)}
        return rows[task.name].map(index).to_numpy("float32", na_value=np.nan)[:, None]
    return rows[list(task.columns)].to_numpy("float32", na_value=np.nan)


def label_forms(manifest: Manifest, task: Task) -> tuple[str, ...]:
    """Forms of `methods.labels.FORMS` that the labels of a task have."""
    if isinstance(task, ScalarTask) and set(task.interval_columns) <= set(manifest.rows):
        return ("exact", "interval")
    return ("exact",)


def middles(manifest: Manifest, task: ScalarTask) -> pd.Series:
    """(n,) a number for each label: its value, or the middle of its interval; missing where there is none."""
    values = manifest.rows[task.name]
    if "interval" not in label_forms(manifest, task):
        return values
    return values.fillna(manifest.rows[list(task.interval_columns)].mean(axis=1, skipna=False))


def labelled(task: Task, labels: np.ndarray) -> np.ndarray:
    """(n,) which photos have a label: of several attributes, any."""
    return np.asarray(label_counts(task, labels) > 0)


def label_counts(task: Task, labels: np.ndarray) -> np.ndarray:
    """(n,) float32 how many labels of a task each photo has: of several attributes up to all, else 0 or 1.

    Args:
        labels: (n, width) of `methods.labels.pack_labels`; behind the exact labels there may be other forms, and
            behind these the answers of a teacher.
    """
    known, others = ~np.isnan(labels[:, : task.label_width]), ~np.isnan(labels[:, task.label_width :])
    if isinstance(task, MultilabelTask):
        others = others.reshape(len(labels), -1, task.label_width).any(axis=1)
        return np.asarray((known | others).sum(axis=1), "float32")
    return np.asarray(known[:, 0] | others.any(axis=1), "float32")


def photo_weights(counts: np.ndarray) -> np.ndarray:
    """(b,) float32 weights that make the mean over the photos of a batch the mean over its labels.

    Keras divides a weighted sum by the size of the batch, wherever its photos are computed. So the mean is that of the
    whole batch, also where the batch is divided among devices.

    Args:
        counts: (b,) of `label_counts`.
    """
    return np.asarray(counts * (len(counts) / max(float(counts.sum()), 1.0)), "float32")


def class_factors(task: Task, labels: np.ndarray, weights: dict[str, float] | str | None) -> np.ndarray:
    """(n,) float32 factor by which each photo's loss counts, by its class.

    Args:
        labels: (n, width) of the train photos.
        weights: by class, 1 for those that are not named, of a yes/no task by `0` and `1`; or `balanced`: n / (classes
            × photos of the class), as in scikit-learn; None for 1 everywhere.

    Raises:
        ConfigError: a task without classes, or an unknown class.
    """
    factors = np.ones(len(labels), "float32")
    if weights is None:
        return factors
    if not isinstance(task, CategoricalTask | BinaryTask):
        raise ConfigError(f"tasks.{task.name}.class_weights: a {task.kind} task has no classes: leave them out")
    names = task.classes if isinstance(task, CategoricalTask) else ("0", "1")
    known = ~np.isnan(labels[:, 0])
    classes = labels[known, 0].astype(int)
    if isinstance(weights, str):
        counts = np.bincount(classes, minlength=len(names))
        by_class = len(classes) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        for name in weights:
            if name not in names:
                raise ConfigError(f"tasks.{task.name}.class_weights: no class {name!r}; {nearest(name, names)}")
        by_class = np.array([weights.get(name, 1.0) for name in names])
    factors[known] = by_class[classes]
    return factors


def people(manifest: Manifest) -> np.ndarray:
    """(people,) names of the people in the train photos, ascending, with the data set that they belong to."""
    names = _people_of(manifest)
    return np.unique(names[(manifest.rows["split"] == "train") & names.notna()].to_numpy(str))


def person_numbers(manifest: Manifest) -> np.ndarray:
    """(n,) float32 number of each photo's person: those of the train photos first; NaN for nobody known."""
    names = _people_of(manifest)
    known = people(manifest)
    others = np.setdiff1d(names.dropna().to_numpy(str), known)
    numbers = {name: number for number, name in enumerate([*known, *others])}
    return names.map(numbers).to_numpy("float32", na_value=np.nan)


def _people_of(manifest: Manifest) -> pd.Series:
    """Person 1 of one data set is not person 1 of another."""
    rows = manifest.rows
    return (rows["source"] + "/" + rows["identity"]).astype("string")


def unlearned_classes(manifest: Manifest, tasks: dict[str, Task]) -> list[str]:
    """A line for each task of which classes are on no training photo, such as where a folder was overlooked."""
    train = manifest.rows[manifest.rows["split"] == "train"]
    lines = []
    for name, task in tasks.items():
        if isinstance(task, CategoricalTask):
            missing = [label for label in task.classes if not (train[name] == label).any()]
        elif isinstance(task, BinaryTask):
            missing = [f"{label:g}" for label in (0.0, 1.0) if not (train[name] == label).any()]
        else:
            continue
        if missing:
            lines.append(f"no training photo of {name} {', '.join(missing)}: the net cannot learn it")
    return lines
