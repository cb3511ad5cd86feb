"""Losses that shape an embedding: angular margin, centres of classes, triplets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.losses.classification import cross_entropy
from keras_faceattr.losses.keras_loss import ConfiguredLoss, check_width, class_indices

Tensor = Any

FAR_AWAY = 1e30


def arc_face(classes: Tensor, cosines: Tensor, margin: float = 0.5, scale: float = 64.0) -> Tensor:
    """Cross-entropy in which the angle θ to the own class is made larger by a margin.

    cos(θ + margin) would rise again past θ = π − margin. From there on it is replaced by
    cos θ − margin · sin(margin), so that the loss grows with θ all the way to π.

    Args:
        classes: (batch,) index of the class, from 0.
        cosines: (batch, classes) between the embedding and each class's weights, from −1 to 1.
        margin: in radians, from 0 to π/2.
        scale: scale of the logits, above 0.

    Returns:
        (batch,) in nats.

    Source: Deng, Guo, Xue, Zafeiriou, ArcFace, eq. 3.
    """
    cosines = ops.cast(cosines, "float32")
    own = ops.one_hot(ops.cast(classes, "int32"), cosines.shape[-1], dtype="float32")
    cosine = ops.clip(ops.sum(own * cosines, axis=-1, keepdims=True), -1.0, 1.0)
    # The floor keeps the slope of the root finite at ±1; it is below the smallest other value in float32.
    sine = ops.sqrt(ops.maximum((1.0 - cosine) * (1.0 + cosine), 1e-7))
    turned = cosine * math.cos(margin) - sine * math.sin(margin)
    target = ops.where(cosine > -math.cos(margin), turned, cosine - margin * math.sin(margin))
    return cross_entropy(classes, scale * (own * target + (1.0 - own) * cosines))


def center_distance(classes: Tensor, features: Tensor, centers: Tensor) -> Tensor:
    """Half the squared distance to the centre of the own class; no gradient reaches the centres.

    Args:
        classes: (batch,) index of the class, from 0.
        features: (batch, d).
        centers: (classes, d).

    Returns:
        (batch,) at least 0.

    Source: Wen, Zhang, Li, Qiao, A Discriminative Feature Learning Approach for Deep Face Recognition, eq. 2.
    """
    own = ops.take(ops.stop_gradient(centers), ops.cast(classes, "int32"), axis=0)
    return 0.5 * ops.sum(ops.square(ops.cast(features, "float32") - own), axis=-1)


def moved_centers(classes: Tensor, features: Tensor, centers: Tensor, rate: float = 0.5) -> Tensor:
    """Centres after a step towards the features of the batch; classes that are not in it stay where they are.

    Args:
        classes: (batch,) index of the class, from 0.
        features: (batch, d).
        centers: (classes, d).
        rate: α, from 0 to 1.

    Returns:
        (classes, d) without gradient.

    Source: Wen et al., eq. 3 and 4; the sum of a class is divided by 1 + its count, so that one photo cannot drag a
    centre all the way.
    """
    classes = ops.cast(classes, "int32")
    offsets = ops.cast(features, "float32") - ops.take(centers, classes, axis=0)
    totals = ops.segment_sum(offsets, classes, num_segments=centers.shape[0])
    counts = ops.segment_sum(ops.ones_like(offsets[:, :1]), classes, num_segments=centers.shape[0])
    return ops.stop_gradient(centers + rate * totals / (1.0 + counts))


def triplet(classes: Tensor, embeddings: Tensor, margin: float = 0.2, mining: str = "semi_hard") -> Tensor:
    """Triplet loss within the batch: by how much negatives fall short of lying a margin beyond positives.

    Distances are squared Euclidean ones of the embeddings as given. Mining picks the pairs: "hard" the farthest
    positive and the nearest negative; "semi_hard" for every positive the nearest negative that is farther than it, or
    the farthest negative where none is, averaged over the positives. The latter needs memory for batch³ numbers.

    Args:
        classes: (batch,) index of the class.
        embeddings: (batch, d).
        margin: in squared distance, at least 0.
        mining: "hard" or "semi_hard".

    Returns:
        (batch,) at least 0; 0 for photos that `triplet_anchors` leaves out.

    Raises:
        ConfigError: for an unknown mining.

    Source: Schroff, Kalenichenko, Philbin, FaceNet, eq. 3 and 4; Hermans, Beyer, Leibe, In Defense of the Triplet
    Loss, eq. 5 ("hard").
    """
    if mining not in MINING:
        raise ConfigError(f"unknown mining {mining!r} of triplets; {nearest(mining, MINING)}")
    positive, negative = _pairs(classes)
    losses = MINING[mining](_squared_distances(ops.cast(embeddings, "float32")), positive, negative, margin)
    return ops.where(triplet_anchors(classes), losses, 0.0)


def triplet_anchors(classes: Tensor) -> Tensor:
    """(batch,) bool: which photos have both a positive and a negative among the batch's classes (batch,)."""
    positive, negative = _pairs(classes)
    return ops.any(positive, axis=1) & ops.any(negative, axis=1)


def _pairs(classes: Tensor) -> tuple[Tensor, Tensor]:
    """(batch, batch) bool: which photo is a positive, which a negative of the row's photo."""
    same = ops.equal(ops.expand_dims(classes, 1), ops.expand_dims(classes, 0))
    index = ops.arange(ops.shape(classes)[0])
    return same & ops.not_equal(ops.expand_dims(index, 1), ops.expand_dims(index, 0)), ops.logical_not(same)


def _squared_distances(embeddings: Tensor) -> Tensor:
    squares = ops.sum(ops.square(embeddings), axis=1)
    products = ops.matmul(embeddings, ops.transpose(embeddings))
    return ops.maximum(ops.expand_dims(squares, 1) + ops.expand_dims(squares, 0) - 2.0 * products, 0.0)


def _hard(distances: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    farthest = ops.max(ops.where(positive, distances, 0.0), axis=1)
    closest = ops.min(ops.where(negative, distances, FAR_AWAY), axis=1)
    return ops.relu(farthest - closest + margin)


def _semi_hard(distances: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    # Choosing needs no gradient: without it the backward pass stays clear of the batch³ numbers.
    fixed = ops.stop_gradient(distances)
    outside = ops.expand_dims(negative, 1) & (ops.expand_dims(fixed, 1) > ops.expand_dims(fixed, 2))
    nearest_outside = ops.argmin(ops.where(outside, ops.expand_dims(fixed, 1), FAR_AWAY), axis=2)
    farthest = ops.argmax(ops.where(negative, fixed, -1.0), axis=1)
    chosen = ops.where(ops.any(outside, axis=2), nearest_outside, ops.expand_dims(farthest, 1))
    losses = ops.relu(distances - ops.take_along_axis(distances, chosen, axis=1) + margin)
    counted = ops.cast(positive, "float32")
    return ops.sum(losses * counted, axis=1) / ops.maximum(ops.sum(counted, axis=1), 1.0)


MINING: dict[str, Callable[[Tensor, Tensor, Tensor, float], Tensor]] = {"hard": _hard, "semi_hard": _semi_hard}


@keras.saving.register_keras_serializable("keras_faceattr")
class ArcFace(ConfiguredLoss):
    """Cross-entropy of cosines, with a margin added to the angle to the own class, in nats.

    The directions of the classes are weights of the net, not of the loss: end the net with
    `kfa.layers.ArcFaceHead(classes)`, which gives the cosines. `y_true` is (batch,) or (batch, 1) index of the class,
    from 0; `y_pred` is (batch, classes) cosines from −1 to 1.

    Args:
        classes: how many there are.
        margin: in radians, from 0 to π/2.
        scale: by which cosines are multiplied before the softmax, above 0.

    Source: ArcFace (Deng et al.), eq. 3; defaults: section 3.1.
    """

    def __init__(
        self,
        classes: int,
        margin: float = 0.5,
        scale: float = 64.0,
        reduction: str = "sum_over_batch_size",
        name: str = "arc_face",
    ) -> None:
        super().__init__(reduction, name)
        if not 0 <= margin <= math.pi / 2:
            raise ConfigError(f"{name}: margin {margin!r} is not from 0 to π/2 radians")
        self.classes, self.margin, self.scale = classes, margin, scale

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) loss of each photo."""
        what = "cosines of kfa.layers.ArcFaceHead, one per class"
        check_width(self.name, y_pred, self.classes, what)
        return arc_face(class_indices(y_true), y_pred, self.margin, self.scale)


@keras.saving.register_keras_serializable("keras_faceattr")
class Triplet(ConfiguredLoss):
    """Triplet loss within the batch, of squared Euclidean distances.

    `y_true` is (batch,) or (batch, 1) index of the class; `y_pred` is (batch, d) embeddings as they are compared:
    of length 1 where the paper normalises them. Photos without a positive or a negative in the batch add 0; those that
    have both are scaled such that the loss's mean over the batch is that over them.

    Args:
        margin: in squared distance, at least 0.
        mining: `hard` or `semi_hard`.

    Source: FaceNet (Schroff et al.), eq. 3 and 4; Hermans et al., eq. 5 (`hard`).
    """

    def __init__(
        self,
        margin: float = 0.2,
        mining: str = "semi_hard",
        reduction: str = "sum_over_batch_size",
        name: str = "triplet",
    ) -> None:
        super().__init__(reduction, name)
        if mining not in MINING:
            raise ConfigError(f"unknown mining {mining!r} of triplets; {nearest(mining, MINING)}")
        self.margin, self.mining = margin, mining

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """(batch,) loss of each photo."""
        classes = class_indices(y_true)
        anchors = ops.cast(triplet_anchors(classes), "float32")
        losses = triplet(classes, y_pred, self.margin, self.mining)
        return losses * ops.cast(ops.shape(classes)[0], "float32") / ops.maximum(ops.sum(anchors), 1.0)
