"""From a photo to its crops: finds the faces where the crop needs them, and cuts."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_faceattr.data.crop import CropSpec, chosen
from keras_faceattr.data.photos import read_photo
from keras_faceattr.detection.faces import Faces
from keras_faceattr.detection.nets import net_files
from keras_faceattr.errors import PhotoError

NO_FACE = "no face found"


@dataclass(frozen=True)
class Cut:
    """One crop of a photo.

    Attributes:
        pixels: (size, size, 3) uint8 RGB.
        matrix: (2, 3) map from photo to crop, as of `data.alignment`.
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
        disturbance: (3, 3) map from a crop to a disturbed one, in pixels; None to cut as the spec says.

    Raises:
        DetectionError: the crop needs faces, and the detector cannot be built.
    """

    def __init__(self, spec: CropSpec, face: str | None = None, disturbance: np.ndarray | None = None) -> None:
        self.spec = spec
        self.face = face or spec.face
        self.disturbance = disturbance
        self._local = threading.local()
        if spec.needs_face:
            net_files()

    def cut(self, photo: np.ndarray) -> list[Cut]:
        """The crops of a photo, of its best face first; none where it shows no face and the spec has no fallback.

        Args:
            photo: (height, width, 3) uint8 RGB.
        """
        if not self.spec.needs_face:
            return [self._plain(photo, self.spec)]
        faces = self._detect(photo)
        cuts = [self._face(photo, faces, index) for index in chosen(faces, photo.shape, self.face)]
        found = [cut for cut in cuts if cut is not None]
        fallback = self.spec.for_no_face()
        return [self._plain(photo, fallback)] if fallback and not found else found

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
        if ready:
            return self._ready(photo)
        cuts = self.cut(photo)
        if not cuts:
            raise PhotoError(f"{path}: {NO_FACE}")
        return cuts[0].pixels

    def _detect(self, photo: np.ndarray) -> Faces:
        if not hasattr(self._local, "detector"):
            from keras_faceattr.detection.detector import Detector

            self._local.detector = Detector(self.spec.detector())
        faces: Faces = self._local.detector.detect(photo)
        return faces

    def _face(self, photo: np.ndarray, faces: Faces, index: int) -> Cut | None:
        box, points = faces.boxes[index], faces.points[index]
        matrix = self.spec.matrix(photo.shape, box, points)
        if matrix is None:
            return None
        matrix = self._disturbed(matrix)
        return Cut(self.spec.warp(photo, matrix), matrix, box, float(faces.scores[index]), points)

    def _plain(self, photo: np.ndarray, spec: CropSpec) -> Cut:
        matrix = self._disturbed(spec.matrix(photo.shape))
        return Cut(spec.apply(photo) if self.disturbance is None else spec.warp(photo, matrix), matrix)

    def _ready(self, photo: np.ndarray) -> np.ndarray:
        if self.disturbance is None:
            return self.spec.resized(photo)
        whole = CropSpec(self.spec.size, "whole_photo", self.spec.interpolation)
        return self.spec.warp(photo, self._disturbed(whole.matrix(photo.shape)))

    def _disturbed(self, matrix: np.ndarray) -> np.ndarray:
        if self.disturbance is None:
            return matrix
        disturbed: np.ndarray = (self.disturbance @ np.vstack([matrix, [0, 0, 1]]))[:2]
        return disturbed
