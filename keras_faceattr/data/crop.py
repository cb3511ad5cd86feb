"""CropSpec: the one definition of a model's input, from training to the phone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from keras_faceattr.errors import ConfigError, nearest

# OpenCV's INTER_AREA averages when it shrinks and is bilinear when it enlarges.
INTERPOLATIONS = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
METHODS = ("centre_square", "whole_photo")


@dataclass(frozen=True)
class CropSpec:
    """How a photo becomes a model's input.

    Attributes:
        size: side of the square crop in pixels.
        method: `centre_square` cuts the largest centred square; `whole_photo` squeezes the photo into a square.
        interpolation: how pixels are resampled.
        version: of this definition; a crop of another version is another input.
    """

    size: int = 224
    method: str = "centre_square"
    interpolation: str = "area"
    version: int = 1

    def __post_init__(self) -> None:
        if self.size < 16 or self.size > 1024:
            raise ConfigError(f"crop size {self.size} is not in 16 to 1024")
        if self.method not in METHODS:
            raise ConfigError(f"unknown crop method {self.method!r}; {nearest(self.method, METHODS)}")
        if self.interpolation not in INTERPOLATIONS:
            raise ConfigError(
                f"unknown interpolation {self.interpolation!r}; {nearest(self.interpolation, INTERPOLATIONS)}"
            )

    def apply(self, photo: np.ndarray) -> np.ndarray:
        """The model's input.

        Args:
            photo: (height, width, 3) uint8 RGB.

        Returns:
            (size, size, 3) uint8 RGB.
        """
        if self.method == "centre_square":
            height, width = photo.shape[:2]
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            photo = photo[top : top + side, left : left + side]
        if photo.shape[:2] == (self.size, self.size):
            return np.ascontiguousarray(photo)
        return cv2.resize(photo, (self.size, self.size), interpolation=INTERPOLATIONS[self.interpolation])

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as it stands in configs and artifacts."""
        return dataclasses.asdict(self)
