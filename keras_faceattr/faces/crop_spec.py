"""CropSpec: the one definition of a model's input, from training to the phone."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from keras_faceattr.crop_fields import MARGINS, SIZES, CutFields, DetectorFields
from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.faces.affine import INTERPOLATIONS, face_map, square_map, warp
from keras_faceattr.faces.boxes import areas
from keras_faceattr.faces.detector_spec import DetectorSpec
from keras_faceattr.faces.found import Faces

METHODS = ("centre_square", "whole_photo", "five_points", "face_box")
FACE_METHODS = ("five_points", "face_box")
FACE_KEYS = ("margin", "face", "fallback", "min_face", "thresholds", "factor")
"""Keys that only the face methods use."""
CHOICES = ("largest", "central", "all")


# Python collects fields from the last base on.
@dataclass(frozen=True)
class CropSpec(DetectorFields, CutFields):
    """Definition of a model's input, from a photo.

    Attributes:
        version: of this definition; a crop of another version is another input.
    """

    version: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        for name, (low, high) in (("size", SIZES), ("margin", MARGINS)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"crop {name} {value} is not in {low:g} to {high:g}")
        names: list[tuple[str, str, Collection[str]]] = [
            ("crop method", self.method, METHODS),
            ("interpolation", self.interpolation, INTERPOLATIONS),
            ("crop face", self.face, CHOICES[:2]),
            ("crop fallback", self.fallback or METHODS[0], [name for name in METHODS if name not in FACE_METHODS]),
        ]
        for what, value, valid in names:
            if value not in valid:
                raise ConfigError(f"unknown {what} {value!r}; {nearest(value, valid)}")
        self.detector()

    @property
    def needs_face(self) -> bool:
        """True if a face must be found first."""
        return self.method in FACE_METHODS

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.method}, {self.face} face, margin {self.margin:g}" if self.needs_face else self.method

    def detector(self) -> DetectorSpec:
        """Faces to detect."""
        return DetectorSpec(self.min_face, self.thresholds, self.factor)

    def matrix(self, shape: tuple[int, ...], box: np.ndarray | None = None, points: np.ndarray | None = None) -> Any:
        """The map from photo to crop, as of `faces.affine`.

        Args:
            shape: of the photo.
            box: (4,) of the face, for `face_box`.
            points: (5, 2) of the face, for `five_points`.

        Returns:
            (2, 3); None where the points are no face.
        """
        height, width = shape[:2]
        if self.method == "five_points":
            assert points is not None
            return face_map(points, self.size, self.margin)
        if self.method == "face_box":
            assert box is not None
            side = max(box[2] - box[0], box[3] - box[1]) * (1 + 2 * self.margin)
            if not np.isfinite(side) or side <= 0:
                return None
            left, top = (box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2
            return square_map(left, top, side, side, self.size)
        if self.method == "whole_photo":
            return square_map(0, 0, width, height, self.size)
        side = min(height, width)
        return square_map((width - side) // 2, (height - side) // 2, side, side, self.size)

    def warp(self, photo: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """(size, size, 3) uint8 that a map shows of a photo."""
        return np.asarray(warp(photo, matrix, self.size, self.interpolation))

    def apply(self, photo: np.ndarray) -> np.ndarray:
        """The model's input, by a method that needs no face.

        Args:
            photo: (height, width, 3) uint8 RGB.

        Returns:
            (size, size, 3) uint8 RGB.
        """
        assert not self.needs_face
        if self.method == "centre_square":
            height, width = photo.shape[:2]
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            photo = photo[top : top + side, left : left + side]
        return self.resized(photo)

    def resized(self, crop: np.ndarray) -> np.ndarray:
        """A crop in this size."""
        if crop.shape[:2] == (self.size, self.size):
            return np.ascontiguousarray(crop)
        return cv2.resize(crop, (self.size, self.size), interpolation=INTERPOLATIONS[self.interpolation])

    def for_no_face(self) -> CropSpec | None:
        """Return the crop for a photo without a face; None if such photos are skipped."""
        return dataclasses.replace(self, method=self.fallback, fallback=None) if self.fallback else None

    def differences(self, other: CropSpec) -> dict[str, Any]:
        """Return the keys that differ from another definition; the size does not count, as a crop can be resized."""
        mine, others = self.to_dict(), other.to_dict()
        idle = {"size"} if self.needs_face else {"size", *FACE_KEYS}
        return {key: value for key, value in mine.items() if key not in idle and value != others[key]}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as it stands in configs and artifacts."""
        return {**dataclasses.asdict(self), "thresholds": list(self.thresholds)}


def chosen(faces: Faces, shape: tuple[int, ...], which: str) -> list[int]:
    """Choose among a photo's faces.

    Args:
        shape: of the photo.
        which: the `largest`, the most `central`, or `all`, best first.
    """
    if which == "all" or len(faces) < 2:
        return list(range(len(faces)))
    height, width = shape[:2]
    if which == "largest":
        return [int(areas(np.clip(faces.boxes, 0, [width, height, width, height])).argmax())]
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    return [int(np.hypot(*(centres - [(width - 1) / 2, (height - 1) / 2]).T).argmin())]
