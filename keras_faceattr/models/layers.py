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
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(pixels)


def conv_block(x: Tensor, channels: int, name: str) -> Tensor:
    """3×3 convolution without bias, batch norm, ReLU; He-normal weights as the authors.

    Source: DLDL-v2, section 3.4.
    """
    x = layers.Conv2D(channels, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv")(
        x
    )
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=1e-5, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


class _BinsLayer(layers.Layer):  # type: ignore[misc]
    """A layer without weights that knows the bins of a task."""

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
