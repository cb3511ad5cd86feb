"""The cache of derived data: its entries, their use, and their removal when it grows too large."""

from __future__ import annotations

import os
import re
import shutil
import time
import weakref
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from keras_faceattr.errors import ConfigError, RunError, nearest
from keras_faceattr.storage import TEMPORARY, cache_folder

LIMIT = "KERAS_FACEATTR_CACHE_LIMIT"
"""Variable with the most bytes that the cache may keep, such as 50GB, or none."""

DEFAULT_LIMIT, DISK_SHARE = 20 * 10**9, 0.25
"""Without the variable: the smaller of 20 GB and this share of the disk."""

REMOVING = ".removing-"
"""What names of entries that are being removed begin with."""

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

LEFT_OVER_AFTER_S = 24 * 3600.0
"""A file that is being written changes more often than this; an older one was left by a process that was killed."""


@dataclass(frozen=True)
class Kind:
    """One kind of derived data.

    Attributes:
        patterns: of its entries' paths within the cache.
        purpose: what it is for.
        evicted: whether entries make room for others; if not, they go only when somebody cleans the cache.
    """

    patterns: tuple[str, ...]
    purpose: str
    evicted: bool = True


KINDS: dict[str, Kind] = {
    "crops": Kind(("crops/*.npy",), "decoded crops of a training's photos"),
    "synthetic": Kind(("synthetic/*",), "drawn faces, such as those of quickstart"),
    "fer2013": Kind(("fer2013-*",), "photos of FER2013, from its CSV"),
    "teachers": Kind(("teachers/*.npy",), "what teachers say about photos"),
    "detector": Kind(("mtcnn/*",), "nets of the face detector", evicted=False),
    "references": Kind(("references/*.tflite",), "reference nets of benchmark", evicted=False),
    "demo": Kind(("demo/*",), "runtime and detectors of demo", evicted=False),
    "certificate": Kind(("http/*",), "certificate of demo --https", evicted=False),
    "leftovers": Kind(
        tuple(f"{place}{name}*" for place in ("", "*/") for name in (TEMPORARY, REMOVING)), "left by killed processes"
    ),
}


@dataclass(frozen=True)
class Entry:
    """One thing that can be removed.

    Attributes:
        size: bytes of all its files.
        last_used: seconds since 1970.
    """

    kind: str
    path: Path
    size: int
    last_used: float

    @property
    def in_use(self) -> bool:
        """Whether a process of this machine holds it now."""
        held = _locked(self.path, exclusive=True)
        if held is not None:
            os.close(held)
        return held is None


def limit() -> int | None:
    """Most bytes that the cache may keep; None for no limit.

    Raises:
        ConfigError: the variable is no size.
    """
    text = os.environ.get(LIMIT, "").strip()
    if text.lower() == "none":
        return None
    if not text:
        folder = next(path for path in (cache_folder(), *cache_folder().absolute().parents) if path.exists())
        return min(DEFAULT_LIMIT, int(DISK_SHARE * shutil.disk_usage(folder).total))
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B)?", text.upper())
    if found is None:
        raise ConfigError(f"{LIMIT}={text}: write a size such as 50GB, or none")
    return int(float(found[1]) * UNITS[found[2] or ""])


def entries(kinds: Iterable[str] = (), older_than_days: float = 0.0) -> list[Entry]:
    """List the entries of the cache, least recently used first.

    Args:
        kinds: names of `KINDS`; empty for all.
        older_than_days: leaves out what was used since.

    Raises:
        ConfigError: unknown kind.
    """
    for name in kinds:
        if name not in KINDS:
            raise ConfigError(f"unknown kind {name!r}; {nearest(name, KINDS)}")
    now = time.time()
    found = [
        Entry(name, path, _size(path), used)
        for name in kinds or KINDS
        for pattern in KINDS[name].patterns
        for path in cache_folder().glob(pattern)
        if (used := _last_used(path)) is not None
        and now - used >= older_than_days * 86400
        and (name == "leftovers") == path.name.startswith(".")
        and (name != "leftovers" or now - used > LEFT_OVER_AFTER_S)
    ]
    return sorted(found, key=lambda entry: entry.last_used)


def remove(entry: Entry) -> bool:
    """Removes an entry that no process uses; a killed removal leaves it whole, or renamed as a leftover.

    Returns:
        Whether it is gone.
    """
    held = _locked(entry.path, exclusive=True)
    if held is None:
        return not entry.path.exists()
    try:
        # Without its list of bad photos, an array of crops counts as absent.
        if entry.kind == "crops":
            entry.path.with_suffix(".json").unlink(missing_ok=True)
        doomed = entry.path.with_name(f"{REMOVING}{os.getpid()}-{entry.path.name.lstrip('.')}")
        os.replace(entry.path, doomed)
        if doomed.is_dir() and not doomed.is_symlink():
            shutil.rmtree(doomed, ignore_errors=True)
        else:
            doomed.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot remove {entry.path}: {error.strerror}; is the cache yours?") from error
    finally:
        os.close(held)
    return True


def make_room(needed: int = 0) -> list[Entry]:
    """Removes least recently used entries until `needed` bytes fit within the limit and on the disk.

    What is in use stays, so that the cache may be larger than its limit for a while. An entry that is larger than the
    limit alone is still allowed: it goes when the next one needs room.

    Returns:
        What was removed.
    """
    most = limit()
    kept = entries()
    total = sum(entry.size for entry in kept)
    removed = []
    for entry in kept:
        fits = most is None or total + needed <= most
        if fits and shutil.disk_usage(cache_folder()).free >= needed:
            break
        if KINDS[entry.kind].evicted and remove(entry):
            removed.append(entry)
            total -= entry.size
    return removed


class Hold:
    """Keeps an entry from being removed while this object lives; the end of the process ends it too."""

    def __init__(self, descriptor: int) -> None:
        self.release = weakref.finalize(self, os.close, descriptor)


_HELD: dict[Path, Hold] = {}


def hold(path: Path) -> Hold | None:
    """Marks an entry as used now, and keeps it; None where it is absent or being removed."""
    descriptor = _locked(path, exclusive=False)
    if descriptor is None:
        return None
    # A cache that several people share may not be ours to mark.
    with suppress(OSError):
        os.utime(path)
    return Hold(descriptor)


def hold_as_long_as(owner: object, path: Path) -> bool:
    """As `hold`, until `owner` is gone; whether the entry is there."""
    held = hold(path)
    if held is None:
        return False
    # The callback keeps the hold alive until then.
    weakref.finalize(owner, lambda kept: kept.release(), held)
    return True


def hold_for_good(path: Path) -> bool:
    """As `hold`, until the process ends; whether the entry is there."""
    if path not in _HELD or not path.exists():
        held = hold(path)
        if held is None:
            return False
        _HELD[path] = held
    return True


def _locked(path: Path, exclusive: bool) -> int | None:
    """An open descriptor that locks a file or a folder; None where others hold it or it is absent."""
    try:
        import fcntl
    except ImportError:  # Windows opens no folder; the system itself refuses to remove open files.
        return os.open(os.devnull, os.O_RDONLY) if path.exists() else None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        # On a file system without locks, what is there is read, and nothing is removed.
        if exclusive or isinstance(error, BlockingIOError):
            os.close(descriptor)
            return None
    try:
        # It may have been renamed between opening and locking.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _last_used(path: Path) -> float | None:
    try:
        return path.lstat().st_mtime
    except OSError:
        return None


def _size(path: Path) -> int:
    if not path.is_dir() or path.is_symlink():
        companion = path.with_suffix(".json") if path.suffix == ".npy" else None
        return sum(_file_size(file) for file in (path, companion) if file is not None)
    with suppress(OSError), os.scandir(path) as inside:
        return sum(
            _size(Path(item.path)) if item.is_dir(follow_symlinks=False) else item.stat(follow_symlinks=False).st_size
            for item in inside
        )
    return 0


def _file_size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
