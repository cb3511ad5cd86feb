"""Bringing an embedding close to that of a teacher."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_faceattr.losses.keras_loss import ConfiguredLoss

Tensor = Any


def embedding_match(targets: Tensor, embeddings: Tensor, cosine_weight: float = 1.0, l2_weight: float = 1.0) -> Tensor:
    """Weighted sum of cosine distance and mean squared difference, both of the normalised embeddings.

    For unit vectors the mean squared difference is 2/d times the cosine distance: the weights set how strong the loss
    is for a given d, not what it asks for.

    Args:
        targets: (batch, d) of the teacher; no gradient reaches them.
        embeddings: (batch, d) of the student.
        cosine_weight: at least 0.
        l2_weight: at least 0.

    Returns:
        (batch,) at least 0, at most 2 · cosine_weight + 4 · l2_weight / d. A vector of zeros has cosine 0 with all.
    """
    target, embedding = _normalised(ops.stop_gradient(targets)), _normalised(embeddings)
    cosine_distance = 1.0 - ops.sum(target * embedding, axis=-1)
    return cosine_weight * cosine_distance + l2_weight * ops.mean(ops.square(target - embedding), axis=-1)


def _normalised(vectors: Tensor) -> Tensor:
    """(batch, d) of length 1; shorter where the vector is shorter than 0.001."""
    vectors = ops.cast(vectors, "float32")
    # The slope of a normalised vector is 1 / its length: the floor keeps that of a dead unit from blowing up a step.
    return vectors * ops.rsqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1, keepdims=True), 1e-6))


@keras.saving.register_keras_serializable("keras_faceattr")
class EmbeddingMatch(ConfiguredLoss):
    """Cosine distance and mean squared difference to a teacher's embedding, both of vectors of length 1.

    `y_true` is (batch, d) of the teacher, `y_pred` (batch, d) of the student.

    Args:
        cosine_weight: weight of the cosine distance, at least 0.
        l2_weight: of the mean squared difference, at least 0.
    """

    def __init__(
        self,
        cosine_weight: float = 1.0,
        l2_weight: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "embedding_match",
    ) -> None:
        super().__init__(reduction, name)
        self.cosine_weight, self.l2_weight = cosine_weight, l2_weight

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) loss of each photo."""
        return embedding_match(y_true, y_pred, self.cosine_weight, self.l2_weight)
