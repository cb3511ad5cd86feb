"""A photo file that is decoded no larger than it is needed: a JPEG's half, quarter or eighth takes less time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_faceattr.faces.photos import MOST_REDUCED, decode_scaled, read_bytes
from keras_faceattr.faces.scaled import Scaled


@dataclass(frozen=True)
class StoredPhoto:
    """The bytes of a photo file, decoded when they are asked for.

    Attributes:
        data: of the file.
        name: for messages.
    """

    data: bytes = field(repr=False)
    name: str
    _decoded: dict[int, Scaled] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, path: Path) -> StoredPhoto:
        """Reads a file.

        Raises:
            PhotoError: there is none.
            ResourceError: memory or open files ran out.
        """
        return cls(read_bytes(path), str(path))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, upright.

        Raises:
            PhotoError: as of `scaled`.
        """
        if not self._decoded:
            self.scaled()
        return next(iter(self._decoded.values())).whole

    def scaled(self, most: int = 1) -> Scaled:
        """The photo, reduced by `most` where its format has it for less work: 1, 2, 4 or 8.

        Raises:
            PhotoError: it cannot be decoded, as of `photos.read_photo`.
            ResourceError: memory ran out.
        """
        if most not in self._decoded:
            # Where the whole photo is there, no other copy is worth another decoding.
            found = self._decoded.get(1) or decode_scaled(self.data, self.name, most)
            self._decoded[most] = self._decoded[found.reduction] = found
        return self._decoded[most]


Photo = np.ndarray | StoredPhoto
"""(height, width, 3) uint8 RGB, or a file that is decoded as it is needed."""


def scaled(photo: Photo, most: int = 1) -> Scaled:
    """A photo, reduced by at most `most`; an array as it is."""
    return photo.scaled(most) if isinstance(photo, StoredPhoto) else Scaled.of(photo)


def largest_reduction(scale: float, most: int) -> int:
    """The largest reduction of which a crop is not enlarged: a power of two from 1 to `most`.

    Args:
        scale: pixels of the crop by pixels of the photo.
    """
    reduction = min(most, MOST_REDUCED)
    while reduction > 1 and scale * reduction > 1:
        reduction //= 2
    return reduction
