"""Faces found in a photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""The five points; left and right are those of the photo, not of the person."""


@dataclass(frozen=True)
class Faces:
    """Faces of one photo, best first.

    Attributes:
        boxes: (n, 4) left, top, right, bottom in pixels; may reach beyond the photo.
        scores: (n,) probability of a face.
        points: (n, 5, 2) x, y of `POINTS` in pixels.
    """

    boxes: np.ndarray
    scores: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


NO_FACES = Faces(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))
