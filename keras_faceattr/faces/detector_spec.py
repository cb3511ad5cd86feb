"""What a detector looks for."""

from __future__ import annotations

from dataclasses import dataclass

from keras_faceattr.errors import ConfigError
from keras_faceattr.faces.pyramid import WINDOW


@dataclass(frozen=True)
class DetectorSpec:
    """What is looked for; the defaults are the paper's.

    Attributes:
        min_face: side of the smallest face in pixels.
        thresholds: scores that P-, R- and O-Net ask for.
        factor: between the sizes in which the photo is searched.
    """

    min_face: int = 20
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    factor: float = 0.709

    def __post_init__(self) -> None:
        if self.min_face < WINDOW:
            raise ConfigError(f"crop min_face {self.min_face} is below the {WINDOW} pixels that MTCNN looks at")
        if not all(0 < threshold < 1 for threshold in self.thresholds) or len(self.thresholds) != 3:
            raise ConfigError(f"crop thresholds {list(self.thresholds)} are not three numbers between 0 and 1")
        if not 0.3 <= self.factor <= 0.95:
            raise ConfigError(f"crop factor {self.factor} is not in 0.3 to 0.95")
