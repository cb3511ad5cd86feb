"""Embedded faces: drawn from a seed, with every label known, rendered once into the cache."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pandas as pd

from keras_faceattr.cache import hold_for_good, make_room
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.synthetic import synthetic_photo
from keras_faceattr.data.vocabulary import EXPRESSIONS, attributes_task
from keras_faceattr.errors import ConfigError, shown
from keras_faceattr.faces.opencv_threads import opencv_threads
from keras_faceattr.machine import usable_cores
from keras_faceattr.processes import worker_pool
from keras_faceattr.storage import cache_folder, replacing_folder
from keras_faceattr.tasks import CategoricalTask, Task, age_task, attractiveness_task

CITATION = "drawn by keras-faceattr; no person is shown"
LICENCE = "Apache-2.0"
GENDERS = ("female", "male")
RACES = ("Asian", "Black", "Caucasian", "Indian")
SPLITS = ("train",) * 7 + ("val",) + ("test",) * 2
"""Split of each person, by his number modulo ten."""

LABELS_FILE = "labels.csv"
LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
JPEG_QUALITY = 95

MOST_PHOTOS = 1_000_000

RENDERER_VERSION = 1
"""Raised whenever the pictures or labels of a seed change, so that old ones are not taken from the cache."""


def read(count: int = 2000, size: int = 128, seed: int = 0, photos_per_person: int = 1) -> Manifest:
    """Render `count` faces, or find them rendered, and read their labels.

    Args:
        count: photos; 70 % are train, 10 % val, 20 % test.
        size: side in pixels.
        seed: random seed of the faces; another seed gives other people.
        photos_per_person: with several, the manifest names the person in each; all of a person are in one split.

    Raises:
        ConfigError: a count or size that makes no sense.
        RunError: the cache folder cannot be written.
    """
    limits = {
        "count": (count, 10, MOST_PHOTOS),
        "size": (size, 32, 1024),
        "seed": (seed, 0, 2**31 - 1),
        "photos_per_person": (photos_per_person, 1, 1000),
    }
    for key, (value, least, most) in limits.items():
        if not least <= value <= most:
            raise ConfigError(f"synthetic: {key} = {shown(value)} must be from {least} to {most}")
    several = f"-{photos_per_person}each" if photos_per_person > 1 else ""
    root = cache_folder() / "synthetic" / f"v{RENDERER_VERSION}-seed{seed}-{count}x{size}{several}"
    labels = root / LABELS_FILE
    if not (labels.is_file() and hold_for_good(root)):
        _render(root, count, size, seed, photos_per_person)
        hold_for_good(root)
        make_room()
    tasks: list[Task] = [
        attractiveness_task(),
        age_task(),
        CategoricalTask("gender", GENDERS),
        CategoricalTask("race", RACES),
        CategoricalTask("expression", EXPRESSIONS),
        attributes_task(),
    ]
    return build_manifest(Source("synthetic", root, CITATION, LICENCE), pd.read_csv(labels), tasks)


def _render(root: Path, count: int, size: int, seed: int, photos_per_person: int) -> None:
    with replacing_folder(root, LABELS_FILE) as folder:
        workers = min(usable_cores(), 8, max(1, count // 200))
        draw = partial(_render_one, folder, size, seed, photos_per_person)
        if workers == 1:
            rows = list(map(draw, range(count)))
        else:
            with worker_pool(workers) as pool:
                rows = list(pool.map(draw, range(count), chunksize=50))
        pd.DataFrame(rows).to_csv(folder / LABELS_FILE, index=False)


def _render_one(folder: Path, size: int, seed: int, photos_per_person: int, index: int) -> dict[str, Any]:
    with opencv_threads(1):
        pixels, labels, landmarks = synthetic_photo(seed, index, size, photos_per_person)
    name = f"{index:06d}.jpg"
    written = cv2.imwrite(
        str(folder / name), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not written:
        raise OSError(28, "no space left on device")
    points = {f"{part}_{axis}": landmarks[i, j] for i, part in enumerate(LANDMARKS) for j, axis in enumerate("xy")}
    person = index // photos_per_person
    who = {"identity": f"person {person}"} if photos_per_person > 1 else {}
    return {"image": name, "split": SPLITS[person % len(SPLITS)], **who, **labels, **points}
