"""Thin VGG with hybrid pooling: TinyAttNet, ThinAttNet, TinyAgeNet, ThinAgeNet (DLDL-v2, section 3.4)."""

from __future__ import annotations

from typing import Any

from keras import layers

from keras_faceattr.errors import ModelError, nearest
from keras_faceattr.models.layers import conv_block, normalise

Tensor = Any

VGG16_BLOCKS: tuple[tuple[int, int], ...] = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions and channels of each of VGG-16's five blocks."""

THIN_VGG_VARIANTS: dict[str, float] = {"tiny": 0.25, "thin": 0.5, "full": 1.0}
"""Share of VGG-16's channels that a variant keeps."""

POOLINGS = ("hybrid", "average", "max")

SMALLEST_SIDE = 32


def thin_vgg_maps(x: Tensor, width: float) -> dict[str, Tensor]:
    """The maps at the end of each of VGG-16's five blocks, before its pooling, at a share of its channels.

    Args:
        x: (batch, side, side, 3) normalised pixels; side at least 32; an odd one loses its last row and column to a
            pooling, as in Torch.
        width: share of VGG-16's channels.

    Returns:
        `block1` (batch, side, side, channels) to `block5`, each half the side of the one before.

    Raises:
        ModelError: a side too small for five poolings.
    """
    side = x.shape[1]
    if side < SMALLEST_SIDE:
        raise ModelError(f"thin_vgg: five poolings need an input side of at least 32 pixels, not {side}")
    maps = {}
    for block, (count, channels) in enumerate(VGG16_BLOCKS, start=1):
        if block > 1:
            x = layers.MaxPooling2D(2, name=f"block{block - 1}_pool")(x)
        for index in range(1, count + 1):
            x = conv_block(x, int(channels * width), f"block{block}_{index}")
        maps[f"block{block}"] = x
    return maps


def thin_vgg(pixels: Tensor, width: float, pooling: str = "hybrid") -> Tensor:
    """VGG-16's convolutions at a share of its channels, and one pooling instead of its dense layers.

    Args:
        pixels: (batch, side, side, 3) RGB from 0 to 255; side as of `thin_vgg_maps`.
        width: share of VGG-16's channels.
        pooling: what follows the last convolution. `hybrid`: a fifth 2×2 max-pool, then the global average;
            `average` and `max`: the global average or maximum alone, without the fifth max-pool.

    Returns:
        (batch, channels) features.

    Raises:
        ModelError: unknown pooling, or a side too small for five poolings.
    """
    if pooling not in POOLINGS:
        raise ModelError(f"unknown pooling {pooling!r}; {nearest(pooling, POOLINGS)}")
    x = thin_vgg_maps(normalise(pixels), width)["block5"]
    if pooling == "hybrid":
        x = layers.MaxPooling2D(2, name="block5_pool")(x)
    if pooling == "max":
        return layers.GlobalMaxPooling2D(name="features")(x)
    return layers.GlobalAveragePooling2D(name="features")(x)
