"""Distillation: what a student's outputs and feature maps lack of those of a teacher."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_faceattr.errors import ConfigError
from keras_faceattr.losses.keras_loss import ConfiguredLoss

Tensor = Any


def softened_divergence(targets: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """T² times the divergence of the student's distribution from the teacher's, both softened by a temperature.

    The gradient of the divergence falls as 1 / T²; the factor keeps it as large as that of a label's loss.

    Args:
        targets: (batch, K) logits or log-probabilities of the teacher: a softmax makes no difference between them.
        logits: (batch, K) of the student.
        temperature: T, above 0.

    Returns:
        (batch,) in nats, at least 0.

    Source: Hinton, Vinyals, Dean, Distilling the knowledge in a neural network, section 2.
    """
    target = ops.log_softmax(ops.stop_gradient(targets) / temperature, axis=-1)
    own = ops.log_softmax(logits / temperature, axis=-1)
    return temperature**2 * ops.sum(ops.exp(target) * (target - own), axis=-1)


def softened_yes_no_divergence(targets: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """`softened_divergence` of the two classes yes and no, element by element.

    Args:
        targets: log-odds of the teacher, of any shape.
        logits: logits of the student, of the same shape.
        temperature: T, above 0.

    Returns:
        In nats, of the same shape.
    """
    target, own = ops.stop_gradient(targets) / temperature, logits / temperature
    yes = ops.sigmoid(target)
    # −log of the probability of yes is softplus(−x), of no softplus(x).
    of_yes = ops.softplus(-own) - ops.softplus(-target)
    of_no = ops.softplus(own) - ops.softplus(target)
    return temperature**2 * (yes * of_yes + (1.0 - yes) * of_no)


def feature_distance(targets: Tensor, maps: Tensor) -> Tensor:
    """Mean squared difference of feature maps.

    Args:
        targets: (batch, …) of the teacher.
        maps: (batch, …) of the student, of the same shape.

    Returns:
        (batch,) at least 0.

    Source: Romero et al., FitNets, eq. 3.
    """
    difference = ops.cast(maps, "float32") - ops.stop_gradient(ops.cast(targets, "float32"))
    return ops.mean(ops.square(difference), axis=tuple(range(1, len(difference.shape))))


@keras.saving.register_keras_serializable("keras_faceattr")
class FeatureDistance(ConfiguredLoss):
    """Mean squared difference of feature maps.

    `y_true` is (batch, …) maps of the teacher, `y_pred` maps of the student, of the same shape.

    Source: FitNets (Romero et al.), eq. 3.
    """

    def __init__(self, name: str = "feature_distance", reduction: str = "sum_over_batch_size") -> None:
        super().__init__(reduction, name)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) distance of each photo's maps."""
        return feature_distance(y_true, y_pred)


@keras.saving.register_keras_serializable("keras_faceattr")
class Distillation(ConfiguredLoss):
    """Divergence of the student's distribution from the teacher's, both softened by a temperature, times T², in nats.

    `y_true` is (batch, K) logits or log-probabilities of the teacher, `y_pred` (batch, K) logits of the student.

    Args:
        temperature: T, above 0.

    Source: Hinton, Vinyals, Dean, Distilling the knowledge in a neural network, section 2.
    """

    def __init__(
        self, temperature: float = 2.0, reduction: str = "sum_over_batch_size", name: str = "distillation"
    ) -> None:
        super().__init__(reduction, name)
        self.temperature = _checked(name, temperature)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) divergence of each photo."""
        return softened_divergence(y_true, y_pred, self.temperature)


@keras.saving.register_keras_serializable("keras_faceattr")
class YesNoDistillation(ConfiguredLoss):
    """`Distillation` of the two classes yes and no, as the mean over the attributes, in nats.

    `y_true` is (batch, M) log-odds of the teacher, `y_pred` (batch, M) of the student.

    Args:
        temperature: T, above 0.

    Source: Hinton, Vinyals, Dean, Distilling the knowledge in a neural network, section 2.
    """

    def __init__(
        self, temperature: float = 2.0, reduction: str = "sum_over_batch_size", name: str = "yes_no_distillation"
    ) -> None:
        super().__init__(reduction, name)
        self.temperature = _checked(name, temperature)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) divergence of each photo."""
        return ops.mean(softened_yes_no_divergence(y_true, y_pred, self.temperature), axis=-1)


def _checked(name: str, temperature: float) -> float:
    if not temperature > 0:
        raise ConfigError(f"{name}: temperature {temperature!r} is not above 0")
    return temperature
