"""TreeCNN: a net for the whole face and light nets for its parts, which vote."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import layers

from keras_faceattr.errors import ModelError, nearest
from keras_faceattr.faces.template import template_points
from keras_faceattr.models.layers import conv_block, normalise
from keras_faceattr.models.thin_vgg import thin_vgg_maps
from keras_faceattr.tasks import CategoricalTask, Task

Tensor = Any

PARTS: dict[str, tuple[tuple[int, ...], float, float]] = {
    "left_eye": ((0,), 1.0, 0.8),
    "right_eye": ((1,), 1.0, 0.8),
    "nose": ((2,), 0.8, 0.9),
    "mouth": ((3, 4), 1.4, 0.8),
}
"""Which of the five points a part lies about, and its width and height in distances of the eyes."""

SMALLEST_PART = 8
"""Pixels, so that two poolings leave something."""

TREE_CNN_VARIANTS: dict[str, dict[str, Any]] = {
    "tree_cnn": {"width": 1.0, "part_channels": (32, 64, 128)},
    "tree_cnn_mobile": {"width": 0.25, "part_channels": (16, 32, 64)},
}
"""GNet with VGG-16's channels, and with a quarter of them (1.0 M parameters with the parts): convolutions of a part."""


def tree_cnn(
    pixels: Tensor,
    tasks: dict[str, Task],
    width: float,
    part_channels: tuple[int, ...],
    landmarks: np.ndarray | None = None,
    voted: str = "expression",
) -> dict[str, Tensor | list[Tensor]]:
    """Features of the whole face for every task, and of its parts for the one that is voted on.

    Args:
        pixels: (batch, side, side, 3) RGB from 0 to 255, a face turned upright by its five points.
        tasks: by name.
        width: share of VGG-16's channels that GNet, a thin VGG, has.
        part_channels: channels of the convolutions of each part's net.
        landmarks: (5, 2) x, y in pixels where the five points lie in every crop; None: as in crops without margin.
        voted: the task of classes on which the face and its parts vote.

    Returns:
        (batch, channels) features by task; for the voted one a list: the face's, then each part's.

    Raises:
        ModelError: no such task, no task of classes, or a crop too small for its parts.

    Source: TreeCNN, figure 1; sizes of parts and nets are ours, as no code was published.
    """
    if not isinstance(voted, str) or voted not in tasks:
        raise ModelError(f"model.voted: there is no task {voted!r}; {nearest(voted, tasks)}")
    if not isinstance(tasks[voted], CategoricalTask):
        raise ModelError(f"model.voted: {voted!r} is {tasks[voted].kind}; a vote is on classes")
    side = pixels.shape[1]
    points = template_points(side, 0.0) if landmarks is None else np.asarray(landmarks, "float64")
    x = normalise(pixels)
    whole = layers.MaxPooling2D(2, name="block5_pool")(thin_vgg_maps(x, width)["block5"])
    face = layers.GlobalAveragePooling2D(name="features")(whole)
    found: dict[str, Tensor | list[Tensor]] = dict.fromkeys(tasks, face)
    found[voted] = [face, *(_part_net(x, part_channels, part_box(points, side, name), name) for name in PARTS)]
    return found


def part_box(points: np.ndarray, side: int, part: str) -> tuple[int, int, int, int]:
    """Top, bottom, left and right edge of a part, in pixels of a crop; bottom and right are the first outside.

    Args:
        points: (5, 2) x, y of the five points.
        side: side of the crop.
        part: key of `PARTS`.

    Raises:
        ModelError: the crop is so small that a part has fewer than 8 pixels.
    """
    about, width, height = PARTS[part]
    unit = float(np.linalg.norm(points[1] - points[0]))
    x, y = points[list(about)].mean(axis=0)
    edges = [y - height * unit / 2, y + height * unit / 2, x - width * unit / 2, x + width * unit / 2]
    top, bottom, left, right = (int(np.clip(round(edge + 0.5), 0, side)) for edge in edges)
    if min(bottom - top, right - left) < SMALLEST_PART:
        raise ModelError(
            f"tree_cnn: the {part} has {bottom - top} × {right - left} pixels in a crop of {side}, and needs "
            f"{SMALLEST_PART}: raise data.crop.size or lower data.crop.margin"
        )
    return top, bottom, left, right


def _part_net(x: Tensor, channels: tuple[int, ...], box: tuple[int, int, int, int], name: str) -> Tensor:
    """RNet: a few convolutions on a part."""
    side = x.shape[1]
    top, bottom, left, right = box
    x = layers.Cropping2D(((top, side - bottom), (left, side - right)), name=name)(x)
    for number, count in enumerate(channels, start=1):
        x = conv_block(x, count, f"{name}_{number}")
        if number < len(channels):
            x = layers.MaxPooling2D(2, name=f"{name}_{number}_pool")(x)
    return layers.GlobalAveragePooling2D(name=f"{name}_features")(x)
