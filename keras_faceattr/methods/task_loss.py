"""The loss of one task over a batch in which some photos are not labelled for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_faceattr.losses import classification
from keras_faceattr.methods import MethodSettings, scalar_method
from keras_faceattr.tasks import CategoricalTask, ScalarTask, Task, task_from_dict, task_to_dict

Tensor = Any


@keras.saving.register_keras_serializable("keras_faceattr")
class TaskLoss(keras.losses.Loss):  # type: ignore[misc]
    """Mean over the labelled photos of a batch; 0 where none is labelled.

    Args:
        task: what is predicted.
        method: row of `METHODS`, for scalar tasks.
        settings: of the method.
    """

    def __init__(
        self, task: Task, method: str = "dldl_v2", settings: MethodSettings | None = None, name: str | None = None
    ) -> None:
        super().__init__(name=name or f"{task.name}_loss", reduction="none")
        self.task = task
        self.method = method
        self.settings = settings or MethodSettings()
        if isinstance(task, ScalarTask):
            scalar_method(method)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Scalar loss of a batch.

        Args:
            y_true: (batch, label_width), NaN where a photo is not labelled.
            y_pred: (batch, units) raw outputs of the head.
            sample_weight: (batch,), optional.
        """
        y_true = ops.cast(y_true, "float32")
        y_pred = ops.cast(y_pred, "float32")
        labelled = ops.logical_not(ops.isnan(y_true))
        per_label = self._losses(ops.where(labelled, y_true, 0.0), y_pred)
        # A scalar's σ is never missing: its first column says whether it is labelled.
        mask = ops.cast(labelled if per_label.shape[-1] == y_true.shape[-1] else labelled[:, :1], "float32")
        if sample_weight is not None:
            mask = mask * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        return ops.sum(per_label * mask) / ops.maximum(ops.sum(mask), 1e-6)

    def _losses(self, labels: Tensor, raw: Tensor) -> Tensor:
        """(batch, 1), or (batch, attributes) for multilabel tasks."""
        if isinstance(self.task, ScalarTask):
            bins = ops.convert_to_tensor(self.task.bins.astype("float32"))
            loss = scalar_method(self.method).loss(labels[:, 0], labels[:, 1], raw, bins, self.settings)
            return ops.expand_dims(loss, -1)
        if isinstance(self.task, CategoricalTask):
            loss = classification.cross_entropy(labels[:, 0], raw, self.settings.label_smoothing)
            return ops.expand_dims(loss, -1)
        return classification.binary_cross_entropy(labels, raw)

    def get_config(self) -> dict[str, Any]:
        """Plain data from which `from_config` makes the same loss."""
        settings = dataclasses.asdict(self.settings)
        return {"name": self.name, "task": task_to_dict(self.task), "method": self.method, "settings": settings}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TaskLoss:
        """The inverse of `get_config`."""
        return cls(
            task_from_dict(config["task"]), config["method"], MethodSettings(**config["settings"]), config["name"]
        )
