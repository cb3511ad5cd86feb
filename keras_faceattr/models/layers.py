"""Layers that the nets share."""

from __future__ import annotations

from typing import Any

from keras import layers

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
