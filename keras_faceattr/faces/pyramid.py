"""A photo in many sizes on one canvas, so that one call of P-Net looks at all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

WINDOW = 12
SMALLEST_LEVEL = 12.0606
"""Shorter side of the last level in pixels: where the `mtcnn` package stops with its own settings."""
STRIDE = 2
WALL = np.float32(-1e9)
GREY = 127.5
"""Outside a photo; zero to the nets."""


@dataclass(frozen=True)
class Level:
    """A size of the photo and its place on the canvas, in pixels."""

    scale: float
    height: int
    width: int
    top: int
    left: int

    @property
    def cells(self) -> tuple[slice, slice]:
        """Rows and columns of P-Net's maps whose windows show this level; the last ones reach over its border."""
        rows, columns = ((side - WINDOW + 1) // STRIDE + 1 for side in (self.height, self.width))
        top, left = self.top // STRIDE, self.left // STRIDE
        return slice(top, top + rows), slice(left, left + columns)


class Gap(NamedTuple):
    """Room on the canvas, in pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Layout:
    """Places of the pyramid's levels, for photos of one size.

    Attributes:
        height: of the canvas in pixels.
        width: of the canvas in pixels.
        levels: largest first.
    """

    height: int
    width: int
    levels: tuple[Level, ...]


def plan_layout(height: int, width: int, min_face: float, factor: float) -> Layout:
    """Packs the levels: each into the smallest gap that has room, or below all others.

    Args:
        height: of the photo in pixels.
        width: of the photo in pixels.
        min_face: side in pixels of the smallest face that is looked for.
        factor: between a level and the next.
    """
    levels: list[Level] = []
    gaps: list[Gap] = []
    scale, canvas_height, canvas_width = WINDOW / min_face, 0, 0
    while min(height, width) * scale >= SMALLEST_LEVEL:
        level_height, level_width = int(height * scale), int(width * scale)
        # Cells lie on even pixels, and a window may reach one pixel over the border.
        rows, columns = level_height + level_height % 2, level_width + level_width % 2
        canvas_width = canvas_width or columns
        fitting = [gap for gap in gaps if gap.height >= rows and gap.width >= columns]
        if fitting:
            gap = min(fitting, key=lambda gap: gap.height * gap.width)
            gaps.remove(gap)
        else:
            gap = Gap(canvas_height, 0, rows, canvas_width)
            canvas_height += rows
        levels.append(Level(scale, level_height, level_width, gap.top, gap.left))
        gaps.append(Gap(gap.top, gap.left + columns, gap.height, gap.width - columns))
        gaps.append(Gap(gap.top + rows, gap.left, gap.height - rows, columns))
        scale *= factor
    return Layout(canvas_height, canvas_width, tuple(levels))


def barrier(layout: Layout) -> np.ndarray:
    """Return the term added after P-Net's first convolution, so that pooling ignores what lies beyond an odd level.

    Returns:
        (layout.height − 2, layout.width − 2, 1) float32: 0, and a very negative number where the convolution would see
        pixels of no level or of the next.
    """
    wall = np.zeros((layout.height - 2, layout.width - 2, 1), np.float32)
    for level in layout.levels:
        bottom, right = level.top + level.height - 2, level.left + level.width - 2
        if level.height % 2:
            wall[bottom : bottom + 1, level.left : right] = WALL
        if level.width % 2:
            wall[level.top : bottom + level.height % 2, right : right + 1] = WALL
    return wall


def empty_canvas(layout: Layout) -> np.ndarray:
    """(layout.height, layout.width, 3) float32 without any photo."""
    return np.full((layout.height, layout.width, 3), GREY, np.float32)


def draw_pyramid(photo: np.ndarray, layout: Layout, canvas: np.ndarray) -> None:
    """Draws the photo in all sizes.

    Args:
        photo: (height, width, 3) RGB, 0–255.
        canvas: of `empty_canvas`; what it showed before is drawn over.
    """
    for level in layout.levels:
        rows, columns = slice(level.top, level.top + level.height), slice(level.left, level.left + level.width)
        canvas[rows, columns] = cv2.resize(photo, (level.width, level.height), interpolation=cv2.INTER_AREA)
