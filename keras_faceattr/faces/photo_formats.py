"""Formats of photos: how each is known, what its header says, and how its pixels are decoded as they are stored."""

from __future__ import annotations

import importlib.util
import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import features

from keras_faceattr.faces.jpeg import decode_jpeg, jpeg_header
from keras_faceattr.faces.photo_headers import (
    DAMAGED,
    ORIENTATION,
    Header,
    Tag,
    UnreadableError,
    avif_header,
    bmp_header,
    gif_header,
    jpeg_2000_header,
    png_header,
    pnm_header,
    pnm_maximum,
    tiff_header,
    tiff_tags,
    webp_header,
)

AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION

SHORTEST_REDUCED = 64
"""Sides below which two of libjpeg's scales, eighths, may give as many pixels; nothing is won there anyway."""

COMPRESSION, JPEG_TABLES = 0x103, 0x15B
STRIPS = ((0x111, 0x117), (0x144, 0x145))
"""TIFF tags of places and lengths, of strips and of tiles."""


@dataclass(frozen=True)
class PhotoFormat:
    """A format.

    Attributes:
        header: reads it, before anything is decoded.
        decode: (height, width, 3) uint8 RGB as stored, whatever the orientation.
        reduce: the same reduced by 2, 4 or 8 for less work, sides rounded up; None where the format has no such thing.
    """

    header: Callable[[bytes], Header]
    decode: Callable[[bytes, Header], np.ndarray]
    reduce: Callable[[bytes, Header, int], np.ndarray] | None = None


def format_name(data: bytes) -> str | None:
    """The format that a file's first bytes tell; None for what is no photo."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        brands = {data[8:12], *(data[place : place + 4] for place in range(16, int.from_bytes(data[:4]), 4))}
        return next((kind for kind, own in _BRANDS.items() if brands & own), None)
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"GIF8", "gif"),
    *((b"P%d%c" % (number, gap), "pnm") for number in range(1, 7) for gap in b" \t\r\n#"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jpeg 2000"),
    (b"\xff\x4f\xff\x51", "jpeg 2000"),
)

_BRANDS = {
    "avif": {b"avif", b"avis"},
    "heic": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"},
}


_OPENCV_NAMES = {"gif": "GIF", "webp": "WEBP", "tiff": "TIFF", "avif": "AVIF", "jpeg 2000": "JPEG 2000"}
_PILLOW_NAMES = {"avif": "avif", "jpeg 2000": "jpg_2000"}


def is_installed(kind: str) -> bool:
    """Return whether OpenCV and Pillow were built with a format, which older versions and builds of one's own lack."""
    line = _OPENCV_NAMES.get(kind, "")
    if line and not re.search(rf"^\s*{line}:\s+(?!NO)\S", cv2.getBuildInformation(), re.MULTILINE):
        return False
    try:
        return kind not in _PILLOW_NAMES or bool(features.check(_PILLOW_NAMES[kind]))
    except ValueError:
        return False


def _opencv(data: bytes, header: Header) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), AS_STORED)
    if pixels is None:
        raise ValueError("OpenCV gave no reason")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _jpeg(data: bytes, header: Header) -> np.ndarray:
    return decode_jpeg(data)


def _smaller_jpeg(data: bytes, header: Header, reduction: int) -> np.ndarray:
    if min(header.width, header.height) < SHORTEST_REDUCED:
        return decode_jpeg(data)
    return decode_jpeg(data, (-(-header.height // reduction), -(-header.width // reduction)), reduction)


def _pnm(data: bytes, header: Header) -> np.ndarray:
    from PIL.PpmImagePlugin import PpmImageFile

    if data[:2] in (b"P5", b"P6") and pnm_maximum(data) in (255, 65535):
        return _opencv(data, header)
    # OpenCV would take the white of any other range for a dark grey.
    photo = PpmImageFile(io.BytesIO(data))
    if photo.mode != "I":
        return np.asarray(photo.convert("RGB"))
    # Of 16 bits: 257 times the value in 8.
    return np.repeat(((np.asarray(photo) + 128) // 257).astype("uint8")[..., None], 3, axis=2)


def _tiff(data: bytes, header: Header) -> np.ndarray:
    tags = tiff_tags(data)
    _check_tiff(data, tags, header)
    if header.orientation != 1:
        # libtiff would turn the pixels itself.
        tag, stored = tags[ORIENTATION], bytearray(data)
        struct.pack_into(tag.layout, stored, tag.offset, 1)
        data = bytes(stored)
    return _opencv(data, header)


def _check_tiff(data: bytes, tags: dict[int, Tag], header: Header) -> None:
    """Refuses compressed pixels that are damaged, which OpenCV fills with black.

    Raises:
        UnreadableError: they are.
    """
    from PIL.Image import DecompressionBombError
    from PIL.TiffImagePlugin import TiffImageFile

    compression = tags[COMPRESSION].value if COMPRESSION in tags else 1
    places = [(tags[begin].values, tags[length].values) for begin, length in STRIPS if {begin, length} <= tags.keys()]
    strips = [data[begin : begin + length] for pair in places for begin, length in zip(*pair, strict=False)]
    if compression in (8, 32946):
        for strip in strips:
            unpacked = zlib.decompressobj()
            unpacked.decompress(strip, 16 * header.width * header.height)
            if not unpacked.eof:
                raise UnreadableError(DAMAGED)
    elif compression == 7:
        tables = bytes(tags[JPEG_TABLES].values) if JPEG_TABLES in tags else b""
        for strip in strips:
            decode_jpeg(tables[:-2] + strip[2:] if tables else strip)
    elif compression == 5:
        try:
            photo = TiffImageFile(io.BytesIO(data))
        except (SyntaxError, OSError, DecompressionBombError):
            # A kind of pixels that Pillow does not know.
            return
        photo.load()


def _heic_photo(data: bytes) -> Any:
    if importlib.util.find_spec("pillow_heif") is None:
        raise UnreadableError("it needs pillow-heif: pip install keras-faceattr[heic], or save the photo as JPEG")
    import pillow_heif

    return pillow_heif.open_heif(data, convert_hdr_to_8bit=True)


def _heic_header(data: bytes) -> Header:
    # libheif turns the pixels itself, by tags that come before EXIF's.
    return Header(*_heic_photo(data).size)


def _heic(data: bytes, header: Header) -> np.ndarray:
    pixels = np.asarray(_heic_photo(data))
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels[..., :3]


def _jpeg_2000(data: bytes, header: Header) -> np.ndarray:
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

    # OpenCV fills up what is cut off.
    Jpeg2KImageFile(io.BytesIO(data)).load()
    return _opencv(data, header)


FORMATS: dict[str, PhotoFormat] = {
    "jpeg": PhotoFormat(jpeg_header, _jpeg, _smaller_jpeg),
    "png": PhotoFormat(png_header, _opencv),
    "webp": PhotoFormat(webp_header, _opencv),
    "bmp": PhotoFormat(bmp_header, _opencv),
    "tiff": PhotoFormat(tiff_header, _tiff),
    "gif": PhotoFormat(gif_header, _opencv),
    "pnm": PhotoFormat(pnm_header, _pnm),
    "avif": PhotoFormat(avif_header, _opencv),
    "heic": PhotoFormat(_heic_header, _heic),
    "jpeg 2000": PhotoFormat(jpeg_2000_header, _jpeg_2000),
}
