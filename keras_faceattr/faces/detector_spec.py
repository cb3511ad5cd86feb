"""Settings of a face detector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from keras_faceattr.crop_fields import FACTORS, SMALLEST_FACE, DetectorFields
from keras_faceattr.errors import ConfigError


@dataclass(frozen=True)
class DetectorSpec(DetectorFields):
    """Faces to detect."""

    def __post_init__(self) -> None:
        if not isinstance(self.min_face, Real) or not math.isfinite(self.min_face):
            raise ConfigError(f"crop min_face {self.min_face!r} is no number: give pixels, such as 40")
        if self.min_face < SMALLEST_FACE:
            raise ConfigError(f"crop min_face {self.min_face} is below the {SMALLEST_FACE} pixels that MTCNN looks at")
        if not all(0 < threshold < 1 for threshold in self.thresholds) or len(self.thresholds) != 3:
            raise ConfigError(f"crop thresholds {list(self.thresholds)} are not three numbers between 0 and 1")
        low, high = FACTORS
        if not low <= self.factor <= high:
            raise ConfigError(f"crop factor {self.factor} is not in {low:g} to {high:g}")
