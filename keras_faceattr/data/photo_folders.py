"""Photos below a folder: the one walk that every reader, `align` and `predict` share."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from keras_faceattr.errors import DataError

PHOTO_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
    ".pnm", ".heic", ".heif", ".avif", ".jp2",
)  # fmt: skip
"""Endings of photos, read or not: one that no decoder reads is named with its reason instead of overlooked."""


@dataclass(frozen=True)
class FoundPhotos:
    """Contents of a folder. Paths are relative to it, with `/` between folders.

    Attributes:
        photos: regular files that end as photos do, sorted.
        skipped: path and reason of what may hold photos and cannot be read, sorted: folders without permission, broken
            links, pipes and devices, names that no table can hold.
        others: number of other files by suffix, such as `{".csv": 1}`.
    """

    root: Path
    photos: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    others: dict[str, int]


def find_photos(root: Path) -> FoundPhotos:
    """Walk a folder and all below it.

    Links to files and folders are followed, except a link to a folder that it lies in. A folder that two links lead to
    is entered twice. Files and folders that begin with a dot are left out.

    Raises:
        DataError: the folder is missing, cannot be read, or holds no photo; with what it holds instead.
    """
    photos: list[str] = []
    skipped: list[tuple[str, str]] = []
    others: Counter[str] = Counter()
    for path, reason in _walk(root, "", _above(root)):
        suffix = PurePosixPath(path).suffix.lower()
        # A link to nothing may have been a folder of photos.
        if suffix not in PHOTO_SUFFIXES and not path.endswith("/") and reason != BROKEN:
            others[suffix] += 1
        elif reason is None:
            photos.append(path)
        else:
            skipped.append((printable(path), reason))
    found = FoundPhotos(root, tuple(sorted(photos)), tuple(sorted(skipped)), dict(sorted(others.items())))
    if not found.photos:
        raise DataError(_told(found))
    return found


def list_photos(root: Path) -> list[str]:
    """Paths of all photos below `root`, relative, sorted, `/` between folders.

    Raises:
        DataError: the folder is missing or holds no photo.
    """
    return list(find_photos(root).photos)


def _told(found: FoundPhotos) -> str:
    """Describe the contents of a folder without photos."""
    if found.skipped:
        path, reason = found.skipped[0]
        return f"no photos below {found.root} can be read; the first: {path}: {reason}"
    others = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in found.others.items())
    held = f"; other files: {others}" if others else ""
    return f"no photos below {found.root} (looked for {', '.join(PHOTO_SUFFIXES)}{held})"


BROKEN = "a link to nothing; remove it or restore what it leads to"


def name_fault(name: str) -> str | None:
    """Reason why a photo's name cannot stand in a table; None where it can."""
    if name.isprintable():
        return None
    if any("\ud800" <= sign <= "\udfff" for sign in name):
        return "the file name is not UTF-8; rename it"
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in name):
        return "the file name holds a line break or another control character; rename it"
    return None


def printable(name: str) -> str:
    """The name with an escape for each sign that a table or a terminal cannot show."""
    return name if name_fault(name) is None else name.encode("unicode_escape").decode("ascii")


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, str | None]]:
    """Files below a folder, and folders that cannot be entered, which end with `/`; each with its fault, or None."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name)
        own = _identity(folder)
    except OSError as error:
        if not prefix and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise DataError(f"no such folder: {folder}") from None
        if not prefix:
            raise DataError(f"cannot read {folder}: {error.strerror}; allow it, or name another folder") from None
        yield prefix, f"the folder cannot be read: {error.strerror}; allow it, or move it away"
        return
    above = (*above, own)
    for entry in found:
        path = prefix + entry.name
        try:
            status = entry.stat()
        except OSError as error:
            yield path, BROKEN if entry.is_symlink() else f"cannot be read: {error.strerror}"
            continue
        if stat.S_ISDIR(status.st_mode):
            if (status.st_dev, status.st_ino) not in above:
                yield from _walk(folder / entry.name, f"{path}/", above)
        elif not stat.S_ISREG(status.st_mode):
            yield path, "no regular file but a pipe, socket or device; move it away"
        else:
            yield path, name_fault(path)


def _above(root: Path) -> tuple[tuple[int, int], ...]:
    """The folders in which a folder lies; none where it cannot be reached, of which the walk says why."""
    try:
        return tuple(_identity(parent) for parent in Path(os.path.realpath(root)).parents)
    except OSError:
        return ()


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
