"""Positions of the five points of a face in an upright crop."""

from __future__ import annotations

import numpy as np

TEMPLATE = np.array([[38.38, 51.6], [73.62, 51.6], [56.0, 71.74], [41.41, 92.29], [70.59, 92.29]]) / 112
"""(5, 2) where the points of `faces.found.POINTS` lie in the unit square of a face.

They are the reference points of ArcFace (Deng, Guo, Xue, Zafeiriou, 2019; 112 × 112 pixels in its published code), made
symmetric about the middle, so that a mirrored photo gives the mirrored crop, up to resampling.
"""


def template_points(size: int, margin: float) -> np.ndarray:
    """(5, 2) x, y in pixels where the five points lie in a crop; arguments as of `affine.face_map`."""
    points: np.ndarray = (TEMPLATE + margin) / (1 + 2 * margin) * size - 0.5
    return points
