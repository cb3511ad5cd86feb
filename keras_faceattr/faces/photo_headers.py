"""Size and orientation of a photo from its header, before anything is decoded.

Own readers, because those of Pillow and OpenCV refuse or warn by limits that any other package may have set.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

ORIENTATION = 0x112
"""The TIFF tag that says how the stored pixels lie, in a TIFF and in the EXIF data of any format."""

DAMAGED = "it is damaged or cut off"


class UnreadableError(ValueError):
    """Why a file cannot be decoded, without its name."""


@dataclass(frozen=True)
class Header:
    """Facts known before the pixels are decoded.

    Attributes:
        width: of the stored pixels, before they are turned upright.
        height: as `width`.
        orientation: 1 to 8, as EXIF defines it.
        bytes_needed: of the pixels in the file, where the format does not compress them; else 0.
    """

    width: int
    height: int
    orientation: int = 1
    bytes_needed: int = 0


@dataclass(frozen=True)
class Tag:
    """A field of a directory of TIFF tags.

    Attributes:
        values: whole numbers, or the bytes of a field without a type.
        offset: where they stand.
        layout: of one of them, for `struct`.
    """

    values: tuple[int, ...]
    offset: int
    layout: str

    @property
    def value(self) -> int:
        return self.values[0]


_LAYOUTS = {3: "H", 4: "I", 7: "B"}
"""Kinds of fields that are read: SHORT, LONG and UNDEFINED."""


def tiff_tags(data: bytes) -> dict[int, Tag]:
    """Whole numbers of the first directory of a TIFF, or of EXIF data, which has the form of one.

    Raises:
        UnreadableError: neither.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    try:
        if order is None or struct.unpack_from(f"{order}H", data, 2) != (42,):
            raise UnreadableError(DAMAGED)
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        tags = {}
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(f"{order}HHI", data, place)
            if kind not in _LAYOUTS or not 0 < number <= len(data):
                continue
            layout = f"{order}{number}{_LAYOUTS[kind]}"
            inline = struct.calcsize(layout) <= 4
            offset = place + 8 if inline else struct.unpack_from(f"{order}I", data, place + 8)[0]
            tags[tag] = Tag(struct.unpack_from(layout, data, offset), offset, f"{order}{_LAYOUTS[kind]}")
    except struct.error:
        raise UnreadableError(DAMAGED) from None
    return tags


def exif_orientation(exif: bytes) -> int:
    """The orientation in EXIF data, with or without the prefix that JPEG has and some writers of WebP add; else 1."""
    try:
        tag = tiff_tags(exif.removeprefix(b"Exif\0\0")).get(ORIENTATION)
    except UnreadableError:
        # Damaged EXIF data says nothing of the pixels.
        return 1
    return tag.value if tag and 1 <= tag.value <= 8 else 1


def png_header(data: bytes) -> Header:
    """Read the header of a PNG and check every chunk, since OpenCV allocates whatever a damaged length asks for."""
    place, exif, view = 8, b"", memoryview(data)
    kind = b""
    while kind != b"IEND":
        if place + 12 > len(data):
            raise UnreadableError(DAMAGED)
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data) or zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise UnreadableError(DAMAGED)
        if kind == b"eXIf":
            exif = data[place + 8 : end - 4]
        place = end
    width, height = struct.unpack_from(">II", data, 16)
    return Header(width, height, exif_orientation(exif))


def webp_header(data: bytes) -> Header:
    """Read the header of a WebP."""
    size, exif = None, b""
    for kind, content in _riff_chunks(data):
        if kind == b"EXIF":
            exif = data[content]
        elif size is None:
            size = _webp_size(kind, data[content][:10])
    if size is None:
        raise UnreadableError(DAMAGED)
    return Header(*size, exif_orientation(exif))


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, slice]]:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise UnreadableError(DAMAGED)
    place = 12
    while place + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, place)
        if place + 8 + length > len(data):
            raise UnreadableError(DAMAGED)
        yield kind, slice(place + 8, place + 8 + length)
        place += 8 + length + length % 2


def _webp_size(kind: bytes, content: bytes) -> tuple[int, int] | None:
    """Width and height, where this chunk says them."""
    if len(content) < (5 if kind == b"VP8L" else 10):
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(content[4:7], "little"), 1 + int.from_bytes(content[7:10], "little")
    if kind == b"VP8L" and content[0] == 0x2F:
        bits = int.from_bytes(content[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and content[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", content, 6)
        return width & 0x3FFF, height & 0x3FFF
    return None


def gif_header(data: bytes) -> Header:
    """Read the header of a GIF: its canvas."""
    return Header(*_unpacked("<HH", data, 6))


def bmp_header(data: bytes) -> Header:
    """Read the header of a bitmap of Windows or OS/2."""
    (size,) = _unpacked("<I", data, 14)
    if size == 12:
        width, height, _, bits = _unpacked("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = _unpacked("<iiHHI", data, 18)
    # A negative height says that the rows run downwards.
    width, height = abs(width), abs(height)
    return Header(width, height, bytes_needed=0 if compression in (1, 2) else width * height * max(bits, 1) // 8)


_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PNM = re.compile(rb"P[1-6]%s(\d{1,9})%s(\d{1,9})" % (_GAP, _GAP))
_MAXIMUM = re.compile(rb"%s(\d{1,5})\s" % _GAP)


def pnm_header(data: bytes) -> Header:
    """Read the header of a PBM, PGM or PPM."""
    found = _PNM.match(data)
    if not found:
        raise UnreadableError(DAMAGED)
    width, height = int(found[1]), int(found[2])
    return Header(width, height, bytes_needed=width * height // 8)


def pnm_maximum(data: bytes) -> int | None:
    """The value of white in a PGM or PPM; None where none stands there."""
    size = _PNM.match(data)
    found = _MAXIMUM.match(data, size.end()) if size else None
    return int(found[1]) if found else None


def tiff_header(data: bytes) -> Header:
    """Read the header of a TIFF: its first picture."""
    tags = tiff_tags(data)
    if 256 not in tags or 257 not in tags:
        raise UnreadableError(DAMAGED)
    return Header(tags[256].value, tags[257].value, exif_orientation(data))


def avif_header(data: bytes) -> Header:
    """Read the header of an AVIF; its own rotation and mirroring precede EXIF's, which Pillow applies."""
    from PIL.AvifImagePlugin import AvifImageFile

    photo = AvifImageFile(io.BytesIO(data))
    return Header(*photo.size, exif_orientation(photo.info.get("exif", b"")))


def jpeg_2000_header(data: bytes) -> Header:
    """Read the header of a JPEG 2000, which has no orientation."""
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

    return Header(*Jpeg2KImageFile(io.BytesIO(data)).size)


def _unpacked(layout: str, data: bytes, place: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, data, place)
    except struct.error:
        raise UnreadableError(DAMAGED) from None
