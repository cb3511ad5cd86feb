"""Drawn photos, manifests of them, and an engine that needs no other process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from keras_faceattr.alignment.work import AlignedPhoto, Work, align_photos
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.photo_folders import list_photos
from keras_faceattr.data.synthetic import draw_scene

GREY = np.full((90, 120, 3), 127, np.uint8)
"""A photo without a face."""


def scene(number: int, faces: int = 1) -> np.ndarray:
    """A photo in which the detector finds what was drawn."""
    return draw_scene(11, number, 181, 243 * faces, faces)[0]


def written(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1])
    return path


def plain_photos(folder: Path, count: int) -> list[Path]:
    """Photos of 24 pixels, each of a grey of its own."""
    return [written(folder / f"{i:03d}.png", np.full((24, 24, 3), i, np.uint8)) for i in range(count)]


def manifest_of(folder: Path, name: str = "photos") -> Manifest:
    """All photos of a folder, without labels."""
    return build_manifest(Source(name, folder), pd.DataFrame({"image": list_photos(folder)}), [])


def here(work: Work, chunks: Iterable[list[Path]]) -> Iterator[list[AlignedPhoto]]:
    """An engine in this process."""
    for chunk in chunks:
        yield align_photos(work, chunk)
