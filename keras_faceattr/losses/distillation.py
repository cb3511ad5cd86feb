"""Distillation: what a student's outputs and feature maps lack of those of a teacher."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

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
        logits: of the student, of the same shape.
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
class FeatureDistance(keras.losses.Loss):  # type: ignore[misc]
    """`feature_distance` as a loss of Keras."""

    def __init__(self, name: str = "feature_distance") -> None:
        super().__init__(name=name, dtype="float32")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) distance of each photo's maps."""
        return feature_distance(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Plain data from which `from_config` makes the same loss."""
        return {"name": self.name}
