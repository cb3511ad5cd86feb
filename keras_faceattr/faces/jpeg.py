"""JPEG: decoded by libjpeg-turbo, whose warnings tell a damaged photo from a whole one.

OpenCV and Pillow drop these warnings and fill what is missing with grey.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import simplejpeg

from keras_faceattr.faces.photo_headers import DAMAGED, Header, UnreadableError, exif_orientation

EOI, SOS, APP0, APP1, APP14 = 0xD9, 0xDA, 0xE0, 0xE1, 0xEE
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
LOSSLESS = frozenset((0xC3, 0xC7, 0xCB, 0xCF))
PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
ALONE = frozenset((0x01, *range(0xD0, 0xD8)))
"""Markers without a length."""

PADDING = 16
"""So many bytes behind the last pixel may fill up a whole photo, as some cameras do; more are lost pixels."""

END = b"\xff\xd9"
NO_END = "Premature end of JPEG file"
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0x(\w\w)")
_HARMLESS = ("Unknown Adobe color transform", "unknown JFIF revision", "Invalid SOS parameters")
_OUT_OF_MEMORY = "Insufficient memory"
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_BEHIND_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")

Segment = tuple[int, int, int]
"""Marker, and where its content begins and ends."""


def jpeg_header(data: bytes) -> Header:
    """Size and orientation; also refuses a photo whose later scans are missing, which libjpeg does not.

    Raises:
        UnreadableError: no size, or a scan is missing.
    """
    exif, frame = b"", None
    for marker, begin, end in _segments(data):
        if marker == APP1 and not exif and data.startswith(b"Exif\0\0", begin):
            exif = data[begin:end]
        elif marker in FRAMES and frame is None:
            frame = marker, data[begin:end], end
        elif marker == SOS:
            break
    if frame is None or len(frame[1]) < 9:
        raise UnreadableError(DAMAGED)
    marker, content, end = frame
    if marker not in LOSSLESS:
        _check_scans(data, end, content[6 : 6 + 3 * content[5] : 3], marker in PROGRESSIVE)
    return Header(int.from_bytes(content[3:5]), int.from_bytes(content[1:3]), exif_orientation(exif))


def decode_jpeg(data: bytes, least: tuple[int, int] = (0, 0), factor: int = 1) -> np.ndarray:
    """Decode with the accurate inverse DCT.

    Args:
        least: height and width of the smallest of libjpeg's scales that will do; (0, 0): the photo as it is.
        factor: by which it is at least reduced.

    Returns:
        (height, width, 3) uint8 RGB as stored.

    Raises:
        UnreadableError: pixels are missing or damaged.
        MemoryError: too little memory.
    """
    try:
        return _decoded(data, least, factor)
    except UnreadableError as error:
        reason = str(error)
    # libjpeg tells its first warning alone: what is harmless is taken away, so that the next one is heard.
    if NO_END in reason:
        data = data.removesuffix(b"\xff") + END
    elif _EXTRANEOUS.search(reason) or not _is_lost(reason):
        data = _plain(data)
    else:
        raise UnreadableError(_reason(reason))
    try:
        return _decoded(data, least, factor)
    except UnreadableError as error:
        if _is_lost(str(error)):
            raise UnreadableError(_reason(str(error))) from None
    return _decoded(data, least, factor, strict=False)


def _decoded(data: bytes, least: tuple[int, int], factor: int, strict: bool = True) -> np.ndarray:
    try:
        _, _, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        cmyk = colours in ("CMYK", "YCCK")
        pixels: np.ndarray = simplejpeg.decode_jpeg(
            data, "CMYK" if cmyk else "RGB", min_height=least[0], min_width=least[1], min_factor=factor, strict=strict
        )
    except ValueError as error:
        if _OUT_OF_MEMORY in str(error):
            raise MemoryError(str(error)) from None
        raise UnreadableError(str(error)) from None
    return _rgb(pixels) if cmyk else pixels


def _rgb(cmyk: np.ndarray) -> np.ndarray:
    """Convert inverted CMYK, as Adobe's programs write it, by OpenCV's integer arithmetic."""
    colours, black = cmyk[..., :3].astype("int32"), cmyk[..., 3:].astype("int32")
    rgb: np.ndarray = black - ((255 - colours) * black >> 8)
    return rgb.astype("uint8")


def _is_lost(warning: str) -> bool:
    """Return whether a warning means that pixels are lost, of a photo without bytes between segments."""
    if any(word in warning for word in _HARMLESS):
        return False
    surplus = _EXTRANEOUS.search(warning)
    # Before a restart or another scan, a surplus would hide what libjpeg warns of behind it.
    return surplus is None or int(surplus[1]) > PADDING or int(surplus[2], 16) != EOI


def _reason(warning: str) -> str:
    return f"{DAMAGED} ({warning.removeprefix('Corrupt JPEG data: ')})"


def _segments(data: bytes, place: int = 2) -> Iterator[Segment]:
    """Segments up to the end of the photo, as libjpeg finds them: what stands between two of them does not count."""
    pattern = _MARKER
    while found := pattern.search(data, place):
        marker, place = found[0][1], found.end()
        if marker == EOI:
            return
        if marker in ALONE:
            continue
        end = place + int.from_bytes(data[place : place + 2])
        yield marker, place + 2, end
        place, pattern = end, _BEHIND_SCAN if marker == SOS else _MARKER


def _check_scans(data: bytes, place: int, components: bytes, progressive: bool) -> None:
    """Refuses a photo that ends before every coefficient of every component was sent in full.

    A progressive photo that was cut between two scans is whole to libjpeg, and blurred.
    """
    missing = {component: bytearray(b"\xff" * 64) for component in components}
    for marker, begin, end in _segments(data, place):
        if marker != SOS or len(data) < end or end < begin + 4:
            continue
        *chosen, first, last, bits = data[begin + 1 : end]
        for component in chosen[::2]:
            if component in missing and progressive:
                missing[component][first : last + 1] = bytes([bits & 15]) * (last + 1 - first)
            elif component in missing:
                missing[component] = bytearray()
        if not any(any(left) for left in missing.values()):
            return
    raise UnreadableError(f"{DAMAGED} (scans are missing)")


def _plain(data: bytes) -> bytes:
    """The photo without what libjpeg only warns of: bytes between segments, and values that it passes over."""
    segments = list(_segments(data))
    frames = {marker: data[begin + 5] for marker, begin, _ in segments if marker in FRAMES}
    parts, done, scanned = [data[:2]], 2, False
    for marker, begin, end in segments:
        if scanned:
            parts.append(data[done : begin - 4])
        content = bytearray(data[begin:end])
        if marker == APP0 and content.startswith(b"JFIF"):
            content[5:6] = b"\1"
        elif marker == APP14 and content.startswith(b"Adobe") and len(content) > 11 and content[11] > 2:
            content[11] = 2 if 4 in frames.values() else 1
        elif marker == SOS and not PROGRESSIVE & frames.keys():
            content[-3:] = b"\0\x3f\0"
        parts += [bytes((0xFF, marker)), data[begin - 2 : begin], bytes(content)]
        done, scanned = end, marker == SOS
    return b"".join([*parts, data[done:]])
