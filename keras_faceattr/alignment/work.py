"""What a worker does: photo files in, encoded crops out. Workers share nothing and write nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from keras_faceattr.errors import PhotoError, RunError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import NO_FACE, Cropper
from keras_faceattr.faces.opencv_threads import opencv_threads
from keras_faceattr.faces.photos import decode_photo, resources
from keras_faceattr.storage import stamp

ENCODINGS = {"png": [cv2.IMWRITE_PNG_COMPRESSION, 3], "jpg": [cv2.IMWRITE_JPEG_QUALITY, 95]}
"""OpenCV's settings by suffix; PNG keeps every pixel, JPEG takes a fifth of the room."""


@dataclass(frozen=True)
class Work:
    """What is done with every photo.

    Attributes:
        spec: how to cut.
        face: which of a photo's faces: `largest`, `central` or `all`.
        suffix: of the crops' files, as of `ENCODINGS`.
    """

    spec: CropSpec
    face: str
    suffix: str


@dataclass(frozen=True)
class AlignedFace:
    """A crop and where it comes from.

    Attributes:
        content: of its file.
        box: left, top, right, bottom in the photo's pixels; None where the photo was cut without a face.
        score: probability of a face.
        points: x, y of the five points in the photo's pixels, in the order of `faces.found.POINTS`.
    """

    content: bytes
    box: tuple[float, ...] | None
    score: float | None
    points: tuple[tuple[float, float], ...] | None


@dataclass(frozen=True)
class AlignedPhoto:
    """What became of a photo.

    Attributes:
        sha256: of its file; empty where it ended its worker.
        faces: its crops.
        reason: why it has none, or why it was cut without a face.
        stamp: size and time of change of its file before it was read, as of `storage.stamp`; None where it ended its
            worker.
    """

    sha256: str
    faces: tuple[AlignedFace, ...]
    reason: str | None = None
    stamp: tuple[int, ...] | None = None


def align_photos(work: Work, paths: list[Path]) -> list[AlignedPhoto]:
    """Cuts photos in order; one that cannot be used says why.

    Raises:
        RunError: a file cannot be read now, which says nothing of the photo in it.
        ResourceError: memory ran out, which says nothing of it either.
    """
    with opencv_threads(1):
        return [_align(work, path) for path in paths]


@lru_cache(maxsize=1)
def _cropper(spec: CropSpec, face: str) -> Cropper:
    return Cropper(spec, face)


def _align(work: Work, path: Path) -> AlignedPhoto:
    try:
        with resources(str(path)):
            state = stamp(path)
            content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}; fix that, or leave the photo out, and run it again") from None
    digest = hashlib.sha256(content).hexdigest()
    with resources(str(path)):
        return _cut(work, content, digest, path.name, state)


def _cut(work: Work, content: bytes, digest: str, name: str, state: tuple[int, ...]) -> AlignedPhoto:
    try:
        photo = decode_photo(content, name)
    except PhotoError as error:
        return AlignedPhoto(digest, (), str(error).removeprefix(f"{name}: "), state)
    cuts = _cropper(work.spec, work.face).cut(photo)
    faces = tuple(
        AlignedFace(
            _encoded(cut.pixels, work.suffix),
            None if cut.box is None else tuple(round(float(edge), 2) for edge in cut.box),
            cut.score,
            None if cut.points is None else tuple((round(float(x), 2), round(float(y), 2)) for x, y in cut.points),
        )
        for cut in cuts
    )
    if work.spec.needs_face and all(face.box is None for face in faces):
        reason = f"{NO_FACE}; cut by {work.spec.fallback} instead" if faces else NO_FACE
        return AlignedPhoto(digest, faces, reason, state)
    return AlignedPhoto(digest, faces, None, state)


def _encoded(pixels: np.ndarray, suffix: str) -> bytes:
    _, content = cv2.imencode(f".{suffix}", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), ENCODINGS[suffix])
    return content.tobytes()
