"""Layers for nets of one's own: losses that have weights, and layers that round as an integer file does.

A loss of Keras cannot have weights: they would neither be trained nor stored. So the directions of ArcFace, the centres
of the center loss and the correlations of attributes are layers, whose weights are the model's.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_faceattr.errors import ConfigError
from keras_faceattr.losses import relation
from keras_faceattr.losses.keras_loss import class_indices
from keras_faceattr.losses.metric_learning import center_distance, moved_centers
from keras_faceattr.quantization.layers import (
    FakeQuantize,
    QuantizedConv2D,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
)

Tensor = Any

__all__ = [
    "ArcFaceHead",
    "AttributeRelations",
    "CenterLoss",
    "FakeQuantize",
    "QuantizedConv2D",
    "QuantizedDense",
    "QuantizedDepthwiseConv2D",
]


@keras.saving.register_keras_serializable("keras_faceattr")
class ArcFaceHead(layers.Layer):  # type: ignore[misc]
    """Cosines between an embedding and a direction that is learned for each class.

    Input (batch, d) embeddings of any length, output (batch, classes) cosines from −1 to 1. Train with
    `kfa.losses.ArcFace(classes)`; what is shipped is the embedding in front of this layer.

    Args:
        classes: how many there are, such as people.

    Source: ArcFace (Deng et al.), section 3.1: W and x of length 1, no bias.
    """

    def __init__(self, classes: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if classes < 2:
            raise ConfigError(f"ArcFaceHead: telling classes apart needs two or more, not {classes}")
        self.classes = classes

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes (d, classes) directions."""
        self.directions = self.add_weight(
            shape=(input_shape[-1], self.classes), initializer="glorot_uniform", name="directions"
        )

    def call(self, inputs: Tensor) -> Tensor:
        """(batch, classes) cosines."""
        return ops.matmul(ops.normalize(inputs, axis=-1), ops.normalize(self.directions, axis=0))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(batch, classes)."""
        return (input_shape[0], self.classes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable("keras_faceattr")
class CenterLoss(layers.Layer):  # type: ignore[misc]
    """Adds a weighted squared distance to the centre of the own class to the model's loss; the centres follow.

    Called as `features = CenterLoss(classes)([features, labels])`, with the labels (batch,) or (batch, 1) as a second
    input of the model, and passes (batch, d) features through. In training each centre moves towards its photos.

    Args:
        classes: how many there are, such as people.
        weight: λ, of half the squared distance, as the mean over the batch.
        rate: α, from 0 to 1, by which the centres follow.

    Source: Wen, Zhang, Li, Qiao, A Discriminative Feature Learning Approach for Deep Face Recognition, eq. 2 to 5.
    """

    def __init__(self, classes: int, weight: float = 0.003, rate: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.classes, self.weight, self.rate = classes, weight, rate

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Makes (classes, d) centres, at 0."""
        self.centers = self.add_weight(
            shape=(self.classes, input_shape[0][-1]), initializer="zeros", trainable=False, name="centers"
        )

    def call(self, inputs: list[Tensor], training: bool | None = None) -> Tensor:
        """(batch, d) the features as they are."""
        features, classes = inputs[0], class_indices(inputs[1])
        centers = ops.convert_to_tensor(self.centers)
        self.add_loss(self.weight * ops.mean(center_distance(classes, features, centers)))
        if training:
            self.centers.assign(moved_centers(classes, features, centers, self.rate))
        return features

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """That of the features."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes, "weight": self.weight, "rate": self.rate}


@keras.saving.register_keras_serializable("keras_faceattr")
class AttributeRelations(layers.Layer):  # type: ignore[misc]
    """Adds OBRL's relation loss to the model's loss: attributes that go together should be predicted together.

    Called as `logits = AttributeRelations()([logits, labels])`, with the labels (batch, attributes), of 0, 1 or NaN
    where not labelled, as a second input of the model, and passes (batch, attributes) logits through. In training it
    takes the correlations of each batch into a moving average.

    Args:
        weight: α, of the relation loss, as the mean over the batch.
        decay: λ, by which earlier batches count less in the correlations.
        positive: r_p, from which correlation on two attributes are pulled together.
        negative: r_n, up to which correlation they are pushed apart.

    Source: OBRL (Wang et al.), eq. 1 to 3. Its α stands next to the sum of the attributes' cross-entropies; next to
    Keras' binary cross-entropy, which is their mean, give α / attributes.
    """

    def __init__(
        self, weight: float = 0.5, decay: float = 0.99, positive: float = 0.8, negative: float = 0.2, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if negative > positive:
            raise ConfigError(
                f"AttributeRelations: negative {negative} is above positive {positive}: no pair can be asked for both"
            )
        self.weight, self.decay, self.positive, self.negative = weight, decay, positive, negative

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Makes (attributes, attributes) sums and weights of correlations, at 0."""
        count = input_shape[0][-1]
        self.sums, self.counts = (
            self.add_weight(shape=(count, count), initializer="zeros", trainable=False, name=name)
            for name in ("sums", "counts")
        )

    def call(self, inputs: list[Tensor], training: bool | None = None) -> Tensor:
        """(batch, attributes) the logits as they are."""
        logits, labels = inputs
        sums, counts = ops.convert_to_tensor(self.sums), ops.convert_to_tensor(self.counts)
        if training:
            sums, counts = relation.moving_correlation(sums, counts, *relation.batch_correlation(labels), self.decay)
            self.sums.assign(sums)
            self.counts.assign(counts)
        losses = relation.relation_loss(
            ops.sigmoid(logits), relation.relation(sums, counts), counts, self.positive, self.negative
        )
        self.add_loss(self.weight * ops.mean(losses))
        return logits

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """That of the logits."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("weight", "decay", "positive", "negative")}
        return {**super().get_config(), **own}
