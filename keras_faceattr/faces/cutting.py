"""From a photo to its crops: finds the faces where the crop needs them, and cuts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_faceattr.errors import ConfigError, PhotoError, nearest
from keras_faceattr.faces.affine import scale_of, square_map
from keras_faceattr.faces.crop_spec import CHOICES, CropSpec, chosen
from keras_faceattr.faces.detector import DetectorPool, decodable
from keras_faceattr.faces.found import Faces
from keras_faceattr.faces.photos import read_photo
from keras_faceattr.faces.stored import Photo, largest_reduction, scaled

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
            faster are faces found: from 48 pixels on, proposals come from a smaller copy of the photo, and from 96 on
            a JPEG is decoded smaller, unless a crop needs more of its pixels.

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
        self.reduction = 1 if min_face is None else decodable(min_face)

    def find(self, photo: Photo) -> Faces | None:
        """The faces of a photo; None where the crop needs none.

        Raises:
            PhotoError: a file that cannot be decoded.
        """
        if self.detectors is None:
            return None
        part = scaled(photo, self.reduction)
        return part.in_photo(self.detectors.detect(part.pixels, part.reduction))

    def cut(self, photo: Photo, faces: Faces | None = None) -> list[Cut]:
        """The crops of a photo, of its best face first; none where it shows no face and the spec has no fallback.

        Args:
            photo: an array, or a file that is decoded as large as the largest crop needs it.
            faces: as of `find`, of a cropper that differs in size alone; None: looked for here.

        Raises:
            PhotoError: a file that cannot be decoded.
        """
        if faces is None:
            faces = self.find(photo)
        if faces is None:
            return [self._whole(photo, self.spec)]
        places = [(index, self._matrix(photo, faces, index)) for index in chosen(faces, photo.shape, self.face)]
        maps = {index: matrix for index, matrix in places if matrix is not None}
        fallback = self.spec.for_no_face()
        if not maps:
            return [] if fallback is None else [self._whole(photo, fallback)]
        part = scaled(photo, largest_reduction(max(map(scale_of, maps.values())), self.reduction))
        return [
            Cut(
                self.spec.warp(part.pixels, part.matrix(matrix)),
                matrix,
                faces.boxes[index],
                float(faces.scores[index]),
                faces.points[index],
            )
            for index, matrix in maps.items()
        ]

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

    def ready(self, photo: Photo) -> Cut:
        """A photo that is a crop already, in this size."""
        pixels = scaled(photo).pixels
        height, width = pixels.shape[:2]
        return Cut(self.spec.resized(pixels), square_map(0, 0, width, height, self.spec.size))

    def _first(self, photo: np.ndarray, path: Path) -> Cut:
        cuts = self.cut(photo)
        if not cuts:
            raise PhotoError(f"{path}: {NO_FACE}")
        return cuts[0]

    def _matrix(self, photo: Photo, faces: Faces, index: int) -> np.ndarray | None:
        matrix: np.ndarray | None = self.spec.matrix(photo.shape, faces.boxes[index], faces.points[index])
        return matrix

    def _whole(self, photo: Photo, spec: CropSpec) -> Cut:
        """The crop of a spec that looks for no face."""
        pixels = scaled(photo).pixels
        return Cut(spec.apply(pixels), spec.matrix(pixels.shape))
