"""Terms of a loss that look at a whole batch and remember earlier ones; each is a value for every photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from keras_faceattr.config import MethodSettings
from keras_faceattr.errors import DataError
from keras_faceattr.losses import classification, metric_learning, relation
from keras_faceattr.methods.labels import Labels
from keras_faceattr.tasks import IdentityTask, MultilabelTask

Tensor = Any


class Term(Protocol):
    """A stateful part of a task's loss."""

    variables: list[keras.Variable]

    def __call__(self, labels: Labels, raw: Tensor, settings: MethodSettings) -> Tensor:
        """(batch,) what it adds to the loss of each photo; 0 for those without labels."""


class Relations:
    """Attributes that go together should be predicted together.

    Attributes:
        sums: (M, M) decayed sum of the batches' correlations.
        weights: (M, M) decayed count of the batches in which a correlation is defined.

    Source: OBRL, eq. 1 to 3.
    """

    def __init__(self, task: MultilabelTask) -> None:
        count = len(task.attributes)
        self.sums, self.weights = (
            keras.Variable(
                ops.zeros((count, count), "float32"),
                trainable=False,
                aggregation="mean",
                name=f"{task.name}_relation_{part}",
            )
            for part in ("sums", "weights")
        )
        self.variables = [self.sums, self.weights]

    def __call__(self, labels: Labels, raw: Tensor, settings: MethodSettings) -> Tensor:
        """(batch,) α / M times each photo's relation loss, after the batch's own correlations have been taken in.

        The paper's cross-entropy is a sum over the M attributes (eq. 4), ours their mean. A photo with few labels
        counts as much here as one with all, although it counts less in the cross-entropy.
        """
        batch, defined = relation.batch_correlation(ops.where(labels.known > 0, labels.exact, float("nan")))
        sums, weights = (ops.convert_to_tensor(variable) for variable in self.variables)
        sums, weights = relation.moving_correlation(sums, weights, batch, defined, settings.relation_decay)
        self.sums.assign(sums)
        self.weights.assign(weights)
        losses = relation.relation_loss(
            ops.sigmoid(raw),
            relation.relation(sums, weights),
            weights,
            settings.positive_relation,
            settings.negative_relation,
        )
        counts = ops.sum(labels.known, axis=-1)
        labelled = ops.cast(counts > 0, "float32")
        even = ops.sum(counts) / ops.maximum(counts * ops.sum(labelled), 1.0)
        return settings.relation_weight / raw.shape[-1] * losses * labelled * even

    def matrix(self) -> np.ndarray:
        """(M, M) correlations learned so far; NaN where none was ever defined."""
        values = np.asarray(relation.relation(self.sums, self.weights))
        return np.where(np.asarray(self.weights) > 0, values, np.nan)


def _check_people(task: IdentityTask) -> None:
    if task.people < 2:
        raise DataError(f"{task.people} person in the train photos: telling people apart needs two or more")


class People:
    """Tells the people of the training photos apart, by weights that only training needs.

    Attributes:
        weights: (dimension, people), a direction for each person.

    Raises:
        DataError: fewer than two people.
    """

    def __init__(self, task: IdentityTask) -> None:
        _check_people(task)
        self.weights = keras.Variable(
            keras.initializers.GlorotUniform(),
            (task.dimension, task.people),
            aggregation="mean",
            name=f"{task.name}_people",
        )
        self.variables = [self.weights]

    def __call__(self, labels: Labels, raw: Tensor, settings: MethodSettings) -> Tensor:
        """(batch,) loss of the photos of known people."""
        return labels.known * self.losses(labels.exact[:, 0], labels.known > 0, raw, settings)

    def losses(self, people: Tensor, known: Tensor, raw: Tensor, settings: MethodSettings) -> Tensor:
        """(batch,) cross-entropy of the softmax over the people; photos that are not `known` do not count."""
        return classification.cross_entropy(people, ops.matmul(raw, ops.convert_to_tensor(self.weights)))


class PeopleWithMargin(People):
    """The same by angles alone, with a margin. Source: Deng et al., ArcFace, eq. 3."""

    def losses(self, people: Tensor, known: Tensor, raw: Tensor, settings: MethodSettings) -> Tensor:
        """(batch,) cross-entropy with the margin."""
        cosines = ops.matmul(ops.normalize(raw, axis=-1), ops.normalize(ops.convert_to_tensor(self.weights), axis=0))
        return metric_learning.arc_face(people, cosines, settings.angular_margin, settings.angular_scale)


class PeopleWithCentres(People):
    """Softmax, and a centre for each person to which the vectors are drawn. Source: Wen et al., eq. 2 to 5.

    Attributes:
        centers: (people, dimension).
    """

    def __init__(self, task: IdentityTask) -> None:
        super().__init__(task)
        shape = (task.people, task.dimension)
        self.centers = keras.Variable(
            ops.zeros(shape, "float32"), trainable=False, aggregation="mean", name=f"{task.name}_centers"
        )
        self.variables.append(self.centers)

    def losses(self, people: Tensor, known: Tensor, raw: Tensor, settings: MethodSettings) -> Tensor:
        """(batch,) cross-entropy and weighted distance to the centres, which then follow."""
        centers = ops.convert_to_tensor(self.centers)
        distances = metric_learning.center_distance(people, raw, centers)
        # Photos of nobody known move a centre of their own, which is thrown away.
        spare = ops.concatenate([centers, ops.zeros_like(centers[:1])])
        whose = ops.where(known, people, float(centers.shape[0]))
        self.centers.assign(metric_learning.moved_centers(whose, raw, spare, settings.center_rate)[:-1])
        return super().losses(people, known, raw, settings) + settings.center_weight * distances


class Triplets:
    """A photo should be nearer to those of the same person than to those of others, within the batch.

    Distances are those of x = W' · φ / ‖φ‖, as the head `projection` gives it: the features are of length 1, not what
    is made of them. A photo of nobody known counts as one of a stranger. Source: TransFBP, E(W').
    """

    def __init__(self, task: IdentityTask) -> None:
        _check_people(task)
        self.variables: list[keras.Variable] = []

    def __call__(self, labels: Labels, raw: Tensor, settings: MethodSettings) -> Tensor:
        """(batch,) loss of the photos that have both a photo of the same person and one of another in the batch.

        Scaled such that its mean over the photos of known people is that over these photos.
        """
        strangers = -1.0 - ops.cast(ops.arange(ops.shape(labels.known)[0]), "float32")
        people = ops.where(labels.known > 0, labels.exact[:, 0], strangers)
        losses = metric_learning.triplet(people, raw, settings.triplet_margin, settings.mining)
        anchors = ops.cast(metric_learning.triplet_anchors(people), "float32")
        return losses * anchors * ops.sum(labels.known) / ops.maximum(ops.sum(anchors), 1.0)


TERMS: dict[str, Callable[[Any], Term]] = {
    "obrl": Relations,
    "softmax": People,
    "center": PeopleWithCentres,
    "arc_face": PeopleWithMargin,
    "triplet": Triplets,
}
"""By method."""
