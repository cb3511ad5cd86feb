"""Turning a face upright: from five points to an affine map, and from a map to pixels.

Maps are (2, 3) and take x, y of the photo to x, y of the crop; (0, 0) is the middle of the first pixel of either.
"""

from __future__ import annotations

import cv2
import numpy as np

from keras_faceattr.faces.template import template_points

INTERPOLATIONS = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
"""`area` averages what it shrinks and is bilinear otherwise."""

OUTSIDE = (127, 127, 127)
"""Colour of what lies beyond the photo: nearly zero to a net that takes (pixel − 127.5) / 127.5."""


def similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
    """The turn, scale and shift that brings points nearest to targets by least squares; it never mirrors.

    In the plane it is the complex number a that minimises Σ|a·p − q|² over centred points.

    Args:
        points: (n, 2).
        targets: (n, 2).

    Returns:
        (2, 3); None where no direction exists, as the points are one, or where they are not finite.
    """
    if not np.isfinite(points).all():
        return None
    p, q = (np.asarray(array, np.float64) @ [1, 1j] for array in (points, targets))
    centre, target = p.mean(), q.mean()
    p, q = p - centre, q - target
    spread = np.vdot(p, p).real
    if spread < 1e-9 or abs(a := np.vdot(p, q) / spread) < 1e-9:
        return None
    shift = target - a * centre
    return np.array([[a.real, -a.imag, shift.real], [a.imag, a.real, shift.imag]])


def square_map(left: float, top: float, width: float, height: float, size: int) -> np.ndarray:
    """(2, 3) that fits a rectangle of the photo, given by its edges, into a square crop."""
    x, y = size / width, size / height
    # An edge lies half a pixel before the middle of the first pixel.
    return np.array([[x, 0, -left * x + x / 2 - 0.5], [0, y, -top * y + y / 2 - 0.5]])


def face_map(points: np.ndarray, size: int, margin: float) -> np.ndarray | None:
    """(2, 3) that turns a face upright; None where its points are no face.

    Args:
        points: (5, 2) as of `faces.found.POINTS`.
        size: side of the crop in pixels.
        margin: what is added on each side of the template's square, as a share of it.
    """
    return similarity(points, template_points(size, margin))


def moved_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(n, 2) points after a map."""
    moved: np.ndarray = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def inverse(matrix: np.ndarray) -> np.ndarray:
    """The map back, from crop to photo."""
    return np.asarray(cv2.invertAffineTransform(matrix))


def scale_of(matrix: np.ndarray) -> float:
    """Pixels of the crop by pixels of the photo, along a side."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def warp(photo: np.ndarray, matrix: np.ndarray, size: int, interpolation: str) -> np.ndarray:
    """Warp a photo by a map; grey beyond the photo.

    `area` first averages blocks of whole pixels where the map shrinks by two or more, then goes on bilinear.

    Args:
        photo: (height, width, 3) uint8.
        matrix: (2, 3).

    Returns:
        (size, size, 3) uint8.
    """
    # Six is six, also where the map says 5.9999999.
    block = int(1 / scale_of(matrix) + 1e-6) if interpolation == "area" else 1
    if block > 1:
        photo, matrix = _shrunk(photo, matrix, size, block)
    flags = cv2.INTER_CUBIC if interpolation == "cubic" else cv2.INTER_LINEAR
    return cv2.warpAffine(photo, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=OUTSIDE)


def _shrunk(photo: np.ndarray, matrix: np.ndarray, size: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of a photo that a map shows, averaged over blocks, and the map from there."""
    corners = np.array([[-1, -1], [size, -1], [-1, size], [size, size]], np.float64)
    seen = moved_points(corners, inverse(matrix))
    limit = np.array(photo.shape[1::-1])
    # Whole blocks counted from the photo's corner, so that a crop does not depend on what else is cut.
    first = (np.clip(np.floor(seen.min(axis=0)).astype(int) - 1, 0, limit - 1) // block) * block
    last = np.clip(-(-(np.ceil(seen.max(axis=0)).astype(int) + 2) // block) * block, first + 1, limit)
    part = photo[first[1] : last[1], first[0] : last[0]]
    bottom, right = -part.shape[0] % block, -part.shape[1] % block
    part = cv2.copyMakeBorder(part, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    part = cv2.resize(part, (part.shape[1] // block, part.shape[0] // block), interpolation=cv2.INTER_AREA)
    # A pixel x of the part is the middle of block · x … block · x + block − 1 of the photo.
    to_photo = np.array([[block, 0, first[0] + (block - 1) / 2], [0, block, first[1] + (block - 1) / 2], [0, 0, 1]])
    return part, matrix @ to_photo
