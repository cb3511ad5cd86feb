"""Plane curves as (n, 2) arrays of x and y in head units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
XY = tuple[float, float]

_ANGLES = np.linspace(0.0, 2.0 * np.pi, 28, endpoint=False)
CIRCLE: Points = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)


@lru_cache(maxsize=256)
def _spline_weights(count: int, closed: bool, per_segment: int) -> Points:
    """Matrix from control points to points on the Catmull-Rom spline through them."""
    t = np.arange(per_segment) / per_segment
    basis = 0.5 * np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], 1)
    segments = count if closed else count - 1
    weights = np.zeros((segments * per_segment + (not closed), count))
    for segment in range(segments):
        rows = slice(segment * per_segment, (segment + 1) * per_segment)
        for column in range(4):
            index = segment + column - 1
            index = index % count if closed else min(max(index, 0), count - 1)
            weights[rows, index] += basis[:, column]
    if not closed:
        weights[-1, -1] = 1.0
    return weights


def smooth(points: Sequence[XY] | Points, closed: bool = False, per_segment: int = 8) -> Points:
    """Catmull-Rom spline through `points`."""
    control = np.asarray(points, np.float64)
    return _spline_weights(len(control), closed, per_segment) @ control


def resampled(line: Points, count: int) -> Points:
    """`count` points evenly spaced along `line`."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.linspace(0.0, length[-1], count)
    return np.stack([np.interp(at, length, line[:, 0]), np.interp(at, length, line[:, 1])], 1)


def ellipse(center: XY, radius_x: float, radius_y: float, degrees: float = 0.0) -> Points:
    """Closed ellipse of 28 points, turned clockwise by `degrees`."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    axes = np.array([[radius_x * cos, radius_x * sin], [-radius_y * sin, radius_y * cos]])
    points: Points = CIRCLE @ axes + center
    return points


def normals(line: Points) -> Points:
    """Unit vectors across `line`."""
    across = np.empty_like(line)
    across[1:-1] = line[2:, ::-1] - line[:-2, ::-1]
    across[0], across[-1] = (line[1] - line[0])[::-1], (line[-1] - line[-2])[::-1]
    across[:, 0] *= -1.0
    across /= np.maximum(np.hypot(across[:, 0], across[:, 1]), 1e-9)[:, None]
    return across


def ribbon(line: Points, width: float, taper: float = 1.0) -> Points:
    """Closed strip along `line`, `width` wide in the middle and narrower by `taper` (0 to 1) at both ends."""
    s = np.linspace(0.0, 1.0, len(line))
    half = 0.5 * width * (1.0 - taper * (2.0 * s - 1.0) ** 2)
    across = normals(line) * half[:, None]
    return np.concatenate([line + across, (line - across)[::-1]])


def waved(line: Points, amplitude: float, waves: float, phase: float = 0.0) -> Points:
    """`line` swung sideways by a sine; the start stays in place."""
    s = np.linspace(0.0, 1.0, len(line))
    swing = amplitude * np.minimum(1.0, 4.0 * s) * np.sin(2.0 * np.pi * waves * s + phase)
    return line + normals(line) * swing[:, None]


def mirrored(points: Points, side: float) -> Points:
    """`points` drawn for image right, moved to the side of the sign of `side`."""
    moved: Points = points * np.array([side, 1.0])
    return moved
