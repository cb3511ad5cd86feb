"""Labels as numbers: what a batch carries for each task."""

from __future__ import annotations

import numpy as np

from keras_faceattr.data.manifest import Manifest
from keras_faceattr.tasks import CategoricalTask, ScalarTask, Task


def label_array(manifest: Manifest, task: Task) -> np.ndarray:
    """The manifest's labels of one task.

    Returns:
        (n, task.label_width) float32, NaN where a photo is not labelled. Scalar: value and σ (the photo's own, else
        the task's default), in the task's unit. Binary and multilabel: 0 or 1. Categorical: index of the class.
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
    if isinstance(task, CategoricalTask):
        index = {name: i for i, name in enumerate(task.classes)}
        return rows[task.name].map(index).to_numpy("float32", na_value=np.nan)[:, None]
    return rows[list(task.columns)].to_numpy("float32", na_value=np.nan)
