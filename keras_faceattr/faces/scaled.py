"""A photo, or a smaller copy of it that still knows where it lies in the photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_faceattr.faces.found import Faces


@dataclass(frozen=True)
class Scaled:
    """A photo, or a smaller copy of it.

    Attributes:
        pixels: (height, width, 3) uint8 RGB, upright.
        reduction: pixels of the photo that a side of one of these covers.
        origin: x, y of the edge of the photo where these begin; below 0 where the first of them is not covered whole.
        whole: height and width of the photo.
    """

    pixels: np.ndarray
    reduction: int
    origin: tuple[int, int]
    whole: tuple[int, int]

    @classmethod
    def of(cls, photo: np.ndarray) -> Scaled:
        """A photo as it is."""
        return cls(photo, 1, (0, 0), photo.shape[:2])

    def matrix(self, matrix: np.ndarray) -> np.ndarray:
        """(2, 3) map from these pixels to a crop, given that from the photo."""
        if self.reduction == 1:
            return matrix
        x, y = np.add(self.origin, self._middle)
        return np.asarray(matrix @ np.array([[self.reduction, 0, x], [0, self.reduction, y], [0, 0, 1]]))

    def in_photo(self, faces: Faces) -> Faces:
        """Faces of these pixels, in pixels of the photo."""
        if self.reduction == 1:
            return faces
        # Boxes are given by edges, and points by the middles of pixels.
        boxes = faces.boxes * self.reduction + np.tile(self.origin, 2)
        points = faces.points * self.reduction + np.add(self.origin, self._middle)
        return Faces(boxes.astype(np.float32), faces.scores, points.astype(np.float32))

    @property
    def _middle(self) -> float:
        """Where the middle of the first pixel lies, if it begins at 0: the middle of a pixel of the photo is whole."""
        return (self.reduction - 1) / 2
