"""Bringing an embedding close to that of a teacher."""

from __future__ import annotations

from typing import Any

from keras import ops

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
