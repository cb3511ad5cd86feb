"""Labels as numbers: what a batch carries for each task."""

from __future__ import annotations

import numpy as np
import pandas as pd

from keras_faceattr.data.manifest import Manifest
from keras_faceattr.tasks import CategoricalTask, EmbeddingTask, IdentityTask, MultilabelTask, ScalarTask, Task


def label_array(manifest: Manifest, task: Task) -> np.ndarray:
    """The manifest's labels of one task.

    Returns:
        (n, task.label_width) float32, NaN where a photo is not labelled. Scalar: value and σ (the photo's own, else
        the task's default), in the task's unit. Binary and multilabel: 0 or 1. Categorical: index of the class.
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
        return np.stack([values, std], axis=1).astype("float32")
    if isinstance(task, EmbeddingTask):
        return np.full((len(rows), task.dimension), np.nan, "float32")
    if isinstance(task, IdentityTask):
        return person_numbers(manifest)[:, None]
    if isinstance(task, CategoricalTask):
        index = {name: i for i, name in enumerate(task.classes)}
        return rows[task.name].map(index).to_numpy("float32", na_value=np.nan)[:, None]
    return rows[list(task.columns)].to_numpy("float32", na_value=np.nan)


def labelled(task: Task, labels: np.ndarray) -> np.ndarray:
    """(n,) which photos have a label: of several attributes, any."""
    missing: np.ndarray = np.isnan(labels).all(axis=1) if isinstance(task, MultilabelTask) else np.isnan(labels[:, 0])
    return ~missing


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
