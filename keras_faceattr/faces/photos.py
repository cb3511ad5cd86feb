"""The one decoder: photo file to upright RGB pixels, for training, evaluation and the phone's golden crops."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

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
    width_height = _declared_size(data, kind)
    if width_height and width_height[0] * width_height[1] > MAX_PIXELS:
        raise PhotoError(f"{name}: {width_height[0]} × {width_height[1]} pixels are too many; scale it down first")
    # Behind the picture may stand anything, such as the film of a motion photo.
    if kind == "jpeg" and b"\xff\xd9" not in data[_jpeg_scan(data) :]:
        raise PhotoError(f"{name}: the JPEG is truncated")
    if kind == "png" and b"IEND\xaeB`\x82" not in data:
        raise PhotoError(f"{name}: the PNG is truncated")
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


def _kind(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def _declared_size(data: bytes, kind: str) -> tuple[int, int] | None:
    """(width, height) from the header, without decoding, where the format makes that easy."""
    if kind == "png" and len(data) >= 24:
        return struct.unpack(">II", data[16:24])
    if kind == "gif" and len(data) >= 10:
        return struct.unpack("<HH", data[6:10])
    if kind == "bmp" and len(data) >= 26 and data[6:10] == bytes(4):
        width, height = struct.unpack("<ii", data[18:26])
        return width, abs(height)
    return _jpeg_size(data) if kind == "jpeg" else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    for marker, position in _jpeg_segments(data):
        # SOF0 to SOF15 hold the size; C4, C8 and CC in that range are tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and position + 9 <= len(data):
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return width, height
    return None


def _jpeg_scan(data: bytes) -> int:
    """Where the compressed picture starts: an end marker before it belongs to a thumbnail."""
    return next((position for marker, position in _jpeg_segments(data) if marker == 0xDA), len(data))


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers of the header and their positions, up to the start of the compressed picture."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # Padding.
            position += 1
            continue
        yield marker, position
        if marker == 0xDA:
            return
        alone = marker == 0x01 or 0xD0 <= marker <= 0xD8
        position += 2 if alone else 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
