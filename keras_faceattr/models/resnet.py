"""ResNet-18 (He et al., Deep residual learning, table 1), at any share of its channels."""

from __future__ import annotations

from typing import Any

from keras import layers

from keras_faceattr.errors import ModelError
from keras_faceattr.models.layers import conv_block, normalise

Tensor = Any

STAGES: tuple[tuple[int, int], ...] = ((64, 1), (128, 2), (256, 2), (512, 2))
"""Channels of each stage, and the stride of its first block; each stage has two blocks."""


def resnet18(pixels: Tensor, width: float = 1.0) -> Tensor:
    """ResNet-18 up to its global average.

    Args:
        pixels: (batch, side, side, 3) RGB from 0 to 255; side at least 32.
        width: share of the channels.

    Returns:
        (batch, 512 × width) features.

    Raises:
        ModelError: a side that is too small.
    """
    if pixels.shape[1] < 32:
        raise ModelError(f"resnet18: needs an input side of at least 32 pixels, not {pixels.shape[1]}")
    x = conv_block(normalise(pixels), int(64 * width), "stem", kernel=7, stride=2)
    x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    for stage, (channels, stride) in enumerate(STAGES, start=1):
        for block in (1, 2):
            x = _basic_block(x, int(channels * width), stride if block == 1 else 1, f"stage{stage}_{block}")
    return layers.GlobalAveragePooling2D(name="features")(x)


def _basic_block(x: Tensor, channels: int, stride: int, name: str) -> Tensor:
    """Two 3×3 convolutions around which the input goes on, by a 1×1 convolution where its shape changes."""
    y = conv_block(x, channels, f"{name}_1", stride=stride)
    y = conv_block(y, channels, f"{name}_2", relu=False)
    if stride != 1 or x.shape[-1] != channels:
        x = conv_block(x, channels, f"{name}_skip", kernel=1, stride=stride, relu=False)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))
