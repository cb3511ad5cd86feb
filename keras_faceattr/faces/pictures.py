"""Photos as a Python user has them: a path, bytes of a file, an array, or a picture of Pillow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_faceattr.errors import PhotoError
from keras_faceattr.faces.photos import decode_photo, read_photo

Picture = Any
"""`str` or path of a photo, `bytes` of its file, (height, width, 3) uint8 RGB, or a `PIL.Image.Image`."""

MEMORY = "picture"
"""Name of a photo without a path in messages."""


def picture(photo: Picture) -> tuple[np.ndarray, str]:
    """The pixels of a photo, however it is given, and its path; empty without one.

    Raises:
        PhotoError: no photo, or an array that is not upright RGB from 0 to 255.
    """
    if isinstance(photo, str | os.PathLike):
        return read_photo(Path(photo)), os.fspath(photo)
    if isinstance(photo, bytes | bytearray | memoryview):
        return decode_photo(bytes(photo), MEMORY), ""
    if not isinstance(photo, np.ndarray) and hasattr(photo, "convert") and hasattr(photo, "getexif"):
        return _of_pillow(photo), ""
    return _checked(photo), ""


def _of_pillow(photo: Any) -> np.ndarray:
    from PIL import ImageOps

    return np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))


def _checked(photo: Any) -> np.ndarray:
    """An array, once it can only mean one thing."""
    if not isinstance(photo, np.ndarray):
        raise PhotoError(
            f"a {type(photo).__name__} is no photo: give a path, bytes, an array (height, width, 3) uint8 RGB, or a "
            "picture of Pillow"
        )
    shape = " × ".join(map(str, photo.shape)) or "one number"
    if photo.ndim == 4:
        raise PhotoError(f"an array {shape} is several photos: give them one by one, or use predict_many")
    if photo.ndim == 2 or (photo.ndim == 3 and photo.shape[2] == 1):
        raise PhotoError(f"an array {shape} is grey: give it three equal channels, np.stack([grey] * 3, axis=-1)")
    if photo.ndim == 3 and photo.shape[2] == 4:
        raise PhotoError(f"an array {shape} has four channels: leave the last one out, photo[..., :3]")
    if photo.ndim != 3 or photo.shape[2] != 3:
        raise PhotoError(f"an array {shape} is no photo: it must be (height, width, 3)")
    if 0 in photo.shape:
        raise PhotoError(f"an array {shape} has no pixels")
    if photo.dtype != np.uint8:
        hint = "multiply by 255, round, and " if _from_0_to_1(photo) else ""
        raise PhotoError(f"pixels are {photo.dtype}, not uint8 from 0 to 255: {hint}use photo.astype('uint8')")
    return np.ascontiguousarray(photo)


def _from_0_to_1(photo: np.ndarray) -> bool:
    return photo.dtype.kind == "f" and bool(np.nanmax(photo) <= 1.0)
