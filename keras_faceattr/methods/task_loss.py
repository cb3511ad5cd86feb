"""The loss of one task: a value for each photo, 0 for those that are not labelled for it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_faceattr.config import MethodSettings
from keras_faceattr.methods import DEFAULTS, check_forms, method_of
from keras_faceattr.methods.labels import Labels, label_counts, read_labels
from keras_faceattr.methods.terms import TERMS
from keras_faceattr.tasks import Task, task_from_dict, task_to_dict

Tensor = Any


@keras.saving.register_keras_serializable("keras_faceattr")
class TaskLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss of Keras over photos of which some are not labelled; Keras weighs and reduces it.

    Called with `sample_weight`, it is reduced as any loss of Keras: Σ weight · loss / batch. The weights of
    `data.targets.photo_weights` make that the mean over the labels of the whole batch, on one device or divided among
    several. Called without, it is the mean over the labels that it sees.

    Args:
        task: what is predicted.
        method: row of `METHODS`; None for the usual one of the task's kind.
        settings: of the method.
        learned_weight: whether the loss weighs itself against those of other tasks by a variance that it learns:
            L / σ² + log σ, with 1 / σ² = exp(−s). Source: Kendall, Gal, Cipolla, Multi-task learning using uncertainty,
            eq. 7 and 10.
        forms: of `labels.FORMS`, those that the labels may have.

    Attributes:
        variables: what the loss learns or remembers; the model that is trained must track them.
        mean: a metric, the mean loss over all labels since its state was last reset.

    Raises:
        ConfigError: an unknown method, or one that cannot learn from such labels.
    """

    def __init__(
        self,
        task: Task,
        method: str | None = None,
        settings: MethodSettings | None = None,
        learned_weight: bool = False,
        name: str | None = None,
        forms: tuple[str, ...] = ("exact",),
    ) -> None:
        super().__init__(name=name or f"{task.name}_loss", dtype="float32")
        check_forms(task, method, forms)
        self.task = task
        self.method = method
        self.row = method_of(task, method)
        self.settings = settings or MethodSettings()
        self.forms = tuple(forms)
        self.log_variance = _scalar_variable(f"{task.name}_log_variance") if learned_weight else None
        term = TERMS.get(method or DEFAULTS[task.kind])
        self.term = term(task) if term else None
        self.mean = keras.metrics.Mean(name=self.name)

    @property
    def variables(self) -> list[keras.Variable]:
        own = [self.log_variance] if self.log_variance is not None else []
        return own + (self.term.variables if self.term else [])

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Scalar loss of a batch.

        Args:
            y_true: (batch, label_width) of `labels.pack_labels`, NaN where a photo is not labelled.
            y_pred: (batch, units) raw outputs of the head.
            sample_weight: (batch,), 0 for photos that do not count; None: by how many labels each photo has.
        """
        if sample_weight is None:
            counts = label_counts(self.labels(y_true).known)
            sample_weight = counts * (ops.cast(ops.shape(counts)[0], "float32") / ops.maximum(ops.sum(counts), 1e-6))
        return super().__call__(y_true, y_pred, sample_weight)

    def labels(self, y_true: Tensor) -> Labels:
        """The labels of a batch (batch, label_width)."""
        return read_labels(y_true, self.task, self.forms)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) loss of each photo: of several attributes the mean over the labelled ones; 0 without labels."""
        labels = self.labels(y_true)
        counts = label_counts(labels.known)
        losses = self.row.loss(labels, y_pred, self.task, self.settings) * labels.known
        if len(losses.shape) > 1:
            losses = ops.sum(losses, axis=-1) / ops.maximum(counts, 1.0)
        if self.term:
            losses = losses + self.term(labels, y_pred, self.settings)
        if self.log_variance is not None:
            # A photo without labels says nothing about how uncertain they are.
            losses = losses * ops.exp(-self.log_variance) + 0.5 * self.log_variance * ops.cast(counts > 0, "float32")
        self.mean.update_state(ops.stop_gradient(losses), sample_weight=counts)
        return losses

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
            "forms": list(self.forms),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TaskLoss:
        """The inverse of `get_config`."""
        settings, task = MethodSettings(**config["settings"]), task_from_dict(config["task"])
        forms = tuple(config.get("forms", ("exact",)))
        return cls(task, config["method"], settings, config.get("learned_weight", False), config["name"], forms)


def _scalar_variable(name: str) -> keras.Variable:
    return keras.Variable(ops.zeros((), "float32"), name=name, aggregation="mean")
