"""The crops of a batch together with what a teacher says about them: asked along, or once for a few crops per photo."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from keras_faceattr.cache import hold_as_long_as, make_room
from keras_faceattr.config import AugmentationConfig
from keras_faceattr.data.augmentation import augment
from keras_faceattr.data.crop_cache import CHUNK, LabelledCrops, Progress, crops_key
from keras_faceattr.storage import cache_folder, remove_leftovers, replacing

Answers = dict[str, np.ndarray]
Teacher = Callable[[np.ndarray], Answers]
"""(b, side, side, 3) crops from 0 to 255, as the student sees them, to (b, numbers) by task and (b, …) by map."""

STORED_CROPS = 0x5C0
"""Keeps the random numbers of stored crops apart from those of (seed, epoch, step)."""


PROOF = 16
"""Crops that are drawn anew to see whether stored answers are still about them."""


@dataclass(frozen=True)
class Subjects:
    """Tasks and outputs of a teacher.

    Attributes:
        widths: numbers per photo, by task.
        maps: shape of each feature map, by the name under which a batch carries it.
    """

    widths: dict[str, int]
    maps: dict[str, tuple[int, ...]] = field(default_factory=dict)


class Teaching(Protocol):
    """Makes the crops of a batch, with the teacher's answers about these very crops."""

    @property
    def subjects(self) -> Subjects:
        """Tasks and outputs of the teacher."""

    def __call__(self, crops: np.ndarray, places: np.ndarray, epoch: int, step: int) -> tuple[np.ndarray, Answers]:
        """Crops (b, side, side, 3) float32 as the student sees them, and the answers.

        Args:
            crops: (b, side, side, 3) uint8, not yet changed.
            places: (b,) positions of the photos in the train photos.
        """


@dataclass(frozen=True)
class Along:
    """Asks the teacher about each crop of each epoch.

    Attributes:
        seed: random seed of the training, which draws the same crops with and without a teacher.
    """

    teacher: Teacher
    subjects: Subjects
    augmentation: AugmentationConfig | None
    seed: int

    def __call__(self, crops: np.ndarray, places: np.ndarray, epoch: int, step: int) -> tuple[np.ndarray, Answers]:
        """See `Teaching`."""
        images = changed(crops, self.augmentation, (self.seed, epoch, step))
        return images, self.teacher(images)


@dataclass(frozen=True)
class Stored:
    """Goes round through a few crops of each photo, about which the teacher was asked before.

    Attributes:
        answers: (n, crops, numbers) float32, the tasks side by side.
        seed: random seed of the training.
    """

    answers: np.ndarray
    subjects: Subjects
    augmentation: AugmentationConfig | None
    seed: int

    def __call__(self, crops: np.ndarray, places: np.ndarray, epoch: int, step: int) -> tuple[np.ndarray, Answers]:
        """See `Teaching`."""
        number = epoch % self.answers.shape[1]
        images = stored_crops(crops, places, number, self.augmentation, self.seed)
        told = np.asarray(self.answers[places, number])
        ends = np.cumsum(list(self.subjects.widths.values()))[:-1]
        return images, dict(zip(self.subjects.widths, np.split(told, ends, axis=1), strict=True))


def changed(crops: np.ndarray, augmentation: AugmentationConfig | None, seed: tuple[int, ...]) -> np.ndarray:
    """(b, side, side, 3) float32 crops, changed at random where there is an augmentation."""
    return augment(crops, augmentation, seed) if augmentation else crops.astype("float32")


def stored_crops(
    crops: np.ndarray, places: np.ndarray, number: int, augmentation: AugmentationConfig | None, seed: int
) -> np.ndarray:
    """(b, side, side, 3) float32: each photo's crop of this number; (seed, photo, number) alone decide."""
    drawn = [
        changed(crop[None], augmentation, (seed, STORED_CROPS, int(place), number))
        for crop, place in zip(crops, places, strict=True)
    ]
    return np.concatenate(drawn)


def ask_all(
    teacher: Teacher,
    subjects: Subjects,
    identity: str,
    data: LabelledCrops,
    augmentation: AugmentationConfig | None,
    seed: int,
    count: int,
    progress: Progress | None = None,
) -> Stored:
    """Return a teacher's answers for `count` crops of each photo, computed once and kept in the cache.

    Args:
        identity: identity of the teacher, of all that its answers depend on besides the crops.
        data: the train photos.
        progress: called with photos done and photos in all.

    Raises:
        RunError: the disk has no room for the answers.
    """
    rows, jobs, shape = data.rows, data.crops.jobs, (len(data), count, sum(subjects.widths.values()))
    told = f"{identity} {subjects.widths} {crops_key([jobs[row] for row in rows], data.crops.spec)}"
    key = hashlib.sha256(f"{told} {augmentation!r} {seed} {count}".encode())
    # Another version of the augmentation, or of OpenCV, draws other crops.
    places = np.arange(min(len(data), PROOF))
    key.update(stored_crops(data.crops.take(rows[places]), places, 0, augmentation, seed).tobytes())
    path = cache_folder() / "teachers" / f"{key.hexdigest()[:24]}.npy"
    answers = _read(path, shape)
    if answers is None:
        remove_leftovers(path.parent)
        with replacing(path, fix="set KERAS_FACEATTR_CACHE") as partial:
            needed = 4 * int(np.prod(shape))
            make_room(needed)
            if shutil.disk_usage(path.parent).free < needed:
                raise OSError(28, "no space left on device")
            filled = np.lib.format.open_memmap(partial, "w+", np.float32, shape)
            chunks = [np.arange(start, min(start + CHUNK, len(data))) for start in range(0, len(data), CHUNK)]
            asked = [(places, number) for places in chunks for number in range(count)]

            def draw(places: np.ndarray, number: int) -> np.ndarray:
                return stored_crops(data.crops.take(rows[places]), places, number, augmentation, seed)

            # The next crops are drawn while the teacher looks at these.
            with ThreadPoolExecutor(1) as ahead:
                coming = ahead.submit(draw, *asked[0])
                for (places, number), after in zip(asked, [*asked[1:], None], strict=True):
                    crops = coming.result()
                    if after:
                        coming = ahead.submit(draw, *after)
                    said = teacher(crops)
                    filled[places, number] = np.concatenate([said[name] for name in subjects.widths], axis=1)
                    if progress and number == count - 1:
                        progress(int(places[-1]) + 1, len(data))
            filled.flush()
            del filled
        answers = np.load(path, mmap_mode="r", allow_pickle=False)
        hold_as_long_as(answers, path)
    return Stored(answers, subjects, augmentation, seed)


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Answers that were stored before; None where there are none, or a damaged file."""
    try:
        answers = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return None
    if answers.shape != shape or answers.dtype != np.float32:
        return None
    return answers if hold_as_long_as(answers, path) else None
