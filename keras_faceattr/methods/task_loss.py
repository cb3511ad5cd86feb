"""The loss of one task over a batch in which some photos are not labelled for it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_faceattr.config import MethodSettings
from keras_faceattr.errors import TrainingError
from keras_faceattr.methods import DEFAULTS, method_of
from keras_faceattr.methods.terms import TERMS
from keras_faceattr.tasks import Task, task_from_dict, task_to_dict

Tensor = Any


@keras.saving.register_keras_serializable("keras_faceattr")
class TaskLoss(keras.losses.Loss):  # type: ignore[misc]
    """Mean over the labelled photos of a batch; 0 where none is labelled.

    Args:
        task: what is predicted.
        method: row of `METHODS`; None for the usual one of the task's kind.
        settings: of the method.
        learned_weight: whether the loss weighs itself against those of other tasks by a variance that it learns:
            L / σ² + log σ, with 1 / σ² = exp(−s). Source: Kendall, Gal, Cipolla, Multi-task learning using uncertainty,
            eq. 7 and 10.

    Attributes:
        variables: what the loss learns or remembers; the model that is trained must track them.
    """

    def __init__(
        self,
        task: Task,
        method: str | None = None,
        settings: MethodSettings | None = None,
        learned_weight: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name or f"{task.name}_loss", reduction="none")
        self.task = task
        self.method = method
        self.row = method_of(task, method)
        self.settings = settings or MethodSettings()
        self.log_variance = _scalar_variable(f"{task.name}_log_variance") if learned_weight else None
        term = TERMS.get(method or DEFAULTS[task.kind])
        self.term = term(task) if term else None

    @property
    def variables(self) -> list[keras.Variable]:
        own = [self.log_variance] if self.log_variance is not None else []
        return own + (self.term.variables if self.term else [])

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Scalar loss of a batch.

        Args:
            y_true: (batch, label_width), NaN where a photo is not labelled.
            y_pred: (batch, units) raw outputs of the head.
            sample_weight: None; Keras passes it, but the terms that remember earlier batches know no weights.

        Raises:
            TrainingError: photos are given weights.
        """
        if sample_weight is not None:
            raise TrainingError(f"{self.name} does not weigh photos: leave out sample_weight")
        y_true = ops.cast(y_true, "float32")
        y_pred = ops.cast(y_pred, "float32")
        labelled = ops.logical_not(ops.isnan(y_true))
        labels = ops.where(labelled, y_true, 0.0)
        per_label = self.row.loss(labels, y_pred, self.task, self.settings)
        # A scalar's σ is never missing: its first column says whether it is labelled.
        mask = ops.cast(labelled if per_label.shape[-1] == y_true.shape[-1] else labelled[:, :1], "float32")
        total = ops.sum(per_label * mask) / ops.maximum(ops.sum(mask), 1e-6)
        if self.term:
            total = total + self.term(y_true, y_pred, self.settings)
        if self.log_variance is None:
            return total
        # A batch without labels says nothing about how uncertain they are.
        any_label = ops.cast(ops.any(mask > 0), "float32")
        return total * ops.exp(-self.log_variance) + 0.5 * any_label * self.log_variance

    def weight(self) -> float:
        """1 / σ², as it is learned so far; 1 where nothing is learned."""
        return 1.0 if self.log_variance is None else float(ops.exp(-self.log_variance))

    def get_config(self) -> dict[str, Any]:
        """Plain data from which `from_config` makes the same loss; what it has learned is not part of it."""
        return {
            "name": self.name,
            "task": task_to_dict(self.task),
            "method": self.method,
            "settings": self.settings.model_dump(),
            "learned_weight": self.log_variance is not None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TaskLoss:
        """The inverse of `get_config`."""
        settings = MethodSettings(**config["settings"])
        task = task_from_dict(config["task"])
        return cls(task, config["method"], settings, config.get("learned_weight", False), config["name"])


def _scalar_variable(name: str) -> keras.Variable:
    return keras.Variable(ops.zeros((), "float32"), name=name)
