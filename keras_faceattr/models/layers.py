"""Layers that the nets share."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_faceattr.losses import label_distribution, ranking, regression

Tensor = Any

BATCH_NORM_MOMENTUM = 0.99
"""Of the moving statistics. Torch's default, with which the authors train, is 0.9 in these terms; its statistics of
ten batches shifted the predictions of averaged weights by up to 0.1 points from epoch to epoch."""


def normalise(pixels: Tensor) -> Tensor:
    """Pixels from 0–255 to [−1, 1], by one scale for all channels, which costs nothing in int8."""
    # In bfloat16 1 / 127.5 is 0.4 % larger: a net would learn on another scale than it ships with.
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise", dtype="float32")(pixels)


def conv_block(
    x: Tensor, channels: int, name: str, kernel: int = 3, stride: int = 1, relu: bool = True, padding: str = "same"
) -> Tensor:
    """Convolution without bias, batch norm, ReLU; He-normal weights as the authors of DLDL-v2.

    Source: DLDL-v2, section 3.4.
    """
    x = layers.Conv2D(
        channels,
        kernel,
        stride,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=1e-5, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


class Decoder(layers.Layer):  # type: ignore[misc]
    """A layer without weights that turns raw outputs into what a net returns; quantization leaves it in float."""


class _BinsLayer(Decoder):
    """A decoder that knows the bins of a task."""

    def __init__(self, minimum: float, maximum: float, bins: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.minimum, self.maximum, self.bins = float(minimum), float(maximum), int(bins)

    def values(self) -> Tensor:
        """(K,) value of each bin."""
        return ops.convert_to_tensor(np.linspace(self.minimum, self.maximum, self.bins, dtype="float32"))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0],)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "minimum": self.minimum, "maximum": self.maximum, "bins": self.bins}


@keras.saving.register_keras_serializable("keras_faceattr")
class Expectation(_BinsLayer):
    """(batch, K) probabilities → (batch,) expected value. Source: DLDL-v2, eq. 10."""

    def call(self, inputs: Tensor) -> Tensor:
        return label_distribution.expectation(inputs, self.values())


@keras.saving.register_keras_serializable("keras_faceattr")
class RankingValue(_BinsLayer):
    """(batch, K − 1) logits → (batch,) value of the reached bin. Source: DLDL-v2, section 4.5.4."""

    def call(self, inputs: Tensor) -> Tensor:
        return ranking.ranking_value(inputs, self.values())


@keras.saving.register_keras_serializable("keras_faceattr")
class RankingDistribution(_BinsLayer):
    """(batch, K − 1) logits → (batch, K) distribution. Source: DLDL-v2, eq. 4 to 6, inverted."""

    def call(self, inputs: Tensor) -> Tensor:
        return ranking.ranking_distribution(inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.bins)


@keras.saving.register_keras_serializable("keras_faceattr")
class Unproject(_BinsLayer):
    """(batch, 1) raw regression → (batch,) value in the task's unit, through tanh."""

    def call(self, inputs: Tensor) -> Tensor:
        return regression.unproject(ops.tanh(inputs[:, 0]), self.values())


@keras.saving.register_keras_serializable("keras_faceattr")
class LinearValue(_BinsLayer):
    """(batch, ≥ 1) raw regression → (batch,) value in the task's unit, within its range."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.clip(regression.unproject(inputs[:, 0], self.values()), self.minimum, self.maximum)


@keras.saving.register_keras_serializable("keras_faceattr")
class ClassProbabilities(Decoder):
    """(batch, 1 + classes) value and logits → (batch, classes) probabilities. Source: CRNet."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.softmax(inputs[:, 1:], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], input_shape[1] - 1)  # type: ignore[operator]


@keras.saving.register_keras_serializable("keras_faceattr")
class Reorder(layers.Layer):  # type: ignore[misc]
    """(batch, n) values in another order.

    Args:
        order: (n,) which input each output is.
    """

    def __init__(self, order: list[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order = [int(i) for i in order]

    def call(self, inputs: Tensor) -> Tensor:
        return ops.take(inputs, np.array(self.order, "int32"), axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], len(self.order))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "order": self.order}


class _Vote(Decoder):
    """(batch, members × classes) logits → (batch, classes) probabilities."""

    def __init__(self, members: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.members = int(members)

    def by_member(self, inputs: Tensor) -> Tensor:
        """(batch, members, classes) logits."""
        return ops.reshape(inputs, (-1, self.members, inputs.shape[-1] // self.members))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], input_shape[1] // self.members)  # type: ignore[operator]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "members": self.members}


@keras.saving.register_keras_serializable("keras_faceattr")
class SoftVote(_Vote):
    """The mean of the members' probabilities."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.mean(ops.softmax(self.by_member(inputs), axis=-1), axis=1)


@keras.saving.register_keras_serializable("keras_faceattr")
class MajorityVote(_Vote):
    """The class that most members find likeliest; among equals, the one of the highest mean probability.

    An output is (votes + mean probability) / (members + 1): it sums to 1, and as a mean probability is at most 1, it
    decides nothing but ties, as long as every member has one likeliest class. Source: TreeCNN, figure 1; the rule for
    ties is ours.
    """

    def call(self, inputs: Tensor) -> Tensor:
        logits = self.by_member(inputs)
        # Not `argmax`, which becomes operations that phones do not have; and of logits, because what follows a softmax
        # the converter rounds. A member that finds two classes likeliest shares its vote.
        likeliest = ops.cast(logits >= ops.max(logits, axis=-1, keepdims=True), "float32")
        likeliest = likeliest / ops.sum(likeliest, axis=-1, keepdims=True)
        mean = ops.mean(ops.softmax(logits, axis=-1), axis=1)
        return (ops.sum(likeliest, axis=1) + mean) / (self.members + 1.0)


@keras.saving.register_keras_serializable("keras_faceattr")
class UnitVector(Decoder):
    """(batch, d) → the same directions with length 1."""

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * ops.rsqrt(ops.maximum(ops.sum(ops.square(inputs), axis=-1, keepdims=True), 1e-12))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape
