"""The one decoder: photo file to upright RGB pixels, for training, evaluation and the phone's golden crops."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import DecompressionBombError
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from keras_faceattr.errors import PhotoError

MAX_PIXELS = 178_956_970
"""Larger photos are refused before they are decoded (the limit that Pillow uses against decompression bombs)."""


def read_photo(path: Path) -> np.ndarray:
    """Decodes a photo, turned upright by its EXIF orientation.

    Grey, 16-bit, CMYK and transparent photos become 8-bit RGB; of an animation the first frame counts. JPEG is
    decoded with the accurate inverse DCT.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        PhotoError: missing, empty, truncated, too large, or not a photo.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PhotoError(f"{path}: {error.strerror}") from error
    return decode_photo(data, str(path))


def decode_photo(data: bytes, name: str) -> np.ndarray:
    """As `read_photo`, from bytes in memory; `name` stands in error messages."""
    if not data:
        raise PhotoError(f"{name}: the file is empty")
    kind = _kind(data)
    if kind is None:
        raise PhotoError(f"{name}: not a photo (its first bytes are of no known image format)")
    if kind == "png" and b"IEND\xaeB`\x82" not in data:
        raise PhotoError(f"{name}: the PNG is truncated")
    stream = io.BytesIO(data)
    try:
        photo = _READERS[kind](stream)
        pixels_begin, is_too_large = stream.tell(), photo.width * photo.height > MAX_PIXELS
        if not is_too_large:
            # Of a PNG, this checks all chunks; OpenCV would allocate whatever a damaged length asks for.
            photo.verify()
    except DecompressionBombError as error:  # The WebP reader checks the size itself.
        raise PhotoError(f"{name}: more than {MAX_PIXELS} pixels are too many; scale it down first") from error
    except Exception as error:  # Pillow's readers raise whatever a damaged file makes them stumble over.
        raise PhotoError(f"{name}: cannot be decoded as {kind}: it is damaged or cut off") from error
    if is_too_large:
        raise PhotoError(f"{name}: {photo.width} × {photo.height} pixels are too many; scale it down first")
    # The end of a thumbnail comes before the pixels. Anything may follow them, such as the film of a motion photo.
    if kind == "jpeg" and data.find(b"\xff\xd9", pixels_begin) < 0:
        raise PhotoError(f"{name}: the JPEG is truncated")
    try:
        # IMREAD_COLOR applies EXIF orientation, converts to 8 bits and drops transparency.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PhotoError(f"{name}: cannot be decoded as {kind}") from error
    if pixels is None:
        raise PhotoError(f"{name}: cannot be decoded as {kind}")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"GIF8", "gif"),
    (b"P5", "pgm"),
    (b"P6", "ppm"),
)


_READERS: dict[str, type[ImageFile]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "webp": WebPImageFile,
    "bmp": BmpImageFile,
    "tiff": TiffImageFile,
    "gif": GifImageFile,
    "pgm": PpmImageFile,
    "ppm": PpmImageFile,
}
"""Readers of headers. `PIL.Image.open` would warn of large photos, or refuse them, without their width and height."""


def _kind(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)
