"""Photos as a Python user has them: a path, bytes of a file, an array, or a picture of Pillow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_faceattr.errors import PhotoError
from keras_faceattr.faces.photos import resources
from keras_faceattr.faces.stored import Photo, StoredPhoto

Picture = Any
"""`str` or path of a photo, `bytes` of its file, (height, width, 3) uint8 RGB, or a `PIL.Image.Image`."""

MEMORY = "picture"
"""Name of a photo without a path in messages."""

BLUER = 0.1
"""Share of the mean grey level by which the blue of a face exceeds its red where its channels seem to be swapped."""


def picture(photo: Picture) -> tuple[Photo, str]:
    """A photo, however it is given, and its path; empty without one. A file is decoded when its pixels are needed.

    Raises:
        PhotoError: no photo, or an array that is not upright RGB from 0 to 255.
    """
    if isinstance(photo, str | os.PathLike):
        return StoredPhoto.read(Path(photo)), os.fspath(photo)
    if isinstance(photo, bytes | bytearray | memoryview):
        return StoredPhoto(bytes(photo), MEMORY), ""
    if not isinstance(photo, np.ndarray) and hasattr(photo, "convert") and hasattr(photo, "getexif"):
        return _of_pillow(photo), ""
    return _checked(photo), ""


def _of_pillow(photo: Any) -> np.ndarray:
    from PIL import ImageOps

    if photo.mode in ("I", "F") or photo.mode.startswith("I;"):
        raise PhotoError(
            f"a picture of Pillow with the mode {photo.mode!r} has more than 8 bits, which its convert would cut off: "
            "give the path of its file, or an array of uint8 from 0 to 255"
        )
    if 0 in photo.size:
        raise PhotoError("a picture of Pillow has no pixels: give one that has some")
    with resources(MEMORY):
        try:
            return np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise PhotoError(f"a picture of Pillow cannot be decoded: {error}; check its file") from error


def _checked(photo: Any) -> np.ndarray:
    """An array, once it can only mean one thing."""
    if not isinstance(photo, np.ndarray):
        raise PhotoError(
            f"an object of the type {type(photo).__name__} is no photo: give a path, bytes, an array (height, width, "
            "3) uint8 RGB, or a picture of Pillow"
        )
    shape = " × ".join(map(str, photo.shape)) or "without sides"
    if photo.ndim == 4:
        raise PhotoError(f"an array {shape} is several photos: give them one by one")
    if photo.ndim == 2 or (photo.ndim == 3 and photo.shape[2] == 1):
        raise PhotoError(f"an array {shape} is grey: give it three equal channels, np.stack([grey] * 3, axis=-1)")
    if photo.ndim == 3 and photo.shape[2] == 4:
        raise PhotoError(f"an array {shape} has four channels: leave the last one out, photo[..., :3]")
    if photo.ndim == 3 and photo.shape[2] != 3 and photo.shape[0] in (1, 3, 4):
        raise PhotoError(f"an array {shape} has its channels first: use photo.transpose(1, 2, 0)")
    if photo.ndim != 3 or photo.shape[2] != 3:
        raise PhotoError(f"an array {shape} is no photo: give one of (height, width, 3)")
    if 0 in photo.shape:
        raise PhotoError(f"an array {shape} has no pixels: give a photo that has some")
    if photo.dtype != np.uint8:
        raise PhotoError(f"pixels are {photo.dtype}, not uint8 from 0 to 255: {_as_uint8(photo)}")
    return np.ascontiguousarray(photo)


def _as_uint8(photo: np.ndarray) -> str:
    """How pixels of another type become uint8: a plain `astype` would wrap or cut off most of them."""
    kind = photo.dtype.kind
    if kind == "b":
        return "use photo.astype('uint8') * 255"
    if kind not in "iuf":
        return "give numbers"
    low, high = float(photo.min()), float(photo.max())
    if not np.isfinite([low, high]).all():
        return "some are not finite; check where the array comes from"
    if kind == "f" and low >= 0 and high <= 1:
        return "use (photo * 255).round().astype('uint8')"
    if kind == "f" and low >= -1 and high <= 1:
        return "they look as if they went from -1 to 1; use ((photo + 1) * 127.5).round().astype('uint8')"
    if low >= 0 and high <= 255:
        return "use photo.round().astype('uint8')" if kind == "f" else "use photo.astype('uint8')"
    if photo.dtype == np.uint16:
        return "use (photo // 257).astype('uint8')"
    return f"they go from {low:g} to {high:g}; scale them to 0 to 255, round, and use astype('uint8')"


def looks_like_bgr(crops: Sequence[np.ndarray]) -> bool:
    """Whether every face is bluer than it is red, as none but faces with swapped channels or in coloured light are.

    In the middle of a face, mean blue exceeds mean red by a tenth of the mean of all: of 600 photos each of six data
    sets at most 1 in RGB, and 90 to 99 % of them in BGR.

    Args:
        crops: (side, side, 3) each.
    """
    return bool(crops) and all(_is_blue(crop) for crop in crops)


def _is_blue(crop: np.ndarray) -> bool:
    quarter = len(crop) // 4
    red, green, blue = crop[quarter : len(crop) - quarter, quarter : len(crop) - quarter].mean(axis=(0, 1))
    return bool(blue - red > BLUER * (red + green + blue) / 3)
