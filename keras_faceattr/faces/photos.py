"""The one decoder: photo file to upright RGB pixels, for training, evaluation and the phone's golden crops."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from keras_faceattr.errors import PhotoError, ResourceError
from keras_faceattr.faces.photo_formats import FORMATS, format_name, is_installed
from keras_faceattr.faces.photo_headers import DAMAGED, Header, UnreadableError
from keras_faceattr.faces.scaled import Scaled

MAX_PIXELS = 178_956_970
"""Larger photos are refused before they are decoded (the limit that Pillow uses against decompression bombs)."""

DECODER = 2
"""Changes whenever a file is decoded to other pixels, or refused, than before: cached crops are made again then."""

SCARCE = {
    getattr(errno, name)
    for name in ("ENOMEM", "EMFILE", "ENFILE", "ENOSPC", "EDQUOT", "EIO", "ESTALE", "ETIMEDOUT", "EAGAIN")
    if hasattr(errno, name)
}
"""Error numbers for a lack of resources, which say nothing about the file."""


RARE = "of a rare kind; save it again as PNG"
"""Possible cause if the decoder gives no reason."""

OPENCV_LIMIT = "CV_IO_MAX_IMAGE"
"""Stands in what OpenCV says of photos that are larger than the environment allows it."""


def read_photo(path: Path) -> np.ndarray:
    """Decodes a photo, turned upright by its EXIF orientation.

    Grey, 16-bit, CMYK and transparent photos become 8-bit RGB; of an animation the first frame counts. JPEG is
    decoded with the accurate inverse DCT.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        PhotoError: missing, empty, damaged, too large, or not a photo.
        ResourceError: memory or open files ran out.
    """
    return decode_photo(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """The bytes of a photo's file.

    Raises:
        PhotoError: missing, or no regular file.
        ResourceError: memory or open files ran out.
    """
    with resources(str(path)):
        try:
            # A pipe would wait for ever, and a device never end.
            if not stat.S_ISREG(path.stat().st_mode):
                raise PhotoError(f"{path}: no regular file but a folder, pipe, socket or device")
            return path.read_bytes()
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in SCARCE:
                raise
            raise PhotoError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def decode_photo(data: bytes, name: str) -> np.ndarray:
    """Decode a photo from bytes in memory, as `read_photo`; `name` appears in error messages."""
    return decode_scaled(data, name).pixels


def decode_scaled(data: bytes, name: str, reduction: int = 1) -> Scaled:
    """Decode a photo as `decode_photo`, or a smaller copy of it where the format has one for less work.

    Args:
        reduction: 1, 2, 4 or 8: pixels of the photo that a side of a decoded one covers; 1 is given where the format
            has no other.
    """
    if not data:
        raise PhotoError(f"{name}: the file is empty")
    kind = format_name(data)
    if kind is None:
        raise PhotoError(f"{name}: not a photo (its first bytes are of no known image format)")
    photo_format, header = FORMATS[kind], None
    with resources(name):
        try:
            header = photo_format.header(data)
            _check_size(header, len(data), name)
            smaller = photo_format.reduce if reduction > 1 else None
            pixels = smaller(data, header, reduction) if smaller else photo_format.decode(data, header)
        except PhotoError:
            raise
        except UnreadableError as error:
            raise PhotoError(f"{name}: cannot be decoded as {kind}: {error}") from error
        except Exception as error:  # Decoders raise whatever a damaged file makes them stumble over.
            if _is_scarcity(error):
                raise
            if not is_installed(kind):
                reason = f"OpenCV or Pillow is installed without {kind}; install newer ones, or save the photo as JPEG"
                raise PhotoError(f"{name}: cannot be decoded as {kind}: {reason}") from error
            if header is not None:
                # Some keep to themselves that memory ran out: where there is none for this, there was none for them.
                np.empty(4 * header.width * header.height, "uint32")
            raise PhotoError(f"{name}: cannot be decoded as {kind}: {DAMAGED}, or {RARE}") from error
        return _upright(pixels, header, reduction)


def _upright(pixels: np.ndarray, header: Header, reduction: int) -> Scaled:
    turn = UPRIGHT[header.orientation]
    upright = np.ascontiguousarray(turn(pixels))
    if reduction > 1 and pixels.shape[0] < header.height:
        whole = (header.width, header.height) if header.orientation > 4 else (header.height, header.width)
        # The last pixel of a copy may cover less than the others; it is the first of a photo that is stored mirrored.
        mirrored = np.argwhere(turn(FIRST_PIXEL))[0]
        beyond = np.array(whole) - reduction * np.array(upright.shape[:2])
        top, left = np.where(mirrored, beyond, 0)
        return Scaled(upright, reduction, (int(left), int(top)), whole)
    return Scaled.of(upright)


@contextmanager
def resources(name: str) -> Iterator[None]:
    """Tells what a machine ran out of from what is wrong with a photo.

    Raises:
        ResourceError: memory, disk or open files ran out while `name` was worked on, or OpenCV was told to read less.
    """
    try:
        yield
    except (MemoryError, cv2.error, OSError) as error:
        if not _is_scarcity(error):
            raise
        if OPENCV_LIMIT in str(error):
            raise ResourceError(f"{name}: OPENCV_IO_MAX_IMAGE_… forbids OpenCV to read it; unset it") from error
        what = error.strerror if isinstance(error, OSError) else "out of memory"
        raise ResourceError(f"{name}: {what}; free some or allow more, and run it again") from error


def _is_scarcity(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in SCARCE
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.StsNoMem or OPENCV_LIMIT in str(error)
    return isinstance(error, MemoryError)


def _check_size(header: Header, length: int, name: str) -> None:
    size = f"{header.width} × {header.height} pixels"
    if header.width * header.height <= MAX_PIXELS:
        return
    if header.bytes_needed > length:
        raise PhotoError(f"{name}: its header says {size}, and its {length} bytes cannot hold them: it is damaged")
    raise PhotoError(f"{name}: {size} are too many; scale it down first")


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
"""Rotation of stored pixels, by EXIF orientation."""

FIRST_PIXEL = np.array([[1, 0], [0, 0]])
"""Shows where a rotation takes the first of the stored pixels."""

MOST_REDUCED = 8
"""The smallest copy that a JPEG is decoded to has a pixel for a block of 8 × 8."""
