"""From a photo to its crops: finds the faces where the crop needs them, and cuts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_faceattr.errors import ConfigError, PhotoError, nearest
from keras_faceattr.faces.affine import square_map
from keras_faceattr.faces.crop_spec import CHOICES, CropSpec, chosen
from keras_faceattr.faces.detector import DetectorPool
from keras_faceattr.faces.found import Faces
from keras_faceattr.faces.photos import read_photo

NO_FACE = "no face found"


@dataclass(frozen=True)
class Cut:
    """One crop of a photo.

    Attributes:
        pixels: (size, size, 3) uint8 RGB.
        matrix: (2, 3) map from photo to crop, as of `faces.affine`.
        box: (4,) left, top, right, bottom of the face in the photo; None where no face was looked for or found.
        score: probability of a face.
        points: (5, 2) of the face in the photo.
    """

    pixels: np.ndarray
    matrix: np.ndarray
    box: np.ndarray | None = None
    score: float | None = None
    points: np.ndarray | None = None


class Cropper:
    """Cuts photos by a `CropSpec`; may be used from many threads.

    Args:
        spec: how to cut.
        face: which faces, in place of the spec's own choice; `all` for every one.
        min_face: side in pixels of the smallest face to look for, in place of the spec's own. The larger it is, the
            faster are faces found: from 48 pixels on, proposals come from a smaller copy of the photo.

    Raises:
        ConfigError: no such choice of faces, or a smallest face that is too small or that the spec has no use for.
        DetectionError: at the first photo, the crop needs faces and the detector cannot be built.
    """

    def __init__(self, spec: CropSpec, face: str | None = None, min_face: int | None = None) -> None:
        if face is not None and face not in CHOICES:
            raise ConfigError(f"unknown choice of faces {face!r}; {nearest(face, CHOICES)}")
        self.spec = spec
        self.face = face or spec.face
        if min_face is not None and not spec.needs_face:
            raise ConfigError(f"min_face is for crops that look for faces, and {spec.method} looks for none")
        detector = spec.detector() if min_face is None else replace(spec.detector(), min_face=min_face)
        self.detectors = DetectorPool(detector, reduced=min_face is not None) if spec.needs_face else None

    def find(self, photo: np.ndarray) -> Faces | None:
        """The faces of a photo, (height, width, 3) uint8 RGB; None where the crop needs none."""
        return None if self.detectors is None else self.detectors.detect(photo)

    def cut(self, photo: np.ndarray, faces: Faces | None = None) -> list[Cut]:
        """The crops of a photo, of its best face first; none where it shows no face and the spec has no fallback.

        Args:
            photo: (height, width, 3) uint8 RGB.
            faces: as of `find`, of a cropper that differs in size alone; None: looked for here.
        """
        if faces is None:
            faces = self.find(photo)
        if faces is None:
            return [Cut(self.spec.apply(photo), self.spec.matrix(photo.shape))]
        cuts = [self._face(photo, faces, index) for index in chosen(faces, photo.shape, self.face)]
        found = [cut for cut in cuts if cut is not None]
        fallback = self.spec.for_no_face()
        if found or fallback is None:
            return found
        return [Cut(fallback.apply(photo), fallback.matrix(photo.shape))]

    def crop(self, path: Path, ready: bool = False) -> np.ndarray:
        """The crop of a photo file.

        Args:
            ready: whether the file already is the crop, in whatever size.

        Returns:
            (size, size, 3) uint8 RGB.

        Raises:
            PhotoError: it cannot be decoded, or shows no face.
        """
        photo = read_photo(path)
        return (self.ready(photo) if ready else self._first(photo, path)).pixels

    def disturbed(self, path: Path, ready: bool, maps: np.ndarray) -> np.ndarray:
        """The crop of a photo file, and those that one would get if it lay elsewhere.

        Args:
            maps: (k, 3, 3) from the right crop to wrong ones, in pixels.

        Returns:
            (k + 1, size, size, 3) uint8 RGB, the right one first.

        Raises:
            PhotoError: as of `crop`.
        """
        photo = read_photo(path)
        cut = self.ready(photo) if ready else self._first(photo, path)
        matrices = maps[:, :2] @ np.vstack([cut.matrix, [0, 0, 1]])
        return np.stack([cut.pixels, *(self.spec.warp(photo, each) for each in matrices)])

    def ready(self, photo: np.ndarray) -> Cut:
        """A photo that is a crop already, in this size."""
        height, width = photo.shape[:2]
        return Cut(self.spec.resized(photo), square_map(0, 0, width, height, self.spec.size))

    def _first(self, photo: np.ndarray, path: Path) -> Cut:
        cuts = self.cut(photo)
        if not cuts:
            raise PhotoError(f"{path}: {NO_FACE}")
        return cuts[0]

    def _face(self, photo: np.ndarray, faces: Faces, index: int) -> Cut | None:
        box, points = faces.boxes[index], faces.points[index]
        matrix = self.spec.matrix(photo.shape, box, points)
        if matrix is None:
            return None
        return Cut(self.spec.warp(photo, matrix), matrix, box, float(faces.scores[index]), points)
