"""A net for many questions about a face: TinyAttNet's five blocks, and a wide convolution that all heads read."""

from __future__ import annotations

from typing import Any

from keras import layers

from keras_faceattr.models.layers import conv_block, normalise
from keras_faceattr.models.thin_vgg import thin_vgg_maps

Tensor = Any

FACES_NET_VARIANTS: dict[str, dict[str, Any]] = {
    "faces_net": {"width": 0.25, "channels": 384},
    "faces_net_half": {"width": 0.5, "channels": 768},
}
"""Share of VGG-16's channels, and channels of the convolution behind its five blocks. The larger one teaches."""


def faces_net(pixels: Tensor, width: float, channels: int) -> Tensor:
    """The blocks of `thin_vgg` under the same names, a 3×3 convolution, and the hybrid pooling.

    Age, gender, race and accessories want more features than the 128 that suffice for one task. A net of one task that
    starts from this one takes over the blocks and leaves the convolution.

    Args:
        pixels: (batch, side, side, 3) RGB from 0 to 255; side as of `thin_vgg_maps`.
        width: share of VGG-16's channels.
        channels: channels of the convolution.

    Returns:
        (batch, channels) features.

    Raises:
        ModelError: a side too small for five poolings.
    """
    x = thin_vgg_maps(normalise(pixels), width)["block5"]
    x = conv_block(x, channels, "block6_1")
    x = layers.MaxPooling2D(2, name="block6_pool")(x)
    return layers.GlobalAveragePooling2D(name="features")(x)
