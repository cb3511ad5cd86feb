"""The loss of one task: a value for each photo, 0 for those that are not labelled for it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_faceattr.config import DistillationConfig, MethodSettings
from keras_faceattr.methods import DEFAULTS, check_forms, check_lesson, method_of
from keras_faceattr.methods.labels import Labels, label_counts, read_labels
from keras_faceattr.methods.lessons import LESSONS
from keras_faceattr.methods.terms import TERMS
from keras_faceattr.tasks import ScalarTask, Task, task_from_dict, task_to_dict

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
        settings: settings of the method.
        learned_weight: whether the loss weighs itself against those of other tasks by a variance that it learns:
            L / σ² + log σ, with 1 / σ² = exp(−s). Source: Kendall, Gal, Cipolla, Multi-task learning using uncertainty,
            eq. 7 and 10.
        forms: those of `labels.FORMS` that the labels may have.
        distillation: how the task learns from a teacher, whose answers stand behind the labels; None without one. Of a
            photo with both the loss is (1 − share) · own + share · teacher's, of a photo with one of them that one.

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
        distillation: DistillationConfig | None = None,
    ) -> None:
        super().__init__(name=name or f"{task.name}_loss", dtype="float32")
        check_forms(task, method, forms)
        self.distillation = distillation
        self.lesson = check_lesson(task, method) if distillation else None
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
            counts = label_counts(_learned(self.labels(y_true)))
            sample_weight = counts * (ops.cast(ops.shape(counts)[0], "float32") / ops.maximum(ops.sum(counts), 1e-6))
        return super().__call__(y_true, y_pred, sample_weight)

    def labels(self, y_true: Tensor) -> Labels:
        """The labels of a batch (batch, label_width)."""
        return read_labels(y_true, self.task, self.forms, taught=self.distillation is not None)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) loss of each photo: of several attributes the mean over the labelled ones; 0 without labels."""
        labels = self.labels(y_true)
        counts = label_counts(_learned(labels))
        losses = self.row.loss(labels, y_pred, self.task, self.settings) * labels.known
        if labels.taught and self.distillation:
            share, known, answered = self.distillation.share, labels.known, _answered(labels)
            taught = self._from_teacher(labels, y_pred) * answered
            losses = losses * (1.0 - share * answered) + taught * (1.0 - (1.0 - share) * known)
        if len(losses.shape) > 1:
            losses = ops.sum(losses, axis=-1) / ops.maximum(counts, 1.0)
        if self.term:
            losses = losses + self.term(labels, y_pred, self.settings)
        if self.log_variance is not None:
            # A photo without labels says nothing about how uncertain they are.
            losses = losses * ops.exp(-self.log_variance) + 0.5 * self.log_variance * ops.cast(counts > 0, "float32")
        self.mean.update_state(ops.stop_gradient(losses), sample_weight=counts)
        return losses

    def _from_teacher(self, labels: Labels, y_pred: Tensor) -> Tensor:
        """(batch,) or (batch, attributes) loss against the teacher's answers; without meaning where there is none."""
        assert labels.taught and self.distillation and self.lesson
        answers, given = labels.taught
        loss, temperature = LESSONS[self.lesson].loss, self.distillation.temperature
        if loss is None:
            assert isinstance(self.task, ScalarTask)
            exact = ops.concatenate([answers, ops.full_like(answers, self.task.default_std)], axis=-1)
            return self.row.loss(Labels(exact, given), y_pred, self.task, self.settings)
        losses = loss(answers, y_pred, temperature)
        if "kl_reduction" in self.row.settings and self.settings.kl_reduction == "mean":
            losses = losses / y_pred.shape[-1]
        return losses[:, 0] if len(losses.shape) > len(labels.known.shape) else losses

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
            "distillation": self.distillation.model_dump() if self.distillation else None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TaskLoss:
        """The inverse of `get_config`."""
        settings, task = MethodSettings(**config["settings"]), task_from_dict(config["task"])
        forms = tuple(config.get("forms", ("exact",)))
        plain = config.get("distillation")
        distillation = DistillationConfig(**plain) if plain else None
        learned = config.get("learned_weight", False)
        return cls(task, config["method"], settings, learned, config["name"], forms, distillation)


def _answered(labels: Labels) -> Tensor:
    """1 where a teacher has answered, of the shape of `Labels.known` or to be spread over it."""
    assert labels.taught
    given = labels.taught[1]
    return given[:, None] if len(labels.known.shape) > 1 else given


def _learned(labels: Labels) -> Tensor:
    """`Labels.known` for labels and answers of a teacher together."""
    return ops.maximum(labels.known, _answered(labels)) if labels.taught else labels.known


def _scalar_variable(name: str) -> keras.Variable:
    return keras.Variable(ops.zeros((), "float32"), name=name, aggregation="mean")
