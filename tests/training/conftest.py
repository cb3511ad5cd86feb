"""A net that compiles fast, for tests of what is around the net."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from keras import layers

from keras_faceattr.models import MODELS, shared
from keras_faceattr.models.layers import conv_block, normalise


def two_blocks(pixels: Any) -> Any:
    """(batch, 32) features of two convolutions."""
    x = layers.MaxPooling2D(4, name="pool")(conv_block(normalise(pixels), 16, "block1_1"))
    return layers.GlobalAveragePooling2D(name="features")(conv_block(x, 32, "block2_1"))


@pytest.fixture(scope="module")
def small_net() -> Iterator[str]:
    """Name under which it is registered."""
    with pytest.MonkeyPatch.context() as patch:
        small = dataclasses.replace(MODELS["tiny_att_net"], net=shared(two_blocks), options={})
        patch.setitem(MODELS, "two_blocks", small)
        yield "two_blocks"
