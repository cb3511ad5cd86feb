"""A picture onto which anti-aliased, soft-edged shapes are blended."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_faceattr.data.synthetic.curves import Points
from keras_faceattr.data.synthetic.face import Face
from keras_faceattr.data.synthetic.palette import Color

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]
# One closed shape, or several that do not overlap.
Shapes = Points | Sequence[Points]

SUPERSAMPLING = 2
# Wider blurs are computed on a coarser grid: no difference is seen, and the time stays flat.
MAX_BLUR_SIGMA = 2.5
FIXED_POINT_BITS = 4


class Canvas:
    """Draws in head units: the image spans -1 to 1 in x and y (down) before the pose moves the head.

    Args:
        size: width and height of the finished image, in pixels.
        face: its pose places everything that is drawn.
    """

    def __init__(self, size: int, face: Face) -> None:
        self.size = size
        self.width = size * SUPERSAMPLING
        self.planes: Plane = np.zeros((3, self.width, self.width), np.float32)
        self.unit = 0.5 * self.width * face.scale
        self._yaw = face.yaw
        angle = np.radians(face.roll_degrees)
        self._rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self._center = self.width * (0.5 + np.array([face.shift_x, face.shift_y]))

    def to_pixels(self, points: Points) -> Points:
        """(n, 2) pixel coordinates on the supersampled canvas of (n, 2) points in head units.

        A turned head moves its middle sideways and leaves its outline, as a sphere does.
        """
        x, y = points[:, 0], points[:, 1]
        bulge = np.maximum(1.0 - (x / 0.46) ** 2, 0.0) * np.minimum(np.maximum((0.75 - y) / 0.3, 0.0), 1.0)
        turned = points.copy()
        turned[:, 0] += 0.075 * self._yaw * bulge
        pixels: Points = turned @ self._rotation.T * self.unit + self._center - 0.5
        return pixels

    def head_grid(self) -> tuple[Plane, Plane]:
        """X and y in head units of every pixel, each (width, width)."""
        axis = np.arange(self.width) + 0.5
        x, y = (axis - self._center[0]) / self.unit, (axis - self._center[1]) / self.unit
        (cos, sin), _ = self._rotation.T
        grid_x = cos * x[None, :] + sin * y[:, None]
        grid_y = -sin * x[None, :] + cos * y[:, None]
        return grid_x.astype(np.float32), grid_y.astype(np.float32)

    def mask(self, shapes: Sequence[Points]) -> Plane:
        """(width, width) coverage from 0 to 1 by any of the closed `shapes`."""
        drawn: Image = np.zeros((self.width, self.width), np.uint8)
        for shape in shapes:
            cv2.fillPoly(drawn, [self._fixed(self.to_pixels(shape))], 255, cv2.LINE_AA, FIXED_POINT_BITS)
        return drawn.astype(np.float32) / 255.0

    def paint(
        self, shape: Shapes, color: Color, alpha: float = 1.0, blur: float = 0.0, clip: Plane | None = None
    ) -> None:
        """Cover closed shapes with `color` (RGB, 0 to 255); `blur` is the edge's sigma in head units."""
        covered = self._coverage(shape, None, blur * self.unit, alpha, clip)
        if covered is None:
            return
        region, weight = covered
        for plane, value in zip(region, color, strict=True):
            plane += (value - plane) * weight

    def shade(self, shape: Shapes, factor: Color, blur: float = 0.0, clip: Plane | None = None) -> None:
        """Multiply the channels within closed shapes by `factor`: shadow below 1, light above."""
        covered = self._coverage(shape, None, blur * self.unit, 1.0, clip)
        if covered is None or factor == (1.0, 1.0, 1.0):
            return
        region, weight = covered
        for plane, value in zip(region, factor, strict=True):
            plane *= 1.0 + (value - 1.0) * weight

    def stroke(
        self, lines: Sequence[Points], width: float, color: Color, alpha: float = 1.0, clip: Plane | None = None
    ) -> None:
        """Draw open `lines` of one `width` (head units); lines thinner than a pixel fade instead."""
        pixels = width * self.unit
        covered = self._coverage(lines, max(1, round(pixels)), 0.0, alpha * min(1.0, pixels), clip)
        if covered is None:
            return
        region, weight = covered
        for plane, value in zip(region, color, strict=True):
            plane += (value - plane) * weight

    def _coverage(
        self, shapes: Shapes, thickness: int | None, sigma: float, alpha: float, clip: Plane | None
    ) -> tuple[Plane, Plane] | None:
        """The part of the planes that the shapes can touch, and the weight (0 to 1) of each of its pixels."""
        listed = [shapes] if isinstance(shapes, np.ndarray) else list(shapes)
        if not listed or alpha <= 0.0:
            return None
        corners = self.to_pixels(np.concatenate(listed))
        margin = 3.0 * sigma + (thickness or 0) + 2.0
        left, top = (max(0, int(low - margin)) for low in corners.min(0))
        right, bottom = (min(self.width, int(high + margin) + 2) for high in corners.max(0))
        if left >= right or top >= bottom:
            return None
        reduction = max(1, int(sigma / MAX_BLUR_SIGMA))
        shape = (-(-(bottom - top) // reduction), -(-(right - left) // reduction))
        drawn: Image = np.zeros(shape, np.uint8)
        placed = self._fixed((corners - (left - 0.5, top - 0.5)) / reduction - 0.5)
        ends = np.cumsum([len(points) for points in listed])
        pieces = [placed[end - len(points) : end] for end, points in zip(ends, listed, strict=True)]
        if thickness is None:
            cv2.fillPoly(drawn, pieces, 255, cv2.LINE_AA, FIXED_POINT_BITS)
        else:
            cv2.polylines(drawn, pieces, False, 255, thickness, cv2.LINE_AA, FIXED_POINT_BITS)
        weight = drawn.astype(np.float32)
        weight *= alpha / 255.0
        if sigma > 0.3:
            cv2.GaussianBlur(weight, (0, 0), sigma / reduction, weight, borderType=cv2.BORDER_REPLICATE)
        if reduction > 1:
            whole = cv2.resize(weight, (shape[1] * reduction, shape[0] * reduction), interpolation=cv2.INTER_LINEAR)
            weight = np.ascontiguousarray(whole[: bottom - top, : right - left])
        if clip is not None:
            weight *= clip[top:bottom, left:right]
        return self.planes[:, top:bottom, left:right], weight

    @staticmethod
    def _fixed(pixels: Points) -> NDArray[np.int32]:
        return np.round(pixels * (1 << FIXED_POINT_BITS)).astype(np.int32)

    def finish(self) -> NDArray[np.float32]:
        """(size, size, 3) RGB from 0 to 255, averaged down to the finished size."""
        stacked = np.ascontiguousarray(self.planes.transpose(1, 2, 0))
        small = cv2.resize(stacked, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.float32)

    def to_image(self, points: Points) -> NDArray[np.float32]:
        """(n, 2) pixel coordinates in the finished image of (n, 2) points in head units."""
        return ((self.to_pixels(points) + 0.5) / SUPERSAMPLING - 0.5).astype(np.float32)
