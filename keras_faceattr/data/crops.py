"""Decoded crops of a manifest, each photo decoded once: in memory, on disk, or again in every epoch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from keras_faceattr.data.crop import CropSpec
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.photos import read_photo
from keras_faceattr.errors import ConfigError, DataError, PhotoError, RunError
from keras_faceattr.storage import cache_folder, write_json

Progress = Callable[[int, int], None]

CHUNK = 256
"""Photos decoded between two reports of progress."""

MEMORY_SHARE = 0.25
"""Share of the free memory that cached crops may take before the disk is used."""


@dataclass(frozen=True)
class Crops:
    """Crops by position.

    Attributes:
        spec: how they were cut.
        paths: (n,) photos.
        pixels: (m, size, size, 3) uint8 RGB in memory or mapped from disk; None where each is decoded when asked for.
        places: (n,) row of `pixels` that shows each photo; photos that cannot be decoded leave gaps.
    """

    spec: CropSpec
    paths: list[Path]
    pixels: np.ndarray | None
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, positions: np.ndarray) -> np.ndarray:
        """(k, size, size, 3) uint8 RGB crops at (k,) positions."""
        if self.pixels is not None:
            return np.asarray(self.pixels[self.places[positions]])
        return np.stack([self.spec.apply(read_photo(self.paths[i])) for i in positions])


@dataclass(frozen=True)
class LabelledCrops:
    """Crops with the labels of every task.

    Attributes:
        crops: n of them.
        labels: (n, label_width) float32 by task, NaN where not labelled.
        rows: (n,) position of each crop in `crops`.
    """

    crops: Crops
    labels: dict[str, np.ndarray]
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def load_crops(
    manifest: Manifest, spec: CropSpec, cache: str, max_bad_share: float = 0.01, progress: Progress | None = None
) -> tuple[Crops, Manifest]:
    """Decodes and crops every photo, and puts aside those that cannot be decoded.

    Args:
        cache: `memory`, `disk`, `none`, or `auto`: memory where the crops fit in a quarter of what is free.
        max_bad_share: of all photos; above it the data is refused.
        progress: called with photos done and photos in all.

    Returns:
        The crops, and the manifest of the photos that they show, row by row.

    Raises:
        DataError: more bad photos than allowed.
        RunError: the disk has no room for the cache.
    """
    shape = (len(manifest), spec.size, spec.size, 3)
    kind = cache if cache != "auto" else ("memory" if np.prod(shape) < MEMORY_SHARE * free_memory() else "disk")
    stored = _stored(manifest, spec) if kind == "disk" else None
    pixels: np.ndarray | None
    if stored:
        pixels, bad = stored
    else:
        with _allocated(kind, shape, manifest, spec) as (pixels, bad):
            _fill(pixels, bad, manifest.paths(), spec, progress)
    if bad:
        check_bad_share(len(bad), len(manifest), max_bad_share, next(iter(bad.values())))
    places = np.setdiff1d(np.arange(len(manifest)), list(bad))
    good = manifest.put_aside(list(bad), list(bad.values()))
    return Crops(spec, good.paths(), pixels, places), good


def decode_stream(paths: list[Path], spec: CropSpec) -> Iterator[np.ndarray | str]:
    """Crops in order, or the reason why one cannot be decoded; memory does not grow with the number of photos."""
    for _, result in _decode_all(paths, spec):
        yield result


def free_memory() -> int:
    """Bytes that can be taken without swapping; a quarter of a gigabyte where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 1 << 28


def check_bad_share(bad: int, total: int, limit: float, first: str) -> None:
    """Refuses data of which too much had to be put aside.

    Raises:
        DataError: `bad` is more than `limit` of `total`.
    """
    if bad > limit * total:
        raise DataError(
            f"{bad} of {total} rows or photos are bad, more than the allowed {limit:.1%}; the first: {first}; "
            "mend them or raise data.max_bad_share"
        )


def _decode_all(paths: list[Path], spec: CropSpec) -> Iterator[tuple[int, np.ndarray | str]]:
    def decode(path: Path) -> np.ndarray | str:
        try:
            return spec.apply(read_photo(path))
        except PhotoError as error:
            return str(error)

    # OpenCV's own threads would fight with ours; it releases Python's lock, so that threads are enough.
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(paths), CHUNK):
            yield from enumerate(pool.map(decode, paths[start : start + CHUNK]), start)


def _fill(
    pixels: np.ndarray | None, bad: dict[int, str], paths: list[Path], spec: CropSpec, progress: Progress | None
) -> None:
    for done, (position, result) in enumerate(_decode_all(paths, spec), start=1):
        if isinstance(result, str):
            bad[position] = result
        elif pixels is not None:
            pixels[position] = result
        if progress and (done % CHUNK == 0 or done == len(paths)):
            progress(done, len(paths))


def _stored_path(manifest: Manifest, spec: CropSpec) -> Path:
    key = hashlib.sha256(repr(spec).encode())
    for path in manifest.paths():
        try:
            status = path.stat()
        except OSError:
            continue
        key.update(f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n".encode())
    return cache_folder() / "crops" / f"{key.hexdigest()[:24]}.npy"


def _stored(manifest: Manifest, spec: CropSpec) -> tuple[np.ndarray, dict[int, str]] | None:
    """Crops of an earlier run and the photos that could not be decoded; None where there are none."""
    path = _stored_path(manifest, spec)
    try:
        bad = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return None
    if pixels.shape != (len(manifest), spec.size, spec.size, 3):
        return None
    return pixels, {int(position): reason for position, reason in bad.items()}


@contextmanager
def _allocated(
    kind: str, shape: tuple[int, ...], manifest: Manifest, spec: CropSpec
) -> Iterator[tuple[np.ndarray | None, dict[int, str]]]:
    """Room for crops and for the reasons of bad photos; what is on disk is stored when the block succeeds."""
    bad: dict[int, str] = {}
    if kind in ("memory", "none"):
        yield (np.empty(shape, np.uint8) if kind == "memory" else None), bad
        return
    if kind != "disk":
        raise ConfigError(f"unknown cache {kind!r}; valid: auto, memory, disk, none")
    target = _stored_path(manifest, spec)
    partial = target.with_name(f".writing-{os.getpid()}-{target.name}")
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            usage = os.statvfs(target.parent)
            if usage.f_bavail * usage.f_frsize < np.prod(shape):
                raise OSError(28, "no space left on device")
            pixels = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
        except OSError as error:
            raise RunError(
                f"cannot cache crops in {target.parent}: {error.strerror}; set KERAS_FACEATTR_CACHE or data.cache=none"
            ) from error
        yield pixels, bad
        pixels.flush()
        # The pixels count only beside the list of bad photos, which is written last.
        os.replace(partial, target)
        write_json(target.with_suffix(".json"), bad)
    finally:
        with suppress(OSError):
            partial.unlink()
