"""Decoded crops of a manifest, each photo decoded once: in memory, on disk, or again in every epoch."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from keras_faceattr.cache import hold_as_long_as, make_room
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.errors import ConfigError, DataError, PhotoError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import Cropper
from keras_faceattr.faces.nets import detector_version
from keras_faceattr.faces.opencv_threads import opencv_threads
from keras_faceattr.faces.photos import DECODER, resources
from keras_faceattr.machine import usable_cores, usable_memory
from keras_faceattr.storage import cache_folder, remove_leftovers, replacing, write_json

Progress = Callable[[int, int], None]
Job = TypeVar("Job")
Result = TypeVar("Result")
Jobs = list[tuple[Path, bool]]
"""Photos, and whether each is a crop already."""

CHUNK = 256
"""Photos decoded between two reports of progress."""

MEMORY_SHARE = 0.25
"""Share of the free memory that cached crops may take before the disk is used."""


@dataclass(frozen=True)
class Crops:
    """Crops by position.

    Attributes:
        cropper: how they are cut.
        paths: (n,) photos.
        pixels: (m, size, size, 3) uint8 RGB in memory or mapped from disk; None where each is decoded when asked for.
        places: (n,) row of `pixels` that shows each photo; photos that cannot be decoded leave gaps.
        ready: (n,) whether a file already is the crop.
    """

    cropper: Cropper
    paths: list[Path]
    pixels: np.ndarray | None
    places: np.ndarray
    ready: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def spec(self) -> CropSpec:
        return self.cropper.spec

    @property
    def jobs(self) -> Jobs:
        return [(path, bool(ready)) for path, ready in zip(self.paths, self.ready, strict=True)]

    def take(self, positions: np.ndarray) -> np.ndarray:
        """(k, size, size, 3) uint8 RGB crops at (k,) positions."""
        if self.pixels is not None:
            return np.asarray(self.pixels[self.places[positions]])
        # Feeds that ask at the same time have threads of their own.
        with opencv_threads(1):
            return np.stack([self.cropper.crop(self.paths[i], self.ready[i]) for i in positions])

    def chunks(self, positions: np.ndarray, size: int = CHUNK) -> Iterator[np.ndarray]:
        """The crops at (k,) positions, as of `take`, at most `size` at a time."""
        for start in range(0, len(positions), size):
            yield self.take(positions[start : start + size])


@dataclass(frozen=True)
class LabelledCrops:
    """Crops with the labels of every task.

    Attributes:
        crops: n of them.
        labels: (n, label_width) float32 by task, NaN where not labelled.
        rows: (n,) position of each crop in `crops`.
        sources: (n,) number of the data set that each comes from; None where it does not matter.
    """

    crops: Crops
    labels: dict[str, np.ndarray]
    rows: np.ndarray
    sources: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)


def load_crops(
    manifest: Manifest,
    spec: CropSpec,
    cache: str,
    max_bad_share: float = 0.01,
    progress: Progress | None = None,
) -> tuple[Crops, Manifest]:
    """Decode and crop every photo, and quarantine those that cannot be decoded or show no face.

    Args:
        cache: `memory`, `disk`, `none`, or `auto`: memory where the crops fit in a quarter of what is free.
        max_bad_share: largest share of bad photos; above it the data is refused.
        progress: called with photos done and photos in all.

    Returns:
        The crops, and the manifest of the photos that they show, row by row.

    Raises:
        ConfigError: photos that are crops already, but others than `spec` asks for.
        DataError: more bad photos than allowed.
        RunError: the disk has no room for the cache.
        ResourceError: memory or open files ran out.
    """
    ready = _ready(manifest, spec)
    cropper = Cropper(spec)
    shape = (len(manifest), spec.size, spec.size, 3)
    kind = cache if cache != "auto" else ("memory" if np.prod(shape) < MEMORY_SHARE * usable_memory() else "disk")
    jobs = list(zip(manifest.paths(), ready, strict=True))
    stored = _stored(jobs, spec) if kind == "disk" else None
    pixels: np.ndarray | None
    if stored:
        pixels, bad = stored
    else:
        with _allocated(kind, shape, jobs, spec) as (pixels, bad):
            _fill(pixels, bad, jobs, cropper, progress)
    if bad:
        check_bad_share(len(bad), len(manifest), max_bad_share, next(iter(bad.values())))
    places = np.setdiff1d(np.arange(len(manifest)), list(bad))
    good = manifest.put_aside(list(bad), list(bad.values()))
    return Crops(cropper, good.paths(), pixels, places, ready[places]), good


def each(jobs: Sequence[Job], function: Callable[[Job], Result]) -> Iterator[Result | str]:
    """Results in order, or the reason why a photo cannot be used; memory does not grow with the number of photos.

    Raises:
        ResourceError: memory or open files ran out, which says nothing of the photo.
    """

    def run(job: Job) -> Result | str:
        try:
            with resources(str(job[0] if isinstance(job, tuple) else job)):
                return function(job)
        except PhotoError as error:
            return str(error)

    # OpenCV releases Python's lock, so that threads are enough.
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(jobs), CHUNK):
            with opencv_threads(1):
                results = list(pool.map(run, jobs[start : start + CHUNK]))
            yield from results


def check_bad_share(
    bad: int, total: int, limit: float, first: str, mend: str = "fix them or raise data.max_bad_share"
) -> None:
    """Refuse data of which too much had to be quarantined.

    Raises:
        DataError: `bad` is more than `limit` of `total`.
    """
    if bad > limit * total:
        raise DataError(
            f"{bad} of {total} rows or photos are bad, more than the allowed {limit:.1%}; the first: {first}; {mend}"
        )


def _ready(manifest: Manifest, spec: CropSpec) -> np.ndarray:
    """(n,) which photos are crops already."""
    for name, source in manifest.sources.items():
        if source.crop is not None:
            check_same_crop(name, source.crop, spec)
    return np.array([manifest.sources[name].crop is not None for name in manifest.rows["source"]], bool)


def check_same_crop(name: str, crop: CropSpec, spec: CropSpec) -> None:
    """Refuse crops that a model would not cut itself.

    Args:
        name: name of the crops' source.
        crop: how they were cut.
        spec: how the model cuts.

    Raises:
        ConfigError: cut otherwise, or too small.
    """
    differences = crop.differences(spec)
    if differences:
        mend = " ".join(f"data.crop.{key}={_plain(value)}" for key, value in differences.items())
        raise ConfigError(f"{name}: its photos are crops that were cut otherwise; set {mend}, or align them again")
    if spec.size > crop.size:
        raise ConfigError(
            f"{name}: its crops have {crop.size} pixels, and data.crop.size is {spec.size}; set it lower, or align the "
            f"photos again with --size {spec.size}"
        )


def _plain(value: object) -> str:
    return "null" if value is None else str(value).replace(" ", "")


def _fill(
    pixels: np.ndarray | None, bad: dict[int, str], jobs: Jobs, cropper: Cropper, progress: Progress | None
) -> None:
    for position, result in enumerate(each(jobs, lambda job: cropper.crop(*job))):
        if isinstance(result, str):
            bad[position] = result
        elif pixels is not None:
            pixels[position] = result
        done = position + 1
        if progress and (done % CHUNK == 0 or done == len(jobs)):
            progress(done, len(jobs))


def crops_key(jobs: Jobs, spec: CropSpec) -> str:
    """A name for crops of these files as they are now."""
    key = hashlib.sha256(repr((spec, detector_version() if spec.needs_face else "", DECODER)).encode())
    for path, ready in jobs:
        try:
            status = path.stat()
        except OSError:
            continue
        key.update(f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {ready}\n".encode())
    return key.hexdigest()[:24]


def _stored_path(jobs: Jobs, spec: CropSpec) -> Path:
    return cache_folder() / "crops" / f"{crops_key(jobs, spec)}.npy"


def _stored(jobs: Jobs, spec: CropSpec) -> tuple[np.ndarray, dict[int, str]] | None:
    """Crops of an earlier run and the photos that could not be decoded; None where there are none."""
    path = _stored_path(jobs, spec)
    try:
        bad = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        reasons = {int(position): str(reason) for position, reason in bad.items()}
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError, AttributeError, RecursionError):
        return None
    whole = pixels.shape == (len(jobs), spec.size, spec.size, 3) and pixels.dtype == np.uint8
    if not whole or not all(0 <= position < len(jobs) for position in reasons):
        return None
    return (pixels, reasons) if hold_as_long_as(pixels, path) else None


@contextmanager
def _allocated(
    kind: str, shape: tuple[int, ...], jobs: Jobs, spec: CropSpec
) -> Iterator[tuple[np.ndarray | None, dict[int, str]]]:
    """Room for crops and for the reasons of bad photos; what is on disk is stored when the block succeeds."""
    bad: dict[int, str] = {}
    if kind in ("memory", "none"):
        yield (np.empty(shape, np.uint8) if kind == "memory" else None), bad
        return
    if kind != "disk":
        raise ConfigError(f"unknown cache {kind!r}; valid: auto, memory, disk, none")
    target = _stored_path(jobs, spec)
    remove_leftovers(target.parent)
    with replacing(target, fix="set KERAS_FACEATTR_CACHE or data.cache=none") as partial:
        make_room(int(np.prod(shape)))
        if shutil.disk_usage(target.parent).free < np.prod(shape):
            raise OSError(28, "no space left on device")
        pixels = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
        yield pixels, bad
        pixels.flush()
    hold_as_long_as(pixels, target)
    # The pixels count only with the list of bad photos, which is written last.
    write_json(target.with_suffix(".json"), bad)
